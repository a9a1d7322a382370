/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC, in xAPIC and x2APIC mode.
 *
 * IRR, TMR and the registers that routing looks at are atomic, because other vCPUs and devices send
 * at any time; the rest belongs to the vCPU's thread. Whoever puts something into the IRR then sets
 * PENDING_INTERRUPT and the attention flag. The timer counts nanoseconds (a bus clock of 1 GHz).
 *
 * Spec: Intel SDM volume 3, chapter 10.
 */
#include "cpu/soft/lapic_chip_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/soft/code_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/run_priv.h"

/* One message on its way. */
struct interrupt {
	uint32_t destination;
	uint8_t vector;
	enum delivery mode;
	bool logical, level, assert_level;
};

int lapic_new(struct lapic **ret_lapic, struct soft_cpu *cpu)
{
	struct lapic *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->cpu = cpu;
	atomic_init(&a->id, cpu->vcpu.index);
	a->timer_deadline_ns = UINT64_MAX;
	*ret_lapic = a;
	return 0;
}

void lapic_free(struct lapic *a)
{
	free(a);
}

bool lapic_claims(const struct soft_cpu *cpu, uint64_t gpa)
{
	uint64_t base = atomic_load_explicit(&cpu->lapic->base, memory_order_relaxed);

	return (base & (BASE_ENABLED | BASE_X2APIC)) == BASE_ENABLED &&
	       (gpa & ~PAGE_MASK) == (base & PTE_ADDR);
}

static int highest(const uint32_t words[8])
{
	for (int i = 7; i >= 0; i--) {
		if (words[i])
			return i * 32 + 31 - __builtin_clz(words[i]);
	}
	return -1;
}

int lapic_highest_irr(const struct lapic *a)
{
	uint32_t words[8];

	for (unsigned i = 0; i < 8; i++)
		words[i] = atomic_load(&a->irr[i]);
	return highest(words);
}

uint32_t lapic_priority(const struct lapic *a)
{
	int served = highest(a->isr);
	uint32_t served_class = served < 0 ? 0 : (uint32_t)served & 0xf0;

	return (a->tpr & 0xf0) >= served_class ? a->tpr : served_class;
}

void lapic_notify(struct lapic *a)
{
	atomic_fetch_or(&a->cpu->events.pending, PENDING_INTERRUPT);
	cpu_attention(a->cpu, ATTENTION_INTERRUPT);
}

void lapic_accept(struct lapic *a, uint8_t vector, bool level)
{
	uint32_t bit = 1u << (vector % 32);

	if (!lapic_is_software_enabled(a))
		return;
	if (vector < 16) {
		a->esr_latched |= ESR_RECEIVE_ILLEGAL;
		return;
	}
	if (level)
		atomic_fetch_or(&a->tmr[vector / 32], bit);
	else
		atomic_fetch_and(&a->tmr[vector / 32], ~bit);
	atomic_fetch_or(&a->irr[vector / 32], bit);
	lapic_notify(a);
}

static void deliver(struct lapic *a, const struct interrupt *i)
{
	switch (i->mode) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		lapic_accept(a, i->vector, i->level);
		break;
	case DELIVER_NMI:
		atomic_fetch_or(&a->cpu->events.pending, PENDING_NMI);
		cpu_attention(a->cpu, ATTENTION_INTERRUPT);
		break;
	case DELIVER_INIT:
		if (i->level && !i->assert_level)
			break;
		atomic_fetch_and(&a->cpu->events.pending, ~(unsigned)PENDING_SIPI);
		atomic_fetch_or(&a->cpu->events.pending, PENDING_INIT);
		cpu_attention(a->cpu, ATTENTION_INTERRUPT);
		break;
	case DELIVER_SIPI:
		atomic_store(&a->cpu->events.sipi_vector, i->vector);
		atomic_fetch_or(&a->cpu->events.pending, PENDING_SIPI);
		cpu_attention(a->cpu, ATTENTION_INTERRUPT);
		break;
	default: /* no SMM here; ExtINT is only by wire */
		break;
	}
}

static bool matches_logical(const struct lapic *a, uint32_t destination)
{
	uint32_t ldr = atomic_load(&a->ldr);

	if (lapic_is_x2apic(a)) {
		ldr = lapic_x2apic_ldr(atomic_load(&a->id));
		return ldr >> 16 == destination >> 16 && ldr & destination & 0xffff;
	}
	ldr >>= 24;
	if (destination > 0xff)
		return false;
	if (atomic_load(&a->dfr) >> 28 == 0xf)
		return ldr & destination;
	return (destination >> 4 == 0xf || ldr >> 4 == destination >> 4) && ldr & destination & 0xf;
}

static bool matches(const struct lapic *a, const struct interrupt *i)
{
	if (!lapic_is_enabled(a))
		return false;
	if (i->destination == UINT32_MAX || (i->destination == 0xff && !lapic_is_x2apic(a)))
		return true;
	if (i->logical)
		return matches_logical(a, i->destination);
	return atomic_load(&a->id) == i->destination;
}

/* Lowest priority: one of those that match, in turn. */
static void deliver_lowest(struct soft_engine *engine, const struct interrupt *i)
{
	uint64_t turn = atomic_fetch_add(&engine->arbitration, 1);

	for (unsigned n = 0; n < engine->vcpus; n++) {
		struct soft_cpu *cpu = engine_cpu(engine, (unsigned)((turn + n) % engine->vcpus));

		if (cpu && matches(cpu->lapic, i) && lapic_is_software_enabled(cpu->lapic)) {
			deliver(cpu->lapic, i);
			return;
		}
	}
}

