/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `import`: the disks of an appliance as images of their own, after a look at its checksums. What the
 * description says of the machine is told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/vec.h"
#include "img/command.h"
#include "img/copying.h"

struct import {
	struct img *img;
	const struct block_format *format;
	json_t *settings; /* for new disks */
	json_t *machine;  /* as the appliance describes it */
	json_t *disks;    /* what was made */
	VEC(char *) made; /* files that are gone after a failure */
};

int img_prepare_import(struct img *img, struct err *err)
{
	const char *folder = img->operands[1];
	struct stat st;

	if (!mkdir(folder, 0755) || (errno == EEXIST && !stat(folder, &st) && S_ISDIR(st.st_mode)))
		return 0;
	return err_errno(err, errno == EEXIST ? ENOTDIR : errno, "cannot make folder '%s'", folder);
}

static struct block_open_options options_of(const struct import *import, const json_t *settings)
{
	return (struct block_open_options){
		.path = import->img->operands[0],
		.format = "ova",
		.read_only = true,
		.settings = settings,
	};
}

/* ---- checksums ---- */

static void told(void *ctx, enum block_finding finding, bool repaired, const char *text)
{
	struct err *first = ctx;

	(void)repaired;
	if (finding == BLOCK_FINDING_ERROR && !first->code)
		err_set(first, EBADMSG, "%s", text);
}

/* Also how it is described. */
static int check_package(struct import *import, struct err *err)
{
	struct block_open_options options = options_of(import, NULL);
	struct err first = ERR_INIT;
	struct block_check check = { .told = told, .ctx = &first };
	struct block_node *node;
	int rc;

	options.check = true;
	rc = block_open(&options, NULL, &node, err);
	if (rc)
		return rc;
	import->machine = block_describe(node);
	if (!img_flag(import->img, "no-check"))
		rc = node->format->check(node, &check, err);
	block_close(node);
	if (rc || !first.code)
		return rc;
	err_set(err, first.code, "appliance '%s': %s", options.path, first.text);
	return err_hint(err, "get it anew; --no-check takes it as it is");
}

/* ---- disks ---- */

/* "disk1.vmdk" becomes "FOLDER/disk1.qcow2", a disk without a file "FOLDER/ID.qcow2". */
static char *path_for(const struct import *import, size_t index, const json_t *disk)
{
	const char *file = json_string_value(json_object_get(disk, "file"));
	const char *dot = file ? strrchr(file, '.') : NULL;
	const char *const *extensions = import->format->extensions;
	char *path, number[24];

	snprintf(number, sizeof(number), "disk%zu", index + 1);
	if (asprintf(&path, "%s/%.*s.%s", import->img->operands[1],
		     (int)(dot ? (size_t)(dot - file) : strlen(file ? file : number)),
		     file ? file : number, extensions ? extensions[0] : import->format->name) < 0)
		return NULL;
	return path;
}

