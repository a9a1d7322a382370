/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole disk into an empty one, with the arguments of progress; SIGINT and SIGTERM end it. */
#pragma once

#include "img/command.h"

/* Flushes behind it. `new`: what is not written there reads as zeroes. -ECANCELED: interrupted. */
int img_copy_disk(const struct img *img, struct block_node *from, struct block_node *to,
		  bool is_new, struct err *err);
