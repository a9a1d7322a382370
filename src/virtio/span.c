/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio/span.h"

#include "base/iov.h"
#include "base/macros.h"

uint64_t span_read(struct span *span, void *buffer, uint64_t count)
{
	return span_skip(span, iov_gather(buffer, span->iov, span->count, 0, count));
}

uint64_t span_write(struct span *span, const void *buffer, uint64_t count)
{
	return span_skip(span, iov_scatter(span->iov, span->count, 0, buffer, count));
}

uint64_t span_skip(struct span *span, uint64_t count)
{
	uint64_t done = 0;

	while (done < count && span->count) {
		struct iovec *first = span->iov;
		uint64_t part = MIN(count - done, (uint64_t)first->iov_len);

		first->iov_base = (uint8_t *)first->iov_base + part;
		first->iov_len -= part;
		if (!first->iov_len) {
			span->iov++;
			span->count--;
		}
		done += part;
	}
	span->bytes -= done;
	return done;
}

void span_truncate(struct span *span, uint64_t count)
{
	while (span->bytes > count) {
		struct iovec *last = &span->iov[span->count - 1];
		uint64_t part = MIN(span->bytes - count, (uint64_t)last->iov_len);

		last->iov_len -= part;
		span->bytes -= part;
		if (!last->iov_len)
			span->count--;
	}
}

uint8_t *span_take_last(struct span *span)
{
	const struct iovec *last;
	uint8_t *byte;

	if (!span->count)
		return NULL;
	last = &span->iov[span->count - 1];
	byte = (uint8_t *)last->iov_base + last->iov_len - 1;
	span_truncate(span, span->bytes - 1);
	return byte;
}
