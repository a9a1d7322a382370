/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella image`: becomes the program that parses foreign images. */
#include "cli/command.h"

int image_command(int argc, char **argv, struct err *err)
{
	(void)argc;
	(void)helper_exec("cella-img", argv, err);
	return EXIT_WRONG;
}
