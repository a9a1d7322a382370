/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Openers from the inside: one a image of a chain, linked to the image that named it. */
#pragma once

#include <sys/stat.h>

#include "base/vec.h"
#include "block/format.h"

/* What all images of a chain share. */
struct chain {
	const struct block_open_options *options;
	struct loop *loop;
	char *folder; /* of the first image, links followed; NULL: it is no file in one */
	unsigned files;
	VEC(char *) created; /* paths of files that creating an image has made */
};

struct block_opener {
	struct chain *chain;
	const struct block_opener *parent; /* whose image named this one; NULL: the first */
	const char *path;                  /* borrowed for the opener's life */
	const json_t *settings;            /* of the image and those below; borrowed likewise */
	bool has_image;                    /* another one was opened below it */
	struct stat identity;              /* of the image's file */
	bool has_identity;
	bool alone;   /* the image is a part of another file: it may name none */
	bool guessed; /* the format was found by content alone */
};

/*
 * Opens the image in `path` as `opener`, which the caller has set up but for its identity, and all
 * it stands on. `fd`: what the path was opened as already, taken over also on failure; or -1.
 */
int opener_open_image(struct block_opener *opener, int fd, const char *format, bool read_only,
		      struct block_node **ret_node, struct err *err);

/* A file or what a URI names. `fd`: as above. */
int opener_open_storage(const struct block_open_options *options, int fd, struct loop *loop,
			struct block_node **ret_node, struct err *err);

/* Where a name that an image wrote down leads, if it may; then the caller frees the path. */
int opener_resolve(const struct block_opener *opener, const char *name, char **ret_path,
		   struct err *err);

/* The folder of a regular file, links followed; NULL: no such thing. Caller frees. */
char *opener_folder_of(const char *path);

/* Remembers which file the first image is. */
void opener_identify(struct block_opener *opener, struct block_node *file);
