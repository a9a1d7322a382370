/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters are compiled from rows by libseccomp and kept as BPF programs, so that a thread enters
 * its own with a single system call. The process-wide filter is the union of all kinds; the filters
 * of threads stack on it.
 *
 * Spec: Linux Documentation/userspace-api/seccomp_filter.rst.
 */
#include "host/sandbox.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/fd.h"
#include "host/landlock_priv.h"

enum {
	LOOP = 1u << SANDBOX_LOOP,
	KVM = 1u << SANDBOX_VCPU_KVM,
	SOFT = 1u << SANDBOX_VCPU_SOFT,
	WORKER = 1u << SANDBOX_WORKER,
	IOTHREAD = 1u << SANDBOX_IOTHREAD,
	GUARD = 1u << SANDBOX_GUARD,
	VCPU = KVM | SOFT,
	VMM = LOOP | VCPU | WORKER | IOTHREAD | GUARD,
	SERVER = 1u << SANDBOX_SERVER,
	TOOL = 1u << SANDBOX_TOOL | SERVER,
	OPENING = 1u << SANDBOX_TOOL_OPENING,
	CLIENT = 1u << SANDBOX_CLIENT,
	CLIENTS = CLIENT | 1u << SANDBOX_CLIENT_UNIX,
	ALL = VMM | TOOL | OPENING | CLIENTS,
	ENTRY = 1u << SANDBOX_THREADS, /* only until the thread has entered its own filter */
	JOBS = ENTRY << 1, /* a loop that opens images later, see sandbox_allow_opening() */
};

struct rule {
	int call;
	unsigned threads;
	const char *reason;
	/* Only calls whose argument `argument`, masked, is `value`; mask 0: all. */
	unsigned argument;
	uint64_t mask, value;
	int error; /* not allowed, but no crime either: it fails with this errno */
};

/* Where a value is compared whole. */
#define WHOLE UINT64_MAX
/* ioctl requests are 32 bits; the kernel ignores what is above. */
#define REQUEST UINT32_MAX

