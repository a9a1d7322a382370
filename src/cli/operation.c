/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for an operation, with a line that tells how far it is. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "cli/noun.h"
#include "cli/progress.h"
#include "host/clock.h"

/* Progress is shown anew that often. */
#define LOOK_AGAIN_MS 1000

/* Ctrl-C ends the waiting, not the work. */
static void stop_waiting(int number)
{
	static const char words[] = "\ncella: not waited for any longer; the work goes on: "
				    "'cella operation list' shows it, "
				    "'cella operation delete ID' cancels it\n";

	(void)!write(STDERR_FILENO, words, sizeof(words) - 1);
	raise(number);
}

static const char *text_at(const json_t *object, const char *first, const char *second)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(object, first), second));

	return text ? text : "";
}

/* Of the object that it is on. */
static const char *object_name(const json_t *operation)
{
	return text_at(json_object_get(operation, "spec"), "resource", "name");
}

static void show_progress(const json_t *operation)
{
	const json_t *progress = json_object_get(json_object_get(operation, "status"), "progress");
	const char *phase = json_string_value(json_object_get(progress, "phase"));
	const json_t *percent = json_object_get(progress, "percent");
	json_int_t rate = json_integer_value(json_object_get(progress, "rate"));
	struct str what = { 0 };

	str_printf(&what, "%s %s", text_at(operation, "spec", "action"), object_name(operation));
	if (phase && *phase)
		str_printf(&what, ": %s", phase);
	if (what.text)
		progress_show(what.text,
			      json_is_integer(percent) ? (int)json_integer_value(percent) : -1,
			      rate > 0 ? (uint64_t)rate : 0);
	str_fini(&what);
}

/* It ended otherwise than it was to. */
static int failed(const json_t *operation, struct err *err)
{
	const char *state = text_at(operation, "status", "state");
	char before[128];

	snprintf(before, sizeof(before), "%s '%s' %s", text_at(operation, "spec", "action"),
		 object_name(operation), state);
	if (strcmp(state, "failed"))
		err_set(err, EREMOTEIO, "%s", before);
	else
		client_take_error(json_object_get(json_object_get(operation, "status"), "error"),
				  before, "no reason is given", err);
	return EXIT_OPERATION;
}

static bool has_ended(const json_t *operation)
{
	return json_object_get(json_object_get(operation, "status"), "ended") != NULL;
}

static int timed_out(const json_t *operation, struct err *err)
{
	const char *uid = json_string_value(json_object_get(operation, "uid"));

	err_set(err, ETIMEDOUT, "%s '%s' is not done in time, and goes on",
		text_at(operation, "spec", "action"), object_name(operation));
	err_hint(
		err,
		"'cella operation show %s' tells how far it is, 'cella operation delete %s' cancels it",
		uid ? uid : "", uid ? uid : "");
	return EXIT_TIMED_OUT;
}

/* Asks until it has ended; `now` is replaced by what it is then. */
static int wait_for_end(struct client *client, json_t **now, uint64_t until_ns, struct err *err)
{
	int code = EXIT_DONE;

	while (!code && !has_ended(*now)) {
		const char *uid = json_string_value(json_object_get(*now, "uid"));
		uint64_t ns = clock_now_ns(), ms = LOOK_AGAIN_MS;
		char path[128];
		json_t *later;

		if (until_ns && ns >= until_ns) {
			progress_end();
			return timed_out(*now, err);
		}
		if (until_ns)
			ms = MIN(ms, (until_ns - ns) / NS_PER_MS + 1);
		snprintf(path, sizeof(path), "/v1/operations/%s?wait=%ums", uid ? uid : "",
			 (unsigned)ms);
		show_progress(*now);
		code = client_get(client, path, &later, err);
		if (code)
			break;
		json_decref(*now);
		*now = later;
	}
	progress_end();
	return code;
}

int operation_follow(struct client *client, const json_t *operation, const char *wanted,
		     uint64_t until_ns, json_t **ret_result, struct err *err)
{
	const struct sigaction stop = { .sa_handler = stop_waiting,
					.sa_flags = SA_RESETHAND | SA_NODEFER };
	json_t *now = json_incref((json_t *)operation);
	struct sigaction usual;
	int code;

	sigaction(SIGINT, NULL, &usual);
	if (usual.sa_handler != SIG_IGN)
		sigaction(SIGINT, &stop, NULL);
	code = wait_for_end(client, &now, until_ns, err);
	sigaction(SIGINT, &usual, NULL);
	if (!code && strcmp(text_at(now, "status", "state"), wanted))
		code = failed(now, err);
	if (ret_result)
		*ret_result = code ? NULL
				   : json_incref(json_object_get(json_object_get(now, "status"),
								 "result"));
	json_decref(now);
	return code;
}
