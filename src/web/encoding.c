/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies compressed for who takes them. Spec: RFC 9110, section 8.4. */
#include <libdeflate.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "web/web_priv.h"

#define LEVEL 6

/* Below, the head weighs as much as what is saved. */
#define SIZE_MIN 1024

void web_compress(const struct web_head *head, struct web_response *response)
{
	const char *takes = web_head_field(head, "accept-encoding");
	struct libdeflate_compressor *compressor;
	AUTO_FREE void *packed = NULL;
	size_t room = response->bytes, bytes = 0;

	if (!response->compressible || !response->body)
		return;
	web_response_header(response, "vary:", "accept-encoding");
	if (!takes || !web_list_has(takes, "gzip") || room < SIZE_MIN)
		return;
	compressor = libdeflate_alloc_compressor(LEVEL);
	packed = malloc(room);
	if (compressor && packed)
		bytes = libdeflate_gzip_compress(compressor, response->body, response->bytes,
						 packed, room);
	if (compressor)
		libdeflate_free_compressor(compressor);
	/* Without memory, or where it would be longer, it goes as it is. */
	if (!bytes)
		return;
	free(response->body);
	response->body = take_ptr(&packed);
	response->bytes = bytes;
	web_response_header(response, "content-encoding:", "gzip");
}