static const struct rule rules[] = {
	{ SCMP_SYS(read), ALL, "eventfds, terminals, sockets, taps" },
	{ SCMP_SYS(write), ALL, "eventfds, terminals, taps, the log" },
	{ SCMP_SYS(readv), ALL, "back-ends" },
	{ SCMP_SYS(writev), ALL, "back-ends" },
	{ SCMP_SYS(pread64), LOOP | WORKER | TOOL | OPENING | CLIENTS,
	  "images, kernels at reset, files of libraries" },
	{ SCMP_SYS(pwrite64), LOOP | WORKER | TOOL | OPENING | CLIENT,
	  "images, a file that is fetched" },
	{ SCMP_SYS(preadv), LOOP | WORKER | TOOL | OPENING, "images" },
	{ SCMP_SYS(pwritev), LOOP | WORKER | TOOL | OPENING, "images" },
	{ SCMP_SYS(preadv2), LOOP | IOTHREAD | VCPU | WORKER | TOOL | OPENING,
	  "images, also by the thread that was kicked" },
	{ SCMP_SYS(pwritev2), LOOP | WORKER | TOOL | OPENING, "images" },
	{ SCMP_SYS(fsync), LOOP | WORKER | TOOL | OPENING, "flush of an image" },
	{ SCMP_SYS(fdatasync), LOOP | WORKER | TOOL | OPENING | CLIENT, "flush of an image" },
	{ SCMP_SYS(fallocate), ALL, "discard, write zeroes; holes in guest memory" },
	{ SCMP_SYS(lseek), LOOP | WORKER | TOOL | OPENING | CLIENTS,
	  "size of an image, of a file read again" },
	{ SCMP_SYS(io_uring_enter), LOOP | IOTHREAD | VCPU | WORKER,
	  "disk requests, queued by the thread that was kicked or that let them go on" },
	{ SCMP_SYS(ftruncate), WORKER | TOOL | OPENING | CLIENT,
	  "an image that ends inside a block of its storage, a file that is fetched anew" },
	{ SCMP_SYS(close), ALL, "back-ends, queues that are reset" },
	{ SCMP_SYS(fstat), LOOP | WORKER | TOOL | OPENING | CLIENTS, "files that are read again" },
	{ SCMP_SYS(newfstatat), LOOP | WORKER | TOOL | OPENING | CLIENTS,
	  "files that are read again" },
	{ SCMP_SYS(statx), LOOP | WORKER | TOOL | OPENING | CLIENTS, "files that are read again" },
	{ SCMP_SYS(openat), LOOP | CLIENTS,
	  "kernel at reset, name servers of the host, certificates: for reading only", 2,
	  O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY },
	{ SCMP_SYS(openat), OPENING, "images, and the files that they name" },
	{ SCMP_SYS(openat2), OPENING, "files that images name" },
	{ SCMP_SYS(readlink), OPENING, "where a name leads" },
	{ SCMP_SYS(readlinkat), OPENING, "where a name leads" },
	{ SCMP_SYS(getcwd), OPENING, "where a name leads" },
	{ SCMP_SYS(fcntl), OPENING | CLIENTS, "locks of images, flags of sockets" },
	{ SCMP_SYS(io_uring_setup), JOBS, "rings of images" },
	{ SCMP_SYS(io_uring_register), JOBS, "rings of images" },
	{ SCMP_SYS(unlink), LOOP | GUARD | TOOL | OPENING,
	  "sockets of the process at its end, an image that could not be made" },
	{ SCMP_SYS(clone3), TOOL | OPENING | CLIENTS, "threads of a tool, which come and go" },
	{ SCMP_SYS(clone), TOOL | OPENING | CLIENTS, "threads, where there is no clone3" },
	{ SCMP_SYS(prctl), ALL, "names of threads", 0, WHOLE, PR_SET_NAME },
	{ SCMP_SYS(unlinkat), LOOP, "sockets of the process at its end" },

	{ SCMP_SYS(mmap), ALL, "allocations; never executable", 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), ALL, "allocations, guards; never executable", 2, PROT_EXEC, 0 },
	{ SCMP_SYS(munmap), ALL, "allocations" },
	{ SCMP_SYS(mremap), ALL, "allocations" },
	{ SCMP_SYS(madvise), ALL, "allocations, balloon" },
	{ SCMP_SYS(brk), ALL, "allocations" },
	{ SCMP_SYS(getrandom), ALL, "random numbers for guests" },

	{ SCMP_SYS(futex), ALL, "locks" },
	{ SCMP_SYS(sched_yield), ALL, "locks" },
	{ SCMP_SYS(membarrier), ALL, "code caches" },
	{ SCMP_SYS(sysinfo), TOOL | OPENING,
	  "the library's sort asks how much memory it may take" },
	{ SCMP_SYS(sched_getaffinity), ALL, "the allocator counts processors" },
	{ SCMP_SYS(set_robust_list), ALL, "start of a thread" },
	{ SCMP_SYS(rseq), ALL, "start of a thread" },
	{ SCMP_SYS(exit), ALL, "end of a thread" },
	{ SCMP_SYS(exit_group), ALL, "end of the process" },
	{ SCMP_SYS(getpid), ALL, "abort" },
	{ SCMP_SYS(gettid), ALL, "abort" },
	{ SCMP_SYS(rt_sigaction), ALL, "abort, fatal signals" },
	{ SCMP_SYS(rt_sigprocmask), ALL, "abort, kicks" },
	{ SCMP_SYS(rt_sigreturn), ALL, "signal handlers" },
	{ SCMP_SYS(rt_sigtimedwait), VCPU | TOOL | CLIENTS,
	  "kicks, interruptions, the end of a parent" },
	{ SCMP_SYS(sigaltstack), ALL, "signal handlers" },
	{ SCMP_SYS(restart_syscall), ALL, "calls that a signal interrupted" },

	{ SCMP_SYS(clock_gettime), ALL, "time, where the vDSO has none" },
	{ SCMP_SYS(clock_getres), ALL, "time" },
	{ SCMP_SYS(clock_nanosleep), ALL, "time" },
	{ SCMP_SYS(nanosleep), ALL, "time" },
	{ SCMP_SYS(gettimeofday), ALL, "time, where the vDSO has none" },
	{ SCMP_SYS(timerfd_settime), ALL, "timers, armed by any thread" },
	{ SCMP_SYS(eventfd2), LOOP | VCPU | SERVER | CLIENTS,
	  "queues that the guest sets up, ends of clients" },
	{ SCMP_SYS(epoll_ctl), LOOP | VCPU, "event loop" },
	{ SCMP_SYS(epoll_wait), LOOP | IOTHREAD | GUARD, "event loop" },
	{ SCMP_SYS(epoll_pwait), LOOP | IOTHREAD | GUARD, "event loop" },
	{ SCMP_SYS(epoll_create1), LOOP, "sockets of a user network that is attached" },
	{ SCMP_SYS(poll), LOOP | VCPU | WORKER | SERVER | CLIENTS, "back-ends, clients, servers" },
	{ SCMP_SYS(ppoll), LOOP | VCPU | WORKER | SERVER | CLIENTS, "back-ends, clients, servers" },
	{ SCMP_SYS(fcntl), LOOP | VCPU, "flags of sockets" },

	{ SCMP_SYS(socket), LOOP | CLIENT, "connections of the guest, a disk's server", 0, WHOLE,
	  AF_INET },
	{ SCMP_SYS(socket), LOOP | CLIENT, "connections of the guest, a disk's server", 0, WHOLE,
	  AF_INET6 },
	{ SCMP_SYS(socket), LOOP,
	  "number of a name server's interface: the C library takes AF_INET then", 0, WHOLE,
	  AF_UNIX, EACCES },
	{ SCMP_SYS(socket), CLIENTS, "a disk's server, the host's resolver", 0, WHOLE, AF_UNIX },
	{ SCMP_SYS(socket), CLIENT, "which addresses the host has", 0, WHOLE, AF_NETLINK },
	{ SCMP_SYS(connect), LOOP | CLIENTS, "connections of the guest, a disk's server" },
	{ SCMP_SYS(bind), LOOP | CLIENT, "connections of the guest, questions to the kernel" },
	{ SCMP_SYS(listen), LOOP, "connections of the guest" },
	{ SCMP_SYS(accept), LOOP, "forwarded ports" },
	{ SCMP_SYS(accept4), LOOP | SERVER, "control socket, consoles, forwarded ports, clients" },
	{ SCMP_SYS(shutdown), LOOP | WORKER | SERVER | CLIENTS, "connections" },
	{ SCMP_SYS(recvfrom), LOOP | WORKER | SERVER | CLIENTS,
	  "connections, disks of the network" },
	{ SCMP_SYS(recvmsg), LOOP | WORKER | SERVER | CLIENTS,
	  "connections, disks of the network" },
	{ SCMP_SYS(sendto), LOOP | VCPU | WORKER | SERVER | CLIENTS,
	  "connections; output of consoles; disks of the network" },
	{ SCMP_SYS(sendmsg), LOOP | VCPU | WORKER | SERVER | CLIENTS,
	  "connections; output of consoles; disks of the network" },
	{ SCMP_SYS(getsockname), LOOP | CLIENTS, "connections" },
	{ SCMP_SYS(getpeername), LOOP | CLIENTS, "connections" },
	{ SCMP_SYS(getsockopt), LOOP | CLIENTS, "connections" },
	{ SCMP_SYS(setsockopt), LOOP | CLIENTS, "connections" },
	{ SCMP_SYS(sendmmsg), CLIENT, "questions to name servers" },
	{ SCMP_SYS(recvmmsg), CLIENT, "answers of name servers" },
	{ SCMP_SYS(socketpair), CLIENTS, "threads of libraries that wake each other" },
	{ SCMP_SYS(pipe2), CLIENTS, "threads of libraries that wake each other" },
	{ SCMP_SYS(select), CLIENTS, "connections" },
	{ SCMP_SYS(pselect6), CLIENTS, "connections" },
	{ SCMP_SYS(access), CLIENTS, "files of libraries" },
	{ SCMP_SYS(faccessat), CLIENTS, "files of libraries" },
	{ SCMP_SYS(faccessat2), CLIENTS, "files of libraries" },
	{ SCMP_SYS(readlink), CLIENTS, "files of libraries" },
	{ SCMP_SYS(uname), CLIENTS, "the host's name" },
	{ SCMP_SYS(getuid), CLIENTS, "who asks a server" },
	{ SCMP_SYS(geteuid), CLIENTS, "who asks a server" },
	{ SCMP_SYS(getgid), CLIENTS, "who asks a server" },
	{ SCMP_SYS(getegid), CLIENTS, "who asks a server" },
	{ SCMP_SYS(alarm), CLIENTS, "the end of who waits for nobody any more" },

	{ SCMP_SYS(ioctl), LOOP | IOTHREAD | KVM, "KVM: all requests have the type 0xae", 1, 0xff00,
	  0xae00 },
	{ SCMP_SYS(ioctl), ALL, "terminal", 1, REQUEST, TCGETS },
	{ SCMP_SYS(ioctl), ALL, "terminal, also restored from handlers", 1, REQUEST, TCSETS },
	{ SCMP_SYS(ioctl), ALL, "terminal, also restored from handlers", 1, REQUEST, TCSETSW },
	{ SCMP_SYS(ioctl), ALL, "terminal, also restored from handlers", 1, REQUEST, TCSETSF },
	{ SCMP_SYS(ioctl), LOOP | TOOL, "terminal", 1, REQUEST, TIOCGWINSZ },
	{ SCMP_SYS(ioctl), OPENING, "size of a block device", 1, REQUEST, BLKGETSIZE64 },
	{ SCMP_SYS(ioctl), LOOP | CLIENTS, "sockets", 1, REQUEST, FIONREAD },
	{ SCMP_SYS(ioctl), LOOP | CLIENTS, "sockets", 1, REQUEST, FIONBIO },
	{ SCMP_SYS(ioctl), LOOP, "number of a name server's interface", 1, REQUEST, SIOCGIFINDEX },
	{ SCMP_SYS(ioctl), LOOP, "which tap a descriptor is of that was handed over", 1, REQUEST,
	  TUNGETIFF },
	{ SCMP_SYS(ioctl), LOOP, "header of a tap that was handed over", 1, REQUEST,
	  TUNSETVNETHDRSZ },
	{ SCMP_SYS(ioctl), LOOP | VCPU, "offloads of a tap", 1, REQUEST, TUNSETOFFLOAD },
	{ SCMP_SYS(ioctl), LOOP | VCPU, "queues of a tap", 1, REQUEST, TUNSETQUEUE },
	{ SCMP_SYS(ioctl), LOOP | WORKER | TOOL | OPENING, "discard on block devices", 1, REQUEST,
	  BLKDISCARD },
	{ SCMP_SYS(ioctl), LOOP | WORKER | TOOL | OPENING, "write zeroes on block devices", 1,
	  REQUEST, BLKZEROOUT },

	{ SCMP_SYS(capset), ENTRY | TOOL | OPENING, "the thread's own capabilities" },
	{ SCMP_SYS(seccomp), ENTRY, "the thread's own filter", 0, WHOLE, SECCOMP_SET_MODE_FILTER },
};

