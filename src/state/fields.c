/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"

/* Bound of one object in a stream; RAM does not travel this way. */
#define PAYLOAD_MAX (64 * MIB)

void state_stream_fini(struct state_stream *stream)
{
	/* A reader borrows its bytes and has no capacity. */
	if (stream->capacity)
		free(stream->bytes);
	*stream = (struct state_stream){ 0 };
}

struct state_stream state_stream_reader(const void *bytes, size_t count)
{
	return (struct state_stream){ .bytes = (uint8_t *)bytes, .count = count };
}

/* Makes room for `count` bytes behind the end and returns them, NULL with the stream's error set. */
static uint8_t *append(struct state_stream *stream, size_t count)
{
	uint8_t *at;

	if (stream->error)
		return NULL;
	if (stream->count + count > stream->capacity) {
		size_t capacity = MAX(stream->capacity * 2, stream->count + count + 256);
		uint8_t *moved = realloc(stream->bytes, capacity);

		if (!moved) {
			stream->error = -ENOMEM;
			return NULL;
		}
		stream->bytes = moved;
		stream->capacity = capacity;
	}
	at = stream->bytes + stream->count;
	stream->count += count;
	return at;
}

static void put(struct state_stream *stream, uint64_t value, unsigned size)
{
	uint8_t *at = append(stream, size);

	if (at)
		le_put(at, value, size);
}

/* The next `count` bytes of a reader; NULL with the stream's error set when there are fewer. */
static const uint8_t *next(struct state_stream *stream, size_t count)
{
	const uint8_t *at = stream->bytes + stream->at;

	if (!stream->error && count > stream->count - stream->at)
		stream->error = -ENODATA;
	if (stream->error)
		return NULL;
	stream->at += count;
	return at;
}

static uint64_t get(struct state_stream *stream, unsigned size)
{
	const uint8_t *at = next(stream, size);

	return at ? le_get(at, size) : 0;
}

static uint64_t host_get(const void *p, unsigned size)
{
	switch (size) {
	case 1:
		return *(const uint8_t *)p;
	case 2:
		return *(const uint16_t *)p;
	case 4:
		return *(const uint32_t *)p;
	default:
		return *(const uint64_t *)p;
	}
}

static void host_put(void *p, unsigned size, uint64_t value)
{
	switch (size) {
	case 1:
		*(uint8_t *)p = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)p = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)p = (uint32_t)value;
		break;
	default:
		*(uint64_t *)p = value;
	}
}

static void save_fields(struct state_stream *stream, const struct state_field *fields,
			const uint8_t *object)
{
	for (const struct state_field *f = fields; f->kind != STATE_END; f++) {
		for (uint32_t i = 0; i < f->count; i++) {
			const uint8_t *item = object + f->offset + (size_t)i * f->size;
			uint8_t *at;

			switch (f->kind) {
			case STATE_INTEGER:
				put(stream, host_get(item, f->size), f->size);
				break;
			case STATE_BYTES:
				at = append(stream, f->size);
				if (at)
					memcpy(at, item, f->size);
				break;
			case STATE_NESTED:
				save_fields(stream, f->fields, item);
				break;
			case STATE_END:
				break;
			}
		}
	}
}

int state_save(struct state_stream *stream, const struct state_desc *desc, const void *object)
{
	size_t name_length = strlen(desc->name);
	size_t length_at, payload_at;
	uint8_t *at;

	put(stream, name_length, 2);
	at = append(stream, name_length);
	if (at)
		memcpy(at, desc->name, name_length);
	put(stream, desc->version, 4);
	length_at = stream->count;
	put(stream, 0, 4);
	payload_at = stream->count;
	save_fields(stream, desc->fields, object);
	if (!stream->error)
		le32_put(stream->bytes + length_at, (uint32_t)(stream->count - payload_at));
	return stream->error;
}

