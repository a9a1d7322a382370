/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/config.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "api/net_rules.h"
#include "base/macros.h"
#include "base/str.h"

#define ID_MAX 32

static int check_id(const char *text, struct err *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (text[strspn(text, allowed)])
		return err_set(err, EINVAL, "must be made of letters, digits, '-', '_' and '.'");
	return 0;
}

static int check_mac(const char *text, struct err *err)
{
	uint8_t mac[6];

	return config_parse_mac(text, mac, err);
}

/* "stdio", "pty", "none", "file=PATH" or "unix=PATH". */
static int check_chardev(const char *text, struct err *err)
{
	static const char *const words[] = { "stdio", "pty", "none" };
	static const char *const paths[] = { "file=", "unix=" };

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(text, words[i]))
			return 0;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		if (!strncmp(text, paths[i], strlen(paths[i])) && text[strlen(paths[i])])
			return 0;
	}
	return err_set(err, EINVAL, "must be stdio, pty, none, file=PATH or unix=PATH");
}

static int check_tcp(const char *text, struct err *err)
{
	char host[CONFIG_HOST_MAX + 1];
	uint16_t port;

	return config_parse_tcp(text, host, &port, err);
}

static const char *const engine_names[] = { "auto", "kvm", "soft", NULL };
static const char *const net_kinds[] = { "none", "user", "tap", NULL };
static const char *const attached_net_kinds[] = { "user", "tap", NULL };
static const char *const detect_modes[] = { "off", "on", "unmap", NULL };
static const char *const cache_modes[] = { "writeback", "none", "unsafe", NULL };
static const char *const device_names[] = { "isa-debug-exit", "pc-testdev", NULL };
static const char *const log_levels[] = { "error", "warn", "info", "debug", "trace", NULL };

static const struct schema_field engine_fields[] = {
	{ .name = "name",
	  .type = SCHEMA_STRING,
	  .choices = engine_names,
	  .preset = "\"auto\"",
	  .help = "CPU engine; auto: KVM where it works, else soft" },
	{ .name = "options", .type = SCHEMA_STRING, .help = "key=value words for the engine" },
	{ 0 },
};

static const struct schema_field cpu_fields[] = {
	{ .name = "count",
	  .type = SCHEMA_INTEGER,
	  .min = 1,
	  .max = CONFIG_CPUS_MAX,
	  .preset = "1",
	  .help = "number of processors" },
	{ .name = "model",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 1024,
	  .preset = "\"host\"",
	  .help = "CPU model" },
	{ 0 },
};

static const struct schema_field memory_fields[] = {
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .min = MIB,
	  .max = 4096 * TIB,
	  .multiple = 4 * KIB,
	  .preset = "536870912",
	  .help = "bytes of RAM" },
	{ .name = "hugepages",
	  .type = SCHEMA_SIZE,
	  .max = GIB,
	  .preset = "0",
	  .help = "page size of hugetlbfs to use; 0: ordinary pages" },
	{ .name = "prealloc",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "touch all pages at start" },
	{ 0 },
};

static const struct schema_field limit_group_fields[] = {
	{ .name = "name",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .max = ID_MAX,
	  .help = "which disks name as their limit-group" },
	LIMIT_FIELDS,
	{ 0 },
};

const struct schema_field config_disk_fields[] = {
	{ .name = "path",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .help = "image, block device, or URI of an NBD or web server" },
	{ .name = "format",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 32,
	  .help = "format of the image; without it, name and header must agree" },
	{ .name = "settings", .type = SCHEMA_STRING, .help = "name=value words for the format" },
	{ .name = "allow",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .min = 1,
	  .help = "folder of further files that the image may name, besides its own; or a URI" },
	{ .name = "metadata-cache",
	  .type = SCHEMA_SIZE,
	  .min = 64 * KIB,
	  .max = 16 * GIB,
	  .preset = "16777216",
	  .help = "most memory for the metadata of the image" },
	{ .name = "readonly",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "refuse the guest's writes" },
	{ .name = "snapshot",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "keep writes apart and drop them at the end" },
	{ .name = "cache",
	  .type = SCHEMA_STRING,
	  .choices = cache_modes,
	  .preset = "\"writeback\"",
	  .help = "host page cache" },
	{ .name = "detect-zeroes",
	  .type = SCHEMA_STRING,
	  .choices = detect_modes,
	  .preset = "\"off\"",
	  .help = "write zeroes without data, or free their space" },
	{ .name = "iothread",
	  .type = SCHEMA_INTEGER,
	  .max = CONFIG_IOTHREADS_MAX,
	  .preset = "0",
	  .help = "number of the thread that serves it; 0: the machine's main one" },
	LIMIT_FIELDS,
	{ .name = "limit-group",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = ID_MAX,
	  .help = "group that shares limits" },
	{ .name = "lease",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "refuse changes unless a lease was given and runs" },
	{ .name = "removable",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "in a hotplug port, so that it can be detached" },
	{ .name = "id",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = ID_MAX,
	  .check = check_id,
	  .help = "name of the device" },
	{ .name = "serial",
	  .type = SCHEMA_STRING,
	  .max = 20,
	  .help = "serial number shown to the guest" },
	{ 0 },
};

