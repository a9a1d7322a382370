/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a request's target and cookies say. Nothing is mended: a path that is not in its normal form
 * is refused, so that what was checked is what is used.
 *
 * Spec: RFC 3986, sections 2.1 and 3.3; RFC 6265, section 4.2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Decodes "/a/b%20c" in place. False: it does not start with '/', has a "." or "..", an empty part
 * (one '/' at the end is taken away), an encoded slash, a backslash, a control character, or is no
 * UTF-8.
 */
bool web_path_decode(char *path);

/* As web_query() and web_cookie(), of the text of the query or the header. */
bool web_query_find(const char *query, const char *name, char *ret_value, size_t size);
bool web_cookie_find(const char *cookies, const char *name, char *ret_value, size_t size);

/* Whether `bytes` are UTF-8, with no code point that is too long or a surrogate. Spec: RFC 3629. */
bool web_is_utf8(const char *bytes, size_t count);
