/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/schema.h"
#include "base/macros.h"
#include "block/bitmap.h"
#include "block/node.h"
#include "vmm/hotplug.h"
#include "vmm/vmm.h"

#define NAME_BYTES 64

static json_t *rows_of(struct vmm *vmm)
{
	return json_object_get(vmm->config, "disks");
}

/* ---- going ---- */

int disks_close(struct vmm *vmm, const char *id)
{
	size_t index;
	int rc = backends_find_disk(&vmm->backends, id, &index, NULL);

	if (rc)
		return rc;
	backends_close_disk(&vmm->backends, index);
	json_array_set_new(rows_of(vmm), index, json_null());
	return 0;
}

/* It may leave only when nobody but its device uses it. */
static int check_unused(const struct vmm *vmm, const char *id, struct err *err)
{
	if (!jobs_has(vmm, id))
		return 0;
	err_set(err, EBUSY, "disk '%s' has a job", id);
	return err_hint(err, "let it end, or cancel it with job.cancel");
}

int disks_detach(struct vmm *vmm, const json_t *params, struct err *err)
{
	size_t index;
	int rc = backends_find_disk(&vmm->backends, schema_string(params, "id"), &index, err);
	const char *id;

	if (rc)
		return rc;
	id = vmm->backends.disks[index].id;
	rc = check_unused(vmm, id, err);
	return rc ? rc : hotplug_detach(vmm, &hotplug_disk, id, params, err);
}

/* ---- coming ---- */

static bool is_id_taken(const struct vmm *vmm, const char *id)
{
	size_t index;

	return !backends_find_disk(&vmm->backends, id, &index, NULL);
}

/* The row of a new disk, with an id; new reference, NULL if there is no memory. */
static json_t *row_of(const struct vmm *vmm, const json_t *params)
{
	json_t *row = json_deep_copy(params);
	char id[NAME_BYTES];
	unsigned number = 0;

	do
		snprintf(id, sizeof(id), "disk%u", number++);
	while (is_id_taken(vmm, id));
	if (row && !schema_string(row, "id"))
		json_object_set_new(row, "id", json_string(id));
	return row;
}

static int attach(struct vmm *vmm, json_t *row, struct err *err)
{
	struct backends *backends = &vmm->backends;
	json_t *rows = rows_of(vmm);
	size_t index;
	int rc = backends_open_disk(backends, row, vmm->loop, &index, err);

	if (rc)
		return rc;
	rc = machine_attach_disk(vmm->machine, &backends->disks[index], err);
	if (rc) {
		backends_close_disk(backends, index);
		return rc;
	}
	if (index < json_array_size(rows))
		json_array_set(rows, index, row);
	else
		json_array_append(rows, row);
	return 0;
}

int disks_attach(struct vmm *vmm, const json_t *params, json_t **ret_result, struct err *err)
{
	json_t *row = row_of(vmm, params);
	const char *id = schema_string(row, "id");
	int rc = jobs_check_folders(vmm, err);

	if (!rc && !id)
		rc = err_errno(err, ENOMEM, "cannot attach a disk");
	if (!rc && is_id_taken(vmm, id))
		rc = err_set(err, EEXIST, "there is a disk '%s' already", id);
	if (!rc)
		rc = attach(vmm, row, err);
	if (!rc)
		*ret_result = json_pack("{s:s}", "id", id);
	json_decref(row);
	return rc;
}

/* ---- changing ---- */

struct change {
	struct block_node *root, *parent, *old, *new;
};

static int replace(void *ctx, struct err *err)
{
	struct change *change = ctx;
	int rc = block_can_write(change->old) ? block_flush(change->old) : 0;

	if (rc)
		return err_errno(err, rc, "cannot flush the image that is to go");
	block_node_replace(change->parent, change->old, change->new);
	return 0;
}

static int change_graph(void *ctx, struct err *err)
{
	struct change *change = ctx;

	return block_change(change->root, replace, change, err);
}

