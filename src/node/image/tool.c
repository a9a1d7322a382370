/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tool prints may come from a process that an image has taken over: it is bounded, and read as
 * JSON from anywhere would be.
 */
#include "node/image/tool.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"

#define WORDS_MAX  32u
#define RESULT_MAX (256 * KIB)
#define PROGRESS   "{\"done\": "

struct hearing {
	struct operation *operation;
	const char *phase;
	struct str result;
};

static uint64_t number_of(const json_t *object, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(object, name));

	return value > 0 ? (uint64_t)value : 0;
}

static void hear(void *ctx, const char *text)
{
	struct hearing *hearing = ctx;
	json_t *progress;

	if (strncmp(text, PROGRESS, strlen(PROGRESS)) != 0) {
		if (hearing->result.length < RESULT_MAX) {
			str_add(&hearing->result, text);
			str_add(&hearing->result, "\n");
		}
		return;
	}
	progress = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	operation_progress(hearing->operation, hearing->phase, number_of(progress, "done"),
			   number_of(progress, "total"));
	json_decref(progress);
}

int image_tool_judge(struct problem *problem, int rc)
{
	static const char own[] = "cella: ";
	static const char *const full[] = { "No space left on device", "Disk quota exceeded",
					    "File too large" };

	if (!problem || !rc || rc == -ECANCELED)
		return rc;
	if (!strncmp(problem->err.text, own, strlen(own)))
		memmove(problem->err.text, problem->err.text + strlen(own),
			strlen(problem->err.text + strlen(own)) + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(full); i++) {
		if (!strstr(problem->err.text, full[i]))
			continue;
		problem->code = API_CODE_NO_SPACE;
		problem->err.code = rc = -ENOSPC;
		problem_hint(problem, "make space in the pool and try again");
	}
	return rc;
}

int image_tool(struct operation *operation, const char *phase, const char *const *words,
	       json_t **ret_result, struct problem *problem)
{
	const char *argv[WORDS_MAX + 3] = { "cella-img", words[0], "--json" };
	struct hearing hearing = { .operation = operation, .phase = phase };
	AUTO_FREE char *text = NULL;
	json_t *result;
	int rc;

	for (unsigned i = 1; words[i] && i < WORDS_MAX; i++)
		argv[i + 2] = words[i];
	operation_progress(operation, phase, 0, 0);
	rc = operation_spawn(operation, argv, hear, &hearing, problem);
	text = str_take(&hearing.result);
	if (rc)
		return image_tool_judge(problem, rc);
	result = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (!json_is_object(result)) {
		json_decref(result);
		return problem_set(problem, API_CODE_INTERNAL,
				   "'cella-img %s' said something else than its result", words[0]);
	}
	if (ret_result)
		*ret_result = result;
	else
		json_decref(result);
	return 0;
}
