/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella control`: one method of a running machine's control socket, or its console, or its events. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/control.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "codec/lines.h"
#include "host/fd.h"

#define REPLY_MAX   (16u << 20)
#define HELP_COLUMN 19

static void print_help(void)
{
	puts("Usage: cella control SOCKET METHOD [KEY=VALUE]...\n"
	     "Call a method of a machine that runs with --control SOCKET, and print its\n"
	     "result.\n");
	for (unsigned i = 0; i < CONTROL_METHODS; i++) {
		const struct schema_field *field = control_methods[i].params;

		printf("  %-16s ", control_methods[i].name);
		options_print_wrapped(stdout, control_methods[i].help, HELP_COLUMN);
		for (; field && field->name; field++) {
			char text[256];

			snprintf(text, sizeof(text), "%s: %s", field->name, field->help);
			printf("%*s", HELP_COLUMN + 2, "");
			options_print_wrapped(stdout, text, HELP_COLUMN + 2);
		}
	}
	puts("\nAttached to a console, Ctrl-] three times leaves it.");
}

static int connect_to(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ENAMETOOLONG, "socket '%s': path is longer than %zu bytes",
			       path, sizeof(address.sun_path) - 1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		err_errno(err, errno, "cannot connect to '%s'", path);
		return err_hint(err, "is the machine running, with --control '%s'?", path);
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

/* "key=value" of the method's parameters. */
static int add_param(json_t *params, const struct schema_field *rows, const char *word,
		     struct err *err)
{
	static const struct schema_field none[] = { { 0 } };
	const char *equals = strchrnul(word, '=');
	AUTO_FREE char *key = strndup(word, (size_t)(equals - word));
	const struct schema_field *row = key ? schema_find(rows ? rows : none, key) : NULL;
	json_t *value;
	int rc;

	if (!row)
		return schema_unknown(rows ? rows : none, "parameter", key ? key : word, err);
	if (!*equals)
		return err_set(err, EINVAL, "parameter '%s' needs a value: %s=...", key, key);
	rc = schema_parse(row, equals + 1, &value, err);
	if (rc) {
		err_wrap(err, "parameter '%s'", key);
		return rc;
	}
	if (row->list && !json_object_get(params, key))
		json_object_set_new(params, key, json_array());
	if (row->list)
		json_array_append_new(json_object_get(params, key), value);
	else
		json_object_set_new(params, key, value);
	return 0;
}

static int send_call(int fd, int method, int count, char **words, struct err *err)
{
	json_t *params = json_object();
	AUTO_FREE char *text = NULL;
	json_t *request;
	int rc = 0;

	for (int i = 0; i < count && !rc; i++)
		rc = add_param(params, control_methods[method].params, words[i], err);
	if (rc) {
		json_decref(params);
		return rc;
	}
	request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method",
			    control_methods[method].name, "params", params);
	text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	if (!text)
		return err_errno(err, ENOMEM, "cannot call '%s'", control_methods[method].name);
	rc = fd_write_all(fd, text, strlen(text));
	if (!rc)
		rc = fd_write_all(fd, "\n", 1);
	return rc ? err_errno(err, rc, "cannot call '%s'", control_methods[method].name) : 0;
}

/* The next message of the machine, new reference. -ENODATA when it closed the connection. */
static int receive(int fd, struct lines *lines, json_t **ret_message, struct err *err)
{
	size_t length, space;
	char *line, *room;

	while (!(line = lines_next(lines, &length))) {
		ssize_t n;

		room = lines_room(lines, &space);
		if (!room)
			return err_errno(err, ENOMEM, "cannot receive the reply");
		n = read(fd, room, space);
		if (n < 0)
			return err_errno(err, errno, "cannot receive the reply");
		if (!n)
			return err_set(err, ENODATA, "the machine closed the connection");
		lines_fill(lines, (size_t)n);
	}
	*ret_message = length > REPLY_MAX ? NULL : json_loadb(line, length, 0, NULL);
	return *ret_message ? 0 : err_set(err, EPROTO, "the reply is not JSON");
}

static void print_json(const json_t *value)
{
	if (json_is_null(value))
		return;
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
	fflush(stdout);
}

static int receive_result(int fd, struct lines *lines, struct err *err)
{
	const json_t *error;
	json_t *message;
	int rc = receive(fd, lines, &message, err);

	if (rc)
		return rc;
	error = json_object_get(message, "error");
	if (error) {
		const char *text = schema_string(error, "message");

		rc = err_set(err, EREMOTEIO, "%s",
			     text ? text : "the machine refused without a reason");
	} else {
		print_json(json_object_get(message, "result"));
	}
	json_decref(message);
	return rc;
}

/* Events until the machine ends. */
static int print_events(int fd, struct lines *lines, struct err *err)
{
	json_t *message;
	int rc;

	while (!(rc = receive(fd, lines, &message, err))) {
		print_json(message);
		json_decref(message);
	}
	if (rc != -ENODATA)
		return rc;
	*err = ERR_INIT;
	return 0;
}

/* Copies what is there; false at the end of the stream, or when the user leaves. */
static bool copy_some(int from, int to, unsigned *presses, bool *ret_leaves)
{
	char bytes[4096];
	ssize_t n = read(from, bytes, sizeof(bytes));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (presses && terminal_leaves(bytes, (size_t)n, presses)) {
		*ret_leaves = true;
		return false;
	}
	return !fd_write_all(to, bytes, (size_t)n);
}

static void relay(int fd)
{
	struct pollfd ends[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				 { .fd = fd, .events = POLLIN } };
	unsigned presses = 0;
	bool leaves = false;

	while (poll(ends, ARRAY_SIZE(ends), -1) >= 0 || errno == EINTR) {
		if (ends[1].revents && !copy_some(fd, STDOUT_FILENO, NULL, NULL))
			return;
		if (ends[0].revents && !copy_some(STDIN_FILENO, fd, &presses, &leaves)) {
			if (leaves)
				return;
			/* The end of a script: what the console still says is shown. */
			ends[0].fd = -1;
			shutdown(fd, SHUT_WR);
		}
	}
}

static void show_console(int fd, const struct lines *lines)
{
	struct terminal_mode mode;
	const char *rest;
	size_t count;

	/* The terminal has to be given back also when the machine goes away. */
	signal(SIGPIPE, SIG_IGN);
	terminal_enter(&mode);
	rest = lines_rest(lines, &count);
	if (!fd_write_all(STDOUT_FILENO, rest, count))
		relay(fd);
	terminal_leave(&mode);
}

int control_command(int argc, char **argv, struct err *err)
{
	struct lines lines;
	AUTO_CLOSE int fd = -1;
	int method, rc;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		print_help();
		return 0;
	}
	if (argc < 3) {
		err_set(err, EINVAL, "'control' needs a socket and a method");
		err_hint(err, "see 'cella control --help'");
		return EXIT_WRONG;
	}
	method = control_find_method(argv[2], err);
	if (method < 0 || connect_to(argv[1], &fd, err))
		return EXIT_WRONG;
	lines_init(&lines, REPLY_MAX);
	rc = send_call(fd, method, argc - 3, argv + 3, err);
	if (!rc)
		rc = receive_result(fd, &lines, err);
	if (!rc && method == CONTROL_SUBSCRIBE)
		rc = print_events(fd, &lines, err);
	else if (!rc && method == CONTROL_CONSOLE_ATTACH)
		show_console(fd, &lines);
	lines_fini(&lines);
	return rc ? EXIT_WRONG : 0;
}
