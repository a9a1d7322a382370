/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/backends.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/config.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "block/filter/detect_zeroes.h"
#include "block/format.h"
#include "block/pool.h"
#include "host/clock.h"
#include "vmm/nets.h"

/* An array of one item for each of the list's; NULL also for an empty list. */
static void *items_for(const json_t *list, size_t item_size, struct err *err)
{
	size_t count = json_array_size(list);
	void *items = count ? calloc(count, item_size) : NULL;

	if (count && !items)
		err_errno(err, ENOMEM, "cannot open back-ends");
	return items;
}

/* The format's settings and the folders of the configuration; the caller releases both. */
static int read_image_options(const json_t *config, json_t **ret_settings,
			      const char ***ret_folders, struct err *err)
{
	const json_t *allow = json_object_get(config, "allow");
	const char *settings = schema_string(config, "settings");
	size_t index;
	json_t *folder;

	*ret_settings = json_object();
	*ret_folders = calloc(json_array_size(allow) + 1, sizeof(**ret_folders));
	if (!*ret_settings || !*ret_folders)
		return err_errno(err, ENOMEM, "cannot open back-ends");
	json_array_foreach((json_t *)(uintptr_t)allow, index, folder)
	{
		(*ret_folders)[index] = json_string_value(folder);
	}
	return settings ? block_settings_parse(*ret_settings, settings, err) : 0;
}

/* The filters in front of an image, the outermost last. */
static int open_filters(struct limits_book *limits, const json_t *config, struct loop *loop,
			struct block_node **node, struct err *err)
{
	const char *detect = schema_string(config, "detect-zeroes");
	int rc = 0;

	if (strcmp(detect, "off"))
		rc = detect_zeroes_open(*node, !strcmp(detect, "unmap"), loop, node, err);
	return rc ? rc : limits_book_limit(limits, config, loop, node, err);
}

/* The loop that serves a disk. */
static int find_loop(struct iothreads *iothreads, const json_t *config, struct loop **loop,
		     struct err *err)
{
	unsigned number = (unsigned)schema_integer(config, "iothread");

	return number ? iothreads_get(iothreads, number, loop, err) : 0;
}

/* The image of a disk, without filters. */
static int open_image(struct backends *backends, size_t index, const json_t *config,
		      struct loop *loop, struct block_node **ret_node, struct err *err)
{
	struct disk_lease *lease = &backends->leases[index];
	struct block_open_options options = {
		.format = schema_string(config, "format"),
		.read_only = schema_boolean(config, "readonly"),
		.snapshot = schema_boolean(config, "snapshot"),
		.lease = lease->needed ? &lease->lease : NULL,
		.cache_bytes = schema_integer(config, "metadata-cache"),
		.connector = backends->connector,
	};
	const char **folders = NULL;
	AUTO_FREE char *path = NULL;
	json_t *settings = NULL;
	int rc;

	if (block_cache_parse(schema_string(config, "cache"), &options.cache))
		return err_set(err, EINVAL, "disk '%s': unknown cache mode '%s'",
			       schema_string(config, "id"), schema_string(config, "cache"));
	rc = block_pool_find(schema_string(config, "path"), &path, err);
	if (!rc)
		rc = read_image_options(config, &settings, &folders, err);
	if (!rc) {
		options.path = path;
		options.settings = settings;
		options.folders = folders;
		rc = block_open(&options, loop, ret_node, err);
	}
	json_decref(settings);
	free(folders);
	return rc;
}

static int open_disk(struct backends *backends, size_t index, const json_t *config,
		     struct loop *loop, struct err *err)
{
	struct block_node *node;
	int rc;

	backends->leases[index] = (struct disk_lease){ .needed = schema_boolean(config, "lease") };
	rc = open_image(backends, index, config, loop, &node, err);
	if (rc)
		return rc;
	rc = open_filters(&backends->limits, config, loop, &node, err);
	if (rc) {
		block_close(node);
		return rc;
	}
	backends->disks[index] = (struct machine_disk){
		.id = schema_string(config, "id"),
		.node = node,
		.serial = schema_string(config, "serial"),
		.removable = schema_boolean(config, "removable"),
	};
	return 0;
}

int backends_open_image(struct backends *backends, size_t index, const json_t *config,
			struct block_node **ret_node, struct err *err)
{
	return open_image(backends, index, config, block_loop(backends->disks[index].node),
			  ret_node, err);
}

int backends_open_disk(struct backends *backends, const json_t *config, struct loop *loop,
		       size_t *ret_index, struct err *err)
{
	size_t index = 0;
	int rc;

	while (index < backends->disk_count && backends->disks[index].node)
		index++;
	if (index == backends->disk_capacity)
		return err_set(err, ENOSPC, "there are %zu disks already", index);
	rc = find_loop(&backends->iothreads, config, &loop, err);
	if (!rc)
		rc = open_disk(backends, index, config, loop, err);
	if (rc)
		return rc;
	if (index == backends->disk_count)
		backends->disk_count++;
	*ret_index = index;
	return 0;
}

void backends_close_disk(struct backends *backends, size_t index)
{
	struct machine_disk *disk = &backends->disks[index];

	block_close(disk->node);
	limits_book_forget(&backends->limits, disk->id);
	*disk = (struct machine_disk){ .id = "" };
}

int backends_find_disk(const struct backends *backends, const char *id, size_t *ret_index,
		       struct err *err)
{
	for (size_t i = 0; i < backends->disk_count; i++) {
		if (backends->disks[i].node && !strcmp(backends->disks[i].id, id)) {
			*ret_index = i;
			return 0;
		}
	}
	return err_set(err, ENOENT, "there is no disk '%s'", id);
}

