/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/vm/vmm_link.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "codec/lines.h"
#include "host/clock.h"
#include "host/fd.h"
#include "host/handover.h"

#define INPUT_MAX 65536 /* typed, and not yet taken by the VM process */

int vmm_connect(int folder_fd, int *ret_fd, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_errno(err, errno, "cannot reach the VM process");
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control", folder_fd);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return err_errno(err, errno, "cannot reach the VM process");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Adds a request as a line. Takes `params`. */
static void add_request(struct str *lines, enum control_method method, json_t *params)
{
	json_t *request = json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", (int)method,
				    "method", control_methods[method].name, "params", params);
	AUTO_FREE char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;

	json_decref(request);
	if (text)
		str_printf(lines, "%s\n", text);
	else
		lines->failed = true;
}

/* ---- calls ---- */

/* Waits until the descriptor is ready; -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd one = { .fd = fd, .events = events };

	for (;;) {
		uint64_t now_ns = clock_now_ns();
		int rc;

		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		rc = poll(&one, 1,
			  (int)MIN((deadline_ns - now_ns) / NS_PER_MS + 1, UINT64_C(60000)));
		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return -errno;
	}
}

/* The descriptors go with the first bytes. */
static int send_text(int fd, const char *text, const int *fds, unsigned fd_count,
		     uint64_t deadline_ns)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = handover_send(fd, text, left, MSG_NOSIGNAL, fds, fd_count);
		int rc;

		if (n == -EAGAIN) {
			rc = wait_for(fd, POLLOUT, deadline_ns);
			if (rc)
				return rc;
		} else if (n < 0 && n != -EINTR) {
			return (int)n;
		} else if (n > 0) {
			fd_count = 0;
		}
		left -= n > 0 ? (size_t)n : 0;
		text += n > 0 ? n : 0;
	}
	return 0;
}

/* What came, into `lines`; 0, -EPIPE at the end. */
static int receive_some(int fd, struct lines *lines)
{
	size_t space;
	char *room = lines_room(lines, &space);
	ssize_t n;

	if (!room)
		return -ENOMEM;
	n = recv(fd, room, space, MSG_DONTWAIT);
	if (n > 0)
		lines_fill(lines, (size_t)n);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n ? 0 : -EPIPE;
}

/* The result out of a reply, new reference. */
static int take_result(const char *line, size_t length, json_t **ret_result, struct err *err)
{
	json_t *reply = length > VMM_REPLY_MAX ? NULL : json_loadb(line, length, 0, NULL);
	const json_t *error = json_object_get(reply, "error");
	json_t *result = json_object_get(reply, "result");
	const char *text = schema_string(error, "message");
	int rc = 0;

	if (error)
		rc = err_set(err, EREMOTEIO, "%s",
			     text ? text : "the VM process refused without a reason");
	else if (!result)
		rc = err_set(err, EPROTO, "the VM process does not answer in JSON-RPC");
	else
		*ret_result = json_incref(result);
	json_decref(reply);
	return rc;
}

/* After the request was sent, or not. */
static int await_result(int fd, int rc, struct lines *lines, uint64_t deadline_ns,
			json_t **ret_result, struct err *err)
{
	size_t length;
	char *line;

	while (!rc && !(line = lines_next(lines, &length))) {
		rc = wait_for(fd, POLLIN, deadline_ns);
		if (!rc)
			rc = receive_some(fd, lines);
	}
	if (rc == -ETIMEDOUT)
		return err_set(err, ETIMEDOUT, "the VM process does not answer");
	if (rc)
		return err_errno(err, rc, "the VM process left the call unanswered");
	return take_result(line, length, ret_result, err);
}

int vmm_call(int folder_fd, enum control_method method, json_t *params, unsigned timeout_ms,
	     json_t **ret_result, struct err *err)
{
	return vmm_call_with(folder_fd, method, params, NULL, 0, timeout_ms, ret_result, err);
}