#define ATTACHED_NET_FIELDS                                                                        \
	{ .name = "restricted",                                                                    \
	  .type = SCHEMA_BOOLEAN,                                                                  \
	  .preset = "false",                                                                       \
	  .help = "nothing leaves a user network but through hostfwd" },                           \
		NET_LIMIT_FIELDS, NET_RULES_FIELDS,                                                \
		{ .name = "hostfwd",                                                               \
		  .type = SCHEMA_STRING,                                                           \
		  .list = true,                                                                    \
		  .preset = "[]",                                                                  \
		  .help = "ports of the host that lead to the guest: tcp:ADDR:PORT-ADDR:PORT" },   \
		{ .name = "mac",                                                                   \
		  .type = SCHEMA_STRING,                                                           \
		  .check = check_mac,                                                              \
		  .help = "hardware address" },                                                    \
	{                                                                                          \
		.name = "id", .type = SCHEMA_STRING, .min = 1, .max = ID_MAX, .check = check_id,   \
		.help = "name of the device"                                                       \
	}

static const struct schema_field net_fields[] = {
	{ .name = "kind",
	  .type = SCHEMA_STRING,
	  .choices = net_kinds,
	  .required = true,
	  .help = "back-end" },
	{ .name = "ifname",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = IFNAMSIZ - 1,
	  .help = "name of the tap interface" },
	{ .name = "fds",
	  .type = SCHEMA_INTEGER,
	  .list = true,
	  .min = 3,
	  .max = INT32_MAX,
	  .max_items = CONFIG_NET_FDS_MAX,
	  .help = "in the place of a name: inherited descriptors, one for each queue of the tap" },
	{ .name = "removable",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "in a hotplug port, so that it can be detached" },
	ATTACHED_NET_FIELDS,
	{ 0 },
};

const struct schema_field config_attached_net_fields[] = {
	{ .name = "kind",
	  .type = SCHEMA_STRING,
	  .choices = attached_net_kinds,
	  .required = true,
	  .help = "back-end; tap: its open queues come with the request (SCM_RIGHTS)" },
	ATTACHED_NET_FIELDS,
	{ 0 },
};

static const struct schema_field gdb_fields[] = {
	{ .name = "tcp",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .check = check_tcp,
	  .help = "HOST:PORT to listen on; :PORT: loopback" },
	{ .name = "unix",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 107,
	  .help = "path of the socket to listen on" },
	{ .name = "wait",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "start when a debugger lets it" },
	{ 0 },
};

