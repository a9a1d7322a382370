/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header of LUKS 2: a fixed part and JSON, twice, each with a checksum and a number that grows
 * with every change; then the areas of the key slots.
 *
 * What is not understood in the JSON stays in it when it is written; what must be understood and
 * is not (requirements, several segments, integrity) is refused.
 *
 * Spec: LUKS2, 2 and 3
 */
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "block/format/luks_priv.h"

#define MAGIC_SECOND  "SKUL\xba\xbe"
#define BINARY_BYTES  4096
#define BINARY_FIXED  512
#define HEADER_MIN    (16 * KIB)
#define HEADER_MAX    (4 * MIB)
#define JSON_TEXT_MAX (256 * KIB) /* of 32 slots, that is a lot */
#define CHECKSUM      448
#define CHECKSUM_MAX  64
#define AREA_ALIGN    4096
#define PAYLOAD       (16 * MIB) /* where data begins in new volumes */

/* ---- JSON ---- */

/* Numbers of 64 bits are texts there. */
static bool get_u64(const json_t *object, const char *name, uint64_t *ret_value)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && !parse_u64(text, 0, INT64_MAX, ret_value);
}

static bool get_u32(const json_t *object, const char *name, uint32_t *ret_value)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > UINT32_MAX)
		return false;
	*ret_value = (uint32_t)json_integer_value(value);
	return true;
}

static bool get_text(const json_t *object, const char *name, char to[LUKS_NAME_BYTES])
{
	const char *text = json_string_value(json_object_get(object, name));

	if (!text || strlen(text) >= LUKS_NAME_BYTES)
		return false;
	snprintf(to, LUKS_NAME_BYTES, "%s", text);
	return true;
}

static bool is_text(const json_t *object, const char *name, const char *text)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value && !strcmp(value, text);
}

static bool get_bytes(const json_t *object, const char *name, uint8_t *to, size_t max,
		      size_t *ret_count)
{
	const char *text = json_string_value(json_object_get(object, name));
	size_t length = text ? strlen(text) : 0;
	uint8_t bytes[3 * LUKS_SALT_MAX];
	int count;

	if (!length || length % 4 || length > 4 * LUKS_SALT_MAX)
		return false;
	count = EVP_DecodeBlock(bytes, (const uint8_t *)text, (int)length);
	/* It counts the padding as bytes. */
	for (size_t i = length; count > 0 && i > length - 2 && text[i - 1] == '='; i--)
		count--;
	if (count <= 0 || (size_t)count > max)
		return false;
	memcpy(to, bytes, (size_t)count);
	*ret_count = (size_t)count;
	return true;
}

static json_t *bytes_text(const uint8_t *bytes, size_t count)
{
	char text[4 * LUKS_SALT_MAX];

	EVP_EncodeBlock((uint8_t *)text, bytes, (int)count);
	return json_string(text);
}

static json_t *u64_text(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string(text);
}

/* ---- reading ---- */

static bool take_kdf(struct luks_kdf *kdf, const json_t *from)
{
	bool id = is_text(from, "type", "argon2id");

	kdf->argon2 = id || is_text(from, "type", "argon2i");
	kdf->argon.id = id;
	if (!get_bytes(from, "salt", kdf->salt, sizeof(kdf->salt), &kdf->salt_bytes))
		return false;
	if (kdf->argon2)
		return get_u32(from, "time", &kdf->argon.passes) &&
		       get_u32(from, "memory", &kdf->argon.memory_kib) &&
		       get_u32(from, "cpus", &kdf->argon.lanes);
	return is_text(from, "type", "pbkdf2") && get_text(from, "hash", kdf->hash) &&
	       get_u32(from, "iterations", &kdf->iterations);
}

