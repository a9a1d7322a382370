/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small ISO 9660 file system in memory: one folder with some files, their names kept as they are by
 * Rock Ridge. For the seed disks of cloud-init.
 *
 * Spec: ECMA-119; IEEE P1281 (SUSP), IEEE P1282 (Rock Ridge)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ISO9660_FILES_MAX 8
#define ISO9660_NAME_MAX  31
#define ISO9660_LABEL_MAX 32
#define ISO9660_BYTES_MAX (8u << 20) /* of all files together */

struct iso9660_file {
	const char *name; /* ISO9660_NAME_MAX bytes at the most */
	const void *bytes;
	size_t count;
};

/*
 * The file system, in `*ret_bytes` (caller frees), all its times being 1980-01-01. -EINVAL: a name, a
 * label or a number of files that cannot be; -EFBIG; -ENOMEM.
 */
int iso9660_make(const char *label, const struct iso9660_file *files, size_t file_count,
		 uint8_t **ret_bytes, size_t *ret_count);
