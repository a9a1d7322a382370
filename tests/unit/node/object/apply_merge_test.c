/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "node/object/apply_merge.h"

static void merge_document_goes_over_what_is_stored(void **state)
{
	static const char *const rows[][3] = {
		{ "{'a': 1, 'b': 2}", "{'b': 3}", "{'a': 1, 'b': 3}" },
		{ "{'a': 1, 'b': 2}", "{'b': null}", "{'a': 1}" },
		{ "{'a': {'b': 1, 'c': 2}}", "{'a': {'c': 3}}", "{'a': {'b': 1, 'c': 3}}" },
		{ "{}", "{'a': {'b': []}}", "{'a': {'b': []}}" },
		{ "{'a': [1, 2, 3]}", "{'a': [4]}", "{'a': [4]}" },
		{ "{'n': [{'net': 'x', 'mac': 'm1'}, {'net': 'y', 'mac': 'm2'}]}",
		  "{'n': [{'net': 'z'}]}", "{'n': [{'net': 'z', 'mac': 'm1'}]}" },
		{ "{'n': [{'net': 'x', 'mac': 'm1'}]}", "{'n': [{'net': 'x'}, {'net': 'y'}]}",
		  "{'n': [{'net': 'x', 'mac': 'm1'}, {'net': 'y'}]}" },
		{ "{'a': 'text'}", "{'a': {'b': 1}}", "{'a': {'b': 1}}" },
		{ "{'a': {'b': 1}}", "{'a': 'text'}", "{'a': 'text'}" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *values[3], *merged;

		for (unsigned k = 0; k < 3; k++) {
			char text[256];
			size_t at = 0;

			for (; rows[i][k][at]; at++)
				text[at] = rows[i][k][at] == '\'' ? '"' : rows[i][k][at];
			values[k] = json_loadb(text, at, 0, NULL);
			assert_non_null(values[k]);
		}
		merged = apply_merge(values[0], values[1]);
		assert_true(json_equal(merged, values[2]));
		json_decref(merged);
		for (unsigned k = 0; k < 3; k++)
			json_decref(values[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merge_document_goes_over_what_is_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
