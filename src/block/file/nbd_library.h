/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libnbd, loaded when the first disk needs it: with all that it stands on it would make every start
 * of every program several times as long.
 */
#pragma once

#include <libnbd.h>

#include "base/err.h"

#define NBD_FUNCTIONS(f)                                                                           \
	f(create) f(close) f(get_error) f(get_errno) f(connect_uri) f(shutdown) f(aio_is_dead)     \
		f(aio_is_closed) f(add_meta_context) f(can_meta_context)                           \
			f(set_uri_allow_local_file) f(get_size) f(get_block_size) f(is_read_only)  \
				f(can_multi_conn) f(can_trim) f(can_zero) f(can_flush) f(can_fua)  \
					f(pread) f(pwrite) f(flush) f(trim) f(zero)                \
						f(block_status)

struct nbd_library {
	void *handle;
#define f(name) __typeof__(nbd_##name) *name;
	NBD_FUNCTIONS(f)
#undef f
};

/* -ENOENT: it is not installed; explained. */
int nbd_library_open(struct nbd_library *library, struct err *err);
void nbd_library_close(struct nbd_library *library);
