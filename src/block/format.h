/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A format of disk images: what one file in format/ fills in, and the table of all.
 *
 * A format opens a node (node.h) on a file that the generic code has opened, and closes nothing but
 * itself. All fields of an image are hostile: every one is checked before it is used, memory and
 * time are bounded by the size of the file and by options, and an image that is refused is refused
 * with words: which structure, where, what is wrong.
 *
 * To add a format: format/<name>.c (and <name>_*.c) with one `const struct block_format`, a row in
 * format/formats.c, a page in docs/formats/, a fuzz entry, tests/unit/block/<name>_test.c.
 */
#pragma once

#include "block/block.h"
#include "block/node.h"
#include "block/opener.h"

/* ---- options ---- */

enum block_option_type {
	BLOCK_OPTION_STRING,
	BLOCK_OPTION_BOOLEAN, /* on, off */
	BLOCK_OPTION_SIZE,    /* bytes; K, M, G, T */
	BLOCK_OPTION_NUMBER,
};

/* A row of options; the last one has no name. From it come parsing, presets and help. */
struct block_option {
	const char *name;
	enum block_option_type type;
	const char *help;
	const char *preset;         /* as it is typed; NULL: no value when not given */
	const char *const *choices; /* STRING: ends with NULL; NULL: any */
	uint64_t min, max;          /* SIZE, NUMBER; max 0: none */
	bool power_of_two;          /* SIZE, NUMBER */
};

/*
 * Settings as JSON: strings, booleans, integers by the row's type, all rows without a value set to
 * their preset. `given` holds what the user said, values as typed (strings) or typed (JSON); NULL:
 * nothing. Unknown names and wrong values: -EINVAL, explained.
 */
int block_settings_complete(const struct block_option *rows, const json_t *given,
			    json_t **ret_settings, struct err *err);
/* "name=value,…" added to the object. */
int block_settings_parse(json_t *settings, const char *text, struct err *err);

/* Of settings for opening: those without "backing." in front, and those with it, without it. New
 * reference; NULL: no memory. */
json_t *block_settings_own(const json_t *settings);
json_t *block_settings_below(const json_t *settings);

/* Of complete settings. NULL, false, 0 where there is no value. */
const char *block_setting_string(const json_t *settings, const char *name);
bool block_setting_boolean(const json_t *settings, const char *name);
uint64_t block_setting_number(const json_t *settings, const char *name);

/* ---- finding and opening ---- */

#define BLOCK_PROBE_HEAD 4096
#define BLOCK_PROBE_TAIL 512
#define BLOCK_START_MAX  MIB

/* What probing looks at. */
struct block_header {
	const uint8_t *head; /* BLOCK_PROBE_HEAD bytes, zeroes behind the end of the file */
	const uint8_t
		*tail; /* the last BLOCK_PROBE_TAIL bytes of the file, zeroes if it is shorter */
	uint64_t file_bytes;
};

struct block_format_open {
	/* Where the image is: takes any range, grows when it is written. Belongs to the format's
	 * node once open() returns 0 (block_node_add()), to the caller after a failure. */
	struct block_node *file;
	struct block_opener *opener; /* for further files; borrowed for the call */
	struct loop *loop;
	bool read_only;
	bool no_backing;
	bool locked;            /* see block_open_options */
	bool check;             /* see block_open_options; then it must not write by itself */
	uint64_t cache_bytes;   /* of metadata in memory, not 0 */
	const json_t *settings; /* of `open_options`, complete */
};

/* ---- creating ---- */

struct block_format_create {
	struct block_node *file;     /* empty (or with old content: a device), writable, grows */
	struct block_opener *opener; /* for further files */
	uint64_t bytes;              /* size of the disk, a multiple of BLOCK_SECTOR */
	const char *backing;         /* name to write down, checked to open; NULL: none */
	const char *backing_format;  /* NULL only if backing is */
	const json_t *settings;      /* of `create_options`, complete */
};

