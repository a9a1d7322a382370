/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeping decoded code in step with memory, on all vCPUs.
 *
 * Every vCPU has a cache of decoded blocks of its own, and what is translated is everybody's. The engine has, for each page of RAM, a mask of the
 * 64-byte lines that somebody decoded. A page with a mask is never in a TLB for writing, so each
 * guest write to it comes to code_write_begin(), which drops the page's blocks on all vCPUs if the
 * lines meet; devices come by memory_dirty().
 *
 * When a page gets its first mask bit, other vCPUs may still have it in their TLBs for writing:
 * code_claim() asks them to let go and waits until each one did or is not running guest code. A
 * vCPU that waits answers requests meanwhile.
 */
#pragma once

#include "cpu/soft/engine_priv.h"

/* Before bytes of a page are decoded: `lines` of the page at host address `page` hold code from now
 * on. */
void code_claim(struct soft_cpu *cpu, const uint8_t *page, uint64_t lines);

/* The mask of lines of the page at `host`, or NULL: not RAM. */
static inline _Atomic uint64_t *code_lines(struct soft_engine *engine, const uint8_t *host)
{
	for (unsigned i = 0; i < MEMORY_REGIONS; i++) {
		const struct memory_region *r = &engine->memory->regions[i];
		uint64_t offset = (uint64_t)(host - r->host);

		if (r->size && host >= r->host && offset < r->size)
			return &engine->code_lines[i][offset >> PAGE_SHIFT];
	}
	return NULL;
}

/* Whether the page has code, so that it must not be cached for writing. */
static inline bool code_in_page(struct soft_cpu *cpu, const uint8_t *page)
{
	_Atomic uint64_t *mask = code_lines(cpu->engine, page);

	return mask && (atomic_load_explicit(mask, memory_order_acquire) ||
			atomic_load_explicit(&cpu->engine->changing, memory_order_relaxed));
}

/* Before a guest write of `size` bytes at `host` (not across pages): drops code in those lines. */
void code_write_begin(struct soft_cpu *cpu, const uint8_t *host, unsigned size);

/* A device or loader wrote; any thread. */
void code_written_by_device(void *engine, struct gpa gpa, uint64_t count);

/* Asks all vCPUs to drop their write permissions, and waits (for the dirty log). Not a vCPU's
 * thread. */
void code_flush_writes(struct soft_engine *engine);

/* Answers requests of others. The vCPU's own thread. */
void code_serve_requests(struct soft_cpu *cpu);

/* Waits until each other vCPU has come out of translated code, or runs none: it knows then what the engine says. */
void code_visit_others(struct soft_cpu *cpu);

/*
 * Between begin and end no other vCPU runs guest code: for locked accesses that have no single host
 * address. No decoding in between.
 */
void code_alone_begin(struct soft_cpu *cpu);
void code_alone_end(struct soft_cpu *cpu);

/* Brackets around guest execution; between leave and enter others need not wait for this vCPU. */
void code_enter_guest(struct soft_cpu *cpu);
void code_leave_guest(struct soft_cpu *cpu);
