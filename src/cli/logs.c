/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vm logs`: what a machine's console or its process wrote. */
#include "base/cleanup.h"
#include "base/macros.h"
#include "cli/noun.h"

int noun_logs(struct noun *noun, struct err *err)
{
	AUTO_FREE char *path = noun_path(noun, noun->ask.words[0], err);
	const struct call_options options = { .method = "GET", .received = output_bytes };
	const char *source = json_string_value(json_object_get(noun->ask.object, "source"));
	static const char *const extents[] = { "bytes", "lines" };
	struct str url = { 0 };
	struct answer answer;
	int code;

	if (!path)
		return EXIT_FAILED;
	str_printf(&url, "%s/log?source=%s", path, source ? source : "console");
	for (unsigned i = 0; i < ARRAY_SIZE(extents); i++) {
		const json_t *extent = json_object_get(noun->ask.object, extents[i]);

		if (extent)
			str_printf(&url, "&%s=%lld", extents[i],
				   (long long)json_integer_value(extent));
	}
	if (noun->ask.given & ASK_FOLLOW)
		str_add(&url, "&follow=true");
	code = client_call(&noun->client, url.text, &options, &answer, err);
	answer_fini(&answer);
	str_fini(&url);
	return code;
}
