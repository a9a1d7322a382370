/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio/span.h"

#include <string.h>

#include "base/macros.h"

/* Takes `count` bytes (at most those of the first piece) off the front. */
static void front_take(struct span *span, uint64_t count)
{
	struct iovec *first = span->iov;

	span->bytes -= count;
	if (count == first->iov_len) {
		span->iov++;
		span->count--;
		return;
	}
	first->iov_base = (uint8_t *)first->iov_base + count;
	first->iov_len -= count;
}

uint64_t span_read(struct span *span, void *buffer, uint64_t count)
{
	uint8_t *out = buffer;
	uint64_t done = 0;

	while (done < count && span->count) {
		uint64_t part = MIN(count - done, (uint64_t)span->iov->iov_len);

		memcpy(out + done, span->iov->iov_base, part);
		front_take(span, part);
		done += part;
	}
	return done;
}

uint64_t span_write(struct span *span, const void *buffer, uint64_t count)
{
	const uint8_t *in = buffer;
	uint64_t done = 0;

	while (done < count && span->count) {
		uint64_t part = MIN(count - done, (uint64_t)span->iov->iov_len);

		memcpy(span->iov->iov_base, in + done, part);
		front_take(span, part);
		done += part;
	}
	return done;
}

uint64_t span_skip(struct span *span, uint64_t count)
{
	uint64_t done = 0;

	while (done < count && span->count) {
		uint64_t part = MIN(count - done, (uint64_t)span->iov->iov_len);

		front_take(span, part);
		done += part;
	}
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
