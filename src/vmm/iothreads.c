/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/iothreads.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "host/thread.h"

struct iothread {
	struct list node;
	unsigned number;
	struct loop *loop;
	pthread_t thread;
	bool started;
};

/* A thread enters the sandbox, and tells how that went. */
struct confining {
	struct loop_task task;
	const struct sandbox *sandbox;
	int rc;
	sem_t done;
};

void iothreads_init(struct iothreads *iothreads)
{
	*iothreads = (struct iothreads){ 0 };
	list_init(&iothreads->list);
}

static void *iothread_main(void *ctx)
{
	struct iothread *iothread = ctx;
	int rc = loop_run(iothread->loop);

	if (rc)
		log_error("thread %u of disks ended: %s", iothread->number, strerrordesc_np(-rc));
	return NULL;
}

static void iothread_free(struct iothread *iothread)
{
	if (iothread->started) {
		loop_stop(iothread->loop);
		pthread_join(iothread->thread, NULL);
	}
	loop_free(iothread->loop);
	free(iothread);
}

static int iothread_new(struct iothread **ret_iothread, unsigned number, struct err *err)
{
	struct iothread *iothread = calloc(1, sizeof(*iothread));
	char name[16];
	int rc;

	if (!iothread)
		return err_errno(err, ENOMEM, "cannot start thread %u of disks", number);
	iothread->number = number;
	snprintf(name, sizeof(name), "iothread%u", number);
	rc = loop_new(&iothread->loop, err);
	if (!rc) {
		rc = thread_start(&iothread->thread, name, iothread_main, iothread, err);
		iothread->started = !rc;
	}
	if (rc) {
		iothread_free(iothread);
		return rc;
	}
	*ret_iothread = iothread;
	return 0;
}

int iothreads_get(struct iothreads *iothreads, unsigned number, struct loop **ret_loop,
		  struct err *err)
{
	struct iothread *iothread;
	int rc;

	list_for_each (iothread, &iothreads->list, node) {
		if (iothread->number == number) {
			*ret_loop = iothread->loop;
			return 0;
		}
	}
	if (iothreads->confined) {
		err_set(err, ENOENT, "there is no iothread %u", number);
		err_hint(err,
			 "threads start with the machine: give one of its first disks iothread=%u",
			 number);
		return -ENOENT;
	}
	rc = iothread_new(&iothread, number, err);
	if (rc)
		return rc;
	list_append(&iothreads->list, &iothread->node);
	*ret_loop = iothread->loop;
	return 0;
}

static void confine(struct loop_task *task)
{
	struct confining *confining = container_of(task, struct confining, task);

	confining->rc = sandbox_enter_thread(confining->sandbox, SANDBOX_IOTHREAD);
	sem_post(&confining->done);
}

int iothreads_enter_sandbox(struct iothreads *iothreads, const struct sandbox *sandbox,
			    struct err *err)
{
	struct confining confining = { .task.run = confine, .sandbox = sandbox };
	struct iothread *iothread;
	int rc = 0;

	iothreads->confined = true;
	sem_init(&confining.done, 0, 0);
	list_for_each (iothread, &iothreads->list, node) {
		loop_post(iothread->loop, &confining.task);
		while (sem_wait(&confining.done))
			;
		rc = rc ? rc : confining.rc;
	}
	sem_destroy(&confining.done);
	return rc ? err_errno(err, rc, "cannot enter the sandbox of disks") : 0;
}

void iothreads_fini(struct iothreads *iothreads)
{
	struct iothread *iothread, *next;

	list_for_each_safe (iothread, next, &iothreads->list, node) {
		list_remove(&iothread->node);
		iothread_free(iothread);
	}
}
