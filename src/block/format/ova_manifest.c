/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Manifests: a digest of each file, one a line: "SHA256(disk.vmdk)= 0123…".
 *
 * Spec: DMTF DSP0243 1.1, 5.1
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/ova_priv.h"
#include "codec/kdf.h"

#define PIECE_BYTES MIB

static const struct {
	const char *word, *hash;
} hashes[] = {
	{ "SHA1", "sha1" },
	{ "SHA256", "sha256" },
	{ "SHA512", "sha512" },
};

/* ---- lines ---- */

static const char *hash_named(const char *word, size_t length)
{
	for (unsigned i = 0; i < ARRAY_SIZE(hashes); i++) {
		if (strlen(hashes[i].word) == length && !strncmp(word, hashes[i].word, length))
			return hashes[i].hash;
	}
	return NULL;
}

static bool take_hex(struct ova_digest *digest, const char *text)
{
	size_t count = 0;

	for (; *text && strchr("0123456789abcdefABCDEF", *text); text++) {
		if (count == sizeof(digest->hex) - 1)
			return false;
		digest->hex[count++] = *text >= 'A' && *text <= 'F' ? (char)(*text | 0x20) : *text;
	}
	return count == 2 * hash_bytes(digest->hash) && !text[strspn(text, " \t\r")];
}

static int take_line(struct ova_manifest *manifest, char *line, unsigned number, struct err *err)
{
	char *open = strchr(line, '('), *close = strrchr(line, ')');
	size_t length = open ? (size_t)(open - line) : 0;
	struct ova_digest digest = { 0 };

	while (length && line[length - 1] == ' ')
		length--;
	digest.hash = hash_named(line, length);
	if (!open || !close || close < open)
		return err_set(err, EINVAL, "line %u is no digest", number);
	if (!digest.hash)
		return err_set(err, ENOTSUP, "line %u: unknown digest '%.*s'", number,
			       (int)MIN(length, (size_t)32), line);
	*close++ = '\0';
	close += strspn(close, " ");
	if (*close++ != '=' || !take_hex(&digest, close + strspn(close, " ")) ||
	    !ova_name_ok(open + 1))
		return err_set(err, EINVAL, "line %u is no digest", number);
	if (manifest->list.count == OVA_MEMBERS_MAX)
		return err_set(err, E2BIG, "more than %d digests", OVA_MEMBERS_MAX);
	digest.name = strdup(open + 1);
	if (!digest.name || vec_push(&manifest->list, digest)) {
		free(digest.name);
		return err_errno(err, ENOMEM, "cannot keep digests");
	}
	return 0;
}

int ova_manifest_parse(struct ova_manifest *manifest, const char *text, struct err *err)
{
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy, *line;
	unsigned number = 0;
	int rc = copy ? 0 : err_errno(err, ENOMEM, "cannot keep digests");

	while (!rc && (line = strsep(&rest, "\n"))) {
		number++;
		if (line[strspn(line, " \t\r")])
			rc = take_line(manifest, line, number, err);
	}
	return rc;
}

void ova_manifest_fini(struct ova_manifest *manifest)
{
	struct ova_digest *digest;

	vec_for_each (digest, &manifest->list)
		free(digest->name);
	vec_fini(&manifest->list);
}

/* ---- files ---- */

int ova_digest_of(const struct ova_member *member, const char *name, char hex[2 * 64 + 1])
{
	AUTO_FREE uint8_t *piece = malloc(PIECE_BYTES);
	uint8_t digest[HASH_BYTES_MAX];
	struct hash *hash;
	int rc = piece ? hash_new(&hash, name) : -ENOMEM;

	if (rc)
		return rc;
	for (uint64_t at = 0; at < member->bytes && !rc; at += PIECE_BYTES) {
		uint64_t now = MIN(member->bytes - at, PIECE_BYTES);

		rc = block_read(member->file, member->offset + at, piece, now);
		if (!rc)
			hash_add(hash, piece, now);
	}
	hash_end(hash, digest);
	for (size_t i = 0; i < hash_bytes(name); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return rc;
}

static int check_digest(const struct ova_digest *digest, const struct ova_members *members,
			struct block_check *check)
{
	const struct ova_member *member = ova_members_find(members, digest->name);
	char hex[2 * HASH_BYTES_MAX + 1] = "";
	int rc;

	if (!member) {
		block_check_add(check, BLOCK_FINDING_ERROR, false, "file '%.128s' is missing",
				digest->name);
		return 0;
	}
	rc = ova_digest_of(member, digest->hash, hex);
	if (!rc && strcmp(hex, digest->hex))
		block_check_add(check, BLOCK_FINDING_ERROR, false,
				"file '%.128s' is not what its checksum (%s) is of", digest->name,
				digest->hash);
	return rc;
}

static bool is_named(const struct ova_manifest *manifest, const char *name)
{
	const struct ova_digest *digest;

	vec_for_each (digest, &manifest->list) {
		if (!strcmp(digest->name, name))
			return true;
	}
	return false;
}

static bool ends_with(const char *name, const char *end)
{
	size_t length = strlen(name);

	return length >= strlen(end) && !strcasecmp(name + length - strlen(end), end);
}

int ova_manifest_check(const struct ova_manifest *manifest, const struct ova_members *members,
		       struct block_check *check)
{
	const struct ova_digest *digest;
	const struct ova_member *member;
	int rc = 0;

	vec_for_each (digest, &manifest->list)
		rc = rc ? rc : check_digest(digest, members, check);
	vec_for_each (member, &members->list) {
		if (!is_named(manifest, member->name) && !ends_with(member->name, ".mf") &&
		    !ends_with(member->name, ".cert"))
			block_check_add(check, BLOCK_FINDING_ERROR, false,
					"file '%.128s' has no checksum", member->name);
	}
	return rc;
}
