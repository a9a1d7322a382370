/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of translated blocks. See cache_priv.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/check.h"
#include "cpu/soft/jit/cache_priv.h"

static uint64_t bytes(const struct code_cache *cache)
{
	return cache->capacity * sizeof(*cache->translations);
}

int translations_new(struct code_cache *cache, uint32_t capacity)
{
	cache->capacity = capacity;
	cache->hash = calloc(capacity, sizeof(*cache->hash));
	cache->translations = mmap(NULL, bytes(cache), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return cache->hash && cache->translations != MAP_FAILED ? 0 : -ENOMEM;
}

void translations_free(struct code_cache *cache)
{
	if (cache->translations && cache->translations != MAP_FAILED)
		munmap(cache->translations, bytes(cache));
	free(cache->hash);
}

uint64_t translations_memory(const struct code_cache *cache)
{
	return bytes(cache) + cache->capacity * sizeof(*cache->hash);
}

static const uint8_t *page_of(const struct translation *t)
{
	return (const uint8_t *)((uintptr_t)translation_host(t) & ~PAGE_MASK);
}

static uint32_t *page_list(struct code_cache *cache, const uint8_t *page)
{
	return &cache->pages[((uintptr_t)page >> PAGE_SHIFT) % PAGE_LISTS];
}

static void list_in_page(struct code_cache *cache, uint32_t number)
{
	struct translation *t = &cache->translations[number];
	uint32_t *list = page_list(cache, page_of(t));

	t->page_next = *list;
	*list = number;
}

static uint32_t *bucket_of(const struct code_cache *cache, const struct translation *t)
{
	return translation_bucket(cache, translation_host(t), translation_mode(t));
}

void translation_add(struct code_cache *cache, uint32_t number, const uint8_t *second)
{
	struct translation *t = &cache->translations[number];
	uint32_t *bucket = bucket_of(cache, t);

	list_in_page(cache, number);
	if (second)
		list_in_page(cache, number + 1);
	t->hash_next = *bucket;
	__atomic_store_n(bucket, number, __ATOMIC_RELEASE);
	cache->stats.guest_bytes += t->bytes;
	cache->stats.metadata_bytes = (cache->count - 1) * sizeof(*t);
}

void code_replace(uint8_t *at, uint64_t bytes, unsigned count)
{
	unsigned offset = (uintptr_t)at % sizeof(uint64_t), shift = 8 * offset;
	uint64_t *word = (uint64_t *)(at - offset), mask = bits_mask(8 * count) << shift;

	check(offset + count <= sizeof(*word));
	__atomic_store_n(word, (*word & ~mask) | (bytes << shift & mask), __ATOMIC_RELEASE);
}

/* The way in becomes a jump; its first instruction is longer than that. */
static void divert(const struct code_cache *cache, const struct translation *t, const uint8_t *to)
{
	const unsigned length = 5;
	const uint8_t opcode = 0xe9;
	uint8_t *code = cache->write + t->code;
	uint32_t distance = (uint32_t)(to - (code + length));

	code_replace(code, opcode | (uint64_t)distance << 8, length);
}

static const uint8_t *start_stub(const struct code_cache *cache, const struct translation *t)
{
	const uint8_t *code = cache->write + t->code;
	int32_t distance;

	memcpy(&distance, code + START_JUMP_OFFSET, sizeof(distance));
	return code + ATTENTION_BYTES + distance;
}

void translation_drop(struct code_cache *cache, struct translation *t)
{
	uint32_t number = (uint32_t)(t - cache->translations), *at = bucket_of(cache, t);

	if (translation_is_dead(t))
		return;
	while (*at && *at != number)
		at = &cache->translations[*at].hash_next;
	__atomic_store_n(at, t->hash_next, __ATOMIC_RELEASE);
	__atomic_store_n(&t->key, t->key | TRANSLATION_DEAD, __ATOMIC_RELEASE);
	divert(cache, t, start_stub(cache, t));
	cache->stats.drops++;
}

void translations_drop_page(struct code_cache *cache, const uint8_t *page)
{
	uint32_t *at = page_list(cache, page);

	while (*at) {
		struct translation *t = &cache->translations[*at];

		if (page_of(t) != page) {
			at = &t->page_next;
			continue;
		}
		*at = t->page_next;
		translation_drop(cache, t->key & TRANSLATION_SECOND ? t - 1 : t);
	}
}

void translations_forget(struct code_cache *cache)
{
	for (uint32_t i = 0; i < cache->capacity; i++)
		__atomic_store_n(&cache->hash[i], 0, __ATOMIC_RELAXED);
	memset(cache->pages, 0, sizeof(cache->pages));
}

void translation_divert(struct code_cache *cache, const struct translation *dead,
			const struct translation *to)
{
	divert(cache, dead, cache->write + to->code);
}
