/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers of the network block device protocol; on the wire all are big-endian.
 *
 * Spec: NetworkBlockDevice/nbd doc/proto.md, "Values".
 */
#pragma once

#include "base/bits.h"

#define NBD_MAGIC            UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC     UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_REPLY_MAGIC      UINT64_C(0x0003e889045565a9) /* of an option */
#define NBD_REQUEST_MAGIC    UINT32_C(0x25609513)
#define NBD_SIMPLE_MAGIC     UINT32_C(0x67446698)
#define NBD_STRUCTURED_MAGIC UINT32_C(0x668e33ef)

#define NBD_PORT 10809

enum nbd_handshake_flag {
	NBD_FIXED_NEWSTYLE = BIT(0),
	NBD_NO_ZEROES = BIT(1),
};

enum nbd_option {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_STARTTLS = 5,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
	NBD_OPT_LIST_META_CONTEXT = 9,
	NBD_OPT_SET_META_CONTEXT = 10,
};

#define NBD_REP_ERROR UINT32_C(0x80000000)

enum nbd_option_reply {
	NBD_REP_ACK = 1,
	NBD_REP_SERVER = 2,
	NBD_REP_INFO = 3,
	NBD_REP_META_CONTEXT = 4,
};

enum nbd_option_error {
	NBD_REP_UNSUP = NBD_REP_ERROR + 1,
	NBD_REP_POLICY = NBD_REP_ERROR + 2,
	NBD_REP_INVALID = NBD_REP_ERROR + 3,
	NBD_REP_TLS_REQD = NBD_REP_ERROR + 5,
	NBD_REP_UNKNOWN = NBD_REP_ERROR + 6,
	NBD_REP_TOO_BIG = NBD_REP_ERROR + 9,
};

enum nbd_info {
	NBD_INFO_EXPORT = 0,
	NBD_INFO_NAME = 1,
	NBD_INFO_DESCRIPTION = 2,
	NBD_INFO_BLOCK_SIZE = 3,
};

enum nbd_export_flag {
	NBD_HAS_FLAGS = BIT(0),
	NBD_READ_ONLY = BIT(1),
	NBD_SEND_FLUSH = BIT(2),
	NBD_SEND_FUA = BIT(3),
	NBD_SEND_TRIM = BIT(5),
	NBD_SEND_WRITE_ZEROES = BIT(6),
	NBD_SEND_DF = BIT(7),
	NBD_CAN_MULTI_CONN = BIT(8),
	NBD_SEND_CACHE = BIT(10),
};

enum nbd_command {
	NBD_CMD_READ,
	NBD_CMD_WRITE,
	NBD_CMD_DISC,
	NBD_CMD_FLUSH,
	NBD_CMD_TRIM,
	NBD_CMD_CACHE,
	NBD_CMD_WRITE_ZEROES,
	NBD_CMD_BLOCK_STATUS,
};

enum nbd_command_flag {
	NBD_CMD_FUA = BIT(0),
	NBD_CMD_NO_HOLE = BIT(1),
	NBD_CMD_DF = BIT(2),
	NBD_CMD_REQ_ONE = BIT(3),
};

#define NBD_REPLY_DONE BIT(0)

enum nbd_chunk {
	NBD_CHUNK_NONE = 0,
	NBD_CHUNK_DATA = 1,
	NBD_CHUNK_HOLE = 2,
	NBD_CHUNK_STATUS = 5,
	NBD_CHUNK_ERROR = 0x8001,
};

enum nbd_state {
	NBD_STATE_HOLE = BIT(0), /* base:allocation */
	NBD_STATE_ZERO = BIT(1),
	NBD_STATE_DIRTY = BIT(0), /* qemu:dirty-bitmap:… */
};

enum nbd_error {
	NBD_EPERM = 1,
	NBD_EIO = 5,
	NBD_ENOMEM = 12,
	NBD_EINVAL = 22,
	NBD_ENOSPC = 28,
	NBD_ENOTSUP = 95,
};
