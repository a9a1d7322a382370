/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A decoded instruction, and the way its semantics are called.
 *
 * Zydis decodes each instruction once into a `struct insn`; a block is an array of them that ends
 * with one that leaves the block. A handler does the whole instruction and says which comes next:
 *
 *	static const struct insn *mov_r64_r64(struct soft_cpu *cpu, const struct insn *insn)
 *	{
 *		*reg64(cpu, insn->dst) = *reg64(cpu, insn->src);
 *		return NEXT(cpu, insn);
 *	}
 *
 * NEXT() calls the next handler as a tail call in optimised builds. A handler that lets the address
 * of a local variable escape cannot be left by a tail call and says `return insn + 1;` instead,
 * which is always right. NULL leaves the block for the run loop, with cpu->rip at the next
 * instruction.
 *
 * A handler that cannot complete calls one of the raise functions of cpu_priv.h, which do not
 * return: so nothing of the guest may have been changed before the last thing that can fail.
 */
#pragma once

#include <Zydis/Zydis.h>
#include <stdint.h>

struct soft_cpu;
struct insn;

typedef const struct insn *insn_exec(struct soft_cpu *cpu, const struct insn *insn);

/* How the effective address becomes a linear one. */
enum insn_ea {
	EA_NONE,    /* no memory operand */
	EA_FLAT,    /* 64-bit mode, segment base 0 */
	EA_BASED,   /* 64-bit mode, FS or GS base added */
	EA_LONG32,  /* 64-bit mode, 32-bit address size; base of `seg` added if FS or GS */
	EA_32,      /* 16 and 32-bit code, 32-bit address size: segment base, limit and rights */
	EA_16,      /* the same with 16-bit address size */
	EA_RIP_FAR, /* as EA_FLAT, relative to the instruction's end: what did not fit into disp */
};

enum insn_flags {
	INSN_LOCK = 1u << 0,
	INSN_REP = 1u << 1,   /* F3 */
	INSN_REPNE = 1u << 2, /* F2 */
	INSN_LAST = 1u << 3,  /* ends its block */
};

/*
 * Registers are named by their byte offset in `struct soft_cpu` (REG_OFFSET() and its kin of
 * cpu_priv.h), so that AH is as good as R15, "no base" is a register that holds zero, and
 * RIP-relative is a base register.
 */
struct insn {
	insn_exec *exec;
	uint64_t imm; /* immediate, sign-extended to the operand size's use; branch displacement */
	const void *aux;  /* what the handler's own decoder put there: links of a block end, native
			     code */
	int32_t disp;     /* of the memory operand; RIP-relative: counted from the block's start */
	uint8_t dst, src; /* register operands */
	uint8_t base, index; /* registers of the memory operand */
	uint8_t scale;       /* shift count of the index, 0 to 3 */
	uint8_t ea;          /* enum insn_ea */
	uint8_t seg;         /* enum vcpu_segment_index of the memory operand */
	uint8_t length;      /* bytes, 1 to 15 */
	uint16_t offset;     /* bytes from the block's start */
	uint8_t flags;       /* enum insn_flags */
	uint8_t op;          /* free for the handler: condition, sub-operation, third register */
};

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(CELLA_DEBUG)
#define NEXT(cpu, insn) ((insn)[1].exec((cpu), (insn) + 1))
#else
#define NEXT(cpu, insn) ((insn) + 1)
#endif

/*
 * Decodes what runs natively on saved state: x87, MMX, SSE, AVX, AVX2, FMA, AES, SHA, PCLMULQDQ,
 * GFNI, BMI1, BMI2, LZCNT, TZCNT, POPCNT, ADX, CRC32, LDMXCSR, STMXCSR, FXSAVE, XSAVE and their kin
 * (but not XGETBV, XSETBV). Called for every instruction that the integer tables do not have.
 *
 * `out` comes with length, offset, flags and, if there is a memory operand, base, index (none for
 * VSIB), scale, disp, seg and ea filled in; exec and what else it needs is the callee's to fill. 0,
 * or -ENOENT: the guest gets #UD. The caller has seen to it that native_has_room().
 */
int native_decode(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
		  const ZydisDecodedOperand *operands, struct insn *out);
