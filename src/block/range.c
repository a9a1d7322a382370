/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A range waits for the conflicting ones that came before it. There are as many as requests in
 * flight, so a list is enough; shared ranges look at it only while there are exclusive ones.
 */
#include "block/range.h"

#include "base/macros.h"
#include "host/thread.h"

void range_lock_init(struct range_lock *lock)
{
	*lock = (struct range_lock){ 0 };
	pthread_mutex_init(&lock->lock, NULL);
	pthread_cond_init(&lock->changed, NULL);
	list_init(&lock->ranges);
}

void range_lock_fini(struct range_lock *lock)
{
	pthread_cond_destroy(&lock->changed);
	pthread_mutex_destroy(&lock->lock);
}

static bool conflicts(const struct range *a, const struct range *b)
{
	return (a->exclusive || b->exclusive) && a->from < b->end && b->from < a->end;
}

static bool must_wait_locked(struct range_lock *lock, const struct range *range)
{
	struct range *earlier;

	if (!range->exclusive && !lock->exclusives)
		return false;
	list_for_each (earlier, &lock->ranges, node) {
		if (earlier == range)
			return false;
		if (conflicts(earlier, range))
			return true;
	}
	return false;
}

static void range_set(struct range *range, struct range_lock *lock, uint64_t from, uint64_t bytes,
		      bool exclusive)
{
	*range = (struct range){
		.owner = lock,
		.from = from,
		.end = bytes > UINT64_MAX - from ? UINT64_MAX : from + bytes,
		.exclusive = exclusive,
	};
}

static void wait_for(struct range_lock *lock, struct range *range)
{
	LOCK_SCOPE(&lock->lock);
	list_append(&lock->ranges, &range->node);
	lock->exclusives += range->exclusive;
	lock->waiting++;
	while (must_wait_locked(lock, range))
		pthread_cond_wait(&lock->changed, &lock->lock);
	lock->waiting--;
}

void range_lock_shared(struct range_lock *lock, struct range *range, uint64_t from, uint64_t bytes)
{
	range_set(range, lock, from, bytes, false);
	wait_for(lock, range);
}

void range_lock_exclusive(struct range_lock *lock, struct range *range, uint64_t from,
			  uint64_t bytes)
{
	range_set(range, lock, from, bytes, true);
	wait_for(lock, range);
}

bool range_try_shared(struct range_lock *lock, struct range *range, uint64_t from, uint64_t bytes)
{
	range_set(range, lock, from, bytes, false);
	LOCK_SCOPE(&lock->lock);
	if (must_wait_locked(lock, range))
		return false;
	list_append(&lock->ranges, &range->node);
	return true;
}

void range_unlock(struct range *range)
{
	struct range_lock *lock = range->owner;

	LOCK_SCOPE(&lock->lock);
	list_remove(&range->node);
	lock->exclusives -= range->exclusive;
	if (lock->waiting)
		pthread_cond_broadcast(&lock->changed);
}