const struct schema_field config_fields[] = {
	{ .name = "name",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 64,
	  .preset = "\"cella\"",
	  .check = check_id,
	  .help = "name of the machine" },
	{ .name = "uuid",
	  .type = SCHEMA_STRING,
	  .min = 36,
	  .max = 36,
	  .check = check_id,
	  .help = "by which whoever started it knows it again" },
	{ .name = "engine", .type = SCHEMA_OBJECT, .fields = engine_fields, .preset = "{}" },
	{ .name = "cpu", .type = SCHEMA_OBJECT, .fields = cpu_fields, .preset = "{}" },
	{ .name = "memory", .type = SCHEMA_OBJECT, .fields = memory_fields, .preset = "{}" },
	{ .name = "kernel", .type = SCHEMA_STRING, .min = 1, .help = "kernel to boot" },
	{ .name = "initrd", .type = SCHEMA_STRING, .min = 1, .help = "initial RAM disk" },
	{ .name = "append", .type = SCHEMA_STRING, .max = 65536, .help = "kernel command line" },
	{ .name = "limit-groups",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .fields = limit_group_fields,
	  .help = "limits that several disks share" },
	{ .name = "job-folders",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .min = 1,
	  .help = "folders and URIs in which images may be opened and made while the machine runs" },
	{ .name = "hotplug-ports",
	  .type = SCHEMA_INTEGER,
	  .max = CONFIG_HOTPLUG_PORTS_MAX,
	  .preset = "8",
	  .help = "how many removable and attached disks and networks there can be" },
	{ .name = "disks",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .fields = config_disk_fields,
	  .preset = "[]" },
	{ .name = "nets",
	  .type = SCHEMA_OBJECT,
	  .list = true,
	  .fields = net_fields,
	  .preset = "[]" },
	{ .name = "serials",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .max_items = CONFIG_SERIALS_MAX,
	  .check = check_chardev,
	  .help = "what the serial ports are connected to" },
	{ .name = "consoles",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .check = check_chardev,
	  .preset = "[]",
	  .help = "virtio consoles, and what they are connected to" },
	{ .name = "devices",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .choices = device_names,
	  .preset = "[]" },
	{ .name = "control",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 107,
	  .help = "path of the control socket" },
	{ .name = "end-file",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .help = "file that gets a line of JSON when the machine ends, with reason and exit status, and "
		  "for each console one with the number of its latest bytes, which follow" },
	{ .name = "gdb",
	  .type = SCHEMA_OBJECT,
	  .fields = gdb_fields,
	  .help = "where to wait for a debugger" },
	{ .name = "reboot",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "true",
	  .help = "false: a reset ends the machine" },
	{ .name = "log",
	  .type = SCHEMA_STRING,
	  .choices = log_levels,
	  .preset = "\"info\"",
	  .help = "least level to log" },
	{ 0 },
};

int config_parse_mac(const char *text, uint8_t ret_mac[6], struct err *err)
{
	uint8_t mac[6];
	int used = 0;

	/* The scan alone would take signs and blanks. */
	if (strlen(text) != 17 || text[strspn(text, "0123456789abcdefABCDEF:")] ||
	    sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &used) != 6 ||
	    used != 17)
		return err_set(err, EINVAL, "must be a MAC address such as 52:54:00:12:34:56");
	if (mac[0] & 1)
		return err_set(err, EINVAL, "must not be a multicast address (first byte is odd)");
	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

int config_parse_tcp(const char *text, char ret_host[CONFIG_HOST_MAX + 1], uint16_t *ret_port,
		     struct err *err)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	uint64_t port;

	if (!colon || length > CONFIG_HOST_MAX || parse_u64(colon + 1, 0, UINT16_MAX, &port))
		return err_set(err, EINVAL, "must be HOST:PORT or :PORT");
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	} else if (memchr(text, ':', length)) {
		return err_set(err, EINVAL, "must have an IPv6 address in brackets");
	}
	snprintf(ret_host, CONFIG_HOST_MAX + 1, "%.*s", (int)length, text);
	*ret_port = (uint16_t)port;
	return 0;
}

static int set_text(json_t *object, const char *key, const char *text, struct err *err)
{
	if (json_object_set_new(object, key, json_string(text)))
		return err_errno(err, ENOMEM, "configuration");
	return 0;
}

/* FNV-1a over both. */
int config_invent_mac(json_t *net, const char *name, size_t index, struct err *err)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	char text[18];

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	hash = (hash ^ index) * UINT64_C(0x100000001b3);
	snprintf(text, sizeof(text), "52:54:00:%02x:%02x:%02x", (unsigned)(hash >> 40) & 0xff,
		 (unsigned)(hash >> 24) & 0xff, (unsigned)(hash >> 8) & 0xff);
	return set_text(net, "mac", text, err);
}

/* Gives the items of a list the ids "<prefix>0" … where they have none, and refuses the same one
 * twice. */
static int complete_ids(const json_t *list, const char *prefix, struct err *err)
{
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item)
	{
		char id[ID_MAX];

		snprintf(id, sizeof(id), "%s%zu", prefix, index);
		if (!schema_string(item, "id") && set_text(item, "id", id, err))
			return err->code;
		for (size_t other = 0; other < index; other++) {
			if (strcmp(schema_string(json_array_get(list, other), "id"),
				   schema_string(item, "id")))
				continue;
			err_set(err, EEXIST, "id '%s' is used twice", schema_string(item, "id"));
			return err_hint(err, "give every device an id of its own");
		}
	}
	return 0;
}

