/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All commands, as rows; each has its file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/suggest.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "cli/options.h"

#define HELP_COLUMN 18

static int help_command(int argc, char **argv, struct err *err);

static int version_command(int argc, char **argv, struct err *err)
{
	puts("cella " CELLA_VERSION);
	return 0;
}

static const struct command commands[] = {
	{ "run", "run a virtual machine in the foreground, or on the server (-d)", run_command },
	{ "control", "call a method of a running machine", control_command },
	{ "image", "images of the server; disk images in files: make, convert, check",
	  image_command },
	{ "apply", "make the server's objects what documents say", apply_command, APPLY_SWITCHES },
	{ "diff", "show what 'apply' would do", diff_command, DIFF_SWITCHES },
	{ "export", "write objects as documents", export_command, EXPORT_SWITCHES },
	{ "top", "show machines by what they take", top_command, TOP_SWITCHES },
	{ "doctor", "look at the host and the server, and say what to mend", doctor_command,
	  DOCTOR_SWITCHES },
	{ "query", "ask the server as it is", query_command, QUERY_SWITCHES },
	{ "context", "servers that the command line knows", context_command },
	{ "login", "sign in to a server", login_command, LOGIN_SWITCHES },
	{ "logout", "sign out of it", logout_command, LOGOUT_SWITCHES },
	{ "help", "show this help, or a command's: help COMMAND", help_command },
	{ "version", "show the version", version_command },
	{ "complete", NULL, complete_command },
};

/* Short forms of what is done most. */
static const struct {
	const char *name, *verb;
} shorts[] = {
	{ "ls", "list" },         { "start", "start" },     { "stop", "stop" },
	{ "restart", "restart" }, { "console", "console" }, { "logs", "logs" },
	{ "rm", "delete" },
};

const char *command_short(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(shorts); i++) {
		if (!strcmp(shorts[i].name, name))
			return shorts[i].verb;
	}
	return NULL;
}

static int run_short(const char *verb, int argc, char **argv, struct err *err)
{
	char **words = calloc((size_t)argc + 2, sizeof(*words));
	int status;

	if (!words) {
		err_errno(err, ENOMEM, "cannot run '%s'", verb);
		return EXIT_WRONG;
	}
	words[0] = (char *)"vm";
	words[1] = (char *)verb;
	memcpy(words + 2, argv + 1, (size_t)(argc - 1) * sizeof(*words));
	status = noun_command(argc + 1, words, err);
	free(words);
	return status;
}

static const struct command *find_command(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

int command_run(int argc, char **argv, struct err *err)
{
	const struct command *command = find_command(argv[0]);
	struct suggestion suggestion = suggestion_for(argv[0]);

	if (command)
		return command->run(argc, argv, err);
	if (command_short(argv[0]))
		return run_short(command_short(argv[0]), argc, argv, err);
	if (api_kind_find(argv[0]))
		return noun_command(argc, argv, err);
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		suggestion_offer(&suggestion, commands[i].name);
	for (unsigned i = 0; i < ARRAY_SIZE(shorts); i++)
		suggestion_offer(&suggestion, shorts[i].name);
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++)
		suggestion_offer(&suggestion, (*kind)->name);
	err_set(err, EINVAL, "unknown command '%.64s'", argv[0]);
	if (*argv[0] == '-')
		err_hint(err, "options stand behind the command; see 'cella --help'");
	else if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	else
		err_hint(err, "see 'cella --help'");
	return EXIT_WRONG;
}

unsigned command_switches(const char *name)
{
	const struct command *command = find_command(name);

	return command ? command->switches : 0;
}

void command_print_names(FILE *out)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].summary)
			fprintf(out, "%s\n", commands[i].name);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(shorts); i++)
		fprintf(out, "%s\n", shorts[i].name);
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++)
		fprintf(out, "%s\n", (*kind)->name);
}

static bool is_known(const char *name)
{
	return find_command(name) || command_short(name) || api_kind_find(name);
}

/* Of "help vm create": `cella vm create --help`. */
static int help_of(int argc, char **argv, struct err *err)
{
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	int count = is_known(argv[0]) ? argc : 0;
	int status;

	if (!words) {
		err_errno(err, ENOMEM, "cannot show the help");
		return EXIT_WRONG;
	}
	memcpy(words, argv, (size_t)argc * sizeof(*words));
	if (count)
		words[count++] = (char *)"--help";
	status = command_run(count ? count : 1, words, err);
	free(words);
	return status;
}

static void print_line(const char *name, const char *help)
{
	printf("  %-15s ", name);
	options_print_wrapped(stdout, help, HELP_COLUMN);
}

static int help_command(int argc, char **argv, struct err *err)
{
	if (argc > 1 && *argv[1] != '-')
		return help_of(argc - 1, argv + 1, err);
	puts("Usage: cella COMMAND [ARGUMENT]...\n"
	     "Create and run virtual machines, on KVM and without it.\n");
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].summary)
			print_line(commands[i].name, commands[i].summary);
	}
	puts("\nObjects of the server: cella KIND COMMAND");
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++)
		print_line((*kind)->name, (*kind)->help);
	puts("\nShort forms for machines: ls, start, stop, restart, console, logs, rm\n"
	     "\n"
	     "A first machine, of the server: cella image build debian:12\n"
	     "                                cella run -d --name web1 debian:12\n"
	     "                                cella console web1\n"
	     "In the foreground, without one: cella run --kernel vmlinuz --initrd initrd.img\n"
	     "\n"
	     "Help of a command: cella COMMAND --help, or cella help COMMAND");
	return 0;
}
