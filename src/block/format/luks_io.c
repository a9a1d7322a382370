/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data on its way between memory and its encrypted place.
 *
 * It goes through a buffer of the call, so that neither the caller's memory nor the file ever holds
 * what is not meant for it; calls of several threads go in parallel.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/iov.h"
#include "base/macros.h"
#include "block/format/luks_priv.h"

#define PIECE_BYTES (256 * KIB)

int luks_encrypt(struct luks *luks, uint64_t position, uint8_t *bytes, size_t count)
{
	if (!luks->cipher)
		return -ENOKEY;
	return sector_cipher_encrypt(luks->cipher, position / 512 + luks->iv_tweak, bytes, count);
}

int luks_decrypt(struct luks *luks, uint64_t position, uint8_t *bytes, size_t count)
{
	if (!luks->cipher)
		return -ENOKEY;
	return sector_cipher_decrypt(luks->cipher, position / 512 + luks->iv_tweak, bytes, count);
}

int luks_read(struct luks *luks, struct block_node *file, uint64_t at, uint64_t position,
	      uint64_t bytes, struct block_buffer to)
{
	AUTO_FREE uint8_t *piece = malloc(MIN(bytes, PIECE_BYTES));
	int rc = piece ? 0 : -ENOMEM;

	while (bytes && !rc) {
		size_t now = MIN(bytes, PIECE_BYTES);

		rc = block_read(file, at, piece, now);
		if (!rc)
			rc = luks_decrypt(luks, position, piece, now);
		if (!rc)
			iov_scatter(to.iov, to.iov_count, to.skip, piece, now);
		at += now;
		position += now;
		bytes -= now;
		to.skip += now;
	}
	return rc;
}

int luks_write(struct luks *luks, struct block_node *file, uint64_t at, uint64_t position,
	       uint64_t bytes, struct block_buffer from, unsigned flags)
{
	AUTO_FREE uint8_t *piece = malloc(MIN(bytes, PIECE_BYTES));
	int rc = piece ? 0 : -ENOMEM;

	while (bytes && !rc) {
		size_t now = MIN(bytes, PIECE_BYTES);
		struct iovec iov = { piece, now };

		iov_gather(piece, from.iov, from.iov_count, from.skip, now);
		rc = luks_encrypt(luks, position, piece, now);
		if (!rc)
			rc = block_writev(file, at, now,
					  (struct block_buffer){ .iov = &iov, .iov_count = 1 },
					  flags);
		at += now;
		position += now;
		bytes -= now;
		from.skip += now;
	}
	return rc;
}
