/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first 1 MiB of a VHDX image: what it is, two copies of the header of which the newer one
 * counts, two copies of the region table.
 *
 * Spec: 2.2
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "block/format/vhdx.h"
#include "codec/crc32c.h"

#define HEADER_BYTES      4096
#define REGION_ROW_BYTES  32
#define REGION_ROWS_MAX   2047
#define REGION_ROWS_FIRST 127 /* rows in the first sector of a table */

static const uint64_t header_offsets[2] = { 64 * KIB, 128 * KIB };
static const uint64_t table_offsets[2] = { VHDX_REGION_TABLE_1, VHDX_REGION_TABLE_2 };

const struct vhdx_guid vhdx_bat_region = { { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d,
					     0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 } };
const struct vhdx_guid vhdx_metadata_region = { { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
						  0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88,
						  0x6e } };

bool vhdx_guid_equal(const struct vhdx_guid *a, const struct vhdx_guid *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool vhdx_guid_is_null(const struct vhdx_guid *guid)
{
	static const struct vhdx_guid null;

	return vhdx_guid_equal(guid, &null);
}

void vhdx_guid_format(const struct vhdx_guid *guid, char text[VHDX_GUID_TEXT])
{
	const uint8_t *b = guid->bytes;

	snprintf(text, VHDX_GUID_TEXT, "{%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x}",
		 le32_get(b), le16_get(b + 4), le16_get(b + 6), b[8], b[9], b[10], b[11], b[12],
		 b[13], b[14], b[15]);
}

/* The sum of a structure of which 4 bytes at 4 are the sum. */
static uint32_t sum_of(const uint8_t *bytes, size_t count)
{
	static const uint8_t zeroes[4];
	uint32_t crc = crc32c(0, bytes, 4);

	crc = crc32c(crc, zeroes, sizeof(zeroes));
	return crc32c(crc, bytes + 8, count - 8);
}

static bool is_whole(const uint8_t *bytes, size_t count, const char *signature)
{
	return !memcmp(bytes, signature, 4) && le32_get(bytes + 4) == sum_of(bytes, count);
}

/* ---- headers ---- */

static void header_decode(struct vhdx_header *header, const uint8_t *bytes, unsigned copy)
{
	header->copy = copy;
	header->sequence = le64_get(bytes + 8);
	memcpy(&header->file_write, bytes + 16, 16);
	memcpy(&header->data_write, bytes + 32, 16);
	memcpy(&header->log, bytes + 48, 16);
	header->log_bytes = le32_get(bytes + 68);
	header->log_offset = le64_get(bytes + 72);
}

static void header_encode(const struct vhdx_header *header, uint8_t *bytes)
{
	memset(bytes, 0, HEADER_BYTES);
	memcpy(bytes, "head", 4);
	le64_put(bytes + 8, header->sequence);
	memcpy(bytes + 16, &header->file_write, 16);
	memcpy(bytes + 32, &header->data_write, 16);
	memcpy(bytes + 48, &header->log, 16);
	le16_put(bytes + 66, 1);
	le32_put(bytes + 68, header->log_bytes);
	le64_put(bytes + 72, header->log_offset);
	le32_put(bytes + 4, sum_of(bytes, HEADER_BYTES));
}

static int header_problem(const uint8_t *bytes, const struct vhdx_header *header,
			  uint64_t file_bytes, struct err *err)
{
	if (le16_get(bytes + 64) || le16_get(bytes + 66) != 1)
		return err_set(err, ENOTSUP,
			       "cannot open VHDX: version %u of the format, %u of the log",
			       le16_get(bytes + 66), le16_get(bytes + 64));
	if (header->log_offset % VHDX_ALIGN || header->log_bytes % VHDX_ALIGN ||
	    header->log_offset < VHDX_ALIGN || !header->log_bytes ||
	    header->log_offset > file_bytes || header->log_bytes > file_bytes - header->log_offset)
		return err_set(err, EINVAL,
			       "cannot open VHDX: header: the log of %u bytes at 0x%llx is not in "
			       "the file of %llu",
			       header->log_bytes, (unsigned long long)header->log_offset,
			       (unsigned long long)file_bytes);
	return 0;
}

int vhdx_header_read(struct block_node *file, struct vhdx_header *ret_header, unsigned *ret_copies,
		     struct err *err)
{
	AUTO_FREE uint8_t *bytes = malloc(2 * HEADER_BYTES);
	struct vhdx_header header;
	int newer = -1;

	if (!bytes)
		return err_errno(err, ENOMEM, "cannot open VHDX");
	if (block_size_bytes(file) < VHDX_ALIGN)
		return err_set(err, EINVAL, "cannot open VHDX: the file is shorter than headers");
	*ret_copies = 0;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *copy = bytes + i * HEADER_BYTES;
		int rc = block_read(file, header_offsets[i], copy, HEADER_BYTES);

		if (rc)
			return err_errno(err, rc, "cannot read header %u of VHDX", i + 1);
		if (!is_whole(copy, HEADER_BYTES, "head"))
			continue;
		++*ret_copies;
		header_decode(&header, copy, i);
		if (newer >= 0 && header.sequence <= ret_header->sequence)
			continue;
		*ret_header = header;
		newer = (int)i;
	}
	if (newer < 0)
		return err_set(err, EINVAL, "cannot open VHDX: neither header is whole");
	return header_problem(bytes + newer * HEADER_BYTES, ret_header, block_size_bytes(file),
			      err);
}

