/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella`: the command line. Commands are rows; each has its file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/suggest.h"
#include "cli/command.h"

static int help_command(int argc, char **argv, struct err *err);

static int version_command(int argc, char **argv, struct err *err)
{
	puts("cella " CELLA_VERSION);
	return 0;
}

static const struct command commands[] = {
	{ "run", "run a virtual machine in the foreground", run_command },
	{ "control", "call a method of a running machine", control_command },
	{ "image", "make, convert, check and inspect disk images", image_command },
	{ "help", "show this help, or a command's: help COMMAND", help_command },
	{ "version", "show the version", version_command },
};

static const struct command *find_command(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int run_named(int argc, char **argv, struct err *err)
{
	const struct command *command = find_command(argv[0]);
	struct suggestion suggestion = suggestion_for(argv[0]);

	if (command)
		return command->run(argc, argv, err);
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		suggestion_offer(&suggestion, commands[i].name);
	err_set(err, EINVAL, "unknown command '%.64s'", argv[0]);
	if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	else
		err_hint(err, "see 'cella --help'");
	return EXIT_WRONG;
}

static int help_command(int argc, char **argv, struct err *err)
{
	if (argc > 1) {
		char *arguments[] = { argv[1], (char *)"--help", NULL };

		return run_named(find_command(argv[1]) ? 2 : 1, arguments, err);
	}
	puts("Usage: cella COMMAND [ARGUMENT]...\n"
	     "Create and run virtual machines, on KVM and without it.\n");
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	puts("\nA first machine: cella run --kernel vmlinuz --initrd initrd.img --append console=ttyS0");
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int status;

	if (argc < 2) {
		err_set(&err, EINVAL, "no command given");
		err_hint(&err, "see 'cella --help'");
		status = EXIT_WRONG;
	} else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		status = help_command(1, argv, &err);
	} else if (!strcmp(argv[1], "--version")) {
		status = version_command(1, argv, &err);
	} else {
		status = run_named(argc - 1, argv + 1, &err);
	}
	if (!err.code && err_flush_stdout(&err))
		status = EXIT_WRONG;
	if (err.code)
		err_print(&err, stderr);
	return status;
}
