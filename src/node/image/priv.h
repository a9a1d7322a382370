/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of images. */
#pragma once

#include "node/image/image.h"
#include "node/operation/operation.h"
#include "node/disk/pool.h"

#define IMAGE_DISK   ".qcow2"
#define IMAGE_KERNEL ".kernel"
#define IMAGE_INITRD ".initrd"
/*
 * A folder with nothing but what came from somewhere else: an image there may name files beside it, and
 * finds none. It stays until the image is whole.
 */
#define IMAGE_IMPORT ".import"

/* What the operation knows when the image is whole. */
struct image_result {
	uint64_t bytes;    /* of the disk */
	char sha256[65];   /* "": none */
	char *os, *append; /* owned, or NULL */
};

/* One run. What is owned is freed by image_work_fini(). */
struct image_work {
	struct operation *operation;
	struct object image;
	struct pool pool;
	char *path, *part; /* its disk, and while it is not whole */
	char *import;      /* folder */
	struct image_result result;
};

int image_work_init(struct image_work *work, struct operation *operation, struct problem *problem);
void image_work_fini(struct image_work *work);

/* The disk of the image from a file of any format; `format` "auto": by its header. Takes nothing. */
int image_convert(struct image_work *work, const char *path, const char *format,
		  struct problem *problem);
/* A file of the host beside the image, under that suffix. */
int image_copy_file(struct image_work *work, const char *from, const char *suffix,
		    struct problem *problem);
/* The disk has its name; the image may have gone meanwhile: then nothing of it stays. */
int image_finish(struct image_work *work, struct problem *problem);

int image_build(struct image_work *work, struct problem *problem);
int image_import(struct image_work *work, struct problem *problem);

/* "create". */
operation_run image_create;

/* Removes all files of an image. 0 or the negative errno of the first that could not be. */
int image_remove_files(const struct pool *pool, const char *uid);

extern const struct resource_ops image_resources[];
