/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code cache as memory: rooms of it for the vCPUs, and how it is emptied when it is full. See
 * cache_priv.h.
 *
 * It is one memfd, mapped twice: nothing that can be executed can be written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "cpu/soft/jit/translate_priv.h"
#include "host/fd.h"

/* A block has more code than that, so that its tables are never full before the cache is. */
#define CODE_PER_TRANSLATION 256u

/* A room's end is not used, and each vCPU has two that are not full. */
#define ROOMS_PER_VCPU 64u

/* A quarter of the blocks has a way out to another page. */
#define TRANSLATIONS_PER_WAY 2u

static int map_code(struct code_cache *cache)
{
	AUTO_CLOSE int fd = memfd_create("cella-code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)cache->size) < 0)
		return -errno;
	cache->write = mmap(NULL, cache->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (cache->write == MAP_FAILED)
		return -errno;
	cache->run = mmap(NULL, cache->size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	return cache->run == MAP_FAILED ? -errno : 0;
}

static uint32_t round_down_to_power(uint64_t value)
{
	return UINT32_C(1) << (63 - __builtin_clzll(value));
}

/* All of it can be given out. */
static void start_anew(struct code_cache *cache)
{
	cache->used = round_up(cache->common.end, ROOM_BYTES_MIN);
	cache->count = cache->ways = 1;
	cache->stats.guest_bytes = cache->stats.metadata_bytes = 0;
	atomic_store(&cache->emptying, false);
}

int code_cache_new(struct code_cache **ret_cache, struct soft_engine *engine)
{
	struct code_cache *cache = aligned_alloc(alignof(struct code_cache), sizeof(*cache));
	uint64_t translations, room;
	int rc;

	if (!cache)
		return -ENOMEM;
	memset(cache, 0, sizeof(*cache));
	cache->engine = engine;
	cache->size = round_up(MAX(engine->options.cache, JIT_CODE_BYTES_MIN * engine->vcpus),
			       ROOM_BYTES_MIN);
	room = round_down(cache->size / engine->vcpus / ROOMS_PER_VCPU, ROOM_BYTES_MIN);
	cache->room_bytes = (uint32_t)MIN(MAX(room, ROOM_BYTES_MIN), ROOM_BYTES_MAX);
	translations = MIN(cache->size / CODE_PER_TRANSLATION, CALL_TRANSLATIONS);
	cache->write = cache->run = MAP_FAILED;
	rc = map_code(cache);
	if (!rc)
		rc = translations_new(cache, round_down_to_power(translations));
	if (rc) {
		code_cache_free(cache);
		return rc;
	}
	common_emit(cache);
	start_anew(cache);
	*ret_cache = cache;
	return 0;
}

static void unmap(void *memory, uint64_t bytes)
{
	if (memory != MAP_FAILED)
		munmap(memory, bytes);
}

void code_cache_free(struct code_cache *cache)
{
	if (!cache)
		return;
	unmap(cache->write, cache->size);
	unmap(cache->run, cache->size);
	translations_free(cache);
	free(cache);
}

uint32_t code_cache_ways(const struct code_cache *cache)
{
	return cache->capacity / TRANSLATIONS_PER_WAY;
}

uint64_t code_cache_memory(const struct code_cache *cache)
{
	return sizeof(*cache) + translations_memory(cache);
}

/* ---- rooms ---- */

/* What is told here may be old: the lock is for those who take. */
static bool has_room(const struct code_cache *cache)
{
	return cache->size - __atomic_load_n(&cache->used, __ATOMIC_RELAXED) >=
		       2 * cache->room_bytes &&
	       __atomic_load_n(&cache->count, __ATOMIC_RELAXED) + 2 <= cache->capacity &&
	       __atomic_load_n(&cache->ways, __ATOMIC_RELAXED) < code_cache_ways(cache);
}

bool jit_is_full(const struct jit *jit)
{
	return !atomic_load(&jit->cache->emptying) && !has_room(jit->cache);
}

bool jit_has_room(const struct jit *jit)
{
	return !atomic_load(&jit->cache->emptying) && has_room(jit->cache) && cache_is_current(jit);
}

bool cache_new_room(struct jit *jit, struct room *room)
{
	struct code_cache *cache = jit->cache;
	CACHE_LOCK_SCOPE(cache);

	if (cache->emptying || !cache_is_current(jit) ||
	    cache->size - cache->used < cache->room_bytes)
		return false;
	*room = (struct room){ (uint32_t)cache->used, (uint32_t)cache->used + cache->room_bytes };
	cache->used += cache->room_bytes;
	return true;
}

uint32_t cache_new_number(struct jit *jit, unsigned count)
{
	struct code_cache *cache = jit->cache;
	uint32_t number;
	CACHE_LOCK_SCOPE(cache);

	number = cache->count;
	if (cache->emptying || !cache_is_current(jit) || cache->capacity - number < count)
		return 0;
	cache->count += count;
	return number;
}

uint32_t cache_new_way(struct jit *jit)
{
	uint32_t way = __atomic_fetch_add(&jit->cache->ways, 1, __ATOMIC_RELAXED);

	if (way < code_cache_ways(jit->cache))
		return way;
	__atomic_store_n(&jit->cache->ways, way, __ATOMIC_RELAXED);
	return 0;
}

/* ---- emptying ---- */

static bool all_have_left(const struct code_cache *cache)
{
	for (unsigned i = 0; i < cache->engine->vcpus; i++) {
		const struct soft_cpu *cpu = engine_cpu(cache->engine, i);

		if (cpu && !atomic_load(&cpu->jit->parked) && !cache_is_current(cpu->jit))
			return false;
	}
	return true;
}

/* If nobody can be in the code of before. */
static void finish(struct code_cache *cache)
{
	CACHE_LOCK_SCOPE(cache);

	if (cache->emptying && all_have_left(cache))
		start_anew(cache);
}

static void call_others(const struct code_cache *cache, const struct soft_cpu *self)
{
	for (unsigned i = 0; i < cache->engine->vcpus; i++) {
		struct soft_cpu *cpu = engine_cpu(cache->engine, i);

		if (cpu && cpu != self)
			atomic_fetch_or(&cpu->attention, ATTENTION_CACHE);
	}
}

static void begin(struct code_cache *cache, const struct soft_cpu *self)
{
	CACHE_LOCK_SCOPE(cache);

	if (cache->emptying)
		return;
	translations_forget(cache);
	memset(cache->unshared, 0, sizeof(cache->unshared));
	cache->stats.resets++;
	cache->emptying = true;
	cache->generation++;
	call_others(cache, self);
}

void jit_empty(struct soft_cpu *cpu)
{
	begin(cpu->jit->cache, cpu);
	finish(cpu->jit->cache);
}

bool jit_renew(struct soft_cpu *cpu)
{
	struct jit *jit = cpu->jit;

	atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_CACHE);
	if (cache_is_current(jit))
		return false;
	atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_TRACE);
	memset(cpu->ways, 0, jit->ways * sizeof(cpu->ways[0]));
	jit->ways = 0;
	memset(jit->samples, 0, sizeof(jit->samples));
	singles_forget(jit);
	jit->code = jit->stubs = (struct room){ 0 };
	jit->generation = jit->cache->generation;
	finish(jit->cache);
	return true;
}

void jit_park(struct jit *jit)
{
	jit->parked = true;
	if (jit->cache->emptying)
		finish(jit->cache);
}

void jit_unpark(struct soft_cpu *cpu)
{
	/* Who empties looks here after the generation has changed, and this looks at that. */
	cpu->jit->parked = false;
	if (!cache_is_current(cpu->jit))
		atomic_fetch_or(&cpu->attention, ATTENTION_CACHE);
}
