/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names are resolved first, links and all, then judged, and then opened by a path that must not
 * contain links any more: who swaps a folder for a link in between gains nothing.
 */
#include "block/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "block/connector.h"
#include "block/file/raw.h"
#include "block/opener_priv.h"

const char *block_opener_name(const struct block_opener *opener)
{
	return opener->path;
}

static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

char *block_full_name(const char *name)
{
	return block_protocol_of_path(name) ? strdup(name) : realpath(name, NULL);
}

char *opener_folder_of(const char *path)
{
	AUTO_FREE char *real = realpath(path, NULL);
	struct stat st;

	/* What lies beside a device is not what belongs to it. */
	if (!real || stat(real, &st) || !S_ISREG(st.st_mode))
		return NULL;
	return parent_of(real);
}

/* The name as the image means it: relative ones start at the folder of the image. */
static char *absolute_name(const struct block_opener *opener, const char *name)
{
	AUTO_FREE char *real = realpath(opener->path, NULL);
	AUTO_FREE char *folder = parent_of(real ? real : opener->path);
	char *path = NULL;

	if (*name == '/')
		return strdup(name);
	if (!folder || asprintf(&path, "%s/%s", folder, name) < 0)
		return NULL;
	return path;
}

static bool is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	while (length && folder[length - 1] == '/')
		length--;
	return !strncmp(path, folder, length) && path[length] == '/';
}

static bool is_allowed(const struct chain *chain, const char *real)
{
	const char *const *folder = chain->options->folders;
	AUTO_FREE char *parent = parent_of(real);

	if (chain->options->anywhere || (chain->folder && parent && !strcmp(parent, chain->folder)))
		return true;
	for (; folder && *folder; folder++) {
		AUTO_FREE char *real_folder = realpath(*folder, NULL);

		if (real_folder && is_below(real, real_folder))
			return true;
	}
	return false;
}

static int refuse(const struct block_opener *opener, const char *name, const char *why,
		  const char *hint, struct err *err)
{
	err_set(err, EPERM, "image '%s' names file '%s', which %s", opener->path, name, why);
	err_hint(err, "%s", hint);
	return -EPERM;
}

int opener_resolve(const struct block_opener *opener, const char *name, char **ret_path,
		   struct err *err)
{
	const struct chain *chain = opener->chain;
	AUTO_FREE char *path = absolute_name(opener, name);
	AUTO_FREE char *real = path ? realpath(path, NULL) : NULL;

	if (opener->guessed && !chain->options->anywhere)
		return refuse(opener, name, "is not opened because the format was only guessed",
			      "name the format of the image if you trust it", err);
	if (!real)
		return err_errno(err, path ? errno : ENOMEM, "cannot find file '%s' of image '%s'",
				 name, opener->path);
	if (!is_allowed(chain, real))
		return refuse(opener, name, "is not in its folder",
			      "allow the folder of that file if you trust the image", err);
	*ret_path = take_ptr(&real);
	return 0;
}

int block_resolve(const struct block_open_options *options, const char *name, char **ret_path,
		  struct err *err)
{
	struct chain chain = { .options = options, .folder = opener_folder_of(options->path) };
	struct block_opener opener = { .chain = &chain, .path = options->path };
	int rc;

	if (block_protocol_of_path(name))
		rc = refuse(&opener, name, "is not a local file", "commit to a local file", err);
	else
		rc = opener_resolve(&opener, name, ret_path, err);
	free(chain.folder);
	return rc;
}

static bool is_allowed_uri(const struct block_opener *opener, const char *uri)
{
	const struct block_open_options *options = opener->chain->options;
	const char *const *allowed = options->folders;

	while (allowed && *allowed && !block_connector_matches(*allowed, uri))
		allowed++;
	return options->anywhere || (!opener->guessed && allowed && *allowed);
}

int opener_open_storage(const struct block_open_options *options, int fd, struct loop *loop,
			struct block_node **ret_node, struct err *err)
{
	const struct block_protocol *protocol = block_protocol_of_path(options->path);

	if (!protocol)
		return raw_open(options, fd, loop, ret_node, err);
	if (options->connector)
		return block_connector_open(options, loop, ret_node, err);
	return protocol->open(options, loop, ret_node, err);
}

/* Options for one more file of the chain. */
static struct block_open_options file_options(const struct block_opener *opener, const char *path,
					      bool read_only)
{
	struct block_open_options options = *opener->chain->options;

	options.path = path;
	options.read_only = read_only;
	options.snapshot = false;
	return options;
}

