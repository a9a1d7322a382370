/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libcurl, loaded when somebody needs it: a disk of the network, a command that asks a server. */
#pragma once

/* Its checks of types are macros around names that are pointers here. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo

#include "base/err.h"

#define CURL_FUNCTIONS(f)                                                                          \
	f(global_init) f(easy_init) f(easy_cleanup) f(easy_setopt) f(easy_getinfo) f(easy_perform) \
		f(easy_strerror) f(easy_reset) f(easy_send) f(easy_recv) f(slist_append)           \
			f(slist_free_all)

struct http_library {
	void *handle;
#define f(name) __typeof__(curl_##name) *name;
	CURL_FUNCTIONS(f)
#undef f
};

/* -ENOENT: it is not installed; explained. */
int http_library_open(struct http_library *library, struct err *err);
void http_library_close(struct http_library *library);

/* The value of a header line (`length` bytes, as a header function gets it) if it has the name
 * ("ETag:"), cut to `size`; else `value` stays. */
void http_take_header(const char *line, size_t length, const char *name, char *value, size_t size);
