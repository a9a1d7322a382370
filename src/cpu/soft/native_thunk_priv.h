/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a decoded instruction becomes a thunk: what native_store.c asks of native_thunk.c. */
#pragma once

#include "cpu/soft/native_emit_priv.h"
#include "cpu/soft/native_priv.h"

/* A register that an instruction uses. */
enum use_kind { USE_GPR, USE_VECTOR, USE_MASK };

struct use {
	uint8_t kind; /* enum use_kind */
	uint8_t number;
	uint8_t host;  /* the host's register: for USE_GPR perhaps another */
	uint8_t field; /* ZydisOperandEncoding: where the instruction names it */
	uint8_t width; /* bytes that are loaded */
	bool high;     /* AH, CH, DH, BH */
	bool read, write;
};

#define USES_MAX 12

/* An instruction that can become a thunk, with the guest's register numbers. */
struct native_form {
	struct operation operation;
	struct use uses[USES_MAX];
	unsigned use_count;
	bool fx;    /* works on x87 or MMX registers */
	bool mxcsr; /* depends on MXCSR or sets its flags */
	bool flags_in, flags_out;
};

/* Enough for any thunk. */
#define THUNK_BYTES_MAX 768

/* In front of the guest's instruction in a thunk: an 8-byte NOP that says where to go on. */
#define THUNK_MARK_BYTES 8u
#define THUNK_MARK       0x0000ce11u /* the low half of the displacement; high: bytes to the recovery */

/* The same in translated code, but EAX is the guest's: all of the displacement is bytes, and the
 * first four are an encoding that nobody else has. */
#define JIT_MARK 0x6d841f0fu

/*
 * Takes an instruction's encoding apart. Of a memory operand only the place in ModRM is filled in.
 * -ENOENT: an encoding that nothing here deals with.
 */
int operation_init(struct operation *operation, const ZydisDecodedInstruction *z,
		   const ZydisDecodedOperand *operands);

/* -ENOENT: not an instruction for a thunk. */
int native_form_init(struct native_form *form, const ZydisDecodedInstruction *z,
		     const ZydisDecodedOperand *operands);

/*
 * Writes the thunk into `code`. `address` is where the code will run, `host_mxcsr` where the MXCSR
 * of the host's C code is found, within 2 GiB of it.
 */
void native_form_emit(struct native_form *form, const struct native_host *host, struct code *code,
		      uint64_t address, uint64_t host_mxcsr);
