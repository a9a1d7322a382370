/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial console of a machine on a server, by a web socket. Spec: RFC 6455.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "cli/noun.h"
#include "cli/terminal.h"
#include "host/fd.h"
#include "web/frame.h"

#define INPUT_MAX (2 * WEB_FRAME_INPUT_MAX)
#define HEAD_MAX  16384
#define NAP_MS    20000
#define TYPED_MAX 4096

struct console {
	struct client *client;
	int fd;
	char *in;
	size_t count;
	unsigned presses; /* of the key that leaves */
	bool eof;         /* of what is typed */
	bool left;        /* by the user */
};

/* Sends all of it. 0, negative errno. */
static int say(struct console *console, const void *bytes, size_t count)
{
	struct http_library *library = &console->client->library;

	while (count) {
		size_t sent = 0;
		CURLcode rc = library->easy_send(console->client->curl, bytes, count, &sent);
		struct pollfd fd = { .fd = console->fd, .events = POLLOUT };

		if (rc == CURLE_AGAIN) {
			if (poll(&fd, 1, NAP_MS) <= 0)
				return -ETIMEDOUT;
			continue;
		}
		if (rc)
			return -EPIPE;
		bytes = (const char *)bytes + sent;
		count -= sent;
	}
	return 0;
}

/* What is there. 0: nothing more now; negative: the end. */
static int hear(struct console *console)
{
	struct http_library *library = &console->client->library;
	size_t got = 0;
	CURLcode rc = library->easy_recv(console->client->curl, console->in + console->count,
					 INPUT_MAX - console->count, &got);

	if (rc == CURLE_AGAIN)
		return 0;
	if (rc || !got)
		return -EPIPE;
	console->count += got;
	return (int)got;
}

static int say_frame(struct console *console, enum web_opcode opcode, const char *payload,
		     size_t count)
{
	uint8_t frame[WEB_FRAME_HEAD_MAX + 4 + TYPED_MAX];
	size_t head = web_frame_head(frame, opcode, count);
	uint8_t mask[4];

	if (getrandom(mask, sizeof(mask), 0) != sizeof(mask))
		return -EIO;
	frame[1] |= 0x80;
	memcpy(frame + head, mask, sizeof(mask));
	for (size_t i = 0; i < count; i++)
		frame[head + 4 + i] = (uint8_t)payload[i] ^ mask[i % 4];
	return say(console, frame, head + 4 + count);
}

/* ---- the beginning ---- */

static int say_request(struct console *console, const char *path)
{
	const char *token = console->client->server.token;
	unsigned char random[16];
	unsigned char key[32];
	struct str text = { 0 };
	int rc;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	EVP_EncodeBlock(key, random, sizeof(random));
	str_printf(&text,
		   "GET %s/console HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"
		   "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
		   path, client_host(console->client), (const char *)key);
	if (token)
		str_printf(&text, "Authorization: Bearer %s\r\n", token);
	str_add(&text, "\r\n");
	rc = text.failed ? -ENOMEM : say(console, text.text, text.length);
	str_fini(&text);
	return rc;
}

/* Waits for bytes. */
static bool wait_for_bytes(struct console *console)
{
	struct pollfd fd = { .fd = console->fd, .events = POLLIN };

	return poll(&fd, 1, NAP_MS) > 0;
}

/* The server's head; what follows it stays. */
static int hear_head(struct console *console, struct err *err)
{
	const char *end;
	unsigned status;
	size_t length;

	while (!(end = memmem(console->in, console->count, "\r\n\r\n", 4))) {
		int rc = console->count < HEAD_MAX ? hear(console) : -EPROTO;

		if (rc < 0 || (!rc && !wait_for_bytes(console))) {
			err_set(err, EPIPE, "the server ended the connection");
			return EXIT_NO_SERVER;
		}
	}
	if (sscanf(console->in, "HTTP/1.1 %u", &status) != 1 || status != 101) {
		err_set(err, EPROTO, "the server gives no console");
		return EXIT_REFUSED;
	}
	length = (size_t)(end - console->in) + 4;
	console->count -= length;
	memmove(console->in, console->in + length, console->count);
	return EXIT_DONE;
}

/* ---- frames of the server ---- */

