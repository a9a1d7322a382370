/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/file/nbd_session.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/clock.h"

#define RECONNECT_S    30
#define CONNECT_NS     (10 * NS_PER_SEC)
#define ONE_MORE_NS    NS_PER_SEC /* a server may leave further connections without an answer */
#define PAUSE_FIRST_NS (50 * NS_PER_MS)
#define PAUSE_MAX_NS   (2 * NS_PER_SEC)
#define HURRY_NS       (50 * NS_PER_MS) /* what a pause hurries in */
#define PIECE_BYTES    (32 * MIB)
#define PIECE_UNIT     UINT64_C(4096)
#define ALLOCATION     LIBNBD_CONTEXT_BASE_ALLOCATION

/* ---- connecting ---- */

static int learn(struct nbd_session *session, struct nbd_facts *facts, struct err *err)
{
	const struct nbd_library *lib = &session->lib;
	struct nbd_handle *handle = session->links[0].handle;
	int64_t bytes = lib->get_size(handle);
	int64_t align = lib->get_block_size(handle, LIBNBD_SIZE_MINIMUM);
	int64_t most = lib->get_block_size(handle, LIBNBD_SIZE_MAXIMUM);
	uint64_t unit;

	if (bytes < 0 || (uint64_t)bytes > BLOCK_SIZE_MAX - BLOCK_SECTOR)
		return err_set(err, EFBIG, "disk '%s': the server's size makes no sense",
			       session->uri);
	facts->bytes = (uint64_t)bytes;
	facts->read_only = lib->is_read_only(handle) > 0;
	if (facts->read_only && session->must_write)
		return err_set(err, EROFS, "disk '%s' can only be read: so says the server",
			       session->uri);
	facts->align = align > 0 && is_power_of_two((uint64_t)align) ? (uint64_t)align : 1;
	unit = MAX(facts->align, PIECE_UNIT);
	facts->piece_bytes = most > 0 ? MIN((uint64_t)most, PIECE_BYTES) : PIECE_BYTES;
	facts->piece_bytes = MAX(round_down(facts->piece_bytes, unit), unit);
	facts->can_trim = lib->can_trim(handle) > 0;
	facts->can_zero = lib->can_zero(handle) > 0;
	facts->can_flush = lib->can_flush(handle) > 0;
	facts->can_fua = lib->can_fua(handle) > 0;
	facts->has_status = lib->can_meta_context(handle, ALLOCATION) > 0;
	return 0;
}

static void disconnect(struct nbd_session *session)
{
	for (unsigned i = 0; i < session->link_count; i++)
		nbd_link_disconnect(&session->links[i]);
	session->link_count = 0;
}

/* What further connections are refused for is no reason to have none. */
static int connect_all(struct nbd_session *session, const int *sockets, unsigned socket_count,
		       struct err *err)
{
	unsigned max = sockets ? socket_count : NBD_LINKS_MAX, used = 1;
	int rc = nbd_link_connect(&session->links[0], session->uri, sockets ? sockets[0] : -1,
				  CONNECT_NS, err);

	session->link_count = !rc;
	if (rc || session->lib.can_multi_conn(session->links[0].handle) <= 0)
		max = 1;
	while (used < max) {
		int fd = sockets ? sockets[used] : -1;

		used++;
		if (nbd_link_connect(&session->links[session->link_count], session->uri, fd,
				     ONE_MORE_NS, NULL))
			break;
		session->link_count++;
	}
	for (; used < socket_count; used++)
		close(sockets[used]);
	return rc;
}

/* ---- connecting again ---- */

/* What the disk was opened with still holds. */
static bool is_as_good(const struct nbd_facts *facts, const struct nbd_facts *before)
{
	return facts->bytes == before->bytes && facts->align <= before->align &&
	       facts->piece_bytes >= before->piece_bytes && facts->can_trim >= before->can_trim &&
	       facts->can_zero >= before->can_zero && facts->can_flush >= before->can_flush &&
	       facts->can_fua >= before->can_fua && facts->has_status >= before->has_status;
}

