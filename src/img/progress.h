/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line on a terminal: how far, how fast, how long. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool shown;
	uint64_t total;
	uint64_t started_ns;
	struct {
		uint64_t ns, done;
	} past[16]; /* the rate is that of the last seconds */
	unsigned next;
};

/* `forced`: also where stderr is no terminal. */
void progress_start(struct progress *progress, uint64_t total, bool forced, bool quiet);
void progress_show(struct progress *progress, uint64_t done);
/* Ends the line. */
void progress_end(struct progress *progress, uint64_t done);
