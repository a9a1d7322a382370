/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LUKS volumes: the header with its key slots, and the cipher of the data. For the format 'luks',
 * where both are in one file, and for formats that keep a LUKS header among their own metadata
 * (qcow2).
 *
 *	rc = luks_load(file, header_offset, header_bytes, &luks, err);
 *	rc = luks_unlock(luks, settings, err);		// finds the key: takes seconds
 *	...
 *	rc = luks_decrypt(luks, position, bytes, count);	// any thread, several at once
 *	...
 *	luks_free(luks);
 *
 * A header is hostile: its places are inside the room it is given, and what unlocking it may cost
 * in memory and time is bounded before it begins.
 *
 * Spec: LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification 1.1.1
 */
#pragma once

#include "block/block.h"
#include "block/format.h"

struct luks;

/* Where the passphrase is. */
#define LUKS_KEY_OPTION                                                                            \
	{                                                                                          \
		.name = "key", .type = BLOCK_OPTION_STRING,                                        \
		.help = "the passphrase is in file:PATH, env:NAME or fd:NUMBER; all bytes count"   \
	}

/* Rows for open_options: the passphrase, and what unlocking may cost. */
#define LUKS_OPEN_OPTIONS                                                                          \
	LUKS_KEY_OPTION,                                                                           \
		{ .name = "key-slot",                                                              \
		  .type = BLOCK_OPTION_NUMBER,                                                     \
		  .max = 31,                                                                       \
		  .help = "try only this key slot" },                                              \
	{                                                                                          \
		.name = "unlock-memory", .type = BLOCK_OPTION_SIZE, .preset = "1G",                \
		.max = UINT64_C(4) << 30, .help = "refuse key slots that need more to be opened"   \
	}

/* Rows for a new key slot of PBKDF2, beside LUKS_KEY_OPTION: all that version 1 has. */
#define LUKS_PBKDF2_OPTIONS                                                                        \
	{ .name = "kdf-time",                                                                      \
	  .type = BLOCK_OPTION_NUMBER,                                                             \
	  .preset = "2000",                                                                        \
	  .min = 1,                                                                                \
	  .max = 60000,                                                                            \
	  .help = "milliseconds that opening a key slot takes here" },                             \
		{ .name = "kdf-iterations",                                                        \
		  .type = BLOCK_OPTION_NUMBER,                                                     \
		  .max = 10000000,                                                                 \
		  .help = "iterations or passes, instead of kdf-time" },                           \
	{                                                                                          \
		.name = "hash", .type = BLOCK_OPTION_STRING, .preset = "sha256",                   \
		.choices = luks_hashes, .help = "for key slots and digests"                        \
	}

/* Rows for any new key slot, beside LUKS_KEY_OPTION. */
#define LUKS_SLOT_OPTIONS                                                                          \
	{ .name = "kdf",                                                                           \
	  .type = BLOCK_OPTION_STRING,                                                             \
	  .choices = luks_kdfs,                                                                    \
	  .help = "from passphrase to key: argon2id (version 2), pbkdf2 (both)" },                 \
		{ .name = "kdf-memory",                                                            \
		  .type = BLOCK_OPTION_SIZE,                                                       \
		  .preset = "256M",                                                                \
		  .min = MIB,                                                                      \
		  .max = UINT64_C(1) << 30,                                                        \
		  .help = "memory that it takes, of argon2" },                                     \
		LUKS_PBKDF2_OPTIONS

/* Rows of what encrypts the data. */
#define LUKS_CIPHER_OPTIONS                                                                        \
	{ .name = "cipher",                                                                        \
	  .type = BLOCK_OPTION_STRING,                                                             \
	  .preset = "aes-xts-plain64",                                                             \
	  .choices = luks_ciphers,                                                                 \
	  .help = "of the data" },                                                                 \
	{                                                                                          \
		.name = "key-bits", .type = BLOCK_OPTION_NUMBER,                                   \
		.help = "of the cipher; XTS counts two keys"                                       \
	}

