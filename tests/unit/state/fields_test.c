/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "state/fields.h"

struct channel {
	uint16_t count;
	bool gate;
};

struct chip {
	uint64_t wide;
	int32_t offset;
	uint8_t mode;
	uint32_t ring[3];
	uint8_t image[5];
	struct channel channels[2];
	uint32_t added_later;
	unsigned loads; /* not state */
};

static const struct state_field channel_fields[] = {
	STATE_FIELD(struct channel, count, .max = 1000),
	STATE_FIELD(struct channel, gate),
	{ 0 },
};

static const struct state_field chip_fields[] = {
	STATE_FIELD(struct chip, wide),
	STATE_FIELD(struct chip, offset, .min = (uint64_t)-5, .max = 5),
	STATE_FIELD(struct chip, mode, .min = 1, .max = 6),
	STATE_ARRAY(struct chip, ring),
	STATE_RAW(struct chip, image),
	STATE_STRUCTS(struct chip, channels, channel_fields),
	STATE_FIELD(struct chip, added_later, .since = 2),
	{ 0 },
};

static int refuse_mode_4_without_gate(const void *object, struct err *err)
{
	const struct chip *chip = object;

	if (chip->mode == 4 && !chip->channels[0].gate)
		return err_set(err, EINVAL, "mode 4 needs the gate");
	return 0;
}

static void count_loads(void *object)
{
	((struct chip *)object)->loads++;
}

static const struct state_desc chip_desc = {
	.name = "chip",
	.version = 2,
	.fields = chip_fields,
	.validate = refuse_mode_4_without_gate,
	.post_load = count_loads,
};

static const struct state_desc chip_desc_1 = { .name = "chip",
					       .version = 1,
					       .fields = chip_fields };
static const struct state_desc other_desc = { .name = "other",
					      .version = 1,
					      .fields = channel_fields };

static const struct chip sample = {
	.wide = 0x1122334455667788,
	.offset = -3,
	.mode = 2,
	.ring = { 1, 0xffffffff, 3 },
	.image = { 9, 8, 7, 6, 5 },
	.channels = { { 17, true }, { 1000, false } },
	.added_later = 99,
};

static struct state_stream saved(const struct state_desc *desc, const struct chip *chip)
{
	struct state_stream out = { 0 };

	assert_int_equal(state_save(&out, desc, chip), 0);
	return out;
}

/* Loads into a chip of known content; asserts that a failure leaves it as it was. */
static int load(const void *bytes, size_t count, struct chip *ret_chip, struct err *err)
{
	struct state_stream in = state_stream_reader(bytes, count);
	struct chip chip = { .mode = 1, .added_later = 7 };
	struct chip before = chip;
	int rc = state_load(&in, &chip_desc, &chip, err);

	if (rc) {
		assert_int_equal(rc, in.error);
		assert_int_equal(rc, err->code);
		assert_memory_equal(&chip, &before, sizeof(chip));
	}
	*ret_chip = chip;
	return rc;
}

static void save_and_load_give_the_same(void **state)
{
	struct state_stream out = saved(&chip_desc, &sample);
	struct err err = ERR_INIT;
	struct chip chip;

	(void)state;
	assert_int_equal(load(out.bytes, out.count, &chip, &err), 0);
	assert_int_equal(chip.loads, 1);
	chip.loads = 0;
	assert_memory_equal(&chip, &sample, sizeof(chip));
	state_stream_fini(&out);
}

static void load_of_older_version_keeps_newer_fields(void **state)
{
	struct state_stream out = { 0 };
	struct err err = ERR_INIT;
	struct chip chip;
	uint32_t length;

	(void)state;
	assert_int_equal(state_save(&out, &chip_desc_1, &sample), 0);
	/* A version 1 writer had no `added_later`: cut it off the payload. */
	length = le32_get(out.bytes + 2 + 4 + 4);
	le32_put(out.bytes + 2 + 4 + 4, length - 4);
	assert_int_equal(load(out.bytes, out.count - 4, &chip, &err), 0);
	assert_int_equal(chip.wide, sample.wide);
	assert_int_equal(chip.added_later, 7);
	state_stream_fini(&out);
}

