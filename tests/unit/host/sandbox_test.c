/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every filter is entered in a child of its own, which then makes one system call: it lives, or it
 * dies of SIGSYS. */
#include "host/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "host/thread.h"
#include "host/workers.h"

#define WHOLE_PROCESS SANDBOX_THREADS

static void call_execve(void)
{
	char *argv[] = { NULL };

	execv("/bin/true", argv);
}

static void call_open_to_read(void)
{
	close(open("/dev/null", O_RDONLY));
}

static void call_open_to_write(void)
{
	close(open("/dev/null", O_WRONLY));
}

static void call_inet_socket(void)
{
	close(socket(AF_INET, SOCK_DGRAM, 0));
}

static void call_connect(void)
{
	connect(-1, NULL, 0);
}

static void call_send(void)
{
	send(-1, NULL, 0, 0);
}

static void call_packet_socket(void)
{
	close(socket(AF_PACKET, SOCK_RAW, 0));
}

/* As the user network does for a name server like fe80::1%eth0; the test's namespace has an interface 1. */
static void call_interface_number(void)
{
	if (if_nametoindex("lo") != 1)
		_exit(1);
}

static void call_unix_socket(void)
{
	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EACCES)
		_exit(1);
}

static void call_map(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void call_map_executable(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void call_kvm_run(void)
{
	ioctl(-1, KVM_RUN, 0);
}

static void call_push_terminal_input(void)
{
	ioctl(-1, TIOCSTI, "x");
}

static void call_kill_other(void)
{
	syscall(SYS_tgkill, 1, 1, 0);
}

static void call_kill_self(void)
{
	syscall(SYS_tgkill, getpid(), gettid(), 0);
}

static void call_ptrace(void)
{
	syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void call_fork(void)
{
	if (fork() == 0)
		_exit(0);
}

static void call_write(void)
{
	(void)!write(-1, "", 0);
}

static void call_fdatasync(void)
{
	fdatasync(-1);
}

static void call_unlink(void)
{
	unlink("");
}

static void call_accept(void)
{
	accept4(-1, NULL, NULL, 0);
}

static void call_io_uring_enter(void)
{
	syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0);
}

static void *return_at_once(void *ctx)
{
	return ctx;
}

static void call_thread(void)
{
	pthread_t thread;

	if (thread_start(&thread, "some", return_at_once, NULL, NULL))
		_exit(1);
	pthread_join(thread, NULL);
}

static const struct {
	const char *name;
	enum sandbox_thread thread;
	void (*call)(void);
	bool allowed;
} cases[] = {
	{ "process: execve", WHOLE_PROCESS, call_execve, false },
	{ "process: fork", WHOLE_PROCESS, call_fork, false },
	{ "process: ptrace", WHOLE_PROCESS, call_ptrace, false },
	{ "process: open to write", WHOLE_PROCESS, call_open_to_write, false },
	{ "process: packet socket", WHOLE_PROCESS, call_packet_socket, false },
	{ "process: executable memory", WHOLE_PROCESS, call_map_executable, false },
	{ "process: push terminal input", WHOLE_PROCESS, call_push_terminal_input, false },
	{ "process: kill other", WHOLE_PROCESS, call_kill_other, false },
	{ "process: kill self", WHOLE_PROCESS, call_kill_self, true },
	{ "process: kvm", WHOLE_PROCESS, call_kvm_run, true },
	{ "process: write", WHOLE_PROCESS, call_write, true },
	{ "loop: execve", SANDBOX_LOOP, call_execve, false },
	{ "loop: open to read", SANDBOX_LOOP, call_open_to_read, true },
	{ "loop: open to write", SANDBOX_LOOP, call_open_to_write, false },
	{ "loop: internet socket", SANDBOX_LOOP, call_inet_socket, true },
	{ "loop: Unix socket", SANDBOX_LOOP, call_unix_socket, true },
	{ "loop: number of an interface", SANDBOX_LOOP, call_interface_number, true },
	{ "vcpu: Unix socket", SANDBOX_VCPU_SOFT, call_unix_socket, false },
	{ "loop: packet socket", SANDBOX_LOOP, call_packet_socket, false },
	{ "loop: map", SANDBOX_LOOP, call_map, true },
	{ "loop: executable memory", SANDBOX_LOOP, call_map_executable, false },
	{ "vcpu kvm: run", SANDBOX_VCPU_KVM, call_kvm_run, true },
	{ "vcpu kvm: submit disk request", SANDBOX_VCPU_KVM, call_io_uring_enter, true },
	{ "vcpu kvm: open to read", SANDBOX_VCPU_KVM, call_open_to_read, false },
	{ "vcpu kvm: internet socket", SANDBOX_VCPU_KVM, call_inet_socket, false },
	{ "vcpu soft: kvm", SANDBOX_VCPU_SOFT, call_kvm_run, false },
	{ "vcpu soft: map", SANDBOX_VCPU_SOFT, call_map, true },
	{ "vcpu soft: open to read", SANDBOX_VCPU_SOFT, call_open_to_read, false },
	{ "worker: flush", SANDBOX_WORKER, call_fdatasync, true },
	{ "worker: internet socket", SANDBOX_WORKER, call_inet_socket, false },
	{ "worker: connect", SANDBOX_WORKER, call_connect, false },
	{ "worker: send", SANDBOX_WORKER, call_send, true },
	{ "worker: kvm", SANDBOX_WORKER, call_kvm_run, false },
	{ "guard: remove", SANDBOX_GUARD, call_unlink, true },
	{ "guard: open to read", SANDBOX_GUARD, call_open_to_read, false },
	{ "guard: internet socket", SANDBOX_GUARD, call_inet_socket, false },
	{ "tool opening: open to write", SANDBOX_TOOL_OPENING, call_open_to_write, true },
	{ "tool opening: execve", SANDBOX_TOOL_OPENING, call_execve, false },
	{ "tool opening: internet socket", SANDBOX_TOOL_OPENING, call_inet_socket, false },
	{ "tool opening: kill other", SANDBOX_TOOL_OPENING, call_kill_other, false },
	{ "tool: open to read", SANDBOX_TOOL, call_open_to_read, false },
	{ "tool: execve", SANDBOX_TOOL, call_execve, false },
	{ "tool: flush", SANDBOX_TOOL, call_fdatasync, true },
	{ "tool: thread", SANDBOX_TOOL, call_thread, true },
	{ "tool: accept", SANDBOX_TOOL, call_accept, false },
	{ "server: accept", SANDBOX_SERVER, call_accept, true },
	{ "server: thread", SANDBOX_SERVER, call_thread, true },
	{ "server: flush", SANDBOX_SERVER, call_fdatasync, true },
	{ "server: open to read", SANDBOX_SERVER, call_open_to_read, false },
	{ "server: internet socket", SANDBOX_SERVER, call_inet_socket, false },
	{ "server: execve", SANDBOX_SERVER, call_execve, false },
};

/* The signal that ended the child; 0: it lived. */
static int signal_of_child(void (*body)(void *ctx), void *ctx)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		signal(SIGSYS, SIG_DFL);
		body(ctx);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status);
	assert_int_equal(WEXITSTATUS(status), 0);
	return 0;
}

