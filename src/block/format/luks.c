/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encrypted disks: a LUKS header, then every sector of the disk, encrypted, in its place.
 *
 * Nothing of the disk is known to be zero: what was never written reads as noise.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "block/format/formats.h"
#include "block/luks.h"

struct luks_disk {
	struct block_node node; /* stands on the file */
	struct luks *luks;
	uint64_t payload;
	_Atomic uint64_t size;
	bool read_only, to_the_end; /* the disk ends where the file does */
};

static const struct block_ops luks_ops;

static struct luks_disk *disk_of(struct block_node *node)
{
	check(node->ops == &luks_ops);
	return container_of(node, struct luks_disk, node);
}

static int disk_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer to)
{
	struct luks_disk *disk = disk_of(node);

	return luks_read(disk->luks, node->next, disk->payload + offset, offset, bytes, to);
}

static int disk_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		      struct block_buffer from, unsigned flags)
{
	struct luks_disk *disk = disk_of(node);

	return luks_write(disk->luks, node->next, disk->payload + offset, offset, bytes, from,
			  flags & BLOCK_FUA);
}

static int disk_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct luks_disk *disk = disk_of(node);
	int rc;

	if (!disk->to_the_end)
		return err_set(err, ENOTSUP, "cannot resize LUKS whose header says the size");
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	rc = block_resize(node->next, disk->payload + bytes, err);
	if (!rc)
		atomic_store(&disk->size, bytes);
	return rc;
}

static bool disk_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
		     struct block_place *ret_place)
{
	(void)offset;
	(void)bytes;
	ret_place->node = node->next;
	return op == BLOCK_FLUSH;
}

static uint64_t disk_size(struct block_node *node)
{
	return atomic_load(&disk_of(node)->size);
}

/* Sectors between the two sizes that disks have are taken as the larger. */
static uint32_t unit_of(const struct luks_disk *disk)
{
	return luks_sector_bytes(disk->luks) > BLOCK_SECTOR ? 4096 : BLOCK_SECTOR;
}

static uint32_t disk_unit(struct block_node *node)
{
	return unit_of(disk_of(node));
}

static bool disk_writable(struct block_node *node)
{
	return !disk_of(node)->read_only;
}

static bool disk_can_fua(struct block_node *node)
{
	return node->next->ops->can_fua && node->next->ops->can_fua(node->next);
}

static json_t *disk_facts(struct block_node *node)
{
	struct luks_disk *disk = disk_of(node);
	json_t *facts =
		json_pack("{s:s, s:o, s:I, s:b, s:I}", "format", "luks", "file",
			  block_describe(node->next), "size", (json_int_t)atomic_load(&disk->size),
			  "read-only", disk->read_only, "data-offset", (json_int_t)disk->payload);
	json_t *more = luks_describe(disk->luks);

	json_object_update(facts, more);
	json_decref(more);
	return facts;
}

static void disk_close(struct block_node *node)
{
	struct luks_disk *disk = disk_of(node);

	block_node_fini(node);
	luks_free(disk->luks);
	free(disk);
}

static const struct block_ops luks_ops = {
	.name = "luks",
	.read = disk_read,
	.write = disk_write,
	.resize = disk_resize,
	.map = disk_map,
	.size = disk_size,
	.unit = disk_unit,
	.granularity = disk_unit,
	.can_write = disk_writable,
	.can_fua = disk_can_fua,
	.describe = disk_facts,
	.close = disk_close,
};

static unsigned luks_probe(const struct block_header *header)
{
	return memcmp(header->head, "LUKS\xba\xbe", 6) ? 0 : 100;
}

static int set_size(struct luks_disk *disk, struct err *err)
{
	uint64_t file_bytes = block_size_bytes(disk->node.next);
	uint64_t bytes = luks_payload_bytes(disk->luks), there;

	disk->payload = luks_payload_offset(disk->luks);
	there = disk->payload <= file_bytes ? file_bytes - disk->payload : 0;
	disk->to_the_end = !bytes;
	/* Without a place for data, the header stands apart from it: there is no disk here. */
	if (!disk->payload || disk->payload > file_bytes || bytes > there)
		return err_set(
			err, EINVAL,
			"cannot open LUKS: the data at %llu is not in the file of %llu bytes",
			(unsigned long long)disk->payload, (unsigned long long)file_bytes);
	atomic_store(&disk->size, round_down(bytes ? bytes : there, unit_of(disk)));
	return 0;
}

