/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New archives: descriptor, manifest, disks. Everything is written in its place: what the descriptor
 * will say is known but for the sizes of the disks' files, so it has room for the largest, and
 * spaces at its end.
 *
 * Spec: DMTF DSP0243 1.1, 5.3
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "block/file/part.h"
#include "block/file/raw.h"
#include "block/format/formats.h"
#include "block/format/ova_priv.h"
#include "block/opener_priv.h"

#define HASH        "sha256"
#define HASH_DIGITS 64
#define DISKS_MAX   15 /* of one SCSI controller, whose own address is 7 */
#define OWN_ADDRESS 7
#define STEM_MAX    80

/* ---- the descriptor ---- */

static void add_escaped(struct str *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			str_add(out, "&amp;");
			break;
		case '<':
			str_add(out, "&lt;");
			break;
		case '>':
			str_add(out, "&gt;");
			break;
		case '"':
			str_add(out, "&quot;");
			break;
		default:
			str_add_bytes(out, (unsigned char)*text < ' ' ? " " : text, 1);
		}
	}
}

static void add_element(struct str *out, const char *name, const char *text)
{
	str_printf(out, "        <%s>", name);
	add_escaped(out, text);
	str_printf(out, "</%s>\n", name);
}

/* Elements of an item stand in the order of the schema, which is that of the alphabet. */
struct item {
	unsigned number, type;
	const char *name, *subtype, *connection;
	uint64_t quantity; /* 0: none */
	const char *units;
	int disk, address; /* -1: none */
	unsigned parent;   /* 0: none */
};

static void add_item(struct str *out, const struct item *item)
{
	str_add(out, "      <Item>\n");
	if (item->address >= 0)
		str_printf(out, "        <rasd:AddressOnParent>%d</rasd:AddressOnParent>\n",
			   item->address);
	if (item->units)
		add_element(out, "rasd:AllocationUnits", item->units);
	if (item->connection) {
		str_add(out, "        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>\n");
		add_element(out, "rasd:Connection", item->connection);
	}
	add_element(out, "rasd:ElementName", item->name);
	if (item->disk >= 0)
		str_printf(out, "        <rasd:HostResource>ovf:/disk/disk%d</rasd:HostResource>\n",
			   item->disk);
	str_printf(out, "        <rasd:InstanceID>%u</rasd:InstanceID>\n", item->number);
	if (item->parent)
		str_printf(out, "        <rasd:Parent>%u</rasd:Parent>\n", item->parent);
	if (item->subtype)
		add_element(out, "rasd:ResourceSubType", item->subtype);
	str_printf(out, "        <rasd:ResourceType>%u</rasd:ResourceType>\n", item->type);
	if (item->quantity)
		str_printf(out, "        <rasd:VirtualQuantity>%llu</rasd:VirtualQuantity>\n",
			   (unsigned long long)item->quantity);
	str_add(out, "      </Item>\n");
}

enum { TYPE_CPU = 3, TYPE_MEMORY = 4, TYPE_SCSI = 6, TYPE_NIC = 10, TYPE_DISK = 17 };

