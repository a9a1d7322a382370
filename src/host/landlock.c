/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc has no wrappers for these system calls.
 *
 * Spec: Linux Documentation/userspace-api/landlock.rst, ABI 1.
 */
#include "host/landlock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/sandbox.h"

/* All that the first version knows; what later ones add is not open()ing or removing. */
#define HANDLED ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

int landlock_new(void)
{
	struct landlock_ruleset_attr attributes = { .handled_access_fs = HANDLED };
	long fd = syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);

	return fd < 0 ? -errno : (int)fd;
}

int landlock_allow(int rules, const char *folder, unsigned access)
{
	AUTO_CLOSE int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .parent_fd = fd };

	if (fd < 0)
		return -errno;
	if (access & SANDBOX_READ)
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_FILE;
	if (access & SANDBOX_REMOVE)
		rule.allowed_access |= LANDLOCK_ACCESS_FS_REMOVE_FILE;
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) ? -errno
											   : 0;
}

int landlock_enter(int rules)
{
	return syscall(SYS_landlock_restrict_self, rules, 0) ? -errno : 0;
}
