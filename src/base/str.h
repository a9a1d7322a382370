/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strings that grow, and parsing of the numbers that people write. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/*
 * A growing string. `text` is always a valid C string once something was added, NULL before. The
 * first failure to allocate sticks: later additions do nothing, `failed` is true, and str_take()
 * returns NULL.
 */
struct str {
	char *text;
	size_t length, capacity;
	bool failed;
};

void str_add(struct str *s, const char *text);
void str_add_bytes(struct str *s, const void *bytes, size_t count);
void str_printf(struct str *s, const char *format, ...) PRINTF_LIKE(2, 3);

/* Moves the text out (caller frees); "" if nothing was added, NULL if memory ran out. `s` is empty
 * afterwards. */
char *str_take(struct str *s);
void str_fini(struct str *s);

/* Puts '?' in the place of control characters (C0, DEL, and C1 in UTF-8), which a terminal would obey. */
void str_make_plain(char *text);

/*
 * A size in bytes: decimal digits and an optional K, M, G or T (either case, powers of two; "KiB"
 * or "KB" accepted for the same). 0, or -EINVAL, -ERANGE; `*ret_bytes` untouched on failure.
 */
int parse_size(const char *text, uint64_t *ret_bytes);

/* Adds a size as parse_size() reads it, in the largest unit that says it exactly: "512M". */
void str_add_size(struct str *s, uint64_t bytes);

/* A whole number from `min` to `max`, decimal or 0x hexadecimal, nothing behind it. 0, -EINVAL or
 * -ERANGE. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

/* A time as "500ms", "30s", "5m" or "2h", or in seconds. 0, -EINVAL or -ERANGE (above a hundred years). */
int parse_duration(const char *text, uint64_t *ret_ms);

/* "on", "yes", "true", "1" or their opposites. 0 or -EINVAL. */
int parse_bool(const char *text, bool *ret_value);

/* A hash of text that stays the same (FNV-1a), from `start` (0: the first text) on. */
uint64_t text_hash(const char *text, uint64_t start);
