/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NBD server, byte by byte: what it answers, what it refuses, and whom it drops.
 *
 * Spec: NetworkBlockDevice/nbd doc/proto.md.
 */
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/un.h>

#include "nbd_fixture.h"

#include "base/bytes.h"
#include "block/export/nbd_proto.h"

static const uint8_t no_bytes[1];

/* ---- a client ---- */

static void send_bytes(int fd, const void *bytes, size_t count)
{
	/* A server that has gone already is found out by what it does not answer. */
	while (count) {
		ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		bytes = (const char *)bytes + sent;
		count -= (size_t)sent;
	}
}

static void receive_bytes(int fd, void *bytes, size_t count)
{
	assert_int_equal(fd_read_all(fd, bytes, count), 0);
}

/* The server says nothing more. */
static void assert_dropped(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 0);
}

static void greet(int fd, uint32_t flags)
{
	uint8_t greeting[18], answer[4];

	receive_bytes(fd, greeting, sizeof(greeting));
	assert_true(be64_get(greeting) == NBD_MAGIC && be64_get(greeting + 8) == NBD_OPTION_MAGIC);
	assert_int_equal(be16_get(greeting + 16), NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	be32_put(answer, flags);
	send_bytes(fd, answer, sizeof(answer));
}

static void send_option(int fd, uint64_t magic, uint32_t option, const void *data, uint32_t bytes)
{
	uint8_t header[16];

	be64_put(header, magic);
	be32_put(header + 8, option);
	be32_put(header + 12, bytes);
	send_bytes(fd, header, sizeof(header));
	send_bytes(fd, data, bytes);
}

/* The type of the last reply to an option; data of the others is passed over. */
static uint32_t last_reply(int fd, uint32_t option)
{
	uint8_t header[20], data[8192];
	uint32_t type;

	do {
		receive_bytes(fd, header, sizeof(header));
		assert_true(be64_get(header) == NBD_REPLY_MAGIC);
		assert_int_equal(be32_get(header + 8), option);
		type = be32_get(header + 12);
		assert_true(be32_get(header + 16) <= sizeof(data));
		receive_bytes(fd, data, be32_get(header + 16));
	} while (type == NBD_REP_SERVER || type == NBD_REP_INFO || type == NBD_REP_META_CONTEXT);
	return type;
}

static uint32_t ask(int fd, uint32_t option, const void *data, uint32_t bytes)
{
	send_option(fd, NBD_OPTION_MAGIC, option, data, bytes);
	return last_reply(fd, option);
}

#define GO_DATA       "\0\0\0\4disk\0\0"
#define CONTEXTS_DATA "\0\0\0\4disk\0\0\0\1\0\0\0\17base:allocation"

static void enter(int fd, bool structured)
{
	greet(fd, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	if (structured) {
		assert_int_equal(ask(fd, NBD_OPT_STRUCTURED_REPLY, no_bytes, 0), NBD_REP_ACK);
		assert_int_equal(
			ask(fd, NBD_OPT_SET_META_CONTEXT, CONTEXTS_DATA, sizeof(CONTEXTS_DATA) - 1),
			NBD_REP_ACK);
	}
	assert_int_equal(ask(fd, NBD_OPT_GO, GO_DATA, sizeof(GO_DATA) - 1), NBD_REP_ACK);
}

static void send_request(int fd, uint16_t type, uint16_t flags, uint64_t offset, uint32_t bytes)
{
	uint8_t header[28];

	be32_put(header, NBD_REQUEST_MAGIC);
	be16_put(header + 4, flags);
	be16_put(header + 6, type);
	be64_put(header + 8, offset ^ type);
	be64_put(header + 16, offset);
	be32_put(header + 24, bytes);
	send_bytes(fd, header, sizeof(header));
}

/* The error of a simple reply. */
static uint32_t simple_reply(int fd, uint16_t type, uint64_t offset)
{
	uint8_t header[16];

	receive_bytes(fd, header, sizeof(header));
	assert_int_equal(be32_get(header), NBD_SIMPLE_MAGIC);
	assert_true(be64_get(header + 8) == (offset ^ type));
	return be32_get(header + 4);
}

static void assert_can_read(int fd)
{
	uint8_t got[1000], want[sizeof(got)];

	send_request(fd, NBD_CMD_READ, 0, 77, sizeof(got));
	assert_int_equal(simple_reply(fd, NBD_CMD_READ, 77), 0);
	receive_bytes(fd, got, sizeof(got));
	nbd_fill(want, 77, sizeof(want));
	assert_memory_equal(got, want, sizeof(want));
}

struct chunk {
	uint16_t flags, type;
	uint32_t bytes;
	uint8_t data[NBD_DISK_BYTES + 16];
};

static void receive_chunk(int fd, struct chunk *chunk)
{
	uint8_t header[20];

	receive_bytes(fd, header, sizeof(header));
	assert_int_equal(be32_get(header), NBD_STRUCTURED_MAGIC);
	chunk->flags = be16_get(header + 4);
	chunk->type = be16_get(header + 6);
	chunk->bytes = be32_get(header + 16);
	assert_true(chunk->bytes <= sizeof(chunk->data));
	receive_bytes(fd, chunk->data, chunk->bytes);
}

/* ---- the handshake ---- */

#define DATA(text) text, sizeof(text) - 1

static const struct {
	const char *name;
	uint32_t option;
	const char *data;
	uint32_t bytes;
	bool structured; /* was asked for before */
	uint32_t reply;
} options[] = {
	{ "unknown", 77, DATA(""), false, NBD_REP_UNSUP },
	{ "list", NBD_OPT_LIST, DATA(""), false, NBD_REP_ACK },
	{ "list of something", NBD_OPT_LIST, DATA("x"), false, NBD_REP_INVALID },
	{ "structured", NBD_OPT_STRUCTURED_REPLY, DATA(""), false, NBD_REP_ACK },
	{ "structured twice", NBD_OPT_STRUCTURED_REPLY, DATA(""), true, NBD_REP_INVALID },
	{ "structured with data", NBD_OPT_STRUCTURED_REPLY, DATA("x"), false, NBD_REP_INVALID },
	{ "TLS where there is none", NBD_OPT_STARTTLS, DATA(""), false, NBD_REP_POLICY },
	{ "info", NBD_OPT_INFO, DATA("\0\0\0\4disk\0\2\0\3\0\1"), false, NBD_REP_ACK },
	{ "info of the default", NBD_OPT_INFO, DATA("\0\0\0\0\0\0"), false, NBD_REP_ACK },
	{ "info of unknown kind", NBD_OPT_INFO, DATA("\0\0\0\4disk\0\1\77\77"), false,
	  NBD_REP_ACK },
	{ "info of another", NBD_OPT_INFO, DATA("\0\0\0\4desk\0\0"), false, NBD_REP_UNKNOWN },
	{ "info without name", NBD_OPT_INFO, DATA(""), false, NBD_REP_INVALID },
	{ "info, name too long", NBD_OPT_INFO, DATA("\0\0\0\7disk\0\0"), false, NBD_REP_INVALID },
	{ "info, name far too long", NBD_OPT_INFO, DATA("\377\377\377\377disk\0\0"), false,
	  NBD_REP_INVALID },
	{ "info, fewer than said", NBD_OPT_INFO, DATA("\0\0\0\4disk\0\2\0\3"), false,
	  NBD_REP_INVALID },
	{ "info, more than said", NBD_OPT_INFO, DATA("\0\0\0\4disk\0\0\0\3"), false,
	  NBD_REP_INVALID },
	{ "contexts", NBD_OPT_SET_META_CONTEXT, DATA(CONTEXTS_DATA), true, NBD_REP_ACK },
	{ "contexts without structured", NBD_OPT_SET_META_CONTEXT, DATA(CONTEXTS_DATA), false,
	  NBD_REP_INVALID },
	{ "contexts, none", NBD_OPT_LIST_META_CONTEXT, DATA("\0\0\0\4disk\0\0\0\0"), true,
	  NBD_REP_ACK },
	{ "contexts of another", NBD_OPT_SET_META_CONTEXT, DATA("\0\0\0\4desk\0\0\0\0"), true,
	  NBD_REP_UNKNOWN },
	{ "contexts, fewer than said", NBD_OPT_SET_META_CONTEXT,
	  DATA("\0\0\0\4disk\0\0\0\2\0\0\0\1x"), true, NBD_REP_INVALID },
	{ "contexts, more than anybody", NBD_OPT_SET_META_CONTEXT,
	  DATA("\0\0\0\4disk\377\377\377\377"), true, NBD_REP_INVALID },
};

static void nbd_server_option_gets_the_reply_it_deserves(void **state)
{
	struct nbd_fixture fixture;

	(void)state;
	nbd_fixture_init(&fixture, false);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		struct nbd_visit visit;
		uint32_t reply;

		nbd_visit_start(&visit, fixture.server);
		greet(visit.ends[0], NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
		if (options[i].structured)
			ask(visit.ends[0], NBD_OPT_STRUCTURED_REPLY, no_bytes, 0);
		reply = ask(visit.ends[0], options[i].option, options[i].data, options[i].bytes);
		if (reply != options[i].reply)
			fail_msg("%s: %#x", options[i].name, reply);
		/* Whatever it was, the handshake goes on. */
		assert_int_equal(ask(visit.ends[0], NBD_OPT_GO, GO_DATA, sizeof(GO_DATA) - 1),
				 NBD_REP_ACK);
		nbd_visit_end(&visit);
	}
	nbd_fixture_fini(&fixture);
}

static const struct {
	const char *name;
	uint32_t flags;
	uint64_t magic;
	uint32_t option;
	const char *data;
	uint32_t bytes;
} breaches[] = {
	{ "old client", 0, NBD_OPTION_MAGIC, NBD_OPT_LIST, DATA("") },
	{ "flags of the future", NBD_FIXED_NEWSTYLE | BIT(7), NBD_OPTION_MAGIC, NBD_OPT_LIST,
	  DATA("") },
	{ "wrong magic", NBD_FIXED_NEWSTYLE, NBD_MAGIC, NBD_OPT_LIST, DATA("") },
	{ "name of no export", NBD_FIXED_NEWSTYLE, NBD_OPTION_MAGIC, NBD_OPT_EXPORT_NAME,
	  DATA("desk") },
};

static void nbd_server_breach_of_the_handshake_ends_it(void **state)
{
	struct nbd_fixture fixture;

	(void)state;
	nbd_fixture_init(&fixture, false);
	for (size_t i = 0; i < ARRAY_SIZE(breaches); i++) {
		struct nbd_visit visit;

		nbd_visit_start(&visit, fixture.server);
		greet(visit.ends[0], breaches[i].flags);
		send_option(visit.ends[0], breaches[i].magic, breaches[i].option, breaches[i].data,
			    breaches[i].bytes);
		assert_dropped(visit.ends[0]);
		nbd_visit_end(&visit);
	}
	nbd_fixture_fini(&fixture);
}

static void nbd_server_option_of_any_length_takes_no_memory(void **state)
{
	struct nbd_fixture fixture;
	struct nbd_visit visit;
	uint8_t header[16];

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	greet(visit.ends[0], NBD_FIXED_NEWSTYLE);
	be64_put(header, NBD_OPTION_MAGIC);
	be32_put(header + 8, NBD_OPT_LIST);
	be32_put(header + 12, UINT32_MAX);
	send_bytes(visit.ends[0], header, sizeof(header));
	assert_dropped(visit.ends[0]);
	nbd_visit_end(&visit);
	nbd_fixture_fini(&fixture);
}

static void nbd_server_endless_handshake_is_ended(void **state)
{
	struct nbd_fixture fixture;
	struct nbd_visit visit;
	unsigned count = 0;
	uint8_t header[20];

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	greet(visit.ends[0], NBD_FIXED_NEWSTYLE);
	do
		send_option(visit.ends[0], NBD_OPTION_MAGIC, 77, no_bytes, 0);
	while (++count < 100000 && fd_read_all(visit.ends[0], header, sizeof(header)) == 0);
	assert_true(count < 100000);
	nbd_visit_end(&visit);
	nbd_fixture_fini(&fixture);
}

static void nbd_server_export_name_answers_as_it_was_agreed(void **state)
{
	static const struct {
		uint32_t flags;
		size_t bytes;
	} kinds[] = { { NBD_FIXED_NEWSTYLE, 134 }, { NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES, 10 } };
	struct nbd_fixture fixture;

	(void)state;
	nbd_fixture_init(&fixture, false);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct nbd_visit visit;
		uint8_t reply[134];

		nbd_visit_start(&visit, fixture.server);
		greet(visit.ends[0], kinds[i].flags);
		send_option(visit.ends[0], NBD_OPTION_MAGIC, NBD_OPT_EXPORT_NAME, "disk", 4);
		receive_bytes(visit.ends[0], reply, kinds[i].bytes);
		assert_true(be64_get(reply) == NBD_DISK_BYTES);
		assert_true(be16_get(reply + 8) & NBD_HAS_FLAGS);
		assert_can_read(visit.ends[0]);
		nbd_visit_end(&visit);
	}
	nbd_fixture_fini(&fixture);
}

static void nbd_server_abort_is_acknowledged(void **state)
{
	struct nbd_fixture fixture;
	struct nbd_visit visit;

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	greet(visit.ends[0], NBD_FIXED_NEWSTYLE);
	assert_int_equal(ask(visit.ends[0], NBD_OPT_ABORT, no_bytes, 0), NBD_REP_ACK);
	assert_dropped(visit.ends[0]);
	nbd_visit_end(&visit);
	nbd_fixture_fini(&fixture);
}

/* ---- requests ---- */

static const struct {
	const char *name;
	bool read_only;
	uint16_t type, flags;
	uint64_t offset;
	uint32_t bytes; /* of a write: at most 16 */
	uint32_t error;
} requests[] = {
	{ "unknown", false, 77, 0, 0, 0, NBD_EINVAL },
	{ "flags of the future", false, NBD_CMD_READ, BIT(9), 0, 1, NBD_EINVAL },
	{ "one piece without structured replies", false, NBD_CMD_READ, NBD_CMD_DF, 0, 1,
	  NBD_EINVAL },
	{ "read behind the end", false, NBD_CMD_READ, 0, NBD_DISK_BYTES, 1, NBD_EINVAL },
	{ "read over the end", false, NBD_CMD_READ, 0, NBD_DISK_BYTES - 1, 2, NBD_EINVAL },
	{ "read of too much", false, NBD_CMD_READ, 0, 0, UINT32_MAX, NBD_EINVAL },
	{ "read at the end of numbers", false, NBD_CMD_READ, 0, UINT64_MAX, UINT32_MAX,
	  NBD_EINVAL },
	{ "write over the end", false, NBD_CMD_WRITE, 0, NBD_DISK_BYTES - 1, 2, NBD_ENOSPC },
	{ "zeroes over the end", false, NBD_CMD_WRITE_ZEROES, 0, NBD_DISK_BYTES - 1, 2,
	  NBD_ENOSPC },
	{ "trim at the end of numbers", false, NBD_CMD_TRIM, 0, UINT64_MAX - 1, UINT32_MAX,
	  NBD_ENOSPC },
	{ "status without contexts", false, NBD_CMD_BLOCK_STATUS, 0, 0, 512, NBD_EINVAL },
	{ "write to what is only read", true, NBD_CMD_WRITE, 0, 0, 16, NBD_EPERM },
	{ "zeroes to what is only read", true, NBD_CMD_WRITE_ZEROES, 0, 0, 512, NBD_EPERM },
	{ "trim of what is only read", true, NBD_CMD_TRIM, 0, 0, 512, NBD_EPERM },
	{ "flush of what is only read", true, NBD_CMD_FLUSH, 0, 0, 0, 0 },
	{ "write", false, NBD_CMD_WRITE, NBD_CMD_FUA, NBD_PART_BYTES + 3, 16, 0 },
	{ "write of nothing", false, NBD_CMD_WRITE, 0, 0, 0, 0 },
	{ "zeroes", false, NBD_CMD_WRITE_ZEROES, NBD_CMD_NO_HOLE, NBD_PART_BYTES + 1, 777, 0 },
	{ "trim", false, NBD_CMD_TRIM, NBD_CMD_FUA, NBD_PART_BYTES + 1, 7777, 0 },
	{ "cache", false, NBD_CMD_CACHE, 0, 1, 7777, 0 },
	{ "flush", false, NBD_CMD_FLUSH, 0, 0, 0, 0 },
};

static void nbd_server_request_gets_the_error_it_deserves(void **state)
{
	static const uint8_t data[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct nbd_fixture fixture;
		struct nbd_visit visit;
		uint32_t error;

		nbd_fixture_init(&fixture, requests[i].read_only);
		nbd_visit_start(&visit, fixture.server);
		enter(visit.ends[0], false);
		send_request(visit.ends[0], requests[i].type, requests[i].flags, requests[i].offset,
			     requests[i].bytes);
		if (requests[i].type == NBD_CMD_WRITE)
			send_bytes(visit.ends[0], data, requests[i].bytes);
		error = simple_reply(visit.ends[0], requests[i].type, requests[i].offset);
		if (error != requests[i].error)
			fail_msg("%s: %u", requests[i].name, error);
		assert_can_read(visit.ends[0]);
		nbd_visit_end(&visit);
		nbd_fixture_fini(&fixture);
	}
}

static void nbd_server_breach_of_requests_ends_the_connection(void **state)
{
	struct nbd_fixture fixture;
	struct nbd_visit visit;
	uint8_t nonsense[28];

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	enter(visit.ends[0], false);
	memset(nonsense, 0x5a, sizeof(nonsense));
	send_bytes(visit.ends[0], nonsense, sizeof(nonsense));
	assert_dropped(visit.ends[0]);
	nbd_visit_end(&visit);

	/* Its data could only be read to be thrown away. */
	nbd_visit_start(&visit, fixture.server);
	enter(visit.ends[0], false);
	send_request(visit.ends[0], NBD_CMD_WRITE, 0, 0, UINT32_MAX);
	assert_dropped(visit.ends[0]);
	nbd_visit_end(&visit);
	nbd_fixture_fini(&fixture);
}

static void nbd_server_client_that_leaves_in_a_write_changes_nothing(void **state)
{
	uint8_t half[2048] = { 0 }, got[sizeof(half)], want[sizeof(half)];
	struct nbd_fixture fixture;
	struct nbd_visit visit;

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	enter(visit.ends[0], false);
	send_request(visit.ends[0], NBD_CMD_WRITE, 0, 0, 2 * sizeof(half));
	send_bytes(visit.ends[0], half, sizeof(half));
	nbd_visit_end(&visit);
	assert_int_equal(block_read(fixture.node, 0, got, sizeof(got)), 0);
	nbd_fill(want, 0, sizeof(want));
	assert_memory_equal(got, want, sizeof(want));
	nbd_fixture_fini(&fixture);
}

static void nbd_server_client_that_takes_no_answers_is_let_go_when_it_leaves(void **state)
{
	struct nbd_fixture fixture;
	struct nbd_visit visit;

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	enter(visit.ends[0], false);
	/* More answers than the socket and the server's threads can hold. */
	for (unsigned i = 0; i < 64; i++)
		send_request(visit.ends[0], NBD_CMD_READ, 0, 0, NBD_DISK_BYTES);
	nbd_visit_end(&visit);
	nbd_fixture_fini(&fixture);
}

/* ---- structured replies ---- */

/* Checks that the chunks of a read tell each byte once, and counts them. */
static unsigned check_read(int fd, uint64_t offset, uint32_t bytes, uint64_t *ret_hole)
{
	uint8_t *want = malloc(bytes);
	struct chunk *chunk = malloc(sizeof(*chunk));
	uint64_t told = 0;
	unsigned count = 0;

	*ret_hole = 0;
	do {
		uint64_t at, length;

		receive_chunk(fd, chunk);
		count++;
		at = be64_get(chunk->data);
		assert_true(at == offset + told);
		if (chunk->type == NBD_CHUNK_HOLE) {
			assert_int_equal(chunk->bytes, 12);
			length = be32_get(chunk->data + 8);
			*ret_hole += length;
			memset(chunk->data, 0, length);
		} else {
			assert_int_equal(chunk->type, NBD_CHUNK_DATA);
			length = chunk->bytes - 8;
			memmove(chunk->data, chunk->data + 8, length);
		}
		assert_true(length && length <= bytes - told);
		nbd_fill(want, at, length);
		assert_memory_equal(chunk->data, want, length);
		told += length;
	} while (!(chunk->flags & NBD_REPLY_DONE));
	assert_true(told == bytes);
	free(chunk);
	free(want);
	return count;
}

static void nbd_server_structured_read_tells_each_byte_once(void **state)
{
	struct nbd_fixture fixture;
	struct nbd_visit visit;
	uint64_t hole;

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	enter(visit.ends[0], true);

	send_request(visit.ends[0], NBD_CMD_READ, 0, 0, NBD_DISK_BYTES);
	assert_int_equal(check_read(visit.ends[0], 0, NBD_DISK_BYTES, &hole), 3);
	assert_int_equal(hole, NBD_PART_BYTES);
	send_request(visit.ends[0], NBD_CMD_READ, NBD_CMD_DF, 0, NBD_DISK_BYTES);
	assert_int_equal(check_read(visit.ends[0], 0, NBD_DISK_BYTES, &hole), 1);
	send_request(visit.ends[0], NBD_CMD_READ, 0, 3, NBD_DISK_BYTES - 5);
	check_read(visit.ends[0], 3, NBD_DISK_BYTES - 5, &hole);
	nbd_visit_end(&visit);
	nbd_fixture_fini(&fixture);
}

static void nbd_server_structured_read_of_nothing_or_nowhere_is_one_chunk(void **state)
{
	struct nbd_fixture fixture;
	struct nbd_visit visit;
	struct chunk chunk;

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	enter(visit.ends[0], true);
	send_request(visit.ends[0], NBD_CMD_READ, 0, 0, 0);
	receive_chunk(visit.ends[0], &chunk);
	assert_true(chunk.type == NBD_CHUNK_NONE && chunk.flags & NBD_REPLY_DONE && !chunk.bytes);
	send_request(visit.ends[0], NBD_CMD_READ, 0, NBD_DISK_BYTES, 1);
	receive_chunk(visit.ends[0], &chunk);
	assert_true(chunk.type == NBD_CHUNK_ERROR && chunk.flags & NBD_REPLY_DONE);
	assert_int_equal(be32_get(chunk.data), NBD_EINVAL);
	nbd_visit_end(&visit);
	nbd_fixture_fini(&fixture);
}

static void nbd_server_status_tells_data_and_holes(void **state)
{
	static const uint32_t want[][2] = {
		{ NBD_PART_BYTES, 0 },
		{ NBD_PART_BYTES, NBD_STATE_HOLE | NBD_STATE_ZERO },
		{ NBD_PART_BYTES, 0 },
	};
	struct nbd_fixture fixture;
	struct nbd_visit visit;
	struct chunk chunk;

	(void)state;
	nbd_fixture_init(&fixture, false);
	nbd_visit_start(&visit, fixture.server);
	enter(visit.ends[0], true);
	send_request(visit.ends[0], NBD_CMD_BLOCK_STATUS, 0, 0, NBD_DISK_BYTES);
	receive_chunk(visit.ends[0], &chunk);
	assert_true(chunk.type == NBD_CHUNK_STATUS && chunk.flags & NBD_REPLY_DONE);
	assert_int_equal(chunk.bytes, 4 + ARRAY_SIZE(want) * 8);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(be32_get(chunk.data + 4 + i * 8), want[i][0]);
		assert_int_equal(be32_get(chunk.data + 8 + i * 8), want[i][1]);
	}
	send_request(visit.ends[0], NBD_CMD_BLOCK_STATUS, NBD_CMD_REQ_ONE, 5, NBD_DISK_BYTES - 5);
	receive_chunk(visit.ends[0], &chunk);
	assert_int_equal(chunk.bytes, 4 + 8);
	assert_int_equal(be32_get(chunk.data + 4), NBD_PART_BYTES - 5);
	nbd_visit_end(&visit);
	nbd_fixture_fini(&fixture);
}