static void load_of_every_truncation_is_refused(void **state)
{
	struct state_stream out = saved(&chip_desc, &sample);

	(void)state;
	for (size_t count = 0; count < out.count; count++) {
		/* A copy of exact size, so that the sanitizer sees any read behind the end. */
		uint8_t *copy = malloc(count ? count : 1);
		struct err err = ERR_INIT;
		struct chip chip;

		memcpy(copy, out.bytes, count);
		assert_int_not_equal(load(copy, count, &chip, &err), 0);
		free(copy);
	}
	state_stream_fini(&out);
}

static void load_of_bad_values_names_the_field(void **state)
{
	struct chip bad[] = { sample, sample, sample, sample, sample, sample };
	const char *words[] = { "'offset'",   "'offset'",     "'mode'",
				"'channels'", "mode 4 needs", "'gate'" };
	const uint8_t no_bool = 2;

	(void)state;
	bad[0].offset = 6;
	bad[1].offset = -6;
	bad[2].mode = 0;
	bad[3].channels[1].count = 1001;
	bad[4].mode = 4;
	bad[4].channels[0].gate = false;
	memcpy(&bad[5].channels[0].gate, &no_bool, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct state_stream out = saved(&chip_desc, &bad[i]);
		struct err err = ERR_INIT;
		struct chip chip;

		assert_int_equal(load(out.bytes, out.count, &chip, &err), -EINVAL);
		assert_non_null(strstr(err.text, words[i]));
		state_stream_fini(&out);
	}
}

static void load_of_wrong_name_version_or_length_is_refused(void **state)
{
	struct state_stream out = saved(&chip_desc, &sample);
	struct state_stream other = { 0 };
	struct err err = ERR_INIT;
	struct chip chip;

	(void)state;
	assert_int_equal(state_save(&other, &other_desc, &sample.channels[0]), 0);
	assert_int_equal(load(other.bytes, other.count, &chip, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'chip' expected"));
	state_stream_fini(&other);

	le32_put(out.bytes + 2 + 4, 3);
	assert_int_equal(load(out.bytes, out.count, &chip, &err), -ENOTSUP);
	le32_put(out.bytes + 2 + 4, 0);
	assert_int_equal(load(out.bytes, out.count, &chip, &err), -ENOTSUP);
	le32_put(out.bytes + 2 + 4, 2);
	le32_put(out.bytes + 2 + 4 + 4, UINT32_MAX);
	assert_int_equal(load(out.bytes, out.count, &chip, &err), -EINVAL);
	state_stream_fini(&out);
}

static void dump_and_document_name_every_field(void **state)
{
	json_t *dump = state_dump(&chip_desc, &sample);
	char *page = state_document(&chip_desc);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(dump, "offset")), -3);
	assert_string_equal(json_string_value(json_object_get(dump, "wide")), "0x1122334455667788");
	assert_int_equal(json_array_size(json_object_get(dump, "ring")), 3);
	assert_string_equal(json_string_value(json_object_get(dump, "image")), "0908070605");
	assert_int_equal(json_array_size(json_object_get(dump, "channels")), 2);
	assert_null(json_object_get(dump, "loads"));
	assert_non_null(strstr(page, "| channels[2].count | u16 | 1 | 0x0 to 0x3e8 |"));
	assert_non_null(strstr(page, "| added_later | u32 | 2 | any |"));
	json_decref(dump);
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(save_and_load_give_the_same),
		cmocka_unit_test(load_of_older_version_keeps_newer_fields),
		cmocka_unit_test(load_of_every_truncation_is_refused),
		cmocka_unit_test(load_of_bad_values_names_the_field),
		cmocka_unit_test(load_of_wrong_name_version_or_length_is_refused),
		cmocka_unit_test(dump_and_document_name_every_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
