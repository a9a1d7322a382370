/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/disk/pool_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "host/thread.h"
#include "node/disk/pool_clean.h"

#define LOCK_FILE ".cella.lock"

struct pool_lock {
	struct list node;
	char *folder, *file;
	int fd;
};

struct pool_locks {
	pthread_mutex_t lock; /* guards `held`, and that a folder is clean before it is used */
	struct list held;
};

static void lock_free(struct pool_lock *lock)
{
	if (lock->fd >= 0)
		close(lock->fd);
	free(lock->folder);
	free(lock->file);
	free(lock);
}

static struct pool_lock *lock_new(const char *folder)
{
	struct pool_lock *lock = calloc(1, sizeof(*lock));

	if (!lock)
		return NULL;
	lock->fd = -1;
	lock->folder = strdup(folder);
	if (lock->folder && asprintf(&lock->file, "%s/" LOCK_FILE, folder) >= 0)
		return lock;
	lock->file = NULL;
	lock_free(lock);
	return NULL;
}

/* The file may have been removed, or another file system mounted above it. */
static bool is_in_place(const struct pool_lock *lock)
{
	struct stat own, there;

	return lock->fd >= 0 && !fstat(lock->fd, &own) && !lstat(lock->file, &there) &&
	       own.st_dev == there.st_dev && own.st_ino == there.st_ino;
}

/* 0, -EWOULDBLOCK: another one has it, or another negative errno. */
static int lock_file(struct pool_lock *lock)
{
	do {
		if (lock->fd >= 0)
			close(lock->fd);
		lock->fd = open(lock->file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (lock->fd < 0 || flock(lock->fd, LOCK_EX | LOCK_NB))
			return -errno;
		/* Whoever had it may have removed it meanwhile. */
	} while (!is_in_place(lock));
	return 0;
}

static struct pool_lock *find_locked(struct pool_locks *locks, const char *folder)
{
	struct pool_lock *lock;

	list_for_each (lock, &locks->held, node) {
		if (!strcmp(lock->folder, folder))
			return lock;
	}
	return NULL;
}

static int explain(const char *folder, int rc, struct problem *problem)
{
	if (rc != -EWOULDBLOCK) {
		err_errno(&problem->err, rc, "cannot use folder '%s'", folder);
		return problem_from_err(problem, rc);
	}
	problem_set(problem, API_CODE_IN_USE, "another cellad has a pool in folder '%s'", folder);
	return problem_hint(problem, "give each its own folder, or end the other one first");
}

int pool_lock_take(struct node *node, const char *folder, struct problem *problem)
{
	struct pool_locks *locks = node->pool_locks;
	struct pool_lock *lock;
	bool is_new;
	int rc;

	LOCK_SCOPE(&locks->lock);
	lock = find_locked(locks, folder);
	if (lock && is_in_place(lock))
		return 0;
	is_new = !lock;
	lock = is_new ? lock_new(folder) : lock;
	if (!lock)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	rc = lock_file(lock);
	if (rc) {
		if (!is_new)
			list_remove(&lock->node);
		lock_free(lock);
		return explain(folder, rc, problem);
	}
	/* Later on it may be work of ours that is not whole. */
	if (is_new) {
		list_append(&locks->held, &lock->node);
		pool_clean(folder);
	}
	return 0;
}

void pool_lock_drop(struct node *node, const char *folder)
{
	struct pool_locks *locks = node->pool_locks;
	struct pool_lock *lock;

	LOCK_SCOPE(&locks->lock);
	lock = find_locked(locks, folder);
	if (!lock)
		return;
	if (is_in_place(lock))
		unlink(lock->file);
	list_remove(&lock->node);
	lock_free(lock);
}

int pool_lock_check(struct node *node, const char *folder, struct problem *problem)
{
	struct pool_locks *locks = node->pool_locks;
	struct pool_lock *lock;
	int rc;

	LOCK_SCOPE(&locks->lock);
	if (find_locked(locks, folder))
		return 0;
	lock = lock_new(folder);
	if (!lock)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	rc = lock_file(lock);
	if (!rc)
		unlink(lock->file);
	lock_free(lock);
	return rc ? explain(folder, rc, problem) : 0;
}

int pool_locks_open(struct node *node, struct err *err)
{
	struct pool_locks *locks = calloc(1, sizeof(*locks));

	if (!locks)
		return err_errno(err, ENOMEM, "cannot lock pools");
	pthread_mutex_init(&locks->lock, NULL);
	list_init(&locks->held);
	node->pool_locks = locks;
	return 0;
}

void pool_locks_close(struct node *node)
{
	struct pool_locks *locks = node->pool_locks;
	struct pool_lock *lock;

	if (!locks)
		return;
	while ((lock = list_first(&locks->held, struct pool_lock, node))) {
		list_remove(&lock->node);
		lock_free(lock);
	}
	pthread_mutex_destroy(&locks->lock);
	free(locks);
	node->pool_locks = NULL;
}
