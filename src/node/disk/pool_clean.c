/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/disk/pool_clean.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "node/disk/pool.h"

#define OPEN_MAX_FTW 16

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path) && errno != ENOENT ? -errno : 0;
}

int pool_remove_tree(const char *path)
{
	int rc = nftw(path, remove_one, OPEN_MAX_FTW, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	if (rc < -1)
		return rc;
	return rc && errno != ENOENT ? -errno : 0;
}

/* UID.part, UID.kernel.part, UID.work. */
static bool is_rest(const char *name)
{
	static const char *const ends[] = { POOL_PART, POOL_WORK };
	size_t length = strlen(name);

	if (length < UID_SIZE || strspn(name, "0123456789abcdef-") != UID_SIZE - 1 ||
	    name[UID_SIZE - 1] != '.')
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		if (!strcmp(name + length - strlen(ends[i]), ends[i]))
			return true;
	}
	return false;
}

void pool_clean(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		AUTO_FREE char *full = NULL;
		int rc;

		if (!is_rest(entry->d_name))
			continue;
		rc = asprintf(&full, "%s/%s", path, entry->d_name) < 0 ? -ENOMEM
								       : pool_remove_tree(full);
		if (rc)
			log_warn("pool: '%s' of an earlier run cannot be removed: %s",
				 entry->d_name, strerror(-rc));
	}
	if (dir)
		closedir(dir);
}
