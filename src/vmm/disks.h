/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks that come and go while the machine runs, and media that are changed, as the control socket
 * asks for them. Loop thread.
 *
 * The configuration's "disks" follows: a row for each place of struct backends, null where none is.
 * Images lie in the folders of its "job-folders", as those of jobs.
 */
#pragma once

#include <jansson.h>

#include "base/err.h"

struct vmm;

/* The device of that disk is gone: closes the rest. -ENOENT: there is no such disk. */
int disks_close(struct vmm *vmm, const char *id);

/* Methods, `params` by the rows of api/control.c. A result is a new reference. */
int disks_attach(struct vmm *vmm, const json_t *params, json_t **ret_result, struct err *err);
int disks_detach(struct vmm *vmm, const json_t *params, struct err *err);
int disks_change(struct vmm *vmm, const json_t *params, struct err *err);
json_t *disks_list(struct vmm *vmm);
