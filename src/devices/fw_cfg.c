/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg with selector and data ports, DMA, and a directory of files.
 *
 * Items are configuration, not state: whoever restores a machine adds the same ones. They are
 * read-only for the guest. What lies behind an item's end reads as zero, as does an item that does
 * not exist.
 *
 * Threads: vCPUs, under the device's lock.
 * Spec: QEMU docs/specs/fw_cfg.
 */
#include "devices/fw_cfg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "base/vec.h"

#define SELECTOR_PORT 0x510
#define DMA_PORT      0x514

#define SELECT_SIGNATURE  0x0000
#define SELECT_ID         0x0001
#define SELECT_DIRECTORY  0x0019
#define SELECT_FILE_FIRST 0x0020
#define SELECT_FILE_END   0x4000

#define ID_TRADITIONAL 0x1
#define ID_DMA         0x2
#define DMA_SIGNATURE  UINT64_C(0x51454d5520434647) /* "QEMU CFG" */

#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u

/* Layout of a directory entry and of a DMA descriptor, big-endian. */
#define ENTRY_BYTES      64
#define ENTRY_SELECTOR   4
#define ENTRY_NAME       8
#define NAME_BYTES       56
#define DESCRIPTOR_BYTES 16

struct fw_cfg_item {
	uint16_t selector;
	uint8_t *bytes;
	size_t count;
};

struct fw_cfg {
	struct device device;
	struct memory *memory;
	struct bus_region selector_region, dma_region;
	VEC(struct fw_cfg_item) items;
	uint16_t next_file;

	uint16_t selector;
	uint32_t offset;       /* in the selected item */
	uint32_t address_high; /* of the DMA descriptor: the half that was written */
};

static struct fw_cfg_item *find_item(const struct fw_cfg *fw_cfg, uint16_t selector)
{
	struct fw_cfg_item *item;

	vec_for_each (item, &fw_cfg->items) {
		if (item->selector == selector)
			return item;
	}
	return NULL;
}

/* The selected item's bytes from the offset on: how many there are, at most `wanted`. */
static size_t peek(const struct fw_cfg *fw_cfg, size_t wanted, const uint8_t **ret_bytes)
{
	const struct fw_cfg_item *item = find_item(fw_cfg, fw_cfg->selector);

	if (!item || fw_cfg->offset >= item->count)
		return 0;
	*ret_bytes = item->bytes + fw_cfg->offset;
	return MIN(wanted, item->count - fw_cfg->offset);
}

static void advance(struct fw_cfg *fw_cfg, uint32_t count)
{
	fw_cfg->offset = count > UINT32_MAX - fw_cfg->offset ? UINT32_MAX : fw_cfg->offset + count;
}

static void select_item(struct fw_cfg *fw_cfg, uint16_t selector)
{
	fw_cfg->selector = selector;
	fw_cfg->offset = 0;
}

static uint64_t selector_read(void *device, uint64_t offset, unsigned size)
{
	struct fw_cfg *fw_cfg = device;
	const uint8_t *byte = NULL;
	uint8_t value;

	/* The data port is the selector's second byte. */
	if (offset != 1 || size != 1)
		return 0;
	value = peek(fw_cfg, 1, &byte) ? *byte : 0;
	advance(fw_cfg, 1);
	return value;
}

static void selector_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	if (offset == 0 && size == 2)
		select_item(device, (uint16_t)value);
}

/* Copies `count` bytes of the item to the guest, zeros behind its end. */
static int dma_read_item(struct fw_cfg *fw_cfg, struct gpa gpa, uint32_t count)
{
	const uint8_t *bytes = NULL;
	size_t there = peek(fw_cfg, count, &bytes);

	if (!count)
		return 0;
	/* All or nothing, before anything is written. */
	if (!memory_map(fw_cfg->memory, gpa, count))
		return -EFAULT;
	if (there)
		memory_write(fw_cfg->memory, gpa, bytes, there);
	return there < count ? memory_fill(fw_cfg->memory, GPA(gpa.v + there), 0, count - there)
			     : 0;
}

