/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the programs of the same build: in the build tree they lie beside `cella`, installed ones
 * in libexec. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "cli/command.h"

int helper_exec(const char *name, char *const *argv, struct err *err)
{
	static const char *const places[] = { "", "/../" CELLA_LIBEXECDIR "/cella" };
	char self[PATH_MAX], path[2 * PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (length < 0)
		return err_errno(err, errno, "cannot find out where 'cella' is");
	self[length] = '\0';
	slash = strrchr(self, '/');
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "%.*s%s/%s", (int)(slash - self), self, places[i],
			 name);
		if (access(path, F_OK))
			continue;
		execv(path, argv);
		return err_errno(err, errno, "cannot run '%s'", path);
	}
	err_set(err, ENOENT, "cannot find '%s' beside '%s'", name, self);
	return err_hint(err, "build or install Cella anew");
}
