/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows for what may begin towards a machine, and from it: of security groups, and of the user networks that hold
 * them. */
#pragma once

#include "api/schema.h"

extern const char *const net_directions[]; /* "in", "out" */
extern const char *const net_protocols[];  /* "any", "tcp", "udp", "icmp" */
extern const struct schema_field net_rule_fields[];

#define NET_RULE_FIELDS                                                                            \
	{ .name = "direction",                                                                     \
	  .type = SCHEMA_STRING,                                                                   \
	  .choices = net_directions,                                                               \
	  .preset = "\"in\"",                                                                      \
	  .help = "to the machine, or from it" },                                                  \
		{ .name = "protocol",                                                              \
		  .type = SCHEMA_STRING,                                                           \
		  .choices = net_protocols,                                                        \
		  .preset = "\"any\"",                                                             \
		  .help = "protocol" },                                                            \
		{ .name = "ports",                                                                 \
		  .type = SCHEMA_STRING,                                                           \
		  .max = 256,                                                                      \
		  .help = "ports: 22, 80-88" },                                                    \
	{                                                                                          \
		.name = "remote", .type = SCHEMA_STRING, .max = 64,                                \
		.help = "subnet of the other end; else any"                                        \
	}

#define NET_RULES_FIELDS                                                                           \
	{ .name = "restrict",                                                                      \
	  .type = SCHEMA_STRING,                                                                   \
	  .list = true,                                                                            \
	  .choices = net_directions,                                                               \
	  .help = "directions in which a user network lets only pass what is allowed" },           \
	{                                                                                          \
		.name = "allow", .type = SCHEMA_OBJECT, .list = true, .max_items = 4096,           \
		.fields = net_rule_fields, .help = "what may begin there all the same"             \
	}
