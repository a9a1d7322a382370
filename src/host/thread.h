/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads and locks: thin names over pthreads, and a scoped lock.
 *
 *	LOCK_SCOPE(&device->lock);	// held to the end of the block
 */
#pragma once

#include <pthread.h>

#include "base/err.h"

/*
 * Starts a joinable thread named `name` (cut to 15 characters) with all signals blocked but the
 * synchronous ones, and without capabilities. Errors: -EAGAIN and what pthread_create(3) says.
 */
int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *ctx,
		 struct err *err);

/* The same for one that keeps the capabilities of its starter: for what takes rights all the time. */
int thread_start_with_rights(pthread_t *ret_thread, const char *name, void *(*run)(void *),
			     void *ctx, struct err *err);

static inline pthread_mutex_t *lock_scope_enter(pthread_mutex_t *lock)
{
	pthread_mutex_lock(lock);
	return lock;
}

static inline void lock_scope_leave(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

#define LOCK_SCOPE_NAME2(line) lock_scope_##line
#define LOCK_SCOPE_NAME(line)  LOCK_SCOPE_NAME2(line)
#define LOCK_SCOPE(lock)                                                                           \
	pthread_mutex_t *LOCK_SCOPE_NAME(__LINE__)                                                 \
		__attribute__((cleanup(lock_scope_leave), unused)) = lock_scope_enter(lock)
