/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard's thread runs a loop of its own: the signals, one timer, and tasks for what other
 * threads want of it. All fields without another word belong to it.
 */
#include "vmm/guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "chardev/chardev.h"
#include "host/clock.h"
#include "host/thread.h"

/* The status that a shell gives a process which a signal ended. */
#define STATUS_OF_SIGNAL 128

struct guard {
	struct guard_owner owner;
	struct loop *own_loop, *loop;
	const struct sandbox *sandbox;
	pthread_t thread;
	bool thread_started;

	struct loop_fd signals;
	struct loop_timer timer;
	bool asked; /* the first signal has come */

	struct loop_task tell;                /* on `loop` */
	struct loop_task confine, expect_end; /* on `own_loop` */
	atomic_uint untold;                   /* signals that `tell` has not passed on */
	atomic_int number;                    /* the last of them */
	atomic_int status;                    /* of the process, if the guard has to end it */
};

static void abandon(struct loop_timer *timer)
{
	struct guard *guard = container_of(timer, struct guard, timer);

	guard->owner.abandoning(guard->owner.ctx);
	chardev_restore_terminal();
	/* Handlers of exit(3) could wait for a thread that is stuck. */
	_exit(atomic_load(&guard->status));
}

/* Signals that keep coming must not put the end off. */
static void end_within(struct guard *guard, uint64_t ns)
{
	uint64_t deadline_ns = clock_now_ns() + ns;

	if (!guard->timer.heap_index || deadline_ns < guard->timer.deadline_ns)
		loop_timer_arm(guard->own_loop, &guard->timer, deadline_ns);
}

static void signal_ready(struct loop_fd *source, uint32_t events)
{
	struct guard *guard = container_of(source, struct guard, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	end_within(guard, guard->owner.end_ns + (guard->asked ? 0 : guard->owner.ask_ns));
	guard->asked = true;
	atomic_store(&guard->status, STATUS_OF_SIGNAL + (int)info.ssi_signo);
	atomic_store(&guard->number, (int)info.ssi_signo);
	atomic_fetch_add(&guard->untold, 1);
	loop_post(guard->loop, &guard->tell);
}

static void tell(struct loop_task *task)
{
	struct guard *guard = container_of(task, struct guard, tell);

	for (unsigned n = atomic_exchange(&guard->untold, 0); n; n--)
		guard->owner.signalled(guard->owner.ctx, atomic_load(&guard->number));
}

static void confine(struct loop_task *task)
{
	struct guard *guard = container_of(task, struct guard, confine);
	int rc = sandbox_enter_thread(guard->sandbox, SANDBOX_GUARD);

	if (rc)
		log_error("the guard's thread keeps the rights of the process: %s",
			  strerrordesc_np(-rc));
}

static void expect_end(struct loop_task *task)
{
	struct guard *guard = container_of(task, struct guard, expect_end);

	end_within(guard, guard->owner.end_ns);
}

static void *guard_main(void *ctx)
{
	struct guard *guard = ctx;

	loop_run(guard->own_loop);
	return NULL;
}

/* Everybody blocks these, so only the descriptor gives them. */
static int open_signals(struct guard *guard)
{
	static const int ending[] = { SIGTERM, SIGINT, SIGHUP };
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(ending); i++)
		sigaddset(&set, ending[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	guard->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return guard->signals.fd < 0 ? -errno
				     : loop_fd_add(guard->own_loop, &guard->signals, EPOLLIN);
}

int guard_new(struct guard **ret_guard, struct loop *loop, const struct guard_owner *owner,
	      struct err *err)
{
	struct guard *guard = calloc(1, sizeof(*guard));
	int rc;

	if (!guard)
		return err_errno(err, ENOMEM, "cannot watch signals");
	guard->owner = *owner;
	guard->loop = loop;
	guard->signals = (struct loop_fd){ .fd = -1, .ready = signal_ready };
	guard->timer.expired = abandon;
	guard->tell.run = tell;
	guard->confine.run = confine;
	guard->expect_end.run = expect_end;
	rc = loop_new(&guard->own_loop, err);
	if (!rc && open_signals(guard))
		rc = err_errno(err, errno, "cannot watch signals");
	if (!rc) {
		rc = thread_start(&guard->thread, "guard", guard_main, guard, err);
		guard->thread_started = !rc;
	}
	if (rc) {
		guard_free(guard);
		return rc;
	}
	*ret_guard = guard;
	return 0;
}

void guard_enter_sandbox(struct guard *guard, const struct sandbox *sandbox)
{
	guard->sandbox = sandbox;
	loop_post(guard->own_loop, &guard->confine);
}

void guard_expect_end(struct guard *guard, int status)
{
	atomic_store(&guard->status, status);
	loop_post(guard->own_loop, &guard->expect_end);
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	if (guard->thread_started) {
		loop_stop(guard->own_loop);
		pthread_join(guard->thread, NULL);
	}
	loop_task_cancel(guard->loop, &guard->tell);
	if (guard->own_loop) {
		loop_timer_cancel(guard->own_loop, &guard->timer);
		loop_fd_remove(guard->own_loop, &guard->signals);
	}
	if (guard->signals.fd >= 0)
		close(guard->signals.fd);
	loop_free(guard->own_loop);
	free(guard);
}
