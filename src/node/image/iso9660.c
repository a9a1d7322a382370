/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout, in sectors: 16 nothing, the volume descriptor, its end, the table of paths in either byte
 * order, the folder, the files.
 */
#include "node/image/iso9660.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"

#define SECTOR 2048u

enum place { DESCRIPTOR = 16, DESCRIPTOR_END, PATHS_LITTLE, PATHS_BIG, FOLDER, FILES };

#define PATHS_BYTES 10u /* one path, the root */

/* ECMA-119 9.1: a record of a folder. */
#define RECORD_BYTES     33u
#define RECORD_FOLDER    2u /* flag */
#define RECORD_MAX       255u
#define ROOT_NAME_ITSELF 0u
#define ROOT_NAME_PARENT 1u

/* POSIX modes of Rock Ridge. */
#define MODE_FOLDER 0040555u
#define MODE_FILE   0100444u

/* Numbers in both byte orders, 7.2.3 and 7.3.3. */
static void put16(uint8_t *to, uint16_t value)
{
	le16_put(to, value);
	be16_put(to + 2, value);
}

static void put32(uint8_t *to, uint32_t value)
{
	le32_put(to, value);
	be32_put(to + 4, value);
}

static void put_text(uint8_t *to, size_t size, const char *text)
{
	memset(to, ' ', size);
	memcpy(to, text, MIN(strlen(text), size));
}

static uint32_t sectors_of(size_t bytes)
{
	return (uint32_t)((bytes + SECTOR - 1) / SECTOR);
}

/* ---- records ---- */

struct record {
	uint8_t bytes[RECORD_MAX];
	unsigned length;
};

static void record_begin(struct record *record, const void *name, size_t name_bytes,
			 uint32_t sector, uint32_t count, unsigned flags)
{
	static const uint8_t time[] = { 80, 1, 1, 0, 0, 0, 0 }; /* 9.1.5 */

	memset(record, 0, sizeof(*record));
	put32(record->bytes + 2, sector);
	put32(record->bytes + 10, count);
	memcpy(record->bytes + 18, time, sizeof(time));
	record->bytes[25] = (uint8_t)flags;
	put16(record->bytes + 28, 1);
	record->bytes[32] = (uint8_t)name_bytes;
	memcpy(record->bytes + RECORD_BYTES, name, name_bytes);
	record->length = (unsigned)(RECORD_BYTES + name_bytes);
	record->length += record->length & 1;
}

/* A field of SUSP: signature, length, version, content. */
static uint8_t *record_add(struct record *record, const char *signature, size_t content)
{
	uint8_t *field = record->bytes + record->length;

	memcpy(field, signature, 2);
	field[2] = (uint8_t)(4 + content);
	field[3] = 1;
	record->length += (unsigned)(4 + content);
	return field + 4;
}

static void record_add_mode(struct record *record, uint32_t mode, uint32_t links)
{
	uint8_t *field = record_add(record, "PX", 32);

	put32(field, mode);
	put32(field + 8, links);
}

/* That the extensions are there: in the folder's record of itself. */
static void record_add_extensions(struct record *record)
{
	static const uint8_t check[] = { 0xbe, 0xef, 0 };
	static const char id[] = "RRIP_1991A";
	uint8_t *field = record_add(record, "SP", sizeof(check));

	memcpy(field, check, sizeof(check));
	field = record_add(record, "ER", 4 + strlen(id));
	field[0] = (uint8_t)strlen(id);
	field[3] = 1;
	memcpy(field + 4, id, strlen(id));
}

static size_t record_end(struct record *record, uint8_t *to)
{
	record->length += record->length & 1;
	record->bytes[0] = (uint8_t)record->length;
	memcpy(to, record->bytes, record->length);
	return record->length;
}

static void make_root_record(struct record *record, unsigned name)
{
	uint8_t byte = (uint8_t)name;

	record_begin(record, &byte, 1, FOLDER, SECTOR, RECORD_FOLDER);
}

