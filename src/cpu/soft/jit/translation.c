/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of translated blocks. See cache_priv.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/soft/jit/cache_priv.h"

/* Behind what all translations take, for decoded blocks. */
#define SPARE_BYTES (UINT64_C(3) << 20)

/* For how many more of them there is room when decoded blocks get the rest. */
#define GROWTH UINT32_C(32768)

static uint64_t bytes(const struct jit *jit)
{
	return (uint64_t)jit->capacity * sizeof(*jit->translations) + SPARE_BYTES;
}

int translations_new(struct jit *jit, uint32_t capacity)
{
	jit->capacity = jit->limit = capacity;
	jit->count = 1;
	jit->hash = calloc(capacity, sizeof(*jit->hash));
	jit->translations = mmap(NULL, bytes(jit), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return jit->hash && jit->translations != MAP_FAILED ? 0 : -ENOMEM;
}

void translations_free(struct jit *jit)
{
	if (jit->translations && jit->translations != MAP_FAILED)
		munmap(jit->translations, bytes(jit));
	free(jit->hash);
}

uint64_t translations_memory(const struct jit *jit)
{
	return bytes(jit) + jit->capacity * sizeof(*jit->hash);
}

bool translations_have_room(const struct jit *jit)
{
	return jit->limit - jit->count >= 2;
}

bool translations_are_full(const struct jit *jit)
{
	return jit->capacity - jit->count < 2;
}

void *jit_spare(struct jit *jit, size_t *ret_bytes)
{
	size_t taken;

	jit->limit = MIN(jit->capacity, jit->count + GROWTH);
	taken = jit->limit * sizeof(*jit->translations);
	*ret_bytes = bytes(jit) - taken;
	return (uint8_t *)jit->translations + taken;
}

static const uint8_t *page_of(const struct translation *t)
{
	return (const uint8_t *)((uintptr_t)translation_host(t) & ~PAGE_MASK);
}

static uint32_t *page_list(struct jit *jit, const uint8_t *page)
{
	return &jit->pages[((uintptr_t)page >> PAGE_SHIFT) % PAGE_LISTS];
}

static void list_in_page(struct jit *jit, uint32_t number)
{
	struct translation *t = &jit->translations[number];
	uint32_t *list = page_list(jit, page_of(t));

	t->page_next = *list;
	*list = number;
}

static uint32_t *bucket_of(const struct jit *jit, const struct translation *t)
{
	return translation_bucket(jit, translation_host(t), translation_mode(t));
}

void translation_add(struct jit *jit, const uint8_t *second)
{
	uint32_t number = jit->count++;
	struct translation *t = &jit->translations[number];
	uint32_t *bucket = bucket_of(jit, t);

	t->hash_next = *bucket;
	*bucket = number;
	list_in_page(jit, number);
	if (second) {
		t[1] = (struct translation){ .key = (uintptr_t)second | TRANSLATION_SECOND };
		list_in_page(jit, jit->count++);
	}
	jit->stats.guest_bytes += t->bytes;
	jit->stats.metadata_bytes = (jit->count - 1) * sizeof(*t);
}

/* Code there becomes a jump. */
static void put_jump(uint8_t *at, const uint8_t *to)
{
	int32_t distance = (int32_t)(to - (at + 5));

	at[0] = 0xe9;
	memcpy(at + 1, &distance, sizeof(distance));
}

/* Both ways in: with the look for attention and behind it. */
static void divert(const struct jit *jit, const struct translation *t, const uint8_t *to)
{
	uint8_t *code = jit->write + t->code;

	put_jump(code, to);
	put_jump(code + ATTENTION_BYTES, to);
}

static const uint8_t *start_stub(const struct jit *jit, const struct translation *t)
{
	const uint8_t *code = jit->write + t->code;
	int32_t distance;

	memcpy(&distance, code + START_JUMP_OFFSET, sizeof(distance));
	return code + ATTENTION_BYTES + distance;
}

void translation_drop(struct jit *jit, struct translation *t)
{
	uint32_t number = (uint32_t)(t - jit->translations), *at = bucket_of(jit, t);

	if (translation_is_dead(t))
		return;
	while (*at && *at != number)
		at = &jit->translations[*at].hash_next;
	*at = t->hash_next;
	t->key |= TRANSLATION_DEAD;
	divert(jit, t, start_stub(jit, t));
	jit->stats.drops++;
}

void translations_drop_page(struct jit *jit, const uint8_t *page)
{
	uint32_t *at = page_list(jit, page);

	while (*at) {
		struct translation *t = &jit->translations[*at];

		if (page_of(t) != page) {
			at = &t->page_next;
			continue;
		}
		*at = t->page_next;
		translation_drop(jit, t->key & TRANSLATION_SECOND ? t - 1 : t);
	}
}

void translations_forget(struct jit *jit)
{
	memset(jit->hash, 0, jit->capacity * sizeof(*jit->hash));
	memset(jit->pages, 0, sizeof(jit->pages));
	jit->generation++;
}

void translation_divert(struct jit *jit, const struct translation *dead,
			const struct translation *to)
{
	divert(jit, dead, jit->write + to->code);
}
