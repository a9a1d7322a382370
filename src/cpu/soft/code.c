/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeping decoded code in step with memory.
 *
 * The order that makes it safe. Decoding: set the line's bit, have every other vCPU drop its write
 * permission to the page (if it is the page's first bit), read the bytes. Writing by a vCPU: it has
 * no write permission in its TLB, so it comes to code_write_begin(); bits of its lines set: clear
 * the page's mask, tell the others to drop the page's blocks, drop what is translated of it, which is
 * everybody's, write. Another writer, who finds no bits, waits until that is done. A decoder that
 * comes in between sets the first bit again, and waits for the writer to finish its block. If other
 * lines of the page have bits, the writer says that it writes, and then looks for those of its own; the
 * decoder sets its bits, and then waits for those who have said so. Writing by a device: write, fence,
 * look at the mask; the decoder's fence is between its bit and its reading, so one of the two sees the
 * other.
 *
 * Dropping decoded blocks of other vCPUs is done by them, at the end of their block at the latest, or behind an
 * instruction that serialises, which is when the architecture promises that they see new code.
 *
 * Spec: Intel SDM volume 3, section 8.1.3 "Handling Self- and Cross-Modifying Code".
 */
#include "cpu/soft/code_priv.h"

#include <sched.h>

#include "cpu/soft/block_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/jit_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/native_exec_priv.h"
#include "host/thread.h"

#define LINE_SHIFT 6

static uint64_t line_mask(const uint8_t *host, unsigned size)
{
	unsigned first = ((uintptr_t)host & PAGE_MASK) >> LINE_SHIFT;
	unsigned last = (((uintptr_t)host + size - 1) & PAGE_MASK) >> LINE_SHIFT;

	return bits_mask(last - first + 1) << first;
}

static const uint8_t *page_of(const uint8_t *host)
{
	return (const uint8_t *)((uintptr_t)host & ~PAGE_MASK);
}

enum request_kind {
	REQUEST_PAGE,   /* drop its blocks, and the right to write it */
	REQUEST_WRITES, /* drop the right to write anything */
	REQUEST_ANSWER, /* nothing but to have looked */
};

/* Leaves a request with one vCPU. */
static void request(struct soft_cpu *cpu, enum request_kind kind, const uint8_t *page)
{
	struct code_requests *r = &cpu->requests;

	pthread_mutex_lock(&r->lock);
	if (kind == REQUEST_WRITES)
		r->flush_writes = true;
	else if (kind == REQUEST_PAGE && r->count < CODE_REQUESTS)
		r->pages[r->count++] = page;
	else if (kind == REQUEST_PAGE)
		r->all = true;
	r->posted++;
	pthread_mutex_unlock(&r->lock);
	atomic_fetch_or(&cpu->attention, ATTENTION_REQUEST);
}

static void request_others(struct soft_engine *engine, const struct soft_cpu *self,
			   enum request_kind kind, const uint8_t *page)
{
	for (unsigned i = 0; i < engine->vcpus; i++) {
		struct soft_cpu *cpu = engine_cpu(engine, i);

		if (cpu && cpu != self)
			request(cpu, kind, page);
	}
}

static uint64_t last_posted(struct soft_cpu *cpu)
{
	LOCK_SCOPE(&cpu->requests.lock);
	return cpu->requests.posted;
}

/* Until each other vCPU has answered what was posted so far, or does not run guest code. */
static void wait_for_others(struct soft_engine *engine, struct soft_cpu *self)
{
	for (unsigned i = 0; i < engine->vcpus; i++) {
		struct soft_cpu *cpu = engine_cpu(engine, i);
		unsigned spins = 0;
		uint64_t posted;

		if (!cpu || cpu == self)
			continue;
		posted = last_posted(cpu);
		while (atomic_load(&cpu->in_guest) && atomic_load(&cpu->acknowledged) < posted) {
			if (self)
				code_serve_requests(self);
			if (++spins % 64)
				__builtin_ia32_pause();
			else
				sched_yield();
		}
	}
}

static void answer(struct soft_cpu *cpu)
{
	struct code_requests *r = &cpu->requests;

	if (!(atomic_load(&cpu->attention) & ATTENTION_REQUEST))
		return;
	atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_REQUEST);
	/* It is between two instructions, or in a device. */
	atomic_store(&cpu->writes_code, false);
	pthread_mutex_lock(&r->lock);
	if (r->all)
		block_drop_all(cpu);
	if (r->all || r->flush_writes)
		mmu_flush_writes(cpu, NULL);
	for (unsigned i = 0; i < r->count; i++) {
		block_drop_page(cpu, r->pages[i]);
		mmu_flush_writes(cpu, r->pages[i]);
	}
	r->count = 0;
	r->all = r->flush_writes = false;
	native_update_mask(cpu);
	atomic_store(&cpu->acknowledged, r->posted);
	pthread_mutex_unlock(&r->lock);
}

