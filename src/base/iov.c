/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/iov.h"

#include <string.h>

#include "base/macros.h"

/* A walk over the bytes [skip, skip + bytes) of an array, a contiguous run at a time. */
struct walk {
	const struct iovec *iov, *end;
	size_t skip, bytes;
};

static struct iovec next_run(struct walk *walk)
{
	struct iovec run = { 0 };

	while (walk->iov < walk->end && walk->skip >= walk->iov->iov_len)
		walk->skip -= walk->iov++->iov_len;
	if (walk->iov == walk->end || !walk->bytes)
		return run;
	run.iov_base = (uint8_t *)walk->iov->iov_base + walk->skip;
	run.iov_len = MIN(walk->bytes, walk->iov->iov_len - walk->skip);
	walk->bytes -= run.iov_len;
	walk->skip = 0;
	walk->iov++;
	return run;
}

size_t iov_bytes(const struct iovec *iov, unsigned count)
{
	size_t sum = 0;

	for (unsigned i = 0; i < count; i++) {
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return SIZE_MAX;
	}
	return sum;
}

unsigned iov_slice(struct iovec *slice, const struct iovec *iov, unsigned count, size_t skip,
		   size_t bytes)
{
	struct walk walk = { iov, iov + count, skip, bytes };
	struct iovec run;
	unsigned used = 0;

	while ((run = next_run(&walk)).iov_len)
		slice[used++] = run;
	return used;
}

size_t iov_gather(void *buffer, const struct iovec *iov, unsigned count, size_t skip, size_t bytes)
{
	struct walk walk = { iov, iov + count, skip, bytes };
	struct iovec run;
	uint8_t *p = buffer;

	while ((run = next_run(&walk)).iov_len) {
		memcpy(p, run.iov_base, run.iov_len);
		p += run.iov_len;
	}
	return (size_t)(p - (uint8_t *)buffer);
}

size_t iov_scatter(const struct iovec *iov, unsigned count, size_t skip, const void *buffer,
		   size_t bytes)
{
	struct walk walk = { iov, iov + count, skip, bytes };
	const uint8_t *p = buffer;
	struct iovec run;

	while ((run = next_run(&walk)).iov_len) {
		memcpy(run.iov_base, p, run.iov_len);
		p += run.iov_len;
	}
	return (size_t)(p - (const uint8_t *)buffer);
}

size_t iov_fill(const struct iovec *iov, unsigned count, size_t skip, uint8_t byte, size_t bytes)
{
	struct walk walk = { iov, iov + count, skip, bytes };
	struct iovec run;
	size_t filled = 0;

	while ((run = next_run(&walk)).iov_len) {
		memset(run.iov_base, byte, run.iov_len);
		filled += run.iov_len;
	}
	return filled;
}
