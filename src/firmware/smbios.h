/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS: what inventory tools show of the machine.
 *
 * Spec: DMTF DSP0134, version 3.0.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct smbios_memory {
	uint64_t base, size;
};

struct smbios_platform {
	const char *name;    /* the machine's, shown as its serial number; NULL: none */
	const uint8_t *uuid; /* 16 bytes in RFC 4122 order; NULL: not set */
	unsigned vcpus;
	uint32_t cpu_signature, cpu_features; /* CPUID leaf 1: EAX and EDX */
	const struct smbios_memory *memory;   /* where RAM is */
	size_t memory_count;
};

/*
 * The entry point, which belongs on a multiple of 16 in 0xf0000 … 0xfffff, and the structures
 * behind it, for address `base`. Caller ends `ret_bytes` with str_fini(). 0 or -ENOMEM.
 */
int smbios_build(const struct smbios_platform *platform, uint32_t base, struct str *ret_bytes);
