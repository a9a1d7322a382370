/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `jit=verify`: each run of a translated block is compared with the interpreter's.
 *
 * The interpreter runs the block first, with every memory access taking the slow path, where the
 * bytes to be written are kept. What it did is undone, the translated code runs the same, and
 * registers, live flags, vector state and the bytes written must be equal; those of the translated
 * code stay. A block is compared up to the first instruction that must not run twice (ports,
 * devices, system registers, time, interrupt flag, repeated strings, …): that one and what follows
 * is done once, by the interpreter. So is a block that faults, meets a device, or writes to pages
 * with code.
 *
 * Devices write memory meanwhile, so what differs is tried again before it is believed. A
 * difference ends the machine: the log says which block, where, and what.
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

/*
 * Puts what verify_block() needs behind the code of a block whose entry is at `entry` in it, and
 * makes the block's first instruction lead there.
 */
void verify_install(struct translator *t, unsigned entry);

/* Figures for the statistics. */
void verify_stats(const struct verify *verify, json_t *all);
