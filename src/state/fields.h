/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Field tables: the saved state of a device or vCPU as a const table; save, load, dump and
 * documentation walk it.
 *
 *	static const struct state_field pit_channel_fields[] = {
 *		STATE_FIELD(struct pit_channel, reload, .min = 1, .max = 0x10000),
 *		STATE_FIELD(struct pit_channel, mode, .max = 5),
 *		STATE_FIELD(struct pit_channel, gate),
 *		{ 0 }
 *	};
 *	static const struct state_field pit_fields[] = {
 *		STATE_STRUCTS(struct pit, channels, pit_channel_fields),
 *		STATE_FIELD(struct pit, speaker_enabled, .since = 2),
 *		{ 0 }
 *	};
 *	const struct state_desc pit_state = {
 *		.name = "pit", .version = 2, .fields = pit_fields, .post_load = pit_post_load,
 *	};
 *
 * What is described is the modelled hardware, never our shortcuts. A field is a C integer or bool
 * of 1, 2, 4 or 8 bytes, an array of them, raw bytes, or nested structs. Saving does not change the
 * source.
 *
 * Stream (all integers little-endian): name as u16 length and bytes; u32 version; u32 payload
 * bytes; payload: the fields in table order that exist since that version, arrays item by item,
 * nested structs in place. A loader refuses a name it does not expect, a version above its own, a
 * value out of range, a payload too short or too long, and then leaves the object as it was.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum state_kind { STATE_END, STATE_INTEGER, STATE_BYTES, STATE_NESTED };

struct state_field {
	const char *name;
	enum state_kind kind;
	bool is_signed, is_bool;
	uint32_t offset;
	uint32_t size;  /* bytes of one item */
	uint32_t count; /* items */
	uint32_t since; /* first version that has the field; 0 and 1: all */
	uint64_t min;   /* valid range of an integer; max 0: anything that fits its size */
	uint64_t max;
	const struct state_field *fields; /* of STATE_NESTED */
};

struct state_desc {
	const char *name;
	uint32_t version;
	const struct state_field *fields;

	/*
	 * Optional, called on a copy of the object's described fields' values after all were
	 * loaded: rejects combinations that ranges cannot express. 0 or negative errno; must not
	 * have effects.
	 */
	int (*validate)(const void *object, struct err *err);
	/* Optional: brings what hangs from the state (timers, lines, masks) in step with it. Cannot
	 * fail. */
	void (*post_load)(void *object);
};

#define STATE_SIZEOF(type, member) sizeof(((type *)0)->member)
#define STATE_IS_SIGNED(type, member)                                                              \
	_Generic(((type *)0)->member, int8_t                                                       \
		 : true, int16_t                                                                   \
		 : true, int32_t                                                                   \
		 : true, int64_t                                                                   \
		 : true, default                                                                   \
		 : false)

/* A bool with another value than 0 and 1 would be undefined, so loaders refuse it. */
#define STATE_IS_BOOL(type, member) _Generic(((type *)0)->member, bool : true, default : false)

/* An integer, bool or enum member. */
#define STATE_FIELD(type, member, ...)                                                             \
	{                                                                                          \
		.name = #member, .kind = STATE_INTEGER, .offset = offsetof(type, member),          \
		.size = STATE_SIZEOF(type, member), .count = 1,                                    \
		.is_signed = STATE_IS_SIGNED(type, member),                                        \
		.is_bool = STATE_IS_BOOL(type, member), __VA_ARGS__                                \
	}
/* An array of integers or bools. */
#define STATE_ARRAY(type, member, ...)                                                             \
	{                                                                                          \
		.name = #member, .kind = STATE_INTEGER, .offset = offsetof(type, member),          \
		.size = STATE_SIZEOF(type, member[0]),                                             \
		.count = STATE_SIZEOF(type, member) / STATE_SIZEOF(type, member[0]),               \
		.is_signed = STATE_IS_SIGNED(type, member[0]),                                     \
		.is_bool = STATE_IS_BOOL(type, member[0]), __VA_ARGS__                             \
	}
/* An array of bytes or a packed image of fixed layout, saved as it is. */
#define STATE_RAW(type, member, ...)                                                               \
	{                                                                                          \
		.name = #member, .kind = STATE_BYTES, .offset = offsetof(type, member),            \
		.size = STATE_SIZEOF(type, member), .count = 1, __VA_ARGS__                        \
	}
/* One struct, or an array of structs, described by its own table. */
#define STATE_STRUCT(type, member, table, ...)                                                     \
	{                                                                                          \
		.name = #member, .kind = STATE_NESTED, .offset = offsetof(type, member),           \
		.size = STATE_SIZEOF(type, member), .count = 1, .fields = (table), __VA_ARGS__     \
	}
#define STATE_STRUCTS(type, member, table, ...)                                                    \
	{                                                                                          \
		.name = #member, .kind = STATE_NESTED, .offset = offsetof(type, member),           \
		.size = STATE_SIZEOF(type, member[0]),                                             \
		.count = STATE_SIZEOF(type, member) / STATE_SIZEOF(type, member[0]),               \
		.fields = (table), __VA_ARGS__                                                     \
	}

/* A growing (save) or finite (load) byte stream. The first error sticks; check it once at the end. */
struct state_stream {
	uint8_t *bytes;
	size_t count, capacity, at;
	int error;
};

/* Frees what a save stream allocated. */
void state_stream_fini(struct state_stream *stream);

/* A stream that reads `count` bytes (borrowed until the last load). */
struct state_stream state_stream_reader(const void *bytes, size_t count);

/* Appends one described object. 0 or the stream's error. */
int state_save(struct state_stream *stream, const struct state_desc *desc, const void *object);

/*
 * Loads one described object; on any failure `object` is unchanged and `err` names the field.
 * The stream is hostile input. Calls validate and post_load.
 */
int state_load(struct state_stream *stream, const struct state_desc *desc, void *object,
	       struct err *err);

/*
 * The object as a JSON object, field by field; unsigned 64-bit values as hexadecimal strings (new
 * reference; NULL when out of memory).
 */
json_t *state_dump(const struct state_desc *desc, const void *object);

/* Markdown table of the fields for the reference pages. Caller frees; NULL when out of memory. */
char *state_document(const struct state_desc *desc);