static int open_disk(struct luks_disk *disk, const struct block_format_open *open, struct err *err)
{
	int rc = luks_load(open->file, 0, 0, &disk->luks, err);

	if (!rc && block_node_add(&disk->node, open->file))
		rc = err_errno(err, ENOMEM, "cannot open LUKS");
	if (!rc)
		rc = set_size(disk, err);
	if (!rc && luks_wants_key(open))
		rc = luks_unlock(disk->luks, open->settings, err);
	return rc;
}

static int luks_open(const struct block_format_open *open, struct block_node **ret_node,
		     struct err *err)
{
	struct luks_disk *disk = calloc(1, sizeof(*disk));
	int rc;

	if (!disk)
		return err_errno(err, ENOMEM, "cannot open LUKS");
	block_node_init(&disk->node, &luks_ops, open->loop);
	disk->read_only = open->read_only;
	rc = open_disk(disk, open, err);
	if (rc) {
		disk_close(&disk->node);
		if (err)
			err_wrap(err, "image '%s'", block_opener_name(open->opener));
		return rc;
	}
	*ret_node = &disk->node;
	return 0;
}

static int luks_create_disk(const struct block_format_create *create, struct err *err)
{
	uint64_t sector = block_setting_number(create->settings, "sector-size");
	uint64_t payload = luks_header_bytes(create->settings);
	int rc;

	if (create->backing)
		return err_set(err, EINVAL, "cannot create LUKS on a backing file: it has none");
	if (create->bytes % sector)
		return err_set(err, EINVAL, "cannot create LUKS: size is no multiple of %llu",
			       (unsigned long long)sector);
	rc = block_resize(create->file, payload + create->bytes, err);
	return rc ? rc : luks_create(create->file, 0, payload, create->settings, err);
}

static int luks_measure(const struct block_format_create *create, struct block_node *from,
			uint64_t *ret_required, uint64_t *ret_full, struct err *err)
{
	uint64_t payload = luks_header_bytes(create->settings);

	(void)from;
	(void)err;
	/* Zeroes are written, too. */
	*ret_required = *ret_full = payload + create->bytes;
	return 0;
}

static int luks_check_disk(struct block_node *node, struct block_check *check, struct err *err)
{
	struct luks_disk *disk = disk_of(node);
	int rc = luks_check(disk->luks, check);

	check->file_end = disk->payload + atomic_load(&disk->size);
	return rc ? err_errno(err, rc, "cannot check LUKS") : 0;
}

static int list_keys(struct block_node *node, json_t **ret_list, struct err *err)
{
	json_t *facts = luks_describe(disk_of(node)->luks);

	(void)err;
	*ret_list = json_incref(json_object_get(facts, "key-slots"));
	json_decref(facts);
	return 0;
}

static int add_key(struct block_node *node, const json_t *settings, unsigned *ret_slot,
		   struct err *err)
{
	return luks_add_slot(disk_of(node)->luks, settings, ret_slot, err);
}

static int remove_key(struct block_node *node, unsigned slot, bool last, struct err *err)
{
	return luks_remove_slot(disk_of(node)->luks, slot, last, err);
}

static int unlock_as(struct block_node *node, struct block_node *unlocked)
{
	return luks_unlock_as(disk_of(node)->luks, disk_of(unlocked)->luks);
}

static const struct block_option open_options[] = {
	LUKS_OPEN_OPTIONS,
	{ 0 },
};

static const struct block_option create_options[] = {
	LUKS_KEY_OPTION,
	LUKS_CREATE_OPTIONS("2"),
	{ 0 },
};

static const struct block_option slot_options[] = {
	LUKS_KEY_OPTION,
	LUKS_SLOT_OPTIONS,
	{ 0 },
};

static const struct block_key_ops key_ops = {
	.slot_options = slot_options,
	.list = list_keys,
	.add = add_key,
	.remove = remove_key,
	.unlock_as = unlock_as,
};

const struct block_format luks_format = {
	.name = "luks",
	.summary = "encrypted disk: LUKS 1 and 2",
	.only_named = true,
	.open_options = open_options,
	.create_options = create_options,
	.probe = luks_probe,
	.open = luks_open,
	.create = luks_create_disk,
	.measure = luks_measure,
	.check = luks_check_disk,
	.keys = &key_ops,
};