/* ---- many clients ---- */

#define CLIENTS 12
#define PLACES  3 /* fewer than clients: some wait */

static void *read_here_and_there(void *ctx)
{
	const struct sockaddr_un *address = ctx;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return (void *)1;
	enter(fd, false);
	for (unsigned i = 0; i < 50; i++)
		assert_can_read(fd);
	send_request(fd, NBD_CMD_DISC, 0, 0, 0);
	assert_dropped(fd);
	close(fd);
	return NULL;
}

struct running_server {
	struct nbd_server *server;
	int stop_fd, rc;
};

static void *run_server(void *ctx)
{
	struct running_server *running = ctx;

	running->rc = nbd_server_run(running->server, running->stop_fd, false);
	return NULL;
}

static void nbd_server_with_more_clients_than_places_serves_all(void **state)
{
	static const uint64_t one = 1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct nbd_fixture fixture;
	struct nbd_export export = { .name = "disk" };
	struct nbd_server_options settings = { .exports = &export,
					       .export_count = 1,
					       .connections_max = PLACES };
	struct running_server running = { .stop_fd = eventfd(0, EFD_CLOEXEC) };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t server, clients[CLIENTS];

	(void)state;
	nbd_fixture_init(&fixture, false);
	export.node = fixture.node;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s.socket", fixture.path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, CLIENTS), 0);
	assert_int_equal(nbd_server_new(&running.server, &settings, NULL), 0);
	assert_int_equal(nbd_server_listen(running.server, listener, NULL), 0);
	pthread_create(&server, NULL, run_server, &running);
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_create(&clients[i], NULL, read_here_and_there, &address);
	for (unsigned i = 0; i < CLIENTS; i++) {
		void *failed;

		pthread_join(clients[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(fd_write_all(running.stop_fd, &one, sizeof(one)), 0);
	pthread_join(server, NULL);
	assert_int_equal(running.rc, 0);
	nbd_server_free(running.server);
	close(running.stop_fd);
	unlink(address.sun_path);
	nbd_fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nbd_server_option_gets_the_reply_it_deserves),
		cmocka_unit_test(nbd_server_breach_of_the_handshake_ends_it),
		cmocka_unit_test(nbd_server_option_of_any_length_takes_no_memory),
		cmocka_unit_test(nbd_server_endless_handshake_is_ended),
		cmocka_unit_test(nbd_server_export_name_answers_as_it_was_agreed),
		cmocka_unit_test(nbd_server_abort_is_acknowledged),
		cmocka_unit_test(nbd_server_request_gets_the_error_it_deserves),
		cmocka_unit_test(nbd_server_breach_of_requests_ends_the_connection),
		cmocka_unit_test(nbd_server_client_that_leaves_in_a_write_changes_nothing),
		cmocka_unit_test(nbd_server_client_that_takes_no_answers_is_let_go_when_it_leaves),
		cmocka_unit_test(nbd_server_structured_read_tells_each_byte_once),
		cmocka_unit_test(nbd_server_structured_read_of_nothing_or_nowhere_is_one_chunk),
		cmocka_unit_test(nbd_server_status_tells_data_and_holes),
		cmocka_unit_test(nbd_server_with_more_clients_than_places_serves_all),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
