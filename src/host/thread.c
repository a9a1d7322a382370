/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/sandbox.h"

struct start {
	void *(*run)(void *);
	void *ctx;
};

/* Only the first thread opens things that take rights. */
static void *begin(void *ctx)
{
	struct start start = *(struct start *)ctx;

	free(ctx);
	sandbox_drop_capabilities();
	return start.run(start.ctx);
}

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *ctx,
		 struct err *err)
{
	static const int synchronous[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT
	};
	sigset_t blocked, before;
	struct start *start = malloc(sizeof(*start));
	char short_name[16];
	int rc;

	if (!start)
		return err_errno(err, ENOMEM, "cannot start thread '%s'", name);
	*start = (struct start){ run, ctx };
	sigfillset(&blocked);
	for (unsigned i = 0; i < ARRAY_SIZE(synchronous); i++)
		sigdelset(&blocked, synchronous[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	rc = pthread_create(ret_thread, NULL, begin, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		free(start);
		return err_errno(err, rc, "cannot start thread '%s'", name);
	}
	snprintf(short_name, sizeof(short_name), "%s", name);
	pthread_setname_np(*ret_thread, short_name);
	return 0;
}
