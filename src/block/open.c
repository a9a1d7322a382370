/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From options to a chain of nodes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/filter/snapshot.h"
#include "block/opener_priv.h"

#define CACHE_BYTES (16 * MIB)

static const char *const cache_names[] = {
	[BLOCK_CACHE_WRITEBACK] = "writeback",
	[BLOCK_CACHE_NONE] = "none",
	[BLOCK_CACHE_UNSAFE] = "unsafe",
};

int block_cache_parse(const char *name, enum block_cache *ret_cache)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cache_names); i++) {
		if (!strcmp(name, cache_names[i])) {
			*ret_cache = (enum block_cache)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *block_cache_name(enum block_cache cache)
{
	return cache_names[cache];
}

/* The format whose header the file has, raw if none's. */
static int probe(struct block_node *file, const char *path, const struct block_format **ret_format,
		 struct err *err)
{
	uint64_t bytes = block_size_bytes(file);
	uint64_t head = MIN(bytes, (uint64_t)BLOCK_PROBE_HEAD);
	AUTO_FREE uint8_t *buffer = calloc(1, BLOCK_PROBE_HEAD + BLOCK_PROBE_TAIL);
	struct block_header header = { buffer, buffer + BLOCK_PROBE_HEAD, bytes };
	unsigned best = 0;
	int rc;

	if (!buffer)
		return err_errno(err, ENOMEM, "cannot open disk '%s'", path);
	rc = block_read(file, 0, buffer, head);
	if (!rc && bytes >= BLOCK_PROBE_TAIL)
		rc = block_read(file, bytes - BLOCK_PROBE_TAIL, buffer + BLOCK_PROBE_HEAD,
				BLOCK_PROBE_TAIL);
	if (rc)
		return err_errno(err, rc, "cannot read disk '%s'", path);
	for (const struct block_format *const *format = block_formats; *format; format++) {
		unsigned score = (*format)->only_named ? 0 : (*format)->probe(&header);

		if (score > best) {
			best = score;
			*ret_format = *format;
		}
	}
	return 0;
}

static int disagree(const char *path, const struct block_format *named,
		    const struct block_format *found, const struct block_format *raw,
		    struct err *err)
{
	if (found == raw) {
		err_set(err, EMEDIUMTYPE, "disk '%s' has no header of format '%s'", path,
			named->name);
		err_hint(err, "name its format: format=raw, if it is one");
	} else {
		err_set(err, EMEDIUMTYPE,
			"disk '%s' has the header of format '%s', but its name does not say so",
			path, found->name);
		err_hint(err,
			 "name its format: format=%s, or format=raw if a guest may have written it",
			 found->name);
	}
	return -EMEDIUMTYPE;
}

/* Which format the image has. A guest may have written the content, so see enum block_probe. */
static int find_format(struct block_opener *opener, struct block_node *file, const char *name,
		       const struct block_format **ret_format, struct err *err)
{
	const struct block_format *raw = block_format_find("raw"), *named, *found = raw;
	bool strict = opener->parent || opener->chain->options->probe == BLOCK_PROBE_STRICT;
	int rc;

	if (name) {
		rc = block_format_choose(name, ret_format, err);
		return rc ? err_wrap(err, "disk '%s'", opener->path) : 0;
	}
	named = block_format_of_path(opener->path);
	if (named && named->only_named)
		named = NULL;
	rc = probe(file, opener->path, &found, err);
	if (rc)
		return rc;
	if (found != (named ? named : raw)) {
		if (strict)
			return disagree(opener->path, named, found, raw, err);
		opener->guessed = true;
	}
	*ret_format = found;
	return 0;
}

static int open_format(struct block_opener *opener, const struct block_format *format,
		       struct block_node *file, bool read_only, struct block_node **ret_node,
		       struct err *err)
{
	const struct block_open_options *options = opener->chain->options;
	struct block_format_open open = {
		.file = file,
		.opener = opener,
		.loop = opener->chain->loop,
		.read_only = read_only,
		.no_backing = options->no_backing,
		.locked = options->locked || options->check,
		.check = options->check && !opener->parent,
		.cache_bytes = options->cache_bytes ? options->cache_bytes : CACHE_BYTES,
	};
	json_t *settings = NULL, *own = block_settings_own(opener->settings);
	int rc = own ? block_settings_complete(format->open_options, own, &settings, err)
		     : err_errno(err, ENOMEM, "cannot open disk '%s'", opener->path);

	json_decref(own);
	if (rc && err)
		err_wrap(err, "disk '%s'", opener->path);
	if (rc)
		return rc;
	open.settings = settings;
	file->grows = !read_only;
	rc = format->open(&open, ret_node, err);
	json_decref(settings);
	if (!rc)
		(*ret_node)->format = format;
	return rc;
}

/* Settings for an image that is not there are a mistake. */
static int check_below(const struct block_opener *opener, struct err *err)
{
	json_t *below = block_settings_below(opener->settings);
	bool wrong = json_object_size(below) && !opener->has_image &&
		     !opener->chain->options->no_backing;
	int rc = 0;

	if (!below)
		rc = err_errno(err, ENOMEM, "cannot open disk '%s'", opener->path);
	else if (wrong)
		rc = err_set(err, EINVAL,
			     "option 'backing.%.64s': disk '%s' stands on no other image",
			     json_object_iter_key(json_object_iter(below)), opener->path);
	json_decref(below);
	return rc;
}

int opener_open_image(struct block_opener *opener, int fd, const char *format_name, bool read_only,
		      struct block_node **ret_node, struct err *err)
{
	struct block_open_options options = *opener->chain->options;
	const struct block_format *format = NULL;
	struct block_node *file, *node;
	int rc;

	options.path = opener->path;
	options.read_only = read_only;
	rc = opener_open_storage(&options, fd, opener->chain->loop, &file, err);
	if (rc)
		return rc;
	if (!opener->parent)
		opener_identify(opener, file);
	rc = find_format(opener, file, format_name, &format, err);
	if (!rc)
		rc = open_format(opener, format, file, read_only, &node, err);
	if (rc) {
		block_close(file);
		return rc;
	}
	rc = check_below(opener, err);
	if (rc)
		block_close(node);
	else
		*ret_node = node;
	return rc;
}

int block_open(const struct block_open_options *options, struct loop *loop,
	       struct block_node **ret_node, struct err *err)
{
	bool overlay = options->snapshot && !options->read_only;
	struct chain chain = { .options = options, .loop = loop };
	struct block_opener opener = {
		.chain = &chain,
		.path = options->path,
		.settings = options->settings,
	};
	struct block_node *node, *base;
	int rc;

	chain.folder = opener_folder_of(options->path);
	rc = opener_open_image(&opener, -1, options->format,
			       options->read_only || options->snapshot, &node, err);
	free(chain.folder);
	if (rc)
		return rc;
	/* A disk that is only read needs no overlay. */
	if (overlay) {
		base = node;
		rc = snapshot_open(base, options, loop, &node, err);
		if (rc)
			node = base;
	}
	if (!rc && !node->ops->queue)
		rc = block_node_start_workers(node, BLOCK_WORKERS, err);
	if (rc) {
		block_close(node);
		return rc;
	}
	*ret_node = node;
	return 0;
}