int vhdx_header_write(struct block_node *file, struct vhdx_header *header)
{
	struct vhdx_header next = *header;
	uint8_t bytes[HEADER_BYTES];
	int rc;

	next.sequence++;
	next.copy = !header->copy;
	header_encode(&next, bytes);
	rc = block_write(file, header_offsets[next.copy], bytes, sizeof(bytes));
	if (!rc)
		rc = block_flush(file);
	if (!rc)
		*header = next;
	return rc;
}

/* ---- regions ---- */

static int table_read(struct block_node *file, uint8_t *table, unsigned *ret_whole, struct err *err)
{
	AUTO_FREE uint8_t *second = malloc(VHDX_SECTION_BYTES);
	int rc = second ? 0 : -ENOMEM;
	bool first_good, second_good;

	if (!rc)
		rc = block_read(file, table_offsets[0], table, VHDX_SECTION_BYTES);
	if (!rc)
		rc = block_read(file, table_offsets[1], second, VHDX_SECTION_BYTES);
	if (rc)
		return err_errno(err, rc, "cannot read the region tables of VHDX");
	first_good = is_whole(table, VHDX_SECTION_BYTES, "regi");
	second_good = is_whole(second, VHDX_SECTION_BYTES, "regi");
	if (!first_good && !second_good)
		return err_set(err, EINVAL, "cannot open VHDX: neither region table is whole");
	if (!first_good)
		memcpy(table, second, VHDX_SECTION_BYTES);
	*ret_whole = (first_good ? 1u : 0) | (second_good ? 2u : 0);
	return 0;
}

static int take_region(struct vhdx_regions *regions, const uint8_t *row, unsigned number,
		       uint64_t file_bytes, struct err *err)
{
	struct vhdx_region region = { .offset = le64_get(row + 16), .bytes = le32_get(row + 24) };
	struct vhdx_guid guid;
	struct vhdx_region *known = NULL;

	memcpy(&guid, row, sizeof(guid));
	if (region.offset % VHDX_ALIGN || region.bytes % VHDX_ALIGN || region.offset < VHDX_ALIGN ||
	    !region.bytes || region.offset > file_bytes ||
	    region.bytes > file_bytes - region.offset)
		return err_set(err, EINVAL,
			       "cannot open VHDX: region %u of %u bytes at 0x%llx is not in the "
			       "file of %llu",
			       number, region.bytes, (unsigned long long)region.offset,
			       (unsigned long long)file_bytes);
	if (vhdx_guid_equal(&guid, &vhdx_bat_region)) {
		known = &regions->bat;
		regions->bat_row = number;
	} else if (vhdx_guid_equal(&guid, &vhdx_metadata_region)) {
		known = &regions->metadata;
	}
	if (known && known->bytes)
		return err_set(err, EINVAL, "cannot open VHDX: region %u is there twice", number);
	if (known) {
		*known = region;
		return 0;
	}
	if (le32_get(row + 28) & 1)
		return err_set(err, ENOTSUP,
			       "cannot open VHDX: region %u is required and not known", number);
	return vec_push(&regions->unknown, region) ? err_errno(err, ENOMEM, "cannot open VHDX") : 0;
}

