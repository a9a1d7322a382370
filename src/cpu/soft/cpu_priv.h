/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One software vCPU: architectural state in the form the handlers use, and raising of exceptions.
 *
 * Only the vCPU's own thread touches it, except for the fields marked as shared.
 */
#pragma once

#include <pthread.h>
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
struct debugger;
struct jit;
struct lapic;
struct tier_clock;
struct verify;

/*
 * An entry of the software TLB, good for one linear page. A tag is the page's address with the
 * current tlb_key in its low 12 bits, or TLB_NONE. `host` plus the linear address is the host's
 * address.
 */
struct tlb_entry {
	uint64_t read, write, exec;
	uintptr_t host;
};

/* The same for code alone, tagged with fetch_key. */
struct code_tlb_entry {
	uint64_t tag;
	uintptr_t host;
};

/*
 * An entry of the table of jump targets: where `rip` led while `key` was one of link_key[]. See
 * block_priv.h.
 */
struct jump_entry {
	uint64_t rip;
	uint64_t key;
	const struct insn *target; /* NULL: it is not known; soft_cpu.gate: it is translated */
	const void *code; /* its host code, entered with the byte offset of this entry in T1 */
};

#define JUMP_ENTRIES     65536
#define JIT_DELTAS       16
#define TLB_ENTRIES      4096
#define TLB2_SETS        1024 /* of what tlb_fill() finds again without a walk */
#define TLB2_WAYS        4
#define CODE_TLB_ENTRIES 2048
#define LARGE_PAGE_BITS  (1u << 19)
#define LINKED_PAGES     16384      /* three quarters are used at most */
#define TLB_NONE         UINT64_MAX /* the key in it is never current */

/* Reasons for the run loop to look up: bits of soft_cpu.attention. */
enum attention {
	ATTENTION_KICK = 1u << 0,
	ATTENTION_INTERRUPT = 1u << 1, /* the local APIC, PIC or NMI state changed */
	ATTENTION_REQUEST = 1u << 2,   /* another thread wants a TLB or code flush */
	ATTENTION_SINGLE = 1u << 3, /* MODE_SINGLE: never go from block to block without the loop */
	ATTENTION_VERIFY = 1u << 4, /* the same, while a block's runs are compared */
	ATTENTION_TRACE = 1u << 5,  /* the same, while the path of a trace is noted */
	ATTENTION_SAMPLE = 1u << 6, /* the timer thread wants to know which code is hot */
	ATTENTION_CACHE = 1u << 7,  /* the code cache is being emptied */
};

/* The part of CPU state that decides how code is decoded; part of a block's key. */
enum cpu_mode {
	MODE_CODE64 = 1u << 0,
	MODE_CODE32 = 1u << 1, /* neither: 16-bit */
	MODE_STACK32 = 1u << 2,
	MODE_SINGLE =
		1u << 3, /* blocks of one instruction: something must be looked at after each */
	/*
	 * 32-bit code and stack, with CS, DS, ES and SS from 0 to 4 GiB and of the usual types: no
	 * access through them can fail but for its page. And whether FS and GS are like that, with
	 * any base.
	 */
	MODE_FLAT = 1u << 4,
	MODE_FLAT_FS = 1u << 5,
	MODE_FLAT_GS = 1u << 6,
};

/* Modes that the translator knows. */
static inline bool mode_is_translated(uint8_t mode)
{
	return mode == MODE_CODE64 || (mode & (MODE_FLAT | MODE_SINGLE)) == MODE_FLAT;
}

/* What the vCPU's thread does, for the statistics: see tier_priv.h. */
enum tier {
	TIER_LOOP,        /* interrupts, exceptions, mode; and no block is running */
	TIER_INTERPRETER, /* handlers, one after the other */
	TIER_TRANSLATED,
	TIER_HANDLERS, /* what translated code calls: handlers, misses of the TLB */
	TIER_TRANSLATION,
	TIER_DECODING,
	TIER_DEVICES, /* anything, outside of the guest */
	TIER_COUNT
};

/* What comes out of soft_cpu.unwind. */
enum unwind {
	UNWIND_RAISED = 1,
	UNWIND_ERROR, /* the engine cannot go on, and has said why */
};

/* Memory accesses by their rights: the low bits of tlb_key. */
enum tlb_rights {
	RIGHTS_USER,
	RIGHTS_KERNEL, /* SMAP in force */
	RIGHTS_KERNEL_ALL,
	RIGHTS_SLOW, /* as the CPL says, but never cached: alignment checks or watchpoints are on */
};

#define TLB_KEY_ASID_SHIFT 2
#define TLB_KEY_ASID       UINT64_C(0xffc)
#define TLB_ASIDS          1023 /* the last one is that of TLB_NONE */
#define PCID_SLOTS         16

/* What others sent to this vCPU and it has not looked at. */
enum pending {
	PENDING_NMI = 1u << 0,
	PENDING_INIT = 1u << 1,
	PENDING_SIPI = 1u << 2,
	PENDING_INTERRUPT = 1u << 3, /* the local APIC or PIC may have an interrupt */
};

