/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools: folders of images and disks. A file is named by the uid of the object that it belongs to; what
 * is not whole yet ends in POOL_PART, and is gone after a restart.
 *
 *	UID.qcow2, UID.raw   a disk, or the disk of an image
 *	ID.base.qcow2        what a disk and its linked clones stand on
 *	UID.kernel, .initrd  that boot an image
 *	UID.upload           the part of an image that a client has sent
 *	UID.download[.fetch] the part of an image that was fetched
 *	.cella.lock          whose folder it is
 */
#pragma once

#include "node/object/object.h"

#define POOL_PART     ".part"
#define POOL_WORK     ".work" /* a folder */
#define POOL_UPLOAD   ".upload"
#define POOL_DOWNLOAD ".download"

struct pool {
	char name[API_NAME_MAX + 1];
	char *path;          /* owned, absolute */
	uint64_t quota;      /* bytes; 0: none */
	uint64_t overcommit; /* percent; 0: no limit */
};

/* -ENOENT with API_CODE_NOT_FOUND: there is no such pool. */
int pool_find(struct node *node, const char *name, struct pool *ret_pool, struct problem *problem);
/* The same, to write there. API_CODE_IN_USE: its folder is another daemon's. */
int pool_use(struct node *node, const char *name, struct pool *ret_pool, struct problem *problem);
void pool_fini(struct pool *pool);

/* "FOLDER/<uid><suffix>". Caller frees; NULL: no memory. */
char *pool_path(const struct pool *pool, const char *uid, const char *suffix);

/* Whether `bytes` more can be written now: API_CODE_NO_SPACE says why not. */
int pool_require_space(struct node *node, const struct pool *pool, uint64_t bytes,
		       struct problem *problem);
/* Whether disks of `bytes` more may be promised. The same. */
int pool_require_promise(struct node *node, const struct pool *pool, uint64_t bytes,
			 struct problem *problem);

/* Its numbers are looked at soon. */
void pool_changed(struct node *node, const char *name);

/* Space that the file takes; 0: there is none. */
uint64_t pool_file_allocated(const char *path);

/* Renames in one folder, so that it is so after a power cut. 0 or negative errno. */
int pool_rename(const char *from, const char *to);
