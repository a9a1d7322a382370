/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two runs that `jit=verify` compares, for verify.c, which makes them, and verify_differ.c. */
#pragma once

#include <setjmp.h>

#include "cpu/soft/jit/verify_priv.h"

#define CHAIN_MAX   32u
#define COPIES_MAX  32u
#define WRITES_MAX  256u
#define WRITE_BYTES 64u

/* A page to which the interpreter's run writes: that happens here. */
struct copy {
	uint8_t *host;
	alignas(64) uint8_t bytes[PAGE_SIZE];
};

/* Bytes that it has written, or was about to write; in one page. */
struct write {
	uint8_t *host;
	const uint8_t *wanted; /* in a copy */
	uint64_t linear;
	unsigned size;
	uint8_t before[WRITE_BYTES];
};

/* What instructions that may run twice can change, memory aside. */
struct snapshot {
	uint64_t gpr[GPR_COUNT];
	uint64_t rip, instructions;
	const struct insn *next; /* what the run returned */
	uint32_t flags;
	uint16_t status;
	bool faulted;
	uint8_t upper_in_use[16];
	uint8_t xsave[VCPU_XSAVE_MAX];
};

/* A block that the interpreter's run came to. */
struct step {
	struct block *block;
	uint64_t rip;
};

/* What translated code keeps itself, see verify_emit_start(). The last block is the first here. */
struct visits {
	int32_t left;                          /* blocks that it may begin */
	const struct block *begun[CHAIN_MAX];  /* that it began, or was about to */
	const struct block *wanted[CHAIN_MAX]; /* that it may begin */
};

struct verify {
	struct snapshot before, wanted, got;
	struct step steps[CHAIN_MAX];
	unsigned length; /* of steps */
	struct visits visits;
	uint16_t dead; /* flags whose value does not matter any more, and that may differ */
	struct write writes[WRITES_MAX];
	unsigned count; /* of writes */
	struct copy copies[COPIES_MAX];
	unsigned copy_count;
	struct insn
		*stop; /* where the run ends within a block, and has jit_stop() for its handler: */
	insn_exec *stop_handler;
	jmp_buf outer;
	uint64_t tlb_key;
	unsigned attention; /* called for while translated code runs */
	bool done;          /* the interpreter's run came to its end */
	bool interpreting;  /* memory stays as it is */
	bool translated;    /* translated code runs */
	uint64_t compared, joined, interpreted, retried;
};

/* verify_differ.c: whether the translated code's run differs from the interpreter's; says in what. */
bool runs_differ(const struct soft_cpu *cpu);
void difference_log(const struct soft_cpu *cpu);
