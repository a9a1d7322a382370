/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors: from XML to `struct ovf`, and back.
 *
 * Elements are rows by parent and name; what no row has is passed over, with all that is inside.
 * Document types are refused, and with them entities. Disks are those that the machine's hardware
 * refers to, in that order.
 *
 * Spec: DMTF DSP0243 1.1, 7 and 8; CIM_ResourceAllocationSettingData
 */
#include <errno.h>
#include <expat.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "block/format/ova_priv.h"

#define NAMESPACE "http://schemas.dmtf.org/ovf/envelope/"
#define CIM       "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
#define SEPARATOR '|'
#define DEPTH_MAX 64
#define TEXT_MAX  4096
#define CPUS_MAX  4096

/* ResourceType of an item. */
enum {
	RESOURCE_CPU = 3,
	RESOURCE_MEMORY = 4,
	RESOURCE_SCSI = 6,
	RESOURCE_NIC = 10,
	RESOURCE_DISK = 17
};

enum tag {
	TAG_NONE,
	TAG_OTHER,
	TAG_ENVELOPE,
	TAG_REFERENCES,
	TAG_FILE,
	TAG_DISKS,
	TAG_DISK,
	TAG_OPTIONS,
	TAG_CONFIGURATION,
	TAG_COLLECTION,
	TAG_SYSTEM,
	TAG_NAME,
	TAG_OS,
	TAG_OS_TEXT,
	TAG_HARDWARE,
	TAG_ITEM,
	TAG_TYPE,
	TAG_QUANTITY,
	TAG_UNITS,
	TAG_RESOURCE,
};

static const struct {
	enum tag parent;
	const char *name;
	enum tag tag;
} elements[] = {
	{ TAG_NONE, "Envelope", TAG_ENVELOPE },
	{ TAG_ENVELOPE, "References", TAG_REFERENCES },
	{ TAG_REFERENCES, "File", TAG_FILE },
	{ TAG_ENVELOPE, "DiskSection", TAG_DISKS },
	{ TAG_DISKS, "Disk", TAG_DISK },
	{ TAG_ENVELOPE, "DeploymentOptionSection", TAG_OPTIONS },
	{ TAG_OPTIONS, "Configuration", TAG_CONFIGURATION },
	{ TAG_ENVELOPE, "VirtualSystem", TAG_SYSTEM },
	{ TAG_ENVELOPE, "VirtualSystemCollection", TAG_COLLECTION },
	{ TAG_COLLECTION, "VirtualSystem", TAG_SYSTEM },
	{ TAG_SYSTEM, "Name", TAG_NAME },
	{ TAG_SYSTEM, "OperatingSystemSection", TAG_OS },
	{ TAG_OS, "Description", TAG_OS_TEXT },
	{ TAG_SYSTEM, "VirtualHardwareSection", TAG_HARDWARE },
	{ TAG_HARDWARE, "Item", TAG_ITEM },
	{ TAG_HARDWARE, "StorageItem", TAG_ITEM },
	{ TAG_HARDWARE, "EthernetPortItem", TAG_ITEM },
	{ TAG_ITEM, "ResourceType", TAG_TYPE },
	{ TAG_ITEM, "VirtualQuantity", TAG_QUANTITY },
	{ TAG_ITEM, "AllocationUnits", TAG_UNITS },
	{ TAG_ITEM, "HostResource", TAG_RESOURCE },
};

struct file {
	char *id, *name;
	uint64_t bytes;
	bool packed; /* compressed or in pieces */
};

struct disk {
	char *id, *file;
	uint64_t bytes;
};

struct item {
	bool passed_over;
	uint64_t type, quantity, unit;
	char *resource;
};

struct parsing {
	XML_Parser parser;
	struct ovf *ovf;
	struct err *err;
	int rc;

	enum tag tags[DEPTH_MAX];
	unsigned depth, systems;
	struct str text;
	struct item item;
	char *configuration; /* that is used */
	char *id;            /* of the machine, its name if it has no other */

	VEC(struct file) files;
	VEC(struct disk) disks;
	VEC(char *) resources; /* of the machine's disks */
};

