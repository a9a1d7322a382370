/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who asks, and what they may do. Local root by the Unix socket's credentials, users by password and
 * session cookie, tokens by "Authorization: Bearer", TLS client certificates by fingerprint.
 *
 * A right is a grant: verbs on kinds in a project, of what has some labels. A user's grants come from
 * the roles that it is bound to, a token's are the owner's as far as the token's rules go. They are
 * read with every request, so that a change of them holds from the next one on.
 *
 * In the store: secrets (hashes of passwords and tokens) under /secrets/KIND/UID, apart from the
 * objects that are shown; who is meant by a local user or a certificate under /access/…; sessions
 * under /sessions/ID with a lease.
 */
#pragma once

#include "node/object/object.h"

#define ORIGIN_MAX 64
#define WAY_MAX    144

/* A rule of a role that was given: it allows verbs on kinds in a project, to what has the labels. */
struct grant {
	char project[API_NAME_MAX + 1]; /* "*": all, and the server's kinds; "": these alone */
	unsigned verbs;                 /* 1 << enum api_verb */
	uint64_t kinds;                 /* 1 << index in api_kinds */
	json_t *labels;                 /* owned, NULL: any */
};

struct identity {
	char user[API_NAME_MAX + 1];  /* "root" for local root */
	char token[API_NAME_MAX + 1]; /* name of the token, "": none */
	char session[65];             /* its id (not the secret), "": none */
	char way[WAY_MAX];            /* what it is known by: that of access_renew() */
	char origin[ORIGIN_MAX];      /* address without port, "unix" */
	bool root;                    /* may do everything */
	uint64_t ends_ms;             /* unix time when session or token end; 0: no such time */
	VEC(struct grant) grants;
};

int access_open(struct node *node, struct err *err);
void access_close(struct node *node);

/*
 * The certificate of the TLS listeners into node->config: the operator's own, or one of ours in
 * DATA/tls (ECDSA P-256, self-signed, with the names and addresses of the host), which is made when
 * there is none and renewed in time. Before web_start().
 */
int access_certificate(struct node *node, struct err *err);

/* Renews our own one if it is time for that, and gives clients what is in the files now, also the
 * operator's. By itself each hour. Loop's thread, with the web server. What fails is logged. */
void access_renew_certificate(struct node *node);

/*
 * API_CODE_UNAUTHENTICATED, API_CODE_TOO_MANY, API_CODE_FORBIDDEN (a cross-site request). For every
 * request but those of access_session(). The caller calls identity_fini() only after success.
 */
int access_identify(struct node *node, const struct web_request *request,
		    struct identity *ret_identity, struct problem *problem);
void identity_fini(struct identity *identity);

/*
 * Who stands behind the same credentials by now, with the rights of now. -ENOENT: nobody any more, since
 * the session or token has ended or the user is disabled or gone. Keeps no session from ending. Any thread.
 */
int access_renew(struct node *node, const struct identity *before, struct identity *ret_now);

/* For the same requests both get the same answers. */
bool identity_has_same_rights(const struct identity *some, const struct identity *other);

/*
 * Who asked for something that is done later, with the rights of now: a user, or one's token (NULL: not
 * by one). -ENOENT: there is no such one any more, or it is disabled. The caller calls identity_fini().
 */
int access_actor(struct node *node, const char *user, const char *token,
		 struct identity *ret_identity);

/* Whether a change of the key in the store may change who that is, or the rights. */
bool access_concerns(const struct identity *who, const char *key);

/*
 * Whoever was let in to an object for longer than a request lasts, such as to a console. `over` is
 * called when the right ends: by signing out, by a change of user, roles, token or the object's labels,
 * by time. Loop's thread, at least once and maybe again until stay_end(), which it must not call.
 */
struct stay {
	struct list link;
	struct identity who; /* owned */
	const struct api_kind *kind;
	char uid[UID_SIZE];
	enum api_verb verb;
	bool seen;
	void (*over)(struct stay *stay);
};

/* `who` is copied. Looks at the right again at once: it may have ended since it was asked for. -ENOMEM.
 * Any thread. */
int stay_begin(struct node *node, struct stay *stay, const struct identity *who,
	       const struct object *object, enum api_verb verb);
/* Afterwards `over` is not called any more. Of one that was not begun (zero) too. Any thread. */
void stay_end(struct node *node, struct stay *stay);

/* The project that rights to an object of the kind are looked up for. */
const char *access_place(const struct api_kind *kind, const char *project, const char *name);

/*
 * `project` "": the server's; of a project itself: its name; NULL: any project. `labels`: the object's (of a new one:
 * those that it is to have; of a change: ask for both, before and after); NULL: whether there could be
 * an object that it is allowed for, as before a list.
 */
bool access_allows(const struct identity *identity, enum api_verb verb, const struct api_kind *kind,
		   const char *project, const json_t *labels);
/* The same with words: API_CODE_FORBIDDEN. */
int access_require(const struct identity *identity, enum api_verb verb, const struct api_kind *kind,
		   const char *project, const json_t *labels, struct problem *problem);

/*
 * All of /v1/session and /v1/sessions, before anybody was identified; answers the exchange:
 *
 *	POST /v1/session {"user", "password"} or {"link"}     signs in: a cookie, and what GET says
 *	GET /v1/session                                       who one is, and what one may
 *	DELETE /v1/session                                    signs out
 *	POST /v1/session/password {"password", "current"}     changes one's own; other sessions end
 *	POST /v1/session/link {"user"}                        a sign-in link for somebody: {"link"}
 *	POST /v1/session/ticket                               {"ticket"} for a web socket: ?ticket=…
 *	GET /v1/sessions, DELETE /v1/sessions/ID              one's own, elsewhere as well
 */
void access_session(struct node *node, const struct web_request *request);

/* A link for the first sign-in as root, once and for 15 minutes: the part behind the console's
 * address, "/#link=…" (a fragment, which is sent to nobody). Caller frees. */
char *access_sign_in_link(struct node *node, struct err *err);

/* A ticket, once and for a minute, for a web socket of the console: the identity's rights. It comes
 * as "?ticket=…" and is a way to be identified for a GET. -EAGAIN: too many are out. */
int access_new_ticket(struct node *node, const struct identity *identity, char ret_ticket[65]);
