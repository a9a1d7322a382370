/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile descriptors and manifests of appliances: refused with words, or what they say is bounded. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "block/format/ova_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ova_manifest manifest = { 0 };
	struct ovf ovf = { 0 };
	struct err err = ERR_INIT;
	char *text = calloc(1, size + 1);

	check(text);
	memcpy(text, data, size);
	if (ovf_parse(text, size, &ovf, &err)) {
		check(err.code < 0 && err.text[0]);
	} else {
		check(ovf.disks.count <= OVF_DISKS_MAX);
		for (size_t i = 0; i < ovf.disks.count; i++)
			check(!ovf.disks.items[i].file || ova_name_ok(ovf.disks.items[i].file));
	}
	ovf_fini(&ovf);
	err = ERR_INIT;
	if (ova_manifest_parse(&manifest, text, &err))
		check(err.code < 0 && err.text[0]);
	ova_manifest_fini(&manifest);
	free(text);
	return 0;
}