int vmm_call_with(int folder_fd, enum control_method method, json_t *params, const int *fds,
		  unsigned fd_count, unsigned timeout_ms, json_t **ret_result, struct err *err)
{
	uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
	struct str request = { 0 };
	AUTO_FREE char *text = NULL;
	AUTO_CLOSE int fd = -1;
	json_t *result = NULL;
	struct lines lines;
	int rc;

	add_request(&request, method, params);
	text = str_take(&request);
	if (!text)
		return err_errno(err, ENOMEM, "cannot call the VM process");
	rc = vmm_connect(folder_fd, &fd, err);
	if (rc)
		return rc;
	lines_init(&lines, VMM_REPLY_MAX);
	rc = send_text(fd, text, fds, fd_count, deadline_ns);
	rc = await_result(fd, rc, &lines, deadline_ns, &result, err);
	lines_fini(&lines);
	if (rc)
		return rc;
	if (ret_result)
		*ret_result = result;
	else
		json_decref(result);
	return 0;
}

/* ---- links ---- */

struct vmm_link {
	struct loop *loop;
	const struct vmm_link_ops *ops;
	void *ctx;
	struct loop_fd source;
	bool console;     /* its bytes follow the reply */
	unsigned answers; /* how many replies have to come */
	bool in_callback, closing;
	struct lines lines;
	char *unsent; /* requests, later what was typed: from `unsent_at` to `unsent_count` */
	size_t unsent_at, unsent_count;
};

static void link_free(struct vmm_link *link)
{
	loop_fd_remove(link->loop, &link->source);
	if (link->source.fd >= 0)
		close(link->source.fd);
	lines_fini(&link->lines);
	free(link->unsent);
	free(link);
}

void vmm_link_close(struct vmm_link *link)
{
	if (!link)
		return;
	if (link->in_callback)
		link->closing = true;
	else
		link_free(link);
}

