/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about exports: which there are, what they are like, and what block status tells of them.
 *
 * Spec: NetworkBlockDevice/nbd doc/proto.md, "Option types", "Metadata querying"; QEMU
 * docs/interop/nbd.rst.
 */
#include "block/export/nbd_option.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/macros.h"

#define PREFERRED_MIN 4096

/* A client may ask for so many contexts and facts at once. */
#define QUERIES_MAX 1024

static struct iovec text_iov(const char *text)
{
	return (struct iovec){ (void *)(uintptr_t)text, strlen(text) };
}

int nbd_option_list(struct nbd_connection *connection, struct nbd_option_request *request)
{
	const struct nbd_server *server = connection->server;
	int rc = 0;

	if (request->bytes)
		return nbd_option_end(connection, request->option, NBD_REP_INVALID);
	for (unsigned i = 0; i < server->disk_count && !rc; i++) {
		const struct nbd_export *export = &server->disks[i].export;
		uint8_t head[4 + NBD_NAME_MAX];
		size_t length = strlen(export->name);

		be32_put(head, (uint32_t)length);
		memcpy(head + 4, export->name, length);
		rc = nbd_option_reply(connection, request->option, NBD_REP_SERVER,
				      (struct iovec){ head, 4 + length },
				      text_iov(export->description ? export->description : ""));
	}
	return rc ? rc : nbd_option_end(connection, request->option, NBD_REP_ACK);
}

/* ---- facts about an export ---- */

static int send_info(struct nbd_connection *connection, const struct nbd_option_request *request,
		     unsigned info, const uint8_t *data, size_t bytes, const char *text)
{
	uint8_t head[16];

	be16_put(head, (uint16_t)info);
	if (bytes)
		memcpy(head + 2, data, bytes);
	return nbd_option_reply(connection, request->option, NBD_REP_INFO,
				(struct iovec){ head, 2 + bytes }, text_iov(text));
}

static int send_export(struct nbd_connection *connection, const struct nbd_option_request *request,
		       struct nbd_disk *disk)
{
	uint8_t data[10];

	be64_put(data, block_size_bytes(disk->export.node));
	be16_put(data + 8, nbd_export_flags(connection, disk));
	return send_info(connection, request, NBD_INFO_EXPORT, data, sizeof(data), "");
}

static int send_block_size(struct nbd_connection *connection,
			   const struct nbd_option_request *request, struct nbd_disk *disk)
{
	struct block_node *node = disk->export.node;
	uint32_t preferred = MAX(block_granularity_bytes(node), (uint32_t)PREFERRED_MIN);
	uint8_t data[12];

	be32_put(data, block_unit_bytes(node));
	be32_put(data + 4, MIN(preferred, (uint32_t)NBD_PAYLOAD_MAX));
	be32_put(data + 8, NBD_PAYLOAD_MAX);
	return send_info(connection, request, NBD_INFO_BLOCK_SIZE, data, sizeof(data), "");
}

static int send_fact(struct nbd_connection *connection, const struct nbd_option_request *request,
		     struct nbd_disk *disk, unsigned info)
{
	const struct nbd_export *export = &disk->export;

	switch (info) {
	case NBD_INFO_NAME:
		return send_info(connection, request, info, NULL, 0, export->name);
	case NBD_INFO_DESCRIPTION:
		return export->description
			       ? send_info(connection, request, info, NULL, 0, export->description)
			       : 0;
	case NBD_INFO_BLOCK_SIZE:
		return send_block_size(connection, request, disk);
	default:
		return 0; /* what is not known need not be answered */
	}
}

/* NBD_OPT_INFO and, going on with that export, NBD_OPT_GO. */
int nbd_option_info(struct nbd_connection *connection, struct nbd_option_request *request)
{
	struct nbd_disk *disk;
	struct nbd_text name;
	uint16_t count, info;
	int rc;

	if (!nbd_take_text(request, &name) || !nbd_take_u16(request, &count) ||
	    request->bytes != count * sizeof(info) || count > QUERIES_MAX)
		return nbd_option_end(connection, request->option, NBD_REP_INVALID);
	disk = nbd_find_disk(connection->server, name);
	if (!disk)
		return nbd_option_end(connection, request->option, NBD_REP_UNKNOWN);
	rc = send_export(connection, request, disk);
	while (!rc && nbd_take_u16(request, &info))
		rc = send_fact(connection, request, disk, info);
	if (!rc)
		rc = nbd_option_end(connection, request->option, NBD_REP_ACK);
	if (rc || request->option == NBD_OPT_INFO)
		return rc;
	connection->disk = disk;
	return 1;
}

