/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows that several kinds have. */
#pragma once

#include "api/kind.h"
#include "base/macros.h"

/* What a reconciler could not do, and since when things are as they are. */
#define STATUS_ROWS(states)                                                                        \
	{ .name = "state", .type = SCHEMA_STRING, .choices = (states), .help = "state" },          \
		{ .name = "since",                                                                 \
		  .type = SCHEMA_STRING,                                                           \
		  .help = "time of the last change of state" },                                    \
	{                                                                                          \
		.name = "problem", .type = SCHEMA_STRING,                                          \
		.help = "what keeps it from being as wanted"                                       \
	}

#define NAME_ROW(row, kind, text, ...)                                                             \
	{                                                                                          \
		.name = (row), .type = SCHEMA_STRING, .min = 1, .max = API_NAME_MAX,               \
		.check = api_check_name, .ref = (kind), .help = (text), __VA_ARGS__                \
	}

/* An object of this project, or "PROJECT/NAME" of another one. */
#define REF_ROW(row, kind, text, ...)                                                              \
	{                                                                                          \
		.name = (row), .type = SCHEMA_STRING, .min = 1, .max = 2 * API_NAME_MAX + 1,       \
		.check = api_check_ref, .ref = (kind), .help = (text), __VA_ARGS__                 \
	}

/* The same of an image, which may also be called with a tag: "debian:12" is debian-12. */
#define IMAGE_ROW(row, text, ...)                                                                  \
	{                                                                                          \
		.name = (row), .type = SCHEMA_STRING, .min = 1, .max = 2 * API_NAME_MAX + 1,       \
		.check = api_check_image_ref, .ref = "image", .help = (text), __VA_ARGS__          \
	}