static int check_net(json_t *net, struct err *err)
{
	const char *kind = schema_string(net, "kind");

	bool named = schema_string(net, "ifname"),
	     open = json_array_size(json_object_get(net, "fds"));

	if (!strcmp(kind, "tap") && named == open)
		return err_set(err, EINVAL, "tap network '%s' needs the name of an interface%s",
			       schema_string(net, "id"), named ? " or descriptors, not both" : "");
	if (strcmp(kind, "tap") && (named || open))
		return err_set(err, EINVAL, "network '%s' is no tap and takes no interface",
			       schema_string(net, "id"));
	if (strcmp(kind, "user") && schema_boolean(net, "restricted"))
		return err_set(err, EINVAL,
			       "network '%s' cannot be restricted: only user networks can",
			       schema_string(net, "id"));
	if (strcmp(kind, "user") && json_array_size(json_object_get(net, "hostfwd")))
		return err_set(err, EINVAL,
			       "network '%s' cannot forward ports: only user networks do",
			       schema_string(net, "id"));
	return 0;
}

/* Each descriptor is closed by the NIC that has it. */
static int check_fds(const json_t *nets, struct err *err)
{
	uint64_t seen[CONFIG_NET_FDS_MAX];
	size_t count = 0, index, place;
	json_t *net, *fd;

	json_array_foreach(nets, index, net)
	{
		json_array_foreach(json_object_get(net, "fds"), place, fd)
		{
			uint64_t value = (uint64_t)json_integer_value(fd);

			if (count == CONFIG_NET_FDS_MAX)
				return err_set(err, EINVAL, "more than %d descriptors of taps",
					       CONFIG_NET_FDS_MAX);
			for (size_t i = 0; i < count; i++) {
				if (seen[i] == value)
					return err_set(err, EINVAL, "descriptor %d is given twice",
						       (int)value);
			}
			seen[count++] = value;
		}
	}
	return 0;
}

static int resolve_nets(json_t *config, struct err *err)
{
	json_t *nets = json_object_get(config, "nets");
	size_t index;
	json_t *net;
	int rc;

	/* "none" is what a command line says to have no network; it is no device. */
	for (index = json_array_size(nets); index-- > 0;) {
		if (!strcmp(schema_string(json_array_get(nets, index), "kind"), "none"))
			json_array_remove(nets, index);
	}
	rc = complete_ids(nets, "net", err);
	json_array_foreach(nets, index, net)
	{
		if (!rc)
			rc = check_net(net, err);
		if (!rc && !schema_string(net, "mac"))
			rc = config_invent_mac(net, schema_string(config, "name"), index, err);
	}
	return rc ? rc : check_fds(nets, err);
}

static unsigned count_stdio(const json_t *list)
{
	unsigned count = 0;
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item) count += !strcmp(json_string_value(item), "stdio");
	return count;
}

/* Without a word about serial ports the first one is the terminal, unless a console already is. */
static int resolve_chardevs(json_t *config, struct err *err)
{
	unsigned users = count_stdio(json_object_get(config, "consoles"));

	if (!json_object_get(config, "serials") &&
	    json_object_set_new(config, "serials",
				users ? json_array() : json_pack("[s]", "stdio")))
		return err_errno(err, ENOMEM, "configuration");
	users += count_stdio(json_object_get(config, "serials"));
	if (users > 1) {
		err_set(err, EINVAL, "'stdio' can serve only one serial port or console");
		return err_hint(err, "give the others 'pty', 'file=PATH', 'unix=PATH' or 'none'");
	}
	return 0;
}

static int check_gdb(const json_t *gdb, struct err *err)
{
	if (!gdb || !schema_string(gdb, "tcp") != !schema_string(gdb, "unix"))
		return 0;
	err_set(err, EINVAL, "the debugger needs one place to connect to");
	return err_hint(err, "give either HOST:PORT or unix=PATH");
}

int config_resolve(json_t *config, struct err *err)
{
	int rc = schema_check(config_fields, config, "configuration", err);

	if (!rc)
		rc = complete_ids(json_object_get(config, "disks"), "disk", err);
	if (!rc)
		rc = resolve_nets(config, err);
	if (!rc)
		rc = resolve_chardevs(config, err);
	if (!rc)
		rc = check_gdb(json_object_get(config, "gdb"), err);
	if (!rc && schema_string(config, "initrd") && !schema_string(config, "kernel")) {
		rc = err_set(err, EINVAL, "initial RAM disk '%s' has no kernel",
			     schema_string(config, "initrd"));
		err_hint(err, "add --kernel FILE");
	}
	return rc;
}
