/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const char *const words[] = { "memory", "kernel", "append",   "cpus",
				     "cpu",    "serial", "no-reboot" };

static const struct {
	const char *typed, *expected;
} cases[] = {
	{ "memroy", "memory" },
	{ "memry", "memory" },
	{ "mem", "memory" },
	{ "kernal", "kernel" },
	{ "cpuz", "cpus" },
	{ "serail", "serial" },
	{ "noreboot", "no-reboot" },
	{ "xyzzy", NULL },
	{ "", NULL },
	{ "m", NULL },
	{ "disk", NULL },
	{ "a-word-that-is-much-longer-than-any-option-could-ever-be-and-then-some", NULL },
};

static void suggestion_for_mistyped_word_is_the_closest_or_none(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct suggestion suggestion = suggestion_for(cases[i].typed);

		for (unsigned j = 0; j < ARRAY_SIZE(words); j++)
			suggestion_offer(&suggestion, words[j]);
		if (!cases[i].expected != !suggestion.best ||
		    (suggestion.best && strcmp(suggestion.best, cases[i].expected)))
			fail_msg("'%s': '%s'", cases[i].typed,
				 suggestion.best ? suggestion.best : "(none)");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(suggestion_for_mistyped_word_is_the_closest_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
