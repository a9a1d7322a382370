/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transmission: a client's requests, by rows.
 *
 * Spec: NetworkBlockDevice/nbd doc/proto.md, "Transmission", "Request types".
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "block/export/nbd_priv.h"
#include "block/export/nbd_proto.h"

#define REQUEST_BYTES 28

/* Shorter reads are not searched for zeroes, longer ones only for so many of them. */
#define HOLE_SEARCH_BYTES (32 * KIB)
#define HOLES_MAX         64
#define SEARCH_BYTES      GIB

struct command {
	uint16_t flags; /* that it may have */
	bool ranged;    /* has offset and bytes … */
	bool carries;   /* … and so much data, one way or the other */
	bool changes;
	/* Answers only where it has data to send, and then returns 1. */
	int (*run)(struct nbd_connection *connection, struct nbd_request *request);
};

static unsigned write_flags(const struct nbd_request *request)
{
	return request->flags & NBD_CMD_FUA ? BLOCK_FUA : 0;
}

/* Sends a stretch of what was asked for: zeroes, or data. */
static int send_stretch(struct nbd_connection *connection, struct nbd_request *request,
			uint64_t offset, uint64_t bytes, bool zero)
{
	bool last = offset + bytes == request->offset + request->bytes;
	uint8_t head[12];

	be64_put(head, offset);
	be32_put(head + 8, (uint32_t)bytes);
	if (zero)
		return nbd_reply_chunk(connection, request, NBD_CHUNK_HOLE, last,
				       (struct iovec){ head, 12 }, (struct iovec){ 0 });
	return nbd_reply_chunk(connection, request, NBD_CHUNK_DATA, last, (struct iovec){ head, 8 },
			       (struct iovec){ request->data + (offset - request->offset), bytes });
}

/* How far from `offset` on it is all known to be zero, or all not. Guesses cost only speed; but some
 * storage looks through a whole file to find where its data ends, so that is kept. */
static uint64_t find_stretch(struct nbd_disk *disk, uint64_t offset, uint64_t bytes, bool *ret_zero)
{
	struct block_node *node = disk->export.node;
	uint64_t from = atomic_load(&disk->data_from), to = atomic_load(&disk->data_to);
	struct block_extent extent;

	*ret_zero = false;
	if (offset >= from && offset < to)
		return MIN(bytes, to - offset);
	if ((offset | bytes) & (block_unit_bytes(node) - 1) ||
	    block_extent(node, offset, MIN(block_size_bytes(node) - offset, SEARCH_BYTES), &extent))
		return bytes;
	*ret_zero = extent.flags & BLOCK_EXTENT_ZERO;
	if (!*ret_zero) {
		atomic_store(&disk->data_from, offset);
		atomic_store(&disk->data_to, offset + extent.bytes);
	}
	return MIN(bytes, extent.bytes);
}

static int run_read_structured(struct nbd_connection *connection, struct nbd_request *request)
{
	bool search = request->bytes >= HOLE_SEARCH_BYTES && !(request->flags & NBD_CMD_DF);
	uint64_t offset = request->offset, left = request->bytes;

	for (unsigned i = 0; left; i++) {
		uint64_t bytes = left;
		bool zero = false;
		int rc = 0;

		if (search && i < HOLES_MAX)
			bytes = find_stretch(connection->disk, offset, left, &zero);
		if (!zero)
			rc = nbd_disk_read(connection->disk, offset,
					   request->data + (offset - request->offset), bytes);
		if (rc)
			return rc;
		if (send_stretch(connection, request, offset, bytes, zero))
			return 1;
		offset += bytes;
		left -= bytes;
	}
	return request->bytes ? 1 : 0;
}

static int run_read(struct nbd_connection *connection, struct nbd_request *request)
{
	int rc;

	if (connection->structured)
		return run_read_structured(connection, request);
	rc = nbd_disk_read(connection->disk, request->offset, request->data, request->bytes);
	if (rc)
		return rc;
	nbd_reply_data(connection, request);
	return 1;
}

static int run_write(struct nbd_connection *connection, struct nbd_request *request)
{
	return nbd_disk_write(connection->disk, request->offset, request->data, request->bytes,
			      write_flags(request));
}

static int run_flush(struct nbd_connection *connection, struct nbd_request *request)
{
	(void)request;
	return nbd_disk_is_read_only(connection->disk) ? 0
						       : block_flush(connection->disk->export.node);
}

