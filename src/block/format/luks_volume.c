/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes: from a header to a cipher, and changes of key slots. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "block/format/luks_priv.h"
#include "block/format/uuid.h"

/* The digest is of a key that nobody can guess. */
#define DIGEST_ITERATIONS       100000
#define DIGEST_ITERATIONS_LEAST UINT64_C(1000)

/* All slots together may cost so many times what one may. */
#define EFFORT_MAX 4

const char *const luks_kdfs[] = { "argon2id", "argon2i", "pbkdf2", NULL };
const char *const luks_hashes[] = { "sha256", "sha512", "sha1", NULL };
const char *const luks_ciphers[] = { "aes-xts-plain64", "aes-cbc-essiv:sha256", "aes-cbc-plain64",
				     NULL };

/* ---- loading ---- */

static int read_header(struct luks *luks, struct err *err)
{
	uint8_t head[2 * BLOCK_SECTOR];
	int rc;

	if (luks->room < sizeof(head))
		return err_set(err, EINVAL, "cannot open LUKS: no room for a header");
	rc = block_read(luks->file, luks->offset, head, sizeof(head));
	if (rc)
		return err_errno(err, rc, "cannot read the header of LUKS");
	luks->version = be16_get(head + 6);
	if (!memcmp(head, LUKS_MAGIC, LUKS_MAGIC_BYTES) && luks->version == 1)
		return luks1_read(luks, head, err);
	if (!memcmp(head, LUKS_MAGIC, LUKS_MAGIC_BYTES) && luks->version != 2)
		return err_set(err, ENOTSUP, "cannot open LUKS: version %u", luks->version);
	/* The first copy of version 2 may be lost. */
	luks->version = 2;
	return luks2_read(luks, err);
}

int luks_load(struct block_node *file, uint64_t offset, uint64_t bytes, struct luks **ret_luks,
	      struct err *err)
{
	uint64_t size = block_size_bytes(file);
	struct luks *luks = calloc(1, sizeof(*luks));
	int rc;

	if (!luks)
		return err_errno(err, ENOMEM, "cannot open LUKS");
	luks->file = file;
	luks->offset = offset;
	luks->room = offset < size ? size - offset : 0;
	if (bytes)
		luks->room = MIN(luks->room, bytes);
	rc = read_header(luks, err);
	if (rc) {
		luks_free(luks);
		return rc;
	}
	/* Key slots lie in front of the data. */
	if (luks->version == 2)
		luks->room = MIN(luks->room, 2 * luks->header_bytes + luks->areas_bytes);
	else if (!bytes)
		luks->room = MIN(luks->room, luks->payload_offset);
	*ret_luks = luks;
	return 0;
}

void luks_free(struct luks *luks)
{
	if (!luks)
		return;
	sector_cipher_free(luks->cipher);
	secret_fini(&luks->key);
	json_decref(luks->json);
	free(luks);
}

/* ---- unlocking ---- */

/* What opening a slot costs, in parts of what one slot may cost. */
static double effort_of(const struct luks_slot *slot)
{
	if (slot->kdf.argon2)
		return (double)slot->kdf.argon.passes * slot->kdf.argon.memory_kib /
		       LUKS_PASSES_KIB_MAX;
	return (double)slot->kdf.iterations / LUKS_ITERATIONS_MAX;
}

/* Which slots were passed over, and why: the last one is told. */
struct attempt {
	uint64_t memory_max;
	double effort;
	unsigned tried, passed_over;
	const char *why;
};

static bool may_try(const struct luks *luks, unsigned number, struct attempt *attempt)
{
	const struct luks_slot *slot = &luks->slots[number];
	const char *why = luks_slot_problem(luks, slot);

	if (!why && slot->kdf.argon2 &&
	    (uint64_t)slot->kdf.argon.memory_kib * KIB > attempt->memory_max)
		why = "more memory than 'unlock_memory' allows";
	attempt->effort += why ? 0 : effort_of(slot);
	if (!why && attempt->effort > EFFORT_MAX)
		why = "more time than all slots together may take";
	if (why) {
		attempt->passed_over = number;
		attempt->why = why;
	}
	return !why;
}

static int no_slot(const struct attempt *attempt, struct err *err)
{
	err_set(err, EKEYREJECTED, "cannot unlock LUKS: no key slot opens with this passphrase");
	if (attempt->why)
		err_hint(err, "key slot %u was passed over: %s", attempt->passed_over,
			 attempt->why);
	else if (attempt->tried)
		err_hint(err, "all bytes of it count, a newline at its end too");
	return -EKEYREJECTED;
}

