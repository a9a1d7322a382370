/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/http_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME "libcurl-gnutls.so.4"

int http_library_open(struct http_library *library, struct err *err)
{
	bool whole = true;

	*library = (struct http_library){ .handle = dlopen(NAME, RTLD_NOW | RTLD_LOCAL) };
	if (!library->handle) {
		err_set(err, ENOENT, "cannot load library '%s'", NAME);
		return err_hint(err, "install it: in Debian the package is 'libcurl3-gnutls'");
	}
#define f(function)                                                                                \
	library->function =                                                                        \
		(__typeof__(library->function))dlsym(library->handle, "curl_" #function);          \
	whole &= library->function != NULL;
	CURL_FUNCTIONS(f)
#undef f
	if (whole && !library->global_init(CURL_GLOBAL_DEFAULT))
		return 0;
	http_library_close(library);
	return err_set(err, ENOENT, "library '%s' is too old", NAME);
}

void http_library_close(struct http_library *library)
{
	/* Stays loaded: threads of it may be there. */
	library->handle = NULL;
}

void http_take_header(const char *line, size_t length, const char *name, char *value, size_t size)
{
	size_t skip = strlen(name);

	if (length < skip || strncasecmp(line, name, skip) != 0)
		return;
	while (skip < length && line[skip] == ' ')
		skip++;
	while (length > skip && (line[length - 1] == '\r' || line[length - 1] == '\n'))
		length--;
	snprintf(value, size, "%.*s", (int)(length - skip), line + skip);
}