/* For formats: bytes of the granules of a disk (NULL: an empty one) that are not known to be zero. */
int block_count_data(struct block_node *node, uint64_t granule_bytes, uint64_t *ret_bytes,
		     struct err *err);

/* ---- checking ---- */

enum block_repair {
	BLOCK_REPAIR_NOTHING,
	BLOCK_REPAIR_LEAKS, /* only what cannot lose data */
	BLOCK_REPAIR_ALL,
};

enum block_finding {
	BLOCK_FINDING_ERROR,   /* data is or may be lost */
	BLOCK_FINDING_LEAK,    /* space is lost, nothing else */
	BLOCK_FINDING_UNKNOWN, /* could not be checked: an I/O error */
	BLOCK_FINDINGS
};

struct block_check {
	enum block_repair repair;
	/* Told each finding, one line; NULL: only counted. The first 1000 of a kind are told. */
	void (*told)(void *ctx, enum block_finding finding, bool repaired, const char *text);
	void *ctx;

	uint64_t found[BLOCK_FINDINGS], repaired[BLOCK_FINDINGS];
	uint64_t granules, allocated, compressed; /* of the disk; 0 where it means nothing */
	uint64_t file_end;                        /* bytes of the file in use */
};

/* For formats: counts and tells. */
void block_check_add(struct block_check *check, enum block_finding finding, bool repaired,
		     const char *format, ...) PRINTF_LIKE(4, 5);

/* ---- internal snapshots ---- */

struct block_snapshot_ops {
	/* Array of {"id", "name", "date" (seconds), "size", "vm-state" (bytes)}; new reference. */
	int (*list)(struct block_node *node, json_t **ret_list, struct err *err);
	int (*create)(struct block_node *node, const char *name, struct err *err);
	/* By name or, if there is none, by id. The disk becomes what it was. */
	int (*apply)(struct block_node *node, const char *name, struct err *err);
	int (*remove)(struct block_node *node, const char *name, struct err *err);
};

/* ---- dirty bitmaps ---- */

struct block_bitmap_ops {
	/* Array of {"name", "granularity", "enabled", "busy" (was not closed cleanly), "dirty"
	 * (bytes)}; new reference. */
	int (*list)(struct block_node *node, json_t **ret_list, struct err *err);
	int (*add)(struct block_node *node, const char *name, uint32_t granularity_bytes,
		   struct err *err);
	int (*remove)(struct block_node *node, const char *name, struct err *err);
	int (*clear)(struct block_node *node, const char *name, struct err *err);
	int (*enable)(struct block_node *node, const char *name, bool enabled, struct err *err);
	/* The range becomes dirty, also if the bitmap is not enabled. */
	int (*set)(struct block_node *node, const char *name, uint64_t offset, uint64_t bytes,
		   struct err *err);
	/* Whether `*ret_bytes` (at most `bytes`) from `offset` on are dirty or not. Any thread. */
	int (*status)(struct block_node *node, const char *name, uint64_t offset, uint64_t bytes,
		      bool *ret_dirty, uint64_t *ret_bytes);
};

/* ---- key slots of encrypted images ---- */

struct block_key_ops {
	const struct block_option *slot_options; /* of add(); where the new passphrase is: "key" */
	/* Array of {"slot", "kdf", …}; new reference. */
	int (*list)(struct block_node *node, json_t **ret_list, struct err *err);
	/* `settings`: complete. */
	int (*add)(struct block_node *node, const json_t *settings, unsigned *ret_slot,
		   struct err *err);
	/* The last one, without which all data is lost, only with `last`. */
	int (*remove)(struct block_node *node, unsigned slot, bool last, struct err *err);
	/* Another node of the same image, which has found its key, lends it to a locked one. */
	int (*unlock_as)(struct block_node *node, struct block_node *unlocked);
};

/* ---- the format ---- */

