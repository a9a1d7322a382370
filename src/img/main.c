/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella-img`: work on disk images, in a process of its own because images are hostile. `cella
 * image` becomes this program:
 *
 *	cella-img COMMAND [ARGUMENT]...
 *
 * `cella-vmm` has disks of the network opened by it (connector.h):
 *
 *	cella-img --connector
 */
#include <errno.h>
#include <string.h>

#include "base/suggest.h"
#include "img/command.h"
#include "img/connector.h"

/* Behind what `cella image` says itself. */
static void print_commands(FILE *out)
{
	fputs("Files of this host:\n", out);
	for (const struct img_command *command = img_commands; command->name; command++)
		fprintf(out, "  %-12s %s\n", command->name, command->summary);
	fputs("\nHelp of a command: cella image COMMAND --help\n", out);
}

/* For completion. */
static void print_names(FILE *out)
{
	for (const struct img_command *command = img_commands; command->name; command++)
		fprintf(out, "%s\n", command->name);
}

static const struct img_command *find_command(const char *name, struct err *err)
{
	struct suggestion suggestion = suggestion_for(name);

	for (const struct img_command *command = img_commands; command->name; command++) {
		if (!strcmp(command->name, name))
			return command;
		suggestion_offer(&suggestion, command->name);
	}
	err_set(err, EINVAL, "unknown image command '%.64s'", name);
	if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	else
		err_hint(err, "see 'cella image --help'");
	return NULL;
}

static int run(const struct img_command *command, int count, char **arguments, struct err *err)
{
	struct img img;
	int status = IMG_FAILED;

	if (!img_parse(&img, command, count, arguments, err)) {
		if (img_flag(&img, "help")) {
			img_print_help(stdout, command);
			status = IMG_DONE;
		} else if (!img_hold_secrets(&img, err) &&
			   (command->serves || !img_confine(&img, err))) {
			status = command->run(&img, err);
		}
	}
	img_fini(&img);
	return status;
}

int main(int argc, char **argv)
{
	const struct img_command *command = NULL;
	struct err err = ERR_INIT;
	int status = IMG_FAILED;

	if (argc == 2 && !strcmp(argv[1], "--connector"))
		return img_connector();
	if (argc < 2) {
		err_set(&err, EINVAL, "no image command given");
		err_hint(&err, "see 'cella image --help'");
	} else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_commands(stdout);
		status = IMG_DONE;
	} else if (!strcmp(argv[1], "--commands")) {
		print_names(stdout);
		status = IMG_DONE;
	} else {
		command = find_command(argv[1], &err);
	}
	if (command)
		status = run(command, argc - 2, argv + 2, &err);
	if (!err.code && err_flush_stdout(&err))
		status = IMG_FAILED;
	if (err.code)
		err_print(&err, stderr);
	return status;
}
