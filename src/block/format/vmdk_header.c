/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers of sparse VMDK extents as bytes. Spec: "Hosted Sparse Extents" */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/macros.h"
#include "block/format/vmdk_priv.h"

#define VERSION_MAX       3
#define GRAIN_SECTORS_MIN 8
#define GRAIN_SECTORS_MAX 65536
#define DEFLATE           1

/* Offsets of fields. */
enum {
	MAGIC = 0,
	VERSION = 4,
	FLAGS = 8,
	SECTORS = 12,
	GRAIN = 20,
	DESCRIPTOR_AT = 28,
	DESCRIPTOR_SECTORS = 36,
	TABLE_ENTRIES = 44,
	REDUNDANT_AT = 48,
	DIRECTORY_AT = 56,
	OVERHEAD = 64,
	NEWLINES = 73,
	COMPRESSION = 77,
};

static const uint8_t newlines[] = { '\n', ' ', '\r', '\n' };

bool vmdk_header_is_there(const uint8_t *bytes)
{
	return !memcmp(bytes + MAGIC, "KDMV", 4);
}

uint64_t vmdk_tables(const struct vmdk_header *header)
{
	uint64_t sectors = header->grain_sectors * VMDK_TABLE_ENTRIES;

	return header->sectors / sectors + (header->sectors % sectors != 0);
}

static int check_places(const struct vmdk_header *header, uint64_t file_bytes, struct err *err)
{
	uint64_t file_sectors = (file_bytes + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
	uint64_t tables = vmdk_tables(header), directory = (tables * 4 + 511) / BLOCK_SECTOR;

	if (tables > VMDK_TABLES_MAX)
		return err_set(err, EFBIG, "%llu grain tables are more than %u",
			       (unsigned long long)tables, VMDK_TABLES_MAX);
	if (header->directory_at != VMDK_AT_END &&
	    (!header->directory_at || header->directory_at > file_sectors ||
	     directory > file_sectors - header->directory_at))
		return err_set(err, EINVAL, "the grain directory at sector %llu is not in the file",
			       (unsigned long long)header->directory_at);
	if (header->flags & VMDK_FLAG_REDUNDANT &&
	    (!header->redundant_at || header->redundant_at > file_sectors ||
	     directory > file_sectors - header->redundant_at))
		return err_set(err, EINVAL,
			       "the second grain directory at sector %llu is not in the file",
			       (unsigned long long)header->redundant_at);
	if (header->descriptor_at > file_sectors ||
	    header->descriptor_sectors > file_sectors - header->descriptor_at ||
	    header->descriptor_sectors > VMDK_DESCRIPTOR_MAX / BLOCK_SECTOR)
		return err_set(err, EINVAL, "the descriptor at sector %llu is not in the file",
			       (unsigned long long)header->descriptor_at);
	return 0;
}

int vmdk_header_decode(struct vmdk_header *header, const uint8_t *bytes, uint64_t file_bytes,
		       struct err *err)
{
	if (!vmdk_header_is_there(bytes))
		return err_set(err, EINVAL, "no header of a sparse extent");
	*header = (struct vmdk_header){
		.version = le32_get(bytes + VERSION),
		.flags = le32_get(bytes + FLAGS),
		.sectors = le64_get(bytes + SECTORS),
		.grain_sectors = le64_get(bytes + GRAIN),
		.descriptor_at = le64_get(bytes + DESCRIPTOR_AT),
		.descriptor_sectors = le64_get(bytes + DESCRIPTOR_SECTORS),
		.redundant_at = le64_get(bytes + REDUNDANT_AT),
		.directory_at = le64_get(bytes + DIRECTORY_AT),
		.overhead = le64_get(bytes + OVERHEAD),
	};
	if (!header->version || header->version > VERSION_MAX)
		return err_set(err, ENOTSUP, "version %u", header->version);
	if (header->flags & VMDK_FLAG_NEWLINES &&
	    memcmp(bytes + NEWLINES, newlines, sizeof(newlines)) != 0)
		return err_set(err, EINVAL, "its line ends were changed, as by a transfer of text");
	if (!is_power_of_two(header->grain_sectors) || header->grain_sectors < GRAIN_SECTORS_MIN ||
	    header->grain_sectors > GRAIN_SECTORS_MAX)
		return err_set(err, EINVAL, "grains of %llu sectors",
			       (unsigned long long)header->grain_sectors);
	if (le32_get(bytes + TABLE_ENTRIES) != VMDK_TABLE_ENTRIES)
		return err_set(err, ENOTSUP, "grain tables of %u entries",
			       le32_get(bytes + TABLE_ENTRIES));
	if (header->flags & VMDK_FLAG_PACKED &&
	    (le16_get(bytes + COMPRESSION) != DEFLATE || !(header->flags & VMDK_FLAG_MARKERS)))
		return err_set(err, ENOTSUP, "compression %u", le16_get(bytes + COMPRESSION));
	if (header->sectors > BLOCK_SIZE_MAX / BLOCK_SECTOR)
		return err_set(err, EINVAL, "a disk of %llu sectors",
			       (unsigned long long)header->sectors);
	return check_places(header, file_bytes, err);
}

void vmdk_header_encode(const struct vmdk_header *header, uint8_t *bytes)
{
	memset(bytes, 0, VMDK_HEADER_BYTES);
	memcpy(bytes + MAGIC, "KDMV", 4);
	le32_put(bytes + VERSION, header->version);
	le32_put(bytes + FLAGS, header->flags);
	le64_put(bytes + SECTORS, header->sectors);
	le64_put(bytes + GRAIN, header->grain_sectors);
	le64_put(bytes + DESCRIPTOR_AT, header->descriptor_at);
	le64_put(bytes + DESCRIPTOR_SECTORS, header->descriptor_sectors);
	le32_put(bytes + TABLE_ENTRIES, VMDK_TABLE_ENTRIES);
	le64_put(bytes + REDUNDANT_AT, header->redundant_at);
	le64_put(bytes + DIRECTORY_AT, header->directory_at);
	le64_put(bytes + OVERHEAD, header->overhead);
	memcpy(bytes + NEWLINES, newlines, sizeof(newlines));
	le16_put(bytes + COMPRESSION, header->flags & VMDK_FLAG_PACKED ? DEFLATE : 0);
}