/* Names of ECMA-119 are upper case with a version behind them; who knows Rock Ridge sees the other. */
static void make_file_record(struct record *record, const struct iso9660_file *file,
			     uint32_t sector)
{
	char name[ISO9660_NAME_MAX + 3];
	size_t length = strlen(file->name);
	uint8_t *field;

	for (size_t i = 0; i < length; i++) {
		char c = file->name[i];

		name[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c == '-' ? '_' : c;
	}
	memcpy(name + length, ";1", 3);
	record_begin(record, name, length + 2, sector, (uint32_t)file->count, 0);
	record_add_mode(record, MODE_FILE, 1);
	field = record_add(record, "NM", 1 + length);
	memcpy(field + 1, file->name, length);
}

/* ---- sectors ---- */

static void make_descriptor(uint8_t *sector, const char *label, uint32_t sectors)
{
	static const char never[] = "0000000000000000";
	struct record root;

	sector[0] = 1;
	memcpy(sector + 1, "CD001\1", 6);
	put_text(sector + 8, 32, "");
	put_text(sector + 40, 32, label);
	put32(sector + 80, sectors);
	put16(sector + 120, 1);
	put16(sector + 124, 1);
	put16(sector + 128, SECTOR);
	put32(sector + 132, PATHS_BYTES);
	le32_put(sector + 140, PATHS_LITTLE);
	be32_put(sector + 148, PATHS_BIG);
	make_root_record(&root, ROOT_NAME_ITSELF);
	record_end(&root, sector + 156);
	put_text(sector + 190, 813 - 190, "");
	for (unsigned i = 0; i < 4; i++)
		memcpy(sector + 813 + 17 * i, never, sizeof(never) - 1);
	sector[881] = 1;
	memcpy(sector + SECTOR,
	       "\xff"
	       "CD001\1",
	       7);
}

/* 9.4 */
static void make_paths(uint8_t *little, uint8_t *big)
{
	little[0] = big[0] = 1;
	le32_put(little + 2, FOLDER);
	be32_put(big + 2, FOLDER);
	le16_put(little + 6, 1);
	be16_put(big + 6, 1);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct iso9660_file *const *)a)->name,
		      (*(const struct iso9660_file *const *)b)->name);
}

static void make_folder(uint8_t *all, const struct iso9660_file *files, size_t count)
{
	const struct iso9660_file *sorted[ISO9660_FILES_MAX];
	uint8_t *to = all + FOLDER * SECTOR;
	uint32_t sector = FILES;
	struct record record;

	make_root_record(&record, ROOT_NAME_ITSELF);
	record_add_extensions(&record);
	record_add_mode(&record, MODE_FOLDER, 2);
	to += record_end(&record, to);
	make_root_record(&record, ROOT_NAME_PARENT);
	record_add_mode(&record, MODE_FOLDER, 2);
	to += record_end(&record, to);
	for (size_t i = 0; i < count; i++)
		sorted[i] = &files[i];
	qsort(sorted, count, sizeof(sorted[0]), by_name);
	for (size_t i = 0; i < count; i++) {
		make_file_record(&record, sorted[i], sector);
		to += record_end(&record, to);
		if (sorted[i]->count)
			memcpy(all + (size_t)sector * SECTOR, sorted[i]->bytes, sorted[i]->count);
		sector += sectors_of(sorted[i]->count);
	}
}

static bool is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t length = strlen(name);

	return length && length <= ISO9660_NAME_MAX && !name[strspn(name, allowed)] && *name != '.';
}

int iso9660_make(const char *label, const struct iso9660_file *files, size_t file_count,
		 uint8_t **ret_bytes, size_t *ret_count)
{
	uint32_t sectors = FILES;
	uint8_t *all;

	if (strlen(label) > ISO9660_LABEL_MAX || file_count > ISO9660_FILES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < file_count; i++) {
		if (!is_name(files[i].name))
			return -EINVAL;
		if (files[i].count > ISO9660_BYTES_MAX)
			return -EFBIG;
		sectors += sectors_of(files[i].count);
	}
	if (sectors > FILES + ISO9660_BYTES_MAX / SECTOR)
		return -EFBIG;
	all = calloc(sectors, SECTOR);
	if (!all)
		return -ENOMEM;
	make_descriptor(all + DESCRIPTOR * SECTOR, label, sectors);
	make_paths(all + PATHS_LITTLE * SECTOR, all + PATHS_BIG * SECTOR);
	make_folder(all, files, file_count);
	*ret_bytes = all;
	*ret_count = (size_t)sectors * SECTOR;
	return 0;
}