static void fail(struct parsing *parsing, int code, const char *format, ...) PRINTF_LIKE(3, 4);

static void fail(struct parsing *parsing, int code, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list arguments;

	if (parsing->rc)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	parsing->rc = err_set(parsing->err, code, "line %lu: %s",
			      (unsigned long)XML_GetCurrentLineNumber(parsing->parser), text);
	XML_StopParser(parsing->parser, false);
}

static char *copy(struct parsing *parsing, const char *text)
{
	char *copied = strdup(text);

	if (!copied)
		fail(parsing, ENOMEM, "no memory");
	return copied;
}

/* ---- numbers ---- */

/* "byte * 2^20", and what was said before that. 0: not understood. */
static uint64_t unit_of(const char *text)
{
	static const struct {
		const char *name;
		unsigned shift;
	} names[] = {
		{ "byte", 0 },       { "bytes", 0 },      { "KiloBytes", 10 },
		{ "KB", 10 },        { "MegaBytes", 20 }, { "MB", 20 },
		{ "GigaBytes", 30 }, { "GB", 30 },        { "TeraBytes", 40 },
	};
	unsigned power;
	char rest;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcasecmp(text, names[i].name))
			return BIT(names[i].shift);
	}
	return sscanf(text, "byte * 2^%2u%c", &power, &rest) == 1 && power < 60 ? BIT(power) : 0;
}

static bool times(uint64_t value, uint64_t unit, uint64_t *ret_product)
{
	return !__builtin_mul_overflow(value, unit, ret_product) && *ret_product < BLOCK_SIZE_MAX;
}

/* ---- attributes ---- */

/* Of OVF, or without a namespace. NULL: not given. */
static const char *attribute(const char **attributes, const char *name)
{
	for (; *attributes; attributes += 2) {
		const char *at = strrchr(attributes[0], SEPARATOR);

		if (at && strncmp(attributes[0], NAMESPACE, strlen(NAMESPACE)))
			continue;
		if (!strcmp(at ? at + 1 : attributes[0], name))
			return attributes[1];
	}
	return NULL;
}

static bool number(struct parsing *parsing, const char **attributes, const char *name,
		   uint64_t *ret_value)
{
	const char *text = attribute(attributes, name);

	if (!text || !parse_u64(text, 0, INT64_MAX, ret_value))
		return text;
	/* A size may be the name of a property. */
	fail(parsing, ENOTSUP, "'%s' is '%.64s'", name, text);
	return false;
}

static void take_file(struct parsing *parsing, const char **attributes)
{
	const char *id = attribute(attributes, "id"), *name = attribute(attributes, "href");
	const char *packed = attribute(attributes, "compression");
	struct file file = { 0 };

	if (!id || !name)
		return fail(parsing, EINVAL, "a file without id or name");
	if (!ova_name_ok(name))
		return fail(parsing, EINVAL, "'%.64s' is no name of a file of an appliance", name);
	if (parsing->files.count == OVA_MEMBERS_MAX)
		return fail(parsing, E2BIG, "more than %d files", OVA_MEMBERS_MAX);
	number(parsing, attributes, "size", &file.bytes);
	file.packed = (packed && *packed && strcmp(packed, "identity")) ||
		      attribute(attributes, "chunkSize");
	file.id = copy(parsing, id);
	file.name = copy(parsing, name);
	if (vec_push(&parsing->files, file)) {
		free(file.id);
		free(file.name);
		fail(parsing, ENOMEM, "no memory");
	}
}

static void take_disk(struct parsing *parsing, const char **attributes)
{
	const char *id = attribute(attributes, "diskId"), *file = attribute(attributes, "fileRef");
	const char *units = attribute(attributes, "capacityAllocationUnits");
	uint64_t unit = units ? unit_of(units) : 1;
	struct disk disk = { 0 };

	if (!id || !number(parsing, attributes, "capacity", &disk.bytes) || !unit ||
	    !times(disk.bytes, unit, &disk.bytes))
		return fail(parsing, EINVAL, "a disk without id or size");
	if (attribute(attributes, "parentRef"))
		return fail(parsing, ENOTSUP, "disk '%.64s' stands on another one", id);
	if (parsing->disks.count == OVF_DISKS_MAX)
		return fail(parsing, E2BIG, "more than %d disks", OVF_DISKS_MAX);
	disk.id = copy(parsing, id);
	disk.file = file ? copy(parsing, file) : NULL;
	if (vec_push(&parsing->disks, disk)) {
		free(disk.id);
		free(disk.file);
		fail(parsing, ENOMEM, "no memory");
	}
}

