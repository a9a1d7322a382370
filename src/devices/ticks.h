/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters that run at a fixed frequency with machine time: tick n begins at exactly n / hz seconds
 * after power-on.
 *
 * Devices keep ticks, not nanoseconds, so that nothing is lost to rounding however often they
 * convert.
 */
#pragma once

#include <stdint.h>

#include "host/clock.h"

/* The shortest distance of a device's own host timer events; guests that ask for more get them
 * merged. */
#define TICKS_TIMER_MIN_NS (50 * NS_PER_US)

/* The tick that machine time `ns` lies in. */
static inline uint64_t ticks_at(uint64_t ns, uint32_t hz)
{
	return (uint64_t)((unsigned __int128)ns * hz / NS_PER_SEC);
}

/* The first nanosecond of tick `tick`; UINT64_MAX if that is beyond the clock. */
static inline uint64_t ticks_to_ns(uint64_t tick, uint32_t hz)
{
	unsigned __int128 ns = ((unsigned __int128)tick * NS_PER_SEC + hz - 1) / hz;

	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}
