/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which files a thread may still open or remove by name (Landlock). Descriptors that are open stay
 * as they are.
 */
#pragma once

/* An empty set of rules as a descriptor; -EOPNOTSUPP or -ENOSYS where the kernel has none. */
int landlock_new(void);

/* `access`: SANDBOX_READ … for the file, or all below the folder. 0 or negative errno. */
int landlock_allow(int rules, const char *path, unsigned access);

/* For good, on the calling thread, which has no new privileges. 0 or negative errno. */
int landlock_enter(int rules);
