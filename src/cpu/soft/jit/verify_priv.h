/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `jit=verify`: each run of translated code is compared with the interpreter's.
 *
 * The interpreter goes first, from block to block as far as those are translated, each next one
 * looked up by where rip leads. Every memory access takes the slow path: writes are noted, and go to
 * a copy of the page, because devices would see what is undone afterwards. Then the translated code
 * runs as many blocks by its own ways from one to the next (joined jumps, link keys, jump entries,
 * the run loop), and must come to the same ones; registers, live flags, vector state and the bytes
 * written must be equal.
 *
 * A run ends at the first instruction that must not be done twice (ports, devices, system registers,
 * time, interrupt flag, repeated strings, …): that one and what follows in its block is done once, by
 * the interpreter. It also ends in front of a block that faults, meets a device, writes to pages
 * with code, or goes by page tables that the run has written; if that is the first, the interpreter does it alone.
 *
 * Devices write memory meanwhile, so what differs is undone and tried again before it is believed. A
 * difference ends the machine: the log says which blocks, where, and what.
 *
 * One vCPU only. Nothing of this costs anything in other modes.
 */
#pragma once

#include "cpu/soft/jit/translate_priv.h"

struct verify;

int verify_new(struct verify **ret_verify);
void verify_free(struct verify *verify);

/* How many of a block's instructions, from the first, may be run twice. */
unsigned verify_count(const struct translator *t);

/* Puts what a comparison needs behind the code of a block; and lets the block, or the first one of a trace, lead to
 * its code. */
void verify_append(struct translator *t);
void verify_lead(const struct translator *t, struct block *block);

/* At the start of a block, which begins with `u`, behind the look for attention. `leave`: the stub that leaves
 * for the run loop. Destroys flags and both scratch registers. */
void verify_emit_start(struct translator *t, const struct unit *u, struct stub *leave);

/* Whether runs of the block that begins with an instruction of the page are compared, so that a trace may
 * go on with it. */
bool verify_knows(struct soft_cpu *cpu, const uint8_t *page, const struct insn *insn);

/* Whether translated code is running to be compared: what is not translated must not run. */
bool verify_runs(const struct soft_cpu *cpu);

/* The instruction at which the run ends, if it is the one there; then rip is what it is for the
 * interpreter. */
const struct insn *verify_stop(struct soft_cpu *cpu, const uint8_t *host);

/* Figures for the statistics. */
void verify_stats(const struct verify *verify, json_t *all);
