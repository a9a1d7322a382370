/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Appliances as images: one disk of the machine that an archive (.ova) or a descriptor (.ovf)
 * describes, only read. The check compares all files with the checksums of the manifest.
 *
 * The disk of an archive is opened in its place. It may name no further files, as there are none but
 * those of the archive; the files of a descriptor lie beside it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "block/file/part.h"
#include "block/file/raw.h"
#include "block/format/formats.h"
#include "block/format/ova_priv.h"
#include "block/opener_priv.h"
#include "codec/kdf.h"

static const char *const extensions[] = { "ova", "ovf", NULL };

struct ova {
	struct block_node node; /* shows the disk */
	char *path;
	bool is_archive;
	struct ova_members members;
	struct ovf ovf;
	struct ova_manifest manifest;
	bool has_manifest;
};

static const struct block_ops ova_ops;

static struct ova *ova_of(struct block_node *node)
{
	check(node->ops == &ova_ops);
	return container_of(node, struct ova, node);
}

static bool never(struct block_node *node)
{
	(void)node;
	return false;
}

static json_t *describe_disks(const struct ovf *ovf)
{
	json_t *disks = json_array();
	const struct ovf_disk *disk;

	vec_for_each (disk, &ovf->disks)
		json_array_append_new(disks,
				      json_pack("{s:s, s:s*, s:I}", "id", disk->id, "file",
						disk->file, "size", (json_int_t)disk->bytes));
	return disks;
}

static json_t *ova_describe(struct block_node *node)
{
	struct ova *ova = ova_of(node);
	const struct ovf *ovf = &ova->ovf;
	const char *hash = ova->manifest.list.count ? ova->manifest.list.items[0].hash : NULL;

	return json_pack("{s:s, s:s, s:s*, s:s*, s:I, s:I, s:i, s:o, s:s*, s:o}", "format", "ova",
			 "file", ova->path, "machine", ovf->name, "operating-system", ovf->system,
			 "cpus", (json_int_t)ovf->cpus, "memory", (json_int_t)ovf->memory_bytes,
			 "nics", (int)ovf->nics, "disks", describe_disks(ovf), "checksums", hash,
			 "disk", block_describe(node->next));
}

static void ova_close(struct block_node *node)
{
	struct ova *ova = ova_of(node);

	block_node_fini(node);
	ova_members_fini(&ova->members);
	ovf_fini(&ova->ovf);
	ova_manifest_fini(&ova->manifest);
	free(ova->path);
	free(ova);
}

static const struct block_ops ova_ops = {
	.name = "ova",
	.filter = true,
	.can_write = never,
	.describe = ova_describe,
	.close = ova_close,
};

/* ---- reading the package ---- */

static unsigned probe(const struct block_header *header)
{
	const char *head = (const char *)header->head;
	const char *end = memchr(head, 0, 100);
	size_t length = end ? (size_t)(end - head) : 0;

	if (!memcmp(head + 257, "ustar", 5) && length > 4 &&
	    !strncasecmp(head + length - 4, ".ovf", 4))
		return 100;
	if (*head != '<' && strncmp(head, "\xef\xbb\xbf<", 4))
		return 0;
	return memmem(head, BLOCK_PROBE_HEAD, "schemas.dmtf.org/ovf/envelope", 29) ? 90 : 0;
}

static int read_descriptor(struct ova *ova, const struct ova_member *member, struct err *err)
{
	AUTO_FREE char *text = NULL;
	int rc = ova_member_read(member, OVA_DESCRIPTOR_MAX, &text, err);

	return rc ? rc : ovf_parse(text, member->bytes, &ova->ovf, err);
}

static int read_manifest(struct ova *ova, struct err *err)
{
	const struct ova_member *member = ova_members_find_ending(&ova->members, ".mf");
	AUTO_FREE char *text = NULL;
	int rc;

	if (!member)
		return 0;
	/* libcrypto reads its configuration before a sandbox closes. */
	hash_bytes("sha256");
	rc = ova_member_read(member, OVA_MANIFEST_MAX, &text, err);
	if (!rc)
		rc = ova_manifest_parse(&ova->manifest, text, err);
	ova->has_manifest = !rc;
	if (rc && err)
		err_wrap(err, "'%s'", member->name);
	return rc;
}

static int load_archive(struct ova *ova, struct block_node *file, struct err *err)
{
	int rc = ova_members_load(&ova->members, file, err);

	if (!rc && (!ova->members.list.count ||
		    ova_members_find_ending(&ova->members, ".ovf") != ova->members.list.items))
		rc = err_set(err, EINVAL, "its first file is no descriptor (.ovf)");
	if (!rc)
		rc = read_descriptor(ova, &ova->members.list.items[0], err);
	return rc ? rc : read_manifest(ova, err);
}

/* ---- names ---- */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place, "%20" to " ". */
static void decode(char *name)
{
	char *to = name;

	for (; *name; name++) {
		int high = *name == '%' ? digit_of(name[1]) : -1;
		int low = high >= 0 ? digit_of(name[2]) : -1;

		*to++ = low >= 0 ? (char)(high << 4 | low) : *name;
		name += low >= 0 ? 2 : 0;
	}
	*to = '\0';
}

