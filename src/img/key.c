/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `key`: the key slots of an encrypted image: shown, a new one, one less. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "img/command.h"

static void print_slot(const json_t *slot)
{
	const char *kdf = json_string_value(json_object_get(slot, "kdf"));
	const char *problem = json_string_value(json_object_get(slot, "problem"));
	char memory[IMG_SIZE_TEXT];

	printf("slot %lld: ", (long long)json_integer_value(json_object_get(slot, "slot")));
	if (problem) {
		printf("cannot be used: %s\n", problem);
		return;
	}
	if (!json_object_get(slot, "memory")) {
		printf("%s, %lld iterations of %s\n", kdf,
		       (long long)json_integer_value(json_object_get(slot, "iterations")),
		       json_string_value(json_object_get(slot, "hash")));
		return;
	}
	img_size_text((uint64_t)json_integer_value(json_object_get(slot, "memory")), memory);
	printf("%s, %lld passes over %s\n", kdf,
	       (long long)json_integer_value(json_object_get(slot, "passes")), memory);
}

static void print_text(const json_t *result)
{
	const json_t *added = json_object_get(result, "added");
	size_t i;
	json_t *slot;

	if (added)
		printf("added: slot %lld\n", (long long)json_integer_value(added));
	json_array_foreach(json_object_get(result, "key-slots"), i, slot)
	{
		print_slot(slot);
	}
}

static int add(struct img *img, struct block_node *node, json_t *result, struct err *err)
{
	const struct block_key_ops *keys = node->format->keys;
	json_t *given, *settings = NULL;
	unsigned slot = 0;
	int rc = img_settings(img, "options", &given, err);

	if (rc)
		return rc;
	rc = block_settings_complete(keys->slot_options, given, &settings, err);
	if (!rc)
		rc = keys->add(node, settings, &slot, err);
	if (!rc)
		json_object_set_new(result, "added", json_integer(slot));
	json_decref(settings);
	json_decref(given);
	return rc;
}

static int remove_slot(struct img *img, struct block_node *node, struct err *err)
{
	uint64_t slot;

	if (img->operand_count < 3 || parse_u64(img->operands[2], 0, UINT32_MAX, &slot))
		return err_set(err, EINVAL, "'key FILE remove' takes the number of a slot");
	return node->format->keys->remove(node, (unsigned)slot, img_flag(img, "last"), err);
}

static int run(struct img *img, struct block_node *node, json_t *result, struct err *err)
{
	const char *action = img->operand_count > 1 ? img->operands[1] : NULL;
	json_t *list;
	int rc = 0;

	if (!node->format->keys)
		return err_set(err, ENOTSUP, "format '%s' has no key slots", node->format->name);
	if (action && !strcmp(action, "add"))
		rc = add(img, node, result, err);
	else if (action && !strcmp(action, "remove"))
		rc = remove_slot(img, node, err);
	else if (action)
		rc = err_set(err, EINVAL, "'%.64s' is neither add nor remove", action);
	if (!rc)
		rc = node->format->keys->list(node, &list, err);
	if (!rc)
		json_object_set_new(result, "key-slots", list);
	return rc;
}

static int open_image(struct img *img, bool writable, struct block_node **ret_node, struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc = img_open_options(img, img->operands[0], &options, &settings, err);

	if (rc)
		return rc;
	options.read_only = !writable;
	options.no_backing = true;
	rc = img_open_as(img, &options, ret_node, err);
	json_decref(settings);
	return rc;
}

int img_key(struct img *img, struct err *err)
{
	bool changes = img->operand_count > 1;
	struct block_node *node;
	json_t *result;
	int rc;

	if (open_image(img, changes, &node, err))
		return IMG_FAILED;
	result = json_object();
	rc = result ? img_all_open(img, err) : err_errno(err, ENOMEM, "cannot show key slots");
	if (!rc)
		rc = run(img, node, result, err);
	block_close(node);
	if (rc) {
		json_decref(result);
		return IMG_FAILED;
	}
	img_print(img, result, print_text);
	return IMG_DONE;
}