/* A slot that makes no sense is one that cannot be opened: others may. */
static void take_slot(const struct luks *luks, struct luks_slot *slot, const json_t *from)
{
	const json_t *area = json_object_get(from, "area"), *af = json_object_get(from, "af");
	bool placed = get_u64(area, "offset", &slot->area_offset) &&
		      get_u64(area, "size", &slot->area_bytes) && slot->area_offset <= luks->room &&
		      slot->area_bytes <= luks->room;
	bool good = placed && is_text(from, "type", "luks2") && is_text(area, "type", "raw") &&
		    is_text(af, "type", "luks1") && get_text(area, "encryption", slot->cipher) &&
		    get_u32(area, "key_size", &slot->area_key_bytes) &&
		    get_u32(af, "stripes", &slot->stripes) && get_text(af, "hash", slot->af_hash) &&
		    take_kdf(&slot->kdf, json_object_get(from, "kdf"));

	slot->used = true;
	slot->unsupported = !good;
	if (!placed)
		slot->area_offset = slot->area_bytes = 0;
}

static bool number_of(const char *name, uint64_t max, unsigned *ret_number)
{
	uint64_t number;

	if (parse_u64(name, 0, max, &number))
		return false;
	*ret_number = (unsigned)number;
	return true;
}

static bool names_number(const json_t *array, unsigned number)
{
	char text[12];
	size_t i;
	json_t *value;

	snprintf(text, sizeof(text), "%u", number);
	json_array_foreach(array, i, value)
	{
		if (json_is_string(value) && !strcmp(json_string_value(value), text))
			return true;
	}
	return false;
}

/* The digest of the segment, and the slots that hold its key. */
static int take_digest(struct luks *luks, const json_t *digests, const json_t *slots,
		       struct err *err)
{
	const json_t *digest = NULL;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)digests, name, value)
	{
		if (names_number(json_object_get(value, "segments"), 0))
			digest = value;
	}
	if (!digest || !is_text(digest, "type", "pbkdf2") || !take_kdf(&luks->digest_kdf, digest) ||
	    !get_bytes(digest, "digest", luks->digest, sizeof(luks->digest), &luks->digest_bytes) ||
	    !hash_bytes(luks->digest_kdf.hash) || luks->digest_bytes < 20 ||
	    !luks->digest_kdf.iterations ||
	    luks->digest_kdf.iterations > LUKS_DIGEST_ITERATIONS_MAX)
		return err_set(err, EINVAL, "cannot open LUKS: no digest of the key");
	json_object_foreach((json_t *)(uintptr_t)slots, name, value)
	{
		unsigned number;
		uint32_t key_bytes;

		if (!number_of(name, LUKS_SLOTS_MAX - 1, &number) ||
		    !get_u32(value, "key_size", &key_bytes))
			return err_set(err, EINVAL, "cannot open LUKS: key slot '%.20s'", name);
		take_slot(luks, &luks->slots[number], value);
		if (!names_number(json_object_get(digest, "keyslots"), number) ||
		    (luks->key_bytes && luks->key_bytes != key_bytes))
			luks->slots[number].unsupported = true;
		else
			luks->key_bytes = key_bytes;
	}
	return 0;
}

static int take_segment(struct luks *luks, const json_t *segments, struct err *err)
{
	const json_t *segment = json_object_get(segments, "0");
	uint64_t tweak = 0;

	if (json_object_size(segments) != 1 || !is_text(segment, "type", "crypt") ||
	    json_object_get(segment, "integrity") || json_object_get(segment, "flags"))
		return err_set(err, ENOTSUP,
			       "cannot open LUKS: more than one plain segment of encrypted data");
	if (!get_u64(segment, "offset", &luks->payload_offset) ||
	    !get_u64(segment, "iv_tweak", &tweak) ||
	    !get_text(segment, "encryption", luks->cipher_name) ||
	    !get_u32(segment, "sector_size", &luks->sector_bytes))
		return err_set(err, EINVAL, "cannot open LUKS: segment of encrypted data");
	luks->iv_tweak = tweak;
	if (!is_text(segment, "size", "dynamic") && !get_u64(segment, "size", &luks->payload_bytes))
		return err_set(err, EINVAL, "cannot open LUKS: size of encrypted data");
	return 0;
}

