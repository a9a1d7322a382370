/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `cella run`; docs/man/cella-run.1 and docs/cella.bash-completion are tested
 * against this table. */
#include <errno.h>
#include <string.h>

#include "api/config.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cli/options.h"

static int set_dry_run(struct request *request, const struct option *option, const char *text,
		       struct err *err)
{
	request->dry_run = true;
	return 0;
}

static int set_help(struct request *request, const struct option *option, const char *text,
		    struct err *err)
{
	request->help = true;
	return 0;
}

static int set_no_reboot(struct request *request, const struct option *option, const char *text,
			 struct err *err)
{
	if (json_object_set_new(request->config, option->key, json_false()))
		return err_errno(err, ENOMEM, "cannot keep the value");
	return 0;
}

/* What is said in several options makes one command line. */
static int add_append(struct request *request, const struct option *option, const char *text,
		      struct err *err)
{
	const char *before = schema_string(request->config, option->key);
	struct str whole = { 0 };
	int rc = 0;

	str_printf(&whole, "%s%s%s", before ? before : "", before ? " " : "", text);
	if (whole.failed)
		rc = err_errno(err, ENOMEM, "cannot keep the value");
	else
		rc = option_set_value(request, option, whole.text, err);
	str_fini(&whole);
	return rc;
}

/* NAME[,options for the engine itself] */
static int set_engine(struct request *request, const struct option *option, const char *text,
		      struct err *err)
{
	const struct schema_field *fields = schema_find(config_fields, option->key)->fields;
	const char *comma = strchr(text, ',');
	AUTO_FREE char *name = strndup(text, comma ? (size_t)(comma - text) : strlen(text));
	json_t *value = NULL, *engine;
	int rc;

	if (!name)
		return err_errno(err, ENOMEM, "cannot keep the value");
	rc = schema_parse(schema_find(fields, "name"), name, &value, err);
	if (rc)
		return rc;
	engine = json_pack("{s:o, s:s*}", "name", value, "options", comma ? comma + 1 : NULL);
	if (!engine || json_object_set_new(request->config, option->key, engine))
		return err_set(err, EINVAL, "must be UTF-8 text");
	return 0;
}

static int add_to_list(json_t *object, const char *key, const char *text, struct err *err)
{
	json_t *list = json_object_get(object, key);

	if (!list) {
		list = json_array();
		json_object_set_new(object, key, list);
	}
	if (json_array_append_new(list, json_string(text)))
		return err_errno(err, ENOMEM, "cannot keep the value");
	return 0;
}

static int add_hostfwd(json_t *object, const char *text, struct err *err)
{
	return add_to_list(object, "hostfwd", text, err);
}

static int add_allow(json_t *object, const char *text, struct err *err)
{
	return add_to_list(object, "allow", text, err);
}

/* Said more than once, they are one list. */
static int add_settings(json_t *object, const char *text, struct err *err)
{
	json_t *before = json_object_get(object, "settings");
	json_t *all =
		before ? json_sprintf("%s,%s", json_string_value(before), text) : json_string(text);

	if (json_object_set_new(object, "settings", all))
		return err_set(err, EINVAL, "must be UTF-8 text");
	return 0;
}

static const struct option_word net_words[] = {
	{ .word = "tap", .key = "ifname" },
	{ .word = "hostfwd", .set = add_hostfwd },
	{ 0 },
};

static const struct option_word disk_words[] = {
	{ .word = "allow", .set = add_allow },
	{ .word = "settings", .set = add_settings },
	{ 0 },
};

#define CHARDEV_ARGUMENT "stdio|pty|none|file=PATH|unix=PATH"

