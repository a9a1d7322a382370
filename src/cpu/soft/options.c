/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may stand behind `--engine soft,`. */
#include "cpu/soft/options_priv.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "base/str.h"
#include "cpu/soft/jit/jit_priv.h"

#define WORD_MAX 64

static int parse_cache(const char *value, struct soft_options *options, struct err *err)
{
	if (parse_size(value, &options->cache) || options->cache < JIT_CODE_BYTES_MIN ||
	    options->cache > SOFT_CACHE_MAX)
		return err_set(err, EINVAL, "engine 'soft' has no cache of '%s': it takes 1M to 1G",
			       value);
	return 0;
}

static int parse_jit(const char *value, struct soft_options *options, struct err *err)
{
	static const struct {
		const char *name;
		bool jit, verify;
	} modes[] = { { "off", false, false }, { "tlb", true, false }, { "verify", true, true } };

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!strcmp(value, modes[i].name)) {
			options->jit = modes[i].jit;
			options->verify = modes[i].verify;
			return 0;
		}
	}
	err_set(err, EINVAL, "engine 'soft' has no jit '%s'", value);
	return err_hint(err, "there are 'off', 'tlb' and 'verify'");
}

static int parse_count(const char *name, const char *value, unsigned least, uint16_t *ret_count,
		       struct err *err)
{
	uint64_t count;

	if (parse_u64(value, least, UINT16_MAX, &count))
		return err_set(err, EINVAL,
			       "engine 'soft' has no %s '%s': it is a number from %u to 65535",
			       name, value, least);
	*ret_count = (uint16_t)count;
	return 0;
}

static int parse_perf(const char *value, struct soft_options *options, struct err *err)
{
	options->perf = !strcmp(value, "on");
	if (options->perf || !strcmp(value, "off"))
		return 0;
	return err_set(err, EINVAL, "engine 'soft' has no perf '%s': it is on or off", value);
}

static int parse_word(char *word, struct soft_options *options, struct err *err)
{
	char *value = strchr(word, '=');

	if (value) {
		*value++ = '\0';
		if (!strcmp(word, "jit"))
			return parse_jit(value, options, err);
		if (!strcmp(word, "cache"))
			return parse_cache(value, options, err);
		if (!strcmp(word, "heat"))
			return parse_count(word, value, 1, &options->heat, err);
		if (!strcmp(word, "trace"))
			return parse_count(word, value, 0, &options->trace, err);
		if (!strcmp(word, "perf"))
			return parse_perf(value, options, err);
	}
	err_set(err, EINVAL, "engine 'soft' has no option '%s'", word);
	return err_hint(err,
			"there are 'jit=off|tlb|verify', 'cache=SIZE', 'heat=COUNT', 'trace=COUNT' "
			"and 'perf=on'");
}

int soft_options_parse(struct soft_options *options, const char *text, struct err *err)
{
	int rc = 0;

	*options = (struct soft_options){ .jit = true,
					  .cache = SOFT_CACHE_DEFAULT,
					  .heat = SOFT_HEAT_DEFAULT,
					  .trace = SOFT_TRACE_DEFAULT };
	while (!rc && text && *text) {
		char word[WORD_MAX];
		size_t length = strcspn(text, ","), kept = MIN(length, sizeof(word) - 1);

		memcpy(word, text, kept);
		word[kept] = '\0';
		rc = parse_word(word, options, err);
		text += length + (text[length] == ',');
	}
	return rc;
}
