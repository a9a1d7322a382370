/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Identities that were found, by the digest of what they came with. Threads: any. */
#include <stdlib.h>
#include <string.h>

#include "node/access/priv.h"

void cache_init(struct cache *cache)
{
	memset(cache->slots, 0, sizeof(cache->slots));
	pthread_mutex_init(&cache->lock, NULL);
}

static void slot_clear(struct cached *slot)
{
	free(slot->key);
	identity_fini(&slot->identity);
	*slot = (struct cached){ 0 };
}

void cache_fini(struct cache *cache)
{
	for (unsigned i = 0; i < CACHE_SLOTS; i++)
		slot_clear(&cache->slots[i]);
	pthread_mutex_destroy(&cache->lock);
}

/* Only what was found is in it: nobody fills it with what one makes up. */
static struct cached *slot_of(struct cache *cache, const char *key)
{
	uint32_t hash = 2166136261u;

	for (const char *at = key; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619u;
	return &cache->slots[hash % CACHE_SLOTS];
}

bool cache_find(struct cache *cache, const char *key, uint64_t revision,
		struct identity *ret_identity, uint64_t *ret_lease)
{
	struct cached *slot = slot_of(cache, key);
	bool found = false;

	pthread_mutex_lock(&cache->lock);
	if (slot->key && slot->revision == revision && !strcmp(slot->key, key) &&
	    (!slot->identity.ends_ms || slot->identity.ends_ms > node_now_ms()) &&
	    !identity_copy(&slot->identity, ret_identity)) {
		*ret_lease = slot->lease;
		found = true;
	}
	pthread_mutex_unlock(&cache->lock);
	return found;
}

bool cache_put(struct cache *cache, const char *key, uint64_t revision, uint64_t lease,
	       uint64_t hour, const struct identity *identity)
{
	struct cached *slot = slot_of(cache, key);
	struct cached new = { .revision = revision, .lease = lease, .hour = hour };
	bool first;

	new.key = strdup(key);
	if (!new.key || identity_copy(identity, &new.identity)) {
		free(new.key);
		return false;
	}
	pthread_mutex_lock(&cache->lock);
	first = !slot->key || strcmp(slot->key, key) || slot->hour != hour;
	slot_clear(slot);
	*slot = new;
	pthread_mutex_unlock(&cache->lock);
	return first;
}
