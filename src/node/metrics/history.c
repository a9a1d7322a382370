/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/metrics/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"

struct row {
	uint32_t time; /* slot * step, in seconds */
	float values[HISTORY_COLUMNS];
};

static const struct tier {
	unsigned step, rows;
} tiers[HISTORY_TIERS] = {
	{ 10, 1081 },
	{ 60, 1441 },
	{ 600, 1009 },
};

static off_t row_at(unsigned tier, uint64_t slot)
{
	uint64_t before = 0;

	for (unsigned i = 0; i < tier; i++)
		before += tiers[i].rows;
	return (off_t)((before + slot % tiers[tier].rows) * sizeof(struct row));
}

/* The average so far of the slot that the time is in. */
static struct row accumulate(struct history *history, unsigned tier, uint64_t time_s,
			     const float values[HISTORY_COLUMNS])
{
	uint64_t slot = time_s / tiers[tier].step;
	struct row row = { .time = (uint32_t)(slot * tiers[tier].step) };

	if (history->tiers[tier].slot != slot) {
		memset(&history->tiers[tier], 0, sizeof(history->tiers[tier]));
		history->tiers[tier].slot = slot;
	}
	history->tiers[tier].count++;
	for (unsigned i = 0; i < HISTORY_COLUMNS; i++) {
		history->tiers[tier].sums[i] += (double)values[i];
		row.values[i] = (float)(history->tiers[tier].sums[i] / history->tiers[tier].count);
	}
	return row;
}

int history_add(struct history *history, int folder_fd, const char *name, uint64_t time_s,
		const float values[HISTORY_COLUMNS])
{
	AUTO_CLOSE int fd =
		openat(folder_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	for (unsigned i = 0; i < HISTORY_TIERS; i++) {
		struct row row = accumulate(history, i, time_s, values);

		if (pwrite(fd, &row, sizeof(row), row_at(i, history->tiers[i].slot)) != sizeof(row))
			return errno ? -errno : -EIO;
	}
	return 0;
}

/* All rows of a tier; those that are not there have the time 0. */
static struct row *read_tier(int folder_fd, const char *name, unsigned tier)
{
	AUTO_CLOSE int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct row *rows = calloc(tiers[tier].rows, sizeof(*rows));

	if (rows && fd >= 0 &&
	    pread(fd, rows, tiers[tier].rows * sizeof(*rows), row_at(tier, 0)) < 0)
		memset(rows, 0, tiers[tier].rows * sizeof(*rows));
	return rows;
}

static json_t *value_of(const struct row *rows, unsigned tier, uint64_t slot, unsigned column)
{
	const struct row *row = &rows[slot % tiers[tier].rows];

	/* No number for JSON comes out of a damaged file either. */
	if (row->time != slot * tiers[tier].step || !__builtin_isfinite(row->values[column]))
		return json_null();
	return json_real((double)row->values[column]);
}

json_t *history_read(int folder_fd, const char *name, uint64_t now_s, uint64_t range_s,
		     const char *const *names)
{
	json_t *series = json_object();
	AUTO_FREE struct row *rows = NULL;
	unsigned tier = 0;
	uint64_t first, last;

	while (tier + 1 < HISTORY_TIERS && range_s > (tiers[tier].rows - 1) * tiers[tier].step)
		tier++;
	range_s = MIN(range_s, (uint64_t)(tiers[tier].rows - 1) * tiers[tier].step);
	last = now_s / tiers[tier].step;
	first = (now_s - MIN(now_s, range_s)) / tiers[tier].step + 1;
	rows = read_tier(folder_fd, name, tier);
	for (unsigned i = 0; rows && names[i]; i++) {
		json_t *values = json_array();

		for (uint64_t slot = first; slot <= last; slot++)
			json_array_append_new(values, value_of(rows, tier, slot, i));
		json_object_set_new(series, names[i], values);
	}
	return json_pack("{s:i, s:I, s:o}", "step", (int)tiers[tier].step, "start",
			 (json_int_t)(first * tiers[tier].step), "series", series);
}
