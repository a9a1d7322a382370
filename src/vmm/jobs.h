/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs of the machine's disks, at most one a disk and named by it, as the control socket starts and
 * steers them. Loop thread.
 *
 * Images that are opened here lie in the folders of the configuration's "job-folders": nothing else
 * is let into the sandbox.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/list.h"
#include "host/loop.h"

struct machine_disk;
struct vmm;

struct jobs {
	struct list list;
	struct loop_timer timer; /* tells how far they are */
};

void jobs_init(struct jobs *jobs);
/* Cancels all and waits for them. Before the disks are closed. */
void jobs_fini(struct vmm *vmm);

/* Lets the folders into the sandbox, before it is entered. */
int jobs_allow_folders(struct vmm *vmm, struct err *err);

/* -EPERM and a hint where no image can be opened any more. */
int jobs_check_folders(struct vmm *vmm, struct err *err);

/* Whether the disk has a job. */
bool jobs_has(const struct vmm *vmm, const char *id);

/* Methods, `params` by the rows of api/control.c. */
int jobs_commit(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_stream(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_mirror(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_backup(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_snapshot(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_pause(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_resume(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_speed(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_cancel(struct vmm *vmm, const json_t *params, struct err *err);
int jobs_complete(struct vmm *vmm, const json_t *params, struct err *err);

/* The disk that "id" names. -ENOENT. */
int jobs_find_disk(struct vmm *vmm, const json_t *params, const struct machine_disk **ret_disk,
		   struct err *err);

/* The bitmap whose bits a backup of the disk has. NULL: none. */
const char *jobs_bitmap(struct vmm *vmm, const struct machine_disk *disk);

/* All jobs and how far they are; new reference. */
json_t *jobs_list(struct vmm *vmm);
