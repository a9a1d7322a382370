/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine says, for people: the end of a log, a log that goes on, the console as a web socket.
 *
 * A viewer has a place in the console's log and sends from there on as fast as its client reads. It is
 * pumped by the loop's thread when the console says more, and by the web's when there is room again;
 * its lock keeps the two apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/thread.h"
#include "node/access/access.h"
#include "node/vm/priv.h"

#define BYTES_PRESET 65536
#define CHUNK        16384

/* ---- viewers ---- */

struct watcher {
	struct vm_viewer viewer; /* first */
	struct vm *vm;           /* used */
	struct stay stay;
	struct web_stream *stream;
	bool socket;
	struct work farewell;
	atomic_uint users; /* who opens it, and the stream */
	pthread_mutex_t lock;
	uint64_t at; /* guarded by lock: what it gets next */
	bool gone;   /* guarded by lock: the stream is closed */
};

static void pump(struct watcher *watcher)
{
	struct vm_log *log = vm_console_log(watcher->vm->console);
	char bytes[CHUNK];
	ssize_t n;

	LOCK_SCOPE(&watcher->lock);
	for (;;) {
		uint64_t next = watcher->at;

		n = vm_log_read(log, &next, bytes, sizeof(bytes));
		/* What is full says when it is not, what is closed says so as well. */
		if (n <= 0 || watcher->gone || !watcher->stream ||
		    web_stream_send(watcher->stream, bytes, (size_t)n, watcher->socket))
			return;
		watcher->at = next;
	}
}

static void more(struct vm_viewer *viewer)
{
	pump(container_of(viewer, struct watcher, viewer));
}

static void received(void *ctx, const char *bytes, size_t count, bool binary)
{
	struct watcher *watcher = ctx;

	(void)binary;
	vm_console_type(watcher->vm->console, bytes, count);
}

static void writable(void *ctx)
{
	pump(ctx);
}

/* Whoever has lost the right sees and types nothing more. */
static void over(struct stay *stay)
{
	struct watcher *watcher = container_of(stay, struct watcher, stay);

	LOCK_SCOPE(&watcher->lock);
	if (!watcher->gone)
		web_stream_close(watcher->stream);
}

static void part(struct work *work)
{
	struct watcher *watcher = container_of(work, struct watcher, farewell);

	vms_put(watcher->vm);
	pthread_mutex_destroy(&watcher->lock);
	free(watcher);
}

/* The last use of a machine's entry is given up on a worker: it waits for the loop. */
static void watcher_put(struct watcher *watcher)
{
	if (atomic_fetch_sub(&watcher->users, 1) == 1)
		workers_submit(watcher->vm->vms->node->workers, &watcher->farewell);
}

static void closed(void *ctx)
{
	struct watcher *watcher = ctx;

	pthread_mutex_lock(&watcher->lock);
	watcher->gone = true;
	pthread_mutex_unlock(&watcher->lock);
	vm_console_remove(watcher->vm->console, &watcher->viewer);
	stay_end(watcher->vm->vms->node, &watcher->stay);
	watcher_put(watcher);
}

static const struct web_stream_ops typing_ops = {
	.received = received,
	.writable = writable,
	.closed = closed,
};

static const struct web_stream_ops reading_ops = {
	.writable = writable,
	.closed = closed,
};

/* How much of a log's end: the last lines, at most so many, that are within the last bytes. */
struct extent {
	uint64_t bytes, lines;
};

static int extent_wanted(const struct call *call, struct extent *ret_extent,
			 struct problem *problem)
{
	struct extent extent = { .bytes = BYTES_PRESET, .lines = UINT64_MAX };
	char text[32];

	if (web_query(call->request, "lines", text, sizeof(text))) {
		if (parse_u64(text, 1, VM_CONSOLE_LOG_BYTES, &extent.lines))
			return problem_set(problem, API_CODE_INVALID, "'lines' is a number");
		extent.bytes = VM_CONSOLE_LOG_BYTES;
	}
	if (web_query(call->request, "bytes", text, sizeof(text)) &&
	    parse_size(text, &extent.bytes))
		return problem_set(problem, API_CODE_INVALID, "'bytes' is a size, such as 64K");
	extent.bytes = MIN(extent.bytes, (uint64_t)VM_CONSOLE_LOG_BYTES);
	*ret_extent = extent;
	return 0;
}

