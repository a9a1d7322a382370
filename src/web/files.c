/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console's files. Paths are in normal form already; links at their ends and names that begin
 * with a dot are not followed. A file's compressed sibling (name.gz) is sent to who takes it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "web/web_priv.h"

static const struct {
	const char *ending, *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".mjs", "text/javascript; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".json", "application/json" },
	{ ".map", "application/json" },
	{ ".webmanifest", "application/manifest+json" },
	{ ".svg", "image/svg+xml" },
	{ ".png", "image/png" },
	{ ".jpg", "image/jpeg" },
	{ ".ico", "image/x-icon" },
	{ ".webp", "image/webp" },
	{ ".woff2", "font/woff2" },
	{ ".wasm", "application/wasm" },
	{ ".txt", "text/plain; charset=utf-8" },
};

static const char *type_of(const char *name)
{
	const char *ending = strrchr(name, '.');

	for (unsigned i = 0; ending && i < ARRAY_SIZE(types); i++) {
		if (!strcasecmp(ending, types[i].ending))
			return types[i].type;
	}
	return "application/octet-stream";
}

/* -1: there is no such file. */
static int open_file(int folder, const char *name, struct stat *ret_st)
{
	AUTO_CLOSE int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fstat(fd, ret_st) || !S_ISREG(ret_st->st_mode))
		return -1;
	return take_fd(&fd);
}

static int open_compressed(int folder, const char *name, const struct web_request *request,
			   struct stat *ret_st)
{
	const char *takes = web_header(request, "accept-encoding");
	char sibling[WEB_LINE_MAX + 8];

	if (!takes || !web_list_has(takes, "gzip"))
		return -1;
	snprintf(sibling, sizeof(sibling), "%s.gz", name);
	return open_file(folder, sibling, ret_st);
}

static void describe(struct web_response *response, const struct web_request *request,
		     const struct stat *st)
{
	const char *have = web_header(request, "if-none-match");
	char tag[80];

	snprintf(tag, sizeof(tag), "\"%llx-%llx-%llx\"", (unsigned long long)st->st_ino,
		 (unsigned long long)st->st_size,
		 (unsigned long long)st->st_mtim.tv_sec * 1000000000 +
			 (unsigned long long)st->st_mtim.tv_nsec);
	web_response_header(response, "etag:", "%s", tag);
	web_response_header(response, "cache-control:", "no-cache");
	web_response_header(response, "vary:", "accept, accept-encoding");
	response->status = have && strstr(have, tag) ? 304 : 200;
}

/* The page is at the root for who asks for pages; a program gets there what the application says. */
static const char *name_of(const struct web_request *request)
{
	const char *accept = web_header(request, "accept");

	if (strcmp(request->path, "/"))
		return request->path + 1;
	return accept && web_list_has(accept, "text/html") ? "index.html" : "";
}

bool web_files_answer(struct web *web, const struct web_request *request)
{
	const char *name = name_of(request);
	struct web_response response = { .type = type_of(name) };
	AUTO_CLOSE int fd = -1;
	AUTO_CLOSE int compressed = -1;
	struct stat st;
	struct stat compressed_st;

	if (web->files < 0 || (request->method != WEB_GET && request->method != WEB_HEAD) ||
	    !*name || *name == '.' || strstr(name, "/."))
		return false;
	fd = open_file(web->files, name, &st);
	if (fd < 0)
		return false;
	compressed = open_compressed(web->files, name, request, &compressed_st);
	if (compressed >= 0) {
		web_response_header(&response, "content-encoding:", "gzip");
		st = compressed_st;
	}
	describe(&response, request, &st);
	if (response.status == 304) {
		response.type = NULL;
	} else {
		response.fd = compressed >= 0 ? take_fd(&compressed) : take_fd(&fd);
		response.bytes = (size_t)st.st_size;
	}
	web_answer(request->exchange, &response);
	return true;
}
