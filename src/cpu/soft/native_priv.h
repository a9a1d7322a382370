/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest instructions that this processor executes itself: x87, MMX, SSE to AVX-512, and the integer
 * extensions.
 *
 * Every distinct form of such an instruction (opcode, registers, immediate, but not the memory
 * address) becomes once a thunk, a small host function: it loads the guest registers that the
 * instruction reads from `struct soft_cpu`, executes the instruction itself, and stores what it
 * wrote. All vector and mask registers belong to the caller in the host's ABI and keep their
 * numbers; general registers that the ABI preserves, and RSP, are replaced by others. A memory
 * operand becomes `(M)`, where M holds a host address that the caller has checked.
 *
 * Spec: Intel SDM volume 2; System V ABI for x86-64, section 3.2.
 */
#pragma once

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

#include "x86/features.h"

struct native;
struct soft_cpu;

/* What an instruction needs to be switched on, and so what it raises when it is not. */
enum native_unit {
	UNIT_INTEGER, /* nothing */
	UNIT_X87,
	UNIT_WAIT, /* FWAIT */
	UNIT_MMX,
	UNIT_SSE,
	UNIT_AVX,
	UNIT_AVX512,
	UNIT_COUNT
};

/*
 * A thunk: 0, or the vector of the exception that the instruction raised here; then nothing of the
 * guest has changed but what the instruction changes all the same: the status flags in MXCSR.
 */
typedef unsigned native_thunk(struct soft_cpu *cpu, void *memory);

/*
 * What the host has, and where the parts of its extended state are in an XSAVE image of the
 * standard form: bytes from the start, 0 for a part that it lacks. The guest's image has the same
 * form.
 */
struct native_host {
	bool avx;
	bool amd; /* by AMD or Hygon, which differ from Intel's where manuals leave it open */
	uint32_t opmask, zmm_high, zmm_16; /* AVX-512: all three or none */
	uint32_t pkru;
	uint64_t mask; /* components of XCR0 that vector registers are; 0: there is no XSAVE */
	/* By ZydisISASet, the enum native_unit; UNIT_COUNT: not executable. */
	uint8_t units[ZYDIS_ISA_SET_MAX_VALUE + 1];
	struct cpu_feature_set features; /* what this part of the engine can offer a guest here */
};

#define XSAVE_FOP      6u
#define XSAVE_FIP      8u
#define XSAVE_FDP      16u
#define XSAVE_MXCSR    24u
#define XSAVE_XMM      160u
#define XSAVE_HEADER   512u
#define XSAVE_YMM_HIGH 576u

/* Asks CPUID, which is dear where the host is itself virtual. */
void native_host_detect(struct native_host *ret_host);

/*
 * The thunks of one vCPU; its thread only. -ENOMEM, or what memfd_create() and mmap() say.
 */
int native_new(struct native **ret_native);
void native_free(struct native *native);

/* Bytes that they take at most. */
uint64_t native_memory(void);

/* Whether native_thunk_get() will find room for so many new thunks; else native_flush() is due. */
bool native_has_room(const struct native *native, unsigned thunks);

/* Drops all thunks. No decoded instruction may refer to one any more. */
void native_flush(struct native *native);

/* The host's description is the first thing in `struct native`. */
static inline const struct native_host *native_host(const struct native *native)
{
	return (const struct native_host *)native;
}

/*
 * The thunk of a decoded instruction. `ret_thunk` is good until native_flush(). -ENOSPC: no
 * room. -ENOENT: no instruction for a thunk.
 */
int native_thunk_get(struct native *native, const ZydisDecodedInstruction *z,
		     const ZydisDecodedOperand *operands, native_thunk **ret_thunk);

/*
 * After any change of CR0, CR4, XCR0, RFLAGS.VM, and after the whole state was set: which units the
 * guest has switched on.
 */
void native_units_update(struct soft_cpu *cpu);

/*
 * Before the XSAVE image is given away: completes its header. After one was put in: gives
 * components that it lacks their initial values; -EINVAL: MXCSR or the header is not valid.
 */
void native_state_save(struct soft_cpu *cpu);
int native_state_load(struct soft_cpu *cpu);

/*
 * Installs the process's handler for SIGFPE, SIGILL, SIGSEGV and SIGBUS that turns a fault inside a
 * thunk into the thunk's result. Any other such fault ends the process as ever. Again is harmless.
 */
int native_traps_install(void);
