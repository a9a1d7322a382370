/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors of VMDK images: lines "name=value", lines of extents, comments. Spec: "The
 * Descriptor"
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "block/format/vmdk_priv.h"

#define SIGNATURE  "# Disk DescriptorFile"
#define CID_DIGITS 8

bool vmdk_descriptor_is_there(const uint8_t *head)
{
	return !strncasecmp((const char *)head, SIGNATURE, strlen(SIGNATURE));
}

/* ---- parsing ---- */

/* The next word of the line, quoted or not; caller frees, NULL: none. `*at` moves behind it. */
static char *next_word(const char **at)
{
	const char *start, *end;

	while (**at == ' ' || **at == '\t')
		(*at)++;
	if (!**at)
		return NULL;
	if (**at == '"') {
		start = *at + 1;
		end = strchr(start, '"');
		if (!end)
			return NULL;
		*at = end + 1;
	} else {
		start = *at;
		end = start + strcspn(start, " \t");
		*at = end;
	}
	return strndup(start, (size_t)(end - start));
}

static int parse_access(const char *word, struct vmdk_line *line, struct err *err)
{
	line->read_only = !strcmp(word, "RDONLY");
	if (line->read_only || !strcmp(word, "RW"))
		return 0;
	return err_set(err, ENOTSUP, "extents of access '%.32s' are not supported", word);
}

static int parse_kind(const char *word, struct vmdk_line *line, struct err *err)
{
	static const struct {
		const char *name;
		enum vmdk_kind kind;
	} kinds[] = {
		{ "FLAT", VMDK_FLAT },
		{ "VMFS", VMDK_FLAT },
		{ "SPARSE", VMDK_SPARSE },
		{ "ZERO", VMDK_ZEROES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!strcmp(word, kinds[i].name)) {
			line->kind = kinds[i].kind;
			return 0;
		}
	}
	return err_set(err, ENOTSUP, "extents of type '%.32s' are not supported", word);
}

/* RW 4192256 SPARSE "disk-s001.vmdk" [0] */
static int parse_extent(struct vmdk_descriptor *descriptor, const char *text, struct err *err)
{
	AUTO_FREE char *access = next_word(&text);
	AUTO_FREE char *sectors = next_word(&text);
	AUTO_FREE char *kind = next_word(&text);
	AUTO_FREE char *name = next_word(&text);
	AUTO_FREE char *offset = next_word(&text);
	struct vmdk_line line = { 0 };
	int rc;

	if (!sectors || !kind)
		return err_set(err, EINVAL, "the line of an extent ends early");
	rc = parse_access(access, &line, err);
	if (!rc)
		rc = parse_kind(kind, &line, err);
	if (rc)
		return rc;
	if (parse_u64(sectors, 0, BLOCK_SIZE_MAX / BLOCK_SECTOR, &line.sectors) ||
	    (offset && line.kind == VMDK_FLAT &&
	     parse_u64(offset, 0, BLOCK_SIZE_MAX / BLOCK_SECTOR, &line.offset)))
		return err_set(err, EINVAL, "the line of an extent has a wrong number");
	if (line.kind != VMDK_ZEROES && (!name || !*name))
		return err_set(err, EINVAL, "the line of an extent names no file");
	if (descriptor->lines.count == VMDK_EXTENTS_MAX)
		return err_set(err, EFBIG, "more than %d extents", VMDK_EXTENTS_MAX);
	if (line.kind != VMDK_ZEROES)
		line.name = name;
	if (vec_push(&descriptor->lines, line))
		return err_errno(err, ENOMEM, "cannot read the descriptor");
	if (line.name)
		name = NULL;
	return 0;
}

static bool parse_hex(const char *text, uint32_t *ret_value)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 16);

	if (end == text || *end || value > UINT32_MAX)
		return false;
	*ret_value = (uint32_t)value;
	return true;
}

/* `value_at`: of the value in the whole text. */
static int take_value(struct vmdk_descriptor *descriptor, const char *name, const char *value,
		      size_t value_at, struct err *err)
{
	char **text = !strcasecmp(name, "createType")           ? &descriptor->type
		      : !strcasecmp(name, "parentFileNameHint") ? &descriptor->parent
								: NULL;

	if (text) {
		free(*text);
		*text = strdup(value);
		return *text ? 0 : err_errno(err, ENOMEM, "cannot read the descriptor");
	}
	if (!strcasecmp(name, "CID")) {
		descriptor->cid_at = strlen(value) == CID_DIGITS ? value_at : SIZE_MAX;
		if (parse_hex(value, &descriptor->cid))
			return 0;
	} else if (strcasecmp(name, "parentCID") != 0 ||
		   parse_hex(value, &descriptor->parent_cid)) {
		return 0;
	}
	return err_set(err, EINVAL, "'%s' is not a number in hexadecimal", name);
}

static bool is_extent(const char *line)
{
	return !strncmp(line, "RW ", 3) || !strncmp(line, "RDONLY ", 7) ||
	       !strncmp(line, "NOACCESS ", 9);
}

static int parse_line(struct vmdk_descriptor *descriptor, const char *line, size_t line_at,
		      struct err *err)
{
	const char *equals = strchr(line, '='), *at = equals ? equals + 1 : NULL;
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *value = NULL;
	size_t length;