static void enter_tool(enum sandbox_thread thread)
{
	bool opening = thread == SANDBOX_TOOL_OPENING;
	struct sandbox *sandbox;

	if (sandbox_new_tool(&sandbox, opening ? SANDBOX_TOOL : thread, NULL) ||
	    sandbox_allow(sandbox, "/", SANDBOX_WRITE, NULL) || sandbox_enter_tool(sandbox, NULL))
		_exit(1);
	if (!opening && sandbox_enter_thread(sandbox, thread))
		_exit(1);
}

static void enter(enum sandbox_thread thread)
{
	struct sandbox *sandbox;
	struct err err = ERR_INIT;

	if (thread == SANDBOX_TOOL || thread == SANDBOX_TOOL_OPENING || thread == SANDBOX_SERVER) {
		enter_tool(thread);
		return;
	}
	/* The filter of tgkill knows its own process, so it is made in the child. */
	if (sandbox_new(&sandbox, &err) || sandbox_enter(sandbox, &err))
		_exit(1);
	if (thread != WHOLE_PROCESS && sandbox_enter_thread(sandbox, thread))
		_exit(1);
}

static void run_case(void *ctx)
{
	size_t index = *(size_t *)ctx;

	enter(cases[index].thread);
	cases[index].call();
}

static void sandbox_entered_only_listed_calls_pass(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int signal_number = signal_of_child(run_case, &i);

		if (signal_number != (cases[i].allowed ? 0 : SIGSYS))
			fail_msg("%s: ended by signal %d", cases[i].name, signal_number);
	}
}

static void *forbidden_on_other_thread(void *ctx)
{
	int *go = ctx;

	while (!__atomic_load_n(go, __ATOMIC_ACQUIRE))
		sched_yield();
	call_execve();
	return NULL;
}

