/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration of one virtual machine, as JSON: what the command line writes and `cella-vmm`
 * reads.
 *
 *	{"name": "web", "cpu": {"count": 2}, "memory": {"size": 1073741824}, "kernel": "vmlinuz",
 *	 "disks": [{"path": "root.img"}], "nets": [{"kind": "user"}], "serials": [{"kind":
 * "stdio"}]}
 */
#pragma once

#include <jansson.h>

#include "api/schema.h"
#include "base/err.h"

#define CONFIG_CPUS_MAX          1024
#define CONFIG_SERIALS_MAX       4
#define CONFIG_IOTHREADS_MAX     64
#define CONFIG_HOTPLUG_PORTS_MAX 24
#define CONFIG_HOST_MAX          253
#define CONFIG_NET_FDS_MAX       64
#define CONFIG_BYTES_MAX         (1u << 20) /* of the JSON text */

/* The rows of the whole configuration, and of the objects in it that a command line writes one by
 * one. */
extern const struct schema_field config_fields[];
extern const struct schema_field config_disk_fields[];
/* Of a network that comes while the machine runs. */
extern const struct schema_field config_attached_net_fields[];

/*
 * Checks a configuration strictly and completes it: presets, ids ("disk0"), MAC addresses that stay
 * the same for a machine's name. -EINVAL with a message that names what is wrong.
 */
int config_resolve(json_t *config, struct err *err);

/* Gives a network a hardware address: for the same name of the machine and index always the same one,
 * locally administered. -ENOMEM. */
int config_invent_mac(json_t *net, const char *name, size_t index, struct err *err);

/* Six bytes written as "52:54:00:12:34:56"; -EINVAL also for a multicast address. */
int config_parse_mac(const char *text, uint8_t ret_mac[6], struct err *err);

/* "HOST:PORT", "[ADDRESS]:PORT" or ":PORT", where `ret_host` is empty. */
int config_parse_tcp(const char *text, char ret_host[CONFIG_HOST_MAX + 1], uint16_t *ret_port,
		     struct err *err);