void code_serve_requests(struct soft_cpu *cpu)
{
	struct soft_cpu *alone;

	if (!(atomic_load(&cpu->attention) & ATTENTION_REQUEST))
		return;
	/* One that begins to run alone may ask after we have answered somebody else. */
	for (;;) {
		answer(cpu);
		alone = atomic_load(&cpu->engine->alone);
		if (!alone || alone == cpu)
			return;
		sched_yield();
	}
}

/* Takes the lock; whoever holds it may wait for us. */
static void lock_code(struct soft_cpu *cpu)
{
	while (pthread_mutex_trylock(&cpu->engine->code_lock)) {
		code_serve_requests(cpu);
		sched_yield();
	}
}

/* Those that may be about to write what they have found to be no code. */
static bool request_writers(struct soft_engine *engine, const struct soft_cpu *self)
{
	bool any = false;

	for (unsigned i = 0; i < engine->vcpus; i++) {
		struct soft_cpu *cpu = engine_cpu(engine, i);

		if (cpu && cpu != self && atomic_load(&cpu->writes_code)) {
			request(cpu, REQUEST_ANSWER, NULL);
			any = true;
		}
	}
	return any;
}

void code_claim(struct soft_cpu *cpu, const uint8_t *page, uint64_t lines)
{
	struct soft_engine *engine = cpu->engine;
	_Atomic uint64_t *mask = code_lines(engine, page);
	uint64_t before;

	if (!mask)
		return;
	lock_code(cpu);
	before = atomic_fetch_or(mask, lines);
	if (!before) {
		mmu_flush_writes(cpu, page);
		request_others(engine, cpu, REQUEST_PAGE, page);
		wait_for_others(engine, cpu);
	} else if (lines & ~before && request_writers(engine, cpu)) {
		wait_for_others(engine, cpu);
	}
	pthread_mutex_unlock(&engine->code_lock);
	atomic_thread_fence(memory_order_seq_cst);
}

/* The lines of a page hold no code any more. What was made of them is dropped, by `self` itself as well. */
static void change_page(struct soft_engine *engine, struct soft_cpu *self, _Atomic uint64_t *mask,
			const uint8_t *page)
{
	atomic_fetch_add(&engine->changing, 1);
	atomic_store(mask, 0);
	request_others(engine, self, REQUEST_PAGE, page);
	if (engine->code)
		code_cache_drop_page(engine->code, page);
	atomic_fetch_sub(&engine->changing, 1);
	if (self)
		block_drop_page(self, page);
}

/* Whether lines hold code. If not, nothing that was made of them is left. */
static bool hold_code(struct soft_engine *engine, const _Atomic uint64_t *mask, uint64_t lines)
{
	if (atomic_load(mask) & lines)
		return true;
	while (atomic_load(&engine->changing))
		sched_yield();
	return false;
}

void code_write_begin(struct soft_cpu *cpu, const uint8_t *host, unsigned size)
{
	_Atomic uint64_t *mask = code_lines(cpu->engine, host);

	/* If there is none in the page, the first one who decodes some of it waits for all. */
	if (mask && atomic_load(mask))
		atomic_store(&cpu->writes_code, true);
	if (!mask || !hold_code(cpu->engine, mask, line_mask(host, size)))
		return;
	cpu->stats.code_writes++;
	change_page(cpu->engine, cpu, mask, page_of(host));
}

void code_written_by_device(void *ctx, struct gpa gpa, uint64_t count)
{
	struct soft_engine *engine = ctx;
	uint8_t *host = memory_map(engine->memory, gpa, count);

	atomic_thread_fence(memory_order_seq_cst);
	while (host && count) {
		uint64_t part = MIN(count, PAGE_SIZE - ((uintptr_t)host & PAGE_MASK));
		_Atomic uint64_t *mask = code_lines(engine, host);

		if (mask && hold_code(engine, mask, line_mask(host, (unsigned)part)))
			change_page(engine, NULL, mask, page_of(host));
		host += part;
		count -= part;
	}
}

void code_flush_writes(struct soft_engine *engine)
{
	request_others(engine, NULL, REQUEST_WRITES, NULL);
	wait_for_others(engine, NULL);
}

void code_visit_others(struct soft_cpu *cpu)
{
	request_others(cpu->engine, cpu, REQUEST_ANSWER, NULL);
	wait_for_others(cpu->engine, cpu);
}

void code_alone_begin(struct soft_cpu *cpu)
{
	lock_code(cpu);
	atomic_store(&cpu->engine->alone, cpu);
	code_visit_others(cpu);
}

void code_alone_end(struct soft_cpu *cpu)
{
	atomic_store(&cpu->engine->alone, NULL);
	pthread_mutex_unlock(&cpu->engine->code_lock);
}

void code_enter_guest(struct soft_cpu *cpu)
{
	atomic_store(&cpu->in_guest, true);
	code_serve_requests(cpu);
}

void code_leave_guest(struct soft_cpu *cpu)
{
	atomic_store(&cpu->in_guest, false);
}
