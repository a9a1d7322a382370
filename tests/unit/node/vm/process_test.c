/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VM processes of the built program, with kernels of a few bytes. */
#include "node/vm/process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "node/vm/console.h"
#include "node/vm/vmm_link.h"

#define UUID         "8b0d6a40-0000-4000-8000-000000000001"
#define LOAD_ADDRESS 0x100000

/* cli; hlt; jmp to the hlt */
#define HALT "\xfa\xf4\xeb\xfd"
/* mov dx, 0xf4; mov al, 0x15; out dx, al */
#define DEBUG_EXIT "\x66\xba\xf4\x00\xb0\x15\xee" HALT
/* Sends 100000 bytes by the first serial port, low bytes of a number that counts down to 1. */
#define PRINT                                                                                      \
	"\xb9\xa0\x86\x01\x00\x66\xba\xfd\x03\xec\xa8\x20\x74\xfb\x66\xba\xf8\x03\x88\xc8\xee"     \
	"\xff\xc9\x75\xec"
#define PRINTED 100000
/* lidt of an empty table; ud2 */
#define TRIPLE_FAULT "\x0f\x01\x1d\x02\x00\x00\x00\x0f\x0b\0\0\0\0\0\0\0\0\0\0"

struct fixture {
	char folder[32], program[PATH_MAX];
	int folder_fd;
	struct loop *loop;
	struct vm_process process;
	struct vm_console *console;
	enum vm_phase awaited;
	const char *state; /* and this one; NULL: any */
	unsigned paused;   /* how often it was told to be */
};

static void changed(void *ctx)
{
	struct fixture *f = ctx;

	if (f->process.phase == f->awaited && (!f->state || !strcmp(f->process.state, f->state)))
		loop_stop(f->loop);
}

static void event(void *ctx, enum control_event what, const json_t *params)
{
	struct fixture *f = ctx;

	f->paused += what == CONTROL_EVENT_PAUSED;
}

static const struct vm_process_ops ops = { .changed = changed, .event = event };

