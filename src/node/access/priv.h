/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Access, for its own files: grants, passwords, limits, one-time secrets, sessions, headers. */
#pragma once

#include <pthread.h>

#include "codec/kdf.h"
#include "node/access/access.h"

#define ROOT_NAME "root"

/* Of one's sessions; the oldest ends when there is one more. */
#define SESSIONS_MAX    32
#define SESSION_IDLE_MS (UINT64_C(12) * 3600 * 1000)
#define SESSION_ENDS_MS (UINT64_C(7) * 24 * 3600 * 1000)
#define LINK_MS         (UINT64_C(15) * 60 * 1000)
#define TICKET_MS       (UINT64_C(60) * 1000)

#define PASSWORD_MIN 10
#define PASSWORD_MAX 1024

/* ---- secrets: 256 random bits as 64 hex digits, kept as SHA-256 of them ---- */

#define SECRET_HEX 64

/* Lower case, with a NUL behind. */
void hex_write(const uint8_t *bytes, size_t count, char *ret_hex);
/* Exactly so many bytes; -EINVAL. */
int hex_read(const char *hex, uint8_t *ret_bytes, size_t count);

/* 0 or a negative errno: never a secret that is not random. */
int secret_random(char ret_hex[SECRET_HEX + 1]);
int secret_digest(const char *text, char ret_hex[SECRET_HEX + 1]);
/* In a time that does not tell where they differ. */
bool secret_equal(const char *a, const char *b);
bool secret_is_hex(const char *text);

/* ---- headers, from anybody ---- */

/* "Bearer cella_NAME_SECRET". 0 with name and secret, or -EINVAL. */
int header_bearer(const char *value, char ret_name[API_NAME_MAX + 1],
		  char ret_secret[SECRET_HEX + 1]);

/* Whether a page of another site may have sent the request: by Sec-Fetch-Site, else by Origin against
 * Host; NULL where a header is missing. Without both it is no browser. */
bool header_is_cross_site(const char *fetch_site, const char *origin, const char *host);

/* The address without port, "unix". */
void header_origin(const struct web_peer *peer, char ret_origin[ORIGIN_MAX]);
/* What limits count by: an address, of IPv6 the network of 64 bits, "unix:UID". */
void header_network(const struct web_peer *peer, char ret_network[ORIGIN_MAX]);

/* ---- grants ---- */

struct grants {
	VEC(struct grant) list;
};

void grant_fini(struct grant *grant);
void grants_fini(struct grants *grants);
/* Takes the labels of `grant`, whether it works or not. 0 or -ENOMEM. */
int grants_add(struct grants *grants, struct grant grant);

/* All that there is. */
struct grant grant_all(void);

/* The grants of rules as roles and tokens have them: [{kinds, verbs, projects, labels}]. Unknown words
 * give nothing. 0 or -ENOMEM. */
int grants_from_rules(const json_t *rules, struct grants *grants);

/* What both allow is added to `grants`. 0 or -ENOMEM. */
int grants_intersect(const struct grant *some, size_t some_count, const struct grant *other,
		     size_t other_count, struct grants *grants);

/* The grants of bindings as users have them: [{role, project, labels}]. `rules_of` gives the rules of
 * a role, a new reference, NULL: no such role. 0, -ENOMEM, or what `rules_of` said. */
int grants_from_bindings(const json_t *bindings,
			 int (*rules_of)(void *ctx, const char *role, json_t **ret_rules),
			 void *ctx, struct grants *grants);

/* Whether who has these may give `grant` to somebody. */
bool grants_cover(const struct grant *grants, size_t count, const struct grant *grant);
bool identity_covers(const struct identity *identity, const struct grants *grants);
/* Of an identity; 0 or -ENOMEM. */
int identity_copy(const struct identity *identity, struct identity *ret_copy);

/* [{project, kinds, verbs, labels}] for people and consoles. */
json_t *grants_json(const struct identity *identity);

/* ---- passwords ---- */

/* Argon2id takes much memory: only so many at once, and no long queue. */
struct passwords {
	pthread_mutex_t lock; /* guards the counts */
	pthread_cond_t freed;
	unsigned running, waiting;
	struct kdf_argon2 cost; /* of new hashes */
};

void passwords_init(struct passwords *passwords);
void passwords_fini(struct passwords *passwords);

/* {"argon2id": …, "epoch": …}: new reference. The epoch is another one for each. API_CODE_TOO_MANY. */
int password_hash(struct passwords *passwords, const char *password, json_t **ret_hash,
		  struct problem *problem);

/* 0: it is the password. -EACCES without words: it is not, or `hash` is NULL (which takes as long).
 * API_CODE_TOO_MANY. */
int password_verify(struct passwords *passwords, const json_t *hash, const char *password,
		    struct problem *problem);

