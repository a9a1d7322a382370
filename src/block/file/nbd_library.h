/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libnbd, loaded when the first disk needs it: with all that it stands on it would make every start
 * of every program several times as long.
 */
#pragma once

#include <libnbd.h>

#include "base/err.h"

#define NBD_FUNCTIONS(f)                                                                           \
	f(create) f(close) f(get_error) f(get_errno) f(poll) f(aio_connect_uri)                    \
		f(aio_connect_socket) f(aio_is_connecting) f(aio_is_ready) f(aio_is_dead)          \
			f(aio_is_closed) f(aio_disconnect) f(aio_get_fd) f(aio_get_direction)      \
				f(aio_notify_read) f(aio_notify_write) f(aio_pread) f(aio_pwrite)  \
					f(aio_flush) f(aio_trim) f(aio_zero) f(aio_block_status)   \
						f(add_meta_context) f(can_meta_context)            \
							f(set_uri_allow_local_file) f(get_size) f( \
								get_block_size) f(is_read_only)    \
								f(can_multi_conn) f(can_trim)      \
									f(can_zero) f(can_flush)   \
										f(can_fua)

struct nbd_library {
	void *handle;
#define f(name) __typeof__(nbd_##name) *name;
	NBD_FUNCTIONS(f)
#undef f
};

/* -ENOENT: it is not installed; explained. */
int nbd_library_open(struct nbd_library *library, struct err *err);
void nbd_library_close(struct nbd_library *library);
