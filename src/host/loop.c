/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One epoll set, one timerfd armed for the earliest deadline of a binary heap, one eventfd that
 * wakes the loop for posted tasks. `lock` guards the heap, the task queue and the flags; it is
 * never held while a callback runs. Who holds the loop may touch all the rest: its thread waits for
 * `changed` then.
 */
#include "host/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/vec.h"
#include "host/clock.h"
#include "host/thread.h"

#define EVENTS_PER_WAIT 32

struct loop {
	int epoll_fd;
	struct loop_fd timer_source;
	struct loop_fd wake_source;
	struct epoll_event *pending; /* events of the wait in progress, on the loop's thread */
	int pending_count;

	pthread_mutex_t lock;
	VEC(struct loop_timer *) heap; /* guarded by lock */
	struct loop_task *first_task;  /* guarded by lock */
	struct loop_task **last_task;  /* guarded by lock */
	size_t task_count;             /* guarded by lock */
	bool stop;                     /* guarded by lock */

	/* Of loop_hold(), guarded by lock. */
	pthread_cond_t changed;
	bool running;
	pthread_t thread; /* which runs it */
	bool standing;    /* ... and waits for the end of the holds */
	unsigned holds;   /* of ... */
	pthread_t holder;
};

/* Called by the loop's thread between callbacks. */
static void stand_while_held_locked(struct loop *loop)
{
	while (loop->holds) {
		loop->standing = true;
		pthread_cond_broadcast(&loop->changed);
		pthread_cond_wait(&loop->changed, &loop->lock);
	}
	loop->standing = false;
}

static void heap_place(struct loop *loop, size_t index, struct loop_timer *timer)
{
	loop->heap.items[index - 1] = timer;
	timer->heap_index = index;
}

static struct loop_timer *heap_at(struct loop *loop, size_t index)
{
	return loop->heap.items[index - 1];
}

static void heap_sift_up(struct loop *loop, size_t index)
{
	struct loop_timer *timer = heap_at(loop, index);

	while (index > 1 && heap_at(loop, index / 2)->deadline_ns > timer->deadline_ns) {
		heap_place(loop, index, heap_at(loop, index / 2));
		index /= 2;
	}
	heap_place(loop, index, timer);
}

static void heap_sift_down(struct loop *loop, size_t index)
{
	struct loop_timer *timer = heap_at(loop, index);
	size_t child;

	while ((child = index * 2) <= loop->heap.count) {
		if (child < loop->heap.count &&
		    heap_at(loop, child + 1)->deadline_ns < heap_at(loop, child)->deadline_ns)
			child++;
		if (heap_at(loop, child)->deadline_ns >= timer->deadline_ns)
			break;
		heap_place(loop, index, heap_at(loop, child));
		index = child;
	}
	heap_place(loop, index, timer);
}

static void heap_remove(struct loop *loop, struct loop_timer *timer)
{
	size_t index = timer->heap_index;
	struct loop_timer *last = heap_at(loop, loop->heap.count--);

	timer->heap_index = 0;
	if (last == timer)
		return;
	heap_place(loop, index, last);
	heap_sift_up(loop, index);
	heap_sift_down(loop, last->heap_index);
}

static void set_alarm_locked(struct loop *loop)
{
	struct itimerspec alarm = { 0 };

	if (loop->heap.count) {
		/* A value of zero would disarm the descriptor. */
		uint64_t ns = MAX(heap_at(loop, 1)->deadline_ns, UINT64_C(1));

		alarm.it_value.tv_sec = (time_t)(ns / NS_PER_SEC);
		alarm.it_value.tv_nsec = (long)(ns % NS_PER_SEC);
	}
	timerfd_settime(loop->timer_source.fd, TFD_TIMER_ABSTIME, &alarm, NULL);
}

static void wake(struct loop *loop)
{
	uint64_t one = 1;

	(void)!write(loop->wake_source.fd, &one, sizeof(one));
}

static void drain(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}

static struct loop_timer *next_expired(struct loop *loop, uint64_t now)
{
	struct loop_timer *timer = NULL;

	LOCK_SCOPE(&loop->lock);
	if (loop->heap.count && heap_at(loop, 1)->deadline_ns <= now) {
		timer = heap_at(loop, 1);
		heap_remove(loop, timer);
	} else {
		set_alarm_locked(loop);
	}
	return timer;
}

static void timers_ready(struct loop_fd *source, uint32_t events)
{
	struct loop *loop = container_of(source, struct loop, timer_source);
	uint64_t now = clock_now_ns();
	struct loop_timer *timer;

	(void)events;
	drain(source->fd);
	/* `now` is taken once: timers that come due meanwhile wait for the next turn, behind the
	 * descriptors. */
	while ((timer = next_expired(loop, now)))
		timer->expired(timer);
}

static struct loop_task *next_task(struct loop *loop)
{
	struct loop_task *task;

	LOCK_SCOPE(&loop->lock);
	stand_while_held_locked(loop);
	task = loop->first_task;
	if (task) {
		loop->task_count--;
		loop->first_task = task->next;
		if (!loop->first_task)
			loop->last_task = &loop->first_task;
		task->next = NULL;
		task->queued = false;
	}
	return task;
}

static size_t count_tasks(struct loop *loop)
{
	LOCK_SCOPE(&loop->lock);
	return loop->task_count;
}

