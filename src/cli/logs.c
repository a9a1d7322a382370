/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vm logs`: what a machine's console or its process wrote. */
#include "base/cleanup.h"
#include "cli/noun.h"

int noun_logs(struct noun *noun, struct err *err)
{
	AUTO_FREE char *path = noun_path(noun, noun->ask.words[0], err);
	const struct call_options options = { .method = "GET", .received = output_bytes };
	const char *source = json_string_value(json_object_get(noun->ask.object, "source"));
	const json_t *bytes = json_object_get(noun->ask.object, "bytes");
	struct str url = { 0 };
	struct answer answer;
	int code;

	if (!path)
		return EXIT_FAILED;
	str_printf(&url, "%s/log?source=%s", path, source ? source : "console");
	if (bytes)
		str_printf(&url, "&bytes=%lld", (long long)json_integer_value(bytes));
	if (noun->ask.given & ASK_FOLLOW)
		str_add(&url, "&follow=true");
	code = client_call(&noun->client, url.text, &options, &answer, err);
	answer_fini(&answer);
	str_fini(&url);
	return code;
}