static void add_hardware(struct str *out, const struct ovf *ovf)
{
	enum { NUMBER_CPU = 1, NUMBER_MEMORY, NUMBER_SCSI, NUMBER_OTHERS };
	unsigned number = NUMBER_OTHERS;
	const struct item fixed[] = {
		{ .number = NUMBER_CPU,
		  .type = TYPE_CPU,
		  .name = "processors",
		  .quantity = ovf->cpus,
		  .units = "hertz * 10^6",
		  .disk = -1,
		  .address = -1 },
		{ .number = NUMBER_MEMORY,
		  .type = TYPE_MEMORY,
		  .name = "memory",
		  .quantity = ovf->memory_bytes >> 20,
		  .units = "byte * 2^20",
		  .disk = -1,
		  .address = -1 },
		{ .number = NUMBER_SCSI,
		  .type = TYPE_SCSI,
		  .name = "controller of disks",
		  .subtype = "lsilogic",
		  .disk = -1,
		  .address = 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++)
		add_item(out, &fixed[i]);
	for (unsigned i = 0; i < ovf->disks.count; i++)
		add_item(out, &(struct item){ .number = number++,
					      .type = TYPE_DISK,
					      .name = "disk",
					      .disk = (int)i + 1,
					      .address = (int)(i + (i >= OWN_ADDRESS)),
					      .parent = NUMBER_SCSI });
	for (unsigned i = 0; i < ovf->nics; i++)
		add_item(out, &(struct item){ .number = number++,
					      .type = TYPE_NIC,
					      .name = "network",
					      .subtype = "E1000",
					      .connection = "nat",
					      .disk = -1,
					      .address = (int)i });
}

static void add_files(struct str *out, const struct ovf *ovf)
{
	str_add(out, "  <References>\n");
	for (unsigned i = 0; i < ovf->disks.count; i++) {
		str_printf(out, "    <File ovf:id=\"file%u\" ovf:href=\"", i + 1);
		add_escaped(out, ovf->disks.items[i].file);
		str_printf(out, "\" ovf:size=\"%llu\"/>\n",
			   (unsigned long long)ovf->disks.items[i].file_bytes);
	}
	str_add(out, "  </References>\n  <DiskSection>\n    <Info>Disks</Info>\n");
	for (unsigned i = 0; i < ovf->disks.count; i++)
		str_printf(out,
			   "    <Disk ovf:diskId=\"disk%u\" ovf:fileRef=\"file%u\" "
			   "ovf:capacity=\"%llu\" ovf:format=\"http://www.vmware.com/interfaces/"
			   "specifications/vmdk.html#streamOptimized\"/>\n",
			   i + 1, i + 1, (unsigned long long)ovf->disks.items[i].bytes);
	str_add(out, "  </DiskSection>\n");
	if (ovf->nics)
		str_add(out, "  <NetworkSection>\n    <Info>Networks</Info>\n"
			     "    <Network ovf:name=\"nat\">\n"
			     "      <Description>Addresses of the host</Description>\n"
			     "    </Network>\n  </NetworkSection>\n");
}

char *ovf_text(const struct ovf *ovf)
{
	struct str out = { 0 };

	str_add(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		      "<Envelope ovf:version=\"1.0\" xml:lang=\"en-US\"\n"
		      "    xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
		      "    xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
		      "    xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
		      "CIM_ResourceAllocationSettingData\"\n"
		      "    xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
		      "CIM_VirtualSystemSettingData\">\n");
	add_files(&out, ovf);
	str_add(&out, "  <VirtualSystem ovf:id=\"machine\">\n    <Info>A machine</Info>\n"
		      "    <Name>");
	add_escaped(&out, ovf->name);
	str_add(&out, "</Name>\n    <OperatingSystemSection ovf:id=\"1\">\n"
		      "      <Info>The operating system</Info>\n"
		      "      <Description>");
	add_escaped(&out, ovf->system ? ovf->system : "Other");
	str_add(&out, "</Description>\n    </OperatingSystemSection>\n"
		      "    <VirtualHardwareSection>\n      <Info>Hardware</Info>\n"
		      "      <System>\n");
	add_element(&out, "vssd:ElementName", "Virtual Hardware Family");
	add_element(&out, "vssd:InstanceID", "0");
	add_element(&out, "vssd:VirtualSystemIdentifier", ovf->name);
	add_element(&out, "vssd:VirtualSystemType", "vmx-07");
	str_add(&out, "      </System>\n");
	add_hardware(&out, ovf);
	str_add(&out, "    </VirtualHardwareSection>\n  </VirtualSystem>\n</Envelope>\n");
	if (!out.failed)
		return str_take(&out);
	str_fini(&out);
	return NULL;
}

/* ---- the archive ---- */

struct archive {
	const struct ova_create *create;
	struct block_node *file;
	char stem[STEM_MAX + 1];
	char name[STEM_MAX + 8]; /* of the descriptor */
	struct ovf ovf;
	uint64_t descriptor_bytes, manifest_bytes;
	uint64_t seconds; /* of all files */
};

static int failed(const struct archive *archive, int rc, struct err *err)
{
	return err_errno(err, rc, "cannot write appliance '%s'", archive->create->path);
}

/* A member whose data is there; `at` is that of its header. */
static int put_header(struct archive *archive, uint64_t at, const char *name, uint64_t bytes)
{
	uint8_t header[OVA_TAR_BLOCK];

	ova_tar_header(header, name, bytes, archive->seconds);
	return block_write(archive->file, at, header, sizeof(header));
}

static uint64_t behind(uint64_t at, uint64_t bytes)
{
	return at + OVA_TAR_BLOCK + round_up(bytes, OVA_TAR_BLOCK);
}

static uint64_t manifest_at(const struct archive *archive)
{
	return behind(0, archive->descriptor_bytes);
}

static uint64_t disks_at(const struct archive *archive)
{
	return behind(manifest_at(archive), archive->manifest_bytes);
}

/* ---- disks ---- */

static int create_stream(const struct block_format_create *create, struct err *err)
{
	json_t *given = json_pack("{s:s}", "subformat", "streamOptimized"), *settings = NULL;
	struct block_format_create with = *create;
	int rc = given ? block_settings_complete(vmdk_format.create_options, given, &settings, err)
		       : err_errno(err, ENOMEM, "cannot create an image");

	with.settings = settings;
	if (!rc)
		rc = vmdk_format.create(&with, err);
	json_decref(settings);
	json_decref(given);
	return rc;
}

/* The image of one disk, in the part of the archive that is its file. */
static int write_image(struct archive *archive, unsigned index, struct block_node *part,
		       struct err *err)
{
	struct block_node *from = archive->create->disks[index], *to;
	struct block_open_options options = { .path = archive->ovf.disks.items[index].file };
	struct chain chain = { .options = &options };
	struct block_opener opener = { .chain = &chain, .path = options.path };
	struct block_format_create create = {
		.file = part,
		.opener = &opener,
		.bytes = block_size_bytes(from),
	};
	struct block_format_open open = {
		.file = part,
		.opener = &opener,
		.cache_bytes = MIB,
	};
	int rc = create_stream(&create, err);

	if (!rc)
		rc = vmdk_format.open(&open, &to, err);
	if (rc)
		return rc;
	to->format = &vmdk_format;
	rc = archive->create->copy(archive->create->ctx, from, to, err);
	/* What it stands on stays. */
	to->ops->close(to);
	return rc;
}

static int write_disk(struct archive *archive, unsigned index, uint64_t *at, struct err *err)
{
	struct ovf_disk *disk = &archive->ovf.disks.items[index];
	struct block_node *part;
	int rc = part_open(archive->file, *at + OVA_TAR_BLOCK, UINT64_MAX, NULL, &part, err);

	if (rc)
		return rc;
	rc = write_image(archive, index, part, err);
	disk->file_bytes = block_size_bytes(part);
	part->ops->close(part);
	if (rc)
		return rc;
	rc = put_header(archive, *at, disk->file, disk->file_bytes);
	*at = behind(*at, disk->file_bytes);
	return rc ? failed(archive, rc, err) : 0;
}

/* ---- what is written last ---- */

static int write_descriptor(struct archive *archive)
{
	AUTO_FREE char *text = ovf_text(&archive->ovf), *padded = NULL;
	size_t length = text ? strlen(text) : 0;
	int rc;

	padded = text ? malloc(archive->descriptor_bytes) : NULL;
	if (!padded)
		return -ENOMEM;
	memset(padded, ' ', archive->descriptor_bytes);
	memcpy(padded, text, length);
	padded[archive->descriptor_bytes - 1] = '\n';
	rc = put_header(archive, 0, archive->name, archive->descriptor_bytes);
	return rc ? rc
		  : block_write(archive->file, OVA_TAR_BLOCK, padded, archive->descriptor_bytes);
}

static int add_digest(struct archive *archive, struct str *manifest, const char *name, uint64_t at,
		      uint64_t bytes)
{
	struct ova_member member = {
		.file = archive->file,
		.offset = at + OVA_TAR_BLOCK,
		.bytes = bytes,
	};
	char hex[2 * HASH_DIGITS + 1];
	int rc = ova_digest_of(&member, HASH, hex);

	if (!rc)
		str_printf(manifest, "SHA256(%s)= %s\n", name, hex);
	return rc;
}

static int write_manifest(struct archive *archive)
{
	uint64_t at = disks_at(archive);
	const struct ovf_disk *disk;
	struct str manifest = { 0 };
	char name[STEM_MAX + 8];
	int rc = add_digest(archive, &manifest, archive->name, 0, archive->descriptor_bytes);

	vec_for_each (disk, &archive->ovf.disks) {
		rc = rc ? rc : add_digest(archive, &manifest, disk->file, at, disk->file_bytes);
		at = behind(at, disk->file_bytes);
	}
	if (!rc && (manifest.failed || manifest.length != archive->manifest_bytes))
		rc = -ENOMEM;
	snprintf(name, sizeof(name), "%s.mf", archive->stem);
	if (!rc)
		rc = put_header(archive, manifest_at(archive), name, archive->manifest_bytes);
	if (!rc)
		rc = block_write(archive->file, manifest_at(archive) + OVA_TAR_BLOCK, manifest.text,
				 manifest.length);
	str_fini(&manifest);
	return rc;
}

/* ---- all of it ---- */

/* The name of the file without ".ova", in letters that all systems take. */
static void name_archive(struct archive *archive)
{
	const char *slash = strrchr(archive->create->path, '/');
	const char *name = slash ? slash + 1 : archive->create->path;
	const char *dot = strrchr(name, '.');
	size_t length = dot && dot > name ? (size_t)(dot - name) : strlen(name);

	length = MIN(length, (size_t)STEM_MAX - 16);
	for (size_t i = 0; i < length; i++) {
		bool plain = (name[i] >= 'a' && name[i] <= 'z') ||
			     (name[i] >= 'A' && name[i] <= 'Z') ||
			     (name[i] >= '0' && name[i] <= '9') || (i && strchr("-_.", name[i]));

		archive->stem[i] = plain ? name[i] : '_';
	}
	archive->stem[length] = '\0';
	snprintf(archive->name, sizeof(archive->name), "%s.ovf", archive->stem);
}

static int plan(struct archive *archive, struct err *err)
{
	const struct ova_create *create = archive->create;
	AUTO_FREE char *text = NULL;

	if (!create->disk_count || create->disk_count > DISKS_MAX)
		return err_set(err, EINVAL, "an appliance has from 1 to %d disks", DISKS_MAX);
	archive->seconds = (uint64_t)time(NULL);
	name_archive(archive);
	archive->ovf.name = strdup(create->name ? create->name : archive->stem);
	archive->ovf.cpus = create->cpus;
	archive->ovf.memory_bytes = create->memory_bytes;
	archive->ovf.nics = create->nics;
	archive->manifest_bytes = strlen("SHA256()= \n") + strlen(archive->name) + HASH_DIGITS;
	for (unsigned i = 0; i < create->disk_count; i++) {
		struct ovf_disk disk = { .bytes = block_size_bytes(create->disks[i]),
					 .file_bytes = INT64_MAX };

		if (asprintf(&disk.file, "%s-disk%u.vmdk", archive->stem, i + 1) < 0)
			return failed(archive, -ENOMEM, err);
		if (vec_push(&archive->ovf.disks, disk)) {
			free(disk.file);
			return failed(archive, -ENOMEM, err);
		}
		archive->manifest_bytes += strlen("SHA256()= \n") + strlen(disk.file) + HASH_DIGITS;
	}
	text = archive->ovf.name ? ovf_text(&archive->ovf) : NULL;
	archive->descriptor_bytes = text ? strlen(text) : 0;
	return text ? 0 : failed(archive, -ENOMEM, err);
}

static int write_all(struct archive *archive, struct err *err)
{
	static const uint8_t end[2 * OVA_TAR_BLOCK];
	uint64_t at = disks_at(archive);
	int rc = block_resize(archive->file, 0, err);

	for (unsigned i = 0; i < archive->create->disk_count && !rc; i++)
		rc = write_disk(archive, i, &at, err);
	if (rc)
		return rc;
	rc = write_descriptor(archive);
	if (!rc)
		rc = write_manifest(archive);
	if (!rc)
		rc = block_write(archive->file, at, end, sizeof(end));
	if (!rc)
		rc = block_flush(archive->file);
	return rc ? failed(archive, rc, err) : 0;
}

int ova_create(const struct ova_create *create, struct err *err)
{
	const struct block_open_options options = { .path = create->path };
	struct archive archive = { .create = create };
	bool made = false;
	int fd, rc = plan(&archive, err);

	if (!rc) {
		fd = open(create->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0644);
		made = fd >= 0;
		if (fd < 0 && errno == EEXIST && create->overwrite)
			fd = open(create->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0) {
			rc = err_errno(err, errno, "cannot create appliance '%s'", create->path);
			if (rc == -EEXIST)
				err_hint(err, "say that it may be overwritten");
		} else {
			rc = raw_open(&options, fd, NULL, &archive.file, err);
		}
	}
	if (!rc) {
		archive.file->grows = true;
		rc = write_all(&archive, err);
	}
	block_close(archive.file);
	if (rc && made)
		unlink(create->path);
	ovf_fini(&archive.ovf);
	return rc;
}