static void route(struct soft_engine *engine, const struct interrupt *i)
{
	if (i->mode == DELIVER_LOWEST) {
		deliver_lowest(engine, i);
		return;
	}
	for (unsigned n = 0; n < engine->vcpus; n++) {
		struct soft_cpu *cpu = engine_cpu(engine, n);

		if (cpu && matches(cpu->lapic, i))
			deliver(cpu->lapic, i);
	}
}

void lapic_message(struct soft_engine *engine, struct msi_message message)
{
	const struct interrupt i = {
		.destination = (uint32_t)(bits_get(message.address, 12, 8) |
					  bits_get(message.address, 5, 7) << 8),
		.vector = (uint8_t)message.data,
		.mode = bits_get(message.data, 8, 3),
		.logical = message.address & BIT(2),
		.level = message.data & BIT(15),
		.assert_level = message.data & BIT(14),
	};

	route(engine, &i);
}

void lapic_send(struct lapic *a)
{
	struct soft_engine *engine = a->cpu->engine;
	const struct interrupt i = {
		.destination =
			lapic_is_x2apic(a) ? (uint32_t)(a->icr >> 32) : (uint32_t)(a->icr >> 56),
		.vector = (uint8_t)a->icr,
		.mode = bits_get(a->icr, 8, 3),
		.logical = a->icr & BIT(11),
		.level = a->icr & BIT(15),
		.assert_level = a->icr & BIT(14),
	};
	enum shorthand to = bits_get(a->icr, 18, 2);

	if (i.mode <= DELIVER_LOWEST && i.vector < 16) {
		a->esr_latched |= ESR_SEND_ILLEGAL;
		return;
	}
	if (to == TO_SELF) {
		deliver(a, &i);
		return;
	}
	if (to == TO_DESTINATION) {
		route(engine, &i);
		return;
	}
	for (unsigned n = 0; n < engine->vcpus; n++) {
		struct soft_cpu *cpu = engine_cpu(engine, n);

		if (cpu && (to == TO_ALL || cpu != a->cpu))
			deliver(cpu->lapic, &i);
	}
}

void lapic_end_of_interrupt(struct lapic *a)
{
	int vector = highest(a->isr);
	uint32_t bit;

	if (vector < 0)
		return;
	bit = 1u << (vector % 32);
	a->isr[vector / 32] &= ~bit;
	if (atomic_load(&a->tmr[vector / 32]) & bit) {
		code_leave_guest(a->cpu);
		a->cpu->engine->platform->eoi(a->cpu->engine->platform->ctx, (uint8_t)vector);
		code_enter_guest(a->cpu);
	}
	if (lapic_highest_irr(a) >= 0)
		lapic_notify(a);
}

/* The PIC's line on vCPU 0: in virtual wire mode, or with the APIC off. */
static bool pic_waits(const struct lapic *a)
{
	uint32_t lint0 = atomic_load(&a->lint0);

	if (a->cpu->vcpu.index || !atomic_load(&a->cpu->engine->pic_line))
		return false;
	return !lapic_is_enabled(a) ||
	       (!(lint0 & LVT_MASKED) && bits_get(lint0, 8, 3) == DELIVER_EXTINT);
}

static int next_vector(const struct lapic *a)
{
	int vector = lapic_is_software_enabled(a) ? lapic_highest_irr(a) : -1;

	return vector >= 0 && ((uint32_t)vector & 0xf0) > (lapic_priority(a) & 0xf0) ? vector : -1;
}

bool lapic_has_interrupt(struct soft_cpu *cpu)
{
	return next_vector(cpu->lapic) >= 0 || pic_waits(cpu->lapic);
}

int lapic_take_interrupt(struct soft_cpu *cpu)
{
	struct lapic *a = cpu->lapic;
	int vector;

	if (pic_waits(a)) {
		vector = cpu->engine->platform->pic_acknowledge(cpu->engine->platform->ctx);
		if (vector >= 0)
			return vector;
	}
	vector = next_vector(a);
	if (vector < 0)
		return -1;
	atomic_fetch_and(&a->irr[vector / 32], ~(1u << (vector % 32)));
	a->isr[vector / 32] |= 1u << (vector % 32);
	return vector;
}

void lapic_pic_line(struct soft_engine *engine, bool level)
{
	struct soft_cpu *cpu = engine_cpu(engine, 0);
	bool before = atomic_exchange(&engine->pic_line, level);
	uint32_t lint0;

	if (!cpu || !level)
		return;
	lint0 = atomic_load(&cpu->lapic->lint0);
	if (!before && !(lint0 & LVT_MASKED) && bits_get(lint0, 8, 3) == DELIVER_FIXED)
		lapic_accept(cpu->lapic, (uint8_t)lint0, lint0 & LVT_LEVEL);
	if (!before && !(lint0 & LVT_MASKED) && bits_get(lint0, 8, 3) == DELIVER_NMI)
		atomic_fetch_or(&cpu->events.pending, PENDING_NMI);
	lapic_notify(cpu->lapic);
}

void lapic_reset(struct soft_cpu *cpu)
{
	struct lapic *a = cpu->lapic;

	for (unsigned i = 0; i < 8; i++) {
		atomic_store(&a->irr[i], 0);
		atomic_store(&a->tmr[i], 0);
	}
	memset(a->isr, 0, sizeof(a->isr));
	for (unsigned i = 0; i < LVT_COUNT; i++)
		a->lvt[i] = LVT_MASKED;
	atomic_store(&a->lint0, LVT_MASKED);
	atomic_store(&a->svr, 0xff);
	atomic_store(&a->ldr, 0);
	atomic_store(&a->dfr, UINT32_MAX);
	a->tpr = a->esr = a->divide = a->initial = 0;
	atomic_store(&a->esr_latched, 0);
	a->icr = 0;
	lapic_timer_stop(a);
}
