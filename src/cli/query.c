/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella query`: a request as it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "cli/command.h"
#include "cli/noun.h"

static void print_answer(enum output_format format, const struct answer *answer)
{
	if (!answer->text.length)
		return;
	if (answer->json)
		output_one(format == OUTPUT_TABLE ? OUTPUT_JSON : format, answer->json);
	else
		output_bytes(NULL, answer->text.text, answer->text.length);
}

static int ask_server(const struct ask *ask, const char *body, enum output_format format,
		      struct err *err)
{
	bool streams = ask->given & ASK_FOLLOW;
	const struct call_options options = { .method = ask->words[0],
					      .text = body,
					      .received = streams ? output_bytes : NULL };
	struct client client;
	struct answer answer = { 0 };
	int code = client_open(&client, ask->context, err);

	if (!code) {
		code = client_call(&client, ask->words[1], &options, &answer, err);
		/* What the server says of its refusal is an answer, too. */
		print_answer(format, &answer);
	}
	answer_fini(&answer);
	client_close(&client);
	return code;
}

int query_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = QUERY_SWITCHES };
	enum output_format format;
	AUTO_FREE char *input = NULL;
	const char *body;
	size_t size = 0;

	if (ask_parse(&ask, "query", argc - 1, argv + 1, err) ||
	    output_format_parse(ask.format, &format, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		puts("Usage: cella query METHOD PATH [BODY]\n"
		     "Send a request to the server, and print the answer. BODY is JSON; '-': the\n"
		     "input, as for what has secrets in it.\n");
		ask_print_options(stdout, &ask);
		puts("\nFor example: cella query GET /v1/projects/default/vms");
		return EXIT_DONE;
	}
	if (ask_check_end(&ask, 3, err))
		return EXIT_FAILED;
	if (ask.word_count < 2 || *ask.words[1] != '/') {
		err_set(err, EINVAL, "'query' needs METHOD PATH [BODY]");
		err_hint(err, "for example: cella query GET /v1/projects/default/vms");
		return EXIT_FAILED;
	}
	body = ask.word_count > 2 ? ask.words[2] : NULL;
	if (body && !strcmp(body, "-")) {
		if (getdelim(&input, &size, '\0', stdin) < 0) {
			err_set(err, EINVAL, "there is nothing in the input");
			return EXIT_FAILED;
		}
		body = input;
	}
	return ask_server(&ask, body, format, err);
}
