/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Schemas: what a JSON object may hold, as rows. Strict validation, presets, and the parsing of the
 * same values from command lines come from them.
 *
 *	static const struct schema_field disk_fields[] = {
 *		{ .name = "path", .type = SCHEMA_STRING, .required = true, .help = "file" },
 *		{ .name = "readonly", .type = SCHEMA_BOOLEAN, .preset = "false", .help = "refuse writes" },
 *		{ 0 }
 *	};
 *
 * Values are hostile: whatever is not in the rows is refused with a message that names it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum schema_type {
	SCHEMA_END,
	SCHEMA_STRING,
	SCHEMA_INTEGER,
	SCHEMA_SIZE, /* an integer of bytes; people write it with K, M, G, T */
	SCHEMA_BOOLEAN,
	SCHEMA_OBJECT,
	SCHEMA_MAP, /* an object of strings under any names; `min`, `max`: bytes of each, `check` */
	SCHEMA_ANY, /* an object that other rows are about */
};

/* What a value is in an object of the API. */
enum schema_flags {
	SCHEMA_FIXED = 1 << 0,  /* given when the object is made, and never changed */
	SCHEMA_LIVE = 1 << 1,   /* a running machine takes the change at once */
	SCHEMA_SECRET = 1 << 2, /* taken, and never shown again */
};

#define SCHEMA_STRING_MAX 4096 /* bytes, unless a row says otherwise */
#define SCHEMA_ITEMS_MAX  64   /* of a list, unless a row says otherwise */

struct schema_field {
	const char *name;
	enum schema_type type;
	bool list;         /* an array of such values */
	bool required;     /* else it may be missing and then becomes its preset, if there is one */
	uint64_t min, max; /* numbers: the range (max 0: INT64_MAX); strings: bytes */
	uint64_t multiple; /* numbers: of what they are multiples; 0: anything */
	unsigned max_items;         /* lists */
	const char *const *choices; /* strings: the words allowed, NULL at the end; NULL: any */
	/* Optional, strings: 0, or -EINVAL with `err` saying what it must be. */
	int (*check)(const char *text, struct err *err);
	const struct schema_field *fields; /* objects */
	const char *preset;                /* as JSON text */
	const char *ref;                   /* strings: the kind of object that they name */
	unsigned flags;                    /* enum schema_flags */
	const char *help;
};

/* The row called `name` ("cpu.count" looks into objects); NULL if there is none. */
const struct schema_field *schema_find(const struct schema_field *fields, const char *name);

/*
 * Checks `object` against the rows, adds missing presets, and puts numbers in the place of sizes that
 * are text ("512M"). `what` starts the message:
 * "configuration", "parameters". -EINVAL names the first thing that is wrong; `object` may then
 * have some of its presets.
 */
int schema_check(const struct schema_field *fields, json_t *object, const char *what,
		 struct err *err);

/* The same; `ret_place` (of `size` bytes) gets the path of what is wrong, "disks[0].size", behind
 * `what`. */
int schema_check_at(const struct schema_field *fields, json_t *object, const char *what,
		    char *ret_place, size_t size, struct err *err);

/*
 * A value of the row's scalar type from a command line's text ("KEY=VALUE" for a map: an object with
 * one member), checked as schema_check() would. New reference in `ret_value`. -EINVAL says what the value must be.
 */
int schema_parse(const struct schema_field *field, const char *text, json_t **ret_value,
		 struct err *err);

/* Reports that `fields` have no `name`: "unknown <what> 'nmae'", and the closest name as the hint.
 * Returns -EINVAL. */
int schema_unknown(const struct schema_field *fields, const char *what, const char *name,
		   struct err *err);

/* Values of an object that was checked; the row's type decides which. Missing: NULL, 0, false. */
const char *schema_string(const json_t *object, const char *name);
uint64_t schema_integer(const json_t *object, const char *name);
bool schema_boolean(const json_t *object, const char *name);
