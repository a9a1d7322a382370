/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's monotonic clock, and the processor time of the calling thread, in nanoseconds. */
#pragma once

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC UINT64_C(1000000000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_US  UINT64_C(1000)

static inline uint64_t clock_read_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_now_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

/* The time that `units` take at `rate` (not 0) a second; at most a day, however they were chosen. */
static inline uint64_t clock_duration_ns(uint64_t units, uint64_t rate)
{
	unsigned __int128 ns = (unsigned __int128)units * NS_PER_SEC / rate,
			  day = 86400 * NS_PER_SEC;

	return (uint64_t)(ns < day ? ns : day);
}

static inline uint64_t clock_thread_ns(void)
{
	return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}
