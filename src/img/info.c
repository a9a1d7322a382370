/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info`: what an image is. Without --chain only the image itself is opened, so that it may be asked
 * about anything that it names.
 */
#include <string.h>
#include <sys/stat.h>

#include "img/command.h"

static json_t *facts(const char *path, struct block_node *node)
{
	json_t *result = json_pack("{s:s, s:s, s:I, s:o}", "path", path, "format",
				   node->format->name, "size", (json_int_t)block_size_bytes(node),
				   "details", block_describe(node));
	struct stat st;

	if (!stat(path, &st) && S_ISREG(st.st_mode)) {
		json_object_set_new(result, "file-size", json_integer(st.st_size));
		json_object_set_new(result, "allocated",
				    json_integer((json_int_t)st.st_blocks * BLOCK_SECTOR));
	}
	return result;
}

static void add_list(json_t *result, const char *name, struct block_node *node,
		     int (*list)(struct block_node *, json_t **, struct err *))
{
	json_t *items;

	if (!list(node, &items, NULL))
		json_object_set_new(result, name, items);
}

static void print_size(const char *name, const json_t *value)
{
	uint64_t bytes = (uint64_t)json_integer_value(value);
	char text[IMG_SIZE_TEXT];

	printf("%s: %s (%llu bytes)\n", name, img_size_text(bytes, text),
	       (unsigned long long)bytes);
}

/* Facts as lines, deeper ones further in. */
static void print_details(const json_t *details, unsigned indent)
{
	static const char *const shown[] = { "file", "format", "size", "cache", "read-only", "io" };
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)details, name, value)
	{
		bool skip = false;

		for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]) && indent == 0; i++)
			skip |= !strcmp(name, shown[i]);
		if (skip || json_is_null(value))
			continue;
		printf("%*s%s:", (int)indent * 2, "", name);
		if (json_is_object(value)) {
			putchar('\n');
			print_details(value, indent + 1);
			continue;
		}
		if (json_is_string(value))
			printf(" %s\n", json_string_value(value));
		else {
			putchar(' ');
			json_dumpf(value, stdout, JSON_ENCODE_ANY);
			putchar('\n');
		}
	}
}

static void print_text(const json_t *result)
{
	printf("image: %s\nformat: %s\n", json_string_value(json_object_get(result, "path")),
	       json_string_value(json_object_get(result, "format")));
	print_size("size", json_object_get(result, "size"));
	if (json_object_get(result, "allocated"))
		print_size("on disk", json_object_get(result, "allocated"));
	print_details(json_object_get(result, "details"), 0);
	for (const char *const *name = (const char *const[]){ "snapshots", "bitmaps", NULL }; *name;
	     name++) {
		const json_t *list = json_object_get(result, *name);

		if (!json_array_size(list))
			continue;
		printf("%s: ", *name);
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
	}
}

int img_info(struct img *img, struct err *err)
{
	const char *path = img->operands[0];
	struct block_open_options options;
	struct block_node *node;
	json_t *settings, *result;
	int rc = img_open_options(img, path, &options, &settings, err);

	if (rc)
		return IMG_FAILED;
	options.no_backing = !img_flag(img, "chain");
	rc = img_open_as(img, &options, &node, err);
	json_decref(settings);
	if (rc)
		return IMG_FAILED;
	result = facts(path, node);
	if (node->format->snapshots)
		add_list(result, "snapshots", node, node->format->snapshots->list);
	if (node->format->bitmaps)
		add_list(result, "bitmaps", node, node->format->bitmaps->list);
	block_close(node);
	img_print(img, result, print_text);
	return IMG_DONE;
}
