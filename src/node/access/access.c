/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The door: every request is identified here, and counted. What stands behind it is in
 * access_who.c (whom credentials stand for) and access_grants.c (what they may).
 */
#include "node/access/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "host/clock.h"
#include "node/access/priv.h"

#define REQUESTS_PRESET 20000
#define REQUESTS_NOBODY 100

int access_open(struct node *node, struct err *err)
{
	unsigned each = node->config.requests_per_second ?: REQUESTS_PRESET;
	struct access *access = calloc(1, sizeof(*access));
	int rc = access ? 0 : -ENOMEM;

	if (!rc) {
		access->node = node;
		passwords_init(&access->passwords);
		cache_init(&access->cache);
		stays_init(node, &access->stays);
		access->rate = (struct rate){ .per_second = each, .burst = each };
		access->rate_unknown = (struct rate){ .per_second = REQUESTS_NOBODY,
						      .burst = 5 * REQUESTS_NOBODY };
		node->access = access;
		rc = limits_init(&access->failures);
	}
	rc = rc ? rc : limits_init(&access->requests);
	rc = rc ? rc : onces_init(&access->onces);
	if (!rc)
		return 0;
	access_close(node);
	return err_errno(err, rc, "cannot guard the API");
}

void access_close(struct node *node)
{
	struct access *access = node->access;

	if (!access)
		return;
	if (access->renewal.expired)
		loop_timer_cancel(node->loop, &access->renewal);
	onces_fini(&access->onces);
	limits_fini(&access->requests);
	limits_fini(&access->failures);
	stays_fini(&access->stays);
	cache_fini(&access->cache);
	passwords_fini(&access->passwords);
	if (node->config.certificate == access->certificate)
		node->config.certificate = node->config.key = NULL;
	free(access->certificate);
	free(access->key);
	free(access);
	node->access = NULL;
}

static bool is_safe(enum web_method method)
{
	return method == WEB_GET || method == WEB_HEAD || method == WEB_OPTIONS;
}

void access_credentials(const struct web_request *request, struct credentials *ret_credentials)
{
	struct credentials credentials = {
		.authorization = web_header(request, "authorization"),
		.peer = &request->peer,
		.cross_site = !is_safe(request->method) &&
			      header_is_cross_site(web_header(request, "sec-fetch-site"),
						   web_header(request, "origin"),
						   web_header(request, "host")),
	};

	if (request->method == WEB_GET &&
	    !web_query(request, "ticket", credentials.ticket, sizeof(credentials.ticket)))
		*credentials.ticket = '\0';
	if (!web_cookie(request, SESSION_COOKIE, credentials.cookie, sizeof(credentials.cookie)))
		*credentials.cookie = '\0';
	*ret_credentials = credentials;
}

static int too_many(uint64_t wait_ns, struct problem *problem)
{
	problem_set(problem, API_CODE_TOO_MANY, "too many requests");
	problem->retry_s = (unsigned)(wait_ns / NS_PER_SEC + 1);
	problem_hint(problem, "try again in %llu ms",
		     (unsigned long long)(wait_ns / NS_PER_MS + 1));
	return -EAGAIN;
}

/* Local root is never kept out. */
static int count(struct access *access, const struct web_peer *peer,
		 const struct identity *identity, struct problem *problem)
{
	char who[2 * API_NAME_MAX + ORIGIN_MAX];
	uint64_t wait_ns;

	if (!identity)
		header_network(peer, who);
	else if (identity->root && peer->unix_socket)
		return 0;
	else
		snprintf(who, sizeof(who), "user %s %s", identity->user, identity->token);
	wait_ns = limits_take(&access->requests, who,
			      identity ? &access->rate : &access->rate_unknown, clock_now_ns());
	return wait_ns ? too_many(wait_ns, problem) : 0;
}

int access_admit(struct node *node, const struct credentials *credentials,
		 struct identity *ret_identity, struct problem *problem)
{
	struct problem flood = PROBLEM_INIT;
	struct identity identity;
	int rc = access_who(node, credentials, &identity, problem);

	if (rc) {
		if (count(node->access, credentials->peer, NULL, &flood)) {
			*problem = flood;
			rc = -EAGAIN;
		}
		return rc;
	}
	rc = count(node->access, credentials->peer, &identity, problem);
	if (rc)
		identity_fini(&identity);
	else
		*ret_identity = identity;
	return rc;
}

int access_identify(struct node *node, const struct web_request *request,
		    struct identity *ret_identity, struct problem *problem)
{
	struct credentials credentials;

	access_credentials(request, &credentials);
	return access_admit(node, &credentials, ret_identity, problem);
}

char *access_link(struct node *node, const char *user, const char *uid, struct problem *problem)
{
	struct identity identity = { 0 };
	char secret[SECRET_HEX + 1];
	struct str link = { 0 };
	int rc;

	snprintf(identity.user, sizeof(identity.user), "%s", user);
	rc = onces_add(&node->access->onces, true, &identity, uid, node_now_ms(), secret);
	if (rc) {
		problem_set(problem, rc == -EAGAIN ? API_CODE_TOO_MANY : API_CODE_UNAVAILABLE,
			    "cannot make a sign-in link");
		return NULL;
	}
	str_printf(&link, "/#link=%s", secret);
	explicit_bzero(secret, sizeof(secret));
	return str_take(&link);
}

char *access_sign_in_link(struct node *node, struct err *err)
{
	struct problem problem = PROBLEM_INIT;
	char *link = access_link(node, ROOT_NAME, "", &problem);

	if (!link)
		err_set(err, ENOMEM, "%s", problem.err.text);
	return link;
}

int access_new_ticket(struct node *node, const struct identity *identity, char ret_ticket[65])
{
	return onces_add(&node->access->onces, false, identity, "", node_now_ms(), ret_ticket);
}
