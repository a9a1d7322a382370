/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dd`: `convert` of a part, with the words of dd(1). */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "base/str.h"
#include "img/command.h"

#define BLOCK_BYTES 512 /* as dd(1) */

struct words {
	char *source, *target;
	uint64_t block_bytes, count, skip;
};

static int read_word(struct words *words, char *word, struct err *err)
{
	uint64_t *number = NULL;
	char *value = strchr(word, '=');
	size_t length = value ? (size_t)(value - word) : 0;
	const struct {
		const char *name;
		char **text;
		uint64_t *number;
	} rows[] = {
		{ "if", &words->source, NULL },      { "of", &words->target, NULL },
		{ "bs", NULL, &words->block_bytes }, { "count", NULL, &words->count },
		{ "skip", NULL, &words->skip },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows) && length; i++) {
		if (strlen(rows[i].name) != length || strncmp(rows[i].name, word, length))
			continue;
		if (rows[i].text) {
			*rows[i].text = value + 1;
			return 0;
		}
		number = rows[i].number;
	}
	if (!number)
		return err_set(err, EINVAL,
			       "'%.64s' is none of if=, of=, bs=, count=, skip=", word);
	if (parse_size(value + 1, number) || *number > BLOCK_SIZE_MAX)
		return err_set(err, EINVAL, "'%.64s' has no number", word);
	return 0;
}

static int set_bytes(struct img *img, const char *name, uint64_t blocks, uint64_t block_bytes,
		     struct err *err)
{
	uint64_t bytes;
	char text[24];

	if (__builtin_mul_overflow(blocks, block_bytes, &bytes) || bytes > BLOCK_SIZE_MAX)
		return err_set(err, EINVAL, "%llu blocks of %llu bytes are too many",
			       (unsigned long long)blocks, (unsigned long long)block_bytes);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	if (json_object_set_new(img->values, name, json_string(text)))
		return err_errno(err, ENOMEM, "cannot read arguments");
	return 0;
}

int img_prepare_dd(struct img *img, struct err *err)
{
	struct words words = { .block_bytes = BLOCK_BYTES, .count = UINT64_MAX };
	int rc = 0;

	for (unsigned i = 0; i < img->operand_count && !rc; i++)
		rc = read_word(&words, img->operands[i], err);
	if (!rc && (!words.source || !words.target))
		rc = err_set(err, EINVAL, "'dd' needs if=FILE and of=FILE");
	if (!rc)
		rc = set_bytes(img, "start", words.skip, words.block_bytes, err);
	if (!rc && words.count != UINT64_MAX)
		rc = set_bytes(img, "length", words.count, words.block_bytes, err);
	img->operands[0] = words.source;
	img->operands[1] = words.target;
	img->operand_count = 2;
	return rc;
}
