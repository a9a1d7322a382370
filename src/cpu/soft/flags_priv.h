/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flags register, kept in two parts.
 *
 * Handlers let the host's own instruction compute the arithmetic flags (so that also those the
 * manuals leave undefined are the processor's) and fetch them with FLAGS_OUT, two cheap
 * instructions, into soft_cpu.status. The flags are clobbered for the compiler by every asm
 * statement anyway.
 */
#pragma once

#include "cpu/soft/cpu_priv.h"

/* Ends an asm statement: leaves the arithmetic flags in AX, an output operand `"=a"(uint16_t)`. */
#define FLAGS_OUT "lahf\n\tseto %%al"

/* Begins an asm statement: sets the arithmetic flags from AX; AX is destroyed. */
#define FLAGS_IN "addb $127, %%al\n\tsahf"

#define STATUS_OF UINT16_C(0x0001)
#define STATUS_CF UINT16_C(0x0100)
#define STATUS_PF UINT16_C(0x0400)
#define STATUS_AF UINT16_C(0x1000)
#define STATUS_ZF UINT16_C(0x4000)
#define STATUS_SF UINT16_C(0x8000)

static inline uint16_t status_of_rflags(uint64_t rflags)
{
	return (uint16_t)(((rflags & 0xd5) | 2) << 8 | (rflags >> 11 & 1));
}

static inline uint64_t rflags_of_status(uint16_t status)
{
	return status >> 8 | (uint64_t)(status & 1) << 11;
}

/* The whole RFLAGS of the guest. */
static inline uint64_t rflags_get(const struct soft_cpu *cpu)
{
	return cpu->flags | rflags_of_status(cpu->status);
}

/* Sets the arithmetic flags from bits at their RFLAGS place; the rest of `rflags` is ignored. */
static inline void status_set(struct soft_cpu *cpu, uint64_t rflags)
{
	cpu->status = status_of_rflags(rflags);
}