/* What waits between instructions. */
struct soft_events {
	enum vcpu_activity activity;
	bool fault; /* `exception` below is to be delivered */
	bool nmi_masked;
	int delivering;   /* the vector being delivered, or -1 */
	uint8_t injected; /* an interrupt taken elsewhere and not yet delivered, or VCPU_NO_VECTOR */
	uint32_t debug;   /* DR6 bits of traps that this instruction has caused */
	atomic_uint pending;     /* enum pending; shared */
	atomic_uint sipi_vector; /* goes with PENDING_SIPI; shared */
};

/* MSRs that are not in other fields. */
struct soft_msrs {
	uint64_t star, lstar, cstar, syscall_mask, kernel_gs_base, tsc_aux;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, xss, misc_enable, debugctl, spec_ctrl, tsc_adjust, hwcr;
	uint64_t mcg_status, mcg_ctl;
	uint64_t mtrr_def_type, mtrr_variable[16], mtrr_fixed[11];
	uint64_t kvm_wall_clock, kvm_system_time, kvm_poll_control, kvm_steal_time;
};

struct soft_stats {
	atomic_uint_fast64_t instructions, blocks, cache_flushes, tlb_misses, exceptions,
		interrupts, halts, io, mmio, code_writes, decoded_flushes;
	atomic_uint_fast64_t cache_flush_longest_ns; /* of processor time */
};

#define CODE_REQUESTS 256

/* Pages of which other threads say that their code changed, or that they now hold code. */
struct code_requests {
	pthread_mutex_t lock;
	const uint8_t *pages[CODE_REQUESTS]; /* host addresses; guarded by lock */
	unsigned count;
	uint64_t posted;   /* requests so far */
	bool all;          /* more than fit: drop everything */
	bool flush_writes; /* the dirty log wants to see every page written again */
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
	uint64_t fetch_key; /* the address space, and user or supervisor, for the code TLB */
	uint64_t code_base; /* linear address of offset 0 of the code: 0 in 64-bit code */
	/*
	 * While one of these has the same value, code addresses lead where they led before: the
	 * first for all pages, the second for global ones, which outlive loads of CR3.
	 */
	uint64_t link_key[2];
	uint64_t link_epoch;
	atomic_uint attention; /* shared */
	bool shadow;           /* interrupts wait for one instruction (STI, MOV SS) */
	bool shadow_debug;     /* and so do debug exceptions (MOV SS) */
	bool unstepped;        /* the instruction that ran is none that TF traps behind */
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
	struct jit *jit;       /* NULL: everything is interpreted */
	struct verify *verify; /* of `jit=verify`; else NULL */
	struct tier_clock *tiers;
	jmp_buf unwind; /* back to the run loop, out of a handler: enum unwind */

	/* Enters translated code, at the place that was found last; see block_priv.h. */
	struct insn gate;
	const void *gate_code;

	/* What translated code finds through GS; see jit/common.c. */
	struct soft_cpu *self;
	uint64_t code_page; /* linear address of the page of the running block */
	uint64_t host_stack;
	uint64_t deltas[JIT_DELTAS]; /* results of checks: the host's address less the guest's */
	uint64_t call_return;        /* where translated code goes on; and why it left: */
	uint64_t call;               /* the struct call, and */
	uint64_t call_value;         /* what goes with it */
	bool call_leaves;            /* nothing comes back */
	uint8_t call_units;          /* what must be in vector_live again */
	uint64_t carried;            /* for a moment: what was read and is going to be written */
	uint64_t call_entry;         /* for a moment: a pointer that must outlive a register */
	uint32_t vector_mask;        /* components of XCR0 that the vector registers are */
	uint32_t live_mask;          /* components of XCR0 that are in the host */
	uint32_t host_mxcsr;         /* of C code */
	uint32_t mxcsr;              /* for a moment: what the guest loads, once it is checked */
	/*
	 * Which the guest has switched on: bits 1 << enum native_unit. UNIT_X87 stands for all that
	 * works on its registers: it, UNIT_WAIT and UNIT_MMX.
	 */
	uint8_t vector_units;
	uint8_t tier;        /* enum tier; read by others */
	uint8_t vector_live; /* the same while the registers are in the host, else 0 */
	/* Of the last x87 instruction, while the x87 registers are in the host. */
	uint64_t x87_fip, x87_fdp;
	uint16_t x87_fop;
	uint64_t translated_runs, vector_loads; /* counted for the statistics */

	/* What a raise function leaves for the run loop. */
	struct {
		uint8_t vector;
		bool has_error;
		bool trap; /* rip is already behind the instruction */
		bool soft; /* INT3, INTO: checked against the gate's DPL */
		uint32_t error;
		uint64_t payload; /* CR2 or DR6 bits */
	} exception;

	struct debugger *debugger; /* outside of the guest; NULL: wants nothing */

