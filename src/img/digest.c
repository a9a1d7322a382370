/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "img/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

int digest_start(struct digest *digest)
{
	if (!digest->context)
		digest->context = EVP_MD_CTX_new();
	if (!digest->context)
		return -ENOMEM;
	return EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) ? 0 : -ENOTSUP;
}

int digest_add(struct digest *digest, const void *bytes, size_t count)
{
	return EVP_DigestUpdate(digest->context, bytes, count) ? 0 : -EIO;
}

int digest_end(struct digest *digest, char ret_text[DIGEST_TEXT])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned count = 0;

	if (!EVP_DigestFinal_ex(digest->context, bytes, &count) || count * 2 + 1 != DIGEST_TEXT)
		return -EIO;
	for (unsigned i = 0; i < count; i++)
		snprintf(ret_text + (size_t)2 * i, 3, "%02x", bytes[i]);
	return 0;
}

void digest_fini(struct digest *digest)
{
	EVP_MD_CTX_free(digest->context);
	digest->context = NULL;
}