struct sandbox {
	struct sock_fprog programs[SANDBOX_THREADS + 1]; /* the last: the whole process */
	int files; /* rules of Landlock; negative: the kernel has none */
};

/* Where the process is in, for threads of pools; see tools/globals.txt. */
static _Atomic(const struct sandbox *) sandbox_entered;
static _Thread_local bool sandbox_confined;

static int add_rule(scmp_filter_ctx filter, const struct rule *rule)
{
	struct scmp_arg_cmp compare = {
		.arg = rule->argument,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = rule->mask,
		.datum_b = rule->value,
	};

	uint32_t action = rule->error ? SCMP_ACT_ERRNO(rule->error) : SCMP_ACT_ALLOW;

	return seccomp_rule_add_array(filter, action, rule->call, rule->mask ? 1 : 0, &compare);
}

/* Only this process and none else may be signalled: abort() and kicks of vCPUs. */
static int add_own_signals(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
}

static int export_program(scmp_filter_ctx filter, struct sock_fprog *ret_program)
{
	AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
	off_t bytes;
	int rc;

	if (fd < 0)
		return -errno;
	rc = seccomp_export_bpf(filter, fd);
	if (rc)
		return rc;
	bytes = lseek(fd, 0, SEEK_END);
	if (bytes <= 0)
		return -EIO;
	ret_program->filter = malloc((size_t)bytes);
	if (!ret_program->filter)
		return -ENOMEM;
	ret_program->len = (unsigned short)((size_t)bytes / sizeof(struct sock_filter));
	return fd_pread_all(fd, ret_program->filter, (size_t)bytes, 0);
}