static void tasks_ready(struct loop_fd *source, uint32_t events)
{
	struct loop *loop = container_of(source, struct loop, wake_source);
	struct loop_task *task;

	(void)events;
	drain(source->fd);
	/* Tasks posted from here on wait for the next turn, behind the descriptors: one may post itself
	 * for ever. */
	for (size_t left = count_tasks(loop); left && (task = next_task(loop)); left--)
		task->run(task);
}

int loop_new(struct loop **ret_loop, struct err *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop)
		return err_errno(err, ENOMEM, "cannot create event loop");
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->changed, NULL);
	loop->last_task = &loop->first_task;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->timer_source = (struct loop_fd){
		.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		.ready = timers_ready,
	};
	loop->wake_source = (struct loop_fd){
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.ready = tasks_ready,
	};
	rc = loop_fd_add(loop, &loop->timer_source, EPOLLIN);
	if (!rc)
		rc = loop_fd_add(loop, &loop->wake_source, EPOLLIN);
	if (rc) {
		loop_free(loop);
		return err_errno(err, rc, "cannot create event loop");
	}
	*ret_loop = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->timer_source.fd >= 0)
		close(loop->timer_source.fd);
	if (loop->wake_source.fd >= 0)
		close(loop->wake_source.fd);
	vec_fini(&loop->heap);
	pthread_cond_destroy(&loop->changed);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static void begin(struct loop *loop)
{
	LOCK_SCOPE(&loop->lock);
	loop->thread = pthread_self();
	loop->running = true;
}

static void end(struct loop *loop)
{
	LOCK_SCOPE(&loop->lock);
	loop->stop = false;
	loop->running = false;
	pthread_cond_broadcast(&loop->changed);
}

static bool goes_on(struct loop *loop)
{
	LOCK_SCOPE(&loop->lock);
	stand_while_held_locked(loop);
	return !loop->stop;
}

static int dispatch(struct loop *loop)
{
	struct epoll_event events[EVENTS_PER_WAIT];

	while (goes_on(loop)) {
		int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_WAIT, -1);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		loop->pending = events;
		loop->pending_count = count;
		for (int i = 0; i < count && goes_on(loop); i++) {
			struct loop_fd *source = events[i].data.ptr;

			if (source)
				source->ready(source, events[i].events);
		}
		loop->pending_count = 0;
	}
	return 0;
}

int loop_run(struct loop *loop)
{
	int rc;

	begin(loop);
	rc = dispatch(loop);
	end(loop);
	return rc;
}

static bool runs_here_locked(const struct loop *loop)
{
	return loop->running && pthread_equal(loop->thread, pthread_self());
}

void loop_hold(struct loop *loop)
{
	if (!loop)
		return;
	LOCK_SCOPE(&loop->lock);
	if (runs_here_locked(loop))
		return;
	while (loop->holds && !pthread_equal(loop->holder, pthread_self()))
		pthread_cond_wait(&loop->changed, &loop->lock);
	loop->holder = pthread_self();
	if (loop->holds++)
		return;
	wake(loop);
	while (loop->running && !loop->standing)
		pthread_cond_wait(&loop->changed, &loop->lock);
}

void loop_release(struct loop *loop)
{
	if (!loop)
		return;
	LOCK_SCOPE(&loop->lock);
	if (!runs_here_locked(loop) && !--loop->holds)
		pthread_cond_broadcast(&loop->changed);
}

void loop_stop(struct loop *loop)
{
	LOCK_SCOPE(&loop->lock);
	loop->stop = true;
	wake(loop);
}

int loop_fd_add(struct loop *loop, struct loop_fd *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	check(!source->added);
	/* Before its first event may come, on another thread. */
	source->added = true;
	if (!epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event))
		return 0;
	source->added = false;
	return -errno;
}

int loop_fd_change(struct loop *loop, struct loop_fd *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) ? -errno : 0;
}

void loop_fd_remove(struct loop *loop, struct loop_fd *source)
{
	if (!source->added)
		return;
	source->added = false;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	/* The wait in progress may already hold an event for it. */
	for (int i = 0; i < loop->pending_count; i++) {
		if (loop->pending[i].data.ptr == source)
			loop->pending[i].data.ptr = NULL;
	}
}

int loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	int rc;

	LOCK_SCOPE(&loop->lock);
	if (timer->heap_index)
		heap_remove(loop, timer);
	timer->deadline_ns = deadline_ns;
	rc = vec_push(&loop->heap, timer);
	if (rc)
		return rc;
	heap_sift_up(loop, loop->heap.count);
	if (timer->heap_index == 1)
		set_alarm_locked(loop);
	return 0;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	LOCK_SCOPE(&loop->lock);
	/* The alarm may now ring once for nothing; that is cheaper than a system call for each
	 * cancel. */
	if (timer->heap_index)
		heap_remove(loop, timer);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
	LOCK_SCOPE(&loop->lock);
	if (task->queued)
		return;
	task->queued = true;
	loop->task_count++;
	task->next = NULL;
	*loop->last_task = task;
	loop->last_task = &task->next;
	wake(loop);
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	LOCK_SCOPE(&loop->lock);
	if (!task->queued)
		return;
	for (struct loop_task **at = &loop->first_task; *at; at = &(*at)->next) {
		if (*at == task) {
			*at = task->next;
			if (!task->next)
				loop->last_task = at;
			break;
		}
	}
	task->queued = false;
	loop->task_count--;
}
