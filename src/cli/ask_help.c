/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What help, reference pages and completion tell of options. */
#include <string.h>

#include "base/str.h"
#include "cli/ask_priv.h"
#include "cli/options.h"

/* "auto|kvm|soft", "SIZE", "NETWORK[,KEY=VALUE]..."; nothing for a flag. */
static void add_argument(struct str *text, const struct schema_field *row)
{
	switch (row->type) {
	case SCHEMA_INTEGER:
		str_add(text, "NUMBER");
		break;
	case SCHEMA_SIZE:
		str_add(text, "SIZE");
		break;
	case SCHEMA_BOOLEAN:
		str_add(text, "on|off");
		break;
	case SCHEMA_OBJECT:
		for (const char *c = row->fields->name; *c; c++)
			str_printf(text, "%c", *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
		str_add(text, "[,KEY=VALUE]...");
		break;
	case SCHEMA_MAP:
		str_add(text, "KEY=VALUE");
		break;
	case SCHEMA_ANY:
		str_add(text, "JSON");
		break;
	default:
		for (const char *const *choice = row->choices; choice && *choice; choice++)
			str_printf(text, "%s%s", choice == row->choices ? "" : "|", *choice);
		if (!row->choices)
			str_add(text, row->ref ? "NAME" : "TEXT");
	}
}

/* "(512M)", if there is a preset that says something; what 0 is for is said by the help. */
static void add_preset(struct str *text, const struct schema_field *row)
{
	json_t *preset = row->preset ? json_loads(row->preset, JSON_DECODE_ANY, NULL) : NULL;

	if (row->type == SCHEMA_SIZE && json_integer_value(preset)) {
		str_add(text, " (");
		str_add_size(text, (uint64_t)json_integer_value(preset));
		str_add(text, ")");
	} else if (json_is_integer(preset) &&
		   (json_integer_value(preset) || !strstr(row->help, "0: "))) {
		str_printf(text, " (%lld)", (long long)json_integer_value(preset));
	} else if (json_is_true(preset)) {
		str_add(text, " (on)");
	} else if (json_is_string(preset) && json_string_length(preset)) {
		str_printf(text, " (%s)", json_string_value(preset));
	}
	json_decref(preset);
}

struct caller {
	const struct ask *ask;
	void (*f)(void *ctx, const char *option, const char *help, bool key);
	void *ctx;
};

static void call(const struct caller *caller, struct str *entry, struct str *help, bool key)
{
	caller->f(caller->ctx, entry->text ? entry->text : "", help->text ? help->text : "", key);
	str_fini(entry);
	str_fini(help);
}

static void call_for_key(const struct caller *caller, const struct schema_field *key)
{
	struct str entry = { 0 };
	struct str help = { 0 };

	str_printf(&entry, "%s=", key->name);
	add_argument(&entry, key);
	str_add(&help, key->help);
	add_preset(&help, key);
	call(caller, &entry, &help, true);
}

static void call_for_secret(const struct caller *caller, const char *option,
			    const struct schema_field *row)
{
	struct str entry = { 0 };
	struct str help = { 0 };

	str_printf(&entry, "--%s", option);
	str_printf(&help, "%s; asked for, or read from the input", row->help);
	call(caller, &entry, &help, false);
	str_printf(&entry, "--%s-file FILE", option);
	str_add(&help, "the same, read from the first line of a file");
	call(caller, &entry, &help, false);
}

static bool call_for_row(void *ctx, const char *option, const struct schema_field *row)
{
	const struct caller *caller = ctx;
	struct str entry = { 0 };
	struct str help = { 0 };

	if (ask_is_secret(row)) {
		call_for_secret(caller, option, row);
		return false;
	}
	str_printf(&entry, "--%s", option);
	if (row->type == SCHEMA_BOOLEAN && !row->list) {
		if (caller->ask->keeps || (row->preset && !strcmp(row->preset, "true")))
			str_add(&entry, "[=off]");
	} else {
		str_add(&entry, " ");
		add_argument(&entry, row);
	}
	str_add(&help, row->help);
	if (!caller->ask->keeps)
		add_preset(&help, row);
	call(caller, &entry, &help, false);
	for (const struct schema_field *key = row->type == SCHEMA_OBJECT ? row->fields : NULL;
	     key && key->name; key++)
		call_for_key(caller, key);
	return false;
}

void ask_each_option(const struct ask *ask,
		     void (*f)(void *ctx, const char *option, const char *help, bool key),
		     void *ctx)
{
	struct caller caller = { .ask = ask, .f = f, .ctx = ctx };

	ask_walk(ask, call_for_row, &caller);
	for (const struct ask_known *row = ask_known; row->name; row++) {
		char entry[ASK_OPTION_BYTES];
		char letter[8] = "";

		if (!(ask->switches & row->bit))
			continue;
		if (row->letter)
			snprintf(letter, sizeof(letter), "-%c, ", row->letter);
		snprintf(entry, sizeof(entry), "%s--%s%s%s", letter, row->name,
			 row->argument ? " " : "", row->argument ? row->argument : "");
		f(ctx, entry, row->help, false);
	}
}

static void print_option(void *ctx, const char *option, const char *help, bool key)
{
	char indented[2 * ASK_OPTION_BYTES];

	snprintf(indented, sizeof(indented), "%s%s", key ? "    " : "", option);
	options_print_entry(ctx, indented, help);
}

void ask_print_options(FILE *out, const struct ask *ask)
{
	ask_each_option(ask, print_option, out);
}

static bool print_name(void *ctx, const char *option, const struct schema_field *row)
{
	fprintf(ctx, "--%s\n", option);
	if (ask_is_secret(row))
		fprintf(ctx, "--%s-file\n", option);
	return false;
}

void ask_print_names(FILE *out, const struct ask *ask)
{
	ask_walk(ask, print_name, out);
	for (const struct ask_known *row = ask_known; row->name; row++) {
		if (ask->switches & row->bit)
			fprintf(out, "--%s\n", row->name);
	}
}