static bool is_there(const struct ova *ova, const struct block_format_open *open, const char *name)
{
	AUTO_FREE char *path = NULL;

	if (ova->is_archive)
		return ova_members_find(&ova->members, name);
	return !opener_resolve(open->opener, name, &path, NULL);
}

/* They are URIs, which not all who write them know: a name that is there is meant as it is. */
static int decode_names(struct ova *ova, const struct block_format_open *open, struct err *err)
{
	struct ovf_disk *disk;

	vec_for_each (disk, &ova->ovf.disks) {
		AUTO_FREE char *name = NULL;

		if (!disk->file || !strchr(disk->file, '%') || is_there(ova, open, disk->file))
			continue;
		name = strdup(disk->file);
		if (!name)
			return err_errno(err, ENOMEM, "cannot open '%s'", disk->file);
		decode(name);
		if (ova_name_ok(name) && is_there(ova, open, name)) {
			free(disk->file);
			disk->file = take_ptr(&name);
		}
	}
	return 0;
}

/* ---- files beside a descriptor ---- */

/* To the byte, where a disk would have sectors. */
static uint64_t file_bytes(struct block_node *file)
{
	struct stat st;

	return raw_identity(file, &st) && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
							      : block_size_bytes(file);
}

/* All but the descriptor are the node's children. */
static int add_file(struct ova *ova, const struct block_format_open *open, const char *name,
		    struct err *err)
{
	struct block_node *file;
	int rc;

	if (ova_members_find(&ova->members, name))
		return 0;
	rc = block_opener_file(open->opener, name, 0, &file, err);
	if (rc)
		return rc;
	if (block_node_add(&ova->node, file)) {
		block_close(file);
		return err_errno(err, ENOMEM, "cannot open '%s'", name);
	}
	rc = ova_members_add(&ova->members, name, file, 0, file_bytes(file));
	return rc ? err_errno(err, rc, "cannot open '%s'", name) : 0;
}

/* The manifest has the name of the descriptor. That it is not there is no mistake. */
static int add_manifest(struct ova *ova, const struct block_format_open *open, const char *name,
			struct err *err)
{
	const char *dot = strrchr(name, '.');
	AUTO_FREE char *manifest = NULL;
	struct err why = ERR_INIT;
	int rc;

	if (asprintf(&manifest, "%.*s.mf", dot ? (int)(dot - name) : (int)strlen(name), name) < 0)
		return err_errno(err, ENOMEM, "cannot open the manifest");
	rc = add_file(ova, open, manifest, &why);
	if (rc == -ENOENT)
		return 0;
	return rc ? err_set(err, rc, "%s", why.text) : read_manifest(ova, err);
}

static int load_folder(struct ova *ova, const struct block_format_open *open, struct err *err)
{
	const char *slash = strrchr(ova->path, '/'), *name = slash ? slash + 1 : ova->path;
	int rc = ova_members_add(&ova->members, name, open->file, 0, file_bytes(open->file));

	if (rc)
		return err_errno(err, rc, "cannot open '%s'", name);
	return read_descriptor(ova, &ova->members.list.items[0], err);
}

/* What the check looks at. */
static int open_files(struct ova *ova, const struct block_format_open *open, struct err *err)
{
	const struct ovf_disk *disk;
	int rc = add_manifest(ova, open, ova->members.list.items[0].name, err);

	vec_for_each (disk, &ova->ovf.disks)
		rc = rc || !disk->file ? rc : add_file(ova, open, disk->file, err);
	return rc;
}

/* ---- the disk ---- */

/* By its number, from 1 on, or its id; the first that has a file if none is named. */
static int find_disk(const struct ova *ova, const char *wanted, const char **ret_file,
		     struct err *err)
{
	const struct ovf_disk *disk;
	uint64_t number = 0, at = 0;

	if (wanted && parse_u64(wanted, 1, OVF_DISKS_MAX, &number))
		number = 0;
	vec_for_each (disk, &ova->ovf.disks) {
		at++;
		if (wanted ? number != at && strcmp(disk->id, wanted) != 0 : !disk->file)
			continue;
		*ret_file = disk->file;
		return disk->file ? 0
				  : err_set(err, ENODATA, "disk '%.64s' is empty, without a file",
					    disk->id);
	}
	return wanted ? err_set(err, ENOENT, "it has no disk '%.64s'", wanted)
		      : err_set(err, ENODATA, "it has no disk");
}

static const struct block_format *format_of(const char *name)
{
	const struct block_format *format = block_format_of_path(name);

	return format && format != &ova_format ? format : &vmdk_format;
}

/* `file` is the image, and stays the caller's after a failure. */
static int open_image(struct ova *ova, const struct block_format_open *open, const char *name,
		      struct block_node *file, struct err *err)
{
	const struct block_format *format = format_of(name);
	struct block_opener alone = { .chain = open->opener->chain, .path = name, .alone = true };
	struct block_format_open inner = *open;
	json_t *settings = NULL;
	struct block_node *disk;
	int rc = block_settings_complete(format->open_options, NULL, &settings, err);

