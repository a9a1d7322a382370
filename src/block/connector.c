/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/connector.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/file/nbd.h"
#include "block/file/nbd_library.h"
#include "host/handover.h"
#include "host/thread.h"

/* Where the helper has its end. */
#define HELPER_FD 3

struct block_connector {
	char *program;
	pthread_mutex_t lock;       /* held for a question and its answer; guards what follows */
	int socket;                 /* -1: the helper does not run */
	bool sealed;                /* and cannot be started any more */
	struct nbd_library library; /* kept loaded: behind a sandbox it could not be loaded */
};

int block_connector_new(struct block_connector **ret_connector, const char *program,
			struct err *err)
{
	struct block_connector *connector = calloc(1, sizeof(*connector));

	if (connector)
		connector->program = strdup(program);
	if (!connector || !connector->program) {
		free(connector);
		return err_errno(err, ENOMEM, "cannot prepare for disks of the network");
	}
	pthread_mutex_init(&connector->lock, NULL);
	connector->socket = -1;
	*ret_connector = connector;
	return 0;
}

void block_connector_stop(struct block_connector *connector)
{
	if (!connector)
		return;
	LOCK_SCOPE(&connector->lock);
	connector->sealed = true;
	if (connector->socket >= 0)
		close(take_fd(&connector->socket));
}

void block_connector_free(struct block_connector *connector)
{
	if (!connector)
		return;
	block_connector_stop(connector);
	nbd_library_close(&connector->library);
	pthread_mutex_destroy(&connector->lock);
	free(connector->program);
	free(connector);
}

/* ---- the helper ---- */

static int spawn(const char *program, int socket)
{
	char *const argv[] = { (char *)"cella-img", (char *)"--connector", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t pid;
	int rc;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, socket, HELPER_FD);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	rc = posix_spawn(&pid, program, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static int start_locked(struct block_connector *connector, struct err *err)
{
	AUTO_CLOSE int theirs = -1, moved = -1;
	int ends[2], rc;

	if (connector->socket >= 0)
		return 0;
	if (connector->sealed) {
		err_set(err, EPERM, "disks of the network were not allowed when this began");
		return err_hint(err, "allow their URIs for jobs at the start");
	}
	if (!connector->library.handle) {
		rc = nbd_library_open(&connector->library, err);
		if (rc)
			return rc;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_errno(err, errno, "cannot start '%s'", connector->program);
	connector->socket = ends[0];
	theirs = ends[1];
	/* What dup2 leaves as it is would be closed. */
	moved = fcntl(theirs, F_DUPFD_CLOEXEC, HELPER_FD + 1);
	rc = moved < 0 ? -errno : spawn(connector->program, moved);
	if (rc) {
		close(take_fd(&connector->socket));
		return err_errno(err, rc, "cannot start '%s'", connector->program);
	}
	return 0;
}

/* ---- questions ---- */

static int send_question(int socket, json_t *question)
{
	AUTO_FREE char *text = json_dumps(question, JSON_COMPACT);
	size_t bytes = text ? strlen(text) : 0;

	if (!text)
		return -ENOMEM;
	if (bytes > BLOCK_CONNECTOR_PACKET)
		return -ENAMETOOLONG;
	return send(socket, text, bytes, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_answer(int socket, struct handover *sockets, struct err *err)
{
	AUTO_FREE char *text = malloc(BLOCK_CONNECTOR_PACKET);
	json_t *answer;
	ssize_t bytes;
	int code;

	if (!text)
		return err_errno(err, ENOMEM, "cannot open disk");
	do
		bytes = handover_receive(socket, text, BLOCK_CONNECTOR_PACKET, 0, sockets);
	while (bytes == -EINTR);
	if (bytes <= 0)
		return err_set(err, EIO, "the process for disks of the network has ended");
	answer = json_loadb(text, (size_t)bytes, 0, NULL);
	code = (int)json_integer_value(json_object_get(answer, "code"));
	if (code) {
		const char *words = json_string_value(json_object_get(answer, "text"));
		const char *hint = json_string_value(json_object_get(answer, "hint"));

		err_set(err, code, "%s", words ? words : "cannot open disk");
		if (hint && *hint)
			err_hint(err, "%s", hint);
	}
	json_decref(answer);
	return code < 0 ? code : -code;
}

/* Takes `question`. What came in `sockets` is the caller's if there is no error. */
static int ask(struct block_connector *connector, json_t *question, struct handover *sockets,
	       struct err *err)
{
	int rc = question ? 0 : err_errno(err, ENOMEM, "cannot open disk");

	LOCK_SCOPE(&connector->lock);
	sockets->count = 0;
	if (!rc)
		rc = start_locked(connector, err);
	if (!rc) {
		rc = send_question(connector->socket, question);
		if (rc)
			err_errno(err, rc, "cannot open disks of the network");
	}
	json_decref(question);
	if (!rc)
		rc = receive_answer(connector->socket, sockets, err);
	if (rc)
		handover_close(sockets);
	return rc;
}

static int ask_simple(struct block_connector *connector, json_t *question, struct err *err)
{
	struct handover sockets;
	int rc = ask(connector, question, &sockets, err);

	if (!rc)
		handover_close(&sockets);
	return rc;
}

int block_connector_allow(struct block_connector *connector, const char *prefix, struct err *err)
{
	return ask_simple(connector, json_pack("{s:s}", "allow", prefix), err);
}

int block_connector_seal(struct block_connector *connector, struct err *err)
{
	bool runs;

	pthread_mutex_lock(&connector->lock);
	connector->sealed = true;
	runs = connector->socket >= 0;
	pthread_mutex_unlock(&connector->lock);
	return runs ? ask_simple(connector, json_pack("{s:b}", "seal", 1), err) : 0;
}

int block_connector_open(const struct block_open_options *options, struct loop *loop,
			 struct block_node **ret_node, struct err *err)
{
	struct handover sockets;
	int rc =
		ask(options->connector,
		    json_pack("{s:s, s:b}", "open", options->path, "read-only", options->read_only),
		    &sockets, err);

	if (rc)
		return rc;
	/* Who answers has talked to a server, and is trusted no more than that. */
	if (!sockets.count || sockets.count > BLOCK_CONNECTOR_SOCKETS) {
		handover_close(&sockets);
		return err_set(err, EIO, "cannot open disk '%s'", options->path);
	}
	return nbd_open_sockets(options, sockets.fds, sockets.count, loop, ret_node, err);
}

bool block_connector_matches(const char *allowed, const char *uri)
{
	size_t length = strlen(allowed);

	if (!strcmp(allowed, uri))
		return true;
	/* Nothing that a server, or what asks it, would take for the folder above. */
	return length && allowed[length - 1] == '/' && !strncmp(allowed, uri, length) &&
	       !strstr(uri + length, "..") && !strcasestr(uri + length, "%2e");
}
