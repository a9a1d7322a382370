/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes to and from a peer, over TLS or plainly, with an end to all waiting.
 *
 * One thread may receive while another one sends.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct gnutls_session_int;

struct nbd_stream {
	int in, out;                    /* non-blocking; borrowed */
	struct gnutls_session_int *tls; /* NULL: plain */
	uint64_t deadline_ns;           /* for all of the handshake; 0: none */
	_Atomic bool broken;            /* nothing more can be sent */
};

/*
 * Exactly `bytes`. -ENODATA: the peer ended before the first one, for which it is waited for ever
 * unless there is a deadline; -ETIMEDOUT: nothing came for 30 seconds; -ECONNRESET and others.
 */
int nbd_stream_receive(struct nbd_stream *stream, void *buffer, size_t bytes);

/* All of it. -ETIMEDOUT: nothing could be sent for 30 seconds. */
int nbd_stream_send(struct nbd_stream *stream, const struct iovec *iov, unsigned count);

/* Waits until the descriptor can be read, or written; `patient`: without an end, but for the
 * deadline. 0 or -ETIMEDOUT. */
int nbd_stream_wait(const struct nbd_stream *stream, bool to_write, bool patient);
