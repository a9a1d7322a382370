/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which further files an image says that it consists of, before it is opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "base/str.h"
#include "block/format.h"

static void add_name(void *ctx, const char *name)
{
	str_printf(ctx, "%s;", name);
}

/* The names that the format tells of that start, with ';' behind each; in memory of exactly its size. */
static void assert_told(const char *format, const void *start, size_t bytes, const char *names)
{
	uint8_t *copy = malloc(bytes + 1);
	struct str told = { 0 };

	memcpy(copy, start, bytes);
	copy[bytes] = '\0';
	block_format_find(format)->tell_files(copy, bytes, add_name, &told);
	assert_string_equal(told.text ? told.text : "", names);
	str_fini(&told);
	free(copy);
}

static const struct {
	const char *text, *names;
} descriptors[] = {
	{ "", "" },
	{ "# Disk DescriptorFile", "" },
	{ "RW 1 FLAT \"no descriptor\" 0", "" },
	{ "# Disk DescriptorFile\nversion=1\n\nRW 4192256 SPARSE \"disk-s001.vmdk\"\n",
	  "disk-s001.vmdk;" },
	{ "# Disk DescriptorFile\r\nRW 1 FLAT \"a b.vmdk\" 0\r\nRDONLY 1 FLAT c 0\r\nNOACCESS 1 ZERO\r\n",
	  "a b.vmdk;c;" },
	{ "# Disk DescriptorFile\n# RW 1 FLAT \"comment\" 0\nname=RW 1 FLAT \"x\"\n", "" },
	{ "# Disk DescriptorFile\nRW", "" },
	{ "# Disk DescriptorFile\nRW 1 FLAT \"never ends", "" },
	{ "# Disk DescriptorFile\nRW 1 FLAT \"../above\" 0\n", "../above;" },
};

static void tell_files_of_a_vmdk_descriptor_are_its_extents(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(descriptors); i++)
		assert_told("vmdk", descriptors[i].text, strlen(descriptors[i].text),
			    descriptors[i].names);
}

#define HEADER_BYTES 104

struct qcow2_start {
	uint8_t bytes[256];
	size_t count;
};

static struct qcow2_start qcow2_start(uint32_t version, uint64_t incompatible)
{
	struct qcow2_start start = { .count = HEADER_BYTES };

	be32_put(start.bytes, 0x514649fb);
	be32_put(start.bytes + 4, version);
	be64_put(start.bytes + 72, incompatible);
	be32_put(start.bytes + 100, HEADER_BYTES);
	return start;
}

static void add_extension(struct qcow2_start *start, uint32_t type, const char *data,
			  uint32_t bytes)
{
	be32_put(start->bytes + start->count, type);
	be32_put(start->bytes + start->count + 4, bytes);
	memcpy(start->bytes + start->count + 8, data, strlen(data));
	start->count += 8 + (strlen(data) + 7) / 8 * 8;
}

#define DATA_FILE 0x44415441

static void tell_files_of_qcow2_are_its_external_data(void **state)
{
	struct qcow2_start start = qcow2_start(3, 1 << 2);

	(void)state;
	assert_told("qcow2", start.bytes, 0, "");
	assert_told("qcow2", start.bytes, start.count, "");
	add_extension(&start, 0x6803f857, "features", 8);
	add_extension(&start, DATA_FILE, "data.raw", 8);
	add_extension(&start, 0, "", 0);
	assert_told("qcow2", start.bytes, start.count, "data.raw;");
	for (size_t bytes = 0; bytes < HEADER_BYTES + 16 + 8 + 8; bytes++)
		assert_told("qcow2", start.bytes, bytes, "");

	/* It says so, and has no feature of that kind. */
	be64_put(start.bytes + 72, 0);
	assert_told("qcow2", start.bytes, start.count, "");
	be64_put(start.bytes + 72, 1 << 2);
	be32_put(start.bytes + 4, 2);
	assert_told("qcow2", start.bytes, start.count, "");
}

static void tell_files_of_a_damaged_qcow2_are_none(void **state)
{
	struct qcow2_start start = qcow2_start(3, 1 << 2);

	(void)state;
	add_extension(&start, DATA_FILE, "data.raw", UINT32_MAX);
	assert_told("qcow2", start.bytes, start.count, "");
	be32_put(start.bytes + 100, UINT32_MAX);
	assert_told("qcow2", start.bytes, start.count, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tell_files_of_a_vmdk_descriptor_are_its_extents),
		cmocka_unit_test(tell_files_of_qcow2_are_its_external_data),
		cmocka_unit_test(tell_files_of_a_damaged_qcow2_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
