/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Identities of images: random UUIDs (RFC 4122, version 4). */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define UUID_BYTES      16
#define UUID_TEXT_BYTES 37

static inline void uuid_new(uint8_t uuid[UUID_BYTES])
{
	/* So few bytes come whole and without waiting once the system has started. */
	if (getrandom(uuid, UUID_BYTES, 0) != UUID_BYTES)
		memset(uuid, 0x5a, UUID_BYTES);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* The bytes in their order, as most formats mean them. */
static inline const char *uuid_text(const uint8_t uuid[UUID_BYTES], char text[UUID_TEXT_BYTES])
{
	char *at = text;

	for (unsigned i = 0; i < UUID_BYTES; i++)
		at += snprintf(at, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			       uuid[i]);
	return text;
}
