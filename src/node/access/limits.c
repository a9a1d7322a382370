/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often somebody may ask, and how soon try another password.
 *
 * Both are counted in tables of a fixed size: who comes from a million addresses pushes out the ones
 * that were seen longest ago among those that share a set, and takes no memory. Keys are hashed with
 * a seed, so that nobody chooses whom to push out.
 *
 * Rates are the generic cell rate algorithm (ITU-T I.371): one time for each, when all that was taken
 * is given back. Threads: any.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "codec/kdf.h"
#include "host/clock.h"
#include "node/access/priv.h"

#define SETS 512
#define WAYS 8

/* An address may be that of many people, a name is one's own: guessing at one name from everywhere
 * gets slow, and its owner is never kept out for long. */
const struct backoff backoff_address = { .free = 10,
					 .first_ns = NS_PER_SEC,
					 .longest_ns = 15 * 60 * NS_PER_SEC,
					 .forget_ns = 60 * 60 * NS_PER_SEC };
const struct backoff backoff_user = { .free = 20,
				      .first_ns = NS_PER_SEC,
				      .longest_ns = 30 * NS_PER_SEC,
				      .forget_ns = 60 * 60 * NS_PER_SEC };

int limits_init(struct limits *limits)
{
	limits->slots = calloc(SETS * WAYS, sizeof(*limits->slots));
	if (!limits->slots)
		return -ENOMEM;
	if (getrandom(limits->seed, sizeof(limits->seed), 0) != sizeof(limits->seed)) {
		free(limits->slots);
		limits->slots = NULL;
		return -EIO;
	}
	pthread_mutex_init(&limits->lock, NULL);
	return 0;
}

void limits_fini(struct limits *limits)
{
	if (!limits->slots)
		return;
	pthread_mutex_destroy(&limits->lock);
	free(limits->slots);
	limits->slots = NULL;
}

/* With the lock. The one of `who`; new where there was none, in the place of the oldest of its set. */
static struct limit *find_locked(struct limits *limits, const char *who, uint64_t now_ns)
{
	uint8_t digest[HASH_BYTES_MAX] = { 0 };
	struct limit *set, *oldest;
	uint64_t key;

	hash_of("sha256", limits->seed, sizeof(limits->seed), who, strlen(who), digest);
	key = le64_get(digest) | 1;
	set = &limits->slots[le64_get(digest + 8) % SETS * WAYS];
	oldest = set;
	for (struct limit *limit = set; limit < set + WAYS; limit++) {
		if (limit->key == key) {
			limit->seen_ns = now_ns;
			return limit;
		}
		if (limit->seen_ns < oldest->seen_ns)
			oldest = limit;
	}
	*oldest = (struct limit){ .key = key, .seen_ns = now_ns };
	return oldest;
}

uint64_t limits_take(struct limits *limits, const char *who, const struct rate *rate,
		     uint64_t now_ns)
{
	uint64_t each_ns = NS_PER_SEC / rate->per_second, all_ns = each_ns * rate->burst;
	uint64_t wait_ns = 0;
	struct limit *limit;

	pthread_mutex_lock(&limits->lock);
	limit = find_locked(limits, who, now_ns);
	limit->until_ns = MAX(limit->until_ns, now_ns);
	if (limit->until_ns - now_ns + each_ns > all_ns)
		wait_ns = limit->until_ns - now_ns + each_ns - all_ns;
	else
		limit->until_ns += each_ns;
	pthread_mutex_unlock(&limits->lock);
	return wait_ns;
}

uint64_t limits_attempt(struct limits *limits, const char *who, const struct backoff *backoff,
			uint64_t now_ns)
{
	uint64_t wait_ns = 0, pause_ns;
	struct limit *limit;

	pthread_mutex_lock(&limits->lock);
	limit = find_locked(limits, who, now_ns);
	/* until_ns is the end of a pause, or the time of the last failure. */
	if (limit->until_ns + backoff->forget_ns < now_ns)
		limit->failures = 0;
	if (limit->failures && limit->until_ns > now_ns) {
		wait_ns = limit->until_ns - now_ns;
	} else {
		limit->failures++;
		limit->until_ns = now_ns;
		if (limit->failures > backoff->free) {
			unsigned doublings = MIN(limit->failures - backoff->free - 1, 20u);

			pause_ns = MIN(backoff->first_ns << doublings, backoff->longest_ns);
			limit->until_ns += pause_ns;
		}
	}
	pthread_mutex_unlock(&limits->lock);
	return wait_ns;
}

void limits_succeed(struct limits *limits, const char *who, bool all, uint64_t now_ns)
{
	struct limit *limit;

	pthread_mutex_lock(&limits->lock);
	limit = find_locked(limits, who, now_ns);
	limit->until_ns = now_ns;
	if (limit->failures)
		limit->failures = all ? 0 : limit->failures - 1;
	pthread_mutex_unlock(&limits->lock);
}