/* Keeps the last lines of the text, and returns how many bytes these are; one that has no end yet is a
 * line. */
static size_t keep_lines(char *text, size_t count, uint64_t lines)
{
	size_t at = count;

	if (at && text[at - 1] == '\n')
		at--;
	while (at && (text[at - 1] != '\n' || --lines))
		at--;
	memmove(text, text + at, count - at);
	return count - at;
}

/* The end of a console's log, which begins at its byte `ret_at`; caller frees. NULL: no memory. */
static char *console_tail(struct vm_log *log, const struct extent *extent, uint64_t *ret_at,
			  size_t *ret_count)
{
	uint64_t first, next, at, bytes;
	size_t count = 0;
	char *text;
	ssize_t n;

	vm_log_range(log, &first, &next);
	at = next - first > extent->bytes ? next - extent->bytes : first;
	*ret_at = at;
	bytes = next - at;
	text = malloc(bytes + 1);
	while (text && count < bytes &&
	       (n = vm_log_read(log, &at, text + count, bytes - count)) > 0)
		count += (size_t)n;
	if (!text)
		return NULL;
	*ret_count = keep_lines(text, count, extent->lines);
	*ret_at += count - *ret_count;
	return text;
}

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

/* Where a stream that begins with so much of the end begins. */
static int start_of(struct vm *vm, const struct extent *extent, uint64_t *ret_at,
		    struct problem *problem)
{
	size_t count;
	AUTO_FREE char *text = console_tail(vm_console_log(vm->console), extent, ret_at, &count);

	return text ? 0 : no_memory(problem);
}

static int watcher_new(struct call *call, bool socket, struct watcher **ret_watcher,
		       struct problem *problem)
{
	struct watcher *watcher;
	struct extent extent;
	struct vm *vm;
	uint64_t at;
	int rc = extent_wanted(call, &extent, problem);

	if (rc)
		return rc;
	rc = vms_get(call->node->vms, call->object->uid, &vm, &problem->err);
	if (rc)
		return problem_from_err(problem, rc);
	rc = start_of(vm, &extent, &at, problem);
	watcher = rc ? NULL : calloc(1, sizeof(*watcher));
	if (!watcher) {
		vms_put(vm);
		return rc ? rc : no_memory(problem);
	}
	pthread_mutex_init(&watcher->lock, NULL);
	list_init(&watcher->viewer.node);
	watcher->vm = vm;
	watcher->at = at;
	watcher->viewer.more = more;
	watcher->farewell.run = part;
	watcher->stay.over = over;
	watcher->socket = socket;
	*ret_watcher = watcher;
	return 0;
}

/* The stream may be closed as soon as it is open; then it is no viewer any more. No lock is taken under
 * the viewer's: the console has its own when it calls viewers. */
static void start_viewing(struct call *call, struct watcher *watcher, struct web_stream *stream)
{
	enum api_verb verb = watcher->socket ? API_CONSOLE : API_READ;
	bool gone, stays;

	pthread_mutex_lock(&watcher->lock);
	watcher->stream = stream;
	pthread_mutex_unlock(&watcher->lock);
	vm_console_add(watcher->vm->console, &watcher->viewer);
	stays = !stay_begin(call->node, &watcher->stay, call->who, call->object, verb);
	pthread_mutex_lock(&watcher->lock);
	gone = watcher->gone;
	if (!gone && !stays)
		web_stream_close(stream);
	pthread_mutex_unlock(&watcher->lock);
	if (!gone) {
		pump(watcher);
		return;
	}
	vm_console_remove(watcher->vm->console, &watcher->viewer);
	stay_end(call->node, &watcher->stay);
}

/* A stream that starts with what is asked for of the log's end. */
static int open_stream(struct call *call, enum web_stream_kind kind, const char *type,
		       const struct web_stream_ops *ops, struct problem *problem)
{
	struct watcher *watcher = NULL;
	struct web_stream *stream;
	int rc = watcher_new(call, kind == WEB_STREAM_SOCKET, &watcher, problem);

	if (rc)
		return rc;
	atomic_init(&watcher->users, 2);
	rc = web_stream_open(call->request->exchange, kind, type, ops, watcher, &stream);
	if (rc) {
		atomic_store(&watcher->users, 1);
		problem_set(problem, API_CODE_INVALID, "the console is a web socket");
		problem_hint(problem, "ask for an upgrade of the connection");
	} else {
		call->answered = true;
		start_viewing(call, watcher, stream);
	}
	watcher_put(watcher);
	return rc;
}

