/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of web servers ("http://…", "https://…"), read by range.
 *
 * Servers without ranges are refused. A file that changes while it is open is an error: its size and
 * its ETag (or the time of its last change) must stay the same.
 *
 * Spec: RFC 9110, section 14 (range requests), 8.8 (validators).
 */
#pragma once

#include "block/format.h"

int http_open(const struct block_open_options *options, struct loop *loop,
	      struct block_node **ret_node, struct err *err);
