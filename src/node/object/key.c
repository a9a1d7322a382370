/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Public SSH keys: a line "TYPE BASE64 [COMMENT]" is checked to be one, since a broken line would lock
 * people out of their machines.
 *
 * Spec: sshd(8), AUTHORIZED_KEYS FILE FORMAT; RFC 4253 section 6.6 (the blob starts with the type).
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "node/object/kind_ops.h"

#define BLOB_MAX 16384

static const char *const types[] = {
	"ssh-ed25519",
	"ecdsa-sha2-nistp256",
	"ecdsa-sha2-nistp384",
	"ecdsa-sha2-nistp521",
	"ssh-rsa",
	"sk-ssh-ed25519@openssh.com",
	"sk-ecdsa-sha2-nistp256@openssh.com",
	NULL,
};

static bool is_type(const char *text, size_t length)
{
	for (unsigned i = 0; types[i]; i++) {
		if (strlen(types[i]) == length && !memcmp(types[i], text, length))
			return true;
	}
	return false;
}

/* Whole groups of base64; the count of bytes, or -1. */
static int decode(const char *text, size_t length, uint8_t *ret_blob)
{
	int count;

	if (!length || length % 4 || length / 4 * 3 > BLOB_MAX)
		return -1;
	count = EVP_DecodeBlock(ret_blob, (const unsigned char *)text, (int)length);
	for (size_t i = length; count > 0 && i && text[i - 1] == '='; i--)
		count--;
	return count;
}

static int refuse(struct problem *problem)
{
	problem_set(problem, API_CODE_INVALID, "'spec.public-key' is no public SSH key");
	problem_field(problem, "spec.public-key");
	return problem_hint(problem, "give the line of a file such as ~/.ssh/id_ed25519.pub");
}

/* "SHA256:…", as ssh-keygen -l shows it. */
static int fingerprint(const char *line, char ret_text[64], struct problem *problem)
{
	size_t type = strcspn(line, " "), length;
	AUTO_FREE uint8_t *blob = malloc(BLOB_MAX);
	uint8_t digest[32];
	char base64[48];
	int count;

	if (!blob)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	if (!line[type] || line[strcspn(line, "\r\n")] || !is_type(line, type))
		return refuse(problem);
	length = strcspn(line + type + 1, " ");
	count = decode(line + type + 1, length, blob);
	if (count < 4 || be32_get(blob) != type || (size_t)count < 4 + type + 4 ||
	    memcmp(blob + 4, line, type))
		return refuse(problem);
	if (!EVP_Digest(blob, (size_t)count, digest, NULL, EVP_sha256(), NULL))
		return problem_set(problem, API_CODE_INTERNAL, "cannot compute a SHA-256");
	EVP_EncodeBlock((unsigned char *)base64, digest, sizeof(digest));
	base64[strcspn(base64, "=")] = '\0';
	snprintf(ret_text, 64, "SHA256:%s", base64);
	return 0;
}

static int prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	const char *line = schema_string(object_spec(after), "public-key");
	char text[64];
	int rc = fingerprint(line, text, problem);

	if (rc)
		return rc;
	return change_set_status(change, after, json_pack("{s:s}", "fingerprint", text), problem);
}

const struct kind_ops key_ops = {
	.kind = &api_key,
	.prepare = prepare,
};
