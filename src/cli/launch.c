/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella run -d IMAGE`: a machine of the server, made and started in one step. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "cli/secret.h"

bool launch_is_meant(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-d") || !strcmp(argv[i], "--detach"))
			return true;
	}
	return false;
}

/* A name that nobody gave: the image's, and chance. */
static void make_name(const char *image, char *name, size_t size)
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	const char *base = strrchr(image, '/') ? strrchr(image, '/') + 1 : image;
	unsigned char random[4] = { 0 };

	(void)!getrandom(random, sizeof(random), 0);
	snprintf(name, size, "%.50s-%c%c%c%c", base, letters[random[0] % 32],
		 letters[random[1] % 32], letters[random[2] % 32], letters[random[3] % 32]);
	for (char *c = name; *c; c++)
		*c = *c == ':' ? '-' : *c;
}

static void complete(struct noun *noun, const char *name)
{
	json_t *object = noun->ask.object;
	json_t *spec = json_object_get(object, "spec");

	if (!spec) {
		spec = json_object();
		json_object_set_new(object, "spec", spec);
	}
	json_object_set_new(object, "name", json_string(name));
	json_object_set_new(spec, "running", json_true());
	if (noun->ask.word_count)
		json_object_set_new(spec, "image", json_string(noun->ask.words[0]));
}

/* A project without a network 'default' of its own uses that of the first project. */
static void add_network(struct noun *noun)
{
	json_t *spec = json_object_get(noun->ask.object, "spec");
	AUTO_FREE char *path = NULL;
	struct err missing = ERR_INIT;
	const char *network = "default";
	json_t *found = NULL;

	if (json_object_get(spec, "nets"))
		return;
	noun->kind = &api_network;
	path = noun_path(noun, "default", NULL);
	noun->kind = &api_vm;
	if (path && client_get(&noun->client, path, &found, &missing) == EXIT_NOT_FOUND)
		network = API_DEFAULT_PROJECT "/default";
	json_decref(found);
	json_object_set_new(spec, "nets", json_pack("[{s:s}]", "network", network));
}

static int run(struct noun *noun, struct err *err)
{
	const char *image = noun->ask.word_count ? noun->ask.words[0] : "vm";
	char name[API_NAME_MAX + 1];
	int code;

	make_name(image, name, sizeof(name));
	if (noun->ask.name)
		snprintf(name, sizeof(name), "%s", noun->ask.name);
	complete(noun, name);
	code = client_open(&noun->client, noun->ask.context, err);
	if (!code) {
		add_network(noun);
		code = noun_create(noun, noun->ask.object, err);
	}
	client_close(&noun->client);
	if (!code && noun->format == OUTPUT_TABLE)
		puts(name);
	return code;
}

static void print_help(const struct noun *noun)
{
	puts("Usage: cella run -d [OPTION]... [IMAGE]\n"
	     "Create a machine from an image of the server, or from --kernel and --disk, start\n"
	     "it, and print its name. It is on the network 'default' unless --net says\n"
	     "otherwise.\n");
	ask_print_options(stdout, &noun->ask);
	puts("\nFor example:\n"
	     "  cella run -d --name web1 debian:12\n"
	     "  cella run -d --memory 2G --cpus 2 --net default,forwards=tcp:2222-22 debian:12\n"
	     "  cella run -d --kernel vmlinuz --initrd initrd.img --append console=ttyS0");
}

struct noun launch_noun(void)
{
	return (struct noun){
		.kind = &api_vm,
		.words = "run",
		.ask = { .switches = ASK_SERVER | ASK_WAIT | ASK_NAME | ASK_DETACH,
			 .common = api_common_fields,
			 .fields = api_vm.spec,
			 .inner = "spec",
			 .kind = "vm" },
	};
}

int launch_command(int argc, char **argv, struct err *err)
{
	struct noun noun = launch_noun();
	int code = EXIT_DONE;

	noun.ask.object = json_object();
	if (ask_parse(&noun.ask, "run -d", argc - 1, argv + 1, err) ||
	    output_format_parse(noun.ask.format, &noun.format, err)) {
		code = EXIT_FAILED;
	} else if (noun.ask.given & ASK_HELP) {
		print_help(&noun);
	} else if (noun.ask.word_count > 1) {
		noun_unexpected(&noun, 1, err);
		code = EXIT_FAILED;
	} else if (secrets_take(&noun.ask, err)) {
		code = EXIT_FAILED;
	} else {
		code = run(&noun, err);
	}
	json_decref(noun.ask.object);
	return code;
}