/* The device stays, so what it has told its driver must hold. */
static int check_fits(const struct change *change, const char *path, struct err *err)
{
	if (block_can_write(change->old) != block_can_write(change->new))
		return err_set(err, EROFS, "'%s' %s be written, unlike the image before", path,
			       block_can_write(change->new) ? "can" : "cannot");
	if (block_unit_bytes(change->old) != block_unit_bytes(change->new))
		return err_set(err, EINVAL, "'%s' has sectors of %u bytes, the image before %u",
			       path, block_unit_bytes(change->new), block_unit_bytes(change->old));
	return 0;
}

/* What was recorded of one image says nothing of another; the image's own bitmaps go with it. */
static int check_no_bitmaps(const struct machine_disk *disk, struct err *err)
{
	json_t *list, *bitmap;
	size_t index;
	int rc = block_bitmap_list(disk->node, &list, err);

	if (rc)
		return rc;
	json_array_foreach(list, index, bitmap)
	{
		if (!rc && !json_is_true(json_object_get(bitmap, "persistent"))) {
			rc = err_set(err, EBUSY, "disk '%s' has bitmaps in memory", disk->id);
			err_hint(err, "remove them with bitmap.remove");
		}
	}
	json_decref(list);
	return rc;
}

/* The disk's row with the image of `params`; new reference. */
static json_t *changed_row(const json_t *row, const json_t *params)
{
	static const char *const keys[] = { "path", "format", "settings", "allow" };
	json_t *changed = json_copy((json_t *)(uintptr_t)row);

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *value = json_object_get(params, keys[i]);

		if (value)
			json_object_set(changed, keys[i], value);
		else
			json_object_del(changed, keys[i]);
	}
	return changed;
}

static int change_image(struct vmm *vmm, size_t index, json_t *row, bool force, struct err *err)
{
	const struct machine_disk *disk = &vmm->backends.disks[index];
	struct change change = { .root = disk->node, .parent = disk->node };
	int rc;

	/* Filters that were put in front of the image; a format may call its own node one. */
	while (change.parent->next->ops->filter && !change.parent->next->format)
		change.parent = change.parent->next;
	change.old = change.parent->next;
	rc = backends_open_image(&vmm->backends, index, row, &change.new, err);
	if (rc)
		return rc;
	rc = check_fits(&change, schema_string(row, "path"), err);
	if (!rc)
		rc = machine_change_disk(vmm->machine, disk->id, force, change_graph, &change, err);
	block_close(rc ? change.new : change.old);
	return rc;
}

int disks_change(struct vmm *vmm, const json_t *params, struct err *err)
{
	size_t index;
	json_t *row;
	int rc = jobs_check_folders(vmm, err);

	if (!rc)
		rc = backends_find_disk(&vmm->backends, schema_string(params, "id"), &index, err);
	if (!rc)
		rc = hotplug_check_stays(vmm, schema_string(params, "id"), err);
	if (!rc)
		rc = check_unused(vmm, schema_string(params, "id"), err);
	if (!rc)
		rc = check_no_bitmaps(&vmm->backends.disks[index], err);
	if (rc)
		return rc;
	row = changed_row(json_array_get(rows_of(vmm), index), params);
	rc = row ? change_image(vmm, index, row, schema_boolean(params, "force"), err)
		 : err_errno(err, ENOMEM, "cannot change the image");
	/* Its values are shared with the old row, whose strings the device borrows. */
	if (!rc)
		json_array_set(rows_of(vmm), index, row);
	json_decref(row);
	return rc;
}

/* ---- looking ---- */

json_t *disks_list(struct vmm *vmm)
{
	const struct backends *backends = &vmm->backends;
	json_t *list = json_array();

	for (size_t i = 0; i < backends->disk_count; i++) {
		const struct machine_disk *disk = &backends->disks[i];
		const json_t *row = json_array_get(rows_of(vmm), i);
		json_t *facts = disk->node ? machine_describe_card(vmm->machine, disk->id) : NULL;

		if (!facts)
			continue;
		json_object_set_new(facts, "id", json_string(disk->id));
		json_object_set_new(facts, "path", json_string(schema_string(row, "path")));
		json_object_set_new(facts, "size",
				    json_integer((json_int_t)block_size_bytes(disk->node)));
		json_object_set_new(facts, "readonly", json_boolean(!block_can_write(disk->node)));
		json_array_append_new(list, facts);
	}
	return list;
}