static int compile(struct sock_fprog *ret_program, unsigned threads)
{
	scmp_filter_ctx filter =
		seccomp_init(threads & CLIENTS ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_TRAP);
	int rc = filter ? add_own_signals(filter) : -ENOMEM;

	for (unsigned i = 0; i < ARRAY_SIZE(rules) && !rc; i++) {
		if (rules[i].threads & threads)
			rc = add_rule(filter, &rules[i]);
	}
	/* A binary tree: the answer takes as long for the last row as for the first. */
	if (!rc)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!rc)
		rc = export_program(filter, ret_program);
	if (filter)
		seccomp_release(filter);
	return rc;
}

static struct sandbox *sandbox_alloc(bool ports)
{
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));

	/* The C library reads it from a file with the first date, even of UTC. */
	tzset();
	if (sandbox)
		sandbox->files = landlock_new(ports);
	return sandbox;
}

int sandbox_new_tool(struct sandbox **ret_sandbox, enum sandbox_thread later, struct err *err)
{
	struct sandbox *sandbox = sandbox_alloc(false);
	int rc = sandbox ? compile(&sandbox->programs[later], 1u << later) : -ENOMEM;

	if (!rc)
		rc = compile(&sandbox->programs[SANDBOX_TOOL_OPENING],
			     OPENING | 1u << later | ENTRY);
	if (rc) {
		sandbox_free(sandbox);
		return err_errno(err, rc, "cannot prepare the sandbox");
	}
	*ret_sandbox = sandbox;
	return 0;
}