static int create_disk(struct import *import, const char *path, uint64_t bytes, struct err *err)
{
	struct block_create_options options = {
		.path = path,
		.format = import->format->name,
		.bytes = (bytes + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR,
		.settings = import->settings,
		.overwrite = img_flag(import->img, "overwrite"),
	};
	struct stat st;
	bool is_new = stat(path, &st) != 0;
	char *made;
	int rc = block_create(&options, err);

	if (rc || !is_new)
		return rc;
	made = strdup(path);
	if (made && !vec_push(&import->made, made))
		return 0;
	free(made);
	return err_errno(err, ENOMEM, "cannot import");
}

static int open_target(struct import *import, const char *path, struct block_node **ret_node,
		       struct err *err)
{
	struct block_open_options options = {
		.path = path,
		.format = import->format->name,
		.cache = BLOCK_CACHE_UNSAFE,
	};
	json_t *settings;
	int rc = img_made_settings(import->img, import->format->name, &settings, err);

	if (rc)
		return rc;
	options.settings = settings;
	rc = block_open(&options, NULL, ret_node, err);
	json_decref(settings);
	return rc;
}

static int copy_disk(struct import *import, size_t index, const char *path, struct err *err)
{
	json_t *settings = json_pack("{s:o}", "disk", json_sprintf("%zu", index + 1));
	struct block_open_options options = options_of(import, settings);
	struct block_node *from = NULL, *to = NULL;
	int rc = block_open(&options, NULL, &from, err);

	json_decref(settings);
	if (!rc)
		rc = create_disk(import, path, block_size_bytes(from), err);
	if (!rc)
		rc = open_target(import, path, &to, err);
	if (!rc)
		rc = img_copy_disk(import->img, from, to, true, err);
	block_close(from);
	block_close(to);
	return rc;
}

static int import_disk(struct import *import, size_t index, const json_t *disk, struct err *err)
{
	uint64_t bytes = (uint64_t)json_integer_value(json_object_get(disk, "size"));
	AUTO_FREE char *path = path_for(import, index, disk);
	int rc = path ? 0 : err_errno(err, ENOMEM, "cannot import");

	if (!rc)
		rc = json_object_get(disk, "file") ? copy_disk(import, index, path, err)
						   : create_disk(import, path, bytes, err);
	if (!rc)
		json_array_append_new(import->disks,
				      json_pack("{s:s, s:s, s:O}", "path", path, "format",
						import->format->name, "size",
						json_object_get(disk, "size")));
	return rc;
}

/* ---- the result ---- */

/* For the shell, which the line may be given to. */
static void print_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	}
	putchar('\'');
}

static void print_text(const json_t *result)
{
	const char *name = json_string_value(json_object_get(result, "machine"));
	const char *checksums = json_string_value(json_object_get(result, "checksums"));
	size_t i;
	json_t *disk;

	printf("imported '%s'; %s\n", name ? name : "a machine",
	       checksums ? "its checksums are right" : "it was not compared with checksums");
	printf("cella run --cpus %lld --memory %lldM",
	       (long long)json_integer_value(json_object_get(result, "cpus")),
	       (long long)json_integer_value(json_object_get(result, "memory")) >> 20);
	json_array_foreach(json_object_get(result, "disks"), i, disk)
	{
		fputs(" --disk ", stdout);
		print_quoted(json_string_value(json_object_get(disk, "path")));
	}
	for (i = 0; i < (size_t)json_integer_value(json_object_get(result, "nics")); i++)
		fputs(" --net user", stdout);
	putchar('\n');
}

static void show(struct import *import)
{
	json_t *result = json_object();
	const char *const facts[] = { "machine", "operating-system", "cpus", "memory", "nics" };
	json_t *checksums = json_object_get(import->machine, "checksums");

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		json_object_set(result, facts[i], json_object_get(import->machine, facts[i]));
	if (checksums && !img_flag(import->img, "no-check"))
		json_object_set(result, "checksums", checksums);
	json_object_set(result, "disks", import->disks);
	img_print(import->img, result, print_text);
}

static int run(struct import *import, struct err *err)
{
	json_t *disk;
	size_t index;
	int rc = img_settings(import->img, "options", &import->settings, err);

	if (!rc)
		rc = check_package(import, err);
	json_array_foreach(json_object_get(import->machine, "disks"), index, disk)
	{
		rc = rc ? rc : import_disk(import, index, disk, err);
	}
	return rc;
}

int img_import(struct img *img, struct err *err)
{
	const char *name = img_value(img, "output-format");
	struct import import = { .img = img, .disks = json_array() };
	char **path;
	int rc;

	rc = block_format_choose(name ? name : "qcow2", &import.format, err);
	if (!rc)
		rc = run(&import, err);
	if (!rc)
		show(&import);
	vec_for_each (path, &import.made) {
		if (rc)
			unlink(*path);
		free(*path);
	}
	vec_fini(&import.made);
	json_decref(import.settings);
	json_decref(import.machine);
	json_decref(import.disks);
	return rc ? IMG_FAILED : IMG_DONE;
}