static bool in_range(const struct state_field *f, uint64_t value)
{
	if (f->is_bool && value > 1)
		return false;
	if (f->is_signed) {
		int64_t v = sign_extend(value, f->size * 8);

		return (!f->min && !f->max) || (v >= (int64_t)f->min && v <= (int64_t)f->max);
	}
	return value >= f->min && value <= (f->max ? f->max : UINT64_MAX);
}

/* Walks the payload twice: first only checking (`object` NULL), then storing what is known to be
 * good. */
static int load_fields(struct state_stream *stream, const struct state_field *fields,
		       uint32_t version, uint8_t *object, struct err *err)
{
	for (const struct state_field *f = fields; f->kind != STATE_END; f++) {
		if (f->since > version)
			continue;
		for (uint32_t i = 0; i < f->count; i++) {
			uint8_t *item = object ? object + f->offset + (size_t)i * f->size : NULL;
			const uint8_t *from;
			uint64_t value;
			int rc;

			switch (f->kind) {
			case STATE_INTEGER:
				value = get(stream, f->size);
				if (stream->error)
					break;
				if (!in_range(f, value))
					return err_set(err, EINVAL,
						       "field '%s' has the invalid value 0x%llx",
						       f->name, (unsigned long long)value);
				if (item)
					host_put(item, f->size, value);
				break;
			case STATE_BYTES:
				from = next(stream, f->size);
				if (from && item)
					memcpy(item, from, f->size);
				break;
			case STATE_NESTED:
				rc = load_fields(stream, f->fields, version, item, err);
				if (rc)
					return err_wrap(err, "'%s'", f->name);
				break;
			case STATE_END:
				break;
			}
			if (stream->error)
				return err_set(err, stream->error, "field '%s' is cut off",
					       f->name);
		}
	}
	return 0;
}

/* Bytes behind the object's described fields: enough for a scratch copy. */
static size_t object_extent(const struct state_field *fields)
{
	size_t extent = 0;

	for (const struct state_field *f = fields; f->kind != STATE_END; f++)
		extent = MAX(extent, f->offset + (size_t)f->size * f->count);
	return extent;
}

static int validate(const struct state_desc *desc, struct state_stream payload, uint32_t version,
		    const void *object, struct err *err)
{
	size_t extent = object_extent(desc->fields);
	AUTO_FREE uint8_t *copy = NULL;

	if (!desc->validate)
		return 0;
	copy = malloc(extent);
	if (!copy)
		return err_errno(err, ENOMEM, "cannot load state");
	memcpy(copy, object, extent);
	load_fields(&payload, desc->fields, version, copy, NULL);
	return desc->validate(copy, err);
}

static int load_payload(struct state_stream payload, const struct state_desc *desc,
			uint32_t version, void *object, struct err *err)
{
	struct state_stream check_pass = payload;
	int rc = load_fields(&check_pass, desc->fields, version, NULL, err);

	if (rc)
		return rc;
	if (check_pass.at != check_pass.count)
		return err_set(err, EINVAL, "%zu bytes too many", check_pass.count - check_pass.at);
	rc = validate(desc, payload, version, object, err);
	if (rc)
		return rc;
	return load_fields(&payload, desc->fields, version, object, err);
}

int state_load(struct state_stream *stream, const struct state_desc *desc, void *object,
	       struct err *err)
{
	size_t name_length = get(stream, 2);
	const uint8_t *name = next(stream, name_length);
	uint32_t version, length;
	const uint8_t *payload;
	int rc;

	if (name && (name_length != strlen(desc->name) || memcmp(name, desc->name, name_length))) {
		stream->error = -EINVAL;
		return err_set(err, EINVAL, "state of '%s' expected, '%.*s' found", desc->name,
			       (int)MIN(name_length, (size_t)40), (const char *)name);
	}
	version = (uint32_t)get(stream, 4);
	length = (uint32_t)get(stream, 4);
	payload = length <= PAYLOAD_MAX ? next(stream, length) : NULL;
	if (!payload) {
		stream->error = stream->error ? stream->error : -EINVAL;
		return err_set(err, stream->error, "state of '%s' is cut off", desc->name);
	}
	if (!version || version > desc->version) {
		stream->error = -ENOTSUP;
		return err_set(err, ENOTSUP, "state of '%s' has version %u, known are 1 to %u",
			       desc->name, version, desc->version);
	}
	rc = load_payload(state_stream_reader(payload, length), desc, version, object, err);
	if (rc) {
		stream->error = rc;
		err_wrap(err, "state of '%s'", desc->name);
		return rc;
	}
	if (desc->post_load)
		desc->post_load(object);
	return 0;
}

