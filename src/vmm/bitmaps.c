/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/bitmaps.h"

#include <errno.h>
#include <string.h>

#include "api/schema.h"
#include "block/bitmap.h"
#include "vmm/vmm.h"

int bitmaps_list(struct vmm *vmm, const json_t *params, json_t **ret_list, struct err *err)
{
	const struct machine_disk *disk;
	const char *used;
	json_t *row;
	size_t index;
	int rc = jobs_find_disk(vmm, params, &disk, err);

	if (!rc)
		rc = block_bitmap_list(disk->node, ret_list, err);
	if (rc)
		return rc;
	used = jobs_bitmap(vmm, disk);
	json_array_foreach(*ret_list, index, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));

		json_object_set_new(row, "in-use", json_boolean(used && !strcmp(used, name)));
	}
	return 0;
}

/* The disk whose bitmap is about to change. */
static int find_disk(struct vmm *vmm, const json_t *params, const struct machine_disk **ret_disk,
		     struct err *err)
{
	const char *name = schema_string(params, "name"), *used;
	int rc = jobs_find_disk(vmm, params, ret_disk, err);

	used = rc ? NULL : jobs_bitmap(vmm, *ret_disk);
	if (used && !strcmp(used, name)) {
		err_set(err, EBUSY, "a backup has bitmap '%.64s'", name);
		return err_hint(err, "wait for the end of the disk's job, or cancel it");
	}
	return rc;
}

int bitmaps_add(struct vmm *vmm, const json_t *params, struct err *err)
{
	const struct machine_disk *disk;
	int rc = jobs_find_disk(vmm, params, &disk, err);

	return rc ? rc
		  : block_bitmap_add(disk->node, schema_string(params, "name"),
				     (uint32_t)schema_integer(params, "granularity"),
				     schema_boolean(params, "persistent"), err);
}

int bitmaps_remove(struct vmm *vmm, const json_t *params, struct err *err)
{
	const struct machine_disk *disk;
	int rc = find_disk(vmm, params, &disk, err);

	return rc ? rc : block_bitmap_remove(disk->node, schema_string(params, "name"), err);
}

int bitmaps_clear(struct vmm *vmm, const json_t *params, struct err *err)
{
	const struct machine_disk *disk;
	int rc = find_disk(vmm, params, &disk, err);

	return rc ? rc : block_bitmap_clear(disk->node, schema_string(params, "name"), err);
}

int bitmaps_enable(struct vmm *vmm, const json_t *params, bool enabled, struct err *err)
{
	const struct machine_disk *disk;
	int rc = find_disk(vmm, params, &disk, err);

	return rc ? rc
		  : block_bitmap_enable(disk->node, schema_string(params, "name"), enabled, err);
}

int bitmaps_merge(struct vmm *vmm, const json_t *params, struct err *err)
{
	const struct machine_disk *disk;
	int rc = find_disk(vmm, params, &disk, err);

	return rc ? rc
		  : block_bitmap_merge(disk->node, schema_string(params, "name"),
				       schema_string(params, "from"), err);
}
