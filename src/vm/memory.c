/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/macros.h"
#include "host/fd.h"

#define TRANSPARENT_HUGE_PAGE (2 * MIB)

static int open_memfd(const struct memory_config *config, struct err *err)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (config->hugepages)
		flags |= MFD_HUGETLB |
			 ((unsigned)__builtin_ctzll(config->hugepages) << MFD_HUGE_SHIFT);
	fd = memfd_create("guest-memory", flags);
	if (fd < 0 && config->hugepages) {
		err_errno(err, errno, "cannot use huge pages of %llu KiB",
			  (unsigned long long)config->hugepages >> 10);
		return err_hint(err, "choose a size listed in /sys/kernel/mm/hugepages");
	}
	if (fd < 0)
		return err_errno(err, errno, "cannot create guest memory");
	if (ftruncate(fd, (off_t)config->size)) {
		int rc = err_errno(err, errno, "cannot make guest memory of %llu MiB",
				   (unsigned long long)config->size >> 20);

		close(fd);
		return rc;
	}
	/* Whoever else gets the descriptor must not be able to take pages away under us. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return fd;
}

/* Whether the host backs a memfd with huge pages when madvise() asks; "[never]" is the kernels'
 * default. */
static bool memfd_gets_huge_pages(void)
{
	static const char *const choices[] = { "[always]", "[within_size]", "[advise]", "[force]" };
	char *text = NULL;
	size_t bytes;
	bool found = false;

	if (fd_read_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled", 4096, (void **)&text,
			 &bytes, NULL))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
		found |= strstr(text, choices[i]) != NULL;
	free(text);
	return found;
}

/* What the host could give out without swapping; UINT64_MAX where it does not tell. */
static uint64_t available_bytes(void)
{
	unsigned long long kib;
	char *text = NULL;
	const char *line;
	size_t bytes;
	bool found;

	if (fd_read_file("/proc/meminfo", 65536, (void **)&text, &bytes, NULL))
		return UINT64_MAX;
	line = strstr(text, "MemAvailable:");
	found = line && sscanf(line, "MemAvailable: %llu kB", &kib) == 1;
	free(text);
	return found ? (uint64_t)kib << 10 : UINT64_MAX;
}

/*
 * Touching more than there is would have the kernel end some process, most likely this one, instead
 * of telling. Huge pages are reserved: there the kernel does tell.
 */
static int check_prealloc(const struct memory_config *config, struct err *err)
{
	uint64_t available = available_bytes();

	if (!config->prealloc || config->hugepages || config->size <= available)
		return 0;
	err_set(err, ENOMEM, "cannot preallocate guest memory of %llu MiB: the host has %llu MiB",
		(unsigned long long)config->size >> 20, (unsigned long long)available >> 20);
	return err_hint(err, "give less --memory, or leave out prealloc");
}

/*
 * Maps at a multiple of `align`, because huge pages need host and guest addresses in step.
 * Pages of hugetlbfs (`reserve`) are set aside now: when they are missing later there is only SIGBUS.
 */
