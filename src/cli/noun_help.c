/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella KIND --help` and `cella KIND VERB --help`. */
#include <string.h>

#include "base/macros.h"
#include "cli/noun.h"
#include "cli/options.h"

#define VERB_COLUMN 15

/* Each is parsed by a test. */
const struct noun_example noun_examples[] = {
	{ &api_vm, "list", "cella ls --filter 'status.state=running,spec.memory>=1G' --wide" },
	{ &api_vm, "list", "cella rm $(cella ls -q -l tier=test)" },
	{ &api_vm, "create", "cella vm create db1 --image debian:12 --disk-size 20G --memory 4G" },
	{ &api_vm, "create", "cella vm create tiny --kernel /boot/vmlinuz --append console=ttyS0" },
	{ &api_vm, "create",
	  "cella vm create web1 --image debian:12 --net default,forwards=tcp:8080-80" },
	{ &api_vm, "edit", "cella vm edit db1 --memory 8G --label tier=db --autostart" },
	{ &api_vm, "attach", "cella vm attach db1 --disk data,readonly=on --net lab" },
	{ &api_vm, "detach", "cella vm detach db1 --disk data" },
	{ &api_vm, "stop", "cella stop web1 web2 --timeout 30" },
	{ &api_vm, "clone", "cella vm clone db1 db2 --linked --start" },
	{ &api_vm, "rename", "cella vm rename db1 db-old" },
	{ &api_vm, "limits", "cella vm limits db1 data --iops 500 --bps 50M" },
	{ &api_vm, "logs", "cella logs web1 --lines 20 --follow" },
	{ &api_vm, "logs", "cella logs web1 --source vmm --bytes 4K" },
	{ &api_image, "build", "cella image build debian:12" },
	{ &api_image, "create", "cella image add tools --url https://example.org/tools.qcow2" },
	{ &api_image, "upload", "cella image upload tools tools.qcow2" },
	{ &api_image, "upload", "cella image upload appliance disk.img --image-format raw" },
	{ &api_disk, "create", "cella disk create data --size 100G" },
	{ &api_disk, "clone", "cella disk clone data copy --linked" },
	{ &api_template, "instantiate",
	  "cella template instantiate small web2 --parameter memory=2G --start" },
	{ &api_network, "create",
	  "cella network create lab --subnet 10.20.0.0/24 --forward port=80,to=10.20.0.5" },
	{ &api_security_group, "create",
	  "cella security-group create web --rule direction=in,protocol=tcp,ports=80" },
	{ &api_project, "create", "cella project create shop --memory-max 64G --vms-max 20" },
	{ &api_user, "create",
	  "cella user create alice --password --grant role=operator,project=web" },
	{ &api_role, "create",
	  "cella role create pauser --rule kinds=vm,verbs=read,verbs=operate" },
	{ &api_token, "create", "cella token create ci --expires 30d --grant role=operator" },
	{ 0 },
};

static void print_sentence(const char *text)
{
	printf("%c%s.\n", *text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text, text + 1);
}

static void print_line(const char *verb, const char *help)
{
	printf("  %-12s ", verb);
	options_print_wrapped(stdout, help, VERB_COLUMN);
}

void noun_print_verb_lines(const struct api_kind *kind)
{
	for (const struct verb *verb = verbs; verb->name; verb++) {
		if (verb_is_of(verb, kind))
			print_line(verb_name(verb, kind), verb->help);
	}
	for (const struct api_action *action = kind->actions; action && action->name; action++) {
		if (action_is_verb(kind, action))
			print_line(action->name, action->help);
	}
}

void noun_print_verbs(const struct api_kind *kind)
{
	printf("Usage: cella %s COMMAND [ARGUMENT]...\n", kind->name);
	print_sentence(kind->help);
	putchar('\n');
	noun_print_verb_lines(kind);
	printf("\nHelp of a command: cella %s COMMAND --help\n", kind->name);
}

/* What holds for options by rows. */
static void print_rules(const struct noun *noun, const struct verb *verb)
{
	if (!verb->spec)
		return;
	puts("\nSIZE is bytes, or a number with K, M, G or T. An option of a list may be given\n"
	     "several times, also by its singular: --label a=b --label c=d.");
	if (noun->ask.keeps)
		puts("A list replaces the one that is there, '' empties it; labels are added, and\n"
		     "--label KEY- takes one away. Without options, $VISUAL or $EDITOR shows all that\n"
		     "can be changed.");
}

static void print_examples(const struct noun *noun, const char *verb)
{
	const char *before = "\nFor example:\n";

	for (const struct noun_example *example = noun_examples; example->kind; example++) {
		if (example->kind != noun->kind || strcmp(example->verb, verb))
			continue;
		printf("%s  %s\n", before, example->text);
		before = "";
	}
}

void noun_print_help(const struct noun *noun, const struct verb *verb)
{
	const char *arguments = noun_arguments(noun, verb);

	printf("Usage: cella %s%s%s [OPTION]...\n", noun->words, *arguments ? " " : "", arguments);
	print_sentence(noun->action ? noun->action->help : verb->help);
	putchar('\n');
	ask_print_options(stdout, &noun->ask);
	print_rules(noun, verb);
	print_examples(noun, noun->action ? noun->action->name : verb->name);
	fputs("\nExit status: 0 done, 1 wrong use or failed here, 3 refused, 4 not found,\n"
	      "5 not allowed, 6 no server, 7 the operation failed, 8 it goes on.\n",
	      stdout);
}
