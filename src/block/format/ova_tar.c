/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Archives of tar as appliances use them: plain files one behind another. Headers of POSIX (ustar,
 * and of pax the size and the name) and of GNU (long names, sizes in binary) are understood; links,
 * devices and folders are refused. Each header lies behind the one before, so that the walk ends.
 *
 * Spec: POSIX.1-2017, pax, "ustar Interchange Format", "pax Extended Header"
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "block/format/ova_priv.h"

#define NAME_BYTES   100
#define PREFIX_BYTES 155
#define EXTRA_MAX    (64 * KIB) /* of an extended header */
#define HEADERS_MAX  (4 * OVA_MEMBERS_MAX)
#define OCTAL_MAX    (UINT64_C(1) << 33) /* eleven digits */

enum {
	AT_MODE = 100,
	AT_OWNER = 108,
	AT_GROUP = 116,
	AT_SIZE = 124,
	AT_TIME = 136,
	AT_SUM = 148,
	AT_TYPE = 156,
	AT_MAGIC = 257,
	AT_PREFIX = 345,
};

/* What extended headers said of the next member. */
struct extra {
	char *name;
	bool has_size;
	uint64_t bytes;
};

bool ova_name_ok(const char *name)
{
	size_t length = strlen(name);

	if (!length || length > OVA_NAME_MAX || *name == '.')
		return false;
	for (const char *c = name; *c; c++) {
		if (*c == '/' || *c == '\\' || (unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	}
	return true;
}

/* ---- fields ---- */

static bool octal(const uint8_t *field, size_t bytes, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t i = 0;

	while (i < bytes && field[i] == ' ')
		i++;
	for (; i < bytes && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	*ret_value = value;
	return i == bytes || !field[i] || field[i] == ' ';
}

/* GNU: with the highest bit, all others are the number. */
static bool size_of(const uint8_t *header, uint64_t *ret_bytes)
{
	const uint8_t *field = header + AT_SIZE;

	if (field[0] != 0x80)
		return octal(field, 12, ret_bytes);
	*ret_bytes = be64_get(field + 4);
	return !(field[1] | field[2] | field[3]);
}

static uint64_t sum_of(const uint8_t *header)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < OVA_TAR_BLOCK; i++)
		sum += i >= AT_SUM && i < AT_SUM + 8 ? ' ' : header[i];
	return sum;
}

static bool is_header(const uint8_t *header)
{
	uint64_t sum;

	return !memcmp(header + AT_MAGIC, "ustar", 5) && octal(header + AT_SUM, 8, &sum) &&
	       sum == sum_of(header);
}

/* Headers that say more of the next one. */
static bool is_extra(char type)
{
	return type == 'x' || type == 'g' || type == 'L';
}

static bool is_end(const uint8_t *header)
{
	for (unsigned i = 0; i < OVA_TAR_BLOCK; i++) {
		if (header[i])
			return false;
	}
	return true;
}

static char *name_of(const uint8_t *header)
{
	const char *name = (const char *)header, *prefix = name + AT_PREFIX;
	bool is_posix = !header[AT_MAGIC + 5];
	char *whole = NULL;

	if (!is_posix || !*prefix)
		return strndup(name, NAME_BYTES);
	return asprintf(&whole, "%.*s/%.*s", PREFIX_BYTES, prefix, NAME_BYTES, name) < 0 ? NULL
											 : whole;
}

/* ---- extended headers ---- */

/* Records "LENGTH NAME=VALUE\n". */
static int take_pax(struct extra *extra, char *text, size_t bytes)
{
	while (bytes) {
		char *end, *equals;
		unsigned long length = strtoul(text, &end, 10);

		if (*end != ' ' || length > bytes || length < (size_t)(end - text) + 4 ||
		    text[length - 1] != '\n')
			return -EINVAL;
		text[length - 1] = '\0';
		equals = strchr(++end, '=');
		if (!equals)
			return -EINVAL;
		*equals++ = '\0';
		if (!strcmp(end, "path")) {
			free(extra->name);
			extra->name = strdup(equals);
			if (!extra->name)
				return -ENOMEM;
		} else if (!strcmp(end, "size")) {
			extra->has_size = true;
			if (parse_u64(equals, 0, INT64_MAX, &extra->bytes))
				return -EINVAL;
		}
		text += length;
		bytes -= length;
	}
	return 0;
}

static int take_extra(struct extra *extra, char type, struct block_node *file, uint64_t at,
		      uint64_t bytes)
{
	AUTO_FREE char *text = bytes <= EXTRA_MAX ? calloc(1, bytes + 1) : NULL;
	int rc = bytes > EXTRA_MAX ? -EFBIG : text ? block_read(file, at, text, bytes) : -ENOMEM;

	if (rc || type == 'g')
		return rc;
	if (type == 'x')
		return take_pax(extra, text, bytes);
	free(extra->name);
	extra->name = take_ptr(&text);
	return 0;
}

/* ---- members ---- */

int ova_members_add(struct ova_members *members, const char *name, struct block_node *file,
		    uint64_t offset, uint64_t bytes)
{
	struct ova_member member = { strdup(name), file, offset, bytes };
	int rc = member.name ? vec_push(&members->list, member) : -ENOMEM;

	if (rc)
		free(member.name);
	return rc;
}

void ova_members_fini(struct ova_members *members)
{
	struct ova_member *member;

	vec_for_each (member, &members->list)
		free(member->name);
	vec_fini(&members->list);
}

const struct ova_member *ova_members_find(const struct ova_members *members, const char *name)
{
	const struct ova_member *member;

	vec_for_each (member, &members->list) {
		if (!strcmp(member->name, name))
			return member;
	}
	return NULL;
}

const struct ova_member *ova_members_find_ending(const struct ova_members *members, const char *end)
{
	const struct ova_member *member;

	vec_for_each (member, &members->list) {
		size_t length = strlen(member->name);

		if (length > strlen(end) && !strcasecmp(member->name + length - strlen(end), end))
			return member;
	}
	return NULL;
}

int ova_member_read(const struct ova_member *member, uint64_t max, char **ret_text, struct err *err)
{
	char *text;
	int rc;

	if (member->bytes > max)
		return err_set(err, EFBIG, "'%s' has %llu bytes, more than %llu", member->name,
			       (unsigned long long)member->bytes, (unsigned long long)max);
	text = calloc(1, member->bytes + 1);
	rc = text ? block_read(member->file, member->offset, text, member->bytes) : -ENOMEM;
	if (rc) {
		free(text);
		return err_errno(err, rc, "cannot read '%s'", member->name);
	}
	*ret_text = text;
	return 0;
}

static int add_member(struct ova_members *members, const char *name, struct block_node *file,
		      uint64_t at, uint64_t bytes, struct err *err)
{
	int rc;

	if (!strncmp(name, "./", 2))
		name += 2;
	if (!ova_name_ok(name))
		return err_set(err, EINVAL, "'%.64s' is no name of a file of an appliance", name);
	if (ova_members_find(members, name))
		return err_set(err, EINVAL, "two files '%.64s'", name);
	if (members->list.count == OVA_MEMBERS_MAX)
		return err_set(err, E2BIG, "more than %d files", OVA_MEMBERS_MAX);
	rc = ova_members_add(members, name, file, at, bytes);
	return rc ? err_errno(err, rc, "cannot keep '%s'", name) : 0;
}

/* One header; `at` is behind it. */
static int take_header(struct ova_members *members, struct extra *extra, struct block_node *file,
		       const uint8_t *header, uint64_t *at, struct err *err)
{
	uint64_t size = block_size_bytes(file), bytes;
	char type = (char)header[AT_TYPE];
	AUTO_FREE char *name = NULL;
	int rc = 0;

	if (!is_header(header) || !size_of(header, &bytes))
		return err_set(err, EINVAL, "no header of tar at %llu",
			       (unsigned long long)*at - OVA_TAR_BLOCK);
	if (extra->has_size && !is_extra(type))
		bytes = extra->bytes;
	if (bytes > size - *at)
		return err_set(err, EINVAL, "a file of %llu bytes at %llu goes over the end",
			       (unsigned long long)bytes, (unsigned long long)*at);
	if (is_extra(type)) {
		rc = take_extra(extra, type, file, *at, bytes);
		if (rc)
			err_errno(err, rc, "extended header at %llu", (unsigned long long)*at);
	} else if (type && type != '0') {
		rc = err_set(err, EINVAL, "a link, folder or device (type %d at %llu)", type,
			     (unsigned long long)*at - OVA_TAR_BLOCK);
	} else {
		name = extra->name ? take_ptr(&extra->name) : name_of(header);
		rc = name ? add_member(members, name, file, *at, bytes, err)
			  : err_errno(err, ENOMEM, "cannot keep a name");
		*extra = (struct extra){ 0 };
	}
	*at += round_up(bytes, OVA_TAR_BLOCK);
	return rc;
}

int ova_members_load(struct ova_members *members, struct block_node *file, struct err *err)
{
	uint64_t size = block_size_bytes(file), at = 0;
	struct extra extra = { 0 };
	int rc = 0;

	for (unsigned i = 0; !rc && size >= OVA_TAR_BLOCK && at <= size - OVA_TAR_BLOCK; i++) {
		uint8_t header[OVA_TAR_BLOCK];

		rc = block_read(file, at, header, sizeof(header));
		if (rc)
			err_errno(err, rc, "cannot read %llu", (unsigned long long)at);
		else if (is_end(header))
			break;
		else if (i == HEADERS_MAX)
			rc = err_set(err, E2BIG, "more than %d headers", HEADERS_MAX);
		at += sizeof(header);
		if (!rc)
			rc = take_header(members, &extra, file, header, &at, err);
	}
	free(extra.name);
	return rc;
}

/* ---- writing ---- */

static void put_octal(uint8_t *field, unsigned digits, uint64_t value)
{
	field[digits] = '\0';
	while (digits--) {
		field[digits] = (uint8_t)('0' + (value & 7));
		value >>= 3;
	}
}

void ova_tar_header(uint8_t block[OVA_TAR_BLOCK], const char *name, uint64_t bytes,
		    uint64_t seconds)
{
	memset(block, 0, OVA_TAR_BLOCK);
	memcpy(block, name, MIN(strlen(name), (size_t)NAME_BYTES));
	put_octal(block + AT_MODE, 7, 0644);
	put_octal(block + AT_OWNER, 7, 0);
	put_octal(block + AT_GROUP, 7, 0);
	put_octal(block + AT_TIME, 11, seconds);
	block[AT_TYPE] = '0';
	memcpy(block + AT_MAGIC, "ustar\00000", 8);
	if (bytes < OCTAL_MAX) {
		put_octal(block + AT_SIZE, 11, bytes);
	} else {
		block[AT_SIZE] = 0x80;
		be64_put(block + AT_SIZE + 4, bytes);
	}
	put_octal(block + AT_SUM, 6, sum_of(block));
	block[AT_SUM + 7] = ' ';
}
