/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference of the API as a man page, cella-api(7), from the tables of kinds: what is in it is
 * what the server takes.
 *
 *	api_reference > cella-api.7
 */
#include <stdio.h>
#include <string.h>

#include "api/kind.h"
#include "api/problem.h"
#include "base/str.h"
#include "roff.h"

static void print_number(const struct schema_field *field, uint64_t number)
{
	static const char units[] = "KMGTP";
	int unit = -1;

	while (field->type == SCHEMA_SIZE && number && !(number & 1023) && unit < 4) {
		number >>= 10;
		unit++;
	}
	printf("%llu", (unsigned long long)number);
	if (unit >= 0)
		printf(" %ciB", units[unit]);
}

static void print_preset(const struct schema_field *field)
{
	uint64_t number;

	fputs(" Default: ", stdout);
	if (field->type == SCHEMA_SIZE && !parse_u64(field->preset, 0, UINT64_MAX, &number))
		print_number(field, number);
	else
		print_text(field->preset);
	putchar('.');
}

static void print_type(const struct schema_field *field)
{
	static const char *const names[] = {
		[SCHEMA_STRING] = "string", [SCHEMA_INTEGER] = "integer",
		[SCHEMA_SIZE] = "bytes",    [SCHEMA_BOOLEAN] = "boolean",
		[SCHEMA_OBJECT] = "object", [SCHEMA_MAP] = "map of strings",
		[SCHEMA_ANY] = "object",
	};

	printf("%s%s", field->list ? "list of " : "", field->choices ? "" : names[field->type]);
	for (unsigned i = 0; field->choices && field->choices[i]; i++) {
		fputs(i ? ", " : "", stdout);
		print_text(field->choices[i]);
	}
}

/* What else there is to know of a row: one sentence each. */
static void print_facts(const struct schema_field *field)
{
	if (field->required)
		fputs(" Required.", stdout);
	if (field->preset && strcmp(field->preset, "{}") && strcmp(field->preset, "[]"))
		print_preset(field);
	if (field->max && (field->type == SCHEMA_INTEGER || field->type == SCHEMA_SIZE)) {
		putchar(' ');
		print_number(field, field->min);
		fputs(" to ", stdout);
		print_number(field, field->max);
		putchar('.');
	}
	if (field->ref)
		printf(" Names %s %s.", strchr("aeio", field->ref[0]) ? "an" : "a", field->ref);
	if (field->flags & SCHEMA_FIXED)
		fputs(" Cannot be changed later.", stdout);
	if (field->flags & SCHEMA_LIVE)
		fputs(" A running machine takes changes.", stdout);
	if (field->flags & SCHEMA_SECRET)
		fputs(" Never shown.", stdout);
}

static void print_rows(const struct schema_field *fields, const char *prefix)
{
	for (const struct schema_field *field = fields; field && field->name; field++) {
		char path[256];

		snprintf(path, sizeof(path), "%s%s", prefix, field->name);
		fputs(".TP\n.BR ", stdout);
		print_text(path);
		fputs(" \" (", stdout);
		print_type(field);
		fputs(")\"\n", stdout);
		print_sentence(field->help ? field->help : "");
		putchar('.');
		print_facts(field);
		putchar('\n');
		if (field->type == SCHEMA_OBJECT) {
			snprintf(path, sizeof(path), "%s%s%s.", prefix, field->name,
				 field->list ? "[]" : "");
			print_rows(field->fields, path);
		}
	}
}

static void print_actions(const struct api_kind *kind)
{
	if (kind->actions)
		puts(".SS Actions");
	for (const struct api_action *action = kind->actions; action && action->name; action++) {
		fputs(".TP\n.B ", stdout);
		print_text(action->name);
		putchar('\n');
		print_sentence(action->help);
		printf(". Needs the right to %s.%s\n", api_verb_names[action->verb],
		       action->operation ? " An operation." : "");
		if (action->params) {
			puts(".RS");
			print_rows(action->params, "");
			puts(".RE");
		}
	}
}

static void print_kind(const struct api_kind *kind)
{
	fputs(".SH ", stdout);
	for (const char *c = kind->plural; *c; c++)
		putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c == '-' ? ' ' : *c);
	putchar('\n');
	print_sentence(kind->help);
	puts(".\n.PP");
	printf("Path: /v1/%s", kind->scope == API_SCOPE_PROJECT ? "projects/PROJECT/" : "");
	print_text(kind->plural);
	puts("/NAME\n.SS Spec");
	print_rows(kind->spec, "");
	puts(".SS Status");
	print_rows(kind->status, "");
	print_actions(kind);
}

static void print_errors(void)
{
	puts(".SH ERRORS\n"
	     "A request that fails is answered with an object \"error\" that has a code, a message, a hint "
	     "where there is one, and the field that is meant.");
	for (unsigned code = API_CODE_NONE + 1; code < API_CODES; code++) {
		printf(".TP\n.B %u ", problem_status((enum api_code)code));
		print_text(problem_code_name((enum api_code)code));
		putchar('\n');
		print_sentence(problem_code_help((enum api_code)code));
		puts(".");
	}
}

int main(void)
{
	puts(".\\\" SPDX-License-Identifier: GPL-2.0-or-later\n"
	     ".TH CELLA\\-API 7 2026-11-21 \"Cella\" \"Reference\"\n"
	     ".SH NAME\n"
	     "cella\\-api \\- the objects of Cella's API\n"
	     ".SH DESCRIPTION\n"
	     "What\n.BR cellad (8)\nserves over HTTP and on its socket: objects of these kinds, in JSON. Every one has\n"
	     "a kind, a name, a uid, a revision, the time of its creation, a spec, which is what is wanted, and a\n"
	     "status, which is what was observed.\n"
	     ".SH ALL KINDS");
	print_rows(api_common_fields, "");
	for (const struct api_kind *const *kind = api_kinds; *kind; kind++)
		print_kind(*kind);
	print_errors();
	puts(".SH SEE ALSO\n.BR cella (1),\n.BR cellad (8)");
	return fflush(stdout) ? 1 : 0;
}
