/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixed newstyle handshake: greeting, and options one after another until the client has chosen
 * an export.
 *
 * Spec: NetworkBlockDevice/nbd doc/proto.md, "Fixed newstyle negotiation", "Option types".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/export/nbd_option.h"

#define OPTION_BYTES_MAX 65536
#define OPTIONS_MAX      1000

bool nbd_take_u16(struct nbd_option_request *request, uint16_t *ret_value)
{
	if (request->bytes < sizeof(*ret_value))
		return false;
	*ret_value = be16_get(request->data);
	request->data += sizeof(*ret_value);
	request->bytes -= (uint32_t)sizeof(*ret_value);
	return true;
}

bool nbd_take_u32(struct nbd_option_request *request, uint32_t *ret_value)
{
	if (request->bytes < sizeof(*ret_value))
		return false;
	*ret_value = be32_get(request->data);
	request->data += sizeof(*ret_value);
	request->bytes -= (uint32_t)sizeof(*ret_value);
	return true;
}

bool nbd_take_text(struct nbd_option_request *request, struct nbd_text *ret_text)
{
	uint32_t length;

	if (!nbd_take_u32(request, &length) || length > request->bytes || length > NBD_NAME_MAX)
		return false;
	*ret_text = (struct nbd_text){ (const char *)request->data, length };
	request->data += length;
	request->bytes -= length;
	return true;
}

int nbd_option_reply(struct nbd_connection *connection, uint32_t option, uint32_t type,
		     struct iovec head, struct iovec tail)
{
	uint8_t header[20];
	struct iovec iov[] = { { header, sizeof(header) }, head, tail };

	be64_put(header, NBD_REPLY_MAGIC);
	be32_put(header + 8, option);
	be32_put(header + 12, type);
	be32_put(header + 16, (uint32_t)(head.iov_len + tail.iov_len));
	return nbd_stream_send(&connection->stream, iov, ARRAY_SIZE(iov));
}

int nbd_option_end(struct nbd_connection *connection, uint32_t option, uint32_t type)
{
	return nbd_option_reply(connection, option, type, (struct iovec){ 0 }, (struct iovec){ 0 });
}

struct nbd_disk *nbd_find_disk(struct nbd_server *server, struct nbd_text name)
{
	for (unsigned i = 0; i < server->disk_count; i++) {
		const char *own = server->disks[i].export.name;

		if (strlen(own) == name.length && !memcmp(own, name.text, name.length))
			return &server->disks[i];
	}
	return name.length ? NULL : &server->disks[0];
}

uint16_t nbd_export_flags(const struct nbd_connection *connection, const struct nbd_disk *disk)
{
	/* All connections work on the same node: a flush of one is a flush of all. */
	uint64_t flags =
		NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_CAN_MULTI_CONN | NBD_SEND_CACHE;

	if (nbd_disk_is_read_only(disk))
		flags |= NBD_READ_ONLY;
	else
		flags |= NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES;
	if (connection->structured)
		flags |= NBD_SEND_DF;
	return (uint16_t)flags;
}

/* Needs no reply to say no: there is none for this option. */
static int option_export_name(struct nbd_connection *connection, struct nbd_option_request *request)
{
	struct nbd_text name = { (const char *)request->data, request->bytes };
	struct nbd_disk *disk = nbd_find_disk(connection->server, name);
	uint8_t reply[134] = { 0 };
	struct iovec iov = { reply, connection->no_zeroes ? 10 : sizeof(reply) };
	int rc;

	if (!disk)
		return -ENOENT;
	be64_put(reply, block_size_bytes(disk->export.node));
	be16_put(reply + 8, nbd_export_flags(connection, disk));
	rc = nbd_stream_send(&connection->stream, &iov, 1);
	connection->disk = disk;
	return rc ? rc : 1;
}

static int option_abort(struct nbd_connection *connection, struct nbd_option_request *request)
{
	nbd_option_end(connection, request->option, NBD_REP_ACK);
	return -ESHUTDOWN;
}

static int option_structured(struct nbd_connection *connection, struct nbd_option_request *request)
{
	if (request->bytes || connection->structured)
		return nbd_option_end(connection, request->option, NBD_REP_INVALID);
	connection->structured = true;
	return nbd_option_end(connection, request->option, NBD_REP_ACK);
}

