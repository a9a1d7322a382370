/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to a server: over its Unix socket, or by TLS. */
#pragma once

#include "base/str.h"
#include "cli/settings.h"
#include "host/http_library.h"

/*
 * How a command ends. They stay the same. Functions return them, and `err` has the words.
 */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,      /* wrong use, or something failed here */
	EXIT_DIFFERENT = 2,   /* of `diff` */
	EXIT_REFUSED = 3,     /* the server refused */
	EXIT_NOT_FOUND = 4,   /* there is no such object */
	EXIT_NOT_ALLOWED = 5, /* who asks may not, or is nobody */
	EXIT_NO_SERVER = 6,   /* it cannot be reached */
	EXIT_OPERATION = 7,   /* what was begun failed, or was cancelled */
	EXIT_TIMED_OUT = 8,   /* what was begun goes on, and is waited for no longer */
};

struct client {
	struct server server;
	struct http_library library;
	CURL *curl;
	struct curl_slist *headers;
	int ca_fd; /* certificates to trust; -1: the system's */
	long connect_seconds;
	char failure[CURL_ERROR_SIZE];
};

/* `context`: what --context said, or NULL. `client_close()` also after a failure. */
int client_open(struct client *client, const char *context, struct err *err);
void client_close(struct client *client);

struct answer {
	unsigned status;
	char etag[80];
	struct str text;
	json_t *json; /* of a body that is JSON */
};

void answer_fini(struct answer *answer);

struct call_options {
	const char *method;
	const json_t *body;        /* as JSON, NULL: none */
	const char *text;          /* or as it is */
	const char *if_match;      /* NULL: none */
	const char *content_range; /* NULL: none */
	int upload_fd;             /* > 0: the body is this file, of so many bytes */
	uint64_t upload_bytes;
	/* Takes the body as it comes; false ends it. */
	bool (*received)(void *ctx, const char *bytes, size_t count);
	void (*uploaded)(void *ctx, uint64_t done);
	void *ctx;
};

/* The server's {"message", "hint"} behind "BEFORE: ", or `none` if it has no words. -EREMOTEIO. */
int client_take_error(const json_t *error, const char *before, const char *none, struct err *err);

/* An exit code. EXIT_DONE: the answer's status is below 400. `ret_answer` is the caller's in any
 * case. */
int client_call(struct client *client, const char *path, const struct call_options *options,
		struct answer *ret_answer, struct err *err);

int client_get(struct client *client, const char *path, json_t **ret_json, struct err *err);

/* A connection that the caller speaks on by itself, by curl's easy_send() and easy_recv(). */
int client_connect(struct client *client, int *ret_fd, struct err *err);
/* "lab:8443", as a Host header has it. */
const char *client_host(const struct client *client);
bool client_is_local(const struct client *client);
