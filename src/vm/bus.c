/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Regions in one sorted array under a reader-writer lock. Dispatch copies the row it found and
 * drops the lock before it calls the handler, so handlers may change the bus.
 */
#include "vm/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/vec.h"

struct row {
	uint64_t base, size;
	const struct bus_ops *ops;
	void *device;
	pthread_mutex_t *lock;
	struct bus_region *region;
};

struct bus {
	const char *name;
	uint64_t limit; /* last address */
	pthread_rwlock_t lock;
	VEC(struct row) rows; /* ascending, disjoint; guarded by lock */
};

int bus_new(struct bus **ret_bus, const char *name, unsigned address_bits, struct err *err)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return err_errno(err, ENOMEM, "cannot create bus '%s'", name);
	bus->name = name;
	bus->limit = bits_mask(address_bits);
	pthread_rwlock_init(&bus->lock, NULL);
	*ret_bus = bus;
	return 0;
}

void bus_free(struct bus *bus)
{
	if (!bus)
		return;
	vec_fini(&bus->rows);
	pthread_rwlock_destroy(&bus->lock);
	free(bus);
}

/* Index of the first row that ends behind `address`. */
static size_t lower_bound(const struct bus *bus, uint64_t address)
{
	size_t low = 0, high = bus->rows.count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct row *row = &bus->rows.items[middle];

		if (row->base + (row->size - 1) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int map_locked(struct bus *bus, struct bus_region *region, uint64_t base, struct err *err)
{
	size_t at = lower_bound(bus, base);
	const struct row *next = at < bus->rows.count ? &bus->rows.items[at] : NULL;
	struct row row = { base, region->size, region->ops, region->device, region->lock, region };
	int rc;

	if (next && next->base <= base + (region->size - 1))
		return err_set(err, EEXIST, "cannot map '%s' at 0x%llx of bus '%s': taken by '%s'",
			       region->name, (unsigned long long)base, bus->name,
			       next->region->name);
	rc = vec_reserve(&bus->rows, 1);
	if (rc)
		return err_errno(err, rc, "cannot map '%s'", region->name);
	memmove(&bus->rows.items[at + 1], &bus->rows.items[at],
		(bus->rows.count - at) * sizeof(row));
	bus->rows.items[at] = row;
	bus->rows.count++;
	region->base = base;
	region->bus = bus;
	return 0;
}

int bus_map(struct bus *bus, struct bus_region *region, uint64_t base, struct err *err)
{
	int rc;

	if (!region->size || base > bus->limit || region->size - 1 > bus->limit - base)
		return err_set(err, ERANGE, "cannot map '%s': 0x%llx is outside bus '%s'",
			       region->name, (unsigned long long)base, bus->name);
	pthread_rwlock_wrlock(&bus->lock);
	rc = map_locked(bus, region, base, err);
	pthread_rwlock_unlock(&bus->lock);
	return rc;
}

void bus_unmap(struct bus_region *region)
{
	struct bus *bus = region->bus;
	size_t at;

	if (!bus)
		return;
	pthread_rwlock_wrlock(&bus->lock);
	at = lower_bound(bus, region->base);
	memmove(&bus->rows.items[at], &bus->rows.items[at + 1],
		(bus->rows.count - at - 1) * sizeof(bus->rows.items[0]));
	bus->rows.count--;
	region->bus = NULL;
	pthread_rwlock_unlock(&bus->lock);
}

static bool find(struct bus *bus, uint64_t address, unsigned size, struct row *ret_row)
{
	bool found = false;
	size_t at;

	pthread_rwlock_rdlock(&bus->lock);
	at = lower_bound(bus, address);
	if (at < bus->rows.count) {
		const struct row *row = &bus->rows.items[at];
		uint64_t offset = address - row->base;

		found = address >= row->base && size <= row->size - offset;
		if (found)
			*ret_row = *row;
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

static void row_lock(const struct row *row)
{
	if (row->lock)
		pthread_mutex_lock(row->lock);
}

static void row_unlock(const struct row *row)
{
	if (row->lock)
		pthread_mutex_unlock(row->lock);
}

static uint64_t row_read(const struct row *row, uint64_t offset, unsigned size)
{
	unsigned max = row->ops->max_size ? row->ops->max_size : 8;
	uint64_t value = 0;

	if (!row->ops->read || size < row->ops->min_size)
		return bits_mask(size * 8);
	if (size <= max)
		return row->ops->read(row->device, offset, size) & bits_mask(size * 8);
	for (unsigned at = 0; at < size; at += max)
		value |= (row->ops->read(row->device, offset + at, max) & bits_mask(max * 8))
			 << (at * 8);
	return value;
}

static void row_write(const struct row *row, uint64_t offset, uint64_t value, unsigned size)
{
	unsigned max = row->ops->max_size ? row->ops->max_size : 8;

	if (!row->ops->write || size < row->ops->min_size)
		return;
	if (size <= max) {
		row->ops->write(row->device, offset, value & bits_mask(size * 8), size);
		return;
	}
	for (unsigned at = 0; at < size; at += max)
		row->ops->write(row->device, offset + at, (value >> (at * 8)) & bits_mask(max * 8),
				max);
}

void bus_read_repeated(struct bus *bus, uint64_t address, unsigned size, void *buffer,
		       unsigned count)
{
	uint8_t *p = buffer;
	struct row row;

	if (!find(bus, address, size, &row)) {
		memset(buffer, 0xff, (size_t)size * count);
		return;
	}
	row_lock(&row);
	for (; count; count--, p += size)
		le_put(p, row_read(&row, address - row.base, size), size);
	row_unlock(&row);
}

void bus_write_repeated(struct bus *bus, uint64_t address, unsigned size, const void *buffer,
			unsigned count)
{
	const uint8_t *p = buffer;
	struct row row;

	if (!find(bus, address, size, &row))
		return;
	row_lock(&row);
	for (; count; count--, p += size)
		row_write(&row, address - row.base, le_get(p, size), size);
	row_unlock(&row);
}

uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size)
{
	uint8_t bytes[8];

	bus_read_repeated(bus, address, size, bytes, 1);
	return le_get(bytes, size);
}

void bus_write(struct bus *bus, uint64_t address, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	le_put(bytes, value, size);
	bus_write_repeated(bus, address, size, bytes, 1);
}

void bus_for_each(struct bus *bus, void (*visit)(const struct bus_region *region, void *ctx),
		  void *ctx)
{
	struct row *row;

	pthread_rwlock_rdlock(&bus->lock);
	vec_for_each (row, &bus->rows)
		visit(row->region, ctx);
	pthread_rwlock_unlock(&bus->lock);
}