static void *map_aligned(int fd, uint64_t fd_offset, uint64_t size, uint64_t align, bool reserve)
{
	int flags =
		(reserve ? 0 : MAP_NORESERVE) | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
	uint8_t *reserved = mmap(NULL, size + align, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before;
	void *host;

	if (reserved == MAP_FAILED)
		return MAP_FAILED;
	before = -(uintptr_t)reserved & (align - 1);
	host = mmap(reserved + before, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
		    fd < 0 ? 0 : (off_t)fd_offset);
	if (host == MAP_FAILED) {
		int error = errno;

		munmap(reserved, size + align);
		errno = error;
		return MAP_FAILED;
	}
	if (before)
		munmap(reserved, before);
	munmap(reserved + before + size, align - before);
	return host;
}

static int map_region(struct memory *memory, unsigned index, uint64_t base, uint64_t fd_offset,
		      uint64_t size, const struct memory_config *config, struct err *err)
{
	struct memory_region *region = &memory->regions[index];
	void *host;

	region->base = GPA(base);
	region->fd_offset = fd_offset;
	if (!size)
		return 0;
	host = map_aligned(memory->fd, fd_offset, size,
			   MAX(config->hugepages, TRANSPARENT_HUGE_PAGE), config->hugepages);
	if (host == MAP_FAILED && config->hugepages) {
		err_errno(err, errno, "cannot reserve huge pages for guest memory of %llu MiB",
			  (unsigned long long)size >> 20);
		return err_hint(err, "raise nr_hugepages below /sys/kernel/mm/hugepages");
	}
	if (host == MAP_FAILED)
		return err_errno(err, errno, "cannot map guest memory of %llu MiB",
				 (unsigned long long)size >> 20);
	region->host = host;
	region->size = size;
	region->dirty = calloc((size / PAGE_SIZE + 63) / 64, sizeof(*region->dirty));
	if (!region->dirty)
		return err_errno(err, ENOMEM, "cannot create the log of guest memory");
	madvise(host, size, MADV_DONTDUMP);
	if (!config->hugepages)
		madvise(host, size, MADV_HUGEPAGE);
	if (config->prealloc && madvise(host, size, MADV_POPULATE_WRITE)) {
		err_errno(err, errno, "cannot preallocate guest memory of %llu MiB",
			  (unsigned long long)size >> 20);
		return err_hint(err, "give less --memory, or leave out prealloc");
	}
	return 0;
}

int memory_new(struct memory **ret_memory, const struct memory_config *config, struct err *err)
{
	uint64_t unit = MAX(config->hugepages, PAGE_SIZE);
	uint64_t low = MIN(config->size, MEMORY_LOW_MAX);
	struct memory *memory;
	int rc;

	if (config->hugepages && !is_power_of_two(config->hugepages))
		return err_set(err, EINVAL, "huge pages must be a power of two");
	if (config->size < MIB || config->size % unit)
		return err_set(err, EINVAL,
			       "memory must be at least 1 MiB and a multiple of %llu KiB",
			       (unsigned long long)unit >> 10);
	rc = check_prealloc(config, err);
	if (rc)
		return rc;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return err_errno(err, ENOMEM, "cannot create guest memory");
	memory->size = config->size;
	memory->fd = -1;
	rc = 0;
	if (config->shared || config->hugepages || memfd_gets_huge_pages())
		rc = memory->fd = open_memfd(config, err);
	if (rc >= 0)
		rc = map_region(memory, 0, 0, 0, low, config, err);
	if (!rc)
		rc = map_region(memory, 1, MEMORY_HIGH_BASE, low, config->size - low, config, err);
	if (rc) {
		memory_free(memory);
		return rc;
	}
	*ret_memory = memory;
	return 0;
}

void memory_free(struct memory *memory)
{
	if (!memory)
		return;
	for (unsigned i = 0; i < MEMORY_REGIONS; i++) {
		if (memory->regions[i].host)
			munmap(memory->regions[i].host, memory->regions[i].size);
		free(memory->regions[i].dirty);
	}
	if (memory->fd >= 0)
		close(memory->fd);
	free(memory);
}

int memory_read(const struct memory *memory, struct gpa gpa, void *buffer, size_t count)
{
	const void *host = memory_map(memory, gpa, count);

	if (!host)
		return -EFAULT;
	memcpy(buffer, host, count);
	return 0;
}

int memory_write(struct memory *memory, struct gpa gpa, const void *buffer, size_t count)
{
	void *host = memory_map(memory, gpa, count);

	if (!host)
		return -EFAULT;
	memcpy(host, buffer, count);
	memory_dirty(memory, gpa, count);
	return 0;
}

int memory_fill(struct memory *memory, struct gpa gpa, uint8_t byte, uint64_t count)
{
	void *host = memory_map(memory, gpa, count);

	if (!host)
		return -EFAULT;
	memset(host, byte, count);
	memory_dirty(memory, gpa, count);
	return 0;
}

void memory_dirty(struct memory *memory, struct gpa gpa, uint64_t count)
{
	if (memory->watch.written && count)
		memory->watch.written(memory->watch.ctx, gpa, count);
	memory_log(memory, gpa, count);
}

void memory_log(struct memory *memory, struct gpa gpa, uint64_t count)
{
	const struct memory_region *region;
	uint64_t first, last;

	if (!atomic_load_explicit(&memory->dirty_log, memory_order_relaxed) || !count)
		return;
	region = memory_find(memory, gpa, count);
	if (!region)
		return;
	first = (gpa.v - region->base.v) >> PAGE_SHIFT;
	last = (gpa.v - region->base.v + count - 1) >> PAGE_SHIFT;
	for (uint64_t page = first; page <= last; page++) {
		_Atomic uint64_t *word = &region->dirty[page / 64];

		/* Most pages are dirty already: do not bounce the cache line for them. */
		if (!(atomic_load_explicit(word, memory_order_relaxed) & BIT(page % 64)))
			atomic_fetch_or_explicit(word, BIT(page % 64), memory_order_release);
	}
}

void memory_dirty_log_set(struct memory *memory, bool on)
{
	atomic_store(&memory->dirty_log, false);
	for (unsigned i = 0; i < MEMORY_REGIONS; i++) {
		struct memory_region *region = &memory->regions[i];
		uint64_t words = (region->size / PAGE_SIZE + 63) / 64;

		for (uint64_t w = 0; w < words; w++)
			atomic_store_explicit(&region->dirty[w], 0, memory_order_relaxed);
	}
	atomic_store(&memory->dirty_log, on);
}

void memory_dirty_log_take(struct memory *memory, unsigned region, uint64_t *bitmap)
{
	struct memory_region *r = &memory->regions[region];
	uint64_t words = (r->size / PAGE_SIZE + 63) / 64;

	check(region < MEMORY_REGIONS);
	for (uint64_t w = 0; w < words; w++)
		bitmap[w] |= atomic_exchange_explicit(&r->dirty[w], 0, memory_order_acq_rel);
}
