/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands whose first operand says what to do with the image that is the second. */
#pragma once

#include "img/command.h"

/* A row; the last one has no name. */
struct img_verb {
	const char *name;
	const char *operands; /* behind the file, for messages */
	unsigned operand_count;
	bool changes; /* the image is opened for writing */
	/* `operands` are those behind the file. `*ret_result` (new reference) stays NULL for none. */
	int (*run)(const struct img *img, struct block_node *node, char **operands,
		   json_t **ret_result, struct err *err);
};

/* Opens the image and runs the verb; `text` prints a result. Exit status. */
int img_run_verb(struct img *img, const struct img_verb *verbs, void (*text)(const json_t *result),
		 struct err *err);
