/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference of `cella KIND` as a man page, from the tables that the command itself walks.
 *
 *	cli_reference vm > cella-vm.1
 */
#include <string.h>

#include "cli/noun.h"
#include "roff.h"

/* `ctx`: whether the options are indented already; NULL: they are not to be. */
static void print_option(void *ctx, const char *option, const char *help, bool key)
{
	bool *indented = ctx;

	if (indented && !*indented) {
		fputs(".RS\n", stdout);
		*indented = true;
	}
	fputs(key ? ".RS\n.TP\n.B " : ".TP\n.B ", stdout);
	print_text(option);
	putchar('\n');
	print_sentence(help);
	fputs(key ? ".\n.RE\n" : ".\n", stdout);
}

/* A command without the options that all have, or that stand in a section of their own. */
static void print_command(const struct api_kind *kind, const char *name, const char *alias,
			  const char *help)
{
	struct noun noun = { .kind = kind };
	const char *arguments;
	const struct verb *verb;
	bool indented = false;

	if (noun_set_verb(&noun, name, &verb, NULL))
		return;
	arguments = noun_arguments(&noun, verb);
	printf(".TP\n.B ");
	print_text(name);
	if (alias && strcmp(alias, name))
		printf(", %s", alias);
	printf("\n");
	if (*arguments) {
		fputs(".I ", stdout);
		print_text(arguments);
		printf("\n.br\n");
	}
	print_sentence(help);
	fputs(".\n", stdout);
	noun.ask.switches &= ~(unsigned)(ASK_SERVER | ASK_WAIT);
	if (verb->spec && !noun.action) {
		noun.ask.common = NULL;
		noun.ask.fields = NULL;
	}
	ask_each_option(&noun.ask, print_option, &indented);
	if (indented)
		fputs(".RE\n", stdout);
}

static void print_commands(const struct api_kind *kind)
{
	puts(".SH COMMANDS");
	for (const struct verb *verb = verbs; verb->name; verb++) {
		if (verb_is_of(verb, kind))
			print_command(kind, verb_name(verb, kind), verb->alias, verb->help);
	}
	for (const struct api_action *action = kind->actions; action && action->name; action++) {
		if (action_is_verb(kind, action))
			print_command(kind, action->name, NULL, action->help);
	}
}

static void print_options(const struct api_kind *kind)
{
	struct ask rows = { .common = api_common_fields, .fields = kind->spec, .kind = kind->name };
	struct ask all = { .switches = ASK_SERVER | ASK_WAIT };

	if (!kind->internal) {
		puts(".SH OPTIONS OF CREATE AND EDIT\n"
		     "Sizes take K, M, G and T.\n"
		     "What is a list may be given several times, also by its singular; an object of a list is\n"
		     "written as KEY=VALUE words with commas between, of which the first may be a value alone.\n"
		     "The name of an object that an option begins with may be left out where no other option\n"
		     "ends so. In brackets stands what is taken when nothing is said.\n"
		     ".PP\n"
		     ".B edit\n"
		     "replaces a list as a whole, empties it for an empty value, adds labels, and takes one away\n"
		     "for\n"
		     ".BR \"\\-\\-label KEY\\-\" .\n"
		     ".B edit\n"
		     "without any opens what can be changed in\n"
		     ".BR $VISUAL \" or \" $EDITOR .");
		ask_each_option(&rows, print_option, NULL);
	}
	puts(".SH OPTIONS OF ALL COMMANDS");
	ask_each_option(&all, print_option, NULL);
}

static void print_examples(const struct api_kind *kind)
{
	const char *before = ".SH EXAMPLES\n.nf\n";

	for (const struct noun_example *example = noun_examples; example->kind; example++) {
		if (example->kind != kind)
			continue;
		fputs(before, stdout);
		print_text(example->text);
		putchar('\n');
		before = "";
	}
	if (!*before)
		puts(".fi");
}

int main(int argc, char **argv)
{
	const struct api_kind *kind = argc > 1 ? api_kind_find(argv[1]) : NULL;

	if (!kind)
		return 1;
	printf(".\\\" SPDX-License-Identifier: GPL-2.0-or-later\n"
	       ".TH CELLA\\-");
	for (const char *c = kind->name; *c; c++)
		if (*c == '-')
			fputs("\\-", stdout);
		else
			putchar(*c & ~0x20);
	printf(" 1 2026-11-21 \"Cella\" \"User Commands\"\n.SH NAME\ncella\\-");
	print_text(kind->name);
	printf(" \\- ");
	print_text(kind->help);
	printf("\n.SH SYNOPSIS\n.B cella ");
	print_text(kind->name);
	puts("\n.I COMMAND\n.RI [ ARGUMENT ]...\n"
	     ".SH DESCRIPTION\n"
	     "Asks a server,\n.BR cellad (8);\nwhich one,\n.BR cella (1)\nsays.");
	print_commands(kind);
	print_options(kind);
	print_examples(kind);
	puts(".SH EXIT STATUS\n"
	     "0 done, 1 wrong use or something failed here, 3 the server refused, 4 there is no such\n"
	     "object, 5 not allowed, 6 the server cannot be reached, 7 the operation failed,\n"
	     "8 it was not done in time, and goes on.\n"
	     ".SH SEE ALSO\n.BR cella (1),\n.BR cella\\-apply (1),\n.BR cella\\-api (7)");
	return 0;
}
