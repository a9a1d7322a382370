/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The software engine: what its vCPUs share. */
#pragma once

#include <Zydis/Zydis.h>

#include "cpu/soft/cpu_priv.h"
#include "cpu/soft/options_priv.h"

struct code_cache;
struct op_row;
struct timer_thread;

/* A mnemonic's rows in its family's table. */
struct op_range {
	const struct op_row *rows;
	uint16_t count;
};

enum decoder_kind {
	DECODER_16_16,
	DECODER_16_32,
	DECODER_32_16,
	DECODER_32_32,
	DECODER_64,
	DECODER_COUNT
};

struct soft_engine {
	struct engine engine; /* first */
	struct memory *memory;
	const struct engine_platform *platform;
	struct soft_options options;
	int perf; /* descriptor of perf's map of translated code, or -1 */
	struct cpuid_table cpuid;
	uint32_t xsave_size; /* of all that XCR0 may enable */
	unsigned physical_bits;
	bool large_1g, vendor_amd;
	uint64_t xcr0_mask;      /* what XSETBV takes */
	struct code_cache *code; /* NULL: everything is interpreted */
	unsigned vcpus;
	_Atomic(struct soft_cpu *) *cpus; /* by index; NULL before vcpu_new and after vcpu_free */

	/*
	 * For each page of each region, which 64-byte lines some vCPU has decoded. Guarded by
	 * nothing; a bit is set with code_lock held. See code.c.
	 */
	_Atomic uint64_t *code_lines[MEMORY_REGIONS];
	pthread_mutex_t code_lock;
	atomic_uint
		changing; /* threads that have cleared lines and not yet dropped what was made of them */
	_Atomic(struct soft_cpu *) alone; /* others wait before they run guest code */
	atomic_bool avx512; /* the guest may have such state; see native_update_mask() */

	ZydisDecoder decoders[DECODER_COUNT];
	struct op_range ops[ZYDIS_MNEMONIC_MAX_VALUE + 1];

	/* Time. The guest's TSC is the host's, times tsc_ratio / 2^48, plus the vCPU's offset. */
	uint64_t tsc_khz, host_tsc_khz;
	uint64_t tsc_ratio;
	uint64_t start_tsc; /* host TSC at start_ns */
	uint64_t start_ns;  /* host time when the engine was opened: zero of kvmclock */
	struct timer_thread *timers;

	atomic_bool pic_line;
	atomic_bool logging;              /* the dirty log runs */
	atomic_uint_fast64_t arbitration; /* turns of lowest-priority delivery */
};

static inline struct soft_cpu *engine_cpu(struct soft_engine *engine, unsigned index)
{
	return index < engine->vcpus
		       ? atomic_load_explicit(&engine->cpus[index], memory_order_acquire)
		       : NULL;
}
