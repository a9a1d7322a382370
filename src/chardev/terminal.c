/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * There is one terminal a process and it must be restored from exit(3) and signal handlers, which
 * pass no object: hence the state of this file is the process's.
 */
#include "chardev/terminal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "chardev/chardev.h"

static struct {
	atomic_bool claimed;
	atomic_bool exit_registered;
	atomic_bool raw;
	struct termios before; /* valid while raw */
} terminal;                    /* exception to "no globals": tools/globals.txt */

bool terminal_claim(void)
{
	return !atomic_exchange(&terminal.claimed, true);
}

void terminal_release(void)
{
	chardev_restore_terminal();
	atomic_store(&terminal.claimed, false);
}

void chardev_restore_terminal(void)
{
	int saved_errno = errno;

	if (atomic_exchange(&terminal.raw, false)) {
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
		log_set_output(STDERR_FILENO, false);
	}
	errno = saved_errno;
}

int terminal_make_raw(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO))
		return 0;
	if (!atomic_exchange(&terminal.exit_registered, true) && atexit(chardev_restore_terminal))
		return -ENOMEM;
	if (tcgetattr(STDIN_FILENO, &terminal.before))
		return -errno;
	raw = terminal.before;
	cfmakeraw(&raw);
	atomic_store(&terminal.raw, true);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw))
		return -errno;
	if (isatty(STDERR_FILENO))
		log_set_output(STDERR_FILENO, true);
	return 0;
}
