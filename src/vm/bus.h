/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus: which device answers at a port or physical address.
 *
 * Two buses exist a machine: port I/O (16 bits) and MMIO (all of the physical space that is not
 * RAM). Regions never overlap. An access that no region takes whole reads as all ones, and its
 * write is dropped.
 *
 * Dispatch may happen on any thread. The bus takes the region's lock around a handler (a device's
 * own lock, see vm/device.h) but no lock of its own, so that a handler may map and unmap regions,
 * also of its own device.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "base/err.h"

struct bus;

struct bus_ops {
	/*
	 * `offset` is relative to the region's base; `size` is 1, 2, 4 or 8 and within min_size …
	 * max_size. A read returns the value in its low bytes. Either may be NULL: reads give all
	 * ones, writes are dropped.
	 */
	uint64_t (*read)(void *device, uint64_t offset, unsigned size);
	void (*write)(void *device, uint64_t offset, uint64_t value, unsigned size);

	/*
	 * Access sizes that the handlers take; 0: 1 and 8. A wider access is cut into parts of
	 * max_size, ascending; a narrower one reads as all ones and is dropped.
	 */
	unsigned min_size, max_size;
};

/* Embedded in the device that owns it. */
struct bus_region {
	const char *name;
	const struct bus_ops *ops;
	void *device;
	pthread_mutex_t *lock; /* taken around the handlers; NULL: the handlers lock themselves */
	uint64_t base, size;   /* base is set by bus_map() */
	struct bus *bus;       /* NULL while not mapped */
};

/* `address_bits`: 16 for ports, up to 52 for memory. */
int bus_new(struct bus **ret_bus, const char *name, unsigned address_bits, struct err *err);
void bus_free(struct bus *bus);

/* Puts the (unmapped) region at `base`. -EEXIST if it would overlap another, -ERANGE if it leaves
 * the bus, -ENOMEM. */
int bus_map(struct bus *bus, struct bus_region *region, uint64_t base, struct err *err);

/* Takes it away; a handler that runs on another thread may still be in progress. Does nothing if
 * not mapped. */
void bus_unmap(struct bus_region *region);

/* One access of 1, 2, 4 or 8 bytes from a vCPU. */
uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size);
void bus_write(struct bus *bus, uint64_t address, uint64_t value, unsigned size);

/*
 * `count` items of `size` bytes between one address and `buffer`: what INS and OUTS (and KVM's
 * string exits) do.
 */
void bus_read_repeated(struct bus *bus, uint64_t address, unsigned size, void *buffer,
		       unsigned count);
void bus_write_repeated(struct bus *bus, uint64_t address, unsigned size, const void *buffer,
			unsigned count);

/* Calls `visit` for every mapped region in ascending order (for dumps; must not map or unmap). */
void bus_for_each(struct bus *bus, void (*visit)(const struct bus_region *region, void *ctx),
		  void *ctx);