const struct option run_options[] = {
	{ .name = "name",
	  .argument = "NAME",
	  .help = "name of the machine (cella)",
	  .set = option_set_value,
	  .key = "name" },
	{ .name = "engine",
	  .argument = "auto|kvm|soft[,KEY=VALUE]...",
	  .help = "what runs the processors; auto takes KVM where it works, else the software engine",
	  .set = set_engine,
	  .key = "engine" },
	{ .name = "cpu",
	  .argument = "MODEL",
	  .help = "CPU model: host (as much as engine and host offer) or x86-64-v1 to x86-64-v4",
	  .set = option_set_value,
	  .key = "cpu.model" },
	{ .name = "cpus",
	  .argument = "N",
	  .help = "number of processors (1)",
	  .set = option_set_value,
	  .key = "cpu.count" },
	{ .name = "memory",
	  .argument = "SIZE[,hugepages=SIZE][,prealloc=on]",
	  .help = "RAM, with K, M, G or T (512M); on huge pages of the given size, all touched at start",
	  .set = option_set_words,
	  .key = "memory",
	  .first = "size" },
	{ .name = "kernel",
	  .argument = "FILE",
	  .help = "kernel to boot: Linux bzImage, ELF (PVH or 64-bit) or Multiboot",
	  .set = option_set_value,
	  .key = "kernel" },
	{ .name = "initrd",
	  .argument = "FILE",
	  .help = "initial RAM disk for the kernel",
	  .set = option_set_value,
	  .key = "initrd" },
	{ .name = "append",
	  .argument = "STRING",
	  .help = "kernel command line; said more than once, the parts are joined by spaces",
	  .set = add_append,
	  .key = "append" },
	{ .name = "disk",
	  .argument = "PATH[,KEY=VALUE]...",
	  .help = "disk image, block device, or URI of an NBD or web server; format=NAME (see cella image formats; without it, name and "
		  "header must agree), readonly=on, snapshot=on (drop all writes at the end), "
		  "cache=writeback|none|unsafe, allow=FOLDER or URI (of further files that the image names), "
		  "settings=NAME=VALUE (of the format; backing.NAME=VALUE: of the image that it stands on), "
		  "metadata-cache=SIZE, detect-zeroes=off|on|unmap, "
		  "iothread=N (disks with the same number share a thread), "
		  "iops=N, bps=SIZE and others (most requests and bytes a second), limit-group=NAME, lease=on, id=ID, "
		  "serial=TEXT, removable=on (in a hotplug port, see disk.detach in 'cella control --help'); a comma "
		  "in a path is doubled",
	  .set = option_set_words,
	  .key = "disks",
	  .first = "path",
	  .words = disk_words },
	{ .name = "limit-group",
	  .argument = "NAME[,KEY=VALUE]...",
	  .help = "limits that all disks with limit-group=NAME share: iops, iops-read, iops-write, bps, bps-read, "
		  "bps-write, each also with -burst",
	  .set = option_set_words,
	  .key = "limit-groups",
	  .first = "name" },
	{ .name = "job-folder",
	  .argument = "FOLDER|URI",
	  .help = "images in it, or that URI, may be opened and made while the machine runs: by jobs of disks, disk.attach and "
		  "disk.change, see 'cella control --help'",
	  .set = option_set_value,
	  .key = "job-folders" },
	{ .name = "hotplug-ports",
	  .argument = "N",
	  .help = "how many disks and networks can be removable or attached while the machine runs (8)",
	  .set = option_set_value,
	  .key = "hotplug-ports" },
	{ .name = "net",
	  .argument = "none|user|tap=IFNAME[,KEY=VALUE]...",
	  .help = "network device: user is NAT without privileges, with hostfwd=tcp:ADDR:PORT-:PORT for ports of "
		  "the host (ADDR empty: loopback); tap an interface; restricted=on, receive-max=BYTES, "
		  "transmit-max=BYTES, mac=MAC, id=ID, removable=on (in a hotplug port, see net.detach in "
		  "'cella control --help'); without the option there is none",
	  .set = option_set_words,
	  .key = "nets",
	  .first = "kind",
	  .words = net_words },
	{ .name = "serial",
	  .argument = CHARDEV_ARGUMENT,
	  .help = "what the next serial port is connected to; without the option the first is stdio",
	  .set = option_set_value,
	  .key = "serials" },
	{ .name = "virtio-console",
	  .argument = CHARDEV_ARGUMENT,
	  .help = "a virtio console and what it is connected to",
	  .set = option_set_value,
	  .key = "consoles" },
	{ .name = "device",
	  .argument = "isa-debug-exit|pc-testdev",
	  .help = "a further device",
	  .set = option_set_value,
	  .key = "devices" },
	{ .name = "control",
	  .argument = "SOCKET",
	  .help = "accept JSON-RPC on this Unix socket, see 'cella control --help'",
	  .set = option_set_value,
	  .key = "control" },
	{ .name = "gdb",
	  .argument = "HOST:PORT|:PORT|unix=PATH[,wait=on]",
	  .help = "serve GDB there ('target remote'); without a host on the loopback; wait=on: the "
		  "machine does not start until the debugger continues it",
	  .set = option_set_words,
	  .key = "gdb",
	  .first = "tcp" },
	{ .name = "no-reboot",
	  .help = "end when the guest resets itself",
	  .set = set_no_reboot,
	  .key = "reboot" },
	{ .name = "log",
	  .argument = "error|warn|info|debug|trace",
	  .help = "what to write to stderr (info)",
	  .set = option_set_value,
	  .key = "log" },
	{ .name = "dry-run",
	  .help = "print the resolved configuration as JSON and end",
	  .set = set_dry_run },
	{ .name = "help", .help = "print this help and end", .set = set_help },
	{ 0 },
};
