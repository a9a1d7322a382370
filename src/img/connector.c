/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One process answers questions and knows nothing of servers; it forks one for each disk that is
 * opened, which connects, goes behind its walls, and serves the disk over NBD to who asked
 * (connector_disk.c). The first has one thread, and no library that a disk needs is loaded in it.
 */
#include "img/connector.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/connector.h"
#include "block/format.h"
#include "host/fd.h"
#include "host/handover.h"
#include "host/sandbox.h"
#include "img/connector_disk.h"

#define SOCKET 3

struct connector {
	json_t *allowed; /* URIs, once it is sealed */
	bool sealed;
};

/* What a question gets. */
struct answer {
	struct err err;
	int sockets[BLOCK_CONNECTOR_SOCKETS];
	unsigned count;
};

static void close_all(const int *sockets, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(sockets[i]);
}

static int send_answer(struct answer *answer)
{
	json_t *json = json_pack("{s:i, s:s, s:s}", "code", answer->err.code, "text",
				 answer->err.text, "hint", answer->err.hint);
	AUTO_FREE char *text = json_dumps(json, JSON_COMPACT);
	ssize_t rc = -ENOMEM;

	json_decref(json);
	if (text)
		rc = handover_send(SOCKET, text, strlen(text), MSG_NOSIGNAL, answer->sockets,
				   answer->count);
	return rc < 0 ? (int)rc : 0;
}

/* ---- disks ---- */

static bool is_allowed(const struct connector *connector, const char *uri)
{
	size_t index;
	json_t *allowed;

	json_array_foreach(connector->allowed, index, allowed)
	{
		if (block_connector_matches(json_string_value(allowed), uri))
			return true;
	}
	return !connector->sealed;
}

/* In the new process: never returns. */
_Noreturn static void serve(const char *uri, bool read_only, const int *sockets, unsigned count,
			    int told_fd, pid_t parent)
{
	close(SOCKET);
	connector_disk_watch_parent();
	if (getppid() != parent)
		_exit(1);
	_exit(connector_disk_serve(uri, read_only, sockets, count, told_fd));
}

/* How it went, as the disk's process tells it before it serves. */
static void hear(int told_fd, const char *uri, struct err *err)
{
	if (fd_read_all(told_fd, err, sizeof(*err)))
		err_set(err, EIO, "cannot open disk '%s': its process has ended", uri);
}

static void open_disk(const char *uri, bool read_only, struct answer *answer)
{
	int theirs[BLOCK_CONNECTOR_SOCKETS], told[2];
	pid_t parent = getpid(), child = -1;
	unsigned count = 0;
	int rc = pipe2(told, O_CLOEXEC) ? -errno : 0;

	for (; count < BLOCK_CONNECTOR_SOCKETS && !rc; count += !rc) {
		int pair[2];

		rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)
			     ? -errno
			     : 0;
		if (rc)
			break;
		answer->sockets[count] = pair[0];
		theirs[count] = pair[1];
	}
	if (!rc) {
		child = fork();
		rc = child < 0 ? -errno : 0;
	}
	if (!child) {
		close_all(answer->sockets, count);
		close(told[0]);
		serve(uri, read_only, theirs, count, told[1], parent);
	}
	close_all(theirs, count);
	answer->count = count;
	if (rc) {
		err_errno(&answer->err, rc, "cannot open disk '%s'", uri);
		return;
	}
	close(told[1]);
	hear(told[0], uri, &answer->err);
	close(told[0]);
}

/* ---- questions ---- */

static void answer_question(struct connector *connector, const json_t *question,
			    struct answer *answer)
{
	const char *prefix = json_string_value(json_object_get(question, "allow"));
	const char *uri = json_string_value(json_object_get(question, "open"));

	if (uri && block_protocol_of_path(uri) && is_allowed(connector, uri))
		open_disk(uri, json_is_true(json_object_get(question, "read-only")), answer);
	else if (uri)
		err_set(&answer->err, EPERM, "disk '%s' was not allowed when the machine started",
			uri);
	else if (prefix && !connector->sealed)
		json_array_append_new(connector->allowed, json_string(prefix));
	else if (json_is_true(json_object_get(question, "seal")))
		connector->sealed = true;
	else
		err_set(&answer->err, EINVAL, "nobody understands that");
}

static bool answer_next(struct connector *connector, char *packet)
{
	ssize_t bytes = recv(SOCKET, packet, BLOCK_CONNECTOR_PACKET, 0);
	struct answer answer = { 0 };
	json_t *question;
	int rc;

	if (bytes < 0 && errno == EINTR)
		return true;
	if (bytes <= 0)
		return false;
	question = json_loadb(packet, (size_t)bytes, JSON_REJECT_DUPLICATES, NULL);
	answer_question(connector, question, &answer);
	json_decref(question);
	if (answer.err.code) {
		close_all(answer.sockets, answer.count);
		answer.count = 0;
	}
	rc = send_answer(&answer);
	close_all(answer.sockets, answer.count);
	return !rc;
}

/* Who waits for the end of the starter's output waits for nobody else's; the log goes on. */
static void leave_terminal(void)
{
	AUTO_CLOSE int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
}

int img_connector(void)
{
	struct connector connector = { .allowed = json_array() };
	AUTO_FREE char *packet = malloc(BLOCK_CONNECTOR_PACKET);

	/* Its end is that of the other side, whatever a terminal or a service manager sends to all. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* Those of the disks are not waited for. */
	signal(SIGCHLD, SIG_IGN);
	sandbox_close_inherited(&(int){ SOCKET }, 1);
	leave_terminal();
	fcntl(SOCKET, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	while (packet && connector.allowed && answer_next(&connector, packet))
		;
	json_decref(connector.allowed);
	return 0;
}
