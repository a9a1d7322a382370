/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `list`: the images of a pool, a folder. Each is opened as a machine's disk would be, so that name and
 * header must agree on its format: what a guest may have written into a raw disk is told, not believed.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/file/raw.h"
#include "img/command.h"

/* ---- names, read before the sandbox closes ---- */

#define NAMES "names" /* among the arguments' values */

static int is_image(const struct dirent *entry)
{
	return *entry->d_name != '.' && entry->d_type != DT_DIR &&
	       block_format_of_path(entry->d_name);
}

int img_prepare_list(struct img *img, struct err *err)
{
	json_t *names = json_array();
	struct dirent **entries;
	int count = scandir(img->operands[0], &entries, is_image, alphasort);

	if (count < 0) {
		json_decref(names);
		return err_errno(err, errno, "cannot list folder '%s'", img->operands[0]);
	}
	for (int i = 0; i < count; i++) {
		json_array_append_new(names, json_string(entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
	json_object_set_new(img->values, NAMES, names);
	return 0;
}

/* ---- facts ---- */

/* What the image's files take, and who uses them; and their names, unless it is the image's own. */
struct files {
	uint64_t allocated;
	enum raw_use use;
	json_t *parts; /* names of all images' further files */
};

static void add_file(struct files *files, struct block_node *file, bool own)
{
	AUTO_FREE char *path = block_image_path(file);
	const char *slash = path ? strrchr(path, '/') : NULL;
	struct stat st;

	if (raw_identity(file, &st))
		files->allocated += (uint64_t)st.st_blocks * BLOCK_SECTOR;
	files->use = MAX(files->use, raw_use(file));
	if (!own && slash)
		json_object_set_new(files->parts, slash + 1, json_true());
}

static void add_facts(json_t *row, struct block_node *node, struct files *files)
{
	static const char *const uses[] = {
		[RAW_FREE] = "free", [RAW_READ] = "read", [RAW_WRITTEN] = "written"
	};
	json_t *facts = block_describe(node);

	if (!node->child_count)
		add_file(files, node, true);
	for (unsigned i = 0; i < node->child_count; i++)
		add_file(files, node->children[i], !i);
	json_object_set_new(row, "format", json_string(node->format->name));
	json_object_set_new(row, "size", json_integer((json_int_t)block_size_bytes(node)));
	json_object_set_new(row, "allocated", json_integer((json_int_t)files->allocated));
	json_object_set_new(row, "use", json_string(uses[files->use]));
	if (json_is_string(json_object_get(facts, "backing-file")))
		json_object_set(row, "backing", json_object_get(facts, "backing-file"));
	json_decref(facts);
}

static json_t *image_row(const struct img *img, const char *name, json_t *parts)
{
	struct files files = { .parts = parts };
	AUTO_FREE char *path = NULL;
	struct block_open_options options = { .read_only = true,
					      .no_backing = true,
					      .no_lock = true };
	json_t *row = json_pack("{s:s}", "name", name);
	struct err problem = ERR_INIT;
	struct block_node *node;

	if (asprintf(&path, "%s/%s", img->operands[0], name) < 0)
		path = NULL;
	options.path = path;
	if (!path)
		err_errno(&problem, ENOMEM, "cannot open it");
	if (problem.code || block_open(&options, NULL, &node, &problem)) {
		json_object_set_new(row, "problem", json_string(problem.text));
		return row;
	}
	add_facts(row, node, &files);
	block_close(node);
	return row;
}

/* ---- the list ---- */

static void print_text(const json_t *result)
{
	json_t *row;
	size_t index;

	if (json_array_size(result))
		printf("%-24s %-6s %10s %10s  %-7s %s\n", "NAME", "FORMAT", "SIZE", "ALLOCATED",
		       "USE", "BACKING");
	json_array_foreach((json_t *)(uintptr_t)result, index, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));
		const char *problem = json_string_value(json_object_get(row, "problem"));
		const char *backing = json_string_value(json_object_get(row, "backing"));
		char size[IMG_SIZE_TEXT], taken[IMG_SIZE_TEXT];

		if (problem) {
			printf("%-24s ?      %s\n", name, problem);
			continue;
		}
		printf("%-24s %-6s %10s %10s  %-7s %s\n", name,
		       json_string_value(json_object_get(row, "format")),
		       img_size_text((uint64_t)json_integer_value(json_object_get(row, "size")),
				     size),
		       img_size_text(
			       (uint64_t)json_integer_value(json_object_get(row, "allocated")),
			       taken),
		       json_string_value(json_object_get(row, "use")), backing ? backing : "");
	}
}

int img_images(struct img *img, struct err *err)
{
	json_t *rows = json_array(), *parts = json_object(), *name, *row;
	size_t index;

	json_array_foreach((json_t *)(uintptr_t)img_list(img, NAMES), index, name)
	{
		json_array_append_new(rows, image_row(img, json_string_value(name), parts));
	}
	/* Files that are parts of an image are none themselves. */
	for (index = json_array_size(rows); index-- > 0;) {
		row = json_array_get(rows, index);
		if (json_object_get(parts, json_string_value(json_object_get(row, "name"))))
			json_array_remove(rows, index);
	}
	json_decref(parts);
	img_print(img, rows, print_text);
	return IMG_DONE;
}
