/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "cli/output.h"
#include "cli/terminal.h"

#define BAR_CELLS 24

static bool is_shown(void)
{
	const char *terminal = getenv("TERM");

	return isatty(STDERR_FILENO) && !(terminal && !strcmp(terminal, "dumb"));
}

static void add_bar(struct str *line, int percent)
{
	int full = MIN(percent, 100) * BAR_CELLS / 100;

	str_add(line, " [");
	for (int i = 0; i < BAR_CELLS; i++)
		str_add(line, i < full ? "#" : "-");
	str_printf(line, "] %d %%", MIN(percent, 100));
}

void progress_show(const char *what, int percent, uint64_t rate)
{
	struct str line = { 0 };

	if (!is_shown())
		return;
	str_add(&line, what);
	if (percent >= 0)
		add_bar(&line, percent);
	if (rate) {
		json_t *bytes = json_integer((json_int_t)rate);

		str_add(&line, " ");
		output_value(&line, bytes, API_BYTES);
		str_add(&line, "/s");
		json_decref(bytes);
	}
	if (line.text) {
		str_make_plain(line.text);
		/* A longer one would go on in a second line, where it is not written over. */
		fprintf(stderr, "\r\033[K%.*s", (int)terminal_columns(stderr) - 1, line.text);
	}
	str_fini(&line);
}

void progress_end(void)
{
	if (is_shown())
		fputs("\r\033[K", stderr);
}
