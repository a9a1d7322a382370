/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *ctx,
		 struct err *err)
{
	static const int synchronous[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT
	};
	sigset_t blocked, before;
	char short_name[16];
	int rc;

	sigfillset(&blocked);
	for (unsigned i = 0; i < ARRAY_SIZE(synchronous); i++)
		sigdelset(&blocked, synchronous[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	rc = pthread_create(ret_thread, NULL, run, ctx);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return err_errno(err, rc, "cannot start thread '%s'", name);
	snprintf(short_name, sizeof(short_name), "%s", name);
	pthread_setname_np(*ret_thread, short_name);
	return 0;
}
