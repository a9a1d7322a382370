/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What opening a tap refuses on any host; frames need rights that a unit test does not have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <errno.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "net/tap.h"

static void tap_bad_name_is_refused(void **state)
{
	static const char *const names[] = { "", "a-name-of-16-byte", "0123456789abcdef" };
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		struct net_backend *net = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(net_tap_open(names[i], 1, loop, &net, &err), -EINVAL);
		assert_non_null(strstr(err.text, names[i]));
		assert_null(net);
	}
	loop_free(loop);
}

/* Without rights, without the module, or because it is no tap: never. */
static void tap_of_another_kind_is_refused_with_hint(void **state)
{
	struct net_backend *net = NULL;
	struct err err = ERR_INIT;
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_true(net_tap_open("lo", 4, loop, &net, &err) < 0);
	assert_non_null(strstr(err.text, "'lo'"));
	assert_true(*err.hint);
	assert_null(net);
	loop_free(loop);
}

static void tap_of_no_tap_descriptor_is_refused_and_left_open(void **state)
{
	struct net_backend *net = NULL;
	struct err err = ERR_INIT;
	struct loop *loop;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(net_tap_open_fds(fds, 2, loop, &net, &err), -EINVAL);
	assert_non_null(strstr(err.text, "is no queue of a tap"));
	assert_null(net);
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(close(fds[1]), 0);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tap_bad_name_is_refused),
		cmocka_unit_test(tap_of_another_kind_is_refused_with_hint),
		cmocka_unit_test(tap_of_no_tap_descriptor_is_refused_and_left_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
