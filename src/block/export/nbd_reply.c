/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers, simple and structured; each is sent whole. */
#include <errno.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "block/export/nbd_priv.h"
#include "block/export/nbd_proto.h"
#include "host/thread.h"

#define SIMPLE_BYTES 16
#define CHUNK_BYTES  20
#define ERROR_BYTES  6

static uint32_t wire_error(int rc)
{
	switch (-rc) {
	case 0:
		return 0;
	case EPERM:
	case EACCES:
	case EROFS:
		return NBD_EPERM;
	case ENOMEM:
		return NBD_ENOMEM;
	case EINVAL:
		return NBD_EINVAL;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return NBD_ENOSPC;
	case ENOTSUP:
		return NBD_ENOTSUP;
	default:
		return NBD_EIO;
	}
}

static int send_message(struct nbd_connection *connection, const struct iovec *iov, unsigned count)
{
	LOCK_SCOPE(&connection->sending);
	return nbd_stream_send(&connection->stream, iov, count);
}

static void put_simple(uint8_t header[SIMPLE_BYTES], const struct nbd_request *request, int rc)
{
	be32_put(header, NBD_SIMPLE_MAGIC);
	be32_put(header + 4, wire_error(rc));
	be64_put(header + 8, request->cookie);
}

int nbd_reply_chunk(struct nbd_connection *connection, const struct nbd_request *request,
		    unsigned type, bool last, struct iovec head, struct iovec data)
{
	uint8_t header[CHUNK_BYTES];
	struct iovec iov[] = { { header, sizeof(header) }, head, data };

	be32_put(header, NBD_STRUCTURED_MAGIC);
	be16_put(header + 4, last ? NBD_REPLY_DONE : 0);
	be16_put(header + 6, (uint16_t)type);
	be64_put(header + 8, request->cookie);
	be32_put(header + 16, (uint32_t)(head.iov_len + data.iov_len));
	return send_message(connection, iov, ARRAY_SIZE(iov));
}

int nbd_reply(struct nbd_connection *connection, const struct nbd_request *request, int rc)
{
	bool structured = connection->structured &&
			  (request->type == NBD_CMD_READ || request->type == NBD_CMD_BLOCK_STATUS);
	uint8_t header[SIMPLE_BYTES], error[ERROR_BYTES];
	struct iovec iov = { header, sizeof(header) };

	if (structured) {
		be32_put(error, wire_error(rc));
		be16_put(error + 4, 0);
		return nbd_reply_chunk(connection, request, rc ? NBD_CHUNK_ERROR : NBD_CHUNK_NONE,
				       true, (struct iovec){ error, rc ? sizeof(error) : 0 },
				       (struct iovec){ 0 });
	}
	put_simple(header, request, rc);
	return send_message(connection, &iov, 1);
}

int nbd_reply_data(struct nbd_connection *connection, const struct nbd_request *request)
{
	uint8_t header[SIMPLE_BYTES];
	struct iovec iov[] = { { header, sizeof(header) }, { request->data, request->bytes } };

	put_simple(header, request, 0);
	return send_message(connection, iov, ARRAY_SIZE(iov));
}