static int check_segment(const struct luks *luks, struct err *err)
{
	if (luks->sector_bytes < 512 || luks->sector_bytes > 4096 ||
	    !is_power_of_two(luks->sector_bytes) ||
	    !sector_cipher_exists(luks->cipher_name, luks->key_bytes))
		return err_set(err, ENOTSUP,
			       "cannot open LUKS: cipher '%s' of %u bits, sectors of %u bytes",
			       luks->cipher_name, luks->key_bytes * 8, luks->sector_bytes);
	if (luks->payload_offset % luks->sector_bytes || luks->payload_bytes % luks->sector_bytes ||
	    luks->payload_bytes > BLOCK_SIZE_MAX || luks->payload_offset > BLOCK_SIZE_MAX)
		return err_set(err, EINVAL, "cannot open LUKS: place of encrypted data");
	return 0;
}

static int take_json(struct luks *luks, struct err *err)
{
	const json_t *config = json_object_get(luks->json, "config");
	int rc;

	if (json_object_size(json_object_get(config, "requirements")))
		return err_set(err, ENOTSUP,
			       "cannot open LUKS: it needs features that are not known");
	if (!get_u64(config, "keyslots_size", &luks->areas_bytes))
		return err_set(err, EINVAL, "cannot open LUKS: no size of key slots");
	luks->slot_count = LUKS_SLOTS_MAX;
	rc = take_segment(luks, json_object_get(luks->json, "segments"), err);
	if (!rc)
		rc = take_digest(luks, json_object_get(luks->json, "digests"),
				 json_object_get(luks->json, "keyslots"), err);
	return rc ? rc : check_segment(luks, err);
}

static bool sum_is_good(uint8_t *header, uint64_t bytes)
{
	uint8_t sum[CHECKSUM_MAX], digest[HASH_BYTES_MAX];
	char hash[33] = { 0 };
	size_t sum_bytes;

	memcpy(hash, header + 72, 32);
	sum_bytes = hash_bytes(hash);
	memcpy(sum, header + CHECKSUM, CHECKSUM_MAX);
	memset(header + CHECKSUM, 0, CHECKSUM_MAX);
	return sum_bytes && !hash_of(hash, header, bytes, NULL, 0, digest) &&
	       !memcmp(sum, digest, sum_bytes);
}

/* A copy of the header at `at`, if there is a good one: it becomes luks's if it is the newer. */
static int look_at_copy(struct luks *luks, uint64_t at, const char *magic)
{
	uint8_t fixed[BINARY_FIXED];
	uint64_t bytes, sequence;
	AUTO_FREE uint8_t *header = NULL;
	size_t length;
	json_t *json;

	if (at > luks->room || luks->room - at < HEADER_MIN ||
	    block_read(luks->file, luks->offset + at, fixed, sizeof(fixed)))
		return 0;
	bytes = be64_get(fixed + 8);
	sequence = be64_get(fixed + 16);
	if (memcmp(fixed, magic, LUKS_MAGIC_BYTES) || be16_get(fixed + 6) != 2 ||
	    !is_power_of_two(bytes) || bytes < HEADER_MIN || bytes > HEADER_MAX ||
	    be64_get(fixed + 256) != at || bytes > luks->room - at)
		return 0;
	header = malloc(bytes);
	if (!header)
		return -ENOMEM;
	if (block_read(luks->file, luks->offset + at, header, bytes) || !sum_is_good(header, bytes))
		return 0;
	length = strnlen((char *)header + BINARY_BYTES, bytes - BINARY_BYTES);
	luks->copies++;
	if ((luks->json && sequence <= luks->sequence) || length > JSON_TEXT_MAX)
		return 0;
	json = json_loadb((char *)header + BINARY_BYTES, length, JSON_REJECT_DUPLICATES, NULL);
	if (!json)
		return 0;
	json_decref(luks->json);
	luks->json = json;
	luks->sequence = sequence;
	luks->header_bytes = bytes;
	memcpy(luks->binary, header, sizeof(luks->binary));
	return 0;
}

int luks2_read(struct luks *luks, struct err *err)
{
	int rc = look_at_copy(luks, 0, LUKS_MAGIC);

	/* The second copy lies behind the first, whose size may be lost. */
	for (uint64_t at = HEADER_MIN; at <= HEADER_MAX && !rc; at *= 2)
		rc = look_at_copy(luks, at, MAGIC_SECOND);
	if (rc)
		return err_errno(err, rc, "cannot open LUKS");
	if (!luks->json)
		return err_set(err, EINVAL, "cannot open LUKS: no copy of the header is whole");
	memcpy(luks->label, luks->binary + 24, sizeof(luks->label) - 1);
	memcpy(luks->uuid, luks->binary + 168, sizeof(luks->uuid) - 1);
	return take_json(luks, err);
}

