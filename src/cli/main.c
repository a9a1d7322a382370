/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella`: the command line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int status;

	if (argc < 2) {
		err_set(&err, EINVAL, "no command given");
		err_hint(&err, "see 'cella --help'");
		status = EXIT_WRONG;
	} else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		status = command_run(1, (char *[]){ (char *)"help", NULL }, &err);
	} else if (!strcmp(argv[1], "--version")) {
		status = command_run(1, (char *[]){ (char *)"version", NULL }, &err);
	} else {
		status = command_run(argc - 1, argv + 1, &err);
	}
	if (!err.code && err_flush_stdout(&err))
		status = EXIT_WRONG;
	if (err.code)
		err_print(&err, stderr);
	return status;
}
