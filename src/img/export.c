/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `export`: disks as an appliance that other hypervisors import. */
#include <errno.h>

#include "base/macros.h"
#include "base/str.h"
#include "block/ova.h"
#include "img/command.h"
#include "img/copying.h"

#define CPUS_MAX   1024
#define NICS_MAX   8
#define MEMORY_MIN MIB

static int number(const struct img *img, const char *name, uint64_t max, uint64_t *value,
		  struct err *err)
{
	const char *text = img_value(img, name);

	if (!text || !parse_u64(text, 0, max, value))
		return 0;
	return err_set(err, EINVAL, "argument of '--%s' is a number up to %llu", name,
		       (unsigned long long)max);
}

static int parse(const struct img *img, struct ova_create *create, struct err *err)
{
	uint64_t nics = 1;
	int rc = number(img, "cpus", CPUS_MAX, &create->cpus, err);

	if (!rc)
		rc = number(img, "nics", NICS_MAX, &nics, err);
	if (!rc)
		rc = img_size(img, "memory", &create->memory_bytes, err);
	if (!rc && (!create->cpus || create->memory_bytes % MEMORY_MIN || !create->memory_bytes))
		rc = err_set(err, EINVAL, "a machine has processors, and memory in whole MiB");
	create->nics = (unsigned)nics;
	return rc;
}

static int copy(void *ctx, struct block_node *from, struct block_node *to, struct err *err)
{
	return img_copy_disk(ctx, from, to, true, err);
}

static void print_text(const json_t *result)
{
	printf("exported '%s': %lld disks\n", json_string_value(json_object_get(result, "path")),
	       (long long)json_integer_value(json_object_get(result, "disks")));
}

int img_export(struct img *img, struct err *err)
{
	struct block_node *disks[IMG_OPERANDS_MAX] = { NULL };
	struct ova_create create = {
		.path = img->operands[0],
		.name = img_value(img, "name"),
		.cpus = 1,
		.memory_bytes = GIB,
		.overwrite = img_flag(img, "overwrite"),
		.disks = disks,
		.copy = copy,
		.ctx = img,
	};
	int rc = parse(img, &create, err);

	while (!rc && create.disk_count + 1 < img->operand_count) {
		rc = img_open(img, img->operands[create.disk_count + 1], false,
			      &disks[create.disk_count], err);
		create.disk_count += !rc;
	}
	if (!rc)
		rc = ova_create(&create, err);
	for (unsigned i = 0; i < create.disk_count; i++)
		block_close(disks[i]);
	if (rc)
		return IMG_FAILED;
	img_print(img,
		  json_pack("{s:s, s:i}", "path", create.path, "disks", (int)create.disk_count),
		  print_text);
	return IMG_DONE;
}
