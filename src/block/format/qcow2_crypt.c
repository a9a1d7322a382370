/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encrypted qcow2 images: a LUKS 1 header in clusters of its own, which an extension of the image's
 * header names. Data of the disk is encrypted by its place in the file that holds it; tables never
 * are, nor what was stored compressed. What was allocated and not written would read as noise, so
 * new clusters are always written as a whole, and what is set aside is marked as zero.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Full disk encryption header pointer", "Data encryption"
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/qcow2_priv.h"
#include "block/luks.h"
#include "host/thread.h"

/* ---- data ---- */

int qcow2_data_read(struct qcow2 *q, uint64_t host, uint64_t bytes, struct block_buffer to)
{
	if (q->luks)
		return luks_read(q->luks, q->data, host, host, bytes, to);
	return block_readv(q->data, host, bytes, to);
}

int qcow2_data_write(struct qcow2 *q, uint64_t host, uint64_t bytes, struct block_buffer from)
{
	if (q->luks)
		return luks_write(q->luks, q->data, host, host, bytes, from, 0);
	return block_writev(q->data, host, bytes, from, 0);
}

/* ---- opening ---- */

static int check_header(const struct qcow2 *q, struct err *err)
{
	const struct qcow2_header *header = &q->header;
	uint64_t file = block_size_bytes(q->file);

	if (header->crypt_method == QCOW2_CRYPT_AES) {
		err_set(err, ENOTSUP, "image '%s' has the old AES encryption, which is not secure",
			q->path);
		err_hint(err, "convert it with qemu-img");
		return -ENOTSUP;
	}
	if (!header->has_crypt || qcow2_in_cluster(q, header->crypt_offset) ||
	    header->crypt_offset > file || header->crypt_bytes > file - header->crypt_offset)
		return err_set(err, EINVAL, "image '%s': no LUKS header of %llu bytes at %#llx",
			       q->path, (unsigned long long)header->crypt_bytes,
			       (unsigned long long)header->crypt_offset);
	if (q->raw_external)
		return err_set(err, EINVAL,
			       "image '%s': encryption and a raw data file exclude one another",
			       q->path);
	return 0;
}

static int load(struct qcow2 *q, struct luks **ret_luks, struct err *err)
{
	int rc = luks_load(q->file, q->header.crypt_offset, q->header.crypt_bytes, ret_luks, err);

	if (!rc && luks_version(*ret_luks) != 1) {
		rc = err_set(err, ENOTSUP, "LUKS %u inside of qcow2", luks_version(*ret_luks));
		luks_free(take_ptr(ret_luks));
	}
	if (rc && err)
		err_wrap(err, "image '%s'", q->path);
	return rc;
}

int qcow2_crypt_open(struct qcow2 *q, const struct block_format_open *open, struct err *err)
{
	int rc;

	if (q->header.crypt_method == QCOW2_CRYPT_NONE)
		return 0;
	rc = check_header(q, err);
	if (rc)
		return rc;
	qcow2_set_table(q, QCOW2_CRYPT, q->header.crypt_offset, q->header.crypt_bytes);
	rc = load(q, &q->luks, q->check ? NULL : err);
	/* The check tells what is wrong. */
	if (rc && q->check)
		return 0;
	if (rc || !luks_wants_key(open))
		return rc;
	rc = luks_unlock(q->luks, open->settings, err);
	if (rc && err)
		err_wrap(err, "image '%s'", q->path);
	return rc;
}

int qcow2_crypt_check(struct qcow2 *q, struct block_check *check)
{
	struct err err = ERR_INIT;

	if (q->header.crypt_method == QCOW2_CRYPT_NONE)
		return 0;
	if (!q->luks && load(q, &q->luks, &err)) {
		block_check_add(check, BLOCK_FINDING_ERROR, false, "%s", err.text);
		return 0;
	}
	return luks_check(q->luks, check);
}

/* ---- creating ---- */

/* The format has one version of LUKS, and sectors of one size. */
static json_t *luks_settings(const json_t *settings)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)settings);

	if (copy && (json_object_set_new(copy, "version", json_integer(1)) ||
		     json_object_set_new(copy, "sector-size", json_integer(BLOCK_SECTOR)))) {
		json_decref(copy);
		return NULL;
	}
	return copy;
}