static int run_trim(struct nbd_connection *connection, struct nbd_request *request)
{
	int rc = nbd_disk_trim(connection->disk, request->offset, request->bytes);

	return rc || !(request->flags & NBD_CMD_FUA) ? rc : run_flush(connection, request);
}

static int run_cache(struct nbd_connection *connection, struct nbd_request *request)
{
	return nbd_disk_cache(connection->disk, request->offset, request->bytes);
}

static int run_write_zeroes(struct nbd_connection *connection, struct nbd_request *request)
{
	unsigned flags = write_flags(request);

	if (!(request->flags & NBD_CMD_NO_HOLE))
		flags |= BLOCK_MAY_UNMAP;
	return nbd_disk_write_zeroes(connection->disk, request->offset, request->bytes, flags);
}

static const struct command commands[] = {
	[NBD_CMD_READ] = { .flags = NBD_CMD_FUA | NBD_CMD_DF,
			   .ranged = true,
			   .carries = true,
			   .run = run_read },
	[NBD_CMD_WRITE] = { .flags = NBD_CMD_FUA,
			    .ranged = true,
			    .carries = true,
			    .changes = true,
			    .run = run_write },
	[NBD_CMD_FLUSH] = { .flags = NBD_CMD_FUA, .run = run_flush },
	[NBD_CMD_TRIM] = { .flags = NBD_CMD_FUA, .ranged = true, .changes = true, .run = run_trim },
	[NBD_CMD_CACHE] = { .flags = NBD_CMD_FUA, .ranged = true, .run = run_cache },
	[NBD_CMD_WRITE_ZEROES] = { .flags = NBD_CMD_FUA | NBD_CMD_NO_HOLE,
				   .ranged = true,
				   .changes = true,
				   .run = run_write_zeroes },
	[NBD_CMD_BLOCK_STATUS] = { .flags = NBD_CMD_FUA | NBD_CMD_REQ_ONE,
				   .ranged = true,
				   .run = nbd_status_run },
};

static const struct command *find_command(unsigned type)
{
	return type < ARRAY_SIZE(commands) && commands[type].run ? &commands[type] : NULL;
}

/* 0, or why it is refused. */
static int judge(const struct nbd_connection *connection, const struct nbd_request *request)
{
	const struct command *command = find_command(request->type);
	uint64_t size = block_size_bytes(connection->disk->export.node);

	if (!command || request->flags & ~command->flags)
		return -EINVAL;
	if (command->ranged && (request->offset > size || request->bytes > size - request->offset))
		return command->changes ? -ENOSPC : -EINVAL;
	if (command->changes && nbd_disk_is_read_only(connection->disk))
		return -EPERM;
	if (command->carries && request->bytes > NBD_PAYLOAD_MAX)
		return -EINVAL;
	if (!connection->structured && request->flags & NBD_CMD_DF)
		return -EINVAL;
	return 0;
}

int nbd_request_receive(struct nbd_connection *connection, struct nbd_request *request)
{
	uint8_t header[REQUEST_BYTES];
	int rc = nbd_stream_receive(&connection->stream, header, sizeof(header));

	if (rc)
		return rc;
	if (be32_get(header) != NBD_REQUEST_MAGIC)
		return -EPROTO;
	*request = (struct nbd_request){
		.flags = be16_get(header + 4),
		.type = be16_get(header + 6),
		.cookie = be64_get(header + 8),
		.offset = be64_get(header + 16),
		.bytes = be32_get(header + 24),
	};
	if (request->type == NBD_CMD_DISC)
		return 1;
	request->rc = judge(connection, request);
	/* The data of a refused write comes all the same. */
	if (request->type == NBD_CMD_WRITE) {
		rc = request->bytes > NBD_PAYLOAD_MAX ? -EPROTO
						      : nbd_memory_get(connection, request);
		return rc ? rc
			  : nbd_stream_receive(&connection->stream, request->data, request->bytes);
	}
	if (!request->rc && find_command(request->type)->carries)
		request->rc = nbd_memory_get(connection, request);
	return 0;
}

void nbd_request_run(struct nbd_connection *connection, struct nbd_request *request)
{
	int rc = request->rc ? request->rc : find_command(request->type)->run(connection, request);

	if (rc <= 0)
		nbd_reply(connection, request, rc);
}