static int try_slots(struct luks *luks, const struct secret *passphrase, const json_t *settings,
		     struct err *err)
{
	bool one = json_object_get(settings, "key-slot");
	uint64_t only = block_setting_number(settings, "key-slot");
	struct attempt attempt = {
		.memory_max = block_setting_number(settings, "unlock-memory"),
	};

	for (unsigned i = 0; i < luks->slot_count; i++) {
		int rc;

		if (!luks->slots[i].used || (one && i != only) || !may_try(luks, i, &attempt))
			continue;
		attempt.tried++;
		rc = luks_slot_open(luks, &luks->slots[i], passphrase, &luks->key);
		if (!rc)
			return 0;
		if (rc != -EKEYREJECTED)
			return err_errno(err, rc, "cannot open key slot %u of LUKS", i);
	}
	return no_slot(&attempt, err);
}

bool luks_wants_key(const struct block_format_open *open)
{
	return !open->check && (!open->locked || block_setting_string(open->settings, "key"));
}

int luks_unlock(struct luks *luks, const json_t *settings, struct err *err)
{
	const char *source = block_setting_string(settings, "key");
	struct secret passphrase = { 0 };
	int rc;

	if (!source) {
		err_set(err, ENOKEY, "cannot unlock LUKS without a passphrase");
		err_hint(err, "say where it is: key=file:PATH, key=env:NAME or key=fd:NUMBER");
		return -ENOKEY;
	}
	rc = secret_load(&passphrase, source, err);
	if (rc)
		return rc;
	rc = try_slots(luks, &passphrase, settings, err);
	secret_fini(&passphrase);
	if (rc)
		return rc;
	rc = sector_cipher_new(&luks->cipher, luks->cipher_name, luks->key.bytes, luks->key_bytes,
			       luks->sector_bytes);
	return rc ? err_errno(err, rc, "cannot unlock LUKS") : 0;
}

int luks_unlock_as(struct luks *luks, const struct luks *unlocked)
{
	int rc;

	if (!unlocked->cipher || unlocked->key.count != luks->key_bytes)
		return -ENOKEY;
	rc = secret_new(&luks->key, luks->key_bytes);
	if (rc)
		return rc;
	memcpy(luks->key.bytes, unlocked->key.bytes, luks->key_bytes);
	return sector_cipher_new(&luks->cipher, luks->cipher_name, luks->key.bytes, luks->key_bytes,
				 luks->sector_bytes);
}

/* ---- facts ---- */

unsigned luks_version(const struct luks *luks)
{
	return luks->version;
}

uint32_t luks_sector_bytes(const struct luks *luks)
{
	return luks->sector_bytes;
}

uint64_t luks_payload_offset(const struct luks *luks)
{
	return luks->payload_offset;
}

uint64_t luks_payload_bytes(const struct luks *luks)
{
	return luks->payload_bytes;
}

static json_t *describe_slot(const struct luks *luks, unsigned number)
{
	const struct luks_slot *slot = &luks->slots[number];
	const struct luks_kdf *kdf = &slot->kdf;
	const char *problem = luks_slot_problem(luks, slot);

	if (problem)
		return json_pack("{s:i, s:s}", "slot", (int)number, "problem", problem);
	if (!kdf->argon2)
		return json_pack("{s:i, s:s, s:s, s:I}", "slot", (int)number, "kdf", "pbkdf2",
				 "hash", kdf->hash, "iterations", (json_int_t)kdf->iterations);
	return json_pack("{s:i, s:s, s:I, s:I, s:I}", "slot", (int)number, "kdf",
			 kdf->argon.id ? "argon2id" : "argon2i", "passes",
			 (json_int_t)kdf->argon.passes, "memory",
			 (json_int_t)(kdf->argon.memory_kib * KIB), "lanes",
			 (json_int_t)kdf->argon.lanes);
}

json_t *luks_describe(const struct luks *luks)
{
	json_t *slots = json_array(), *facts;

	for (unsigned i = 0; i < luks->slot_count; i++) {
		if (luks->slots[i].used)
			json_array_append_new(slots, describe_slot(luks, i));
	}
	facts = json_pack("{s:i, s:s, s:I, s:I, s:s%, s:b, s:o}", "version", (int)luks->version,
			  "cipher", luks->cipher_name, "key-bits", (json_int_t)luks->key_bytes * 8,
			  "encryption-sector-size", (json_int_t)luks->sector_bytes, "uuid",
			  luks->uuid, strlen(luks->uuid), "locked", !luks->cipher, "key-slots",
			  slots);
	if (*luks->label)
		json_object_set_new(facts, "label", json_string(luks->label));
	return facts;
}