int sandbox_new(struct sandbox **ret_sandbox, struct err *err)
{
	struct sandbox *sandbox = sandbox_alloc(false);
	int rc = sandbox ? 0 : -ENOMEM;

	for (unsigned i = 0; i < SANDBOX_TOOL && !rc; i++)
		rc = compile(&sandbox->programs[i], 1u << i);
	if (!rc)
		rc = compile(&sandbox->programs[SANDBOX_THREADS], VMM | ENTRY);
	if (rc) {
		sandbox_free(sandbox);
		return err_errno(err, rc, "cannot prepare the sandbox");
	}
	*ret_sandbox = sandbox;
	return 0;
}

int sandbox_new_client(struct sandbox **ret_sandbox, enum sandbox_thread kind, struct err *err)
{
	struct sandbox *sandbox = sandbox_alloc(true);
	int rc = sandbox ? compile(&sandbox->programs[SANDBOX_THREADS], 1u << kind) : -ENOMEM;

	if (rc) {
		sandbox_free(sandbox);
		return err_errno(err, rc, "cannot prepare the sandbox");
	}
	*ret_sandbox = sandbox;
	return 0;
}

int sandbox_allow_port(struct sandbox *sandbox, uint16_t port, struct err *err)
{
	int rc = sandbox->files < 0 ? 0 : landlock_allow_port(sandbox->files, port);

	return rc ? err_errno(err, rc, "cannot let port %u into the sandbox", port) : 0;
}

void sandbox_free(struct sandbox *sandbox)
{
	if (!sandbox)
		return;
	atomic_store(&sandbox_entered, NULL);
	for (unsigned i = 0; i <= SANDBOX_THREADS; i++)
		free(sandbox->programs[i].filter);
	if (sandbox->files >= 0)
		close(sandbox->files);
	free(sandbox);
}

int sandbox_allow(struct sandbox *sandbox, const char *path, unsigned access, struct err *err)
{
	int rc = sandbox->files < 0 ? 0 : landlock_allow(sandbox->files, path, access);

	return rc && rc != -ENOENT ? err_errno(err, rc, "cannot let '%s' into the sandbox", path)
				   : 0;
}

static int recompile(struct sock_fprog *program, unsigned threads)
{
	free(take_ptr(&program->filter));
	return compile(program, threads);
}