/* ---- writing ---- */

static int write_copy(struct luks *luks, uint64_t at, const char *magic, const char *text)
{
	AUTO_FREE uint8_t *header = calloc(1, luks->header_bytes);
	uint8_t digest[HASH_BYTES_MAX];
	int rc;

	if (!header)
		return -ENOMEM;
	memcpy(header, luks->binary, sizeof(luks->binary));
	memcpy(header, magic, LUKS_MAGIC_BYTES);
	be64_put(header + 8, luks->header_bytes);
	be64_put(header + 16, luks->sequence);
	be64_put(header + 256, at);
	memset(header + 72, 0, 32);
	memcpy(header + 72, "sha256", 6);
	memset(header + CHECKSUM, 0, CHECKSUM_MAX);
	rc = luks_random(header + 104, 64);
	if (rc)
		return rc;
	memcpy(header + BINARY_BYTES, text, strlen(text));
	rc = hash_of("sha256", header, luks->header_bytes, NULL, 0, digest);
	if (rc)
		return rc;
	memcpy(header + CHECKSUM, digest, 32);
	rc = block_write(luks->file, luks->offset + at, header, luks->header_bytes);
	return rc ? rc : block_flush(luks->file);
}

int luks2_write_copies(struct luks *luks)
{
	char *text = json_dumps(luks->json, JSON_COMPACT);
	int rc = text ? 0 : -ENOMEM;

	if (!rc && strlen(text) >= luks->header_bytes - BINARY_BYTES)
		rc = -ENOSPC;
	luks->sequence++;
	/* One is whole at any time. */
	if (!rc)
		rc = write_copy(luks, 0, LUKS_MAGIC, text);
	if (!rc)
		rc = write_copy(luks, luks->header_bytes, MAGIC_SECOND, text);
	free(text);
	return rc;
}

static json_t *kdf_json(const struct luks_kdf *kdf)
{
	if (kdf->argon2)
		return json_pack("{s:s, s:i, s:i, s:i, s:o}", "type",
				 kdf->argon.id ? "argon2id" : "argon2i", "time",
				 (int)kdf->argon.passes, "memory", (int)kdf->argon.memory_kib,
				 "cpus", (int)kdf->argon.lanes, "salt",
				 bytes_text(kdf->salt, kdf->salt_bytes));
	return json_pack("{s:s, s:s, s:i, s:o}", "type", "pbkdf2", "hash", kdf->hash, "iterations",
			 (int)kdf->iterations, "salt", bytes_text(kdf->salt, kdf->salt_bytes));
}

static json_t *slot_json(const struct luks *luks, const struct luks_slot *slot)
{
	return json_pack("{s:s, s:i, s:{s:s, s:i, s:s}, s:{s:s, s:o, s:o, s:s, s:i}, s:o}", "type",
			 "luks2", "key_size", (int)luks->key_bytes, "af", "type", "luks1",
			 "stripes", (int)slot->stripes, "hash", slot->af_hash, "area", "type",
			 "raw", "offset", u64_text(slot->area_offset), "size",
			 u64_text(slot->area_bytes), "encryption", slot->cipher, "key_size",
			 (int)slot->area_key_bytes, "kdf", kdf_json(&slot->kdf));
}

/* Takes the slot's number out of all lists of the object's members. */
static void forget_number(json_t *members, const char *number)
{
	const char *name;
	json_t *member;

	json_object_foreach(members, name, member)
	{
		json_t *list = json_object_get(member, "keyslots");

		for (size_t i = json_array_size(list); i > 0; i--) {
			const char *text = json_string_value(json_array_get(list, i - 1));

			if (text && !strcmp(text, number))
				json_array_remove(list, i - 1);
		}
	}
}