static void run_other_thread(void *ctx)
{
	pthread_t thread;
	int go = 0;

	(void)ctx;
	if (pthread_create(&thread, NULL, forbidden_on_other_thread, &go))
		_exit(1);
	enter(WHOLE_PROCESS);
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

static void sandbox_entered_with_running_thread_holds_it_too(void **state)
{
	(void)state;
	assert_int_equal(signal_of_child(run_other_thread, NULL), SIGSYS);
}

static void call_in_pool(struct work *work)
{
	(void)work;
	call_inet_socket();
}

/* The process may have sockets, its workers may not, although they started before. */
static void run_pool(void *ctx)
{
	struct work work = { .run = call_in_pool };
	struct workers *workers;

	(void)ctx;
	if (workers_new(&workers, "pool", 1, NULL))
		_exit(1);
	enter(WHOLE_PROCESS);
	call_inet_socket();
	workers_submit(workers, &work);
	workers_free(workers);
}

static void sandbox_entered_with_pool_confines_its_threads(void **state)
{
	(void)state;
	assert_int_equal(signal_of_child(run_pool, NULL), SIGSYS);
}

/* Of two files only the one in the folder that was let in can be read, and only it removed. */
static void run_files(void *ctx)
{
	struct sandbox *sandbox;
	const char *inside = ctx;

	if (chdir(inside) || sandbox_new(&sandbox, NULL) ||
	    sandbox_allow(sandbox, inside, SANDBOX_READ | SANDBOX_REMOVE, NULL) ||
	    sandbox_allow(sandbox, "/nonexistent", SANDBOX_READ, NULL) ||
	    sandbox_enter(sandbox, NULL))
		_exit(1);
	if (open("file", O_RDONLY) < 0 || open("../file", O_RDONLY) >= 0 || errno != EACCES ||
	    unlink("../file") == 0 || errno != EACCES || unlink("file"))
		_exit(2);
}

static long landlock_abi(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

static void sandbox_allow_folder_leaves_only_its_files(void **state)
{
	char folder[] = "/tmp/cella-test-XXXXXX";
	char path[64];

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(mkdir("in", 0700), 0);
	fclose(fopen("file", "w"));
	fclose(fopen("in/file", "w"));
	snprintf(path, sizeof(path), "%s/in", folder);
	if (landlock_abi() > 0)
		assert_int_equal(signal_of_child(run_files, path), 0);
	unlink("in/file");
	assert_int_equal(unlink("file"), 0);
	assert_int_equal(rmdir("in"), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void on_sigsys(int number, siginfo_t *info, void *context)
{
	char text[128];

	(void)number;
	sandbox_describe(info, context, text, sizeof(text));
	_exit(strncmp(text, "forbidden system call 'ptrace' (101: 0", 38) ? 1 : 0);
}

static void run_described(void *ctx)
{
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };

	(void)ctx;
	sigaction(SIGSYS, &action, NULL);
	enter(SANDBOX_LOOP);
	call_ptrace();
	_exit(1);
}

static void sandbox_describe_after_forbidden_call_names_it(void **state)
{
	(void)state;
	assert_int_equal(signal_of_child(run_described, NULL), 0);
}

static void run_date(void *ctx)
{
	time_t now = 0;
	struct tm date;

	(void)ctx;
	enter(SANDBOX_LOOP);
	_exit(gmtime_r(&now, &date) && date.tm_year == 70 ? 0 : 1);
}

static void sandbox_entered_leaves_dates(void **state)
{
	(void)state;
	assert_int_equal(signal_of_child(run_date, NULL), 0);
}

static void run_privileges(void *ctx)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { ~0u, ~0u, ~0u },
									 { ~0u, ~0u, ~0u } };
	struct rlimit core;

	(void)ctx;
	if (sandbox_drop_privileges(NULL))
		_exit(1);
	getrlimit(RLIMIT_CORE, &core);
	syscall(SYS_capget, &header, sets);
	if (core.rlim_max || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || sets[0].effective ||
	    sets[0].permitted || sets[0].inheritable || sets[1].effective || sets[1].permitted)
		_exit(1);
}

static void sandbox_drop_privileges_leaves_none(void **state)
{
	(void)state;
	assert_int_equal(signal_of_child(run_privileges, NULL), 0);
}

static void sandbox_close_inherited_keeps_only_what_is_named(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid) {
		int keep[] = { 53, 50, 2, 51 };
		int null = open("/dev/null", O_RDONLY);
		unsigned wrong = 0;

		for (int fd = 49; fd <= 54; fd++)
			wrong += dup2(null, fd) != fd;
		sandbox_close_inherited(keep, ARRAY_SIZE(keep));
		for (int fd = 3; fd <= 60; fd++)
			wrong += (fcntl(fd, F_GETFD) >= 0) != (fd == 50 || fd == 51 || fd == 53);
		_exit(wrong || fcntl(2, F_GETFD) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- clients: what is forbidden fails, and does not end the process ---- */

static bool is_refused(int rc, int code)
{
	return rc < 0 && errno == code;
}

static void run_client(void *ctx)
{
	enum sandbox_thread kind = *(enum sandbox_thread *)ctx;
	bool network = kind == SANDBOX_CLIENT;
	char *argv[] = { NULL };
	struct sandbox *sandbox;

	if (sandbox_new_client(&sandbox, kind, NULL) ||
	    sandbox_allow(sandbox, "/dev", SANDBOX_READ, NULL) || sandbox_enter(sandbox, NULL))
		_exit(1);
	if (open("/dev/null", O_RDONLY) < 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0 ||
	    (network ? socket(AF_INET, SOCK_STREAM, 0) < 0
		     : !is_refused(socket(AF_INET, SOCK_STREAM, 0), EPERM)))
		_exit(2);
	if (!is_refused(open("/dev/null", O_WRONLY), EPERM) ||
	    !is_refused(socket(AF_PACKET, SOCK_RAW, 0), EPERM) ||
	    !is_refused(listen(0, 1), EPERM) || !is_refused(execv("/bin/true", argv), EPERM) ||
	    !is_refused(unlink("/nonexistent"), EPERM) || !is_refused(kill(getppid(), 0), EPERM))
		_exit(3);
	call_thread();
}

static void sandbox_of_client_refuses_what_it_does_not_need(void **state)
{
	enum sandbox_thread kinds[] = { SANDBOX_CLIENT_UNIX, SANDBOX_CLIENT };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		assert_int_equal(signal_of_child(run_client, &kinds[i]), 0);
}

struct two_ports {
	struct sockaddr_in addresses[2];
};

static void run_ports(void *ctx)
{
	struct two_ports *ports = ctx;
	struct sandbox *sandbox;
	int first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0);

	if (sandbox_new_client(&sandbox, SANDBOX_CLIENT, NULL) ||
	    sandbox_allow_port(sandbox, ntohs(ports->addresses[0].sin_port), NULL) ||
	    sandbox_enter(sandbox, NULL))
		_exit(1);
	if (connect(first, (struct sockaddr *)&ports->addresses[0], sizeof(ports->addresses[0])))
		_exit(2);
	if (!is_refused(connect(second, (struct sockaddr *)&ports->addresses[1],
				sizeof(ports->addresses[1])),
			EACCES))
		_exit(3);
}

static void sandbox_allow_port_leaves_only_that(void **state)
{
	struct two_ports ports = { 0 };
	int listeners[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
		struct sockaddr_in *address = &ports.addresses[i];
		socklen_t bytes = sizeof(*address);

		*address = (struct sockaddr_in){ .sin_family = AF_INET,
						 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		listeners[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(bind(listeners[i], (struct sockaddr *)address, bytes), 0);
		assert_int_equal(listen(listeners[i], 1), 0);
		assert_int_equal(getsockname(listeners[i], (struct sockaddr *)address, &bytes), 0);
	}
	if (landlock_abi() >= 4)
		assert_int_equal(signal_of_child(run_ports, &ports), 0);
	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++)
		close(listeners[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sandbox_entered_only_listed_calls_pass),
		cmocka_unit_test(sandbox_entered_with_running_thread_holds_it_too),
		cmocka_unit_test(sandbox_entered_with_pool_confines_its_threads),
		cmocka_unit_test(sandbox_allow_folder_leaves_only_its_files),
		cmocka_unit_test(sandbox_describe_after_forbidden_call_names_it),
		cmocka_unit_test(sandbox_entered_leaves_dates),
		cmocka_unit_test(sandbox_drop_privileges_leaves_none),
		cmocka_unit_test(sandbox_close_inherited_keeps_only_what_is_named),
		cmocka_unit_test(sandbox_of_client_refuses_what_it_does_not_need),
		cmocka_unit_test(sandbox_allow_port_leaves_only_that),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
