/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a command is: one line on a terminal, or with --json lines of {"done", "total"} before the result. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct img;

struct progress {
	bool shown, json;
	uint64_t total;
	uint64_t started_ns;
	struct {
		uint64_t ns, done;
	} past[16]; /* the rate is that of the last seconds */
	unsigned next;
};

/* By the command's --progress, --quiet and --json. `total` 0: not known. */
void progress_start(struct progress *progress, const struct img *img, uint64_t total);
void progress_show(struct progress *progress, uint64_t done);
/* Ends the line. */
void progress_end(struct progress *progress, uint64_t done);