/* One try. -ESTALE: there is another disk now. */
static int connect_again(struct nbd_session *session)
{
	struct nbd_facts facts = { 0 };
	struct err err = ERR_INIT;
	int rc;

	disconnect(session);
	rc = connect_all(session, NULL, 0, &err);
	if (!rc && (learn(session, &facts, NULL) || !is_as_good(&facts, &session->facts)))
		rc = -ESTALE;
	if (!rc)
		rc = nbd_journal_replay(&session->journal, &session->links[0]);
	if (rc) {
		log_debug("%s", err.text);
		disconnect(session);
	}
	return rc;
}

static void rest(struct nbd_session *session, uint64_t ns)
{
	static const struct timespec slice = { .tv_nsec = HURRY_NS };
	uint64_t end_ns = clock_now_ns() + ns;

	while (clock_now_ns() < end_ns && !atomic_load(&session->hurried))
		nanosleep(&slice, NULL);
}

void nbd_session_hurry(struct nbd_session *session)
{
	atomic_store(&session->hurried, true);
}

/* Tries again, ever more seldom, as long as the user wants to wait; then each request that comes may
 * try, but not too often. */
static int mend_locked(struct nbd_session *session)
{
	uint64_t pause_ns = PAUSE_FIRST_NS, deadline_ns;

	if (!session->lost_ns) {
		log_warn("disk '%s': lost the server", session->uri);
		session->lost_ns = clock_now_ns();
	} else if (clock_now_ns() < session->next_try_ns) {
		return -EIO;
	}
	deadline_ns = session->lost_ns + session->reconnect_ns;
	for (;;) {
		int rc = session->may_call ? connect_again(session) : -EIO;

		if (!rc)
			break;
		if (clock_now_ns() >= deadline_ns || !session->may_call || rc == -ESTALE ||
		    atomic_load(&session->hurried)) {
			session->next_try_ns = clock_now_ns() + PAUSE_MAX_NS;
			return rc == -ESTALE ? rc : -EIO;
		}
		rest(session, pause_ns);
		pause_ns = MIN(2 * pause_ns, PAUSE_MAX_NS);
	}
	log_info("disk '%s': the server is back", session->uri);
	session->lost_ns = 0;
	session->age++;
	return 0;
}

static int mend(struct nbd_session *session, uint64_t age)
{
	int rc = 0;

	pthread_rwlock_wrlock(&session->gate);
	/* Another one may have done it. */
	if (session->age == age)
		rc = mend_locked(session);
	pthread_rwlock_unlock(&session->gate);
	return rc;
}

/* ---- requests ---- */

static bool is_forgettable(const struct nbd_session *session, const struct nbd_call *call)
{
	return session->may_call && session->facts.can_flush &&
	       (call->kind == NBD_CALL_WRITE || call->kind == NBD_CALL_ZERO) &&
	       !(call->flags & LIBNBD_CMD_FLAG_FUA);
}

static int call_kept(struct nbd_session *session, struct nbd_link *link, struct nbd_call *call)
{
	struct nbd_entry *entry = nbd_entry_new(call);
	int rc = entry ? nbd_link_call(link, call) : -ENOMEM;

	if (rc)
		nbd_entry_free(entry);
	else
		nbd_journal_add(&session->journal, entry);
	return rc;
}

/* With the gate: what is written down belongs to the server that answered. */
static int call_locked(struct nbd_session *session, struct nbd_call *call)
{
	unsigned turn = atomic_fetch_add(&session->turn, 1);
	struct nbd_link *link;
	uint64_t mark;
	int rc;

	if (!session->link_count)
		return NBD_LINK_LOST;
	link = &session->links[turn % session->link_count];
	if (is_forgettable(session, call))
		return call_kept(session, link, call);
	mark = nbd_journal_mark(&session->journal);
	rc = nbd_link_call(link, call);
	if (!rc && call->kind == NBD_CALL_FLUSH)
		nbd_journal_forget(&session->journal, mark);
	return rc;
}

