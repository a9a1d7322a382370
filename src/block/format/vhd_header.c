/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Footer and header of VHD images as bytes. Spec: Hard Disk Footer Format, Dynamic Disk Header
 * Format, Appendix: CHS Calculation */
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/macros.h"
#include "block/format/vhd_priv.h"

#define VERSION       UINT32_C(0x00010000)
#define NOTHING       UINT64_MAX
#define EPOCH         946684800 /* 2000-01-01 in Unix time */
#define CYLINDERS_MAX 65535u
#define LOCATOR_BYTES 24

/* Offsets of fields of the footer. */
enum {
	F_COOKIE = 0,
	F_FEATURES = 8,
	F_VERSION = 12,
	F_HEADER = 16,
	F_TIME = 24,
	F_CREATOR = 28,
	F_CREATOR_VERSION = 32,
	F_CREATOR_SYSTEM = 36,
	F_FIRST_BYTES = 40,
	F_BYTES = 48,
	F_CYLINDERS = 56,
	F_HEADS = 58,
	F_SECTORS = 59,
	F_TYPE = 60,
	F_CHECKSUM = 64,
	F_UUID = 68,
};

/* … and of the header. */
enum {
	H_COOKIE = 0,
	H_NEXT = 8,
	H_BAT = 16,
	H_VERSION = 24,
	H_ENTRIES = 28,
	H_BLOCK = 32,
	H_CHECKSUM = 36,
	H_PARENT_UUID = 40,
	H_PARENT_TIME = 56,
	H_PARENT_NAME = 64,
	H_LOCATORS = 576,
};

/* The complement of the sum of all bytes but the four of the sum itself. */
static uint32_t checksum(const uint8_t *bytes, size_t count, size_t at)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += i < at || i >= at + 4 ? bytes[i] : 0;
	return ~sum;
}

uint32_t vhd_time(int64_t unix_time)
{
	return unix_time < EPOCH ? 0 : (uint32_t)(unix_time - EPOCH);
}

uint32_t vhd_bitmap_bytes(uint32_t block_bytes)
{
	return MAX(block_bytes / BLOCK_SECTOR / 8, (uint32_t)BLOCK_SECTOR);
}

/* ---- footer ---- */

bool vhd_footer_is_there(const uint8_t *bytes)
{
	return !memcmp(bytes + F_COOKIE, "conectix", 8);
}

bool vhd_footer_decode(struct vhd_footer *footer, const uint8_t *bytes)
{
	uint32_t cylinders = be16_get(bytes + F_CYLINDERS);
	uint32_t heads = bytes[F_HEADS], sectors = bytes[F_SECTORS];

	if (!vhd_footer_is_there(bytes) || be32_get(bytes + F_VERSION) >> 16 != VERSION >> 16 ||
	    be32_get(bytes + F_CHECKSUM) != checksum(bytes, VHD_FOOTER_BYTES, F_CHECKSUM))
		return false;
	*footer = (struct vhd_footer){
		.type = be32_get(bytes + F_TYPE),
		.header_offset = be64_get(bytes + F_HEADER),
		.time = be32_get(bytes + F_TIME),
		.bytes = be64_get(bytes + F_BYTES),
		.geometry_bytes = (uint64_t)cylinders * heads * sectors * BLOCK_SECTOR,
		.geometry_full = cylinders == CYLINDERS_MAX,
	};
	memcpy(footer->creator, bytes + F_CREATOR, sizeof(footer->creator));
	memcpy(footer->uuid, bytes + F_UUID, UUID_BYTES);
	return true;
}

static void put_geometry(uint8_t *bytes, uint64_t disk_bytes)
{
	uint64_t total = MIN(disk_bytes / BLOCK_SECTOR, UINT64_C(65535) * 16 * 255);
	uint64_t sectors, heads, tracks;

	if (total >= UINT64_C(65535) * 16 * 63) {
		sectors = 255;
		heads = 16;
		tracks = total / sectors;
	} else {
		sectors = 17;
		tracks = total / sectors;
		heads = MAX((tracks + 1023) / 1024, UINT64_C(4));
		if (tracks >= heads * 1024 || heads > 16) {
			sectors = 31;
			heads = 16;
			tracks = total / sectors;
		}
		if (tracks >= heads * 1024) {
			sectors = 63;
			heads = 16;
			tracks = total / sectors;
		}
	}
	be16_put(bytes + F_CYLINDERS, (uint16_t)(tracks / heads));
	bytes[F_HEADS] = (uint8_t)heads;
	bytes[F_SECTORS] = (uint8_t)sectors;
}