/* The one that is marked, else the first. */
static void take_configuration(struct parsing *parsing, const char **attributes)
{
	const char *id = attribute(attributes, "id"), *preset = attribute(attributes, "default");

	if (!id || (parsing->configuration && !(preset && !strcmp(preset, "true"))))
		return;
	free(parsing->configuration);
	parsing->configuration = copy(parsing, id);
}

static void take_system(struct parsing *parsing, const char **attributes)
{
	const char *id = attribute(attributes, "id");

	if (parsing->systems++)
		return fail(parsing, ENOTSUP, "an appliance of several machines");
	parsing->id = id ? copy(parsing, id) : NULL;
}

/* Of a configuration that is not used, or only a bound of another item. */
static bool is_passed_over(const struct parsing *parsing, const char **attributes)
{
	const char *used = parsing->configuration, *at = attribute(attributes, "configuration");

	if (attribute(attributes, "bound"))
		return true;
	if (!at || !used)
		return at;
	for (; *at; at += strspn(at, " ")) {
		size_t length = strcspn(at, " ");

		if (length == strlen(used) && !strncmp(at, used, length))
			return false;
		at += length;
	}
	return true;
}

/* ---- items ---- */

static void add_disk_item(struct parsing *parsing)
{
	if (!parsing->item.resource)
		return;
	if (parsing->resources.count == OVF_DISKS_MAX)
		return fail(parsing, E2BIG, "more than %d disks", OVF_DISKS_MAX);
	if (vec_push(&parsing->resources, parsing->item.resource))
		return fail(parsing, ENOMEM, "no memory");
	parsing->item.resource = NULL;
}

static void end_item(struct parsing *parsing)
{
	struct item *item = &parsing->item;
	struct ovf *ovf = parsing->ovf;
	uint64_t bytes;

	if (item->passed_over)
		return;
	switch (item->type) {
	case RESOURCE_CPU:
		if (item->quantity > CPUS_MAX - ovf->cpus)
			return fail(parsing, EINVAL, "more than %d processors", CPUS_MAX);
		ovf->cpus += item->quantity;
		break;
	case RESOURCE_MEMORY:
		if (!item->unit || !times(item->quantity, item->unit, &bytes) ||
		    bytes >= BLOCK_SIZE_MAX - ovf->memory_bytes)
			return fail(parsing, EINVAL, "memory of no size that is understood");
		ovf->memory_bytes += bytes;
		break;
	case RESOURCE_NIC:
		ovf->nics++;
		break;
	case RESOURCE_DISK:
		add_disk_item(parsing);
		break;
	}
}

static void reset_item(struct item *item)
{
	free(item->resource);
	*item = (struct item){ .unit = 1 };
}

/* ---- elements ---- */

static enum tag tag_of(struct parsing *parsing, const char *name)
{
	enum tag parent = parsing->depth ? parsing->tags[parsing->depth - 1] : TAG_NONE;
	const char *local = strrchr(name, SEPARATOR);
	bool is_ovf = !strncmp(name, NAMESPACE "1|", strlen(NAMESPACE) + 2) ||
		      !strncmp(name, NAMESPACE "2|", strlen(NAMESPACE) + 2);

	if (!local || (!is_ovf && strncmp(name, CIM, strlen(CIM))))
		return TAG_OTHER;
	for (unsigned i = 0; i < ARRAY_SIZE(elements); i++) {
		if (elements[i].parent == parent && !strcmp(elements[i].name, local + 1))
			return elements[i].tag;
	}
	return TAG_OTHER;
}

