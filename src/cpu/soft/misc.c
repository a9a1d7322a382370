/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NOP, PAUSE, fences, prefetches, cache lines, RDRAND, RDSEED, BOUND, UD. Spec: Intel SDM volume 2.
 */
#include <errno.h>
#include <sched.h>

#include "cpu/soft/system_priv.h"
#include "cpu/soft/width_priv.h"

HANDLER(nothing)
{
	return NEXT(cpu, insn);
}

HANDLER(mfence)
{
	atomic_thread_fence(memory_order_seq_cst);
	return NEXT(cpu, insn);
}

#define PAUSES_PER_YIELD 64

/* A guest that spins long waits for a vCPU whose thread may need this processor. */
HANDLER(pause_spin)
{
	if (++cpu->pauses % PAUSES_PER_YIELD)
		__builtin_ia32_pause();
	else
		sched_yield();
	return NEXT(cpu, insn);
}

/* Memory is coherent; the line must only be readable. */
HANDLER(flush_line)
{
	LOAD_EA(8);
	return NEXT(cpu, insn);
}

HANDLER(clzero)
{
	static const uint8_t zero[64];
	uint64_t line = ea_linear(cpu, insn, 1, true) & ~UINT64_C(63);

	store_bytes(cpu, insn, line, zero, sizeof(zero));
	return NEXT(cpu, insn);
}

/* The host's instruction, by CF as it comes. */
#define RANDOM_DEFINE(bits, suffix, mod, name)                                                     \
	HANDLER(name##_r##bits)                                                                    \
	{                                                                                          \
		uint##bits##_t value;                                                              \
		bool ok;                                                                           \
                                                                                                   \
		asm volatile(#name " %" mod "0" : "=r"(value), "=@ccc"(ok));                       \
		set_reg##bits(cpu, insn->dst, value);                                              \
		cpu->status = ok ? STATUS_CF : 0;                                                  \
		cpu->status |= 0x0200; /* the flag that is always one */                           \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDE_WIDTHS(RANDOM_DEFINE, rdrand)
FOR_WIDE_WIDTHS(RANDOM_DEFINE, rdseed)

#define BOUND_DEFINE(bits)                                                                         \
	HANDLER(bound_rm##bits)                                                                    \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 4, false);                           \
		int##bits##_t low = (int##bits##_t)load##bits(cpu, insn, linear);                  \
		int##bits##_t high = (int##bits##_t)load##bits(cpu, insn, linear + bits / 8);      \
		int##bits##_t index = (int##bits##_t) * reg##bits(cpu, insn->dst);                 \
                                                                                                   \
		if (index < low || index > high)                                                   \
			raise_fault(cpu, insn, EXCEPTION_BR);                                      \
		return NEXT(cpu, insn);                                                            \
	}

BOUND_DEFINE(16)
BOUND_DEFINE(32)

/* The register forms of the prefetches of 0F 0D, which Zydis calls NOP: AMD's processors refuse them. */
static int refuse_prefetch(const struct decoding *d, struct insn *insn)
{
	bool prefetch = d->z->opcode_map == ZYDIS_OPCODE_MAP_0F && d->z->opcode == 0x0d;

	(void)insn;
	return prefetch && d->cpu->engine->vendor_amd ? -ENOENT : 0;
}

#define ANY_WIDTH(name)                                                                            \
	{                                                                                          \
		name, name, name, name                                                             \
	}
#define MISC_ROW(mnemonic, name) ROW(mnemonic, FORM_ANY, 0, ANY_WIDTH(name))

const struct op_row misc_rows[] = {
	{ ZYDIS_MNEMONIC_NOP, FORM_ANY, 0, ANY_WIDTH(nothing), refuse_prefetch },
	MISC_ROW(PAUSE, pause_spin),
	MISC_ROW(LFENCE, nothing),
	MISC_ROW(SFENCE, nothing),
	MISC_ROW(MFENCE, mfence),
	MISC_ROW(PREFETCH, nothing),
	MISC_ROW(PREFETCHW, nothing),
	MISC_ROW(PREFETCHWT1, nothing),
	MISC_ROW(PREFETCHNTA, nothing),
	MISC_ROW(PREFETCHT0, nothing),
	MISC_ROW(PREFETCHT1, nothing),
	MISC_ROW(PREFETCHT2, nothing),
#ifdef ZYDIS_KNOWS_FCOMI_AND_PREFETCHIT /* else it calls them NOP, as older processors do */
	MISC_ROW(PREFETCHIT0, nothing),
	MISC_ROW(PREFETCHIT1, nothing),
#endif
	MISC_ROW(CLFLUSH, flush_line),
	MISC_ROW(CLFLUSHOPT, flush_line),
	MISC_ROW(CLWB, flush_line),
	MISC_ROW(CLZERO, clzero),
	ROW(RDRAND, FORM_R, 0, EXEC_WIDE_WIDTHS(rdrand_r)),
	ROW(RDSEED, FORM_R, 0, EXEC_WIDE_WIDTHS(rdseed_r)),
	ROW(BOUND, FORM_RM, OP_LEGACY, { NULL, bound_rm16, bound_rm32, NULL }),
	ROW(UD0, FORM_ANY, OP_END, ANY_WIDTH(op_undefined)),
	ROW(UD1, FORM_ANY, OP_END, ANY_WIDTH(op_undefined)),
	ROW(UD2, FORM_ANY, OP_END, ANY_WIDTH(op_undefined)),
};
const unsigned misc_row_count = ARRAY_SIZE(misc_rows);