/* False: the end. */
static bool take_frame(struct console *console, const struct web_frame *frame)
{
	switch (frame->opcode) {
	case WEB_CLOSE:
		say_frame(console, WEB_CLOSE, (const char *)frame->payload,
			  MIN(frame->bytes, (size_t)2));
		return false;
	case WEB_PING:
		return !say_frame(console, WEB_PONG, (const char *)frame->payload,
				  MIN(frame->bytes, (size_t)WEB_CONTROL_MAX));
	case WEB_PONG:
		return true;
	default:
		return !fd_write_all(STDOUT_FILENO, frame->payload, frame->bytes);
	}
}

static bool take_frames(struct console *console)
{
	size_t done = 0;
	bool goes_on = true;

	while (goes_on) {
		struct web_frame frame;
		int length = web_frame_parse(&frame, WEB_SERVER, (uint8_t *)console->in + done,
					     console->count - done);

		if (length <= 0) {
			goes_on = !length;
			break;
		}
		goes_on = take_frame(console, &frame);
		done += (size_t)length;
	}
	console->count -= done;
	memmove(console->in, console->in + done, console->count);
	return goes_on;
}

static bool take_input(struct console *console)
{
	int got;

	do {
		got = hear(console);
		if (!take_frames(console))
			return false;
	} while (got > 0);
	return got == 0;
}

/* What was typed, to the server. False: the user leaves, or the connection ended. */
static bool send_typed(struct console *console)
{
	char bytes[TYPED_MAX];
	ssize_t count = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (count < 0)
		return errno == EINTR;
	console->eof = !count;
	console->left = terminal_leaves(bytes, (size_t)count, &console->presses);
	if (console->left)
		return false;
	return !count || !say_frame(console, WEB_BINARY, bytes, (size_t)count);
}

static void relay(struct console *console)
{
	struct pollfd ends[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				 { .fd = console->fd, .events = POLLIN } };

	/* What came with the head, and what TLS has taken off the socket. */
	if (!take_frames(console) || !take_input(console))
		return;
	while (poll(ends, ARRAY_SIZE(ends), -1) >= 0 || errno == EINTR) {
		if ((ends[1].revents && !take_input(console)) ||
		    (ends[0].revents && !send_typed(console)))
			return;
		if (console->eof)
			ends[0].fd = -1;
	}
}

static int talk(struct console *console, const char *path, struct err *err)
{
	struct terminal_mode mode;
	int code;

	if (say_request(console, path)) {
		err_set(err, EPIPE, "the server ended the connection");
		return EXIT_NO_SERVER;
	}
	code = hear_head(console, err);
	if (code)
		return code;
	signal(SIGPIPE, SIG_IGN);
	terminal_enter(&mode);
	if (mode.changed)
		fputs("cella: connected; Ctrl-] three times leaves\r\n", stderr);
	relay(console);
	terminal_leave(&mode);
	if (mode.changed)
		fputs(console->left ? "cella: left the console\n"
				    : "cella: the server ended the connection\n",
		      stderr);
	return EXIT_DONE;
}

/* One that does not run says nothing, and may be what the console is opened for. */
static void tell_state(const char *name, const json_t *vm)
{
	static const char *const quiet[] = { "stopped", "failed", "crashed" };
	const char *state =
		json_string_value(json_object_get(json_object_get(vm, "status"), "state"));

	for (unsigned i = 0; state && i < ARRAY_SIZE(quiet); i++) {
		if (!strcmp(state, quiet[i]))
			fprintf(stderr,
				"cella: '%s' is %s; what it says when it is started comes here\n",
				name, state);
	}
}

int noun_console(struct noun *noun, struct err *err)
{
	AUTO_FREE char *path = noun_path(noun, noun->ask.words[0], err);
	struct console console = { .client = &noun->client };
	json_t *vm;
	int code;

	if (!path)
		return EXIT_FAILED;
	/* Whether there is such a machine is said in the server's words. */
	code = client_get(&noun->client, path, &vm, err);
	if (code)
		return code;
	tell_state(noun->ask.words[0], vm);
	json_decref(vm);
	console.in = malloc(INPUT_MAX);
	if (!console.in) {
		err_errno(err, ENOMEM, "cannot connect to the console");
		return EXIT_FAILED;
	}
	code = client_connect(&noun->client, &console.fd, err);
	if (!code)
		code = talk(&console, path, err);
	free(console.in);
	return code;
}