static void sign_footer(uint8_t *bytes)
{
	be32_put(bytes + F_CHECKSUM, checksum(bytes, VHD_FOOTER_BYTES, F_CHECKSUM));
}

void vhd_footer_set_bytes(uint8_t *bytes, uint64_t disk_bytes)
{
	be64_put(bytes + F_BYTES, disk_bytes);
	put_geometry(bytes, disk_bytes);
	sign_footer(bytes);
}

void vhd_footer_set_header(uint8_t *bytes, uint32_t type, uint64_t header_offset)
{
	be32_put(bytes + F_TYPE, type);
	be64_put(bytes + F_HEADER, header_offset);
	sign_footer(bytes);
}

void vhd_footer_encode(const struct vhd_footer *footer, uint8_t *bytes)
{
	memset(bytes, 0, VHD_FOOTER_BYTES);
	memcpy(bytes + F_COOKIE, "conectix", 8);
	be32_put(bytes + F_FEATURES, 2); /* a bit that is always set */
	be32_put(bytes + F_VERSION, VERSION);
	be64_put(bytes + F_HEADER, footer->header_offset);
	be32_put(bytes + F_TIME, footer->time);
	/* Readers take the size from the footer, and not from the geometry, if the creator is one
	 * that they know to mean it so. */
	memcpy(bytes + F_CREATOR, footer->creator, sizeof(footer->creator));
	be32_put(bytes + F_CREATOR_VERSION, VERSION);
	memcpy(bytes + F_CREATOR_SYSTEM, "Wi2k", 4);
	be64_put(bytes + F_FIRST_BYTES, footer->bytes);
	be32_put(bytes + F_TYPE, footer->type);
	memcpy(bytes + F_UUID, footer->uuid, UUID_BYTES);
	vhd_footer_set_bytes(bytes, footer->bytes);
}

/* ---- header ---- */

bool vhd_header_decode(struct vhd_header *header, const uint8_t *bytes)
{
	if (memcmp(bytes + H_COOKIE, "cxsparse", 8) != 0 ||
	    be32_get(bytes + H_VERSION) >> 16 != VERSION >> 16 ||
	    be32_get(bytes + H_CHECKSUM) != checksum(bytes, VHD_HEADER_BYTES, H_CHECKSUM))
		return false;
	*header = (struct vhd_header){
		.bat_offset = be64_get(bytes + H_BAT),
		.entries = be32_get(bytes + H_ENTRIES),
		.block_bytes = be32_get(bytes + H_BLOCK),
		.parent_time = be32_get(bytes + H_PARENT_TIME),
		.parent_name = bytes + H_PARENT_NAME,
	};
	memcpy(header->parent_uuid, bytes + H_PARENT_UUID, UUID_BYTES);
	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		const uint8_t *at = bytes + H_LOCATORS + (size_t)i * LOCATOR_BYTES;

		header->locators[i] = (struct vhd_locator){
			.platform = be32_get(at),
			.bytes = be32_get(at + 8),
			.offset = be64_get(at + 16),
		};
	}
	return true;
}

static void sign_header(uint8_t *bytes)
{
	be32_put(bytes + H_CHECKSUM, checksum(bytes, VHD_HEADER_BYTES, H_CHECKSUM));
}

void vhd_header_set_bat(uint8_t *bytes, uint64_t offset, uint32_t entries)
{
	be64_put(bytes + H_BAT, offset);
	be32_put(bytes + H_ENTRIES, entries);
	sign_header(bytes);
}

void vhd_header_encode(const struct vhd_header *header, uint8_t *bytes)
{
	memset(bytes, 0, VHD_HEADER_BYTES);
	memcpy(bytes + H_COOKIE, "cxsparse", 8);
	be64_put(bytes + H_NEXT, NOTHING);
	be32_put(bytes + H_VERSION, VERSION);
	be32_put(bytes + H_BLOCK, header->block_bytes);
	be32_put(bytes + H_PARENT_TIME, header->parent_time);
	memcpy(bytes + H_PARENT_UUID, header->parent_uuid, UUID_BYTES);
	if (header->parent_name)
		memcpy(bytes + H_PARENT_NAME, header->parent_name, VHD_NAME_BYTES);
	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		const struct vhd_locator *locator = &header->locators[i];
		uint8_t *at = bytes + H_LOCATORS + (size_t)i * LOCATOR_BYTES;

		be32_put(at, locator->platform);
		be32_put(at + 4, (uint32_t)round_up(locator->bytes, BLOCK_SECTOR));
		be32_put(at + 8, locator->bytes);
		be64_put(at + 16, locator->offset);
	}
	vhd_header_set_bat(bytes, header->bat_offset, header->entries);
}
