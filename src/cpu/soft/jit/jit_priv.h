/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator: blocks of 64-bit code, and of 32-bit code with flat segments, that are entered
 * often become host code.
 *
 * The first instruction's `exec` of a block in the interpreter's cache counts entries, then
 * translates, and is then the way into the host code. From then on that stands for itself: the
 * interpreter's cache is small and may forget the block.
 *
 * Whatever the translator does not know, and every memory access that misses the TLB, is done by
 * the interpreter's own handler, called from the host code with all guest state in `struct
 * soft_cpu`. So faults are raised where they always are, by longjmp out of the host code, and
 * nothing of exact state is known to the translator alone.
 *
 * The code is that of all vCPUs of the machine; each one translates on its own thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct block;
struct code_cache;
struct insn;
struct jit;
struct soft_cpu;
struct soft_engine;

#define JIT_CODE_BYTES_MIN (UINT64_C(1) << 20)

/* What the vCPUs share, by the engine's options. -ENOMEM, or what memfd_create() and mmap() say. */
int code_cache_new(struct code_cache **ret_cache, struct soft_engine *engine);
void code_cache_free(struct code_cache *cache);

/* How many a vCPU must have of soft_cpu.ways. */
uint32_t code_cache_ways(const struct code_cache *cache);

/* Bytes that it takes at most beside the code. */
uint64_t code_cache_memory(const struct code_cache *cache);

/* The code of blocks that touch the page leads to the run loop from now on. It may be running. Any thread. */
void code_cache_drop_page(struct code_cache *cache, const uint8_t *page);

/* Of a vCPU, with the engine's cache. -ENOMEM. */
int jit_new(struct jit **ret_jit, struct soft_cpu *cpu);
void jit_free(struct jit *jit);

/*
 * Around each run, on its thread: host code finds the vCPU through the GS base, and signals have a
 * stack of their own. The end gives the thread the signal stack back that it came with.
 */
void jit_thread_begin(struct soft_cpu *cpu);
void jit_thread_end(struct soft_cpu *cpu);

/* A new block has been decoded: counts its entries from now on, if it is of a kind to translate. */
void jit_watch(struct soft_cpu *cpu, struct block *block);

/* rip may be in front of hot code: called for by ATTENTION_SAMPLE. */
void trace_sample(struct soft_cpu *cpu);

/* In place of jump_target(), while attention is called for ATTENTION_TRACE: what the interpreter is to do at
 * rip; NULL: nothing, and that is over. Raises as block_find() does. */
const struct insn *trace_step(struct soft_cpu *cpu);

/* The code of the block there in the present mode; NULL: none. */
const void *jit_code_at(const struct soft_cpu *cpu, const uint8_t *host);

/* From now on nothing is translated, until all vCPUs have done jit_renew(), and the cache is empty. */
void jit_empty(struct soft_cpu *cpu);

/* If the cache is being emptied: the vCPU, which runs none of its code, forgets what it knows of it; true. Jump entries
 * and decoded blocks are the caller's. */
bool jit_renew(struct soft_cpu *cpu);

/* The vCPU runs none of its code for a while, and the other way round: then ATTENTION_CACHE calls for jit_renew(). */
void jit_park(struct jit *jit);
void jit_unpark(struct soft_cpu *cpu);

/* The interpreter's cache is empty; the thunks are gone. */
void jit_forget_decoded(struct soft_cpu *cpu);
void jit_forget_thunks(struct soft_cpu *cpu);

/* Whether a block can be translated; if not, whether that takes jit_empty(). */
bool jit_has_room(const struct jit *jit);
bool jit_is_full(const struct jit *jit);

/*
 * Memory for the interpreter's blocks that translations do not take at present, aligned to 8 bytes: what
 * is not translated is decoded, and there is more of the one or of the other. It is good until the next
 * call, which is due when translations are not within the limit any more.
 */
void *jit_spare(struct jit *jit, size_t *ret_bytes);
bool jit_within_limit(const struct jit *jit);

/* The code that a jump entry has for a block that is not translated. */
const void *jit_code_of(const struct soft_cpu *cpu, const struct block *block);

/* Figures for the statistics: a new object. Any thread. */
json_t *jit_stats(const struct soft_cpu *cpu);

/* Bytes that it takes at most, with the tables of the code cache. */
uint64_t jit_memory(const struct jit *jit);
