/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of `cella image`: one row each, with the arguments it takes; parsing and help come
 * from the rows.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "base/err.h"
#include "block/format.h"

/* Exit statuses; a part of the interface (cella-image.1). */
enum {
	IMG_DONE = 0,      /* done; compare: same; check: nothing found, or all repaired */
	IMG_FAILED = 1,    /* wrong use, or it could not be done */
	IMG_DIFFERENT = 2, /* compare: the disks differ; check: errors were found */
	IMG_LEAKS = 3,     /* check: only leaks were found */
	IMG_UNCHECKED = 4, /* check: the format has no check, or not all could be read */
};

/* A row of arguments; the last one has no name. */
struct img_argument {
	const char *name;  /* without dashes */
	char letter;       /* short form; 0: none */
	const char *value; /* as help shows it; NULL: a flag */
	const char *help;
	bool many; /* may be given several times */
};

/* What a command does to an operand. */
enum img_access {
	IMG_NOTHING, /* it is no file */
	IMG_LISTS,   /* a folder */
	IMG_READS,
	IMG_CHANGES, /* an existing image */
	IMG_COMMITS, /* also what it stands on */
	IMG_MAKES,   /* also further files beside it */
	IMG_FILLS,   /* a folder, with new files */
};

#define IMG_OPERANDS_MAX 16

struct img;

struct img_command {
	const char *name, *summary;
	const char *operands; /* as usage shows them */
	unsigned operands_min, operands_max;
	enum img_access access[IMG_OPERANDS_MAX];
	bool locked;     /* works on encrypted images also without their key */
	bool unconfined; /* runs without the sandbox */
	bool serves;     /* opens sockets, and then calls img_confine() itself */
	const struct img_argument *arguments; /* besides --json and --help */
	/* An exit status; IMG_FAILED with `err` set. */
	int (*run)(struct img *img, struct err *err);
	/* Optional: sets operands as `access` and `run` expect them. 0 or -EINVAL. */
	int (*prepare)(struct img *img, struct err *err);
	/* Optional: help behind the arguments. */
	void (*more_help)(FILE *out);
};

/* One call of the program. */
#define IMG_REMOVES_MAX 2

struct img {
	const struct img_command *command;
	json_t *values; /* of arguments: string, true, or array of strings */
	char **operands;
	unsigned operand_count;
	char *found[IMG_OPERANDS_MAX]; /* what operands without an extension stand for */
	const char **folders; /* further ones that images may name files in; ends with NULL */
	char *backing_folder; /* one of them */
	const char *removes[IMG_REMOVES_MAX]; /* files that are gone at the end; NULL: none */
	struct sandbox *sandbox;
};

/* -EINVAL for the first argument that is wrong. The caller calls img_fini() in any case. */
int img_parse(struct img *img, const struct img_command *command, int count, char **arguments,
	      struct err *err);
void img_fini(struct img *img);
void img_print_help(FILE *out, const struct img_command *command);

/* The folder that a file is in, or would be; links followed where it exists. NULL: no memory. */
char *img_folder_of(const char *path);

/* The path of a name that is relative to the folder of a file, as images mean them. Caller frees;
 * NULL: no memory. */
char *img_beside(const char *file, const char *name);
/* Reads the passphrases that settings name; before img_confine(). */
int img_hold_secrets(struct img *img, struct err *err);

/* Gives up all rights but to open what the operands name. */
int img_confine(struct img *img, struct err *err);

/* For commands: nothing will be opened any more. */
int img_all_open(struct img *img, struct err *err);

/* Values of arguments: NULL, false where they are not given. */
const char *img_value(const struct img *img, const char *name);
bool img_flag(const struct img *img, const char *name);
const json_t *img_list(const struct img *img, const char *name);

/* A size with unit; `*ret_bytes` untouched if it is not given. -EINVAL explained. */
int img_size(const struct img *img, const char *name, uint64_t *ret_bytes, struct err *err);

/* Prints the result: as JSON if --json was given, else by `text`. Takes the reference. */
void img_print(const struct img *img, json_t *result, void (*text)(const json_t *result));

/* Rows for commands that open images. */
#define IMG_FORMAT_ARGUMENT                                                                        \
	{                                                                                          \
		.name = "format", .letter = 'f', .value = "FORMAT",                                \
		.help = "format of the image; without, its header decides"                         \
	}
#define IMG_OPTIONS_ARGUMENT                                                                       \
	{                                                                                          \
		.name = "image-options", .value = "NAME=VALUE,...",                                \
		.help = "settings of the image's format for opening it, and, as backing.NAME, "    \
			"of those that it stands on",                                              \
		.many = true                                                                       \
	}
#define IMG_ALLOW_ARGUMENTS                                                                        \
	{ .name = "allow",                                                                         \
	  .value = "FOLDER|URI",                                                                   \
	  .help = "also open files below it that images name, or that URI",                        \
	  .many = true },                                                                          \
	{                                                                                          \
		.name = "allow-all", .help = "open all files that images name"                     \
	}
#define IMG_SHARED_ARGUMENT                                                                        \
	{                                                                                          \
		.name = "shared", .help = "read even while a machine writes to it"                 \
	}

/* Settings from an argument that may be given several times; new reference. */
int img_settings(const struct img *img, const char *argument, json_t **ret_settings,
		 struct err *err);

/* Of the settings that an image was made with (--options) those that opening it takes, too: where
 * its key is. New reference. */
int img_made_settings(const struct img *img, const char *format_name, json_t **ret_settings,
		      struct err *err);

/* Options for opening `path` by those arguments; read-only. `*ret_settings` is the caller's. */
int img_open_options(const struct img *img, const char *path, struct block_open_options *options,
		     json_t **ret_settings, struct err *err);

/* Opens an image; who meets it in use is told what this command can do. */
int img_open_as(const struct img *img, const struct block_open_options *options,
		struct block_node **ret_node, struct err *err);

/* Opens an operand by those arguments. */
int img_open(const struct img *img, const char *path, bool writable, struct block_node **ret_node,
	     struct err *err);

/* Behind "is not a size". */
#define IMG_SIZE_HINT "say 512, 64K, 10M, 2G or 1T"

/* "1.5 GiB" in a static buffer of the caller's. */
#define IMG_SIZE_TEXT 32
const char *img_size_text(uint64_t bytes, char buffer[IMG_SIZE_TEXT]);

/* The commands; the last one has no name. */
extern const struct img_command img_commands[];

int img_bench(struct img *img, struct err *err);
int img_bitmap(struct img *img, struct err *err);
int img_check(struct img *img, struct err *err);
int img_checksum(struct img *img, struct err *err);
int img_commit(struct img *img, struct err *err);
int img_compare(struct img *img, struct err *err);
int img_convert(struct img *img, struct err *err);
int img_create(struct img *img, struct err *err);
int img_prepare_dd(struct img *img, struct err *err);
int img_export(struct img *img, struct err *err);
int img_fetch(struct img *img, struct err *err);
int img_formats(struct img *img, struct err *err);
int img_import(struct img *img, struct err *err);
int img_prepare_import(struct img *img, struct err *err);
int img_prepare_list(struct img *img, struct err *err);
int img_images(struct img *img, struct err *err);
int img_info(struct img *img, struct err *err);
int img_key(struct img *img, struct err *err);
int img_map(struct img *img, struct err *err);
int img_measure(struct img *img, struct err *err);
int img_rebase(struct img *img, struct err *err);
int img_resize(struct img *img, struct err *err);
int img_serve(struct img *img, struct err *err);
int img_snapshot(struct img *img, struct err *err);
