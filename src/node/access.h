/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who asks, and what they may do. Local root by the Unix socket's credentials, users by password and
 * session cookie, tokens by "Authorization: Bearer", TLS client certificates by fingerprint.
 */
#pragma once

#include "node/object.h"

#define ORIGIN_MAX 64

/* A rule of a role that was given: it allows verbs on kinds in a project, to what has the labels. */
struct grant {
	char project[API_NAME_MAX + 1]; /* "*": all, and the server's kinds */
	unsigned verbs;                 /* 1 << enum api_verb */
	uint64_t kinds;                 /* 1 << index in api_kinds */
	json_t *labels;                 /* owned, NULL: any */
};

struct identity {
	char user[API_NAME_MAX + 1];  /* "root" for local root */
	char token[API_NAME_MAX + 1]; /* name of the token, "": none */
	char session[65];             /* "": none */
	char origin[ORIGIN_MAX];      /* address, "unix" */
	bool root;                    /* may do everything */
	VEC(struct grant) grants;
};

int access_open(struct node *node, struct err *err);
void access_close(struct node *node);

/* API_CODE_UNAUTHENTICATED, API_CODE_TOO_MANY, API_CODE_FORBIDDEN (a cross-site request). */
int access_identify(struct node *node, const struct web_request *request,
		    struct identity *ret_identity, struct problem *problem);
void identity_fini(struct identity *identity);

/* `project` "": the server's; `labels` NULL: any object of the kind. */
bool access_allows(const struct identity *identity, enum api_verb verb, const struct api_kind *kind,
		   const char *project, const json_t *labels);
/* The same with words: API_CODE_FORBIDDEN. */
int access_require(const struct identity *identity, enum api_verb verb, const struct api_kind *kind,
		   const char *project, const json_t *labels, struct problem *problem);

/* /v1/session: POST signs in {user, password} or {link}, GET tells who one is, DELETE signs out.
 * Answers the exchange. */
void access_session(struct node *node, const struct web_request *request);

/* A link for the first sign-in, once and for 15 minutes: the part behind the console's address.
 * Caller frees. */
char *access_sign_in_link(struct node *node, struct err *err);

/* A ticket, once and for a minute, for a web socket of the console: the identity's rights. */
int access_new_ticket(struct node *node, const struct identity *identity, char ret_ticket[65]);