/* The program that opens disks of the network lies beside this one. */
static int prepare_connector(struct backends *backends, struct err *err)
{
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (length < 0)
		return err_errno(err, errno, "cannot find out where this program is");
	path[length] = '\0';
	slash = strrchr(path, '/');
	snprintf(slash + 1, sizeof(path) - (size_t)(slash + 1 - path), "cella-img");
	return block_connector_new(&backends->connector, path, err);
}

static int open_disks(struct backends *backends, const json_t *config, struct loop *loop,
		      struct err *err)
{
	const json_t *list = json_object_get(config, "disks");
	size_t index, place;
	json_t *item;
	int rc = 0;

	/* One more than can be, so that the machine says why not. */
	backends->disk_capacity =
		json_array_size(list) + schema_integer(config, "hotplug-ports") + 1;
	backends->disks = calloc(backends->disk_capacity, sizeof(backends->disks[0]));
	backends->leases = calloc(backends->disk_capacity, sizeof(backends->leases[0]));
	if (!backends->disks || !backends->leases)
		return err_errno(err, ENOMEM, "cannot open back-ends");
	json_array_foreach((json_t *)(uintptr_t)list, index, item)
	{
		rc = backends_open_disk(backends, item, loop, &place, err);
		if (rc)
			break;
	}
	return rc;
}

/* The back-end of a port, with the control socket's console in between. "none" is a port that only
 * the socket reaches. */
static int open_port(struct backends *backends, const char *kind, size_t index, const char *spec,
		     struct loop *loop, void (*escape)(void *ctx), void *ctx,
		     struct console **ret_console, struct err *err)
{
	struct chardev *chardev = NULL;
	char id[CONSOLE_ID_MAX];
	int rc;

	snprintf(id, sizeof(id), "%s%zu", kind, index);
	rc = chardev_open(spec, loop, &chardev, err);
	if (rc) {
		err_wrap(err, "%s", id);
		return rc;
	}
	if (chardev)
		chardev_set_escape(chardev, escape, ctx);
	if (chardev && chardev_path(chardev))
		log_info("%s is at %s", id, chardev_path(chardev));
	rc = console_new(ret_console, id, chardev, loop, err);
	if (rc)
		chardev_close(chardev);
	else
		list_append(&backends->attachable.list, &(*ret_console)->node);
	return rc;
}

int backends_open(struct backends *backends, const json_t *config, struct loop *loop,
		  void (*escape)(void *ctx), void *ctx, struct err *err)
{
	const json_t *consoles = json_object_get(config, "consoles");
	struct console *console;
	size_t index;
	json_t *spec;
	int rc;

	*backends = (struct backends){ 0 };
	list_init(&backends->attachable.list);
	iothreads_init(&backends->iothreads);
	rc = limits_book_init(&backends->limits, config, err);
	if (!rc)
		rc = prepare_connector(backends, err);
	if (!rc)
		rc = open_disks(backends, config, loop, err);
	if (!rc)
		rc = nets_open(backends, config, loop, err);
	if (rc)
		return rc;
	json_array_foreach(json_object_get(config, "serials"), index, spec)
	{
		rc = open_port(backends, "serial", index, json_string_value(spec), loop, escape,
			       ctx, &console, err);
		if (rc)
			return rc;
		backends->serials[index] = &console->chardev;
	}
	backends->consoles = items_for(consoles, sizeof(backends->consoles[0]), err);
	if (json_array_size(consoles) && !backends->consoles)
		return err->code;
	json_array_foreach(consoles, index, spec)
	{
		rc = open_port(backends, "console", index, json_string_value(spec), loop, escape,
			       ctx, &console, err);
		if (rc)
			return rc;
		backends->consoles[index] =
			(struct machine_console){ console->id, &console->chardev };
		backends->console_count++;
	}
	return 0;
}

int backends_set_lease(struct backends *backends, const char *id, uint64_t ms, struct err *err)
{
	for (size_t i = 0; i < backends->disk_count; i++) {
		if (strcmp(backends->disks[i].id, id) || !backends->leases[i].needed)
			continue;
		block_lease_set(&backends->leases[i].lease,
				ms ? clock_now_ns() + ms * NS_PER_MS : 0);
		return 0;
	}
	return err_set(err, ENOENT, "there is no disk '%s' with lease=on", id);
}

void backends_describe(const struct backends *backends, struct machine_config *config)
{
	config->disks = backends->disks;
	config->disk_count = backends->disk_count;
	config->nics = backends->nics;
	config->nic_count = backends->nic_count;
	config->consoles = backends->consoles;
	config->console_count = backends->console_count;
	memcpy(config->serials, backends->serials, sizeof(config->serials));
}

void backends_flush(struct backends *backends, uint64_t deadline_ns)
{
	struct console *console;

	list_for_each (console, &backends->attachable.list, node)
		chardev_flush(&console->chardev, deadline_ns);
}

void backends_close(struct backends *backends)
{
	struct console *console, *next;

	list_for_each_safe (console, next, &backends->attachable.list, node)
		chardev_close(&console->chardev);
	nets_close(backends);
	for (size_t i = 0; i < backends->disk_count; i++)
		block_close(backends->disks[i].node);
	iothreads_fini(&backends->iothreads);
	block_connector_free(backends->connector);
	limits_book_fini(&backends->limits);
	free(backends->consoles);
	free(backends->disks);
	free(backends->leases);
	*backends = (struct backends){ 0 };
	list_init(&backends->attachable.list);
	iothreads_init(&backends->iothreads);
}
