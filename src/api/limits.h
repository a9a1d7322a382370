/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows for limits on the speed of disks and NICs: the same in the configuration and on the control
 * socket. */
#pragma once

#include "api/schema.h"

#define LIMIT_MAX (UINT64_C(1) << 40)

#define LIMIT_FIELD(limit, kind, text)                                                             \
	{ .name = limit, .type = kind, .max = LIMIT_MAX, .help = text },                           \
	{                                                                                          \
		.name = limit "-burst", .type = kind, .max = LIMIT_MAX,                            \
		.help = "so many at once after a rest; 0: a tenth of a second's worth"             \
	}

#define LIMIT_FIELDS                                                                               \
	LIMIT_FIELD("iops", SCHEMA_INTEGER, "most requests a second; 0: no limit"),                \
		LIMIT_FIELD("iops-read", SCHEMA_INTEGER, "most reads a second"),                   \
		LIMIT_FIELD("iops-write", SCHEMA_INTEGER,                                          \
			    "most writes and other changes a second"),                             \
		LIMIT_FIELD("bps", SCHEMA_SIZE, "most bytes a second"),                            \
		LIMIT_FIELD("bps-read", SCHEMA_SIZE, "most bytes read a second"),                  \
		LIMIT_FIELD("bps-write", SCHEMA_SIZE, "most bytes written a second")

#define NET_LIMIT_FIELDS                                                                           \
	{ .name = "receive-max",                                                                   \
	  .type = SCHEMA_SIZE,                                                                     \
	  .max = LIMIT_MAX,                                                                        \
	  .help = "most bytes a second to the machine; 0: no limit" },                             \
	{                                                                                          \
		.name = "transmit-max", .type = SCHEMA_SIZE, .max = LIMIT_MAX,                     \
		.help = "most bytes a second from the machine; 0: no limit"                        \
	}