/* ---- creating ---- */

static uint32_t key_bytes_of(const json_t *settings)
{
	uint64_t bits = block_setting_number(settings, "key-bits");

	if (bits)
		return (uint32_t)MIN(bits / 8, (uint64_t)SECTOR_KEY_BYTES_MAX + 1);
	return strstr(block_setting_string(settings, "cipher"), "xts") ? 64 : 32;
}

/* A volume as the settings say, without keys. */
static struct luks *luks_new(const json_t *settings)
{
	const char *label = block_setting_string(settings, "label");
	struct luks *luks = calloc(1, sizeof(*luks));
	uint8_t uuid[UUID_BYTES];

	if (!luks)
		return NULL;
	uuid_new(uuid);
	uuid_text(uuid, luks->uuid);
	luks->version = (unsigned)block_setting_number(settings, "version");
	luks->sector_bytes = (uint32_t)block_setting_number(settings, "sector-size");
	luks->key_bytes = key_bytes_of(settings);
	snprintf(luks->cipher_name, sizeof(luks->cipher_name), "%s",
		 block_setting_string(settings, "cipher"));
	snprintf(luks->label, sizeof(luks->label), "%s", label ? label : "");
	if (luks->version == 1)
		luks1_layout(luks);
	else
		luks2_layout(luks);
	return luks;
}

uint64_t luks_header_bytes(const json_t *settings)
{
	struct luks *luks = luks_new(settings);
	uint64_t bytes = luks ? luks->payload_offset : 0;

	luks_free(luks);
	return bytes;
}

static int check_new(const struct luks *luks, uint64_t room, struct err *err)
{
	if (!sector_cipher_exists(luks->cipher_name, luks->key_bytes))
		return err_set(err, EINVAL, "option 'key_bits': '%s' has no keys so long",
			       luks->cipher_name);
	if (luks->sector_bytes != 512 && luks->sector_bytes != 4096)
		return err_set(err, EINVAL, "option 'sector_size': neither 512 nor 4096");
	if (luks->version == 1 && luks->sector_bytes != 512)
		return err_set(err, EINVAL, "option 'sector_size': LUKS 1 has only 512");
	if (luks->version == 1 && *luks->label)
		return err_set(err, EINVAL, "option 'label': LUKS 1 has none");
	if (room && room < luks->payload_offset)
		return err_set(err, ENOSPC, "cannot create LUKS: %llu bytes are not enough",
			       (unsigned long long)room);
	return 0;
}

static uint32_t digest_iterations(const json_t *settings)
{
	uint64_t wanted = block_setting_number(settings, "kdf-iterations");

	if (!wanted || wanted > DIGEST_ITERATIONS)
		return DIGEST_ITERATIONS;
	return (uint32_t)MAX(wanted, DIGEST_ITERATIONS_LEAST);
}

/* Fills a new volume's first slot and writes it. */
static int create_keys(struct luks *luks, const struct secret *passphrase, const json_t *settings,
		       struct err *err)
{
	int rc = secret_new(&luks->key, luks->key_bytes);

	if (!rc)
		rc = luks_random(luks->key.bytes, luks->key.count);
	if (!rc)
		rc = luks_digest_set(luks, block_setting_string(settings, "hash"),
				     digest_iterations(settings));
	if (!rc && luks->version == 2)
		rc = luks2_find_area(luks, &luks->slots[0]);
	if (rc)
		return err_errno(err, rc, "cannot create LUKS");
	rc = luks_slot_fill(luks, &luks->slots[0], passphrase, settings, err);
	if (rc)
		return rc;
	rc = luks->version == 1 ? luks1_create(luks) : luks2_create(luks);
	return rc ? err_errno(err, rc, "cannot create LUKS") : 0;
}

int luks_create(struct block_node *file, uint64_t offset, uint64_t room, const json_t *settings,
		struct err *err)
{
	const char *source = block_setting_string(settings, "key");
	struct secret passphrase = { 0 };
	struct luks *luks;
	int rc;