/* Rows for create_options, beside LUKS_KEY_OPTION. */
#define LUKS_CREATE_OPTIONS(version_preset)                                                        \
	{ .name = "version",                                                                       \
	  .type = BLOCK_OPTION_NUMBER,                                                             \
	  .preset = (version_preset),                                                              \
	  .min = 1,                                                                                \
	  .max = 2,                                                                                \
	  .help = "of LUKS" },                                                                     \
		LUKS_CIPHER_OPTIONS,                                                               \
		{ .name = "sector-size",                                                           \
		  .type = BLOCK_OPTION_SIZE,                                                       \
		  .preset = "512",                                                                 \
		  .min = 512,                                                                      \
		  .max = 4096,                                                                     \
		  .power_of_two = true,                                                            \
		  .help = "of encryption: 512, or 4096 in version 2" },                            \
		{ .name = "label", .type = BLOCK_OPTION_STRING, .help = "of version 2" },          \
		LUKS_SLOT_OPTIONS

extern const char *const luks_kdfs[], *const luks_hashes[], *const luks_ciphers[];

/*
 * Reads the header in `bytes` of the file from `offset` on (bytes 0: all of the file). The file is
 * borrowed for the life of `*ret_luks`. Errors: -EINVAL, -ENOTSUP and storage's, explained.
 */
int luks_load(struct block_node *file, uint64_t offset, uint64_t bytes, struct luks **ret_luks,
	      struct err *err);
/* Wipes all keys. Accepts NULL. */
void luks_free(struct luks *luks);

/* Whether an image that is opened so must be unlocked, or only may be looked at. */
bool luks_wants_key(const struct block_format_open *open);

/* Finds the key by the passphrase that "key" of `settings` names; takes seconds, and memory up to
 * "unlock-memory". -EKEYREJECTED: no slot opens with it; -ENOKEY: none was named. */
int luks_unlock(struct luks *luks, const json_t *settings, struct err *err);
/* The key of the same volume, which another one has found. 0, -ENOKEY or -ENOMEM. */
int luks_unlock_as(struct luks *luks, const struct luks *unlocked);

/*
 * In place; after luks_unlock(). `position` is that of the bytes as far as encryption is concerned
 * (of the disk, or wherever the format counts from), a multiple of luks_sector_bytes(), as is
 * `count`. Any thread, several at once. 0, -ENOKEY, -ENOMEM or -EIO.
 */
int luks_encrypt(struct luks *luks, uint64_t position, uint8_t *bytes, size_t count);
int luks_decrypt(struct luks *luks, uint64_t position, uint8_t *bytes, size_t count);

/*
 * Reads or writes `bytes` of data that lie encrypted at `at` of a file, which need not be the
 * header's, through memory of the call; `position` as above. `flags`: BLOCK_FUA.
 */
int luks_read(struct luks *luks, struct block_node *file, uint64_t at, uint64_t position,
	      uint64_t bytes, struct block_buffer to);
int luks_write(struct luks *luks, struct block_node *file, uint64_t at, uint64_t position,
	       uint64_t bytes, struct block_buffer from, unsigned flags);

unsigned luks_version(const struct luks *luks);
uint32_t luks_sector_bytes(const struct luks *luks);
/* Where the data begins, counted from the header. */
uint64_t luks_payload_offset(const struct luks *luks);
/* Size of the data as the header says; 0: to the end of the file. */
uint64_t luks_payload_bytes(const struct luks *luks);
/* Facts for people and JSON; new reference. Tells no secrets. */
json_t *luks_describe(const struct luks *luks);

/*
 * Writes a new header with one key slot, for "key" of `settings` (LUKS_CREATE_OPTIONS, and "key"),
 * from `offset` on. `room`: bytes that may be used (0: any); luks_header_bytes() are needed.
 */
int luks_create(struct block_node *file, uint64_t offset, uint64_t room, const json_t *settings,
		struct err *err);
uint64_t luks_header_bytes(const json_t *settings);

/* ---- key slots; the volume is unlocked but for removing; nobody else uses it ---- */

/* `settings`: LUKS_SLOT_OPTIONS, and "key". -ENOSPC: all are taken. */
int luks_add_slot(struct luks *luks, const json_t *settings, unsigned *ret_slot, struct err *err);
/* Overwrites the key of a slot; the last one only with `last`. -ENOENT: it is not in use. */
int luks_remove_slot(struct luks *luks, unsigned slot, bool last, struct err *err);
/* Looks at key slots and copies of the header; repaired, both copies are written anew. */
int luks_check(struct luks *luks, struct block_check *check);
