/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Appliances: what a descriptor (OVF) says of a machine, and new archives (OVA) of machines.
 *
 * Reading is the format 'ova': each disk of an appliance is opened as an image (its setting 'disk'),
 * and block_describe() says what the machine has.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "block/block.h"

/* A disk of the machine, in the order in which it has them. */
struct ovf_disk {
	char *id;
	char *file; /* name; NULL: it is empty */
	uint64_t bytes;
	uint64_t file_bytes; /* 0: not said */
};

struct ovf {
	char *name;   /* of the machine; NULL: not said */
	char *system; /* operating system, in words; NULL: not said */
	uint64_t cpus, memory_bytes;
	unsigned nics;
	VEC(struct ovf_disk) disks;
};

#define OVF_DISKS_MAX 64

/* A new appliance. */
struct ova_create {
	const char *path;
	const char *name;
	uint64_t cpus, memory_bytes;
	unsigned nics;
	bool overwrite;
	struct block_node *const *disks; /* borrowed */
	unsigned disk_count;             /* 1 to OVF_DISKS_MAX */
	/* Copies a disk into the image that will be in the archive, and flushes it. */
	int (*copy)(void *ctx, struct block_node *from, struct block_node *to, struct err *err);
	void *ctx;
};

/* Writes the archive: descriptor, disks as streamOptimized VMDK images, manifest with SHA-256. After a
 * failure the file is gone (one that was there before stays, damaged). */
int ova_create(const struct ova_create *create, struct err *err);