static int option_starttls(struct nbd_connection *connection, struct nbd_option_request *request)
{
	struct nbd_tls *tls = connection->server->tls;
	int rc;

	if (request->bytes || connection->stream.tls)
		return nbd_option_end(connection, request->option, NBD_REP_INVALID);
	if (!tls)
		return nbd_option_end(connection, request->option, NBD_REP_POLICY);
	rc = nbd_option_end(connection, request->option, NBD_REP_ACK);
	if (rc)
		return rc;
	/* What was said in the clear may have been said by somebody in between. */
	connection->structured = false;
	connection->contexts = 0;
	connection->contexts_disk = NULL;
	return nbd_tls_start(tls, &connection->stream);
}

struct option {
	uint32_t code;
	bool in_clear; /* also before the TLS that is required */
	int (*run)(struct nbd_connection *connection, struct nbd_option_request *request);
};

static const struct option options[] = {
	{ NBD_OPT_EXPORT_NAME, false, option_export_name },
	{ NBD_OPT_ABORT, true, option_abort },
	{ NBD_OPT_LIST, false, nbd_option_list },
	{ NBD_OPT_STARTTLS, true, option_starttls },
	{ NBD_OPT_INFO, false, nbd_option_info },
	{ NBD_OPT_GO, false, nbd_option_info },
	{ NBD_OPT_STRUCTURED_REPLY, false, option_structured },
	{ NBD_OPT_LIST_META_CONTEXT, false, nbd_option_contexts },
	{ NBD_OPT_SET_META_CONTEXT, false, nbd_option_contexts },
};

static int run_option(struct nbd_connection *connection, struct nbd_option_request *request)
{
	const struct nbd_server *server = connection->server;
	bool clear = server->tls && !server->tls_optional && !connection->stream.tls;

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		if (options[i].code != request->option)
			continue;
		if (!clear || options[i].in_clear)
			return options[i].run(connection, request);
		return request->option == NBD_OPT_EXPORT_NAME
			       ? -EPERM
			       : nbd_option_end(connection, request->option, NBD_REP_TLS_REQD);
	}
	return nbd_option_end(connection, request->option, NBD_REP_UNSUP);
}

static int take_option(struct nbd_connection *connection)
{
	AUTO_FREE uint8_t *data = NULL;
	struct nbd_option_request request;
	uint8_t header[16];
	int rc = nbd_stream_receive(&connection->stream, header, sizeof(header));

	if (rc)
		return rc;
	request.option = be32_get(header + 8);
	request.bytes = be32_get(header + 12);
	if (be64_get(header) != NBD_OPTION_MAGIC || request.bytes > OPTION_BYTES_MAX)
		return -EPROTO;
	data = malloc(MAX(request.bytes, 1u));
	if (!data)
		return -ENOMEM;
	request.data = data;
	rc = nbd_stream_receive(&connection->stream, data, request.bytes);
	return rc ? rc : run_option(connection, &request);
}

static int greet(struct nbd_connection *connection)
{
	uint8_t greeting[18], answer[4];
	struct iovec iov = { greeting, sizeof(greeting) };
	uint32_t flags;
	int rc;

	be64_put(greeting, NBD_MAGIC);
	be64_put(greeting + 8, NBD_OPTION_MAGIC);
	be16_put(greeting + 16, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	rc = nbd_stream_send(&connection->stream, &iov, 1);
	if (!rc)
		rc = nbd_stream_receive(&connection->stream, answer, sizeof(answer));
	if (rc)
		return rc;
	flags = be32_get(answer);
	connection->no_zeroes = flags & NBD_NO_ZEROES;
	/* Without the fixed handshake a client cannot be told that something is refused. */
	return flags & NBD_FIXED_NEWSTYLE && !(flags & ~(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES))
		       ? 0
		       : -EPROTO;
}

int nbd_handshake(struct nbd_connection *connection)
{
	int rc = greet(connection);

	for (unsigned i = 0; i < OPTIONS_MAX && !rc; i++)
		rc = take_option(connection);
	if (rc <= 0)
		return rc ? rc : -EPROTO;
	/* Contexts are chosen for an export by name, and hold for no other. */
	if (connection->contexts_disk != connection->disk)
		connection->contexts = 0;
	return 0;
}
