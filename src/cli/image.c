/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella image`: files of this host are the matter of the program that parses foreign images, which this
 * becomes; images of a server that of the API.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/noun.h"

static bool is_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

/* Of a server; `create` makes a file, and `list` is about files when a folder is named. */
static bool is_of_server(int argc, char **argv)
{
	if (!strcmp(argv[1], "create") || !verb_find(&api_image, argv[1]))
		return false;
	return strcmp(argv[1], "list") || argc == 2 ||
	       (*argv[2] == '-' && !(argc == 3 && !strcmp(argv[2], "--json")));
}

/* The other program goes on with its own commands. */
static void print_help(void)
{
	puts("Usage: cella image COMMAND [ARGUMENT]...\n"
	     "Images of the server, and files of this host.\n"
	     "\n"
	     "Images of the server:");
	noun_print_verb_lines(&api_image);
	putchar('\n');
}

static int files_command(char **argv, struct err *err)
{
	fflush(stdout);
	(void)helper_exec("cella-img", argv, err);
	return EXIT_WRONG;
}

int image_command(int argc, char **argv, struct err *err)
{
	char *help[] = { argv[0], (char *)"--help", NULL };

	if (argc < 2 || is_help(argv[1])) {
		print_help();
		return files_command(help, err);
	}
	if (!is_of_server(argc, argv))
		return files_command(argv, err);
	if (argc == 3 && !strcmp(argv[1], "list") && is_help(argv[2])) {
		noun_command(argc, argv, err);
		puts("\nOr, of files:\n");
		return files_command(argv, err);
	}
	return noun_command(argc, argv, err);
}