/* -EINVAL with what it lacks. */
int password_check(const char *password, const char *user, struct problem *problem);

/* ---- limits: tables of a fixed size, where the least used make room ---- */

struct limit {
	uint64_t key; /* 0: free */
	uint64_t seen_ns;
	uint64_t until_ns; /* rates: when all is taken back; failures: no attempt before */
	unsigned failures;
};

struct limits {
	pthread_mutex_t lock; /* guards `slots` */
	uint8_t seed[16];
	struct limit *slots;
};

int limits_init(struct limits *limits);
void limits_fini(struct limits *limits);

struct rate {
	unsigned per_second, burst;
};

/* One more by `who`. 0, or so many ns too early. */
uint64_t limits_take(struct limits *limits, const char *who, const struct rate *rate,
		     uint64_t now_ns);

/* So many failures are free; then a pause that doubles from `first_ns` to `longest_ns`. Forgotten
 * after `forget_ns` without one. */
struct backoff {
	unsigned free;
	uint64_t first_ns, longest_ns, forget_ns;
};

extern const struct backoff backoff_address, backoff_user;

/* An attempt, which counts as failed until it succeeds. 0, or so many ns too early (and not counted). */
uint64_t limits_attempt(struct limits *limits, const char *who, const struct backoff *backoff,
			uint64_t now_ns);
/* It succeeded: it is taken back, or all of them are. */
void limits_succeed(struct limits *limits, const char *who, bool all, uint64_t now_ns);

/* ---- secrets for once: sign-in links and tickets, in memory ---- */

#define ONCE_MAX      1024
#define ONCE_USER_MAX 64

struct once {
	char digest[SECRET_HEX + 1]; /* "": free */
	uint64_t ends_ms;
	bool link;
	struct identity identity; /* a link's: only who it is for */
	char uid[UID_SIZE];       /* a link's user; "": root */
};

struct onces {
	pthread_mutex_t lock; /* guards `slots` */
	struct once *slots;
};

int onces_init(struct onces *onces);
void onces_fini(struct onces *onces);
/* Copies identity and uid. 0, -EAGAIN: too many, or another negative errno. */
int onces_add(struct onces *onces, bool link, const struct identity *identity, const char *uid,
	      uint64_t now_ms, char ret_secret[SECRET_HEX + 1]);
/* Takes it out: it works once. -ENOENT. `ret_uid` (or NULL) gets UID_SIZE bytes. */
int onces_use(struct onces *onces, bool link, const char *secret, uint64_t now_ms,
	      struct identity *ret_identity, char *ret_uid);
/* All of that user end. */
void onces_end(struct onces *onces, const char *user);

/* ---- sessions ---- */

struct session {
	char id[SECRET_HEX + 1]; /* digest of the cookie's secret */
	char user[API_NAME_MAX + 1];
	char uid[UID_SIZE];         /* "": root, by a link */
	char epoch[SECRET_HEX + 1]; /* of the user's password when it began, "": had none */
	char origin[ORIGIN_MAX];
	char agent[128]; /* what the browser calls itself */
	uint64_t started_ms, ends_ms, lease;
};

/* Fills in id, times and lease, stores it, and ends the user's oldest ones above SESSIONS_MAX. */
int session_start(struct node *node, struct session *session, char ret_secret[SECRET_HEX + 1],
		  struct problem *problem);
/* -ENOENT: there is none, or it has ended. Nothing is said. */
int session_find(struct node *node, const char *id, struct session *ret_session);
int session_end(struct node *node, const char *id, struct problem *problem);
/* It goes on with another password: a part of the change. */
int session_move(struct change *change, struct session *session, const char *epoch,
		 struct problem *problem);
/* Those of one user. */
int session_each(struct node *node, const char *user, const char *uid,
		 int (*visit)(void *ctx, const struct session *session), void *ctx);
json_t *session_json(const struct session *session);

#define SESSIONS_PREFIX "/sessions/" /* and the id */

/* ---- what is kept beside the objects ---- */

/* A value of JSON; -ENOENT. `ret_modified` and `ret_lease` may be NULL. */
int store_get_json(struct node *node, const char *key, json_t **ret_value, uint64_t *ret_modified,
		   uint64_t *ret_lease);

/* "/secrets/KIND/UID": hashes of a user's password, of a token. */
void secret_key(const struct api_kind *kind, const char *uid, char ret_key[STORE_KEY_MAX + 1]);
/* "/access/WHAT/VALUE", {user, uid}: whose a local user or a certificate is. */
void user_index_key(const char *what, const char *value, char ret_key[STORE_KEY_MAX + 1]);
void user_signed_in(struct node *node, const char *name, const char *uid);
/* Whether the user's rights are within those of `who` (NULL: the server). API_CODE_FORBIDDEN. */
int user_is_within(struct node *node, const struct identity *who, const struct object *user,
		   struct problem *problem);