int sandbox_allow_opening(struct sandbox *sandbox, struct err *err)
{
	/* A thread that it starts inherits its filter, and then enters that of a worker. */
	unsigned loop = LOOP | WORKER | TOOL | OPENING | JOBS | ENTRY;
	int rc = recompile(&sandbox->programs[SANDBOX_LOOP], loop);

	if (!rc)
		rc = recompile(&sandbox->programs[SANDBOX_THREADS], VMM | loop);
	return rc ? err_errno(err, rc, "cannot prepare the sandbox") : 0;
}

int sandbox_drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

static int install(const struct sock_fprog *program, unsigned flags)
{
	long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);

	/* With TSYNC a positive answer is the thread that could not follow. */
	return rc < 0 ? -errno : rc ? -EBUSY : 0;
}

/* Nothing of the process leaves it in a dump, and nothing it starts has more rights. */
static int keep_inside(void)
{
	struct rlimit no_core = { 0, 0 };

	return setrlimit(RLIMIT_CORE, &no_core) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno
											  : 0;
}

int sandbox_drop_privileges(struct err *err)
{
	int rc = keep_inside();

	if (!rc)
		rc = sandbox_drop_capabilities();
	return rc ? err_errno(err, rc, "cannot drop privileges") : 0;
}

int sandbox_enter_tool(const struct sandbox *sandbox, struct err *err)
{
	int rc = keep_inside();

	if (!rc && sandbox->files >= 0)
		rc = landlock_enter(sandbox->files);
	if (!rc)
		rc = install(&sandbox->programs[SANDBOX_TOOL_OPENING], SECCOMP_FILTER_FLAG_TSYNC);
	return rc ? err_errno(err, rc, "cannot enter the sandbox") : 0;
}

int sandbox_enter(const struct sandbox *sandbox, struct err *err)
{
	int rc = sandbox_drop_privileges(err);

	if (rc)
		return rc;
	if (sandbox->files >= 0)
		rc = landlock_enter(sandbox->files);
	if (!rc)
		rc = install(&sandbox->programs[SANDBOX_THREADS], SECCOMP_FILTER_FLAG_TSYNC);
	if (rc)
		return err_errno(err, rc, "cannot enter the sandbox");
	atomic_store(&sandbox_entered, sandbox);
	return 0;
}

int sandbox_enter_thread(const struct sandbox *sandbox, enum sandbox_thread thread)
{
	int rc = sandbox_drop_capabilities();

	return rc ? rc : install(&sandbox->programs[thread], 0);
}

void sandbox_confine_worker(void)
{
	const struct sandbox *sandbox = atomic_load(&sandbox_entered);
	int rc;

	if (!sandbox || sandbox_confined)
		return;
	sandbox_confined = true;
	rc = sandbox_enter_thread(sandbox, SANDBOX_WORKER);
	if (rc)
		log_error("a worker thread keeps the rights of the process: %s",
			  strerrordesc_np(-rc));
}

/* A table, because the one who asks is a signal handler, and libseccomp allocates. */
static const char *syscall_name(unsigned arch, int number)
{
	static const char *const names[] = {
#include "host/syscall_names.h"
	};

	if (arch != AUDIT_ARCH_X86_64 || number < 0 || number >= (int)ARRAY_SIZE(names))
		return NULL;
	return names[number];
}

void sandbox_describe(const siginfo_t *info, const void *context, char *buffer, unsigned size)
{
	const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
	const char *name = syscall_name(info->si_arch, info->si_syscall);

	snprintf(buffer, size, "forbidden system call '%s' (%d: %#llx, %#llx, %#llx)",
		 name ? name : "?", info->si_syscall, registers[REG_RDI], registers[REG_RSI],
		 registers[REG_RDX]);
}

static int compare_fds(const void *one, const void *other)
{
	int a = *(const int *)one, b = *(const int *)other;

	return (a > b) - (a < b);
}

void sandbox_close_inherited(int *keep, unsigned count)
{
	unsigned first = 3;

	qsort(keep, count, sizeof(*keep), compare_fds);
	for (unsigned i = 0; i < count; i++) {
		if (keep[i] < (int)first)
			continue;
		if (keep[i] > (int)first)
			close_range(first, (unsigned)keep[i] - 1, 0);
		first = (unsigned)keep[i] + 1;
	}
	close_range(first, ~0u, 0);
}