struct block_format {
	const char *name;               /* "qcow2" */
	const char *summary;            /* one line of help */
	const char *const *extensions;  /* without the dot; ends with NULL */
	const char *const *other_names; /* also understood ("vpc"); ends with NULL; NULL: none */
	/* Never found by its content, because guests put it on raw disks of their own accord:
	 * encrypted disks. */
	bool only_named;
	const struct block_option *open_options;   /* NULL: none */
	const struct block_option *create_options; /* NULL: none */

	/* 0: not this format; to 100: sure. Looks at nothing but the header; any thread. */
	unsigned (*probe)(const struct block_header *header);
	int (*open)(const struct block_format_open *open, struct block_node **ret_node,
		    struct err *err);
	/*
	 * Tells the names of the further files that the image itself consists of, as its start says: at
	 * most BLOCK_START_MAX bytes, with a NUL behind. For walls that stand before the image is opened,
	 * so it looks at nothing else, and the names may be those of an image that is then refused. NULL:
	 * it is one file.
	 */
	void (*tell_files)(const uint8_t *start, size_t bytes,
			   void (*tell)(void *ctx, const char *name), void *ctx);

	/* All below: optional, blocking, nobody else uses the node meanwhile. */

	/* Writes a new image and flushes it. NULL: cannot be made here. */
	int (*create)(const struct block_format_create *create, struct err *err);
	/* Bytes of file that an image with these options takes: with the data of `from` (NULL:
	 * of an empty disk), and with all written. */
	int (*measure)(const struct block_format_create *create, struct block_node *from,
		       uint64_t *ret_required, uint64_t *ret_full, struct err *err);
	/* The whole metadata; 0 also if there are findings. */
	int (*check)(struct block_node *node, struct block_check *check, struct err *err);
	/* Changes only what is written down. `backing` is the image of that name, borrowed for the
	 * call: its format, and what identifies it, are written down too. NULL both: none. */
	int (*set_backing)(struct block_node *node, const char *name, struct block_node *backing,
			   struct err *err);
	/* Every change of an image is one of what identifies it: those that stand on it want a
	 * set_backing() then. */
	bool identity_changes;
	/* Makes all of the disk unallocated again, for a commit. */
	int (*empty)(struct block_node *node, struct err *err);
	const struct block_snapshot_ops *snapshots;
	const struct block_bitmap_ops *bitmaps;
	const struct block_key_ops *keys;
};

/* All formats; the last one is NULL. */
extern const struct block_format *const block_formats[];

/* By name, other names included. NULL: none. */
const struct block_format *block_format_find(const char *name);

/* As block_format_find(), or -EINVAL and a message that says which there are. */
int block_format_choose(const char *name, const struct block_format **ret_format, struct err *err);

/* By the extension of the file's name. NULL: none. */
const struct block_format *block_format_of_path(const char *path);

/* What opens the storage behind "<scheme>:…" names: a file over the network. */
struct block_protocol {
	const char *scheme; /* "nbd" for "nbd:…" */
	/* A file: takes any range; `options` has the name in `path`. */
	int (*open)(const struct block_open_options *options, struct loop *loop,
		    struct block_node **ret_node, struct err *err);
};

/* All protocols; the last one is NULL. */
extern const struct block_protocol *const block_protocols[];

/* By the scheme of the name. NULL: a path of the host. */
const struct block_protocol *block_protocol_of_path(const char *path);

struct block_create_options {
	const char *path;
	const char *format;                /* NULL: by extension, else raw */
	uint64_t bytes;                    /* UINT64_MAX: that of the backing file */
	const char *backing;               /* NULL: none */
	const char *backing_format;        /* NULL: found strictly */
	const json_t *settings;            /* of create_options, as given; NULL: presets */
	struct block_connector *connector; /* as in block_open_options */
	bool overwrite;                    /* an existing file too; else -EEXIST */
	const char *const *folders;        /* for the backing file, as in block_open_options */
	bool anywhere;
};

/* Makes an image and closes it again. After a failure the file is gone (a device or an existing file
 * stays). */
int block_create(const struct block_create_options *options, struct err *err);