/* ---- contexts of block status ---- */

#define BASE_SPACE   "base:"
#define BASE_CONTEXT BASE_SPACE "allocation"
#define QEMU_SPACE   "qemu:"
#define BITMAP_SPACE QEMU_SPACE "dirty-bitmap:"

static bool is_text(struct nbd_text text, const char *other)
{
	return text.length == strlen(other) && !memcmp(text.text, other, text.length);
}

static bool is_bitmap(struct nbd_text text, const char *name)
{
	size_t space = strlen(BITMAP_SPACE);

	return text.length == space + strlen(name) && !memcmp(text.text, BITMAP_SPACE, space) &&
	       !memcmp(text.text + space, name, strlen(name));
}

static unsigned count_bitmaps(const struct nbd_disk *disk)
{
	unsigned count = 0;

	while (disk->export.bitmaps && disk->export.bitmaps[count])
		count++;
	return count;
}

/* Bits of the contexts that are meant; a whole space of names only where it is `listing`. */
static uint64_t match_contexts(const struct nbd_disk *disk, struct nbd_text query, bool listing)
{
	unsigned count = count_bitmaps(disk);
	uint64_t bitmaps = bits_mask(count) << 1;

	if (is_text(query, BASE_CONTEXT) || (listing && is_text(query, BASE_SPACE)))
		return BIT(NBD_CONTEXT_ALLOCATION);
	if (listing && (is_text(query, QEMU_SPACE) || is_text(query, BITMAP_SPACE)))
		return bitmaps;
	for (unsigned i = 0; i < count; i++) {
		if (is_bitmap(query, disk->export.bitmaps[i]))
			return BIT(1 + i);
	}
	return 0;
}

static int send_contexts(struct nbd_connection *connection,
			 const struct nbd_option_request *request, const struct nbd_disk *disk,
			 uint64_t contexts)
{
	int rc = 0;

	for (; contexts && !rc; contexts &= contexts - 1) {
		unsigned context = (unsigned)__builtin_ctzll(contexts);
		char head[4 + sizeof(BITMAP_SPACE)];
		const char *space = context ? BITMAP_SPACE : BASE_CONTEXT;
		const char *name = context ? disk->export.bitmaps[context - 1] : "";

		be32_put(head, context);
		memcpy(head + 4, space, strlen(space));
		rc = nbd_option_reply(connection, request->option, NBD_REP_META_CONTEXT,
				      (struct iovec){ head, 4 + strlen(space) }, text_iov(name));
	}
	return rc;
}

static bool take_queries(struct nbd_option_request *request, const struct nbd_disk *disk,
			 bool listing, uint64_t *ret_contexts)
{
	struct nbd_text query;
	uint64_t contexts = 0;
	uint32_t count;

	if (!nbd_take_u32(request, &count) || count > QUERIES_MAX)
		return false;
	if (!count && listing && disk)
		contexts = bits_mask(1 + count_bitmaps(disk));
	while (count--) {
		if (!nbd_take_text(request, &query))
			return false;
		if (disk)
			contexts |= match_contexts(disk, query, listing);
	}
	*ret_contexts = contexts;
	return !request->bytes;
}

/* NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT. */
int nbd_option_contexts(struct nbd_connection *connection, struct nbd_option_request *request)
{
	bool listing = request->option == NBD_OPT_LIST_META_CONTEXT;
	struct nbd_disk *disk;
	struct nbd_text name;
	uint64_t contexts;
	int rc;

	/* Whatever comes of this one, what was chosen before holds no more. */
	if (!listing)
		connection->contexts = 0;
	if (!connection->structured || !nbd_take_text(request, &name))
		return nbd_option_end(connection, request->option, NBD_REP_INVALID);
	disk = nbd_find_disk(connection->server, name);
	if (!take_queries(request, disk, listing, &contexts))
		return nbd_option_end(connection, request->option, NBD_REP_INVALID);
	if (!disk)
		return nbd_option_end(connection, request->option, NBD_REP_UNKNOWN);
	rc = send_contexts(connection, request, disk, contexts);
	if (rc)
		return rc;
	if (!listing) {
		connection->contexts = contexts;
		connection->contexts_disk = disk;
	}
	return nbd_option_end(connection, request->option, NBD_REP_ACK);
}