static int call_until_done(struct nbd_session *session, struct nbd_call *call)
{
	for (;;) {
		uint64_t age;
		int rc;

		pthread_rwlock_rdlock(&session->gate);
		age = session->age;
		rc = call_locked(session, call);
		pthread_rwlock_unlock(&session->gate);
		if (rc != NBD_LINK_LOST)
			return rc;
		rc = mend(session, age);
		if (rc)
			return rc;
	}
}

int nbd_session_call(struct nbd_session *session, struct nbd_call *call)
{
	struct nbd_call flush = { .kind = NBD_CALL_FLUSH };
	int rc = 0;

	if (is_forgettable(session, call) && nbd_journal_is_full(&session->journal))
		rc = call_until_done(session, &flush);
	return rc ? rc : call_until_done(session, call);
}

/* ---- opening ---- */

/* Takes "reconnect=SECONDS" out of the URI's query. */
static int parse_reconnect(struct nbd_session *session, struct err *err)
{
	static const char name[] = "reconnect=";
	char *at = strchr(session->uri, '?');
	AUTO_FREE char *value = NULL;
	uint64_t seconds;
	size_t length;

	session->reconnect_ns = RECONNECT_S * NS_PER_SEC;
	while (at && strncmp(at + 1, name, strlen(name)) != 0)
		at = strchr(at + 1, '&');
	if (!at)
		return 0;
	length = strcspn(at + 1, "&");
	value = strndup(at + 1 + strlen(name), length - strlen(name));
	if (!value || parse_u64(value, 0, 86400, &seconds))
		return err_set(err, EINVAL, "disk '%s': 'reconnect' is not a number of seconds",
			       session->uri);
	session->reconnect_ns = seconds * NS_PER_SEC;
	/* What follows takes its place, behind the same '?' or '&'. */
	if (at[1 + length])
		memmove(at + 1, at + 1 + length + 1, strlen(at + 1 + length + 1) + 1);
	else
		*at = '\0';
	return 0;
}

static void init_gate(struct nbd_session *session)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&session->gate, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

static int prepare(struct nbd_session *session, const char *uri, struct err *err)
{
	int rc = 0;

	init_gate(session);
	nbd_journal_init(&session->journal);
	session->uri = strdup(uri);
	if (!session->uri)
		return err_errno(err, ENOMEM, "cannot open disk '%s'", uri);
	rc = session->may_call ? parse_reconnect(session, err) : 0;
	if (!rc)
		rc = nbd_library_open(&session->lib, err);
	for (unsigned i = 0; i < NBD_LINKS_MAX && !rc; i++) {
		rc = nbd_link_init(&session->links[i], &session->lib);
		if (rc)
			err_errno(err, rc, "cannot open disk '%s'", uri);
	}
	return rc;
}

int nbd_session_open(struct nbd_session *session, const char *uri, bool must_write,
		     const int *sockets, unsigned socket_count, struct err *err)
{
	int rc;

	*session = (struct nbd_session){ .may_call = !sockets, .must_write = must_write };
	rc = prepare(session, uri, err);
	if (rc) {
		for (unsigned i = 0; i < socket_count; i++)
			close(sockets[i]);
		return rc;
	}
	rc = connect_all(session, sockets, socket_count, err);
	return rc ? rc : learn(session, &session->facts, err);
}

void nbd_session_close(struct nbd_session *session)
{
	for (unsigned i = 0; i < NBD_LINKS_MAX; i++)
		nbd_link_fini(&session->links[i]);
	nbd_journal_fini(&session->journal);
	pthread_rwlock_destroy(&session->gate);
	nbd_library_close(&session->lib);
	free(session->uri);
}