int vm_show_console(struct call *call, struct problem *problem)
{
	return open_stream(call, WEB_STREAM_SOCKET, NULL, &typing_ops, problem);
}

/* ---- ends of logs ---- */

static char *console_end(struct call *call, const struct extent *extent, size_t *ret_count,
			 struct problem *problem)
{
	struct vm *vm;
	uint64_t at;
	char *text;
	int rc = vms_get(call->node->vms, call->object->uid, &vm, &problem->err);

	if (rc) {
		problem_from_err(problem, rc);
		return NULL;
	}
	text = console_tail(vm_console_log(vm->console), extent, &at, ret_count);
	vms_put(vm);
	if (!text)
		no_memory(problem);
	return text;
}

static char *process_end(struct call *call, const struct extent *extent, size_t *ret_count,
			 struct problem *problem)
{
	char path[UID_SIZE + 16];
	AUTO_CLOSE int fd = -1;
	struct stat st = { 0 };
	uint64_t bytes;
	char *text;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/" VM_LOG_FILE, call->object->uid);
	fd = openat(call->node->run_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fstat(fd, &st))
		st.st_size = 0;
	bytes = MIN(extent->bytes, (uint64_t)st.st_size);
	text = malloc(bytes + 1);
	if (!text) {
		no_memory(problem);
		return NULL;
	}
	n = bytes ? pread(fd, text, bytes, st.st_size - (off_t)bytes) : 0;
	*ret_count = keep_lines(text, (size_t)MAX(n, 0), extent->lines);
	return text;
}

/* The end of what `source` names; caller frees. */
static char *end_of(struct call *call, const char *source, const struct extent *extent,
		    size_t *ret_count, struct problem *problem)
{
	return source && !strcmp(source, "vmm") ? process_end(call, extent, ret_count, problem)
						: console_end(call, extent, ret_count, problem);
}

int vm_show_log(struct call *call, struct problem *problem)
{
	struct web_response response = { .status = 200, .type = "text/plain; charset=utf-8" };
	char source[16] = "", follow[8] = "";
	struct extent extent;
	bool follows = false;
	int rc;

	web_query(call->request, "source", source, sizeof(source));
	if (*source && strcmp(source, "console") && strcmp(source, "vmm"))
		return problem_set(problem, API_CODE_INVALID, "'source' is console or vmm");
	if (web_query(call->request, "follow", follow, sizeof(follow)) &&
	    parse_bool(follow, &follows))
		return problem_set(problem, API_CODE_INVALID, "'follow' is true or false");
	if (follows && !strcmp(source, "vmm"))
		return problem_set(problem, API_CODE_INVALID, "only the console can be followed");
	if (follows)
		return open_stream(call, WEB_STREAM_CHUNKED, "text/plain; charset=utf-8",
				   &reading_ops, problem);
	rc = extent_wanted(call, &extent, problem);
	if (rc)
		return rc;
	response.body = end_of(call, source, &extent, &response.bytes, problem);
	if (!response.body)
		return -ENOMEM;
	web_answer(call->request->exchange, &response);
	call->answered = true;
	return 0;
}

/* Text for JSON: what is no UTF-8 becomes '?', as do characters cut at the start. */
static void make_utf8(char *text, size_t count)
{
	for (size_t i = 0; i < count;) {
		unsigned char lead = (unsigned char)text[i];
		size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
		json_t *probe = NULL;

		if (lead && lead < 0x80) {
			i++;
			continue;
		}
		if (lead >= 0xc2 && i + length <= count)
			probe = json_stringn(text + i, length);
		if (!probe) {
			text[i++] = '?';
			continue;
		}
		json_decref(probe);
		i += length;
	}
}

int vm_logs(struct call *call, struct problem *problem)
{
	uint64_t lines = schema_integer(call->params, "lines");
	const struct extent extent = {
		.bytes = schema_integer(call->params, "bytes"),
		.lines = lines ? lines : UINT64_MAX,
	};
	size_t count;
	AUTO_FREE char *text =
		end_of(call, schema_string(call->params, "source"), &extent, &count, problem);

	if (!text)
		return -ENOMEM;
	make_utf8(text, count);
	call->result = json_pack("{s:s#}", "text", text, count);
	return call->result ? 0 : no_memory(problem);
}
