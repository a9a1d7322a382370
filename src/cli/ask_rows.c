/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options that stand for rows of the API's schemas: their names, and the rows that names mean. */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/ask_priv.h"

#define DEPTH_MAX 4
#define FILE_END  "-file"

/* A row is reached through the objects before it. */
struct path {
	const struct schema_field *rows[DEPTH_MAX + 1];
	unsigned count;
};

static bool is_inner(const struct schema_field *row)
{
	return row->type == SCHEMA_OBJECT && !row->list;
}

bool ask_is_secret(const struct schema_field *row)
{
	return row && (row->flags & SCHEMA_SECRET);
}

/* "disk" may stand for one of "disks". */
static bool names(const struct schema_field *row, const char *option, size_t length)
{
	size_t bytes = strlen(row->name);
	bool many = row->list || row->type == SCHEMA_MAP;

	if (strncmp(row->name, option, MIN(bytes, length)))
		return false;
	return bytes == length || (many && bytes == length + 1 && row->name[length] == 's');
}

static bool find_path(const struct schema_field *rows, const char *option, size_t length,
		      struct path *path)
{
	if (path->count > DEPTH_MAX)
		return false;
	for (; rows && rows->name; rows++) {
		size_t bytes = strlen(rows->name);

		path->rows[path->count] = rows;
		if (!is_inner(rows) && names(rows, option, length)) {
			path->count++;
			return true;
		}
		if (!is_inner(rows) || length <= bytes || option[bytes] != '-' ||
		    strncmp(rows->name, option, bytes))
			continue;
		path->count++;
		/* "boot-order" begins as what is in "boot" does. */
		if (find_path(rows->fields, option + bytes + 1, length - bytes - 1, path))
			return true;
		path->count--;
	}
	return false;
}

/* A row of one object that no other object has: "kernel" of "boot". */
static bool find_short(const struct schema_field *rows, const char *option, size_t length,
		       struct path *path)
{
	for (; rows && rows->name; rows++) {
		const struct schema_field *inner = is_inner(rows) ? rows->fields : NULL;

		for (; inner && inner->name; inner++) {
			if (is_inner(inner) || !names(inner, option, length))
				continue;
			if (path->count)
				return false;
			*path = (struct path){ { rows, inner }, 2 };
		}
	}
	return path->count;
}

static bool has_row(const struct schema_field *rows, const char *name)
{
	for (; rows && rows->name; rows++) {
		if (!strcmp(rows->name, name))
			return true;
	}
	return false;
}

/* A row of the spec whose name means something else: "format" is also the output's. */
static bool is_taken(const struct ask *ask, const char *name)
{
	return ask->kind && (ask_find_known(ask->switches | ASK_SERVER, name, strlen(name)) ||
			     has_row(ask->common, name));
}

/* "image-format" is the taken "format". */
static bool find_taken(const struct ask *ask, const char *option, size_t length, struct path *path)
{
	size_t bytes = ask->kind ? strlen(ask->kind) + 1 : 0;
	struct path found = { 0 };

	if (!bytes || length <= bytes || option[bytes - 1] != '-' ||
	    strncmp(option, ask->kind, bytes - 1) ||
	    !find_path(ask->fields, option + bytes, length - bytes, &found) ||
	    !is_taken(ask, found.rows[0]->name))
		return false;
	*path = found;
	return true;
}

static json_t *enter(json_t *object, const char *name)
{
	json_t *inner = json_object_get(object, name);

	if (!inner && object) {
		inner = json_object();
		json_object_set_new(object, name, inner);
	}
	return inner;
}

struct ask_place ask_find_place(const struct ask *ask, const char *option, size_t length)
{
	json_t *object = ask->object;
	struct path path = { 0 };

	if (!find_path(ask->common, option, length, &path)) {
		if (!find_path(ask->fields, option, length, &path) &&
		    !find_taken(ask, option, length, &path) &&
		    !find_short(ask->fields, option, length, &path))
			return (struct ask_place){ 0 };
		if (ask->inner)
			object = enter(object, ask->inner);
	}
	for (unsigned i = 0; i + 1 < path.count; i++)
		object = enter(object, path.rows[i]->name);
	return (struct ask_place){ path.rows[path.count - 1], object };
}

struct ask_place ask_find_secret_file(const struct ask *ask, const char *option, size_t length)
{
	size_t bytes = length - MIN(length, strlen(FILE_END));
	struct ask_place place = { 0 };

	if (bytes && !strncmp(option + bytes, FILE_END, strlen(FILE_END)))
		place = ask_find_place(ask, option, bytes);
	return ask_is_secret(place.row) ? place : (struct ask_place){ 0 };
}

const struct schema_field *ask_find_row(const struct ask *ask, const char *option)
{
	const struct schema_field *row;
	struct ask look = *ask;

	look.object = NULL;
	row = ask_find_place(&look, option, strlen(option)).row;
	if (!row)
		return ask_find_secret_file(&look, option, strlen(option)).row;
	return ask_is_secret(row) ? NULL : row;
}

static bool walk(const struct schema_field *rows, const char *before, unsigned depth,
		 ask_row_function *f, void *ctx)
{
	for (; rows && rows->name; rows++) {
		char option[ASK_OPTION_BYTES];

		snprintf(option, sizeof(option), "%s%s%s", before, *before ? "-" : "", rows->name);
		if (is_inner(rows) && depth < DEPTH_MAX) {
			if (walk(rows->fields, option, depth + 1, f, ctx))
				return true;
		} else if (f(ctx, option, rows)) {
			return true;
		}
	}
	return false;
}

/* Gives taken names the kind's before them. */
struct renaming {
	const struct ask *ask;
	ask_row_function *f;
	void *ctx;
};

static bool call_renamed(void *ctx, const char *option, const struct schema_field *row)
{
	const struct renaming *renaming = ctx;
	char name[2 * ASK_OPTION_BYTES];

	if (!is_taken(renaming->ask, option))
		return renaming->f(renaming->ctx, option, row);
	snprintf(name, sizeof(name), "%s-%s", renaming->ask->kind, option);
	return renaming->f(renaming->ctx, name, row);
}

bool ask_walk(const struct ask *ask, ask_row_function *f, void *ctx)
{
	struct renaming renaming = { ask, f, ctx };

	return walk(ask->common, "", 0, f, ctx) ||
	       walk(ask->fields, "", 0, call_renamed, &renaming);
}