static json_t *dump_bytes(const uint8_t *bytes, uint32_t count)
{
	struct str hex = { 0 };
	AUTO_FREE char *text = NULL;

	for (uint32_t i = 0; i < count; i++)
		str_printf(&hex, "%02x", bytes[i]);
	text = str_take(&hex);
	return text ? json_string(text) : NULL;
}

static json_t *dump_fields(const struct state_field *fields, const uint8_t *object);

static json_t *dump_item(const struct state_field *f, const uint8_t *item)
{
	uint64_t value;

	switch (f->kind) {
	case STATE_INTEGER:
		value = host_get(item, f->size);
		if (f->is_signed)
			value = (uint64_t)sign_extend(value, f->size * 8);
		/* JSON's readers keep 53 bits of a number at best. */
		if (f->size == 8 && !f->is_signed)
			return json_sprintf("0x%llx", (unsigned long long)value);
		return json_integer((json_int_t)value);
	case STATE_BYTES:
		return dump_bytes(item, f->size);
	case STATE_NESTED:
		return dump_fields(f->fields, item);
	case STATE_END:
		break;
	}
	return NULL;
}

static json_t *dump_fields(const struct state_field *fields, const uint8_t *object)
{
	json_t *dump = json_object();

	for (const struct state_field *f = fields; f->kind != STATE_END; f++) {
		json_t *value;

		if (f->count == 1) {
			value = dump_item(f, object + f->offset);
		} else {
			value = json_array();
			for (uint32_t i = 0; i < f->count; i++)
				json_array_append_new(
					value,
					dump_item(f, object + f->offset + (size_t)i * f->size));
		}
		json_object_set_new(dump, f->name, value);
	}
	return dump;
}

json_t *state_dump(const struct state_desc *desc, const void *object)
{
	return dump_fields(desc->fields, object);
}

static void document_fields(struct str *out, const struct state_field *fields, const char *prefix)
{
	for (const struct state_field *f = fields; f->kind != STATE_END; f++) {
		struct str inner = { 0 };
		AUTO_FREE char *name = NULL;

		str_printf(&inner, "%s%s", prefix, f->name);
		if (f->count > 1)
			str_printf(&inner, "[%u]", f->count);
		if (f->kind == STATE_NESTED)
			str_add(&inner, ".");
		name = str_take(&inner);
		if (!name) {
			out->failed = true;
			return;
		}
		if (f->kind == STATE_NESTED) {
			document_fields(out, f->fields, name);
			continue;
		}
		if (f->kind == STATE_BYTES)
			str_printf(out, "| %s | %u bytes | %u | |\n", name, f->size,
				   MAX(f->since, 1u));
		else
			str_printf(out, "| %s | %c%u | %u |", name, f->is_signed ? 'i' : 'u',
				   f->size * 8, MAX(f->since, 1u));
		if (f->kind == STATE_INTEGER && f->max)
			str_printf(out, " 0x%llx to 0x%llx |\n", (unsigned long long)f->min,
				   (unsigned long long)f->max);
		else if (f->kind == STATE_INTEGER)
			str_add(out, " any |\n");
	}
}

char *state_document(const struct state_desc *desc)
{
	struct str out = { 0 };

	str_printf(&out, "## %s (version %u)\n\n", desc->name, desc->version);
	str_add(&out, "| field | type | since | range |\n|---|---|---|---|\n");
	document_fields(&out, desc->fields, "");
	return str_take(&out);
}
