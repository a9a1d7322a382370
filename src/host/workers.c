/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One queue, one condition; threads take the oldest item. `lock` guards the queue and `ending`. */
#include "host/workers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "host/sandbox.h"
#include "host/thread.h"

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct work *first, **last; /* guarded by lock */
	bool ending;                /* guarded by lock */
	unsigned thread_count;
	pthread_t threads[];
};

static struct work *next_work(struct workers *workers)
{
	struct work *work;

	LOCK_SCOPE(&workers->lock);
	while (!workers->first && !workers->ending)
		pthread_cond_wait(&workers->changed, &workers->lock);
	work = workers->first;
	if (work) {
		workers->first = work->next;
		if (!workers->first)
			workers->last = &workers->first;
	}
	return work;
}

static void *worker_main(void *ctx)
{
	struct work *work;

	while ((work = next_work(ctx))) {
		sandbox_confine_worker();
		work->run(work);
	}
	return NULL;
}

int workers_new(struct workers **ret_workers, const char *name, unsigned threads, struct err *err)
{
	struct workers *workers = calloc(1, sizeof(*workers) + threads * sizeof(pthread_t));

	if (!workers)
		return err_errno(err, ENOMEM, "cannot create threads '%s'", name);
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->changed, NULL);
	workers->last = &workers->first;
	while (workers->thread_count < threads) {
		int rc = thread_start(&workers->threads[workers->thread_count], name, worker_main,
				      workers, err);

		if (rc) {
			workers_free(workers);
			return rc;
		}
		workers->thread_count++;
	}
	*ret_workers = workers;
	return 0;
}

void workers_free(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->ending = true;
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->thread_count; i++)
		pthread_join(workers->threads[i], NULL);
	pthread_cond_destroy(&workers->changed);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

void workers_submit(struct workers *workers, struct work *work)
{
	LOCK_SCOPE(&workers->lock);
	work->next = NULL;
	*workers->last = work;
	workers->last = &work->next;
	pthread_cond_signal(&workers->changed);
}
