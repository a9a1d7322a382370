/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/control_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "codec/jsonrpc.h"
#include "host/listen.h"
#include "vmm/vmm.h"

static void connection_close(struct connection *connection)
{
	struct control *control = connection->control;

	if (!connection->open)
		return;
	connection->open = false;
	if (connection->console)
		console_detach(connection->console, &connection->viewer);
	handover_close(&connection->handover);
	loop_fd_remove(control->vmm->loop, &connection->source);
	close(connection->source.fd);
	list_remove(&connection->node);
	control->connection_count--;
	list_append(&control->closed, &connection->node);
	loop_post(control->vmm->loop, &control->reaper);
}

static void connection_free(struct connection *connection)
{
	list_remove(&connection->node);
	lines_fini(&connection->lines);
	free(connection->output);
	free(connection);
}

static void reap(struct loop_task *task)
{
	struct control *control = container_of(task, struct control, reaper);
	struct connection *connection, *next;

	list_for_each_safe (connection, next, &control->closed, node)
		connection_free(connection);
}

/* Watches for what the connection can use now; closes it when there is nothing left to do. */
static void connection_watch(struct connection *connection)
{
	bool output = connection->output_start < connection->output_count;
	uint32_t wanted = 0;

	if (!connection->open)
		return;
	if (!connection->ended && !connection->input_count)
		wanted |= EPOLLIN;
	if (output)
		wanted |= EPOLLOUT;
	/* Who only listens to a console may have closed its side. */
	if (connection->ended && !output && !connection->console) {
		connection_close(connection);
		return;
	}
	if (wanted != connection->watched)
		loop_fd_change(connection->control->vmm->loop, &connection->source, wanted);
	connection->watched = wanted;
}

/* Sends what the peer takes without waiting. */
static void connection_flush(struct connection *connection)
{
	while (connection->open && connection->output_start < connection->output_count) {
		ssize_t n =
			send(connection->source.fd, connection->output + connection->output_start,
			     connection->output_count - connection->output_start,
			     MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			connection_close(connection);
			return;
		}
		connection->output_start += (size_t)n;
	}
	if (connection->output_start == connection->output_count)
		connection->output_start = connection->output_count = 0;
}

static void connection_send(struct connection *connection, const void *bytes, size_t count)
{
	size_t unread = connection->output_count - connection->output_start;

	if (!connection->open)
		return;
	if (unread + count > CONTROL_OUTPUT_MAX) {
		log_warn("control socket: a connection does not read and is dropped");
		connection_close(connection);
		return;
	}
	if (connection->output_start) {
		memmove(connection->output, connection->output + connection->output_start, unread);
		connection->output_start = 0;
		connection->output_count = unread;
	}
	if (unread + count > connection->output_capacity) {
		size_t grown = MAX(unread + count, 2 * connection->output_capacity);
		char *moved = realloc(connection->output, grown);

		if (!moved) {
			connection_close(connection);
			return;
		}
		connection->output = moved;
		connection->output_capacity = grown;
	}
	memcpy(connection->output + unread, bytes, count);
	connection->output_count += count;
}

/* Takes `message`; NULL does nothing. */
static void connection_send_message(struct connection *connection, json_t *message)
{
	AUTO_FREE char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

	json_decref(message);
	if (!text)
		return;
	connection_send(connection, text, strlen(text));
	connection_send(connection, "\n", 1);
}

/* Attached connections. */

static void give_input(struct connection *connection)
{
	size_t taken = console_input(connection->console, connection->input + connection->input_at,
				     connection->input_count);

	connection->input_at += taken;
	connection->input_count -= taken;
}

static void viewer_input_ready(struct console_viewer *viewer)
{
	struct connection *connection = container_of(viewer, struct connection, viewer);

	if (connection->input_count)
		give_input(connection);
	connection_watch(connection);
}

static void viewer_output(struct console_viewer *viewer, const uint8_t *bytes, size_t count)
{
	struct connection *connection = container_of(viewer, struct connection, viewer);

	connection_send(connection, bytes, count);
	connection_flush(connection);
	connection_watch(connection);
}

/* From here on the connection is a byte stream; what was read behind the request is its first
 * input. */
static void start_viewing(struct connection *connection)
{
	const char *rest = lines_rest(&connection->lines, &connection->input_count);

	connection->input_count = MIN(connection->input_count, sizeof(connection->input));
	if (connection->input_count)
		memcpy(connection->input, rest, connection->input_count);
	connection->input_at = 0;
	give_input(connection);
}

static ssize_t read_some(struct connection *connection, void *buffer, size_t size)
{
	ssize_t n = handover_receive(connection->source.fd, buffer, size, MSG_DONTWAIT,
				     &connection->handover);

	if (n > 0)
		return n;
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n < 0)
		connection_close(connection);
	/* Who closed only its sending side still gets its replies. */
	connection->ended = true;
	return 0;
}

