/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

struct content_range {
	uint64_t first; /* byte */
	uint64_t count; /* at least 1 */
	uint64_t total; /* of the whole; UINT64_MAX: not told */
};

/*
 * The header Content-Range of a part that is sent, "bytes 0-1023/4096" or "bytes 0-1023/" and a star; sizes end
 * below INT64_MAX. -EINVAL. Spec: RFC 9110, 14.4
 */
int content_range_parse(const char *text, struct content_range *ret_range);
