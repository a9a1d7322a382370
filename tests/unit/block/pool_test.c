/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of images in a folder, with and without extensions. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "block/pool.h"

static void make_file(const char *folder, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static const struct {
	const char *name, *found; /* found NULL: an error */
	int rc;
} cases[] = {
	{ "web.qcow2", "web.qcow2", 0 },
	{ "web", "web.qcow2", 0 },
	{ "plain", "plain", 0 }, /* a file of that name comes first */
	{ "old.disk", "old.disk.vdi", 0 },
	{ "data", NULL, -ENOTUNIQ },
	{ "data.raw", "data.raw", 0 },
	{ "notes", "notes", 0 }, /* for who opens it to say that nothing is there */
	{ "none", "none", 0 },
	{ "none/none", "none/none", 0 },
	{ "", NULL, -EISDIR },
};

static void pool_find_by_name_gives_the_only_image(void **state)
{
	static const char *const files[] = { "web.qcow2", "plain",     "plain.raw", "old.disk.vdi",
					     "data.raw",  "data.vhdx", "notes.txt" };
	char folder[] = "/var/tmp/cella-pool-XXXXXX", command[64];

	assert_non_null(mkdtemp(folder));
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++)
		make_file(folder, files[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char name[128], expected[128], *found = NULL;
		struct err err = ERR_INIT;

		snprintf(name, sizeof(name), "%s/%s", folder, cases[i].name);
		assert_int_equal(block_pool_find(name, &found, &err), cases[i].rc);
		assert_int_equal(err.code, cases[i].rc);
		assert_true(!cases[i].rc || err.hint[0]);
		if (!cases[i].rc) {
			snprintf(expected, sizeof(expected), "%s/%s", folder, cases[i].found);
			assert_string_equal(found, expected);
		}
		free(found);
	}
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	assert_int_equal(system(command), 0);
}

static void pool_find_leaves_names_of_protocols(void **state)
{
	char *found;

	assert_int_equal(block_pool_find("nbd://server/disk", &found, NULL), 0);
	assert_string_equal(found, "nbd://server/disk");
	free(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_find_by_name_gives_the_only_image),
		cmocka_unit_test(pool_find_leaves_names_of_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
