/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of disks. */
#pragma once

#include "node/disk/disk.h"
#include "node/operation/operation.h"
#include "node/disk/pool.h"

/* "UID.qcow2": the name of its file in the pool. */
#define DISK_NAME_SIZE (UID_SIZE + 16)
void disk_file_name(const struct object *disk, char ret_name[DISK_NAME_SIZE]);
/* The suffix, ".qcow2". */
const char *disk_suffix(const struct object *disk);

/* What a disk or linked clones of it stand on, a file of the pool with this suffix. */
#define DISK_BASE ".base.qcow2"

/* It keeps only what differs from what it is made from. */
bool disk_is_linked(const struct object *disk);

operation_run disk_create, disk_resize, disk_clone;

/*
 * For a linked clone of the disk: what is in the disk becomes a file "ID.base.qcow2" that the disk stands
 * on from then on, and may be stood on by others. Goes on where it was broken off. `*ret_base`, new
 * reference: names of files that who stands on it stands on, itself first.
 */
int disk_split(struct operation *operation, const struct pool *pool, const struct object *disk,
	       const char *id, json_t **ret_base, struct problem *problem);

/* Another disk or the object `but` (NULL: none) keeps the file called `name`. */
bool disk_base_is_used(struct node *node, const char *name, const struct object *but);
