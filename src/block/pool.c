/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "block/format.h"

/* The file with that extension becomes the one that was found, if it is there. */
static int try_extension(const char *name, const char *extension, char **found, struct err *err)
{
	AUTO_FREE char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s.%s", name, extension) < 0) {
		path = NULL;
		return err_errno(err, ENOMEM, "cannot find image '%s'", name);
	}
	if (stat(path, &st) || S_ISDIR(st.st_mode))
		return 0;
	if (*found) {
		err_set(err, ENOTUNIQ, "image '%s' may be '%s' or '%s'", name, *found, path);
		err_hint(err, "name it with its extension");
		return -ENOTUNIQ;
	}
	*found = take_ptr(&path);
	return 0;
}

int block_pool_find(const char *name, char **ret_path, struct err *err)
{
	AUTO_FREE char *found = NULL;
	struct stat st;
	int rc = 0;

	if (!block_protocol_of_path(name) && !stat(name, &st) && S_ISDIR(st.st_mode)) {
		err_set(err, EISDIR, "'%s' is a folder", name);
		err_hint(err, "name an image in it; 'cella image list %s' shows them", name);
		return -EISDIR;
	}
	if (!block_protocol_of_path(name) && stat(name, &st) && errno == ENOENT) {
		for (const struct block_format *const *format = block_formats; *format; format++) {
			const char *const *extension = (*format)->extensions;

			for (; extension && *extension && !rc; extension++)
				rc = try_extension(name, *extension, &found, err);
		}
	}
	if (rc)
		return rc;
	*ret_path = found ? take_ptr(&found) : strdup(name);
	return *ret_path ? 0 : err_errno(err, ENOMEM, "cannot find image '%s'", name);
}
