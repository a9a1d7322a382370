/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/vm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/clock.h"
#include "node/vm/vmm_link.h"

#define RETRY_FIRST_NS (5 * NS_PER_MS)
#define RETRY_MAX_NS   (200 * NS_PER_MS)
#define END_FILE_MAX   MIB

static void connect_link(struct vm_process *process);

/* ---- the end ---- */

/* The file in memory, with a NUL behind it; caller frees. NULL: there is none. */
static char *read_end_file(int folder_fd, size_t *ret_count)
{
	AUTO_CLOSE int fd = openat(folder_fd, VM_END_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t count = 0;
	struct stat st;
	char *text;

	if (fd < 0 || fstat(fd, &st) || st.st_size > (off_t)END_FILE_MAX)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	while (text && count < (size_t)st.st_size) {
		ssize_t n = read(fd, text + count, (size_t)st.st_size - count);

		if (n <= 0)
			break;
		count += (size_t)n;
	}
	if (text)
		text[count] = '\0';
	*ret_count = count;
	return text;
}

/* The object in the line at `*at`, which is moved behind it; new reference, NULL: there is none. */
static json_t *next_line(const char *text, size_t count, size_t *at)
{
	const char *line = text + *at;
	const char *end = memchr(line, '\n', count - *at);
	json_t *object = end ? json_loadb(line, (size_t)(end - line), 0, NULL) : NULL;

	if (object)
		*at = (size_t)(end + 1 - text);
	return object;
}

uint8_t *vm_end_console(int folder_fd, const char *console, uint64_t *ret_from, size_t *ret_count)
{
	size_t count, at = 0;
	AUTO_FREE char *text = read_end_file(folder_fd, &count);
	uint8_t *found = NULL;
	json_t *object;

	while (text && !found && (object = next_line(text, count, &at))) {
		const char *name = schema_string(object, "console");
		size_t bytes = (size_t)schema_integer(object, "count");

		if (bytes > count - at) {
			json_decref(object);
			break;
		}
		if (name && !strcmp(name, console) && (found = malloc(bytes + 1))) {
			memcpy(found, text + at, bytes);
			*ret_from = schema_integer(object, "from");
			*ret_count = bytes;
		}
		at += bytes;
		json_decref(object);
	}
	return found;
}

/* The last lines of its log, without what a terminal would obey. */
static void read_words(struct vm_process *process)
{
	AUTO_CLOSE int fd = openat(process->folder_fd, VM_LOG_FILE, O_RDONLY | O_CLOEXEC);
	char *words = process->end.words;
	const char *line;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return;
	n = pread(fd, words, VM_WORDS_MAX - 1, MAX(0, st.st_size - (VM_WORDS_MAX - 1)));
	words[MAX(n, 0)] = '\0';
	line = st.st_size > n ? strchr(words, '\n') : NULL;
	if (line)
		memmove(words, line + 1, strlen(line));
	n = (ssize_t)strlen(words);
	while (n > 0 && words[n - 1] == '\n')
		words[--n] = '\0';
	for (char *next, *at = words; at; at = next) {
		next = strchr(at, '\n');
		if (next)
			*next = '\0';
		str_make_plain(at);
		if (next)
			*next++ = '\n';
	}
}

/* What its parent is told; only of a child, and once. */
static void take_wait_status(struct vm_process *process)
{
	struct vm_end *end = &process->end;
	siginfo_t info = { 0 };

	if (process->source.fd < 0 ||
	    waitid(P_PIDFD, (id_t)process->source.fd, &info, WEXITED | WNOHANG) || !info.si_pid)
		return;
	if (info.si_code == CLD_EXITED) {
		end->status = info.si_status;
		snprintf(end->reason, sizeof(end->reason), "exit");
	} else {
		end->signal = info.si_status;
		snprintf(end->reason, sizeof(end->reason), "signal");
	}
}

/* What it wrote itself counts most. */
static void take_end_file(struct vm_process *process)
{
	size_t count, at = 0;
	AUTO_FREE char *text = read_end_file(process->folder_fd, &count);
	json_t *object = text ? next_line(text, count, &at) : NULL;
	const char *reason = schema_string(object, "reason");

	if (reason) {
		snprintf(process->end.reason, sizeof(process->end.reason), "%s", reason);
		process->end.status = (int)json_integer_value(json_object_get(object, "status"));
	}
	json_decref(object);
}

static void let_go(struct vm_process *process)
{
	loop_timer_cancel(process->loop, &process->retry);
	vmm_link_close(process->link);
	process->link = NULL;
	if (process->source.fd >= 0) {
		loop_fd_remove(process->loop, &process->source);
		close(process->source.fd);
	}
	process->source.fd = -1;
}

static void set_ended(struct vm_process *process, const char *reason)
{
	process->phase = VM_ENDED;
	process->end = (struct vm_end){ .status = -1 };
	snprintf(process->end.reason, sizeof(process->end.reason), "%s", reason);
	take_wait_status(process);
	take_end_file(process);
	process->end.asked = !faccessat(process->folder_fd, VM_ASKED_FILE, F_OK, 0);
	read_words(process);
	let_go(process);
}

/* Of one that has left no word. A VM process has an end file from its beginning on: what has none went with the
 * daemon that was about to start it. */
static const char *silent_end(const struct vm_process *process)
{
	return faccessat(process->folder_fd, VM_END_FILE, F_OK, 0) ? "interrupted" : "lost";
}

static void pidfd_ready(struct loop_fd *source, uint32_t events)
{
	struct vm_process *process = container_of(source, struct vm_process, source);

	(void)events;
	set_ended(process, silent_end(process));
	process->ops->changed(process->ctx);
}

/* ---- what it tells ---- */

static void set_state(struct vm_process *process, const char *state)
{
	snprintf(process->state, sizeof(process->state), "%s", state);
	process->phase = VM_LIVES;
	process->ops->changed(process->ctx);
}

static void link_status(void *ctx, const json_t *status)
{
	struct vm_process *process = ctx;
	const char *uuid = schema_string(status, "uuid"), *state = schema_string(status, "state");
	const char *engine = schema_string(status, "engine");

	if (!uuid || strcmp(uuid, process->uuid) || !state) {
		log_error("machine %s: process %d says that it is %s", process->uuid,
			  process->pid.pid, uuid ? uuid : "nobody");
		return;
	}
	process->retry_ns = RETRY_FIRST_NS;
	snprintf(process->engine, sizeof(process->engine), "%s", engine ? engine : "");
	set_state(process, state);
}

static void link_event(void *ctx, enum control_event event, const json_t *params)
{
	struct vm_process *process = ctx;

	process->ops->event(process->ctx, event, params);
	if (event == CONTROL_EVENT_PANICKED || event == CONTROL_EVENT_RESET)
		process->panicked = event == CONTROL_EVENT_PANICKED;
	if (event == CONTROL_EVENT_PAUSED)
		set_state(process, "paused");
	else if (event == CONTROL_EVENT_RESUMED)
		set_state(process, "running");
	else if (event == CONTROL_EVENT_PANICKED || event == CONTROL_EVENT_RESET)
		process->ops->changed(process->ctx);
}

static void retry_later(struct vm_process *process)
{
	loop_timer_arm(process->loop, &process->retry, clock_now_ns() + process->retry_ns);
	process->retry_ns = MIN(2 * process->retry_ns, RETRY_MAX_NS);
}

static void link_closed(void *ctx)
{
	struct vm_process *process = ctx;

	vmm_link_close(process->link);
	process->link = NULL;
	retry_later(process);
}

static const struct vmm_link_ops link_ops = {
	.status = link_status,
	.event = link_event,
	.closed = link_closed,
};

/* The socket comes a while after the process. */
static void connect_link(struct vm_process *process)
{
	if (vmm_link_subscribe(&process->link, process->folder_fd, process->loop, &link_ops,
			       process, NULL))
		retry_later(process);
}

static void retry(struct loop_timer *timer)
{
	connect_link(container_of(timer, struct vm_process, retry));
}

/* ---- its life ---- */

void vm_process_init(struct vm_process *process, const char *uuid, int folder_fd, struct loop *loop,
		     const struct vm_process_ops *ops, void *ctx)
{
	*process = (struct vm_process){
		.loop = loop,
		.ops = ops,
		.ctx = ctx,
		.folder_fd = folder_fd,
		.source = { .fd = -1, .ready = pidfd_ready },
		.retry = { .expired = retry },
	};
	snprintf(process->uuid, sizeof(process->uuid), "%s", uuid);
}

void vm_process_fini(struct vm_process *process)
{
	let_go(process);
}

static uint64_t pid_file_ms(const struct vm_process *process)
{
	struct stat st;

	if (fstatat(process->folder_fd, "pid", &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	return (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / NS_PER_MS;
}

int vm_process_watch(struct vm_process *process, const struct vm_pid *pid, int pidfd,
		     struct err *err)
{
	int rc;

	process->pid = *pid;
	process->source.fd = pidfd;
	process->started_ms = pid_file_ms(process);
	process->phase = VM_BEGINS;
	process->state[0] = '\0';
	process->panicked = false;
	process->retry_ns = RETRY_FIRST_NS;
	rc = loop_fd_add(process->loop, &process->source, EPOLLIN);
	if (rc) {
		close(process->source.fd);
		process->source.fd = -1;
		return err_errno(err, rc, "cannot watch the VM process");
	}
	connect_link(process);
	return 0;
}

int vm_process_find(struct vm_process *process, const char *boot, struct err *err)
{
	struct vm_pid pid;
	int pidfd;

	if (vm_pid_read(process->folder_fd, &pid)) {
		process->phase = VM_ABSENT;
		return 0;
	}
	if (!vm_pid_open(&pid, &pidfd))
		return vm_process_watch(process, &pid, pidfd, err);
	process->pid = pid;
	process->started_ms = pid_file_ms(process);
	set_ended(process, strcmp(pid.boot, boot) ? "host-restart" : silent_end(process));
	return 0;
}

void vm_process_asked(struct vm_process *process)
{
	int fd = openat(process->folder_fd, VM_ASKED_FILE,
			O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		close(fd);
}

void vm_process_kill(struct vm_process *process, int signal)
{
	if (process->source.fd >= 0)
		pidfd_send_signal(process->source.fd, signal, NULL, 0);
}

void vm_process_clear(struct vm_process *process)
{
	unlinkat(process->folder_fd, "control", 0);
	unlinkat(process->folder_fd, VM_END_FILE, 0);
	unlinkat(process->folder_fd, VM_ASKED_FILE, 0);
	vm_pid_remove(process->folder_fd);
	process->phase = VM_ABSENT;
	process->state[0] = '\0';
}