	struct soft_events events;
	struct soft_msrs msr;
	int64_t tsc_offset; /* guest TSC less scaled host TSC */
	struct {
		uint64_t pcid;
		uint64_t asid; /* 0: slot is free */
	} pcids[PCID_SLOTS];
	uint64_t next_asid;
	unsigned next_pcid_slot;

	/* Sleeping in HLT; the condition goes with the lock. */
	pthread_mutex_t sleep_lock;
	pthread_cond_t wake;
	atomic_bool asleep; /* shared */

	/* Code and TLB shoot-down between vCPUs; shared, see code.c. */
	atomic_bool in_guest;
	atomic_bool writes_code; /* began to write to a page with code since it answered */
	atomic_uint_fast64_t acknowledged;
	struct code_requests requests;

	struct soft_stats stats;
	uint32_t pauses;

	/* Where an access that has no single host address is put together; see access_priv.h. */
	struct {
		uint64_t linear;
		unsigned size;
		bool locked;
		alignas(64) uint8_t bytes[64];
	} scratch;

	struct tlb_entry tlb[TLB_ENTRIES];
	struct code_tlb_entry code_tlb[CODE_TLB_ENTRIES];
	struct tlb_entry tlb2[TLB2_SETS * TLB2_WAYS]; /* set after set */
	bool tlb2_global[TLB2_SETS * TLB2_WAYS];
	uint8_t tlb2_next;
	bool tlb_global[TLB_ENTRIES], code_tlb_global[CODE_TLB_ENTRIES];
	struct jump_entry jumps[JUMP_ENTRIES];
	/* Filter: which large pages are in the TLB in pieces. Two bits each. */
	uint64_t large_pages[LARGE_PAGE_BITS / 64];
	/* The pages that links and jump entries depend on: a hash table of their numbers, plus 1. */
	uint64_t linked_pages[LINKED_PAGES];
	unsigned linked_count;

	/*
	 * The vector, x87 and other extended state: a standard-form XSAVE image. While XSTATE_BV
	 * lacks a component its bytes hold the initial values all the same, so registers can be
	 * read and written in place: x87 and XMM in the legacy region, the upper halves of YMM at
	 * byte 576.
	 */
	alignas(64) uint8_t xsave[VCPU_XSAVE_MAX];

	/*
	 * Of ways out of translated code to other pages, and of blocks in two pages: the link key plus code_page
	 * with which they lead on where their code does. As many as code_cache_ways() says; the first one is none.
	 */
	uint64_t ways[];
};

static inline const struct code_tlb_entry *code_tlb_slot(const struct soft_cpu *cpu,
							 uint64_t linear)
{
	return &cpu->code_tlb[linear >> PAGE_SHIFT & (CODE_TLB_ENTRIES - 1)];
}

/* The byte offset that names a register. `n` is a GPR number 0 to 15. */
#define REG_OFFSET(n)      ((uint8_t)(offsetof(struct soft_cpu, gpr) + 8 * (n)))
#define REG_OFFSET_HIGH(n) ((uint8_t)(REG_OFFSET(n) + 1)) /* AH, CH, DH, BH: n is 0 to 3 */
#define REG_OFFSET_ZERO    ((uint8_t)offsetof(struct soft_cpu, zero))
#define REG_OFFSET_RIP     ((uint8_t)offsetof(struct soft_cpu, rip))

static_assert(offsetof(struct soft_cpu, rip) < 256, "registers are named by one byte");

/* Guest operands lie at any address. One host access each, so that they are as atomic as theirs. */
typedef uint8_t guest8;
typedef uint16_t guest16 __attribute__((aligned(1)));
typedef uint32_t guest32 __attribute__((aligned(1)));
typedef uint64_t guest64 __attribute__((aligned(1)));

static inline uint8_t *reg8(struct soft_cpu *cpu, uint8_t offset)
{
	return (uint8_t *)cpu + offset;
}

static inline guest16 *reg16(struct soft_cpu *cpu, uint8_t offset)
{
	return (guest16 *)((uint8_t *)cpu + offset);
}

/* For reading; a 32-bit write clears the upper half: write through reg64(). */
static inline guest32 *reg32(struct soft_cpu *cpu, uint8_t offset)
{
	return (guest32 *)((uint8_t *)cpu + offset);
}

static inline guest64 *reg64(struct soft_cpu *cpu, uint8_t offset)
{
	return (guest64 *)((uint8_t *)cpu + offset);
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
 * delivers. From a handler, or with `insn` NULL from between
 * instructions.
 */
_Noreturn void raise_fault(struct soft_cpu *cpu, const struct insn *insn, unsigned vector);
_Noreturn void raise_error(struct soft_cpu *cpu, const struct insn *insn, unsigned vector,
			   uint32_t error);
_Noreturn void raise_page_fault(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
				uint32_t error);

static inline _Noreturn void raise_ud(struct soft_cpu *cpu, const struct insn *insn)
{
	raise_fault(cpu, insn, EXCEPTION_UD);
}

static inline _Noreturn void raise_gp(struct soft_cpu *cpu, const struct insn *insn)
{
	raise_error(cpu, insn, EXCEPTION_GP, 0);
}