	if (!source) {
		err_set(err, ENOKEY, "cannot create LUKS without a passphrase");
		err_hint(err, "say where it is: key=file:PATH, key=env:NAME or key=fd:NUMBER");
		return -ENOKEY;
	}
	luks = luks_new(settings);
	if (!luks)
		return err_errno(err, ENOMEM, "cannot create LUKS");
	luks->file = file;
	luks->offset = offset;
	rc = check_new(luks, room, err);
	if (!rc)
		rc = secret_load(&passphrase, source, err);
	if (!rc)
		rc = create_keys(luks, &passphrase, settings, err);
	secret_fini(&passphrase);
	luks_free(luks);
	return rc;
}

/* ---- key slots ---- */

static int write_slot(struct luks *luks, unsigned slot)
{
	return luks->version == 1 ? luks1_write(luks, slot) : luks2_write(luks, slot);
}

static int fill_slot(struct luks *luks, unsigned number, const json_t *settings, struct err *err)
{
	const char *source = block_setting_string(settings, "key");
	struct luks_slot slot = luks->slots[number];
	struct secret passphrase = { 0 };
	int rc = luks->version == 2 ? luks2_find_area(luks, &slot) : 0;

	if (rc)
		return err_errno(err, rc, "cannot add a key slot to LUKS");
	if (!source)
		return err_set(err, ENOKEY, "cannot add a key slot to LUKS without a passphrase");
	slot.stripes = LUKS_STRIPES;
	slot.area_bytes = round_up(luks_split_bytes(luks, &slot), LUKS_AREA_SECTOR);
	if (slot.area_offset > luks->room || slot.area_bytes > luks->room - slot.area_offset)
		return err_set(err, EINVAL, "cannot add key slot %u to LUKS: no place for it",
			       number);
	rc = secret_load(&passphrase, source, err);
	if (!rc)
		rc = luks_slot_fill(luks, &slot, &passphrase, settings, err);
	secret_fini(&passphrase);
	if (rc)
		return rc;
	luks->slots[number] = slot;
	rc = write_slot(luks, number);
	return rc ? err_errno(err, rc, "cannot add a key slot to LUKS") : 0;
}

int luks_add_slot(struct luks *luks, const json_t *settings, unsigned *ret_slot, struct err *err)
{
	unsigned number = 0;

	if (!luks->cipher)
		return err_set(err, ENOKEY, "cannot add a key slot to LUKS while it is locked");
	while (number < luks->slot_count && luks->slots[number].used)
		number++;
	if (number == luks->slot_count)
		return err_set(err, ENOSPC, "cannot add a key slot to LUKS: all are in use");
	*ret_slot = number;
	return fill_slot(luks, number, settings, err);
}

int luks_remove_slot(struct luks *luks, unsigned slot, bool last, struct err *err)
{
	unsigned used = 0;
	int rc;

	for (unsigned i = 0; i < luks->slot_count; i++)
		used += luks->slots[i].used;
	if (slot >= luks->slot_count || !luks->slots[slot].used)
		return err_set(err, ENOENT, "cannot remove key slot %u of LUKS: it is not in use",
			       slot);
	if (used == 1 && !last)
		return err_set(err, EBUSY,
			       "cannot remove key slot %u of LUKS: without the last one all data "
			       "is lost",
			       slot);
	/* The key goes first: what comes after can be done again. */
	rc = luks_slot_problem(luks, &luks->slots[slot]) ? 0
							 : luks_slot_wipe(luks, &luks->slots[slot]);
	luks->slots[slot].used = false;
	if (!rc)
		rc = write_slot(luks, slot);
	return rc ? err_errno(err, rc, "cannot remove key slot %u of LUKS", slot) : 0;
}

/* ---- checking ---- */

int luks_check(struct luks *luks, struct block_check *check)
{
	bool repaired = false;
	int rc = 0;

	for (unsigned i = 0; i < luks->slot_count; i++) {
		const char *problem = luks_slot_problem(luks, &luks->slots[i]);

		if (luks->slots[i].used && problem)
			block_check_add(check, BLOCK_FINDING_ERROR, false, "key slot %u: %s", i,
					problem);
	}
	if (luks->version != 2 || luks->copies == 2)
		return 0;
	if (check->repair != BLOCK_REPAIR_NOTHING && block_can_write(luks->file)) {
		rc = luks2_write_copies(luks);
		repaired = !rc;
		luks->copies = 2;
	}
	block_check_add(check, BLOCK_FINDING_ERROR, repaired,
			"one copy of the header is not whole, the other one is");
	return rc;
}