	if (is_extent(line))
		return parse_extent(descriptor, line, err);
	if (*line == '#' || !equals)
		return 0;
	length = (size_t)(equals - line);
	while (length && isspace((unsigned char)line[length - 1]))
		length--;
	name = strndup(line, length);
	value = next_word(&at);
	if (!name || !value)
		return 0;
	return take_value(descriptor, name, value,
			  line_at + (size_t)(at - line) - strlen(value) - (at[-1] == '"'), err);
}

int vmdk_descriptor_parse(struct vmdk_descriptor *descriptor, const char *text, struct err *err)
{
	size_t at = 0;
	int rc = 0;

	*descriptor = (struct vmdk_descriptor){
		.cid = VMDK_NO_PARENT - 1,
		.parent_cid = VMDK_NO_PARENT,
		.cid_at = SIZE_MAX,
	};
	while (text[at] && !rc) {
		size_t skip = strspn(text + at, " \t\r\n"), length;
		AUTO_FREE char *line = NULL;

		at += skip;
		length = strcspn(text + at, "\r\n");
		line = strndup(text + at, length);
		rc = line ? parse_line(descriptor, line, at, err)
			  : err_errno(err, ENOMEM, "cannot read the descriptor");
		at += length;
	}
	return rc;
}

/* The extents of a descriptor that is a file of its own: one inside an extent is about that alone. */
void vmdk_tell_files(const uint8_t *start, size_t bytes, void (*tell)(void *ctx, const char *name),
		     void *ctx)
{
	const char *at = (const char *)start;

	if (!vmdk_descriptor_is_there(start) || bytes > VMDK_DESCRIPTOR_MAX)
		return;
	while (*at) {
		AUTO_FREE char *line = strndup(at, strcspn(at, "\r\n"));
		const char *word_at = line;

		for (unsigned word = 0; line && is_extent(line) && word < 4; word++) {
			AUTO_FREE char *text = next_word(&word_at);

			if (text && word == 3)
				tell(ctx, text);
		}
		at += strcspn(at, "\r\n");
		at += strspn(at, " \t\r\n");
	}
}

void vmdk_descriptor_fini(struct vmdk_descriptor *descriptor)
{
	struct vmdk_line *line;

	vec_for_each (line, &descriptor->lines)
		free(line->name);
	vec_fini(&descriptor->lines);
	free(descriptor->type);
	free(descriptor->parent);
	descriptor->type = descriptor->parent = NULL;
}

/* ---- changing ---- */

/* Whether the line sets that name. */
static bool sets(const char *line, size_t length, const char *name)
{
	size_t name_length = strlen(name);
	const char *rest = line + name_length;

	if (length <= name_length || strncasecmp(line, name, name_length) != 0)
		return false;
	rest += strspn(rest, " \t");
	return rest < line + length && *rest == '=';
}

char *vmdk_descriptor_relinked(const char *text, const char *parent, uint32_t parent_cid)
{
	struct str changed = { 0 };

	while (*text) {
		size_t length = strcspn(text, "\n");
		size_t whole = length + (text[length] == '\n');

		if (!sets(text, length, "parentCID") && !sets(text, length, "parentFileNameHint"))
			str_add_bytes(&changed, text, whole);
		if (sets(text, length, "CID")) {
			if (whole == length)
				str_add(&changed, "\n");
			str_printf(&changed, "parentCID=%08x\n",
				   parent ? parent_cid : VMDK_NO_PARENT);
			if (parent)
				str_printf(&changed, "parentFileNameHint=\"%s\"\n", parent);
		}
		text += whole;
	}
	return str_take(&changed);
}

/* ---- making ---- */

static void add_lines(struct str *text, const struct vmdk_descriptor *descriptor)
{
	const struct vmdk_line *line;

	vec_for_each (line, &descriptor->lines) {
		str_printf(text, "RW %llu %s \"%s\"", (unsigned long long)line->sectors,
			   line->kind == VMDK_FLAT ? "FLAT" : "SPARSE", line->name);
		str_add(text, line->kind == VMDK_FLAT ? " 0\n" : "\n");
	}
}

char *vmdk_descriptor_text(const struct vmdk_descriptor *descriptor, uint64_t bytes,
			   const char *adapter)
{
	unsigned heads = strcmp(adapter, "ide") != 0 ? 255 : 16;
	unsigned long long cylinders = bytes / BLOCK_SECTOR / (63ULL * heads);
	struct str text = { 0 };

	str_printf(&text,
		   SIGNATURE "\nversion=1\nencoding=\"UTF-8\"\nCID=%08x\nparentCID=%08x\n"
			     "createType=\"%s\"\n",
		   descriptor->cid, descriptor->parent_cid, descriptor->type);
	if (descriptor->parent)
		str_printf(&text, "parentFileNameHint=\"%s\"\n", descriptor->parent);
	str_add(&text, "\n# Extent description\n");
	add_lines(&text, descriptor);
	str_printf(&text,
		   "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n"
		   "ddb.geometry.cylinders = \"%llu\"\nddb.geometry.heads = \"%u\"\n"
		   "ddb.geometry.sectors = \"63\"\nddb.adapterType = \"%s\"\n",
		   cylinders, heads, adapter);
	return str_take(&text);
}