static void read_input(struct connection *connection)
{
	ssize_t n = read_some(connection, connection->input, sizeof(connection->input));

	connection->input_at = 0;
	connection->input_count = (size_t)n;
	if (n)
		give_input(connection);
}

static void read_requests(struct connection *connection)
{
	size_t space, length;
	char *room = lines_room(&connection->lines, &space);
	char *line;

	if (!room) {
		connection_close(connection);
		return;
	}
	lines_fill(&connection->lines,
		   (size_t)read_some(connection, room, MIN(space, sizeof(connection->input))));
	while (connection->open && !connection->console &&
	       (line = lines_next(&connection->lines, &length))) {
		if (length > CONTROL_LINE_MAX)
			connection_send_message(
				connection,
				jsonrpc_error(NULL, JSONRPC_INVALID_REQUEST, "line is too long"));
		else if (length)
			connection_send_message(connection,
						control_answer(connection, line, length));
	}
	/* What no request has taken was for none, unless the rest of one is still to come. */
	lines_rest(&connection->lines, &length);
	if (!length)
		handover_close(&connection->handover);
	if (connection->open && connection->console)
		start_viewing(connection);
}

static void connection_ready(struct loop_fd *source, uint32_t events)
{
	struct connection *connection = container_of(source, struct connection, source);

	/* A peer that is gone for good is reported again and again, so nothing may wait for it. */
	if ((connection->ended || connection->input_count) && (events & (EPOLLHUP | EPOLLERR))) {
		connection_close(connection);
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !connection->input_count) {
		if (connection->console)
			read_input(connection);
		else
			read_requests(connection);
	}
	connection_flush(connection);
	connection_watch(connection);
}

static void accept_connection(struct control *control, int fd)
{
	struct connection *connection;

	if (control->connection_count >= CONTROL_CONNECTIONS_MAX) {
		log_warn("control socket: more than %d connections", CONTROL_CONNECTIONS_MAX);
		close(fd);
		return;
	}
	connection = calloc(1, sizeof(*connection));
	if (!connection) {
		close(fd);
		return;
	}
	connection->control = control;
	connection->open = true;
	connection->source = (struct loop_fd){ .fd = fd, .ready = connection_ready };
	connection->watched = EPOLLIN;
	connection->viewer.output = viewer_output;
	connection->viewer.input_ready = viewer_input_ready;
	lines_init(&connection->lines, CONTROL_LINE_MAX);
	list_append(&control->connections, &connection->node);
	control->connection_count++;
	if (loop_fd_add(control->vmm->loop, &connection->source, EPOLLIN))
		connection_close(connection);
}

static void listener_ready(struct loop_fd *source, uint32_t events)
{
	struct control *control = container_of(source, struct control, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		accept_connection(control, fd);
	else if (errno != EAGAIN && errno != ECONNABORTED)
		log_warn("control socket: %s", strerrordesc_np(errno));
}

int control_open(struct control **ret_control, struct vmm *vmm, const char *path, struct err *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int rc;

	if (!control)
		return err_errno(err, ENOMEM, "cannot open control socket '%s'", path);
	control->vmm = vmm;
	control->path = path;
	control->reaper.run = reap;
	list_init(&control->connections);
	list_init(&control->closed);
	control->listener = (struct loop_fd){ .fd = -1, .ready = listener_ready };
	rc = listen_unix(path, "control socket", CONTROL_CONNECTIONS_MAX, &control->listener.fd,
			 err);
	control->bound = !rc;
	if (!rc && loop_fd_add(vmm->loop, &control->listener, EPOLLIN))
		rc = err_errno(err, errno, "cannot watch control socket '%s'", path);
	if (rc) {
		control_close(control);
		return rc;
	}
	*ret_control = control;
	return 0;
}

void control_close(struct control *control)
{
	struct connection *connection, *next;

	if (!control)
		return;
	list_for_each_safe (connection, next, &control->connections, node) {
		connection_flush(connection);
		connection_close(connection);
	}
	reap(&control->reaper);
	loop_task_cancel(control->vmm->loop, &control->reaper);
	loop_fd_remove(control->vmm->loop, &control->listener);
	if (control->listener.fd >= 0)
		close(control->listener.fd);
	if (control->bound)
		unlink(control->path);
	free(control);
}

void control_tell(struct control *control, enum control_event event, json_t *params)
{
	struct connection *connection, *next;
	json_t *message;

	if (!control) {
		json_decref(params);
		return;
	}
	message = jsonrpc_notification(control_events[event].name, params ? params : json_object());
	list_for_each_safe (connection, next, &control->connections, node) {
		if (!connection->subscribed || connection->console)
			continue;
		connection_send_message(connection, json_incref(message));
		connection_flush(connection);
		connection_watch(connection);
	}
	json_decref(message);
}
