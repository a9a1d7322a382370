/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Appliances from the inside: a descriptor (OVF) that names files, a manifest with their checksums,
 * and the files, in an archive (OVA) or in a folder.
 *
 *	ova_tar.c	members of an archive, headers of new ones
 *	ova_descriptor.c	XML to `struct ovf`
 *	ova_manifest.c	lines to digests, and whether they are true
 *	ova.c		the format: a disk of an appliance as a node
 *	ova_write.c	a new archive (block/ova.h)
 *
 * Spec: DMTF DSP0243, Open Virtualization Format 1.1 and 2.1
 */
#pragma once

#include "base/vec.h"
#include "block/format.h"
#include "block/ova.h"

#define OVA_MEMBERS_MAX    256
#define OVA_NAME_MAX       255
#define OVA_DESCRIPTOR_MAX (4 * MIB)
#define OVA_MANIFEST_MAX   (256 * KIB)
#define OVA_TAR_BLOCK      512

/* ---- ova_tar.c ---- */

/* A file of the appliance: a part of the archive, or a file of its own. */
struct ova_member {
	char *name;
	struct block_node *file; /* borrowed */
	uint64_t offset, bytes;
};

struct ova_members {
	VEC(struct ova_member) list;
};

/* All members of the archive. Names are plain: no folders, no two the same. Caller ends with
 * ova_members_fini(), also after a failure. */
int ova_members_load(struct ova_members *members, struct block_node *file, struct err *err);
int ova_members_add(struct ova_members *members, const char *name, struct block_node *file,
		    uint64_t offset, uint64_t bytes);
void ova_members_fini(struct ova_members *members);
/* NULL: none of that name, or that ends so. */
const struct ova_member *ova_members_find(const struct ova_members *members, const char *name);
const struct ova_member *ova_members_find_ending(const struct ova_members *members,
						 const char *end);
/* All of it in memory, with a NUL behind it. Caller frees. -EFBIG. */
int ova_member_read(const struct ova_member *member, uint64_t max, char **ret_text,
		    struct err *err);

/* Whether a name is a file beside the descriptor: no folder, nothing that cannot be seen. */
bool ova_name_ok(const char *name);

/* The block in front of a new member. */
void ova_tar_header(uint8_t block[OVA_TAR_BLOCK], const char *name, uint64_t bytes,
		    uint64_t seconds);

/* ---- ova_descriptor.c ---- */

/* What is refused: another version, a document type, several machines, and all that is too large. */
int ovf_parse(const char *text, size_t bytes, struct ovf *ovf, struct err *err);
void ovf_fini(struct ovf *ovf);
/* As XML. Caller frees; NULL: no memory. */
char *ovf_text(const struct ovf *ovf);

/* ---- ova_manifest.c ---- */

struct ova_digest {
	char *name;
	const char *hash; /* "sha256" */
	char hex[2 * 64 + 1];
};

struct ova_manifest {
	VEC(struct ova_digest) list;
};

int ova_manifest_parse(struct ova_manifest *manifest, const char *text, struct err *err);
void ova_manifest_fini(struct ova_manifest *manifest);
/* Digests of all members, compared: what differs, is not there, or is not named is told. */
int ova_manifest_check(const struct ova_manifest *manifest, const struct ova_members *members,
		       struct block_check *check);
/* The digest of a member as hexadecimal text. */
int ova_digest_of(const struct ova_member *member, const char *hash, char hex[2 * 64 + 1]);
