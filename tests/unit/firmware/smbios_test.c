/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SMBIOS: entry point and a walk over the structures, as an operating system does it. */
#include "firmware/smbios.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"

#define BASE 0xf0000u

static const uint8_t uuid[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
				  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
static const struct smbios_memory memory[] = { { 0, 2 * GIB }, { 4 * GIB, 62 * GIB } };
static const struct smbios_platform platform = {
	.name = "vault",
	.uuid = uuid,
	.vcpus = 300,
	.cpu_signature = 0x00a20f10,
	.cpu_features = 0x178bfbff,
	.memory = memory,
	.memory_count = ARRAY_SIZE(memory),
};

/* The structure behind `s`: formatted part, then strings up to a double NUL. */
static const uint8_t *next(const uint8_t *s)
{
	const uint8_t *p = s + s[1];

	while (p[0] || p[1])
		p++;
	return p + 2;
}

static const uint8_t *find(const struct str *bytes, uint8_t type)
{
	const uint8_t *end = (const uint8_t *)bytes->text + bytes->length;
	const uint8_t *s = (const uint8_t *)bytes->text + (le64_get(bytes->text + 16) - BASE);

	while (s < end && s[0] != type)
		s = next(s);
	return s < end ? s : NULL;
}

static const char *string_of(const uint8_t *s, unsigned offset)
{
	const char *p = (const char *)s + s[1];

	for (unsigned i = s[offset]; i > 1; i--)
		p += strlen(p) + 1;
	return s[offset] ? p : "";
}

static void entry_point_after_build_is_valid(void **state)
{
	struct str bytes;
	uint8_t sum = 0;

	(void)state;
	assert_int_equal(smbios_build(&platform, BASE, &bytes), 0);
	assert_memory_equal(bytes.text, "_SM3_", 5);
	for (unsigned i = 0; i < 24; i++)
		sum = (uint8_t)(sum + (uint8_t)bytes.text[i]);
	assert_int_equal(sum, 0);
	assert_int_equal(le64_get(bytes.text + 16) - BASE + le32_get(bytes.text + 12),
			 bytes.length);
	str_fini(&bytes);
}

static void structures_of_walk_end_with_the_table(void **state)
{
	static const uint8_t types[] = { 0, 1, 3, 4, 16, 17, 19, 19, 32, 127 };
	struct str bytes;
	const uint8_t *s;

	(void)state;
	assert_int_equal(smbios_build(&platform, BASE, &bytes), 0);
	s = find(&bytes, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++, s = next(s))
		assert_int_equal(s[0], types[i]);
	assert_ptr_equal(s, bytes.text + bytes.length);
	str_fini(&bytes);
}

static void system_with_uuid_has_its_mixed_order(void **state)
{
	static const uint8_t mixed[16] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
					   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	struct str bytes;
	const uint8_t *s;

	(void)state;
	assert_int_equal(smbios_build(&platform, BASE, &bytes), 0);
	s = find(&bytes, 1);
	assert_memory_equal(s + 8, mixed, 16);
	assert_string_equal(string_of(s, 7), "vault");
	str_fini(&bytes);
}

static void processor_with_many_cores_uses_wide_fields(void **state)
{
	struct str bytes;
	const uint8_t *s;

	(void)state;
	assert_int_equal(smbios_build(&platform, BASE, &bytes), 0);
	s = find(&bytes, 4);
	assert_int_equal(s[0x23], 255);
	assert_int_equal(le16_get(s + 0x2a), 300);
	str_fini(&bytes);
}

static void memory_beyond_32_gib_uses_wide_field(void **state)
{
	struct str bytes;
	const uint8_t *s;

	(void)state;
	assert_int_equal(smbios_build(&platform, BASE, &bytes), 0);
	s = find(&bytes, 17);
	assert_int_equal(le16_get(s + 0x0c), 0x7fff);
	assert_int_equal(le32_get(s + 0x1c), 64 * 1024);
	str_fini(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_point_after_build_is_valid),
		cmocka_unit_test(structures_of_walk_end_with_the_table),
		cmocka_unit_test(system_with_uuid_has_its_mixed_order),
		cmocka_unit_test(processor_with_many_cores_uses_wide_fields),
		cmocka_unit_test(memory_beyond_32_gib_uses_wide_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
