/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New images: the file, its backing file, and the format's own part. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/file/raw.h"
#include "block/opener_priv.h"

/* Opens the backing file once, to know that it is one, its size, and its format. */
static int look_at_backing(struct block_opener *opener, const struct block_create_options *options,
			   struct block_format_create *create, struct err *err)
{
	struct block_node *node;
	int rc;

	if (!options->backing)
		return 0;
	rc = block_opener_image(opener, options->backing, options->backing_format, &node, err);
	if (rc)
		return rc;
	create->backing = options->backing;
	create->backing_format = node->format->name;
	if (options->bytes == UINT64_MAX)
		create->bytes = block_size_bytes(node);
	block_close(node);
	return 0;
}

static int check_size(const struct block_create_options *options,
		      const struct block_format_create *create, struct err *err)
{
	if (create->bytes == UINT64_MAX)
		return err_set(err, EINVAL, "cannot create image '%s' without a size",
			       options->path);
	if (create->bytes > BLOCK_SIZE_MAX || create->bytes % BLOCK_SECTOR)
		return err_set(err, EINVAL,
			       "cannot create image '%s': size %llu is no multiple of %d",
			       options->path, (unsigned long long)create->bytes, BLOCK_SECTOR);
	return 0;
}

static int open_target(struct block_opener *opener, const struct block_create_options *options,
		       bool *ret_made, struct block_node **ret_file, struct err *err)
{
	int fd, rc;

	if (block_protocol_of_path(options->path))
		return opener_open_storage(opener->chain->options, -1, NULL, ret_file, err);
	fd = open(options->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0644);
	*ret_made = fd >= 0;
	if (fd < 0 && errno == EEXIST && options->overwrite)
		fd = open(options->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		rc = -errno;
		err_errno(err, rc, "cannot create image '%s'", options->path);
		if (rc == -EEXIST)
			err_hint(err, "say that it may be overwritten");
		return rc;
	}
	return raw_open(opener->chain->options, fd, NULL, ret_file, err);
}

/* The old content of a file must not show through; a device keeps its size. */
static int empty_target(struct block_opener *opener, struct block_node *file, bool made,
			struct err *err)
{
	if (made || !opener->has_identity || !S_ISREG(opener->identity.st_mode))
		return 0;
	return block_resize(file, 0, err);
}

static int create_on(struct block_opener *opener, const struct block_create_options *options,
		     const struct block_format *format, struct block_format_create *create,
		     bool made, struct err *err)
{
	json_t *settings = NULL;
	int rc;

	opener_identify(opener, create->file);
	rc = look_at_backing(opener, options, create, err);
	if (!rc)
		rc = check_size(options, create, err);
	if (!rc)
		rc = block_settings_complete(format->create_options, options->settings, &settings,
					     err);
	if (!rc)
		rc = empty_target(opener, create->file, made, err);
	if (!rc) {
		create->settings = settings;
		create->file->grows = true;
		rc = format->create(create, err);
	}
	json_decref(settings);
	if (!rc) {
		rc = block_flush(create->file);
		if (rc)
			err_errno(err, rc, "cannot write image '%s'", options->path);
	}
	return rc;
}

static void forget_created(struct chain *chain, bool remove)
{
	char **path;

	vec_for_each (path, &chain->created) {
		if (remove)
			unlink(*path);
		free(*path);
	}
	vec_fini(&chain->created);
}

static int find_creatable(const struct block_create_options *options,
			  const struct block_format **ret_format, struct err *err)
{
	const struct block_format *format = block_format_of_path(options->path);
	int rc = options->format ? block_format_choose(options->format, &format, err) : 0;

	if (rc)
		return rc;
	if (!format)
		format = block_format_find("raw");
	if (!format->create)
		return err_set(err, ENOTSUP, "cannot create images of format '%s'", format->name);
	*ret_format = format;
	return 0;
}

int block_create(const struct block_create_options *options, struct err *err)
{
	struct block_open_options open_options = {
		.path = options->path,
		.locked = true,
		.connector = options->connector,
		.folders = options->folders,
		.anywhere = options->anywhere,
	};
	struct chain chain = { .options = &open_options };
	struct block_opener opener = { .chain = &chain, .path = options->path };
	struct block_format_create create = { .opener = &opener, .bytes = options->bytes };
	const struct block_format *format = NULL;
	bool made = false;
	int rc = find_creatable(options, &format, err);

	if (rc)
		return rc;
	rc = open_target(&opener, options, &made, &create.file, err);
	if (!rc) {
		chain.folder = opener_folder_of(options->path);
		rc = create_on(&opener, options, format, &create, made, err);
		block_close(create.file);
		free(chain.folder);
	}
	if (rc && made)
		unlink(options->path);
	forget_created(&chain, rc);
	return rc;
}
