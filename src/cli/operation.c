/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for an operation, with a line that tells how far it is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/noun.h"

#define BAR_CELLS 24

static const char *text_at(const json_t *object, const char *first, const char *second)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(object, first), second));

	return text ? text : "";
}

static void add_bar(struct str *line, unsigned percent)
{
	unsigned full = percent * BAR_CELLS / 100;

	str_add(line, " [");
	for (unsigned i = 0; i < BAR_CELLS; i++)
		str_add(line, i < full ? "#" : "-");
	str_printf(line, "] %u %%", percent);
}

/* One line on a terminal, again and again. */
static void show_progress(const json_t *operation)
{
	const json_t *progress = json_object_get(json_object_get(operation, "status"), "progress");
	const char *phase = json_string_value(json_object_get(progress, "phase"));
	const json_t *percent = json_object_get(progress, "percent");
	const json_t *rate = json_object_get(progress, "rate");
	const json_t *resource = json_object_get(json_object_get(operation, "spec"), "resource");
	const char *name = json_string_value(json_object_get(resource, "name"));
	struct str line = { 0 };

	str_printf(&line, "%s %s", text_at(operation, "spec", "action"), name ? name : "");
	if (phase && *phase)
		str_printf(&line, ": %s", phase);
	if (json_is_integer(percent) && json_integer_value(percent) >= 0)
		add_bar(&line, (unsigned)(json_integer_value(percent) > 100
						  ? 100
						  : json_integer_value(percent)));
	if (json_integer_value(rate) > 0) {
		str_add(&line, " ");
		output_value(&line, rate, API_BYTES);
		str_add(&line, "/s");
	}
	if (line.text) {
		str_make_plain(line.text);
		fprintf(stderr, "\r\033[K%.120s", line.text);
	}
	str_fini(&line);
}

static int failed(const json_t *operation, struct err *err)
{
	const json_t *error = json_object_get(json_object_get(operation, "status"), "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));
	const char *state = text_at(operation, "status", "state");

	err_set(err, EREMOTEIO, "%s %s: %s", text_at(operation, "spec", "action"), state,
		message ? message : "no reason is given");
	if (hint && *hint)
		err_hint(err, "%s", hint);
	str_make_plain(err->text);
	str_make_plain(err->hint);
	return EXIT_OPERATION;
}

static bool has_ended(const json_t *operation)
{
	return json_object_get(json_object_get(operation, "status"), "ended") != NULL;
}

int operation_follow(struct client *client, const json_t *operation, json_t **ret_result,
		     struct err *err)
{
	const char *uid = json_string_value(json_object_get(operation, "uid"));
	json_t *now = json_incref((json_t *)operation);
	bool terminal = isatty(STDERR_FILENO);
	int code = EXIT_DONE;
	char path[128];

	snprintf(path, sizeof(path), "/v1/operations/%s?wait=1s", uid ? uid : "");
	while (!code && !has_ended(now)) {
		json_t *later;

		if (terminal)
			show_progress(now);
		code = client_get(client, path, &later, err);
		if (code)
			break;
		json_decref(now);
		now = later;
	}
	if (terminal)
		fputs("\r\033[K", stderr);
	if (!code && strcmp(text_at(now, "status", "state"), "done"))
		code = failed(now, err);
	if (ret_result)
		*ret_result = code ? NULL
				   : json_incref(json_object_get(json_object_get(now, "status"),
								 "result"));
	json_decref(now);
	return code;
}
