/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec/jsonrpc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Parsers of nested text recurse, so its depth is bounded before. Brackets within strings do not
 * count. */
static bool depth_ok(const char *text, size_t length)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < length; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '[' || text[i] == '{') &&
			 ++depth > JSONRPC_DEPTH_MAX)
			return false;
		else if (!in_string && (text[i] == ']' || text[i] == '}'))
			depth--;
	}
	return true;
}

json_t *jsonrpc_load(const char *text, size_t length, json_t **ret_reply)
{
	json_error_t error;
	json_t *message;
	char reason[JSON_ERROR_TEXT_LENGTH + 32];

	if (!depth_ok(text, length)) {
		*ret_reply = jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, "nested too deeply");
		return NULL;
	}
	message = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!message) {
		snprintf(reason, sizeof(reason), "%s at character %d", error.text, error.position);
		*ret_reply = jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, reason);
		/* The reason quotes the text, possibly half a character of it, which is no string. */
		if (!*ret_reply)
			*ret_reply = jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, "not JSON");
		return NULL;
	}
	if (json_is_object(message) || json_array_size(message))
		return message;
	json_decref(message);
	*ret_reply = jsonrpc_error(NULL, JSONRPC_INVALID_REQUEST,
				   "must be an object or a batch of objects");
	return NULL;
}

int jsonrpc_parse(json_t *request, struct jsonrpc_call *ret_call, json_t **ret_reply)
{
	const char *version = json_string_value(json_object_get(request, "jsonrpc"));
	json_t *id = json_object_get(request, "id");
	json_t *params = json_object_get(request, "params");
	const char *method = json_string_value(json_object_get(request, "method"));
	const char *wrong = NULL;

	if (!json_is_object(request)) {
		wrong = "must be an object";
	} else if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id)) {
		wrong = "'id' must be a string, a number or null";
		id = NULL;
	} else if (!version || strcmp(version, "2.0")) {
		wrong = "'jsonrpc' must be \"2.0\"";
	} else if (!method) {
		wrong = "'method' must be a string";
	} else if (params && !json_is_object(params) && !json_is_array(params)) {
		wrong = "'params' must be an object";
	}
	if (wrong) {
		*ret_reply = jsonrpc_error(id, JSONRPC_INVALID_REQUEST, wrong);
		return -EINVAL;
	}
	*ret_call = (struct jsonrpc_call){ .method = method, .params = params, .id = id };
	return 0;
}

json_t *jsonrpc_result(json_t *id, json_t *result)
{
	return json_pack("{s:s, s:O?, s:o}", "jsonrpc", "2.0", "id", id, "result", result);
}

json_t *jsonrpc_error(json_t *id, enum jsonrpc_code code, const char *message)
{
	return json_pack("{s:s, s:O?, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code",
			 code, "message", message);
}

json_t *jsonrpc_notification(const char *method, json_t *params)
{
	return json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
}
