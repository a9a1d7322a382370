/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/fatal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "chardev/chardev.h"
#include "host/sandbox.h"

static void say(int number, const siginfo_t *info, const void *context)
{
	char what[128], line[192];
	int length;

	if (number == SIGSYS)
		sandbox_describe(info, context, what, sizeof(what));
	else
		snprintf(what, sizeof(what), "internal error, SIG%s at %p", sigabbrev_np(number),
			 info->si_addr);
	length = snprintf(line, sizeof(line), "cella: %s\n", what);
	(void)!write(STDERR_FILENO, line, (size_t)length);
}

static void on_fatal(int number, siginfo_t *info, void *context)
{
	chardev_restore_terminal();
	/* abort() has already said why. */
	if (number != SIGABRT)
		say(number, info, context);
	/* The handler is reset and the signal blocked: it takes effect on return, whatever raised
	 * it. */
	raise(number);
}

void fatal_install(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };
	struct sigaction action = {
		.sa_sigaction = on_fatal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}
