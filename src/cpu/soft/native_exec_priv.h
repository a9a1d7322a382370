/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How natively executed instructions are packed into a `struct insn`, for the native_*.c files. */
#pragma once

#include "cpu/soft/engine_priv.h"
#include "cpu/soft/access_priv.h"
#include "cpu/soft/cpu_priv.h"

/*
 * insn->aux is the thunk, insn->op the unit (enum native_unit), and insn->imm this. Vector
 * registers are named by number, in dst and src.
 */
struct native_operand {
	uint8_t size;  /* bytes of the memory operand */
	uint8_t align; /* address bits that must be clear */
	uint8_t lanes; /* of a masked access: how many elements */
	uint8_t lane;  /* bytes of an element in memory */
	uint8_t mask;  /* number of the register that selects elements: opmask, or vector */
	uint8_t kind;  /* enum mask_kind */
	uint16_t fop;  /* x87: opcode for the FOP register; FOP_NONE: does not set it */
};

/* How a mask selects elements in memory. */
enum mask_kind {
	MASK_EACH, /* bit i of the opmask: element i */
	MASK_PACKED, /* as many elements from the first on as the opmask has bits (compress, expand) */
	MASK_FOLDED, /* bits i, i + n, i + 2n … : element i of n (broadcast) */
	MASK_VECTOR, /* the sign bit of element i of a vector register */
};

/* The bits of MXCSR that the guest may set: not the misaligned-SSE mode of some processors. */
#define MXCSR_VALID UINT32_C(0xffff)

#define FOP_NONE UINT16_C(0xffff)

static_assert(sizeof(struct native_operand) == sizeof(((struct insn *)0)->imm), "fits in imm");

static inline const struct native_operand *native_operand(const struct insn *insn)
{
	return (const struct native_operand *)&insn->imm;
}

static inline native_thunk *native_code(const struct insn *insn)
{
	return (native_thunk *)(uintptr_t)insn->aux;
}

static inline uint8_t *xmm(struct soft_cpu *cpu, unsigned number)
{
	return cpu->xsave + XSAVE_XMM + 16 * number;
}

static inline uint8_t *ymm_high(struct soft_cpu *cpu, unsigned number)
{
	return cpu->xsave + XSAVE_YMM_HIGH + 16 * number;
}

static inline uint8_t *zmm_high(struct soft_cpu *cpu, unsigned number)
{
	return cpu->xsave + native_host(cpu->native)->zmm_high + 32ul * number;
}

static inline uint64_t *opmask(struct soft_cpu *cpu, unsigned number)
{
	return (uint64_t *)(cpu->xsave + native_host(cpu->native)->opmask + 8ul * number);
}

/* Copies `size` bytes from byte `offset` of a vector register, 0 to 31; and back. */
void vector_get(struct soft_cpu *cpu, unsigned number, unsigned offset, void *bytes, unsigned size);
void vector_set(struct soft_cpu *cpu, unsigned number, unsigned offset, const void *bytes,
		unsigned size);

/* What translated code takes along: AVX-512 state once the guest may have some. Not while registers are in the host. */
static inline void native_update_mask(struct soft_cpu *cpu)
{
	uint64_t least = XCR0_SSE | XCR0_AVX;

	cpu->vector_mask = (uint32_t)native_host(cpu->native)->mask;
	if (!atomic_load(&cpu->engine->avx512))
		cpu->vector_mask &= (uint32_t)least;
}

/* Clears a vector register from byte `from` (16, 32 or 64) up, as VEX and EVEX encodings do. */
void vector_clear_above(struct soft_cpu *cpu, unsigned number, unsigned from);

/* Raises what a thunk returned, which is not 0. */
_Noreturn void native_raise(struct soft_cpu *cpu, const struct insn *insn, unsigned vector);

/* Raises #UD or #NM unless the guest has the instruction's unit on. */
static inline void native_check(struct soft_cpu *cpu, const struct insn *insn)
{
	if (unlikely(cpu->unit_fault[insn->op]))
		raise_fault(cpu, insn, cpu->unit_fault[insn->op]);
}

/* The same, then the linear address of the memory operand, whose alignment is checked. */
static inline uint64_t native_address(struct soft_cpu *cpu, const struct insn *insn, bool write)
{
	const struct native_operand *operand = native_operand(insn);
	uint64_t linear;

	native_check(cpu, insn);
	linear = ea_linear(cpu, insn, operand->size, write);
	if (unlikely(linear & operand->align))
		raise_gp(cpu, insn);
	return linear;
}

/* native_exec.c, native_mask.c, native_move.c, native_gather.c, native_x87.c, native_state.c */
insn_exec native_register, native_load, native_store, native_masked_load, native_masked_store,
	native_masked_store_whole;

/* native_xsave.c */
insn_exec native_fxsave, native_fxrstor, native_xsave, native_xsaveopt, native_xsavec,
	native_xsaves, native_xrstor, native_xrstors;

/*
 * Decoders that native_decode() asks in turn; 0, or -ENOENT (not theirs). `out->op` is filled in.
 */
int native_decode_move(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
		       struct insn *out);
int native_decode_gather(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
			 struct insn *out);
int native_decode_x87(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
		      const ZydisDecodedOperand *operands, struct insn *out);
int native_decode_maskmov(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
			  struct insn *out);
int native_decode_state(const ZydisDecodedInstruction *z, struct insn *out);

/* The rest: a thunk and the handler around it. */
int native_decode_thunk(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
			const ZydisDecodedOperand *operands, struct insn *out);

/*
 * MASKMOVDQU, MASKMOVQ: stores the bytes of `data` (`count`, up to 16) for which the sign bit of
 * the mask's byte is set.
 */
void store_selected(struct soft_cpu *cpu, const struct insn *insn, const uint8_t *data,
		    const uint8_t *mask, unsigned count);

/* Address bits that must be clear in its memory operand of `size` bytes. */
uint8_t native_alignment(const struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
			 unsigned size);

/* Which unit an instruction belongs to, or -ENOENT if the host does not have it. */
int native_unit(const struct native_host *host, const ZydisDecodedInstruction *z,
		const ZydisDecodedOperand *operands);