/* The digest of the segment, to which new slots belong. */
static json_t *own_digest(const struct luks *luks)
{
	json_t *digests = json_object_get(luks->json, "digests"), *digest;
	const char *name;

	json_object_foreach(digests, name, digest)
	{
		if (names_number(json_object_get(digest, "segments"), 0))
			return digest;
	}
	return NULL;
}

int luks2_write(struct luks *luks, unsigned slot)
{
	json_t *slots = json_object_get(luks->json, "keyslots");
	char number[12];
	int failed;

	snprintf(number, sizeof(number), "%u", slot);
	forget_number(json_object_get(luks->json, "digests"), number);
	forget_number(json_object_get(luks->json, "tokens"), number);
	if (!luks->slots[slot].used) {
		json_object_del(slots, number);
		return luks2_write_copies(luks);
	}
	failed = json_object_set_new(slots, number, slot_json(luks, &luks->slots[slot])) ||
		 json_array_append_new(json_object_get(own_digest(luks), "keyslots"),
				       json_string(number));
	return failed ? -ENOMEM : luks2_write_copies(luks);
}

/* The slot whose area lies in the way of one at `at`; NULL: none. */
static const struct luks_slot *in_the_way(const struct luks *luks, uint64_t at, uint64_t bytes)
{
	for (unsigned i = 0; i < luks->slot_count; i++) {
		const struct luks_slot *slot = &luks->slots[i];

		if (slot->used && slot->area_offset < at + bytes &&
		    at < slot->area_offset + slot->area_bytes)
			return slot;
	}
	return NULL;
}

int luks2_find_area(struct luks *luks, struct luks_slot *slot)
{
	uint64_t bytes = round_up((uint64_t)luks->key_bytes * LUKS_STRIPES, AREA_ALIGN);
	uint64_t at = 2 * luks->header_bytes;
	const struct luks_slot *other;

	while (at + bytes <= luks->room && (other = in_the_way(luks, at, bytes)))
		at = round_up(other->area_offset + other->area_bytes, AREA_ALIGN);
	if (at + bytes > luks->room)
		return -ENOSPC;
	*slot = (struct luks_slot){
		.stripes = LUKS_STRIPES,
		.area_offset = at,
		.area_bytes = bytes,
		.area_key_bytes = luks->key_bytes,
	};
	snprintf(slot->cipher, sizeof(slot->cipher), "%s", luks->cipher_name);
	return 0;
}

/* ---- creating ---- */

void luks2_layout(struct luks *luks)
{
	luks->slot_count = LUKS_SLOTS_MAX;
	luks->header_bytes = HEADER_MIN;
	luks->payload_offset = PAYLOAD;
	luks->areas_bytes = PAYLOAD - 2 * HEADER_MIN;
	luks->room = PAYLOAD;
}

int luks2_create(struct luks *luks)
{
	uint8_t *binary = luks->binary;

	be16_put(binary + 6, 2);
	memcpy(binary + 24, luks->label, strlen(luks->label));
	memcpy(binary + 168, luks->uuid, strlen(luks->uuid));
	luks->json =
		json_pack("{s:{}, s:{}, s:{s:{s:s, s:o, s:s, s:s, s:s, s:i}}, "
			  "s:{s:{s:s, s:[], s:[s], s:s, s:i, s:o, s:o}}, s:{s:o, s:o}}",
			  "keyslots", "tokens", "segments", "0", "type", "crypt", "offset",
			  u64_text(luks->payload_offset), "size", "dynamic", "iv_tweak", "0",
			  "encryption", luks->cipher_name, "sector_size", (int)luks->sector_bytes,
			  "digests", "0", "type", "pbkdf2", "keyslots", "segments", "0", "hash",
			  luks->digest_kdf.hash, "iterations", (int)luks->digest_kdf.iterations,
			  "salt", bytes_text(luks->digest_kdf.salt, luks->digest_kdf.salt_bytes),
			  "digest", bytes_text(luks->digest, luks->digest_bytes), "config",
			  "json_size", u64_text(luks->header_bytes - BINARY_BYTES), "keyslots_size",
			  u64_text(luks->areas_bytes));
	return luks->json ? luks2_write(luks, 0) : -ENOMEM;
}
