/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A week of measurements in a file of fixed size: every 10 seconds for three hours, averages of a minute
 * for a day, and of ten minutes for a week.
 *
 * A row lies where its time says, so there is no state but the rows; one whose time is another one's is
 * not there. Not thread-safe per file.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define HISTORY_COLUMNS 8
#define HISTORY_TIERS   3

/* What is in progress of the averages. Zero at first. */
struct history {
	struct {
		uint64_t slot; /* time / step */
		unsigned count;
		double sums[HISTORY_COLUMNS];
	} tiers[HISTORY_TIERS];
};

/* Adds a measurement of that time (unix, seconds) to the file `name` in a folder, which is made. 0 or a
 * negative errno. */
int history_add(struct history *history, int folder_fd, const char *name, uint64_t time_s,
		const float values[HISTORY_COLUMNS]);

/*
 * The last `range_s` seconds before `now_s` by the finest step that reaches so far: {"step", "start",
 * "series": {names[0]: [value or null, …], …}}, new reference; NULL: no memory. `names` end with NULL. A
 * file that is not there has no values.
 */
json_t *history_read(int folder_fd, const char *name, uint64_t now_s, uint64_t range_s,
		     const char *const *names);
