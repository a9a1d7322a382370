/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/vm/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/fd.h"

#define FDS_MAX     160
#define FIRST_FD    3
#define FAR_FD      200 /* behind all that the process gets */
#define STAT_MAX    1024
#define START_FIELD 22 /* of /proc/PID/stat */

static const char pid_name[] = "pid";

int vm_boot_id(char ret_id[BOOT_ID_SIZE])
{
	AUTO_FREE void *text = NULL;
	size_t count;
	int rc = fd_read_file("/proc/sys/kernel/random/boot_id", 256, &text, &count, NULL);

	if (rc)
		return rc;
	if (count < BOOT_ID_SIZE - 1)
		return -EIO;
	memcpy(ret_id, text, BOOT_ID_SIZE - 1);
	ret_id[BOOT_ID_SIZE - 1] = '\0';
	return 0;
}

/* The start time in the text of a stat file: where it begins and how long it is. NULL: there is none.
 * The name in parentheses may have anything in it. */
static const char *find_start(const char *stat, size_t *ret_length)
{
	const char *at = strrchr(stat, ')');

	for (unsigned field = 2; at && field < START_FIELD; field++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return NULL;
	*ret_length = strspn(at, "0123456789");
	return at;
}

static int read_stat(const char *path, char text[STAT_MAX])
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, STAT_MAX - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

/* ---- in the child: only what is allowed after a fork of a process with threads ---- */

/* Only of a process whose number is in the file is more started. */
static void write_pid(int fd, const char *boot)
{
	char stat[STAT_MAX], text[128];
	size_t length, digits, used = 0;
	const char *start;

	if (read_stat("/proc/self/stat", stat))
		_exit(126);
	start = find_start(stat, &length);
	digits = strspn(stat, "0123456789");
	if (!start || digits + length + BOOT_ID_SIZE + 3 > sizeof(text))
		_exit(126);
	memcpy(text, stat, digits);
	used = digits;
	text[used++] = ' ';
	memcpy(text + used, start, length);
	used += length;
	text[used++] = ' ';
	memcpy(text + used, boot, BOOT_ID_SIZE - 1);
	used += BOOT_ID_SIZE - 1;
	text[used++] = '\n';
	if (write(fd, text, used) != (ssize_t)used)
		_exit(126);
}

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(126);
}

/* The last words of one that does not become a VM process. */
__attribute__((noreturn)) static void give_up(int log_fd, const char *what, const char *name,
					      int status)
{
	int error = errno;

	say(log_fd, "cella: cannot ");
	say(log_fd, what);
	say(log_fd, name);
	say(log_fd, ": ");
	say(log_fd, strerrordesc_np(error));
	say(log_fd, "\n");
	_exit(status);
}

/* Descriptors may lie where others shall be, so all go far away first. */
static void place_fds(const struct vm_spawn *spawn)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int far[FDS_MAX];

	for (unsigned i = 0; i < spawn->fd_count; i++) {
		far[i] = fcntl(spawn->fds[i], F_DUPFD_CLOEXEC, FAR_FD);
		if (far[i] < 0)
			_exit(126);
	}
	if (dup2(spawn->log_fd, STDOUT_FILENO) < 0 || dup2(spawn->log_fd, STDERR_FILENO) < 0 ||
	    dup2(null, STDIN_FILENO) < 0)
		_exit(126);
	for (unsigned i = 0; i < spawn->fd_count; i++) {
		if (dup2(far[i], FIRST_FD + (int)i) < 0)
			_exit(126);
	}
	close_range(FIRST_FD + spawn->fd_count, ~0u, 0);
}

static void become(const struct vm_spawn *spawn, int pid_fd, const char *boot, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	/* Until the number is written, who would find this process? */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	setsid();
	for (unsigned i = 0; i < spawn->cgroup_count; i++) {
		if (write(spawn->cgroup_fds[i], "0", 1) != 1)
			give_up(spawn->log_fd, "enter the control group", "", 126);
	}
	if (fchdir(spawn->folder_fd))
		give_up(spawn->log_fd, "enter its folder", "", 126);
	write_pid(pid_fd, boot);
	prctl(PR_SET_PDEATHSIG, 0);
	place_fds(spawn);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(spawn->program, (char *const *)(uintptr_t)spawn->argv);
	give_up(STDERR_FILENO, "run ", spawn->program, 127);
}

/* ---- in the daemon ---- */

/* Waits until the child's number is in the file, or the child is gone. */
static int await_pid(int folder_fd, int pidfd, struct vm_pid *ret_pid)
{
	siginfo_t info = { 0 };

	for (;;) {
		if (!vm_pid_read(folder_fd, ret_pid))
			return 0;
		if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT))
			return -errno;
		if (info.si_pid)
			return vm_pid_read(folder_fd, ret_pid) ? -ECHILD : 0;
		usleep(200);
	}
}

int vm_spawn(const struct vm_spawn *spawn, struct vm_pid *ret_pid, int *ret_pidfd, struct err *err)
{
	AUTO_CLOSE int pid_fd =
		openat(spawn->folder_fd, pid_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	AUTO_CLOSE int pidfd = -1;
	char boot[BOOT_ID_SIZE];
	pid_t parent = getpid(), pid;
	int rc;

	if (pid_fd < 0)
		return err_errno(err, errno, "cannot start the VM process");
	if (spawn->fd_count > FDS_MAX)
		return err_set(err, E2BIG, "a VM process gets %d descriptors at the most", FDS_MAX);
	rc = vm_boot_id(boot);
	if (rc)
		return err_errno(err, rc, "cannot find out when the host was started");
	pid = fork();
	if (pid < 0)
		return err_errno(err, errno, "cannot start the VM process");
	if (!pid)
		become(spawn, pid_fd, boot, parent);
	pidfd = pidfd_open(pid, 0);
	rc = pidfd < 0 ? -errno : await_pid(spawn->folder_fd, pidfd, ret_pid);
	if (rc) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		vm_pid_remove(spawn->folder_fd);
		return err_errno(err, rc, "cannot start the VM process");
	}
	*ret_pidfd = take_fd(&pidfd);
	return 0;
}

int vm_pid_read(int folder_fd, struct vm_pid *ret_pid)
{
	AUTO_CLOSE int fd = openat(folder_fd, pid_name, O_RDONLY | O_CLOEXEC);
	struct vm_pid pid;
	char text[128];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (!n || text[n - 1] != '\n' ||
	    sscanf(text, "%d %23s %36s", &pid.pid, pid.start, pid.boot) != 3 || pid.pid <= 0)
		return -ENOENT;
	*ret_pid = pid;
	return 0;
}

void vm_pid_remove(int folder_fd)
{
	unlinkat(folder_fd, pid_name, 0);
}

int vm_pid_open(const struct vm_pid *pid, int *ret_pidfd)
{
	AUTO_CLOSE int fd = pidfd_open(pid->pid, 0);
	char path[48], stat[STAT_MAX], boot[BOOT_ID_SIZE];
	const char *start;
	size_t length;

	if (fd < 0)
		return -errno;
	/* The descriptor is somebody's. If that is the one meant, it stays so. */
	snprintf(path, sizeof(path), "/proc/%d/stat", pid->pid);
	if (vm_boot_id(boot) || strcmp(boot, pid->boot) || read_stat(path, stat))
		return -ESRCH;
	start = find_start(stat, &length);
	if (!start || strlen(pid->start) != length || memcmp(pid->start, start, length))
		return -ESRCH;
	*ret_pidfd = take_fd(&fd);
	return 0;
}
