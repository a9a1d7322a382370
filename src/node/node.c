/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/node.h"

#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/check.h"

/* Spec: RFC 9562, version 4. */
void node_new_uid(char ret_uid[UID_SIZE])
{
	uint8_t b[16];

	check(getrandom(b, sizeof(b), 0) == sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(ret_uid, UID_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

void node_time_text(uint64_t unix_ms, char ret_text[TIME_SIZE])
{
	time_t seconds = (time_t)(unix_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(ret_text, TIME_SIZE, "%FT%TZ", &tm);
}

uint64_t node_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
