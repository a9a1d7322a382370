/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets that work once and soon end: links to sign in by, and tickets of web sockets, which cannot
 * have headers. They are in memory only, by their hashes. Threads: any.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/access/priv.h"

int onces_init(struct onces *onces)
{
	onces->slots = calloc(ONCE_MAX, sizeof(*onces->slots));
	if (!onces->slots)
		return -ENOMEM;
	pthread_mutex_init(&onces->lock, NULL);
	return 0;
}

static void once_free(struct once *once)
{
	identity_fini(&once->identity);
	*once = (struct once){ 0 };
}

void onces_fini(struct onces *onces)
{
	if (!onces->slots)
		return;
	for (unsigned i = 0; i < ONCE_MAX; i++)
		once_free(&onces->slots[i]);
	free(onces->slots);
	onces->slots = NULL;
	pthread_mutex_destroy(&onces->lock);
}

/* With the lock; NULL: all are taken, or too many by the user. */
static struct once *room_locked(struct onces *onces, const char *user, uint64_t now_ms)
{
	struct once *room = NULL;
	unsigned own = 0;

	for (unsigned i = 0; i < ONCE_MAX; i++) {
		struct once *once = &onces->slots[i];

		if (*once->digest && once->ends_ms <= now_ms)
			once_free(once);
		if (!*once->digest)
			room = once;
		else
			own += !strcmp(once->identity.user, user);
	}
	return own < ONCE_USER_MAX ? room : NULL;
}

int onces_add(struct onces *onces, bool link, const struct identity *identity, const char *uid,
	      uint64_t now_ms, char ret_secret[SECRET_HEX + 1])
{
	struct once new = { .link = link, .ends_ms = now_ms + (link ? LINK_MS : TICKET_MS) };
	struct once *once;
	int rc;

	snprintf(new.uid, sizeof(new.uid), "%s", uid);
	rc = secret_random(ret_secret);
	rc = rc ? rc : secret_digest(ret_secret, new.digest);
	rc = rc ? rc : identity_copy(identity, &new.identity);
	if (rc)
		return rc;
	pthread_mutex_lock(&onces->lock);
	once = room_locked(onces, identity->user, now_ms);
	if (once)
		*once = new;
	pthread_mutex_unlock(&onces->lock);
	if (once)
		return 0;
	once_free(&new);
	return -EAGAIN;
}

int onces_use(struct onces *onces, bool link, const char *secret, uint64_t now_ms,
	      struct identity *ret_identity, char *ret_uid)
{
	char digest[SECRET_HEX + 1];
	int rc = -ENOENT;

	if (!secret_is_hex(secret) || secret_digest(secret, digest))
		return -ENOENT;
	pthread_mutex_lock(&onces->lock);
	for (unsigned i = 0; i < ONCE_MAX && rc; i++) {
		struct once *once = &onces->slots[i];

		if (once->link != link || !secret_equal(once->digest, digest))
			continue;
		if (once->ends_ms > now_ms) {
			*ret_identity = once->identity;
			if (ret_uid)
				memcpy(ret_uid, once->uid, UID_SIZE);
			memset(&once->identity, 0, sizeof(once->identity));
			rc = 0;
		}
		once_free(once);
	}
	pthread_mutex_unlock(&onces->lock);
	return rc;
}

void onces_end(struct onces *onces, const char *user)
{
	pthread_mutex_lock(&onces->lock);
	for (unsigned i = 0; i < ONCE_MAX; i++) {
		if (!strcmp(onces->slots[i].identity.user, user))
			once_free(&onces->slots[i]);
	}
	pthread_mutex_unlock(&onces->lock);
}