/* All of their roles are there. API_CODE_INVALID. */
int bindings_check(struct node *node, const json_t *bindings, struct problem *problem);
bool role_is_builtin(const char *name);
/* New reference; NULL: none of the product's. */
json_t *role_builtin_rules(const char *name);

/* "30d", "12h" from now on; a date, or a time of UTC. -EINVAL. */
int token_parse_end(const char *text, uint64_t now_ms, uint64_t *ret_ms);
/* When a token ends. -EINVAL. */
int token_end_ms(const struct object *token, uint64_t *ret_ms);
int user_has_password(struct node *node, const char *uid, bool *ret_has);
/* What changes when all of a user's sessions end: with another password, by being disabled. "": has not yet. */
int user_epoch(struct node *node, const char *uid, char ret_epoch[SECRET_HEX + 1]);

/* The members of a change that are no objects. */
int change_expect_key(struct change *change, const char *key, uint64_t modified,
		      struct problem *problem);
int change_delete_key(struct change *change, const char *key, struct problem *problem);

/* ---- whom credentials stand for ---- */

#define SESSION_COOKIE "__Host-cella-session"

struct credentials {
	const char *authorization;                           /* the header's value, NULL: none */
	char ticket[SECRET_HEX + 1], cookie[SECRET_HEX + 1]; /* "": none */
	const struct web_peer *peer;
	bool cross_site; /* an unsafe method, asked for by a page of another site */
};

/* Says why not; -EACCES: unauthenticated. */
int access_who(struct node *node, const struct credentials *credentials,
	       struct identity *ret_identity, struct problem *problem);
/* What the user may, and the user's object (NULL: not needed). -ENOENT: there is none, it is disabled,
 * or it is not the one with `uid` (NULL: any). */
int identity_of_user(struct node *node, const char *name, const char *uid,
		     struct identity *ret_identity, struct object *ret_object,
		     struct problem *problem);
/* Leaves what the bindings (a token's; none: all) have in common with it. */
int identity_narrow(struct node *node, const json_t *bindings, struct identity *identity,
		    struct problem *problem);
/* Grants of bindings, by the roles in the store. */
int node_grants(struct node *node, const json_t *bindings, struct grants *grants,
		struct problem *problem);

/*
 * Identities as they were found, while the store has the revision that they were read at: who asks
 * often is not looked up each time, and no change is missed.
 */
struct cached {
	char *key; /* NULL: free */
	uint64_t revision, lease, hour;
	struct identity identity;
};

#define CACHE_SLOTS 256

struct cache {
	pthread_mutex_t lock; /* guards `slots` */
	struct cached slots[CACHE_SLOTS];
};

void cache_init(struct cache *cache);
void cache_fini(struct cache *cache);
/* A copy. `ret_lease` is the session's, 0: none. */
bool cache_find(struct cache *cache, const char *key, uint64_t revision,
		struct identity *ret_identity, uint64_t *ret_lease);
/* Whether it is the first time in that hour. */
bool cache_put(struct cache *cache, const char *key, uint64_t revision, uint64_t lease,
	       uint64_t hour, const struct identity *identity);

/* ---- those who were let in for longer ---- */

struct stays {
	struct node *node;
	pthread_mutex_t lock;
	struct list all; /* guarded by lock */
	/* The loop's. */
	struct store_watch *watch; /* NULL: there is nobody */
	struct loop_task task;
	struct loop_timer timer;
};

void stays_init(struct node *node, struct stays *stays);
/* Nobody is left. Accepts zero. */
void stays_fini(struct stays *stays);

struct access {
	struct passwords passwords;
	struct limits failures, requests;
	struct onces onces;
	struct cache cache;
	struct stays stays;
	struct rate rate, rate_unknown; /* of an identity; of an address that is nobody */
	char *certificate, *key;        /* paths of our own ones, NULL: the operator's */
	struct node *node;
	struct loop_timer renewal;
	struct timespec files[2]; /* when the two files were last changed */
};

void access_credentials(const struct web_request *request, struct credentials *ret_credentials);
/* access_identify() behind the parsing of headers. */
int access_admit(struct node *node, const struct credentials *credentials,
		 struct identity *ret_identity, struct problem *problem);
/* An attempt at the password of a user (NULL: of nobody), counted by address and name. -EACCES
 * without words: it is wrong. API_CODE_TOO_MANY. */
int password_attempt(struct node *node, const struct web_peer *peer, const char *name,
		     const struct object *user, const char *password, struct problem *problem);
/* "/#link=…" for a user (uid "": root). Caller frees. */
char *access_link(struct node *node, const char *user, const char *uid, struct problem *problem);
