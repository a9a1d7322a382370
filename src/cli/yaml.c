/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libyaml tells events. Plain scalars are what the core schema says they are: null, booleans, numbers,
 * else strings; quoted ones are strings.
 */
#include "cli/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/macros.h"

#define DEPTH_MAX 64

/* ---- reading ---- */

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	const char *what;
	struct err *err;
};

static int wrong(struct reader *reader, const char *message)
{
	return err_set(reader->err, EINVAL, "%s: line %zu: %s", reader->what,
		       reader->event.start_mark.line + 1, message);
}

/* The next event takes the place of the one before. */
static int next(struct reader *reader)
{
	yaml_event_delete(&reader->event);
	if (yaml_parser_parse(&reader->parser, &reader->event))
		return 0;
	memset(&reader->event, 0, sizeof(reader->event));
	return err_set(reader->err, EINVAL, "%s: line %zu: %s", reader->what,
		       reader->parser.problem_mark.line + 1,
		       reader->parser.problem ? reader->parser.problem : "not understood");
}

/* Spec: YAML 1.2.2, section 10.3.2. */
static json_t *plain_scalar(const char *text)
{
	static const struct {
		const char *word;
		int value; /* -1: null */
	} words[] = {
		{ "", -1 },     { "~", -1 },    { "null", -1 }, { "Null", -1 },
		{ "NULL", -1 }, { "true", 1 },  { "True", 1 },  { "TRUE", 1 },
		{ "false", 0 }, { "False", 0 }, { "FALSE", 0 },
	};
	bool number = *text && strspn(text, "0123456789+-.eE") == strlen(text);
	char *end;

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(text, words[i].word))
			return words[i].value < 0 ? json_null() : json_boolean(words[i].value);
	}
	if (number && !strpbrk(text, ".eE")) {
		long long value;

		errno = 0;
		value = strtoll(text, &end, 10);
		if (!*end && !errno)
			return json_integer(value);
	} else if (number) {
		double value = strtod(text, &end);

		if (!*end)
			return json_real(value);
	}
	return json_string(text);
}

static int read_value(struct reader *reader, unsigned depth, json_t **ret_value);

static int read_list(struct reader *reader, unsigned depth, json_t **ret_value)
{
	json_t *list = json_array();
	int rc = next(reader);

	while (!rc && reader->event.type != YAML_SEQUENCE_END_EVENT) {
		json_t *item;

		rc = read_value(reader, depth, &item);
		if (!rc)
			json_array_append_new(list, item);
		if (!rc)
			rc = next(reader);
	}
	*ret_value = list;
	return rc;
}

static int read_member(struct reader *reader, unsigned depth, json_t *object)
{
	char *key;
	json_t *value = NULL;
	int rc;

	if (reader->event.type != YAML_SCALAR_EVENT)
		return wrong(reader, "a key must be a word");
	key = strdup((const char *)reader->event.data.scalar.value);
	if (!key)
		return err_errno(reader->err, ENOMEM, "cannot read '%s'", reader->what);
	if (json_object_get(object, key))
		rc = wrong(reader, "a key is there twice");
	else
		rc = next(reader);
	if (!rc)
		rc = read_value(reader, depth, &value);
	if (!rc)
		json_object_set_new(object, key, value);
	else
		json_decref(value);
	free(key);
	return rc ? rc : next(reader);
}

static int read_object(struct reader *reader, unsigned depth, json_t **ret_value)
{
	json_t *object = json_object();
	int rc = next(reader);

	while (!rc && reader->event.type != YAML_MAPPING_END_EVENT)
		rc = read_member(reader, depth, object);
	*ret_value = object;
	return rc;
}

static json_t *read_scalar(const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;

	return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
		       ? plain_scalar(text)
		       : json_stringn(text, event->data.scalar.length);
}

/* The value at the current event. What was read is given also on failure, to be freed. */
static int read_value(struct reader *reader, unsigned depth, json_t **ret_value)
{
	int rc;

	*ret_value = NULL;
	if (depth == DEPTH_MAX)
		return wrong(reader, "nested too deep");
	switch (reader->event.type) {
	case YAML_SCALAR_EVENT:
		*ret_value = read_scalar(&reader->event);
		rc = *ret_value ? 0 : wrong(reader, "not UTF-8");
		break;
	case YAML_SEQUENCE_START_EVENT:
		rc = read_list(reader, depth + 1, ret_value);
		break;
	case YAML_MAPPING_START_EVENT:
		rc = read_object(reader, depth + 1, ret_value);
		break;
	default:
		/* A few aliases can stand for more than any memory holds. */
		rc = wrong(reader, "aliases are not understood");
	}
	if (rc) {
		json_decref(*ret_value);
		*ret_value = NULL;
	}
	return rc;
}