	inner.file = file;
	inner.opener = &alone;
	inner.settings = settings;
	if (!rc)
		rc = format->open(&inner, &disk, err);
	json_decref(settings);
	if (rc)
		return rc;
	disk->format = format;
	if (block_node_add(&ova->node, disk)) {
		disk->ops->close(disk);
		return err_errno(err, ENOMEM, "cannot open '%s'", name);
	}
	return 0;
}

static int open_member(struct ova *ova, const struct block_format_open *open, const char *name,
		       struct err *err)
{
	const struct ova_member *member = ova_members_find(&ova->members, name);
	struct block_node *part;
	int rc;

	if (!member)
		return err_set(err, EINVAL, "file '%.128s' is not in it", name);
	rc = part_open(open->file, member->offset, member->bytes, open->loop, &part, err);
	if (rc)
		return rc;
	rc = open_image(ova, open, name, part, err);
	/* The archive stays with the caller. */
	if (rc)
		part->ops->close(part);
	return rc;
}

static int open_beside(struct ova *ova, const struct block_format_open *open, const char *name,
		       struct err *err)
{
	struct block_node *disk;
	int rc = block_opener_image(open->opener, name, format_of(name)->name, &disk, err);

	if (rc)
		return rc;
	rc = block_node_add(&ova->node, disk);
	if (rc)
		block_close(disk);
	return rc ? err_errno(err, rc, "cannot open '%s'", name) : 0;
}

static int open_disk(struct ova *ova, const struct block_format_open *open, struct err *err)
{
	const char *name = NULL;
	int rc = find_disk(ova, block_setting_string(open->settings, "disk"), &name, err);

	if (rc)
		return rc;
	return ova->is_archive ? open_member(ova, open, name, err)
			       : open_beside(ova, open, name, err);
}

/* ---- all of it ---- */

/* The file becomes the node's with the last step; in an archive it is so with the disk. */
static int open_all(struct ova *ova, const struct block_format_open *open, struct err *err)
{
	int rc = ova->is_archive ? load_archive(ova, open->file, err) : load_folder(ova, open, err);

	if (!rc)
		rc = decode_names(ova, open, err);
	if (!rc && !open->check)
		rc = open_disk(ova, open, err);
	else if (!rc && !ova->is_archive)
		rc = open_files(ova, open, err);
	if (!rc && (open->check || !ova->is_archive) && block_node_add(&ova->node, open->file))
		rc = err_errno(err, ENOMEM, "cannot open it");
	return rc;
}

static void close_half(struct ova *ova)
{
	/* An archive's only child is the last to be added. */
	for (unsigned i = 0; i < ova->node.child_count; i++)
		block_close(ova->node.children[i]);
	ova_close(&ova->node);
}

static int is_archive(struct block_node *file, bool *ret_archive)
{
	uint8_t head[OVA_TAR_BLOCK] = { 0 };
	int rc = block_read(file, 0, head, MIN(block_size_bytes(file), (uint64_t)sizeof(head)));

	*ret_archive = !memcmp(head + 257, "ustar", 5);
	return rc;
}

static int ova_open(const struct block_format_open *open, struct block_node **ret_node,
		    struct err *err)
{
	const char *path = block_opener_name(open->opener);
	struct ova *ova;
	int rc;

	if (!open->read_only) {
		err_set(err, EROFS, "appliance '%s' is only read", path);
		err_hint(err, "import it, or convert its disk");
		return -EROFS;
	}
	ova = calloc(1, sizeof(*ova));
	if (!ova)
		return err_errno(err, ENOMEM, "cannot open appliance '%s'", path);
	block_node_init(&ova->node, &ova_ops, open->loop);
	ova->path = strdup(path);
	rc = ova->path ? is_archive(open->file, &ova->is_archive) : -ENOMEM;
	if (rc)
		err_errno(err, rc, "cannot read it");
	if (!rc)
		rc = open_all(ova, open, err);
	if (rc) {
		close_half(ova);
		if (err)
			err_wrap(err, "appliance '%s'", path);
		return rc;
	}
	*ret_node = &ova->node;
	return 0;
}

static int ova_check(struct block_node *node, struct block_check *check, struct err *err)
{
	struct ova *ova = ova_of(node);
	int rc;

	if (!ova->has_manifest) {
		block_check_add(check, BLOCK_FINDING_UNKNOWN, false,
				"there is no manifest with checksums");
		return 0;
	}
	rc = ova_manifest_check(&ova->manifest, &ova->members, check);
	return rc ? err_errno(err, rc, "cannot check appliance '%s'", ova->path) : 0;
}

static const struct block_option open_options[] = {
	{ .name = "disk",
	  .type = BLOCK_OPTION_STRING,
	  .help = "which disk, by its number from 1 on, or its id" },
	{ 0 },
};

const struct block_format ova_format = {
	.name = "ova",
	.summary = "appliance: a machine's description (OVF) and disks, only read",
	.extensions = extensions,
	.open_options = open_options,
	.probe = probe,
	.open = ova_open,
	.check = ova_check,
};