bool qcow2_crypt_wanted(const json_t *settings)
{
	return !strcmp(block_setting_string(settings, "encryption"), "luks");
}

uint64_t qcow2_crypt_bytes(const json_t *settings)
{
	json_t *luks = qcow2_crypt_wanted(settings) ? luks_settings(settings) : NULL;
	uint64_t bytes = luks ? luks_header_bytes(luks) : 0;

	json_decref(luks);
	return bytes;
}

/* Clusters for the header; nothing names them yet. */
static int reserve(struct qcow2 *q, uint64_t bytes)
{
	uint64_t clusters = (bytes + q->cluster_bytes - 1) >> q->cluster_bits, offset;
	int rc;

	LOCK_SCOPE(&q->lock);
	rc = qcow2_mark_dirty(q);
	if (!rc)
		rc = qcow2_alloc_run(q, clusters, &offset);
	if (!rc)
		rc = qcow2_zero_new(q, offset, clusters << q->cluster_bits);
	/* The file ends behind it, also where all of that is a hole. */
	if (!rc && block_size_bytes(q->file) < offset + bytes)
		rc = block_resize(q->file, offset + (clusters << q->cluster_bits), NULL);
	if (rc)
		return rc;
	q->header.crypt_offset = offset;
	q->header.crypt_bytes = bytes;
	return 0;
}

int qcow2_crypt_create(struct qcow2 *q, const json_t *settings, struct err *err)
{
	json_t *luks = luks_settings(settings);
	int rc = luks ? reserve(q, luks_header_bytes(luks)) : -ENOMEM;

	if (rc)
		err_errno(err, rc, "cannot create an encrypted image");
	if (!rc)
		rc = luks_create(q->file, q->header.crypt_offset, q->header.crypt_bytes, luks, err);
	if (!rc && qcow2_flush(&q->node))
		rc = err_set(err, EIO, "cannot write the image");
	if (!rc) {
		q->header.crypt_method = QCOW2_CRYPT_LUKS;
		q->header.has_crypt = true;
		qcow2_set_table(q, QCOW2_CRYPT, q->header.crypt_offset, q->header.crypt_bytes);
		rc = qcow2_header_store(q->file, &q->header, err);
	}
	if (!rc)
		rc = load(q, &q->luks, err);
	if (!rc && !strcmp(block_setting_string(settings, "preallocation"), "full"))
		rc = luks_unlock(q->luks, luks, err);
	json_decref(luks);
	return rc;
}

/* ---- key slots ---- */

static int luks_of(struct block_node *node, struct luks **ret_luks, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);

	*ret_luks = q->luks;
	return q->luks ? 0 : err_set(err, ENOTSUP, "image '%s' is not encrypted", q->path);
}

static int list_keys(struct block_node *node, json_t **ret_list, struct err *err)
{
	struct luks *luks;
	json_t *facts;
	int rc = luks_of(node, &luks, err);

	if (rc)
		return rc;
	facts = luks_describe(luks);
	*ret_list = json_incref(json_object_get(facts, "key-slots"));
	json_decref(facts);
	return 0;
}

static int add_key(struct block_node *node, const json_t *settings, unsigned *ret_slot,
		   struct err *err)
{
	struct luks *luks;
	int rc = luks_of(node, &luks, err);

	return rc ? rc : luks_add_slot(luks, settings, ret_slot, err);
}

static int remove_key(struct block_node *node, unsigned slot, bool last, struct err *err)
{
	struct luks *luks;
	int rc = luks_of(node, &luks, err);

	return rc ? rc : luks_remove_slot(luks, slot, last, err);
}

static int unlock_as(struct block_node *node, struct block_node *unlocked)
{
	struct qcow2 *q = qcow2_of(node), *other = qcow2_of(unlocked);

	if (!q->luks)
		return 0;
	return other->luks ? luks_unlock_as(q->luks, other->luks) : -ENOKEY;
}

static const struct block_option slot_options[] = {
	LUKS_KEY_OPTION,
	LUKS_PBKDF2_OPTIONS,
	{ 0 },
};

const struct block_key_ops qcow2_key_ops = {
	.slot_options = slot_options,
	.list = list_keys,
	.add = add_key,
	.remove = remove_key,
	.unlock_as = unlock_as,
};