/* Sends what can be sent, and watches for room if there is more. */
static int link_flush(struct vmm_link *link)
{
	while (link->unsent_at < link->unsent_count) {
		ssize_t n = send(link->source.fd, link->unsent + link->unsent_at,
				 link->unsent_count - link->unsent_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		link->unsent_at += n > 0 ? (size_t)n : 0;
	}
	if (link->unsent_at == link->unsent_count)
		link->unsent_at = link->unsent_count = 0;
	if (!link->source.added)
		return 0;
	return loop_fd_change(link->loop, &link->source,
			      EPOLLIN | (link->unsent_count ? EPOLLOUT : 0));
}

static int find_event(const char *name)
{
	for (int i = 0; name && i < CONTROL_EVENTS; i++) {
		if (!strcmp(control_events[i].name, name))
			return i;
	}
	return -1;
}

/* The reply to a request of the link. The one that counts is the last one. */
static int take_reply(struct vmm_link *link, const char *line, size_t length)
{
	json_t *result = NULL;
	int rc = take_result(line, length, &result, NULL);

	if (rc)
		return rc;
	link->answers--;
	if (!link->answers && link->console)
		link->ops->attached(link->ctx, schema_integer(result, "from"));
	else if (!link->answers)
		link->ops->status(link->ctx, result);
	json_decref(result);
	return 0;
}

static int take_line(struct vmm_link *link, const char *line, size_t length)
{
	json_t *message = length > VMM_REPLY_MAX ? NULL : json_loadb(line, length, 0, NULL);
	int event = find_event(schema_string(message, "method"));
	int rc = 0;

	/* Of a later version there may be events that are not known here. */
	if (event >= 0)
		link->ops->event(link->ctx, (enum control_event)event,
				 json_object_get(message, "params"));
	else if (!json_object_get(message, "method"))
		rc = link->answers ? take_reply(link, line, length) : -EPROTO;
	json_decref(message);
	return rc;
}

static bool is_stream(const struct vmm_link *link)
{
	return link->console && !link->answers;
}

/* `ret_count`: how many bytes. */
static int read_output(struct vmm_link *link, size_t *ret_count)
{
	uint8_t bytes[16384];
	ssize_t n = recv(link->source.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	*ret_count = n > 0 ? (size_t)n : 0;
	if (n > 0)
		link->ops->output(link->ctx, bytes, (size_t)n);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n ? 0 : -EPIPE;
}

void vmm_link_drain(struct vmm_link *link)
{
	size_t count = is_stream(link);

	while (count && !read_output(link, &count))
		continue;
}

static int read_lines(struct vmm_link *link)
{
	int rc = receive_some(link->source.fd, &link->lines);
	size_t length;
	char *line;

	while ((!rc || rc == -EPIPE) && !link->closing && !is_stream(link) &&
	       (line = lines_next(&link->lines, &length))) {
		int bad = take_line(link, line, length);

		rc = bad ? bad : rc;
	}
	if (is_stream(link) && !link->closing) {
		const char *rest = lines_rest(&link->lines, &length);

		if (length)
			link->ops->output(link->ctx, (const uint8_t *)rest, length);
	}
	return rc;
}

static void link_ready(struct loop_fd *source, uint32_t events)
{
	struct vmm_link *link = container_of(source, struct vmm_link, source);
	size_t count;
	int rc = 0;

	link->in_callback = true;
	if (events & EPOLLOUT)
		rc = link_flush(link);
	if (!rc && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		rc = is_stream(link) ? read_output(link, &count) : read_lines(link);
	if (rc && !link->closing) {
		loop_fd_remove(link->loop, &link->source);
		link->ops->closed(link->ctx);
	}
	link->in_callback = false;
	if (link->closing)
		link_free(link);
}

/* Sends `requests`, whose text is taken. */
static int link_open(struct vmm_link **ret_link, int folder_fd, struct str *requests,
		     unsigned answers, bool console, struct loop *loop,
		     const struct vmm_link_ops *ops, void *ctx, struct err *err)
{
	struct vmm_link *link = calloc(1, sizeof(*link));
	char *text = str_take(requests);
	int rc;

	if (!link || !text) {
		free(link);
		free(text);
		return err_errno(err, ENOMEM, "cannot reach the VM process");
	}
	*link = (struct vmm_link){
		.loop = loop,
		.ops = ops,
		.ctx = ctx,
		.source = { .fd = -1, .ready = link_ready },
		.console = console,
		.answers = answers,
		.unsent = text,
		.unsent_count = strlen(text),
	};
	lines_init(&link->lines, VMM_REPLY_MAX);
	rc = vmm_connect(folder_fd, &link->source.fd, err);
	if (!rc) {
		rc = loop_fd_add(loop, &link->source, EPOLLIN);
		if (!rc)
			rc = link_flush(link);
		if (rc)
			err_errno(err, rc, "cannot reach the VM process");
	}
	if (rc) {
		link_free(link);
		return rc;
	}
	*ret_link = link;
	return 0;
}

int vmm_link_subscribe(struct vmm_link **ret_link, int folder_fd, struct loop *loop,
		       const struct vmm_link_ops *ops, void *ctx, struct err *err)
{
	struct str requests = { 0 };

	add_request(&requests, CONTROL_SUBSCRIBE, NULL);
	add_request(&requests, CONTROL_STATUS, NULL);
	return link_open(ret_link, folder_fd, &requests, 2, false, loop, ops, ctx, err);
}

int vmm_link_attach(struct vmm_link **ret_link, int folder_fd, const char *console, uint64_t from,
		    struct loop *loop, const struct vmm_link_ops *ops, void *ctx, struct err *err)
{
	struct str requests = { 0 };

	add_request(&requests, CONTROL_CONSOLE_ATTACH,
		    json_pack("{s:s, s:I}", "console", console, "from", (json_int_t)from));
	return link_open(ret_link, folder_fd, &requests, 1, true, loop, ops, ctx, err);
}

size_t vmm_link_write(struct vmm_link *link, const void *bytes, size_t count)
{
	size_t unsent = link->unsent_count - link->unsent_at;
	char *grown;

	if (unsent >= INPUT_MAX)
		return 0;
	count = MIN(count, INPUT_MAX - unsent);
	memmove(link->unsent, link->unsent + link->unsent_at, unsent);
	link->unsent_at = 0;
	link->unsent_count = unsent;
	grown = realloc(link->unsent, unsent + count);
	if (!grown)
		return 0;
	memcpy(grown + unsent, bytes, count);
	link->unsent = grown;
	link->unsent_count += count;
	/* What breaks is told when the link is read. */
	link_flush(link);
	return count;
}
