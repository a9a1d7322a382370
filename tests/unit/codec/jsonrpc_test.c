/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec/jsonrpc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const struct {
	const char *text;
	int code; /* of the error; 0: accepted */
} messages[] = {
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"m\", \"id\": 1}", 0 },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"m\", \"id\": \"a\", \"params\": {}}", 0 },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"m\", \"id\": null, \"params\": []}", 0 },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"m\"}", 0 },
	{ "", JSONRPC_PARSE_ERROR },
	{ "{", JSONRPC_PARSE_ERROR },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"m\"} x", JSONRPC_PARSE_ERROR },
	{ "{\"a\": 1, \"a\": 2}", JSONRPC_PARSE_ERROR },
	{ "{\"a\": \"\xff\"}", JSONRPC_PARSE_ERROR },
	{ "{\"a\": \"\\u0000\"}", JSONRPC_PARSE_ERROR },
	{ "7", JSONRPC_INVALID_REQUEST },
	{ "[]", JSONRPC_INVALID_REQUEST },
	{ "{}", JSONRPC_INVALID_REQUEST },
	{ "{\"jsonrpc\": \"1.0\", \"method\": \"m\"}", JSONRPC_INVALID_REQUEST },
	{ "{\"jsonrpc\": \"2.0\", \"method\": 1}", JSONRPC_INVALID_REQUEST },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"m\", \"params\": 1}", JSONRPC_INVALID_REQUEST },
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"m\", \"id\": []}", JSONRPC_INVALID_REQUEST },
};

static int code_of(const json_t *reply)
{
	assert_non_null(reply);
	assert_true(json_object_get(reply, "id") != NULL);
	return (int)json_integer_value(json_object_get(json_object_get(reply, "error"), "code"));
}

static void jsonrpc_any_message_is_taken_or_gets_its_error(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
		json_t *reply = NULL;
		json_t *message = jsonrpc_load(messages[i].text, strlen(messages[i].text), &reply);
		struct jsonrpc_call call;
		int code = 0;

		if (!message || jsonrpc_parse(message, &call, &reply))
			code = code_of(reply);
		if (code != messages[i].code)
			fail_msg("%s: %d", messages[i].text, code);
		json_decref(reply);
		json_decref(message);
	}
}

static void jsonrpc_load_nested_over_the_limit_is_refused_before_parsing(void **state)
{
	char text[2 * (JSONRPC_DEPTH_MAX + 1) + 1] = "";
	json_t *reply = NULL, *message;

	(void)state;
	memset(text, '[', JSONRPC_DEPTH_MAX);
	memset(text + JSONRPC_DEPTH_MAX, ']', JSONRPC_DEPTH_MAX);
	message = jsonrpc_load(text, strlen(text), &reply);
	assert_non_null(message);
	json_decref(message);

	memset(text, '[', JSONRPC_DEPTH_MAX + 1);
	memset(text + JSONRPC_DEPTH_MAX + 1, ']', JSONRPC_DEPTH_MAX + 1);
	assert_null(jsonrpc_load(text, strlen(text), &reply));
	assert_int_equal(code_of(reply), JSONRPC_PARSE_ERROR);
	json_decref(reply);
}

static void jsonrpc_load_brackets_in_strings_do_not_nest(void **state)
{
	static const char text[] = "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[\\\\\"]";
	json_t *reply = NULL;
	json_t *message = jsonrpc_load(text, strlen(text), &reply);

	(void)state;
	assert_non_null(message);
	json_decref(message);
}

static void jsonrpc_replies_carry_the_id(void **state)
{
	json_t *id = json_integer(7);
	json_t *result = jsonrpc_result(id, json_true());
	json_t *error = jsonrpc_error(id, JSONRPC_FAILED, "no");
	json_t *anonymous = jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, "what");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(result, "id")), 7);
	assert_true(json_is_true(json_object_get(result, "result")));
	assert_int_equal(json_integer_value(json_object_get(error, "id")), 7);
	assert_int_equal(code_of(error), JSONRPC_FAILED);
	assert_true(json_is_null(json_object_get(anonymous, "id")));
	json_decref(anonymous);
	json_decref(error);
	json_decref(result);
	json_decref(id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jsonrpc_any_message_is_taken_or_gets_its_error),
		cmocka_unit_test(jsonrpc_load_nested_over_the_limit_is_refused_before_parsing),
		cmocka_unit_test(jsonrpc_load_brackets_in_strings_do_not_nest),
		cmocka_unit_test(jsonrpc_replies_carry_the_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
