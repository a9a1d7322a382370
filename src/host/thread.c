/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "host/sandbox.h"

struct start {
	void *(*run)(void *);
	void *ctx;
	char name[16];
	bool rights;
};

/* Only the first thread opens things that take rights. */
static void *begin(void *ctx)
{
	struct start start = *(struct start *)ctx;

	free(ctx);
	/* From inside, because from outside it takes a file, which a sandbox may refuse. */
	prctl(PR_SET_NAME, start.name);
	if (!start.rights)
		sandbox_drop_capabilities();
	return start.run(start.ctx);
}

static int start_thread(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *ctx,
			bool rights, struct err *err)
{
	static const int synchronous[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT
	};
	sigset_t blocked, before;
	struct start *start = malloc(sizeof(*start));
	int rc;

	if (!start)
		return err_errno(err, ENOMEM, "cannot start thread '%s'", name);
	*start = (struct start){ .run = run, .ctx = ctx, .rights = rights };
	snprintf(start->name, sizeof(start->name), "%s", name);
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
	return 0;
}

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *ctx,
		 struct err *err)
{
	return start_thread(ret_thread, name, run, ctx, false, err);
}

int thread_start_with_rights(pthread_t *ret_thread, const char *name, void *(*run)(void *),
			     void *ctx, struct err *err)
{
	return start_thread(ret_thread, name, run, ctx, true, err);
}
