/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella context`: servers that the command line knows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/suggest.h"
#include "cli/certificate.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "cli/options.h"
#include "host/fd.h"

#define PEM_MAX     (256u << 10)
#define HELP_COLUMN 26

static json_t *contexts_of(const struct settings *settings)
{
	return json_object_get(settings->root, "contexts");
}

/* ---- adding ---- */

static bool agrees(const char *fingerprint)
{
	char answer[16];

	if (!isatty(STDIN_FILENO))
		return false;
	fprintf(stderr,
		"The server is not known. The SHA-256 of its certificate is\n  %s\n"
		"Is that its own? (yes or no) ",
		fingerprint);
	return fgets(answer, sizeof(answer), stdin) &&
	       (!strcasecmp(answer, "yes\n") || !strcasecmp(answer, "y\n"));
}

/* "AB:CD…" and "abcd…" are the same. */
static bool is_same_fingerprint(const char *given, const char *seen)
{
	while (*given) {
		if (*given == ':') {
			given++;
			continue;
		}
		if ((*given | 0x20) != (*seen | 0x20))
			return false;
		given++;
		seen++;
	}
	return !*seen;
}

/* What the server's certificate is to be checked against. */
static int find_trust(const struct ask *ask, const char *address, char **ret_pem, struct err *err)
{
	char fingerprint[FINGERPRINT_SIZE];
	size_t count;
	int rc;

	if (ask->ca)
		return fd_read_file(ask->ca, PEM_MAX, (void **)ret_pem, &count, err);
	rc = certificate_fetch(address, ret_pem, fingerprint, err);
	if (rc)
		return rc;
	if (ask->fingerprint) {
		if (is_same_fingerprint(ask->fingerprint, fingerprint))
			return 0;
		rc = err_set(err, EPERM, "the server's certificate has another fingerprint: %s",
			     fingerprint);
	} else if (!(ask->given & ASK_YES) && !agrees(fingerprint)) {
		err_set(err, EPERM, "the server's certificate is not trusted: %s", fingerprint);
		rc = err_hint(err, "compare it, and give --fingerprint; or --ca FILE");
	}
	if (rc)
		free(take_ptr(ret_pem));
	return rc;
}

static int add(struct settings *settings, const struct ask *ask, struct err *err)
{
	const char *name = ask->words[0];
	const char *address = ask->words[1];
	AUTO_FREE char *pem = NULL;
	json_t *context;
	int rc = 0;

	if (*address != '/' && strncmp(address, "https://", 8)) {
		err_set(err, EINVAL, "'%s' is no address of a server", address);
		return err_hint(err, "https://HOST:PORT, or the path of a socket");
	}
	if (*address != '/')
		rc = find_trust(ask, address, &pem, err);
	if (rc)
		return rc;
	context = json_pack("{s:s, s:s*, s:s*}", "address", address, "certificates", pem, "project",
			    ask->project);
	json_object_set_new(contexts_of(settings), name, context);
	if (!json_object_get(settings->root, "current"))
		json_object_set_new(settings->root, "current", json_string(name));
	return settings_save(settings, err);
}

static int use(struct settings *settings, const struct ask *ask, struct err *err)
{
	json_t *context;
	int rc = settings_context(settings, ask->words[0], &context, err);

	if (rc)
		return rc;
	json_object_set_new(settings->root, "current", json_string(ask->words[0]));
	return settings_save(settings, err);
}

static int remove_one(struct settings *settings, const struct ask *ask, struct err *err)
{
	const char *current = json_string_value(json_object_get(settings->root, "current"));
	json_t *context;
	int rc = settings_context(settings, ask->words[0], &context, err);

	if (rc)
		return rc;
	if (current && !strcmp(current, ask->words[0]))
		json_object_del(settings->root, "current");
	json_object_del(contexts_of(settings), ask->words[0]);
	return settings_save(settings, err);
}

static int list(struct settings *settings, const struct ask *ask, struct err *err)
{
	static const struct api_column columns[] = { { "ADDRESS", "address" },
						     { "PROJECT", "project" },
						     { "SIGNED IN", "token", API_YESNO },
						     { "CURRENT", "current", API_YESNO },
						     { 0 } };
	static const struct api_kind kind = { .plural = "contexts", .columns = columns };
	const char *current = json_string_value(json_object_get(settings->root, "current"));
	struct output_list output = { .kind = &kind };
	json_t *rows = json_array();
	const char *name;
	json_t *context;
	int rc = output_format_parse(ask->format, &output.format, err);

	json_object_foreach(contexts_of(settings), name, context)
	{
		json_array_append_new(rows,
				      json_pack("{s:s, s:O, s:O*, s:b, s:b}", "name", name,
						"address", json_object_get(context, "address"),
						"project", json_object_get(context, "project"),
						"token", json_object_get(context, "token") != NULL,
						"current", current && !strcmp(current, name)));
	}
	if (!rc)
		output_objects(&output, rows);
	json_decref(rows);
	return rc;
}

static const struct {
	const char *name, *alias, *arguments;
	unsigned words;
	const char *help;
	unsigned switches;
	int (*run)(struct settings *settings, const struct ask *ask, struct err *err);
} commands[] = {
	{ "add", "create", "NAME ADDRESS", 2,
	  "know a server, https://HOST:PORT or the path of a socket",
	  ASK_CA | ASK_FINGERPRINT | ASK_YES | ASK_PROJECT, add },
	{ "use", NULL, "NAME", 1, "make it the current one", 0, use },
	{ "list", "ls", "", 0, "list all", ASK_FORMAT, list },
	{ "remove", "rm", "NAME", 1, "forget it", 0, remove_one },
};

static int find_command(const char *name, struct err *err)
{
	struct suggestion suggestion = suggestion_for(name);

	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(name, commands[i].name) ||
		    (commands[i].alias && !strcmp(name, commands[i].alias)))
			return (int)i;
		suggestion_offer(&suggestion, commands[i].name);
	}
	err_set(err, EINVAL, "unknown command 'context %.64s'", name);
	if (suggestion.best)
		return err_hint(err, "did you mean '%s'?", suggestion.best);
	return err_hint(err, "see 'cella context --help'");
}

static void print_contexts_help(void)
{
	puts("Usage: cella context COMMAND [ARGUMENT]...\n"
	     "Servers that the command line knows. CELLA_CONTEXT or --context names another\n"
	     "than the current one, CELLA_SOCKET a socket.\n");
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		printf("  %-8s %-14s ", commands[i].name, commands[i].arguments);
		options_print_wrapped(stdout, commands[i].help, HELP_COLUMN);
	}
}

int context_command(int argc, char **argv, struct err *err)
{
	struct settings settings;
	struct ask ask = { 0 };
	char words[64];
	int command;
	int rc;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_contexts_help();
		return EXIT_DONE;
	}
	command = find_command(argv[1], err);
	if (command < 0)
		return EXIT_FAILED;
	snprintf(words, sizeof(words), "context %s", commands[command].name);
	ask.switches = ASK_HELP | commands[command].switches;
	if (ask_parse(&ask, words, argc - 2, argv + 2, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		printf("Usage: cella %s %s\n%s.\n\n", words, commands[command].arguments,
		       commands[command].help);
		ask_print_options(stdout, &ask);
		return EXIT_DONE;
	}
	if (ask.word_count != commands[command].words) {
		err_set(err, EINVAL, "'%s' needs %s", words,
			*commands[command].arguments ? commands[command].arguments
						     : "no arguments");
		return EXIT_FAILED;
	}
	rc = settings_load(&settings, err);
	if (!rc)
		rc = commands[command].run(&settings, &ask, err);
	settings_fini(&settings);
	return rc ? EXIT_FAILED : EXIT_DONE;
}
