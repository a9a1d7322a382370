/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the writer refuses, and where things are; that others read it is shown by tests/system/test_node_images.py. */
#include "node/image/iso9660.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"

#define SECTOR 2048

static void iso9660_of_files_has_them_in_order(void **state)
{
	static const struct iso9660_file files[] = {
		{ "user-data", "hello", 5 },
		{ "meta-data", "", 0 },
		{ "network-config", "0123456789", 10 },
	};
	uint8_t *bytes;
	size_t count;
	const uint8_t *at;

	(void)state;
	assert_int_equal(iso9660_make("cidata", files, ARRAY_SIZE(files), &bytes, &count), 0);
	assert_int_equal(count % SECTOR, 0);
	assert_memory_equal(bytes + 16 * SECTOR, "\1CD001\1", 7);
	assert_memory_equal(bytes + 16 * SECTOR + 40, "cidata ", 7);
	assert_int_equal(le32_get(bytes + 16 * SECTOR + 80) * SECTOR, count);
	assert_int_equal(be32_get(bytes + 16 * SECTOR + 84) * SECTOR, count);
	assert_memory_equal(bytes + 17 * SECTOR,
			    "\xff"
			    "CD001\1",
			    7);
	/* Behind the records of the folder itself and its parent: by name. */
	at = bytes + (size_t)le32_get(bytes + 16 * SECTOR + 156 + 2) * SECTOR;
	at += at[0];
	at += at[0];
	assert_memory_equal(at + 33, "META_DATA;1", 11);
	assert_int_equal(le32_get(at + 10), 0);
	at += at[0];
	assert_memory_equal(at + 33, "NETWORK_CONFIG;1", 16);
	assert_memory_equal(bytes + (size_t)le32_get(at + 2) * SECTOR, "0123456789", 10);
	at += at[0];
	assert_memory_equal(at + 33, "USER_DATA;1", 11);
	assert_memory_equal(bytes + (size_t)be32_get(at + 6) * SECTOR, "hello", 5);
	assert_int_equal(at[at[0]], 0);
	free(bytes);
}

static void iso9660_of_what_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *label, *name;
		size_t count;
		int rc;
	} rows[] = {
		{ "cidata", "", 0, -EINVAL },
		{ "cidata", "..", 0, -EINVAL },
		{ "cidata", "a/b", 0, -EINVAL },
		{ "cidata", "UPPER", 0, -EINVAL },
		{ "cidata", "12345678901234567890123456789012", 0, -EINVAL },
		{ "123456789012345678901234567890123", "a", 0, -EINVAL },
		{ "cidata", "a", ISO9660_BYTES_MAX + 1, -EFBIG },
		{ "cidata", "a", SIZE_MAX, -EFBIG },
	};
	uint8_t *bytes;
	size_t count;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct iso9660_file file = { rows[i].name, "", rows[i].count };

		assert_int_equal(iso9660_make(rows[i].label, &file, 1, &bytes, &count), rows[i].rc);
	}
}

static void iso9660_of_too_much_is_refused(void **state)
{
	struct iso9660_file files[ISO9660_FILES_MAX + 1];
	uint8_t *bytes;
	size_t count;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		files[i] = (struct iso9660_file){ "a", "", ISO9660_BYTES_MAX / 4 };
	assert_int_equal(iso9660_make("cidata", files, ARRAY_SIZE(files), &bytes, &count), -EINVAL);
	assert_int_equal(iso9660_make("cidata", files, 5, &bytes, &count), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iso9660_of_files_has_them_in_order),
		cmocka_unit_test(iso9660_of_what_cannot_be_is_refused),
		cmocka_unit_test(iso9660_of_too_much_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
