/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs one instruction on this processor itself, in user mode, with all registers given, and tells
 * what it did: the reference for the interpreter.
 *
 * Code, data and the register block are at fixed low addresses, so that the guest can have the
 * same.
 */
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm/vcpu_state.h"

#define SANDBOX_CODE       0x10000000u /* one page */
#define SANDBOX_DATA       0x10010000u
#define SANDBOX_DATA_PAGES 5u /* absent, two to write, one to read, absent */
#define SANDBOX_WRITABLE   (SANDBOX_DATA + 0x1000u)
#define SANDBOX_READABLE   (SANDBOX_DATA + 0x3000u)
#define SANDBOX_DATA_BYTES 0x3000u /* of the three pages that are there */
#define SANDBOX_XSAVE      4096u
#define SANDBOX_NO_FAULT   0xffu

/* What goes in and what comes out. */
struct sandbox_state {
	uint64_t gpr[GPR_COUNT];
	uint64_t rflags;
	uint64_t rip;
	bool code32; /* 32-bit code; else 64-bit. Then upper halves of registers mean nothing */
	alignas(64) uint8_t xsave[SANDBOX_XSAVE]; /* standard form */
	uint8_t data[SANDBOX_DATA_BYTES];
	uint8_t vector; /* of the exception, or SANDBOX_NO_FAULT */
	uint32_t error;
	uint64_t cr2;
};

struct sandbox;

/* Negative errno. One at a time in a process: the addresses are fixed. */
int native_sandbox_new(struct sandbox **ret_sandbox);
void native_sandbox_free(struct sandbox *sandbox);

/*
 * Runs the instruction of `length` bytes, that must not leave the sandbox, at SANDBOX_CODE. `state`
 * holds the registers and data before and after.
 */
void native_sandbox_run(struct sandbox *sandbox, const uint8_t *code, unsigned length,
			struct sandbox_state *state);

/* Whether something of the process, and not of the sandbox, is at this address. */
bool native_sandbox_is_mapped(uint64_t address);