/* Runs the descriptor; what remains of its control word afterwards. */
static uint32_t dma_run(struct fw_cfg *fw_cfg, uint32_t control, uint32_t count, struct gpa gpa)
{
	if (control & DMA_SELECT)
		select_item(fw_cfg, (uint16_t)(control >> 16));
	if (control & DMA_READ) {
		if (dma_read_item(fw_cfg, gpa, count))
			return DMA_ERROR;
	} else if (control & DMA_WRITE) {
		return DMA_ERROR;
	} else if (!(control & DMA_SKIP)) {
		return 0;
	}
	advance(fw_cfg, count);
	return 0;
}

static void dma_start(struct fw_cfg *fw_cfg, struct gpa descriptor)
{
	uint8_t bytes[DESCRIPTOR_BYTES], control[4];

	if (memory_read(fw_cfg->memory, descriptor, bytes, sizeof(bytes))) {
		log_once(&fw_cfg->device.error_said, LOG_WARN,
			 "fw_cfg: DMA descriptor at 0x%llx is not in RAM",
			 (unsigned long long)descriptor.v);
		return;
	}
	be32_put(control,
		 dma_run(fw_cfg, be32_get(bytes), be32_get(bytes + 4), GPA(be64_get(bytes + 8))));
	memory_write(fw_cfg->memory, descriptor, control, sizeof(control));
}

static uint64_t dma_read(void *device, uint64_t offset, unsigned size)
{
	uint8_t signature[8];

	(void)device;
	be64_put(signature, DMA_SIGNATURE);
	return offset + size <= sizeof(signature) ? le_get(signature + offset, size) : 0;
}

static void dma_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct fw_cfg *fw_cfg = device;
	uint64_t high = (uint64_t)fw_cfg->address_high << 32;

	if (offset == 0 && size == 4) {
		fw_cfg->address_high = be32toh((uint32_t)value);
	} else if (offset == 4 && size == 4) {
		fw_cfg->address_high = 0;
		dma_start(fw_cfg, GPA(high | be32toh((uint32_t)value)));
	} else if (offset == 0 && size == 8) {
		dma_start(fw_cfg, GPA(be64toh(value)));
	}
}

static const struct bus_ops selector_ops = {
	.read = selector_read,
	.write = selector_write,
	.min_size = 1,
	.max_size = 2,
};

static const struct bus_ops dma_ops = {
	.read = dma_read,
	.write = dma_write,
	.min_size = 1,
	.max_size = 8,
};

static void fw_cfg_reset(struct device *device)
{
	struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);

	select_item(fw_cfg, SELECT_SIGNATURE);
	fw_cfg->address_high = 0;
}

static void fw_cfg_free(struct device *device)
{
	struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);
	struct fw_cfg_item *item;

	bus_unmap(&fw_cfg->selector_region);
	bus_unmap(&fw_cfg->dma_region);
	vec_for_each (item, &fw_cfg->items)
		free(item->bytes);
	vec_fini(&fw_cfg->items);
	device_fini(device);
	free(fw_cfg);
}

static const struct state_field fw_cfg_fields[] = {
	STATE_FIELD(struct fw_cfg, selector),
	STATE_FIELD(struct fw_cfg, offset),
	STATE_FIELD(struct fw_cfg, address_high),
	{ 0 },
};

const struct state_desc fw_cfg_state = { .name = "fw-cfg", .version = 1, .fields = fw_cfg_fields };

static const struct device_ops fw_cfg_ops = {
	.type = "fw-cfg",
	.reset = fw_cfg_reset,
	.free = fw_cfg_free,
	.state = &fw_cfg_state,
};

int fw_cfg_add_item(struct fw_cfg *fw_cfg, uint16_t selector, const void *bytes, size_t count,
		    struct err *err)
{
	struct fw_cfg_item item = { .selector = selector, .count = count };

	if (find_item(fw_cfg, selector))
		return err_set(err, EEXIST, "cannot add fw_cfg item 0x%x twice", selector);
	if (count > UINT32_MAX)
		return err_set(err, EFBIG, "cannot add fw_cfg item 0x%x of 4 GiB or more",
			       selector);
	item.bytes = malloc(count ? count : 1);
	if (!item.bytes || vec_push(&fw_cfg->items, item)) {
		free(item.bytes);
		return err_errno(err, ENOMEM, "cannot add fw_cfg item 0x%x", selector);
	}
	if (count)
		memcpy(item.bytes, bytes, count);
	return 0;
}

