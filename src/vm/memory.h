/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest physical memory: RAM cut in two by the PCI hole, and a log of written pages.
 *
 * RAM comes from one memfd. Where the host gives memfds no transparent huge pages (the default of
 * most kernels), and nobody asked to share, it is anonymous memory instead, which gets them: a
 * guest's kernel boots a tenth faster on them.
 *
 * A guest physical address has a type of its own and cannot be dereferenced. The accessors below
 * are the only way to guest bytes: each checks that the whole range is RAM. Addresses and lengths
 * come from the guest and are hostile.
 *
 * Memory is shared with running vCPUs: what was read once may differ when read again, so copy
 * before checking. All accessors: any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE  (UINT64_C(1) << PAGE_SHIFT)
#define PAGE_MASK  (PAGE_SIZE - 1)

/* Where RAM stops below 4 GiB, and where it goes on. */
#define MEMORY_LOW_MAX   UINT64_C(0x80000000)
#define MEMORY_HIGH_BASE UINT64_C(0x100000000)

struct gpa {
	uint64_t v;
};

#define GPA(address) ((struct gpa){ (address) })

/* A run of RAM that is contiguous for guest and host. */
struct memory_region {
	struct gpa base;
	uint64_t size;           /* bytes, a multiple of PAGE_SIZE */
	uint8_t *host;           /* where it is mapped */
	uint64_t fd_offset;      /* where it is in the memfd */
	_Atomic uint64_t *dirty; /* a bit a page; all zero while no log runs */
};

struct memory_config {
	uint64_t size;      /* bytes, a multiple of PAGE_SIZE, at least 1 MiB */
	uint64_t hugepages; /* page size of hugetlbfs to use in bytes, 0: ordinary pages with THP
			       where offered */
	bool prealloc;      /* touch every page now */
	bool shared;        /* others will map the memfd: have one in any case */
};

#define MEMORY_REGIONS 2

/*
 * Told of every memory_dirty(), whether a log runs or not, on the writer's thread: how an engine
 * sees devices write to code that it has decoded. Must not block.
 */
struct memory_watch {
	void (*written)(void *ctx, struct gpa gpa, uint64_t count);
	void *ctx;
};

struct memory {
	int fd; /* -1: anonymous memory */
	uint64_t size;
	struct memory_region
		regions[MEMORY_REGIONS]; /* ascending; the second may be empty (size 0) */
	atomic_bool dirty_log;
	struct memory_watch watch; /* set and cleared by the engine, while nothing runs */
};

/* Errors: -ENOMEM and what memfd_create, fallocate and mmap say, explained in `err`. */
int memory_new(struct memory **ret_memory, const struct memory_config *config, struct err *err);
void memory_free(struct memory *memory);

/* The region in which all of `count` bytes at `gpa` lie, or NULL. */
static inline const struct memory_region *memory_find(const struct memory *memory, struct gpa gpa,
						      uint64_t count)
{
	for (unsigned i = 0; i < MEMORY_REGIONS; i++) {
		const struct memory_region *region = &memory->regions[i];
		uint64_t offset = gpa.v - region->base.v;

		if (gpa.v >= region->base.v && offset < region->size &&
		    count <= region->size - offset)
			return region;
	}
	return NULL;
}

/*
 * The host address of `count` bytes at `gpa`, or NULL unless all of them lie in one region. `count`
 * 0 asks for 1. Valid as long as the memory. Whoever writes through it calls memory_dirty()
 * afterwards.
 */
static inline void *memory_map(const struct memory *memory, struct gpa gpa, uint64_t count)
{
	const struct memory_region *region = memory_find(memory, gpa, count ? count : 1);

	return region ? region->host + (gpa.v - region->base.v) : NULL;
}

/* Copy in or out. 0, or -EFAULT with nothing copied. memory_write() logs. */
int memory_read(const struct memory *memory, struct gpa gpa, void *buffer, size_t count);
int memory_write(struct memory *memory, struct gpa gpa, const void *buffer, size_t count);
int memory_fill(struct memory *memory, struct gpa gpa, uint8_t byte, uint64_t count);

/* Marks pages as written, if a log runs, and tells the watch. Ranges outside RAM are ignored. */
void memory_dirty(struct memory *memory, struct gpa gpa, uint64_t count);

/* The same without the watch: for who is going to write, and is the watch. */
void memory_log(struct memory *memory, struct gpa gpa, uint64_t count);

/* Starts (all clean) or stops the log of writes by devices and by engines that log through
 * memory_dirty(). */
void memory_dirty_log_set(struct memory *memory, bool on);

/* Moves the log of a region into `bitmap` ((pages + 63) / 64 words, OR-ed in) and clears it. */
void memory_dirty_log_take(struct memory *memory, unsigned region, uint64_t *bitmap);
