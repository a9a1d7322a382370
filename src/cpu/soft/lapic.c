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
#include "cpu/soft/lapic_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/run_priv.h"
#include "cpu/soft/time_priv.h"
#include "host/clock.h"
#include "x86/msr.h"

#define BASE_BOOTSTRAP BIT(8)
#define BASE_X2APIC    BIT(10)
#define BASE_ENABLED   BIT(11)

#define SVR_ENABLED         BIT(8)
#define LVT_MASKED          BIT(16)
#define LVT_PENDING         BIT(12)
#define LVT_LEVEL           BIT(15)
#define ESR_SEND_ILLEGAL    BIT(5)
#define ESR_RECEIVE_ILLEGAL BIT(6)
#define ESR_REGISTER        BIT(7)

/* Register offsets in the page. */
enum lapic_register {
	REG_ID = 0x20,
	REG_VERSION = 0x30,
	REG_TPR = 0x80,
	REG_APR = 0x90,
	REG_PPR = 0xa0,
	REG_EOI = 0xb0,
	REG_LDR = 0xd0,
	REG_DFR = 0xe0,
	REG_SVR = 0xf0,
	REG_ISR = 0x100,
	REG_TMR = 0x180,
	REG_IRR = 0x200,
	REG_ESR = 0x280,
	REG_ICR = 0x300,
	REG_ICR_HIGH = 0x310,
	REG_LVT_TIMER = 0x320,
	REG_LVT_THERMAL = 0x330,
	REG_LVT_COUNTERS = 0x340,
	REG_LVT_LINT0 = 0x350,
	REG_LVT_LINT1 = 0x360,
	REG_LVT_ERROR = 0x370,
	REG_TIMER_INITIAL = 0x380,
	REG_TIMER_CURRENT = 0x390,
	REG_TIMER_DIVIDE = 0x3e0,
	REG_SELF_IPI = 0x3f0,
};

enum delivery {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_NMI = 4,
	DELIVER_INIT,
	DELIVER_SIPI,
	DELIVER_EXTINT
};
enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };
enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

#define LVT_COUNT 6

struct lapic {
	struct soft_cpu *cpu;
	_Atomic uint64_t base;
	_Atomic uint32_t id; /* the whole of it; the xAPIC register shows 8 bits at the top */
	_Atomic uint32_t ldr, dfr, svr;
	_Atomic uint32_t irr[8], tmr[8];
	_Atomic uint32_t lint0;

	uint32_t isr[8];
	uint32_t tpr, esr, esr_latched, divide, initial;
	uint64_t icr;
	uint32_t lvt[LVT_COUNT]; /* LINT0's is `lint0` */
	uint64_t tsc_deadline;
	uint64_t timer_start_ns;    /* when the count was (re)loaded */
	uint64_t timer_deadline_ns; /* UINT64_MAX: not running */
};

/* One message on its way. */
struct interrupt {
	uint32_t destination;
	uint8_t vector;
	enum delivery mode;
	bool logical, level, assert_level;
};

static bool is_x2apic(const struct lapic *a)
{
	return atomic_load_explicit(&a->base, memory_order_relaxed) & BASE_X2APIC;
}

static bool is_enabled(const struct lapic *a)
{
	return atomic_load_explicit(&a->base, memory_order_relaxed) & BASE_ENABLED;
}

static bool is_software_enabled(const struct lapic *a)
{
	return is_enabled(a) && atomic_load_explicit(&a->svr, memory_order_relaxed) & SVR_ENABLED;
}

static uint32_t x2apic_ldr(uint32_t id)
{
	return (id >> 4) << 16 | 1u << (id & 15);
}

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

static int highest_irr(const struct lapic *a)
{
	uint32_t words[8];

	for (unsigned i = 0; i < 8; i++)
		words[i] = atomic_load(&a->irr[i]);
	return highest(words);
}

static uint32_t priority(const struct lapic *a)
{
	int served = highest(a->isr);
	uint32_t served_class = served < 0 ? 0 : (uint32_t)served & 0xf0;

	return (a->tpr & 0xf0) >= served_class ? a->tpr : served_class;
}

static void notify(struct lapic *a)
{
	atomic_fetch_or(&a->cpu->events.pending, PENDING_INTERRUPT);
	cpu_attention(a->cpu, ATTENTION_INTERRUPT);
}

static void accept(struct lapic *a, uint8_t vector, bool level)
{
	uint32_t bit = 1u << (vector % 32);

	if (!is_software_enabled(a))
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
	notify(a);
}

