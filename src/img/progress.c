/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "img/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/macros.h"
#include "host/clock.h"
#include "img/command.h"

#define BAR_MAX      40
#define COLUMNS      80
#define TEXT_COLUMNS 46 /* beside the bar */

void progress_start(struct progress *progress, const struct img *img, uint64_t total)
{
	bool forced = img_flag(img, "progress");

	*progress = (struct progress){
		.shown = !img_flag(img, "quiet") && (forced || isatty(STDERR_FILENO)),
		.json = forced && img_flag(img, "json"),
		.total = total,
		.started_ns = clock_now_ns(),
	};
	for (unsigned i = 0; i < ARRAY_SIZE(progress->past); i++)
		progress->past[i].ns = progress->started_ns;
}

static unsigned bar_width(void)
{
	struct winsize size = { .ws_col = COLUMNS };

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		size.ws_col = COLUMNS;
	return size.ws_col < TEXT_COLUMNS + 8 ? 0 : MIN(size.ws_col - TEXT_COLUMNS, BAR_MAX);
}

static double rate_of(struct progress *progress, uint64_t done)
{
	unsigned oldest = progress->next;
	uint64_t now = clock_now_ns();
	double seconds = (double)(now - progress->past[oldest].ns) / (double)NS_PER_SEC;
	double bytes = (double)(done - progress->past[oldest].done);

	progress->past[oldest].ns = now;
	progress->past[oldest].done = done;
	progress->next = (oldest + 1) % ARRAY_SIZE(progress->past);
	return seconds > 0 ? bytes / seconds : 0;
}

static void time_text(double seconds, char *buffer, size_t size)
{
	unsigned whole = seconds < 359999 ? (unsigned)(seconds + 0.5) : 359999;

	if (whole >= 3600)
		snprintf(buffer, size, "%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
	else
		snprintf(buffer, size, "%u:%02u", whole / 60, whole % 60);
}

void progress_show(struct progress *progress, uint64_t done)
{
	double part = progress->total ? (double)done / (double)progress->total : 1;
	char rate_text[IMG_SIZE_TEXT], left[16] = "-:--", bar[BAR_MAX + 1];
	unsigned width;
	double rate;

	if (!progress->shown)
		return;
	if (progress->json) {
		printf("{\"done\": %" PRIu64 ", \"total\": %" PRIu64 "}\n", done, progress->total);
		fflush(stdout);
		return;
	}
	width = bar_width();
	for (unsigned i = 0; i < width; i++)
		bar[i] = i < part * width ? '#' : '.';
	bar[width] = '\0';
	rate = rate_of(progress, done);
	if (rate > 0)
		time_text((double)(progress->total - done) / rate, left, sizeof(left));
	fprintf(stderr, "\r[%s] %5.1f %%  %s/s  %s left\033[K", bar, part * 100,
		img_size_text((uint64_t)rate, rate_text), left);
	fflush(stderr);
}

void progress_end(struct progress *progress, uint64_t done)
{
	double seconds = (double)(clock_now_ns() - progress->started_ns) / (double)NS_PER_SEC;
	char size_text[IMG_SIZE_TEXT], rate_text[IMG_SIZE_TEXT], time[16];

	if (!progress->shown || progress->json)
		return;
	time_text(seconds, time, sizeof(time));
	fprintf(stderr, "\r%s in %s, %s/s\033[K\n", img_size_text(done, size_text), time,
		img_size_text(seconds > 0 ? (uint64_t)((double)done / seconds) : 0, rate_text));
}
