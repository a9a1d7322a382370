/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models: named sets of features, and the CPUID table that a machine gets from one.
 *
 * "host" is all that the engine can offer; "x86-64-v1" to "x86-64-v4" are the levels of the psABI
 * with what an operating system needs around them. Behind a name, ",+feature" and ",-feature" add
 * and take away. Features that depend on the machine and not on the processor (topology bits, the
 * hypervisor bit, what KVM guests call paravirtual) follow the engine in every model.
 *
 * Vendor, family and stepping are those that the engine reports, so that guests choose the right
 * cures for the processor they really run on.
 *
 * Spec: x86-64 psABI, "Micro-Architecture Levels"; Intel SDM volume 2, CPUID; AMD APM volume 3,
 * appendix E.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "x86/cpuid.h"
#include "x86/features.h"

#define CPU_BRAND_MAX 48

/* What a model takes from the host besides the engine's table. */
struct cpu_host {
	char brand[CPU_BRAND_MAX + 1];
	uint64_t tsc_khz; /* for leaf 0x40000010; 0: not known, the leaf says 0 */
};

/* Fills in the brand of this processor; leaves tsc_khz alone. */
void cpu_host_read(struct cpu_host *ret_host);

struct cpu_model {
	const char *name;
	const struct cpu_model *base;     /* has all of its features, too; NULL: none */
	const enum cpu_feature *features; /* FEATURE_NONE ends them; NULL: all that there are */
};

/* All models; an entry without a name ends them. */
extern const struct cpu_model cpu_models[];

/*
 * The CPUID table of a machine with `vcpus` processors (1 … 32768, cores of one socket, APIC ids
 * from 0). `supported` is the engine's answer, engine_ops.supported_cpuid.
 *
 * -EINVAL: no such model or feature; -ENOTSUP: `err` lists by name the features that are missing.
 */
int cpu_model_resolve(struct cpuid_table *ret_table, const char *name,
		      const struct cpuid_table *supported, const struct cpu_host *host,
		      unsigned vcpus, struct err *err);
