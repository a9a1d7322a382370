/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/net_rules.h"

const char *const net_directions[] = { "in", "out", NULL };
const char *const net_protocols[] = { "any", "tcp", "udp", "icmp", NULL };

const struct schema_field net_rule_fields[] = { NET_RULE_FIELDS, { 0 } };