static void on_start(void *ctx, const char *name, const char **attributes)
{
	struct parsing *parsing = ctx;
	enum tag tag = tag_of(parsing, name);

	if (parsing->depth == DEPTH_MAX)
		return fail(parsing, E2BIG, "elements %d deep", DEPTH_MAX);
	if (!parsing->depth && tag != TAG_ENVELOPE)
		return fail(parsing, ENOTSUP, "no envelope of OVF 1 or 2");
	parsing->tags[parsing->depth++] = tag;
	str_fini(&parsing->text);
	switch (tag) {
	case TAG_FILE:
		take_file(parsing, attributes);
		break;
	case TAG_DISK:
		take_disk(parsing, attributes);
		break;
	case TAG_CONFIGURATION:
		take_configuration(parsing, attributes);
		break;
	case TAG_SYSTEM:
		take_system(parsing, attributes);
		break;
	case TAG_ITEM:
		reset_item(&parsing->item);
		parsing->item.passed_over = is_passed_over(parsing, attributes);
		break;
	default:
		break;
	}
}

static void on_text(void *ctx, const char *text, int count)
{
	struct parsing *parsing = ctx;
	size_t room = TEXT_MAX - MIN(parsing->text.length, (size_t)TEXT_MAX);

	if (parsing->depth && parsing->tags[parsing->depth - 1] >= TAG_NAME)
		str_add_bytes(&parsing->text, text, MIN((size_t)count, room));
}

static void set_text(struct parsing *parsing, char **field, const char *text)
{
	if (*field)
		return;
	*field = copy(parsing, text);
}

/* Without the spaces around it. */
static char *trimmed(char *text)
{
	size_t length;

	text += strspn(text, " \t\r\n");
	length = strlen(text);
	while (length && strchr(" \t\r\n", text[length - 1]))
		text[--length] = '\0';
	return text;
}

static void on_end(void *ctx, const char *name)
{
	struct parsing *parsing = ctx;
	char empty[1] = "", *text = trimmed(parsing->text.text ? parsing->text.text : empty);

	(void)name;
	/* An empty element ends even if the parser was stopped at its start. */
	if (parsing->rc)
		return;
	if (parsing->text.failed)
		return fail(parsing, ENOMEM, "no memory");
	switch (parsing->tags[--parsing->depth]) {
	case TAG_NAME:
		set_text(parsing, &parsing->ovf->name, text);
		break;
	case TAG_OS_TEXT:
		set_text(parsing, &parsing->ovf->system, text);
		break;
	case TAG_TYPE:
		if (parse_u64(text, 0, UINT16_MAX, &parsing->item.type))
			fail(parsing, EINVAL, "resource type '%.64s'", text);
		break;
	case TAG_QUANTITY:
		/* Of what is not asked for, it may be anything. */
		if (parse_u64(text, 0, INT64_MAX, &parsing->item.quantity))
			parsing->item.quantity = 0;
		break;
	case TAG_UNITS:
		parsing->item.unit = unit_of(text);
		break;
	case TAG_RESOURCE:
		set_text(parsing, &parsing->item.resource, text);
		break;
	case TAG_ITEM:
		end_item(parsing);
		break;
	default:
		break;
	}
	str_fini(&parsing->text);
}

static void on_doctype(void *ctx, const char *name, const char *system, const char *public,
		       int has_subset)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_subset;
	fail(ctx, EINVAL, "a document type");
}

/* ---- from references to disks ---- */

static const struct file *find_file(const struct parsing *parsing, const char *id)
{
	const struct file *file;

	vec_for_each (file, &parsing->files) {
		if (!strcmp(file->id, id))
			return file;
	}
	return NULL;
}

static int add_disk(struct parsing *parsing, const char *id, const char *file_id, uint64_t bytes)
{
	const struct file *file = file_id ? find_file(parsing, file_id) : NULL;
	struct ovf_disk disk = { .bytes = bytes };

	if (file_id && !file)
		return err_set(parsing->err, EINVAL, "disk '%.64s' is in no file", id);
	if (file && file->packed)
		return err_set(parsing->err, ENOTSUP, "file '%.64s' is compressed, or in pieces",
			       file->name);
	disk.id = strdup(id);
	disk.file = file ? strdup(file->name) : NULL;
	disk.file_bytes = file ? file->bytes : 0;
	if (!disk.id || (file && !disk.file) || vec_push(&parsing->ovf->disks, disk)) {
		free(disk.id);
		free(disk.file);
		return err_errno(parsing->err, ENOMEM, "cannot keep disk '%.64s'", id);
	}
	return 0;
}

