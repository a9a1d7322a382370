/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may stand behind `--engine soft,`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "cpu/soft/options_priv.h"

static void options_none_gives_defaults(void **state)
{
	static const char *const texts[] = { NULL, "" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		struct soft_options o;
		struct err err = ERR_INIT;

		assert_int_equal(soft_options_parse(&o, texts[i], &err), 0);
		assert_true(o.jit);
		assert_false(o.verify);
		assert_int_equal(o.cache, SOFT_CACHE_DEFAULT);
		assert_int_equal(o.heat, SOFT_HEAT_DEFAULT);
		assert_int_equal(o.trace, SOFT_TRACE_DEFAULT);
	}
}

static void options_known_are_taken(void **state)
{
	static const struct {
		const char *text;
		struct soft_options want;
	} rows[] = {
		{ "jit=off",
		  { false, false, false, SOFT_CACHE_DEFAULT, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		{ "jit=tlb",
		  { true, false, false, SOFT_CACHE_DEFAULT, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		{ "jit=verify",
		  { true, true, false, SOFT_CACHE_DEFAULT, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		{ "jit=verify,jit=tlb",
		  { true, false, false, SOFT_CACHE_DEFAULT, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		{ "cache=1M",
		  { true, false, false, UINT64_C(1) << 20, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		{ "cache=1G",
		  { true, false, false, UINT64_C(1) << 30, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		{ "cache=2097152",
		  { true, false, false, UINT64_C(2) << 20, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		{ "heat=1", { true, false, false, SOFT_CACHE_DEFAULT, 1, SOFT_TRACE_DEFAULT } },
		{ "heat=65535",
		  { true, false, false, SOFT_CACHE_DEFAULT, UINT16_MAX, SOFT_TRACE_DEFAULT } },
		{ "jit=tlb,cache=8M,heat=7",
		  { true, false, false, UINT64_C(8) << 20, 7, SOFT_TRACE_DEFAULT } },
		{ "trace=0",
		  { .jit = true, .cache = SOFT_CACHE_DEFAULT, .heat = SOFT_HEAT_DEFAULT } },
		{ "trace=65535,jit=tlb",
		  { true, false, false, SOFT_CACHE_DEFAULT, SOFT_HEAT_DEFAULT, UINT16_MAX } },
		{ "perf=on",
		  { true, false, true, SOFT_CACHE_DEFAULT, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		{ "perf=on,perf=off",
		  { true, false, false, SOFT_CACHE_DEFAULT, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
		/* The last one counts. */
		{ "jit=tlb,jit=off",
		  { false, false, false, SOFT_CACHE_DEFAULT, SOFT_HEAT_DEFAULT,
		    SOFT_TRACE_DEFAULT } },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct soft_options o;
		struct err err = ERR_INIT;

		assert_int_equal(soft_options_parse(&o, rows[i].text, &err), 0);
		assert_int_equal(o.jit, rows[i].want.jit);
		assert_int_equal(o.verify, rows[i].want.verify);
		assert_int_equal(o.perf, rows[i].want.perf);
		assert_int_equal(o.cache, rows[i].want.cache);
		assert_int_equal(o.heat, rows[i].want.heat);
		assert_int_equal(o.trace, rows[i].want.trace);
	}
}

static void options_wrong_are_named(void **state)
{
	static const struct {
		const char *text, *named;
	} rows[] = {
		{ "fast=yes", "'fast'" },
		{ "jit", "'jit'" },
		{ "jit=", "''" },
		{ "jit=on", "'on'" },
		{ "jit=offf", "'offf'" },
		{ "cache=", "''" },
		{ "cache=1023K", "'1023K'" },
		{ "cache=1025M", "'1025M'" },
		{ "cache=-1M", "'-1M'" },
		{ "cache=99999999999999999999", "'99999999999999999999'" },
		{ "heat=0", "'0'" },
		{ "heat=65536", "'65536'" },
		{ "heat=x", "'x'" },
		{ "trace=-1", "'-1'" },
		{ "trace=65536", "'65536'" },
		{ "perf=maybe", "'maybe'" },
		{ "heat=1,speed=2", "'speed'" },
		{ "heat=1,,jit=off", "''" },
		/* Longer than any option is. */
		{ "jit=0123456789012345678901234567890123456789012345678901234567890123456789,x",
		  "'01234567890" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct soft_options o;
		struct err err = ERR_INIT;

		assert_int_equal(soft_options_parse(&o, rows[i].text, &err), -EINVAL);
		assert_non_null(strstr(err.text, rows[i].named));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_none_gives_defaults),
		cmocka_unit_test(options_known_are_taken),
		cmocka_unit_test(options_wrong_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