static int read_documents(struct reader *reader, json_t *documents)
{
	int rc = next(reader);

	while (!rc && reader->event.type != YAML_STREAM_END_EVENT) {
		if (reader->event.type == YAML_DOCUMENT_START_EVENT) {
			json_t *value;

			rc = next(reader);
			if (!rc)
				rc = read_value(reader, 0, &value);
			if (!rc && json_is_null(value))
				json_decref(value);
			else if (!rc)
				json_array_append_new(documents, value);
		}
		if (!rc)
			rc = next(reader);
	}
	return rc;
}

int yaml_parse(const char *text, size_t count, const char *what, json_t **ret_documents,
	       struct err *err)
{
	struct reader reader = { .what = what, .err = err };
	json_t *documents = json_array();
	int rc;

	if (!documents || !yaml_parser_initialize(&reader.parser)) {
		json_decref(documents);
		return err_errno(err, ENOMEM, "cannot read '%s'", what);
	}
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, count);
	rc = read_documents(&reader, documents);
	yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	if (rc)
		json_decref(documents);
	else
		*ret_documents = documents;
	return rc;
}

/* ---- writing ---- */

static bool emit_value(yaml_emitter_t *emitter, const json_t *value);

static bool emit_text(yaml_emitter_t *emitter, const char *text, size_t count,
		      yaml_scalar_style_t style)
{
	yaml_event_t event;

	return yaml_scalar_event_initialize(&event, NULL, NULL, (const unsigned char *)text,
					    (int)count, 1, 1, style) &&
	       yaml_emitter_emit(emitter, &event);
}

/* A string that would be something else when it stood there plain is quoted. */
static bool emit_string(yaml_emitter_t *emitter, const json_t *value)
{
	const char *text = json_string_value(value);
	json_t *plain = plain_scalar(text);
	yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;

	if (!json_is_string(plain))
		style = YAML_SINGLE_QUOTED_SCALAR_STYLE;
	else if (strchr(text, '\n'))
		style = YAML_LITERAL_SCALAR_STYLE;
	json_decref(plain);
	return emit_text(emitter, text, json_string_length(value), style);
}

static bool emit_object(yaml_emitter_t *emitter, const json_t *object)
{
	yaml_event_t event;
	const char *key;
	json_t *value;

	if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_ANY_MAPPING_STYLE) ||
	    !yaml_emitter_emit(emitter, &event))
		return false;
	json_object_foreach((json_t *)object, key, value)
	{
		if (!emit_text(emitter, key, strlen(key), YAML_ANY_SCALAR_STYLE) ||
		    !emit_value(emitter, value))
			return false;
	}
	return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool emit_list(yaml_emitter_t *emitter, const json_t *list)
{
	yaml_event_t event;
	size_t i;
	json_t *value;

	if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_ANY_SEQUENCE_STYLE) ||
	    !yaml_emitter_emit(emitter, &event))
		return false;
	json_array_foreach(list, i, value)
	{
		if (!emit_value(emitter, value))
			return false;
	}
	return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool emit_value(yaml_emitter_t *emitter, const json_t *value)
{
	char *text;
	bool fine;

	if (json_is_object(value))
		return emit_object(emitter, value);
	if (json_is_array(value))
		return emit_list(emitter, value);
	if (json_is_string(value))
		return emit_string(emitter, value);
	text = json_dumps(value, JSON_ENCODE_ANY);
	fine = text && emit_text(emitter, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
	free(text);
	return fine;
}

bool yaml_print(FILE *out, const json_t *value)
{
	yaml_emitter_t emitter;
	yaml_event_t event;
	bool fine;

	if (!yaml_emitter_initialize(&emitter))
		return false;
	yaml_emitter_set_output_file(&emitter, out);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, 100);
	fine = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
	       yaml_emitter_emit(&emitter, &event) &&
	       yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
	       yaml_emitter_emit(&emitter, &event) && emit_value(&emitter, value) &&
	       yaml_document_end_event_initialize(&event, 1) &&
	       yaml_emitter_emit(&emitter, &event) && yaml_stream_end_event_initialize(&event) &&
	       yaml_emitter_emit(&emitter, &event) && yaml_emitter_flush(&emitter);
	yaml_emitter_delete(&emitter);
	return fine;
}