/* "ovf:/disk/ID" and "ovf:/file/ID", with or without what is in front. */
static int add_resource(struct parsing *parsing, const char *resource)
{
	const char *at = strncmp(resource, "ovf:", 4) ? resource : resource + 4;
	const struct disk *disk;

	if (!strncmp(at, "/file/", 6))
		return add_disk(parsing, at + 6, at + 6, 0);
	if (strncmp(at, "/disk/", 6))
		return err_set(parsing->err, EINVAL, "'%.64s' is no disk", resource);
	vec_for_each (disk, &parsing->disks) {
		if (!strcmp(disk->id, at + 6))
			return add_disk(parsing, disk->id, disk->file, disk->bytes);
	}
	return err_set(parsing->err, EINVAL, "there is no disk '%.64s'", at + 6);
}

static int resolve(struct parsing *parsing)
{
	const struct disk *disk;
	char **resource;
	int rc = 0;

	vec_for_each (resource, &parsing->resources)
		rc = rc ? rc : add_resource(parsing, *resource);
	/* Hardware that does not say which disks it has. */
	vec_for_each (disk, &parsing->disks) {
		if (!rc && !parsing->resources.count)
			rc = add_disk(parsing, disk->id, disk->file, disk->bytes);
	}
	return rc;
}

static void parsing_fini(struct parsing *parsing)
{
	struct file *file;
	struct disk *disk;
	char **resource;

	vec_for_each (file, &parsing->files) {
		free(file->id);
		free(file->name);
	}
	vec_for_each (disk, &parsing->disks) {
		free(disk->id);
		free(disk->file);
	}
	vec_for_each (resource, &parsing->resources)
		free(*resource);
	vec_fini(&parsing->files);
	vec_fini(&parsing->disks);
	vec_fini(&parsing->resources);
	free(parsing->item.resource);
	free(parsing->configuration);
	free(parsing->id);
	str_fini(&parsing->text);
	XML_ParserFree(parsing->parser);
}

int ovf_parse(const char *text, size_t bytes, struct ovf *ovf, struct err *err)
{
	struct parsing parsing = { .ovf = ovf, .err = err };
	int rc = 0;

	parsing.parser = XML_ParserCreateNS(NULL, SEPARATOR);
	if (!parsing.parser)
		return err_errno(err, ENOMEM, "cannot read the descriptor");
	XML_SetUserData(parsing.parser, &parsing);
	XML_SetElementHandler(parsing.parser, on_start, on_end);
	XML_SetCharacterDataHandler(parsing.parser, on_text);
	XML_SetStartDoctypeDeclHandler(parsing.parser, on_doctype);
	if (bytes > OVA_DESCRIPTOR_MAX)
		rc = err_set(err, EFBIG, "a descriptor of %zu bytes", bytes);
	else if (XML_Parse(parsing.parser, text, (int)bytes, true) == XML_STATUS_ERROR)
		rc = parsing.rc ? parsing.rc
				: err_set(err, EINVAL, "line %lu: %s",
					  (unsigned long)XML_GetCurrentLineNumber(parsing.parser),
					  XML_ErrorString(XML_GetErrorCode(parsing.parser)));
	if (!rc && parsing.rc)
		rc = parsing.rc;
	if (!rc && !parsing.systems)
		rc = err_set(err, EINVAL, "an appliance without a machine");
	if (!rc)
		rc = resolve(&parsing);
	if (!ovf->name)
		ovf->name = take_ptr(&parsing.id);
	parsing_fini(&parsing);
	return rc;
}

void ovf_fini(struct ovf *ovf)
{
	struct ovf_disk *disk;

	vec_for_each (disk, &ovf->disks) {
		free(disk->id);
		free(disk->file);
	}
	vec_fini(&ovf->disks);
	free(ovf->name);
	free(ovf->system);
}