/* Appends the file's entry to the directory item. */
static int add_entry(struct fw_cfg *fw_cfg, const char *name, size_t count, struct err *err)
{
	struct fw_cfg_item *directory = find_item(fw_cfg, SELECT_DIRECTORY);
	uint8_t *bytes = realloc(directory->bytes, directory->count + ENTRY_BYTES);
	uint8_t *entry;

	if (!bytes)
		return err_errno(err, ENOMEM, "cannot add fw_cfg file '%s'", name);
	entry = bytes + directory->count;
	memset(entry, 0, ENTRY_BYTES);
	be32_put(entry, (uint32_t)count);
	be16_put(entry + ENTRY_SELECTOR, fw_cfg->next_file);
	memcpy(entry + ENTRY_NAME, name, strlen(name));
	be32_put(bytes, be32_get(bytes) + 1);
	directory->bytes = bytes;
	directory->count += ENTRY_BYTES;
	return 0;
}

static bool has_file(const struct fw_cfg *fw_cfg, const char *name)
{
	const struct fw_cfg_item *directory = find_item(fw_cfg, SELECT_DIRECTORY);

	for (size_t at = 4; at < directory->count; at += ENTRY_BYTES) {
		if (!strcmp((const char *)directory->bytes + at + ENTRY_NAME, name))
			return true;
	}
	return false;
}

int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t count,
		    struct err *err)
{
	int rc;

	if (strlen(name) >= NAME_BYTES)
		return err_set(err, ENAMETOOLONG,
			       "cannot add fw_cfg file '%s': longer than %u characters", name,
			       NAME_BYTES - 1);
	if (has_file(fw_cfg, name))
		return err_set(err, EEXIST, "cannot add fw_cfg file '%s' twice", name);
	if (fw_cfg->next_file == SELECT_FILE_END)
		return err_set(err, ENOSPC, "cannot add fw_cfg file '%s': there are too many",
			       name);
	rc = fw_cfg_add_item(fw_cfg, fw_cfg->next_file, bytes, count, err);
	if (!rc)
		rc = add_entry(fw_cfg, name, count, err);
	if (!rc)
		fw_cfg->next_file++;
	return rc;
}

static int add_own_items(struct fw_cfg *fw_cfg, struct err *err)
{
	uint8_t id[4], directory[4] = { 0 };
	int rc = fw_cfg_add_item(fw_cfg, SELECT_SIGNATURE, "QEMU", 4, err);

	le32_put(id, ID_TRADITIONAL | ID_DMA);
	if (!rc)
		rc = fw_cfg_add_item(fw_cfg, SELECT_ID, id, sizeof(id), err);
	if (!rc)
		rc = fw_cfg_add_item(fw_cfg, SELECT_DIRECTORY, directory, sizeof(directory), err);
	return rc;
}

static int map(struct fw_cfg *fw_cfg, struct bus *ports, struct bus_region *region,
	       const struct bus_ops *ops, uint16_t base, uint64_t size, struct err *err)
{
	*region = (struct bus_region){
		.name = "fw-cfg",
		.ops = ops,
		.device = fw_cfg,
		.lock = &fw_cfg->device.lock,
		.size = size,
	};
	return bus_map(ports, region, base, err);
}

int fw_cfg_new(struct fw_cfg **ret_fw_cfg, struct bus *ports, struct memory *memory,
	       struct err *err)
{
	struct fw_cfg *fw_cfg = calloc(1, sizeof(*fw_cfg));
	int rc;

	if (!fw_cfg)
		return err_errno(err, ENOMEM, "cannot create fw_cfg");
	device_init(&fw_cfg->device, &fw_cfg_ops, "fw-cfg");
	fw_cfg->memory = memory;
	fw_cfg->next_file = SELECT_FILE_FIRST;
	rc = add_own_items(fw_cfg, err);
	if (!rc)
		rc = map(fw_cfg, ports, &fw_cfg->selector_region, &selector_ops, SELECTOR_PORT, 2,
			 err);
	if (!rc)
		rc = map(fw_cfg, ports, &fw_cfg->dma_region, &dma_ops, DMA_PORT, 8, err);
	if (rc) {
		device_free(&fw_cfg->device);
		return rc;
	}
	*ret_fw_cfg = fw_cfg;
	return 0;
}

struct device *fw_cfg_device(struct fw_cfg *fw_cfg)
{
	return &fw_cfg->device;
}
