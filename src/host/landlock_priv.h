/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which files a thread may still open or remove by name (Landlock). Descriptors that are open stay
 * as they are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* An empty set of rules as a descriptor; -EOPNOTSUPP or -ENOSYS where the kernel has none. `ports`: also
 * where TCP may connect, if the kernel can tell (else it may anywhere); it may listen nowhere. */
int landlock_new(bool ports);

/* `access`: SANDBOX_READ … for the file, or all below the folder. 0 or negative errno. */
int landlock_allow(int rules, const char *path, unsigned access);

/* Connections to a port; for a set that has `ports`. 0, also where it makes no difference, or negative
 * errno. */
int landlock_allow_port(int rules, uint16_t port);

/* For good, on the calling thread, which has no new privileges. 0 or negative errno. */
int landlock_enter(int rules);
