/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella image`: files of this host are the matter of the program that parses foreign images, which this
 * becomes; images of a server that of the API.
 */
#include <string.h>

#include "base/macros.h"
#include "cli/command.h"
#include "cli/noun.h"

/* Of a server; `list` as well, when no folder is named. */
static bool is_of_server(int argc, char **argv)
{
	static const char *const words[] = { "build", "upload", "add",    "show", "get",
					     "edit",  "set",    "delete", "rm",   "ls" };

	for (unsigned i = 0; argc > 1 && i < ARRAY_SIZE(words); i++) {
		if (!strcmp(argv[1], words[i]))
			return true;
	}
	return argc > 1 && !strcmp(argv[1], "list") && (argc == 2 || *argv[2] == '-') &&
	       !(argc == 3 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "--json")));
}

int image_command(int argc, char **argv, struct err *err)
{
	if (is_of_server(argc, argv))
		return noun_command(argc, argv, err);
	(void)helper_exec("cella-img", argv, err);
	return EXIT_WRONG;
}
