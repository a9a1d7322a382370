/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One software vCPU: architectural state in the form the handlers use, and raising of exceptions.
 *
 * Only the vCPU's own thread touches it, except for the fields marked as shared.
 */
#pragma once

#include <setjmp.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "cpu/soft/insn_priv.h"
#include "cpu/soft/native_priv.h"
#include "vm/engine.h"
#include "x86/exception.h"
#include "x86/paging.h"
#include "x86/registers.h"
#include "x86/segment.h"

struct soft_engine;
struct block_cache;
struct lapic;

/*
 * An entry of the software TLB, good for one linear page. A tag is the page's address with the
 * current tlb_key in its low 12 bits, or TLB_NONE. `host` plus the linear address is the host's
 * address.
 */
struct tlb_entry {
	uint64_t read, write, exec;
	uintptr_t host;
};

#define TLB_ENTRIES 1024
#define TLB_NONE    UINT64_MAX /* the key in it is never current */

/* Reasons for the run loop to look up: bits of soft_cpu.attention. */
enum attention {
	ATTENTION_KICK = 1u << 0,
	ATTENTION_INTERRUPT = 1u << 1, /* the local APIC, PIC or NMI state changed */
	ATTENTION_REQUEST = 1u << 2,   /* another thread wants a TLB or code flush */
	ATTENTION_TIMER = 1u << 3,
};

/* The part of CPU state that decides how code is decoded; part of a block's key. */
enum cpu_mode {
	MODE_CODE64 = 1u << 0,
	MODE_CODE32 = 1u << 1, /* neither: 16-bit */
	MODE_STACK32 = 1u << 2,
	MODE_SINGLE =
		1u << 3, /* blocks of one instruction: something must be looked at after each */
};

struct soft_cpu {
	struct vcpu vcpu; /* first: the engine contract */

	/* Named by byte offset in insns: must stay below 256. */
	uint64_t gpr[GPR_COUNT];
	uint64_t zero; /* always 0 */
	uint64_t rip; /* of the running block's start, or of the next instruction in the run loop */

	/*
	 * The arithmetic flags as LAHF and SETO give them: high byte SF ZF 0 AF 0 PF 1 CF, low byte
	 * OF (0 or 1). All other flags are in `flags`, at their RFLAGS place. See flags_priv.h.
	 */
	uint16_t status;
	uint8_t cpl;
	uint8_t mode; /* enum cpu_mode */
	uint32_t flags;

	uint64_t tlb_key;
	uint64_t jump_key;     /* see block_priv.h */
	atomic_uint attention; /* shared */
	bool shadow;           /* interrupts wait for one instruction (STI, MOV SS) */
	bool code_written;     /* a block of this vCPU was dropped while it ran */
	uint64_t instructions;

	struct vcpu_segment segments[SEG_COUNT];
	struct vcpu_segment tr, ldtr;
	struct vcpu_table_register gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, efer;
	uint64_t pdptr[4];
	uint64_t dr[4], dr6, dr7;
	uint64_t xcr0;

	struct soft_engine *engine;
	struct memory *memory;
	struct block_cache *blocks;
	struct native *native; /* made with the vCPU, native_new() */
	/* What an instruction of this unit raises; 0: it runs. native_units_update() keeps it. */
	uint8_t unit_fault[UNIT_COUNT];
	uint8_t upper_in_use[16]; /* by vector register; 0: what is above its 16 bytes is zero */
	struct lapic *lapic;
	jmp_buf unwind; /* back to the run loop, out of a handler */

	/* What a raise function leaves for the run loop. */
	struct {
		uint8_t vector;
		bool has_error;
		bool trap; /* rip is already behind the instruction */
		uint32_t error;
		uint64_t payload; /* CR2 or DR6 bits */
	} exception;

	/* Where an access that has no single host address is put together; see access_priv.h. */
	struct {
		uint64_t linear;
		unsigned size;
		bool locked;
		alignas(64) uint8_t bytes[64];
	} scratch;

	struct tlb_entry tlb[TLB_ENTRIES];

	/*
	 * The vector, x87 and other extended state: a standard-form XSAVE image. While XSTATE_BV
	 * lacks a component its bytes hold the initial values all the same, so registers can be
	 * read and written in place: x87 and XMM in the legacy region, the upper halves of YMM at
	 * byte 576.
	 */
	alignas(64) uint8_t xsave[VCPU_XSAVE_MAX];

	struct soft_system *system; /* MSRs and events that no handler needs fast; system_priv.h */
};

/* The byte offset that names a register. `n` is a GPR number 0 to 15. */
#define REG_OFFSET(n)      ((uint8_t)(offsetof(struct soft_cpu, gpr) + 8 * (n)))
#define REG_OFFSET_HIGH(n) ((uint8_t)(REG_OFFSET(n) + 1)) /* AH, CH, DH, BH: n is 0 to 3 */
#define REG_OFFSET_ZERO    ((uint8_t)offsetof(struct soft_cpu, zero))
#define REG_OFFSET_RIP     ((uint8_t)offsetof(struct soft_cpu, rip))

static_assert(offsetof(struct soft_cpu, rip) < 256, "registers are named by one byte");

static inline uint8_t *reg8(struct soft_cpu *cpu, uint8_t offset)
{
	return (uint8_t *)cpu + offset;
}

static inline uint16_t *reg16(struct soft_cpu *cpu, uint8_t offset)
{
	return (uint16_t *)((uint8_t *)cpu + offset);
}

/* For reading; a 32-bit write clears the upper half: write through reg64(). */
static inline uint32_t *reg32(struct soft_cpu *cpu, uint8_t offset)
{
	return (uint32_t *)((uint8_t *)cpu + offset);
}

static inline uint64_t *reg64(struct soft_cpu *cpu, uint8_t offset)
{
	return (uint64_t *)((uint8_t *)cpu + offset);
}

static inline bool cpu_long_mode(const struct soft_cpu *cpu)
{
	return cpu->efer & EFER_LMA;
}

static inline bool cpu_code64(const struct soft_cpu *cpu)
{
	return cpu->mode & MODE_CODE64;
}

static inline bool cpu_protected(const struct soft_cpu *cpu)
{
	return cpu->cr0 & CR0_PE;
}

static inline bool cpu_vm86(const struct soft_cpu *cpu)
{
	return cpu->flags & RFLAGS_VM;
}

/*
 * Raise a fault at `insn`: rip is set to it, nothing else of the guest changes, and the run loop
 * delivers. From a handler only. `raise_trap`: as a trap, after the instruction (INT1, single step
 * and the like).
 */
_Noreturn void raise_fault(struct soft_cpu *cpu, const struct insn *insn, unsigned vector);
_Noreturn void raise_error(struct soft_cpu *cpu, const struct insn *insn, unsigned vector,
			   uint32_t error);
_Noreturn void raise_page_fault(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
				uint32_t error);
_Noreturn void raise_trap(struct soft_cpu *cpu, const struct insn *insn, unsigned vector,
			  uint64_t payload);

static inline _Noreturn void raise_ud(struct soft_cpu *cpu, const struct insn *insn)
{
	raise_fault(cpu, insn, EXCEPTION_UD);
}

static inline _Noreturn void raise_gp(struct soft_cpu *cpu, const struct insn *insn)
{
	raise_error(cpu, insn, EXCEPTION_GP, 0);
}
