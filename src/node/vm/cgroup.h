/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control groups of machines: `<parent>/<uid>` in each hierarchy that there is, version 2 or, where
 * its controllers are still there, version 1. Nothing else is touched. Where there is neither, or no
 * right to make them or to move a process there, machines run without, and cgroups_version() says so.
 *
 * Spec: Linux Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/. Any thread.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

#define CGROUP_FDS_MAX 4

struct cgroups;

struct cgroup_limits {
	unsigned cpu_weight;      /* 1 to 10000, 100 is usual */
	unsigned cpu_percent;     /* of a core; 0: no limit */
	uint64_t memory_max;      /* bytes; 0: no limit */
	uint64_t memory_reserved; /* bytes that are not reclaimed for others */
};

/*
 * `proc` is /proc/self: its `mountinfo` says where hierarchies are mounted, its `cgroup` where we are.
 * `parent`: a path below these points, without a slash at either end; made if only its last part is
 * missing.
 */
int cgroups_open(struct cgroups **ret_cgroups, const char *proc, const char *parent,
		 struct err *err);
void cgroups_close(struct cgroups *cgroups);

/* "v2", "v1" or "none". */
const char *cgroups_version(const struct cgroups *cgroups);

/*
 * Makes the group of `name`, or takes the one that is there, and sets its limits. `ret_fds`: what a
 * process writes "0" to, to be in it; the caller closes `*ret_count` of them, also after a failure,
 * which leaves what could be set.
 */
int cgroup_enter(struct cgroups *cgroups, const char *name, const struct cgroup_limits *limits,
		 int ret_fds[CGROUP_FDS_MAX], unsigned *ret_count, struct err *err);

/* Other limits for one that is there. */
int cgroup_limit(struct cgroups *cgroups, const char *name, const struct cgroup_limits *limits,
		 struct err *err);

/* Nobody is in it any more; also one that is not there. */
void cgroup_remove(struct cgroups *cgroups, const char *name);
