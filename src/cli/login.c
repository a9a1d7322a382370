/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella login` and `cella logout`: who the command line is on the server of a context. A password makes a
 * token, which the context keeps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "cli/secret.h"

#define USER_MAX 256

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

/* `token` NULL: there is none any more. */
static int keep_token(const char *name, const char *token, struct err *err)
{
	struct settings settings;
	json_t *context;
	int rc = settings_load(&settings, err);

	if (!rc)
		rc = settings_context(&settings, name, &context, err);
	if (!rc) {
		if (token)
			json_object_set_new(context, "token", json_string(token));
		else
			json_object_del(context, "token");
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

/* Who signs in: asked for when nobody is named. */
static int find_user(const struct ask *ask, char user[USER_MAX], struct err *err)
{
	if (ask->user) {
		snprintf(user, USER_MAX, "%s", ask->user);
		return 0;
	}
	fputs("User: ", stderr);
	if (!fgets(user, USER_MAX, stdin))
		*user = '\0';
	user[strcspn(user, "\n")] = '\0';
	return *user ? 0 : err_set(err, EINVAL, "no user was given");
}

static int login(const struct ask *ask, struct err *err)
{
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *token = NULL;
	struct client client = { .ca_fd = -1 };
	char password[SECRET_LINE_MAX];
	char user[USER_MAX];
	int code = choose_context(ask, &name, err);

	if (!code)
		code = client_open(&client, name, err);
	/* Who signs in is who the password says, not whom an old token stands for. */
	free(take_ptr(&client.server.token));
	if (!code && (find_user(ask, user, err) || secret_read_line("Password: ", password, err)))
		code = EXIT_FAILED;
	if (!code)
		code = sign_in(&client, user, password, err);
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
	struct ask ask = { .switches = LOGIN_SWITCHES };

	if (ask_parse(&ask, "login", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		puts("Usage: cella login [--user NAME]\n"
		     "Sign in to the server of the current context with a password, and keep a token\n"
		     "for it. User and password are asked for; the input is read if it is no terminal.\n");
		ask_print_options(stdout, &ask);
		return EXIT_DONE;
	}
	if (ask_check_end(&ask, 0, err)) {
		err_hint(err, "cella login --user NAME");
		return EXIT_FAILED;
	}
	if (!ask.user && !isatty(STDIN_FILENO)) {
		err_set(err, EINVAL, "'login' needs --user NAME");
		return EXIT_FAILED;
	}
	return login(&ask, err);
}

/* The token that the context has, by its name on the server. */
static int delete_token(struct client *client, struct err *err)
{
	const struct call_options options = { .method = "DELETE" };
	struct answer answer = { 0 };
	struct str path = { 0 };
	json_t *session = NULL;
	const char *token;
	int code = client_get(client, "/v1/session", &session, err);

	token = json_string_value(json_object_get(session, "token"));
	if (!code && token) {
		str_add(&path, "/v1/tokens/");
		add_encoded(&path, token);
		code = client_call(client, path.text, &options, &answer, err);
	}
	json_decref(session);
	answer_fini(&answer);
	str_fini(&path);
	return code;
}

static int logout(const struct ask *ask, struct err *err)
{
	AUTO_FREE char *name = NULL;
	struct client client = { .ca_fd = -1 };
	struct err failed = ERR_INIT;
	int code = choose_context(ask, &name, err);

	if (!code)
		code = client_open(&client, name, err);
	if (!code && !client.server.token) {
		err_set(err, ENOENT, "nobody is signed in to '%s'", name);
		code = EXIT_FAILED;
	}
	if (!code) {
		code = delete_token(&client, &failed);
		/* One that ended is as good as one that was deleted. Here it is gone in any case. */
		if (code == EXIT_NOT_ALLOWED)
			code = EXIT_DONE;
		if (code)
			*err = failed;
		if (keep_token(name, NULL, code ? NULL : err))
			code = EXIT_FAILED;
	}
	client_close(&client);
	return code;
}

int logout_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = LOGOUT_SWITCHES };

	if (ask_parse(&ask, "logout", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		puts("Usage: cella logout\n"
		     "Forget the token of the current context, and have the server delete it.\n");
		ask_print_options(stdout, &ask);
		return EXIT_DONE;
	}
	return ask_check_end(&ask, 0, err) ? EXIT_FAILED : logout(&ask, err);
}
