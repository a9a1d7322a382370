/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella context` and `cella login`: servers that the command line knows, and who it is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/suggest.h"
#include "cli/certificate.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "cli/secret.h"
#include "host/fd.h"

#define PEM_MAX (256u << 10)

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
	const char *name, *arguments;
	unsigned words;
	const char *help;
	unsigned switches;
	int (*run)(struct settings *settings, const struct ask *ask, struct err *err);
} commands[] = {
	{ "add", "NAME ADDRESS", 2, "know a server, https://HOST:PORT or the path of a socket",
	  ASK_CA | ASK_FINGERPRINT | ASK_YES | ASK_PROJECT, add },
	{ "use", "NAME", 1, "make it the current one", 0, use },
	{ "list", "", 0, "show all", ASK_FORMAT, list },
	{ "remove", "NAME", 1, "forget it", 0, remove_one },
};

static int find_command(const char *name, struct err *err)
{
	struct suggestion suggestion = suggestion_for(name);

	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(name, commands[i].name))
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
	     "Servers that the command line knows. CELLA_CONTEXT or --context names another than the\n"
	     "current one, CELLA_SOCKET a socket.\n");
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-8s %-14s %s\n", commands[i].name, commands[i].arguments,
		       commands[i].help);
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

/* ---- login ---- */

static int sign_in(struct client *client, const char *user, const char *password, struct err *err)
{
	json_t *body = json_pack("{s:s, s:s}", "user", user, "password", password);
	const struct call_options options = { .method = "POST", .body = body };
	struct answer answer;
	int code = client_call(client, "/v1/session", &options, &answer, err);

	answer_fini(&answer);
	json_decref(body);
	return code;
}

/* A token that stays when the session ends. */
static int make_token(struct client *client, char **ret_token, struct err *err)
{
	struct utsname host;
	char name[API_NAME_MAX + 1];
	struct call_options options = { .method = "POST" };
	const char *secret;
	json_t *body;
	struct answer answer;
	int code;

	uname(&host);
	snprintf(name, sizeof(name), "cli-%.30s-%llx", host.nodename,
		 (unsigned long long)time(NULL));
	for (char *c = name; *c; c++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", *c | 0x20))
			*c = '-';
		else if (*c >= 'A' && *c <= 'Z')
			*c |= 0x20;
	}
	body = json_pack("{s:s, s:s, s:{}}", "name", name, "notes", "made by 'cella login'",
			 "spec");
	options.body = body;
	code = client_call(client, "/v1/tokens", &options, &answer, err);
	secret = json_string_value(json_object_get(answer.json, "secret"));
	if (!code && !secret) {
		err_set(err, EPROTO, "the server gives no token");
		code = EXIT_REFUSED;
	}
	if (!code)
		*ret_token = strdup(secret);
	answer_fini(&answer);
	json_decref(body);
	return code;
}

static void sign_out(struct client *client)
{
	const struct call_options options = { .method = "DELETE" };
	struct err ignored = ERR_INIT;
	struct answer answer;

	client_call(client, "/v1/session", &options, &answer, &ignored);
	answer_fini(&answer);
}

static int keep_token(const char *name, const char *token, struct err *err)
{
	struct settings settings;
	json_t *context;
	int rc = settings_load(&settings, err);

	if (!rc)
		rc = settings_context(&settings, name, &context, err);
	if (!rc) {
		json_object_set_new(context, "token", json_string(token));
		rc = settings_save(&settings, err);
	}
	settings_fini(&settings);
	return rc ? EXIT_FAILED : EXIT_DONE;
}

/* The context that is signed in to: a token needs a place to be kept. */
static int choose_context(const struct ask *ask, char **ret_name, struct err *err)
{
	const char *name = ask->context ? ask->context : getenv("CELLA_CONTEXT");
	struct settings settings;
	json_t *context;
	int rc = settings_load(&settings, err);

	if (!rc && !name)
		name = json_string_value(json_object_get(settings.root, "current"));
	if (!rc && !name) {
		err_set(err, ENOENT, "there is no context to sign in to");
		rc = err_hint(err, "add the server: cella context add NAME https://HOST:PORT");
	}
	if (!rc)
		rc = settings_context(&settings, name, &context, err);
	if (!rc)
		*ret_name = strdup(name);
	settings_fini(&settings);
	return rc ? EXIT_FAILED : EXIT_DONE;
}

static int login(const struct ask *ask, struct err *err)
{
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *token = NULL;
	struct client client = { .ca_fd = -1 };
	char password[SECRET_LINE_MAX];
	int code = choose_context(ask, &name, err);

	if (!code)
		code = client_open(&client, name, err);
	/* Who signs in is who the password says, not whom an old token stands for. */
	free(take_ptr(&client.server.token));
	if (!code && secret_read_line("Password: ", password, err))
		code = EXIT_FAILED;
	if (!code)
		code = sign_in(&client, ask->user, password, err);
	explicit_bzero(password, sizeof(password));
	if (!code) {
		code = make_token(&client, &token, err);
		sign_out(&client);
	}
	client_close(&client);
	return code ? code : keep_token(name, token, err);
}

int login_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = ASK_HELP | ASK_CONTEXT | ASK_USER };

	if (ask_parse(&ask, "login", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		puts("Usage: cella login --user NAME\n"
		     "Sign in to the server of the current context with a password, and keep a token for\n"
		     "it. The password is asked for, or read from the input.\n");
		ask_print_options(stdout, &ask);
		return EXIT_DONE;
	}
	if (!ask.user || ask.word_count) {
		err_set(err, EINVAL, "'login' needs --user NAME");
		return EXIT_FAILED;
	}
	return login(&ask, err);
}
