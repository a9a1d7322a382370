/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define ESCAPE_BYTE  0x1d /* Ctrl-] */
#define ESCAPE_TIMES 3

#define USUAL_COLUMNS 80

void terminal_enter(struct terminal_mode *mode)
{
	struct termios raw;

	mode->changed = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &mode->before);
	if (!mode->changed)
		return;
	raw = mode->before;
	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void terminal_leave(const struct terminal_mode *mode)
{
	if (!mode->changed)
		return;
	tcsetattr(STDIN_FILENO, TCSANOW, &mode->before);
	/* The machine's last line is rarely whole. */
	fputc('\n', stderr);
}

unsigned terminal_columns(FILE *out)
{
	struct winsize size = { 0 };

	if (ioctl(fileno(out), TIOCGWINSZ, &size) || !size.ws_col)
		return USUAL_COLUMNS;
	return size.ws_col;
}

bool terminal_leaves(const char *bytes, size_t count, unsigned *presses)
{
	for (size_t i = 0; i < count; i++) {
		*presses = bytes[i] == ESCAPE_BYTE ? *presses + 1 : 0;
		if (*presses == ESCAPE_TIMES)
			return true;
	}
	return false;
}
