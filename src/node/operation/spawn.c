/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs that do an operation's work. The child is a process group of its own and dies with the
 * thread that started it, and so with the daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "host/clock.h"
#include "host/thread.h"
#include "node/operation/priv.h"

#define TICK_MS   100
#define GRACE_NS  (5 * NS_PER_SEC)
#define LINE_SIZE 4096
#define WORDS_MAX 400

/* Programs at once. They wait for the network or the disk, and hold up no other operations. */
#define CHILDREN_MAX 16

struct output {
	int fd; /* -1: at its end */
	size_t used;
	char line[LINE_SIZE];
};

struct child {
	pid_t pid;
	bool told; /* to end */
	uint64_t told_ns;
	struct output out, words;
	char last[WORDS_MAX]; /* line on stderr */
	void (*line)(void *ctx, const char *text);
	void *ctx;
};

/* ---- starting ---- */

/* Between fork and exec: only what is safe there. */
_Noreturn static void become(const char *path, const char *const *argv, int out, int words,
			     pid_t parent)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(words, 2) < 0)
		_exit(127);
	execv(path, (char *const *)(uintptr_t)argv);
	dprintf(2, "cannot run '%s': %s\n", path, strerror(errno));
	_exit(127);
}

static int start(struct child *child, const char *path, const char *const *argv)
{
	int out[2] = { -1, -1 }, words[2] = { -1, -1 };
	pid_t parent = getpid();
	int rc = pipe2(out, O_CLOEXEC) || pipe2(words, O_CLOEXEC) ? -errno : 0;

	if (!rc) {
		child->pid = fork();
		if (!child->pid)
			become(path, argv, out[1], words[1], parent);
		rc = child->pid < 0 ? -errno : 0;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (out[i] >= 0 && (rc || i))
			close(out[i]);
		if (words[i] >= 0 && (rc || i))
			close(words[i]);
	}
	if (rc)
		return rc;
	setpgid(child->pid, child->pid);
	child->out.fd = out[0];
	child->words.fd = words[0];
	return 0;
}

/* ---- what it says ---- */

static void tell_line(struct child *child, struct output *output)
{
	output->line[output->used] = '\0';
	output->used = 0;
	if (output == &child->words) {
		if (*output->line)
			snprintf(child->last, sizeof(child->last), "%s", output->line);
	} else if (child->line) {
		child->line(child->ctx, output->line);
	}
}

static void add_bytes(struct child *child, struct output *output, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		/* Progress on terminals goes over its line by CR. */
		if (bytes[i] == '\n' || bytes[i] == '\r')
			tell_line(child, output);
		else if (output->used < LINE_SIZE - 1)
			output->line[output->used++] = bytes[i];
	}
}

static void read_some(struct child *child, struct output *output)
{
	char bytes[LINE_SIZE];
	ssize_t count = read(output->fd, bytes, sizeof(bytes));

	if (count < 0 && errno == EINTR)
		return;
	if (count > 0) {
		add_bytes(child, output, bytes, (size_t)count);
		return;
	}
	if (output->used)
		tell_line(child, output);
	close(output->fd);
	output->fd = -1;
}

static void end_if_cancelled(struct child *child, const struct operation *operation)
{
	if (!child->told && operation_cancelled(operation)) {
		child->told = true;
		child->told_ns = clock_now_ns();
		kill(-child->pid, SIGTERM);
	} else if (child->told && clock_now_ns() - child->told_ns > GRACE_NS) {
		kill(-child->pid, SIGKILL);
	}
}

/* Until it has ended and nobody writes any more. Returns its status. */
static int follow(struct child *child, const struct operation *operation)
{
	bool ended = false;
	int status = 0;

	while (!ended || child->out.fd >= 0 || child->words.fd >= 0) {
		struct pollfd fds[2] = { { .fd = child->out.fd, .events = POLLIN },
					 { .fd = child->words.fd, .events = POLLIN } };

		if (poll(fds, 2, TICK_MS) > 0) {
			if (fds[0].revents)
				read_some(child, &child->out);
			if (fds[1].revents)
				read_some(child, &child->words);
		}
		if (!ended)
			ended = waitpid(child->pid, &status, WNOHANG) == child->pid;
		if (ended)
			/* What it left behind has no one to work for. */
			kill(-child->pid, SIGKILL);
		else
			end_if_cancelled(child, operation);
	}
	return status;
}

/* ---- how it ended ---- */

/* "cella-img: " is for terminals. */
static const char *plain_words(char *words, const char *name)
{
	size_t length = strlen(name);

	str_make_plain(words);
	if (!strncmp(words, name, length) && !strncmp(words + length, ": ", 2))
		return words + length + 2;
	return words;
}

static int judge(struct child *child, int status, const char *name, struct problem *problem)
{
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (*child->last)
		return problem_set(problem, API_CODE_INTERNAL, "%s",
				   plain_words(child->last, name));
	if (WIFSIGNALED(status))
		return problem_set(problem, API_CODE_INTERNAL, "'%s' was ended by signal %d", name,
				   WTERMSIG(status));
	return problem_set(problem, API_CODE_INTERNAL, "'%s' ended with status %d", name,
			   WEXITSTATUS(status));
}

/* ---- how many ---- */

/* false: cancelled meanwhile. */
static bool get_room(struct run *run)
{
	struct operations *all = run->all;

	LOCK_SCOPE(&all->lock);
	operations_leave_locked(all);
	while (all->children >= CHILDREN_MAX && !run->cancelled && !all->stopping)
		pthread_cond_wait(&all->room, &all->lock);
	if (!run->cancelled && !all->stopping) {
		all->children++;
		return true;
	}
	operations_enter_locked(all);
	return false;
}

static void leave_room(struct run *run)
{
	LOCK_SCOPE(&run->all->lock);
	run->all->children--;
	pthread_cond_broadcast(&run->all->room);
	operations_enter_locked(run->all);
}

int operation_spawn(struct operation *operation, const char *const *argv,
		    void (*line)(void *ctx, const char *text), void *ctx, struct problem *problem)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	struct child *child = calloc(1, sizeof(*child));
	char path[4096];
	int rc;

	if (!child)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	child->line = line;
	child->ctx = ctx;
	snprintf(path, sizeof(path), "%s%s%s",
		 name == argv[0] ? operation->node->config.libexec : "", name == argv[0] ? "/" : "",
		 argv[0]);
	if (!get_room(run_of(operation))) {
		free(child);
		return -ECANCELED;
	}
	rc = start(child, path, argv);
	if (rc) {
		problem_set(problem, API_CODE_INTERNAL, "cannot start '%s': %s", name,
			    strerror(-rc));
	} else {
		int status = follow(child, operation);

		rc = judge(child, status, name, problem);
		if (child->told)
			rc = -ECANCELED;
	}
	leave_room(run_of(operation));
	free(child);
	return rc;
}
