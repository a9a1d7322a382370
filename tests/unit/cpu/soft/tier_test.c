/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a vCPU's time is charged to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "board.h"

/* So much must have been charged before anything is said of it: a dozen samples. */
#define CHARGED_MS 100

static int64_t processor_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What `tier` was charged, and all but the time that was waited. */
static int64_t charged_ms(struct board *b, const char *tier, int64_t *ret_all)
{
	json_t *all = soft_engine_ops.stats(b->engine);
	json_t *tiers =
		json_object_get(json_array_get(json_object_get(all, "vcpus"), 0), "milliseconds");
	int64_t value = json_integer_value(json_object_get(tiers, tier));
	const char *name;
	json_t *one;

	*ret_all = 0;
	json_object_foreach(tiers, name, one) if (strcmp(name, "waiting") != 0) *ret_all +=
		json_integer_value(one);
	json_decref(all);
	return value;
}

static void tier_of_a_busy_guest_has_its_time(void **state)
{
	static const struct {
		const char *options, *tier;
	} rows[] = { { "jit=off", "interpreter" }, { "heat=1", "translated" } };
	static const uint8_t code[] = {
		0xb9, 0x00,       0x09, 0x3d, 0x00, /* mov $4000000, %ecx */
		0xff, 0xc9,                         /* 1: dec %ecx */
		0x75, 0xfc,                         /* jnz 1b */
		0xe6, BOARD_STOP,
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t before, used, value, all;
		struct board *b = NULL;

		assert_int_equal(board_new(&b, 1, rows[i].options), 0);
		before = processor_ms();
		do {
			board_reset(b, BOARD_LONG);
			assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
			value = charged_ms(b, rows[i].tier, &all);
		} while (all < CHARGED_MS);
		used = processor_ms() - before;
		/* Both figures are cut to whole milliseconds. */
		assert_true(all <= used + 1);
		assert_true(2 * all >= used);
		assert_true(2 * value >= all);
		board_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tier_of_a_busy_guest_has_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