static int open_without_links(const char *path, int flags, struct err *err)
{
	struct open_how how = {
		.flags = (uint64_t)flags,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? err_errno(err, errno, "cannot open disk '%s'", path) : (int)fd;
}

static int count_file(struct chain *chain, struct err *err)
{
	if (++chain->files > BLOCK_FILES_MAX)
		return err_set(err, EMFILE, "image '%s' has more than %d files",
			       chain->options->path, BLOCK_FILES_MAX);
	return 0;
}

/* -ELOOP: one of the images that named this one. */
static int check_identity(const struct block_opener *opener, struct err *err)
{
	for (const struct block_opener *at = opener->parent; at; at = at->parent) {
		if (at->has_identity && at->identity.st_dev == opener->identity.st_dev &&
		    at->identity.st_ino == opener->identity.st_ino)
			return err_set(err, ELOOP, "image '%s' stands on itself", opener->path);
	}
	return 0;
}

void opener_identify(struct block_opener *opener, struct block_node *file)
{
	opener->has_identity = raw_identity(file, &opener->identity);
}

/*
 * Opens the file that `below`, an image with a parent, is named by: `*ret_fd` is -1 for a
 * protocol's. The path is the caller's to free, also after a failure. Who it is, is known before it
 * is locked.
 */
static int open_named(struct block_opener *below, const char *name, bool read_only, char **ret_path,
		      int *ret_fd, struct err *err)
{
	const struct block_opener *opener = below->parent;
	struct block_open_options options;
	int rc = count_file(opener->chain, err);

	*ret_fd = -1;
	if (rc)
		return rc;
	if (opener->alone)
		return refuse(opener, name, "is not in the same archive",
			      "unpack the archive if you trust it", err);
	if (block_protocol_of_path(name)) {
		if (!is_allowed_uri(opener, name))
			return refuse(opener, name, "is not a local file",
				      "allow that URI if you trust the image", err);
		below->path = *ret_path = strdup(name);
		return *ret_path ? 0 : err_errno(err, ENOMEM, "cannot open '%s'", name);
	}
	rc = opener_resolve(opener, name, ret_path, err);
	if (rc)
		return rc;
	below->path = *ret_path;
	options = file_options(opener, *ret_path, read_only);
	*ret_fd = open_without_links(*ret_path, raw_open_flags(&options), err);
	if (*ret_fd < 0)
		return *ret_fd;
	below->has_identity = !fstat(*ret_fd, &below->identity);
	rc = check_identity(below, err);
	if (rc)
		close(*ret_fd);
	return rc;
}

int block_opener_file(struct block_opener *opener, const char *name, unsigned flags,
		      struct block_node **ret_node, struct err *err)
{
	const struct block_open_options *chain_options = opener->chain->options;
	bool read_only =
		!(flags & BLOCK_FILE_WRITE) || chain_options->read_only || chain_options->snapshot;
	struct block_opener below = { .chain = opener->chain, .parent = opener };
	struct block_open_options options;
	AUTO_FREE char *path = NULL;
	struct block_node *node;
	int fd, rc;

	rc = open_named(&below, name, read_only, &path, &fd, err);
	if (rc)
		return rc;
	options = file_options(opener, path, read_only);
	rc = opener_open_storage(&options, fd, opener->chain->loop, &node, err);
	if (rc)
		return rc;
	node->grows = !read_only;
	*ret_node = node;
	return 0;
}

int block_opener_image(struct block_opener *opener, const char *name, const char *format,
		       struct block_node **ret_node, struct err *err)
{
	struct block_opener below = { .chain = opener->chain, .parent = opener };
	AUTO_FREE char *path = NULL;
	unsigned depth = 0;
	json_t *settings;
	int fd, rc;

	for (const struct block_opener *at = opener; at; at = at->parent)
		depth++;
	if (depth >= BLOCK_DEPTH_MAX)
		return err_set(err, ELOOP, "image '%s' stands on more than %d others",
			       opener->chain->options->path, BLOCK_DEPTH_MAX);
	rc = open_named(&below, name, true, &path, &fd, err);
	if (rc)
		return rc;
	opener->has_image = true;
	below.settings = settings = block_settings_below(opener->settings);
	rc = opener_open_image(&below, fd, format, true, ret_node, err);
	json_decref(settings);
	return rc;
}

int block_opener_create(struct block_opener *opener, const char *name, struct block_node **ret_node,
			struct err *err)
{
	struct chain *chain = opener->chain;
	AUTO_FREE char *path = absolute_name(opener, name);
	struct block_open_options options;
	struct block_node *node;
	int fd, rc;

	if (!path)
		return err_errno(err, ENOMEM, "cannot create file '%s'", name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_errno(err, errno, "cannot create file '%s'", path);
	if (vec_push(&chain->created, path)) {
		close(fd);
		unlink(path);
		return err_errno(err, ENOMEM, "cannot create file '%s'", path);
	}
	options = file_options(opener, take_ptr(&path), false);
	rc = raw_open(&options, fd, chain->loop, &node, err);
	if (rc)
		return rc;
	node->grows = true;
	*ret_node = node;
	return 0;
}
