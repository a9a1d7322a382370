/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator: blocks of 64-bit code, and of 32-bit code with flat segments, that are entered
 * often become host code.
 *
 * A block of the interpreter's cache stays what it is: the decoded instructions are the metadata of
 * the translated code and its fallback. The first instruction's `exec` counts entries, then
 * translates, and is then the way into the host code; everything that holds for a block (links,
 * page lists, dropping) holds for its code too.
 *
 * Whatever the translator does not know, and every memory access that misses the TLB, is done by
 * the interpreter's own handler, called from the host code with all guest state in `struct
 * soft_cpu`. So faults are raised where they always are, by longjmp out of the host code, and
 * nothing of exact state is known to the translator alone.
 *
 * One translator a vCPU; its thread only.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct block;
struct jit;
struct soft_cpu;

#define JIT_CODE_BYTES_MIN (UINT64_C(1) << 20)

/* `code_bytes`: size of the code cache. -ENOMEM, or what memfd_create() and mmap() say. */
int jit_new(struct jit **ret_jit, struct soft_cpu *cpu, uint64_t code_bytes);
void jit_free(struct jit *jit);

/*
 * Around each run, on its thread: host code finds the vCPU through the GS base, and signals have a
 * stack of their own. The end gives the thread the signal stack back that it came with.
 */
void jit_thread_begin(struct soft_cpu *cpu);
void jit_thread_end(struct soft_cpu *cpu);

/* A new block has been decoded: counts its entries from now on, if it is of a kind to translate. */
void jit_watch(struct soft_cpu *cpu, struct block *block);

/* A block is being dropped: nothing jumps to its code any more, and its code leads to the run loop.
 * It may be running. */
void jit_drop(struct soft_cpu *cpu, struct block *block);

/* All blocks have been dropped and none runs: the cache is empty. */
void jit_reset(struct jit *jit);

/* Whether a block can be translated without jit_reset(). */
bool jit_has_room(const struct jit *jit);

/* The code that a jump entry has for a block that is not translated. */
const void *jit_code_of(const struct soft_cpu *cpu, const struct block *block);

/* Figures for the statistics: a new object. Any thread. */
json_t *jit_stats(const struct soft_cpu *cpu);
