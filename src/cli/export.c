/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `export`: objects as documents, which `apply` takes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "cli/units.h"
#include "cli/yaml.h"

static int export_kind(struct client *client, const struct ask *ask, const char *kind, FILE *out,
		       struct err *err)
{
	struct str url = { 0 };
	json_t *answer;
	size_t i;
	json_t *document;
	int code;

	str_add(&url, "/v1/export?project=");
	if (!(ask->given & ASK_ALL))
		add_encoded(&url, ask->project ? ask->project : client->server.project);
	if (kind)
		str_printf(&url, "&kind=%s", kind);
	if (ask->labels) {
		str_add(&url, "&labels=");
		add_encoded(&url, ask->labels);
	}
	code = client_get(client, url.text, &answer, err);
	str_fini(&url);
	if (code)
		return code;
	json_array_foreach(json_object_get(answer, "documents"), i, document)
	{
		const char *name = json_string_value(json_object_get(document, "kind"));
		const struct api_kind *of = name ? api_kind_find(name) : NULL;
		json_t *shown = of ? units_copy(of, document) : json_incref(document);

		fputs("---\n", out);
		yaml_print(out, shown);
		json_decref(shown);
	}
	json_decref(answer);
	return EXIT_DONE;
}

static int export_words(struct client *client, const struct ask *ask, FILE *out, struct err *err)
{
	int code = EXIT_DONE;

	for (unsigned i = 0; !code && i < ask->word_count; i++) {
		const struct api_kind *kind = api_kind_find(ask->words[i]);

		if (!kind) {
			err_set(err, EINVAL, "'%s' is no kind of object", ask->words[i]);
			err_hint(err, "see 'cella --help'");
			return EXIT_FAILED;
		}
		code = export_kind(client, ask, kind->name, out, err);
	}
	return ask->word_count ? code : export_kind(client, ask, NULL, out, err);
}

/* `file` NULL or "-": the output. What a file had stays until all that replaces it is there. */
static int write_text(const char *file, const char *text, size_t size, struct err *err)
{
	FILE *out = file && strcmp(file, "-") ? fopen(file, "we") : stdout;
	bool fine = out && fwrite(text, 1, size, out) == size;

	if (out && out != stdout && fclose(out))
		fine = false;
	/* What went wrong with the output is told in the end of every command. */
	if (fine || out == stdout)
		return EXIT_DONE;
	err_errno(err, errno, "cannot write '%s'", file);
	return EXIT_FAILED;
}

static int export_all(const struct ask *ask, struct err *err)
{
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct client client;
	int code;

	if (!out) {
		err_errno(err, errno, "cannot hold what is exported");
		return EXIT_FAILED;
	}
	code = client_open(&client, ask->context, err);
	if (!code)
		code = export_words(&client, ask, out, err);
	client_close(&client);
	if (fclose(out) && !code) {
		err_errno(err, ENOMEM, "cannot hold what is exported");
		code = EXIT_FAILED;
	}
	return code ? code : write_text(ask->file_count ? ask->files[0] : NULL, text, size, err);
}

int export_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = EXPORT_SWITCHES };

	if (ask_parse(&ask, "export", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		puts("Usage: cella export [-f FILE] [KIND]...\n"
		     "Write objects as documents that 'apply' takes, of these kinds or of all; of the\n"
		     "project, or of the whole server (-A). Secrets are not in them.\n");
		ask_print_options(stdout, &ask);
		return EXIT_DONE;
	}
	if (ask.file_count > 1) {
		err_set(err, EINVAL, "'export' writes one file");
		return EXIT_FAILED;
	}
	return export_all(&ask, err);
}