static void await(struct fixture *f, enum vm_phase phase, const char *state)
{
	f->awaited = phase;
	f->state = state;
	if (f->process.phase == phase && (!state || !strcmp(f->process.state, state)))
		return;
	assert_int_equal(loop_run(f->loop), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	ssize_t length;

	assert_non_null(f);
	strcpy(f->folder, "/tmp/cella-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->folder_fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	length = readlink("/proc/self/exe", f->program, sizeof(f->program) - 32);
	assert_true(length > 0);
	f->program[length] = '\0';
	strcpy(strrchr(f->program, '/'), "/../../cella-vmm");
	assert_int_equal(loop_new(&f->loop, NULL), 0);
	vm_process_init(&f->process, UUID, f->folder_fd, f->loop, &ops, f);
	assert_int_equal(vm_console_new(&f->console, f->folder_fd, f->loop, NULL), 0);
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vm_process_kill(&f->process, SIGKILL);
	vm_console_free(f->console);
	vm_process_fini(&f->process);
	loop_free(f->loop);
	close(f->folder_fd);
	nftw(f->folder, remove_one, 4, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void write_kernel(const struct fixture *f, const char *code, size_t bytes)
{
	const size_t at = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
	const Elf64_Ehdr header = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = LOAD_ADDRESS + at,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	const Elf64_Phdr segment = {
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_W | PF_X,
		.p_vaddr = LOAD_ADDRESS,
		.p_paddr = LOAD_ADDRESS,
		.p_filesz = at + bytes,
		.p_memsz = at + bytes,
		.p_align = 0x1000,
	};
	int fd = openat(f->folder_fd, "kernel", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, &header, sizeof(header)), sizeof(header));
	assert_int_equal(write(fd, &segment, sizeof(segment)), sizeof(segment));
	assert_int_equal(write(fd, code, bytes), bytes);
	close(fd);
}

/* A configuration in a memory file. */
static int config_fd(const char *kernel)
{
	char text[512];
	int fd = memfd_create("config", MFD_CLOEXEC);

	snprintf(
		text, sizeof(text),
		"{\"uuid\": \"" UUID "\", \"engine\": {\"name\": \"soft\"}, \"kernel\": \"%s\", "
		"\"memory\": {\"size\": 16777216}, \"serials\": [\"none\"], "
		"\"devices\": [\"isa-debug-exit\"], \"control\": \"control\", \"end-file\": \"end\"}",
		kernel);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void start(struct fixture *f, const char *kernel)
{
	static const char *const argv[] = { "cella-vmm", "--config-fd", "3", NULL };
	int fds[] = { config_fd(kernel) };
	struct vm_spawn spawn = { .program = f->program,
				  .argv = argv,
				  .folder_fd = f->folder_fd,
				  .fds = fds,
				  .fd_count = 1 };
	struct vm_pid pid;
	int pidfd;

	spawn.log_fd =
		openat(f->folder_fd, VM_LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_int_equal(vm_spawn(&spawn, &pid, &pidfd, NULL), 0);
	assert_int_equal(vm_process_watch(&f->process, &pid, pidfd, NULL), 0);
	close(spawn.log_fd);
	close(fds[0]);
}

static void vm_process_of_whatever_end_tells_it(void **state)
{
	static const struct {
		const char *code;
		size_t bytes;
		const char *reason;
		int status;
		const char *words;
	} rows[] = {
		{ DEBUG_EXIT, sizeof(DEBUG_EXIT) - 1, "debug-exit", (0x15 << 1) | 1,
		  "ends: debug-exit" },
		{ TRIPLE_FAULT, sizeof(TRIPLE_FAULT) - 1, "triple-fault", 2, "cr3" },
		{ NULL, 0, "exit", 1, "kernel" },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		unlinkat(f->folder_fd, "kernel", 0);
		if (rows[i].code)
			write_kernel(f, rows[i].code, rows[i].bytes);
		start(f, "kernel");
		await(f, VM_ENDED, NULL);
		assert_string_equal(f->process.end.reason, rows[i].reason);
		assert_int_equal(f->process.end.status, rows[i].status);
		assert_non_null(strstr(f->process.end.words, rows[i].words));
		vm_process_clear(&f->process);
		assert_int_equal(vm_process_find(&f->process, "", NULL), 0);
		assert_int_equal(f->process.phase, VM_ABSENT);
	}
}

/* What the daemon does after its own restart. */
static void vm_process_is_found_again_by_its_folder(void **state)
{
	struct fixture *f = *state;
	char boot[BOOT_ID_SIZE];
	json_t *status;

	assert_int_equal(vm_boot_id(boot), 0);
	write_kernel(f, HALT, sizeof(HALT) - 1);
	start(f, "kernel");
	await(f, VM_LIVES, "running");
	vm_process_fini(&f->process);
	vm_process_init(&f->process, UUID, f->folder_fd, f->loop, &ops, f);
	assert_int_equal(vm_process_find(&f->process, boot, NULL), 0);
	assert_int_equal(f->process.phase, VM_BEGINS);
	await(f, VM_LIVES, "running");
	assert_string_equal(f->process.engine, "soft");
	assert_true(f->process.started_ms > 0);

	status = NULL;
	vm_process_kill(&f->process, SIGSTOP);
	assert_int_equal(vmm_call(f->folder_fd, CONTROL_STATUS, NULL, 50, &status, NULL),
			 -ETIMEDOUT);
	vm_process_kill(&f->process, SIGCONT);
	assert_int_equal(vmm_call(f->folder_fd, CONTROL_STATUS, NULL, 60000, &status, NULL), 0);
	json_decref(status);
	assert_int_equal(vmm_call(f->folder_fd, CONTROL_DISK_DETACH, NULL, 60000, NULL, NULL),
			 -EREMOTEIO);
	assert_int_equal(vmm_call(f->folder_fd, CONTROL_PAUSE, NULL, 60000, NULL, NULL), 0);
	await(f, VM_LIVES, "paused");
	assert_int_equal(f->paused, 1);
	vm_process_kill(&f->process, SIGKILL);
	await(f, VM_ENDED, NULL);
	assert_int_equal(f->process.end.signal, SIGKILL);
}

/* A process that only waits, of which this one is not the parent, as after a restart of the daemon. */
static pid_t orphan(void)
{
	int ends[2];
	pid_t child, pid = 0;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (!child) {
		pid = fork();
		if (!pid)
			for (;;)
				pause();
		_exit(write(ends[1], &pid, sizeof(pid)) != sizeof(pid));
	}
	assert_int_equal(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

/* Between its number in the file and its first own step a process goes with the daemon that starts it: the next
 * daemon may still see it end. */
static void vm_process_that_ends_silently_is_lost_or_never_began(void **state)
{
	struct fixture *f = *state;

	for (unsigned began = 0; began < 2; began++) {
		struct vm_pid pid = { .pid = orphan() };

		if (began)
			close(openat(f->folder_fd, VM_END_FILE, O_WRONLY | O_CREAT | O_CLOEXEC,
				     0600));
		assert_int_equal(vm_process_watch(&f->process, &pid, pidfd_open(pid.pid, 0), NULL),
				 0);
		vm_process_kill(&f->process, SIGKILL);
		await(f, VM_ENDED, NULL);
		assert_string_equal(f->process.end.reason, began ? "lost" : "interrupted");
		vm_process_clear(&f->process);
	}
}

static void vm_process_of_an_earlier_boot_has_ended_with_the_host(void **state)
{
	static const char text[] = "1 12 8b0d6a40-0000-4000-8000-0000000000ff\n";
	struct fixture *f = *state;
	char boot[BOOT_ID_SIZE];
	int fd = openat(f->folder_fd, "pid", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(vm_boot_id(boot), 0);
	assert_int_equal(vm_process_find(&f->process, boot, NULL), 0);
	assert_int_equal(f->process.phase, VM_ENDED);
	assert_string_equal(f->process.end.reason, "host-restart");
}

static void check_printed(struct fixture *f, const char *note)
{
	struct vm_log *log = vm_console_log(f->console);
	uint8_t bytes[256];
	uint64_t first, next, at;
	ssize_t n;

	vm_log_range(log, &first, &next);
	at = next - strlen(note) - 200;
	n = vm_log_read(log, &at, bytes, sizeof(bytes));
	assert_int_equal(n, 200 + strlen(note));
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(bytes[i], (200 - i) & 0xff);
	assert_memory_equal(bytes + 200, note, strlen(note));
}

/* Nobody was attached while the machine said its last words. */
static void vm_console_of_an_ended_machine_has_its_last_words(void **state)
{
	struct fixture *f = *state;

	write_kernel(f, PRINT DEBUG_EXIT, sizeof(PRINT DEBUG_EXIT) - 1);
	start(f, "kernel");
	await(f, VM_ENDED, NULL);
	vm_console_ended(f->console, "run1", "debug-exit");
	check_printed(f, "\r\n[the machine ended: debug-exit]\r\n");
}

struct awaiting_viewer {
	struct vm_viewer viewer;
	struct fixture *fixture;
	uint64_t next;
};

static void more(struct vm_viewer *viewer)
{
	struct awaiting_viewer *awaiting = container_of(viewer, struct awaiting_viewer, viewer);
	uint64_t first, next;

	vm_log_range(vm_console_log(awaiting->fixture->console), &first, &next);
	if (next >= awaiting->next)
		loop_stop(awaiting->fixture->loop);
}

/* The daemon comes, goes and comes again; nothing is missing and nothing is there twice. */
static void vm_console_attached_again_goes_on_where_it_was(void **state)
{
	struct fixture *f = *state;
	struct awaiting_viewer viewer = { .viewer.more = more, .fixture = f, .next = PRINTED };
	uint64_t first, next;

	write_kernel(f, PRINT HALT, sizeof(PRINT HALT) - 1);
	start(f, "kernel");
	list_init(&viewer.viewer.node);
	await(f, VM_LIVES, NULL);
	vm_console_attach(f->console, "run1");
	vm_console_add(f->console, &viewer.viewer);
	assert_int_equal(loop_run(f->loop), 0);
	vm_log_range(vm_console_log(f->console), &first, &next);
	vm_console_remove(f->console, &viewer.viewer);
	vm_console_free(f->console);
	assert_int_equal(vm_console_new(&f->console, f->folder_fd, f->loop, NULL), 0);
	vm_console_attach(f->console, "run1");
	assert_int_equal(vmm_call(f->folder_fd, CONTROL_QUIT, NULL, 60000, NULL, NULL), 0);
	await(f, VM_ENDED, NULL);
	vm_console_ended(f->console, "run1", "quit");
	check_printed(f, "\r\n[the machine ended: quit]\r\n");
	assert_true(next - first >= PRINTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(vm_process_of_whatever_end_tells_it),
		TEST(vm_process_is_found_again_by_its_folder),
		TEST(vm_process_that_ends_silently_is_lost_or_never_began),
		TEST(vm_process_of_an_earlier_boot_has_ended_with_the_host),
		TEST(vm_console_of_an_ended_machine_has_its_last_words),
		TEST(vm_console_attached_again_goes_on_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
