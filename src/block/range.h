/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks on ranges of bytes: shared ones overlap, an exclusive one stands alone.
 *
 * A node that moves data about (allocates, frees, copies on write) holds a range shared while it
 * uses what it looked up, and exclusively while it changes where the range lies. Granted in the
 * order of arrival, so nobody starves. A thread holds at most one range of a lock at a time.
 *
 *	range_lock_exclusive(&node->ranges, &range, cluster_start, cluster_bytes);
 *	...
 *	range_unlock(&range);
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct range_lock {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list ranges; /* struct range, in order of arrival; guarded by lock, as is the rest */
	unsigned exclusives; /* of `ranges` */
	unsigned waiting;    /* threads */
};

/* In the memory of who holds it. */
struct range {
	struct list node;
	struct range_lock *owner;
	uint64_t from, end;
	bool exclusive;
};

void range_lock_init(struct range_lock *lock);
/* Nothing held. */
void range_lock_fini(struct range_lock *lock);

/* Waits. `bytes` may reach over the end of everything: UINT64_MAX from 0 is the whole disk. Any
 * thread. */
void range_lock_shared(struct range_lock *lock, struct range *range, uint64_t from, uint64_t bytes);
void range_lock_exclusive(struct range_lock *lock, struct range *range, uint64_t from,
			  uint64_t bytes);

/* Does not wait for a range: false if that would be needed. Any thread. */
bool range_try_shared(struct range_lock *lock, struct range *range, uint64_t from, uint64_t bytes);

/* Any thread, also another than that which locked. */
void range_unlock(struct range *range);

/* A range held to the end of the block. */
#define RANGE_SHARED_SCOPE(name, lock, from, bytes)                                                \
	struct range name __attribute__((cleanup(range_unlock)));                                  \
	range_lock_shared(lock, &name, from, bytes)
#define RANGE_EXCLUSIVE_SCOPE(name, lock, from, bytes)                                             \
	struct range name __attribute__((cleanup(range_unlock)));                                  \
	range_lock_exclusive(lock, &name, from, bytes)