int vhdx_regions_read(struct block_node *file, struct vhdx_regions *ret_regions, struct err *err)
{
	AUTO_FREE uint8_t *table = malloc(VHDX_SECTION_BYTES);
	uint64_t file_bytes = block_size_bytes(file);
	uint32_t rows;
	int rc;

	*ret_regions = (struct vhdx_regions){ 0 };
	if (!table)
		return err_errno(err, ENOMEM, "cannot open VHDX");
	rc = table_read(file, table, &ret_regions->whole, err);
	if (rc)
		return rc;
	rows = le32_get(table + 8);
	if (rows > REGION_ROWS_MAX)
		return err_set(err, EINVAL, "cannot open VHDX: the region table has %u rows", rows);
	for (uint32_t i = 0; i < rows && !rc; i++)
		rc = take_region(ret_regions, table + 16 + i * REGION_ROW_BYTES, i, file_bytes,
				 err);
	if (rc)
		return rc;
	if (!ret_regions->bat.bytes || !ret_regions->metadata.bytes)
		return err_set(err, EINVAL, "cannot open VHDX: no region for %s",
			       ret_regions->bat.bytes ? "metadata" : "the allocation table");
	return 0;
}

int vhdx_regions_move_bat(struct block_node *file, const struct vhdx_regions *regions,
			  struct vhdx_region bat, uint8_t *ret_sector)
{
	AUTO_FREE uint8_t *table = malloc(VHDX_SECTION_BYTES);
	unsigned whole;
	uint8_t *row;
	int rc;

	if (!table)
		return -ENOMEM;
	if (regions->bat_row >= REGION_ROWS_FIRST)
		return -ENOTSUP;
	rc = table_read(file, table, &whole, NULL);
	if (rc)
		return rc;
	row = table + 16 + regions->bat_row * REGION_ROW_BYTES;
	le64_put(row + 16, bat.offset);
	le32_put(row + 24, bat.bytes);
	le32_put(table + 4, sum_of(table, VHDX_SECTION_BYTES));
	memcpy(ret_sector, table, VHDX_LOG_SECTOR);
	return 0;
}

int vhdx_regions_restore(struct block_node *file)
{
	AUTO_FREE uint8_t *table = malloc(VHDX_SECTION_BYTES);
	unsigned whole;
	int rc = table ? table_read(file, table, &whole, NULL) : -ENOMEM;

	for (unsigned i = 0; i < 2 && !rc; i++) {
		if (!(whole >> i & 1))
			rc = block_write(file, table_offsets[i], table, VHDX_SECTION_BYTES);
	}
	return rc ? rc : block_flush(file);
}

/* ---- creating ---- */

static void put_region(uint8_t *row, const struct vhdx_guid *guid, struct vhdx_region region)
{
	memcpy(row, guid, sizeof(*guid));
	le64_put(row + 16, region.offset);
	le32_put(row + 24, region.bytes);
	le32_put(row + 28, 1);
}

int vhdx_header_create(struct block_node *file, struct vhdx_header *header, struct vhdx_region bat,
		       struct vhdx_region metadata)
{
	static const char creator[] = "Cella " CELLA_VERSION;
	AUTO_FREE uint8_t *bytes = calloc(1, VHDX_SECTION_BYTES);
	int rc;

	if (!bytes)
		return -ENOMEM;
	put_region(bytes + 16, &vhdx_bat_region, bat);
	put_region(bytes + 16 + REGION_ROW_BYTES, &vhdx_metadata_region, metadata);
	memcpy(bytes, "regi", 4);
	le32_put(bytes + 8, 2);
	le32_put(bytes + 4, sum_of(bytes, VHDX_SECTION_BYTES));
	rc = block_write(file, VHDX_REGION_TABLE_1, bytes, VHDX_SECTION_BYTES);
	if (!rc)
		rc = block_write(file, VHDX_REGION_TABLE_2, bytes, VHDX_SECTION_BYTES);
	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = vhdx_header_write(file, header);
	if (rc)
		return rc;
	memset(bytes, 0, VHDX_SECTION_BYTES);
	memcpy(bytes, "vhdxfile", 8);
	for (size_t i = 0; i < sizeof(creator) - 1; i++)
		bytes[8 + 2 * i] = (uint8_t)creator[i];
	return block_write(file, 0, bytes, VHDX_SECTION_BYTES);
}