static void deliver(struct lapic *a, const struct interrupt *i)
{
	switch (i->mode) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		accept(a, i->vector, i->level);
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

	if (is_x2apic(a)) {
		ldr = x2apic_ldr(atomic_load(&a->id));
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
	if (!is_enabled(a))
		return false;
	if (i->destination == UINT32_MAX || (i->destination == 0xff && !is_x2apic(a)))
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

		if (cpu && matches(cpu->lapic, i) && is_software_enabled(cpu->lapic)) {
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

static void send_ipi(struct lapic *a)
{
	struct soft_engine *engine = a->cpu->engine;
	const struct interrupt i = {
		.destination = is_x2apic(a) ? (uint32_t)(a->icr >> 32) : (uint32_t)(a->icr >> 56),
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

static void end_of_interrupt(struct lapic *a)
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
	if (highest_irr(a) >= 0)
		notify(a);
}

/* Timer. */

static enum timer_mode timer_mode(const struct lapic *a)
{
	return bits_get(a->lvt[0], 17, 2);
}

static uint64_t timer_divisor(const struct lapic *a)
{
	unsigned code = (a->divide & 3) | (a->divide >> 1 & 4);

	return code == 7 ? 1 : 2u << code;
}

static void timer_arm(struct lapic *a)
{
	timer_thread_arm(a->cpu->engine->timers, a->cpu, a->timer_deadline_ns);
}

static void timer_start(struct lapic *a, uint64_t now)
{
	a->timer_start_ns = now;
	a->timer_deadline_ns =
		a->initial ? now + (uint64_t)a->initial * timer_divisor(a) : UINT64_MAX;
	timer_arm(a);
}

static uint32_t timer_current(const struct lapic *a)
{
	uint64_t now = clock_now_ns();

	if (timer_mode(a) == TIMER_DEADLINE || a->timer_deadline_ns <= now ||
	    a->timer_deadline_ns == UINT64_MAX)
		return 0;
	return (uint32_t)((a->timer_deadline_ns - now) / timer_divisor(a));
}

static void set_tsc_deadline(struct lapic *a, uint64_t value)
{
	if (timer_mode(a) != TIMER_DEADLINE)
		return;
	a->tsc_deadline = value;
	a->timer_deadline_ns = value ? time_of_tsc_ns(a->cpu, value) : UINT64_MAX;
	timer_arm(a);
}

uint64_t lapic_timer_check(struct soft_cpu *cpu)
{
	struct lapic *a = cpu->lapic;
	uint64_t now;

	if (a->timer_deadline_ns == UINT64_MAX)
		return UINT64_MAX;
	now = clock_now_ns();
	if (a->timer_deadline_ns > now)
		return a->timer_deadline_ns;
	if (!(a->lvt[0] & LVT_MASKED))
		accept(a, (uint8_t)a->lvt[0], false);
	if (timer_mode(a) == TIMER_PERIODIC && a->initial) {
		uint64_t period = (uint64_t)a->initial * timer_divisor(a);

		/* What a slow host missed is not made up for. */
		a->timer_deadline_ns += period * ((now - a->timer_deadline_ns) / period + 1);
	} else {
		a->timer_deadline_ns = UINT64_MAX;
		a->tsc_deadline = 0;
	}
	timer_arm(a);
	return a->timer_deadline_ns;
}

/* Registers. */

static bool is_lvt(uint64_t offset)
{
	return offset >= REG_LVT_TIMER && offset <= REG_LVT_ERROR;
}

static uint32_t read_register(struct lapic *a, uint64_t offset)
{
	if (is_lvt(offset))
		return offset == REG_LVT_LINT0 ? atomic_load(&a->lint0)
					       : a->lvt[(offset - REG_LVT_TIMER) / 0x10];
	if (offset >= REG_ISR && offset < REG_ISR + 0x80)
		return a->isr[(offset - REG_ISR) / 0x10];
	if (offset >= REG_TMR && offset < REG_TMR + 0x80)
		return atomic_load(&a->tmr[(offset - REG_TMR) / 0x10]);
	if (offset >= REG_IRR && offset < REG_IRR + 0x80)
		return atomic_load(&a->irr[(offset - REG_IRR) / 0x10]);
	switch (offset) {
	case REG_ID:
		return is_x2apic(a) ? atomic_load(&a->id) : atomic_load(&a->id) << 24;
	case REG_VERSION:
		return (LVT_COUNT - 1) << 16 | 0x14;
	case REG_TPR:
		return a->tpr;
	case REG_PPR:
		return priority(a);
	case REG_LDR:
		return is_x2apic(a) ? x2apic_ldr(atomic_load(&a->id)) : atomic_load(&a->ldr);
	case REG_DFR:
		return atomic_load(&a->dfr);
	case REG_SVR:
		return atomic_load(&a->svr);
	case REG_ESR:
		return a->esr;
	case REG_ICR:
		return (uint32_t)a->icr;
	case REG_ICR_HIGH:
		return (uint32_t)(a->icr >> 32);
	case REG_TIMER_INITIAL:
		return a->initial;
	case REG_TIMER_CURRENT:
		return timer_current(a);
	case REG_TIMER_DIVIDE:
		return a->divide;
	default:
		return 0;
	}
}

static void write_lvt(struct lapic *a, uint64_t offset, uint32_t value)
{
	static const uint32_t valid[LVT_COUNT] = { 0x700ff, 0x107ff, 0x107ff,
						   0x1a7ff, 0x1a7ff, 0x100ff };
	unsigned i = (unsigned)(offset - REG_LVT_TIMER) / 0x10;
	enum timer_mode old = timer_mode(a);

	value &= valid[i];
	if (!is_software_enabled(a))
		value |= LVT_MASKED;
	a->lvt[i] = value;
	if (offset == REG_LVT_LINT0) {
		atomic_store(&a->lint0, value);
		if (atomic_load(&a->cpu->engine->pic_line))
			notify(a);
	}
	if (offset == REG_LVT_TIMER && timer_mode(a) != old &&
	    (old == TIMER_DEADLINE || timer_mode(a) == TIMER_DEADLINE)) {
		a->tsc_deadline = 0;
		a->timer_deadline_ns = UINT64_MAX;
		timer_arm(a);
	}
}

static void write_svr(struct lapic *a, uint32_t value)
{
	atomic_store(&a->svr, value & 0x1ff);
	if (value & SVR_ENABLED)
		return;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		a->lvt[i] |= LVT_MASKED;
	atomic_fetch_or(&a->lint0, (uint32_t)LVT_MASKED);
}

/* False: the register does not exist, or is not for writing. */
static bool write_register(struct lapic *a, uint64_t offset, uint32_t value)
{
	if (is_lvt(offset)) {
		write_lvt(a, offset, value);
		return true;
	}
	switch (offset) {
	case REG_ID:
		if (is_x2apic(a))
			return false;
		atomic_store(&a->id, value >> 24);
		break;
	case REG_TPR:
		a->tpr = value & 0xff;
		if (highest_irr(a) >= 0)
			notify(a);
		break;
	case REG_EOI:
		end_of_interrupt(a);
		break;
	case REG_LDR:
		if (is_x2apic(a))
			return false;
		atomic_store(&a->ldr, value & 0xff000000);
		break;
	case REG_DFR:
		if (is_x2apic(a))
			return false;
		atomic_store(&a->dfr, value | 0x0fffffff);
		break;
	case REG_SVR:
		write_svr(a, value);
		break;
	case REG_ESR:
		a->esr = a->esr_latched;
		a->esr_latched = 0;
		break;
	case REG_ICR:
		a->icr = (a->icr & ~bits_mask(32)) | (value & ~(uint32_t)LVT_PENDING);
		send_ipi(a);
		break;
	case REG_ICR_HIGH:
		a->icr = (uint32_t)a->icr | (uint64_t)value << 32;
		break;
	case REG_TIMER_INITIAL:
		if (timer_mode(a) == TIMER_DEADLINE)
			break;
		a->initial = value;
		timer_start(a, clock_now_ns());
		break;
	case REG_TIMER_DIVIDE:
		a->divide = value & 0xb;
		break;
	default:
		a->esr_latched |= ESR_REGISTER;
		return false;
	}
	return true;
}

uint64_t lapic_mmio_read(struct soft_cpu *cpu, uint64_t offset)
{
	/* Only 32-bit reads of aligned registers are defined; parts of one are given as they lie. */
	uint64_t value = read_register(cpu->lapic, offset & ~UINT64_C(0xf));

	return (offset & 0xf) < 4 ? value >> (8 * (offset & 3)) : 0;
}

void lapic_mmio_write(struct soft_cpu *cpu, uint64_t offset, uint64_t value, unsigned size)
{
	if (!(offset & 0xf) && size >= 4 && offset != REG_SELF_IPI)
		write_register(cpu->lapic, offset, (uint32_t)value);
}

static bool write_base(struct lapic *a, uint64_t value)
{
	uint64_t old = atomic_load(&a->base);
	uint64_t reserved = ~(bits_mask(a->cpu->engine->physical_bits) & ~bits_mask(12)) &
			    ~(BASE_BOOTSTRAP | BASE_X2APIC | BASE_ENABLED);

	if (value & reserved || (value & (BASE_X2APIC | BASE_ENABLED)) == BASE_X2APIC)
		return false;
	/* From x2APIC back only by way of off, and to it not from off. */
	if (old & BASE_X2APIC && (value & (BASE_X2APIC | BASE_ENABLED)) == BASE_ENABLED)
		return false;
	if (!(old & BASE_ENABLED) && value & BASE_X2APIC)
		return false;
	if (!(value & BASE_ENABLED) && old & BASE_ENABLED)
		lapic_reset(a->cpu);
	if (value & BASE_X2APIC && !(old & BASE_X2APIC))
		atomic_store(&a->id, a->cpu->vcpu.index);
	atomic_store(&a->base, (value & ~BASE_BOOTSTRAP) | (old & BASE_BOOTSTRAP));
	return true;
}

static bool x2apic_offset(uint32_t index, uint64_t *ret_offset)
{
	*ret_offset = (uint64_t)(index - MSR_X2APIC_BASE) << 4;
	return index >= MSR_X2APIC_BASE && *ret_offset < 0x400;
}

static bool is_readable(uint64_t offset)
{
	return offset == REG_ID || offset == REG_VERSION || offset == REG_TPR ||
	       offset == REG_PPR || offset == REG_LDR || offset == REG_SVR ||
	       (offset >= REG_ISR && offset <= REG_ESR) || offset == REG_ICR || is_lvt(offset) ||
	       offset == REG_TIMER_INITIAL || offset == REG_TIMER_CURRENT ||
	       offset == REG_TIMER_DIVIDE;
}

bool lapic_msr_read(struct soft_cpu *cpu, uint32_t index, uint64_t *ret_value)
{
	struct lapic *a = cpu->lapic;
	uint64_t offset;

	if (index == MSR_APIC_BASE) {
		*ret_value = atomic_load(&a->base);
		return true;
	}
	if (index == MSR_TSC_DEADLINE) {
		*ret_value = a->tsc_deadline;
		return true;
	}
	if (!is_x2apic(a) || !x2apic_offset(index, &offset) || !is_readable(offset))
		return false;
	*ret_value = offset == REG_ICR ? a->icr : read_register(a, offset);
	return true;
}

bool lapic_msr_write(struct soft_cpu *cpu, uint32_t index, uint64_t value)
{
	struct lapic *a = cpu->lapic;
	uint64_t offset;

	if (index == MSR_APIC_BASE)
		return write_base(a, value);
	if (index == MSR_TSC_DEADLINE) {
		set_tsc_deadline(a, value);
		return true;
	}
	if (!is_x2apic(a) || !x2apic_offset(index, &offset))
		return false;
	if (offset == REG_ICR) {
		a->icr = value & ~LVT_PENDING;
		send_ipi(a);
		return true;
	}
	if (value >> 32)
		return false;
	if (offset == REG_SELF_IPI) {
		accept(a, (uint8_t)value, false);
		return true;
	}
	if ((offset == REG_EOI || offset == REG_ESR) && value)
		return false;
	return offset != REG_ICR_HIGH && write_register(a, offset, (uint32_t)value);
}

uint64_t lapic_get_cr8(struct soft_cpu *cpu)
{
	return cpu->lapic->tpr >> 4;
}

bool lapic_set_cr8(struct soft_cpu *cpu, uint64_t value)
{
	return value <= 15 && write_register(cpu->lapic, REG_TPR, (uint32_t)value << 4);
}

/* The PIC's line on vCPU 0: in virtual wire mode, or with the APIC off. */
static bool pic_waits(const struct lapic *a)
{
	uint32_t lint0 = atomic_load(&a->lint0);

	if (a->cpu->vcpu.index || !atomic_load(&a->cpu->engine->pic_line))
		return false;
	return !is_enabled(a) || (!(lint0 & LVT_MASKED) && bits_get(lint0, 8, 3) == DELIVER_EXTINT);
}

static int next_vector(const struct lapic *a)
{
	int vector = is_software_enabled(a) ? highest_irr(a) : -1;

	return vector >= 0 && ((uint32_t)vector & 0xf0) > (priority(a) & 0xf0) ? vector : -1;
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
		accept(cpu->lapic, (uint8_t)lint0, lint0 & LVT_LEVEL);
	if (!before && !(lint0 & LVT_MASKED) && bits_get(lint0, 8, 3) == DELIVER_NMI)
		atomic_fetch_or(&cpu->events.pending, PENDING_NMI);
	notify(cpu->lapic);
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
	a->tpr = a->esr = a->esr_latched = a->divide = a->initial = 0;
	a->icr = 0;
	a->tsc_deadline = 0;
	a->timer_deadline_ns = UINT64_MAX;
	timer_arm(a);
}

/* State: the register page, as KVM lays it out. */

static void put_register(uint8_t *page, uint64_t offset, uint32_t value)
{
	le32_put(page + offset, value);
}

void lapic_save(struct soft_cpu *cpu, struct vcpu_state *state)
{
	static const uint16_t offsets[] = { REG_ID,          REG_VERSION,       REG_TPR,
					    REG_PPR,         REG_LDR,           REG_DFR,
					    REG_SVR,         REG_ESR,           REG_ICR,
					    REG_ICR_HIGH,    REG_TIMER_INITIAL, REG_TIMER_CURRENT,
					    REG_TIMER_DIVIDE };
	struct lapic *a = cpu->lapic;

	memset(state->lapic, 0, sizeof(state->lapic));
	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++)
		put_register(state->lapic, offsets[i], read_register(a, offsets[i]));
	for (unsigned i = 0; i < 8; i++) {
		put_register(state->lapic, REG_ISR + 0x10 * i, a->isr[i]);
		put_register(state->lapic, REG_TMR + 0x10 * i, atomic_load(&a->tmr[i]));
		put_register(state->lapic, REG_IRR + 0x10 * i, atomic_load(&a->irr[i]));
	}
	for (unsigned i = 0; i < LVT_COUNT; i++)
		put_register(state->lapic, REG_LVT_TIMER + 0x10 * i,
			     read_register(a, REG_LVT_TIMER + 0x10 * i));
	state->apic_base = atomic_load(&a->base);
	state->tsc_deadline = a->tsc_deadline;
	state->cr8 = a->tpr >> 4;
}

int lapic_load(struct soft_cpu *cpu, const struct vcpu_state *state, struct err *err)
{
	struct lapic *a = cpu->lapic;
	const uint8_t *page = state->lapic;
	uint64_t mode = state->apic_base & (BASE_X2APIC | BASE_ENABLED);
	uint64_t now = clock_now_ns();

	if (mode == BASE_X2APIC)
		return err_set(err, EINVAL, "local APIC base 0x%llx has an impossible mode",
			       (unsigned long long)state->apic_base);
	atomic_store(&a->base, state->apic_base);
	atomic_store(&a->id,
		     is_x2apic(a) ? le32_get(page + REG_ID) : le32_get(page + REG_ID) >> 24);
	/* Eight bits cannot name all: until x2APIC is on, the rest of the id is the vCPU's. */
	if (!is_x2apic(a) && cpu->vcpu.index > 0xff)
		atomic_store(&a->id, cpu->vcpu.index);
	atomic_store(&a->ldr, le32_get(page + REG_LDR));
	atomic_store(&a->dfr, le32_get(page + REG_DFR));
	atomic_store(&a->svr, le32_get(page + REG_SVR) & 0x1ff);
	a->tpr = le32_get(page + REG_TPR) & 0xff;
	a->esr = le32_get(page + REG_ESR);
	a->icr = le32_get(page + REG_ICR) | (uint64_t)le32_get(page + REG_ICR_HIGH) << 32;
	a->divide = le32_get(page + REG_TIMER_DIVIDE) & 0xb;
	a->initial = le32_get(page + REG_TIMER_INITIAL);
	for (unsigned i = 0; i < 8; i++) {
		a->isr[i] = le32_get(page + REG_ISR + 0x10 * i);
		atomic_store(&a->tmr[i], le32_get(page + REG_TMR + 0x10 * i));
		atomic_store(&a->irr[i], le32_get(page + REG_IRR + 0x10 * i));
	}
	for (unsigned i = 0; i < LVT_COUNT; i++)
		a->lvt[i] = le32_get(page + REG_LVT_TIMER + 0x10 * i);
	atomic_store(&a->lint0, le32_get(page + REG_LVT_LINT0));
	a->tsc_deadline = 0;
	a->timer_deadline_ns = UINT64_MAX;
	if (timer_mode(a) == TIMER_DEADLINE) {
		set_tsc_deadline(a, state->tsc_deadline);
	} else {
		uint64_t left = (uint64_t)le32_get(page + REG_TIMER_CURRENT) * timer_divisor(a);

		if (left)
			a->timer_deadline_ns = now + left;
		timer_arm(a);
	}
	notify(a);
	return 0;
}
