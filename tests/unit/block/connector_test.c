/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may be asked of the helper for disks of the network, and helpers that are none. The real one is
 * tried by tests/system/test_net_disks.py. */
#include "block/connector.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const struct {
	const char *allowed, *uri;
	bool matches;
} pairs[] = {
	{ "nbd://host/disk", "nbd://host/disk", true },
	{ "nbd://host/disk", "nbd://host/disk2", false },
	{ "nbd://host/disk", "nbd://host/disk/below", false },
	{ "nbd://host/", "nbd://host/disk", true },
	{ "nbd://host/", "nbd://host/", true },
	{ "nbd://host/", "nbd://host:1/disk", false },
	{ "nbd://host/", "nbd://hostile/disk", false },
	{ "nbd://host/", "nbds://host/disk", false },
	{ "nbd://host", "nbd://host@hostile/disk", false },
	{ "https://host/images/", "https://host/images/a/b", true },
	{ "https://host/images/", "https://host/images/../secret", false },
	{ "https://host/images/", "https://host/images/%2E%2e/secret", false },
	{ "https://host/images/", "https://host/images", false },
	{ "", "nbd://host/disk", false },
};

static void connector_uri_matches_itself_and_what_is_below(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		if (block_connector_matches(pairs[i].allowed, pairs[i].uri) != pairs[i].matches)
			fail_msg("'%s' and '%s'", pairs[i].allowed, pairs[i].uri);
	}
}

static int ask(const char *program, bool sealed, struct err *err)
{
	struct block_open_options options = { .path = "nbd://127.0.0.1/disk" };
	struct block_node *node;
	int rc;

	assert_int_equal(block_connector_new(&options.connector, program, NULL), 0);
	if (sealed)
		assert_int_equal(block_connector_seal(options.connector, NULL), 0);
	rc = block_open(&options, NULL, &node, err);
	block_connector_free(options.connector);
	return rc;
}

static void connector_without_a_helper_tells_so(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(ask("/nonexistent/helper", false, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/helper"));
}

static void connector_with_a_helper_that_ends_tells_so(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_true(ask("/bin/true", false, &err) < 0);
	assert_true(*err.text);
}

static void connector_sealed_before_its_first_use_opens_nothing(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(ask("/bin/true", true, &err), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connector_uri_matches_itself_and_what_is_below),
		cmocka_unit_test(connector_without_a_helper_tells_so),
		cmocka_unit_test(connector_with_a_helper_that_ends_tells_so),
		cmocka_unit_test(connector_sealed_before_its_first_use_opens_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
