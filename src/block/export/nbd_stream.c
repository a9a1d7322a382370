/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/export/nbd_stream.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/macros.h"
#include "host/clock.h"

/* Without progress. */
#define PATIENCE_MS 30000

/* A record of TLS holds so much. */
#define RECORD_BYTES 16384

/* Pieces of a message that are sent together. */
#define PIECES 8

int nbd_stream_wait(const struct nbd_stream *stream, bool to_write, bool patient)
{
	struct pollfd poll_fd = {
		.fd = to_write ? stream->out : stream->in,
		.events = to_write ? POLLOUT : POLLIN,
	};
	int64_t timeout_ms = patient ? -1 : PATIENCE_MS;
	int rc;

	do {
		if (stream->deadline_ns) {
			uint64_t now = clock_now_ns();
			uint64_t left_ms = now < stream->deadline_ns
						   ? (stream->deadline_ns - now) / NS_PER_MS + 1
						   : 0;

			if (patient || (int64_t)left_ms < timeout_ms)
				timeout_ms = (int64_t)left_ms;
		}
		rc = poll(&poll_fd, 1, (int)timeout_ms);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc ? 0 : -ETIMEDOUT;
}

/* As read(2), with a negative errno. */
static ssize_t receive_some(struct nbd_stream *stream, void *buffer, size_t bytes)
{
	ssize_t got;

	if (!stream->tls) {
		got = read(stream->in, buffer, bytes);
		return got < 0 ? -errno : got;
	}
	got = gnutls_record_recv(stream->tls, buffer, bytes);
	if (got >= 0)
		return got;
	if (got == GNUTLS_E_AGAIN)
		return -EAGAIN;
	/* Many clients just close; requests say themselves where they end. */
	if (got == GNUTLS_E_PREMATURE_TERMINATION)
		return 0;
	return gnutls_error_is_fatal((int)got) ? -ECONNRESET : -EINTR;
}

int nbd_stream_receive(struct nbd_stream *stream, void *buffer, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t got = receive_some(stream, (char *)buffer + done, bytes - done);

		if (!got)
			return done ? -ECONNRESET : -ENODATA;
		if (got > 0)
			done += (size_t)got;
		else if (got == -EAGAIN)
			got = nbd_stream_wait(stream, false, !done);
		if (got < 0 && got != -EINTR)
			return (int)got;
	}
	return 0;
}

/* As writev(2), with a negative errno, of the message from byte `skip` on. */
static ssize_t send_some(struct nbd_stream *stream, const struct iovec *iov, unsigned count,
			 size_t skip)
{
	struct iovec left[PIECES];
	unsigned char record[RECORD_BYTES];
	ssize_t sent;

	if (!stream->tls) {
		sent = writev(stream->out, left,
			      (int)iov_slice(left, iov, MIN(count, (unsigned)PIECES), skip,
					     iov_bytes(iov, count) - skip));
		return sent < 0 ? -errno : sent;
	}
	sent = gnutls_record_send(stream->tls, record,
				  iov_gather(record, iov, count, skip, sizeof(record)));
	if (sent >= 0)
		return sent;
	if (sent == GNUTLS_E_AGAIN)
		return -EAGAIN;
	return gnutls_error_is_fatal((int)sent) ? -EPIPE : -EINTR;
}

int nbd_stream_send(struct nbd_stream *stream, const struct iovec *iov, unsigned count)
{
	size_t bytes = iov_bytes(iov, count), done = 0;

	while (done < bytes) {
		ssize_t sent =
			atomic_load(&stream->broken) ? -EPIPE : send_some(stream, iov, count, done);

		if (sent > 0)
			done += (size_t)sent;
		else if (sent == -EAGAIN)
			sent = nbd_stream_wait(stream, true, false);
		if (sent < 0 && sent != -EINTR) {
			/* A message that was cut can only be followed by nonsense. */
			atomic_store(&stream->broken, true);
			return (int)sent;
		}
	}
	return 0;
}
