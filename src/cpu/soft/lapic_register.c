/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's registers: by the memory page in xAPIC mode, by MSRs in x2APIC mode; IA32_APIC_BASE; saving and
 * loading of the whole. The vCPU's thread only. Spec: Intel SDM volume 3, sections 10.4, 10.12.
 */
#include "cpu/soft/lapic_chip_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "cpu/soft/engine_priv.h"
#include "x86/msr.h"

static bool is_lvt(uint64_t offset)
{
	return offset >= REG_LVT_TIMER && offset <= REG_LVT_ERROR;
}

uint32_t lapic_register_read(struct lapic *a, uint64_t offset)
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
		return lapic_is_x2apic(a) ? atomic_load(&a->id) : atomic_load(&a->id) << 24;
	case REG_VERSION:
		return (LVT_COUNT - 1) << 16 | 0x14;
	case REG_TPR:
		return a->tpr;
	case REG_PPR:
		return lapic_priority(a);
	case REG_LDR:
		return lapic_is_x2apic(a) ? lapic_x2apic_ldr(atomic_load(&a->id))
					  : atomic_load(&a->ldr);
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
		return lapic_timer_current(a);
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
	enum timer_mode old = lapic_timer_mode(a);

	value &= valid[i];
	if (!lapic_is_software_enabled(a))
		value |= LVT_MASKED;
	a->lvt[i] = value;
	if (offset == REG_LVT_LINT0) {
		atomic_store(&a->lint0, value);
		if (atomic_load(&a->cpu->engine->pic_line))
			lapic_notify(a);
	}
	if (offset == REG_LVT_TIMER && lapic_timer_mode(a) != old &&
	    (old == TIMER_DEADLINE || lapic_timer_mode(a) == TIMER_DEADLINE)) {
		lapic_timer_stop(a);
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
		if (lapic_is_x2apic(a))
			return false;
		atomic_store(&a->id, value >> 24);
		break;
	case REG_TPR:
		a->tpr = value & 0xff;
		if (lapic_highest_irr(a) >= 0)
			lapic_notify(a);
		break;
	case REG_EOI:
		lapic_end_of_interrupt(a);
		break;
	case REG_LDR:
		if (lapic_is_x2apic(a))
			return false;
		atomic_store(&a->ldr, value & 0xff000000);
		break;
	case REG_DFR:
		if (lapic_is_x2apic(a))
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
		lapic_send(a);
		break;
	case REG_ICR_HIGH:
		a->icr = (uint32_t)a->icr | (uint64_t)value << 32;
		break;
	case REG_TIMER_INITIAL:
		lapic_timer_set_initial(a, value);
		break;
	case REG_TIMER_DIVIDE:
		a->divide = value & 0xb;
		break;
	default:
		/* In x2APIC mode it is #GP alone. Spec: SDM volume 3, section 10.12.8. */
		if (!lapic_is_x2apic(a))
			a->esr_latched |= ESR_REGISTER;
		return false;
	}
	return true;
}

bool lapic_is_switched_on(const struct soft_cpu *cpu)
{
	return lapic_is_enabled(cpu->lapic);
}

uint64_t lapic_mmio_read(struct soft_cpu *cpu, uint64_t offset)
{
	/* Only 32-bit reads of aligned registers are defined; parts of one are given as they lie. */
	uint64_t value = lapic_register_read(cpu->lapic, offset & ~UINT64_C(0xf));

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
	if (!lapic_is_x2apic(a) || !x2apic_offset(index, &offset) || !is_readable(offset))
		return false;
	*ret_value = offset == REG_ICR ? a->icr : lapic_register_read(a, offset);
	return true;
}

bool lapic_msr_write(struct soft_cpu *cpu, uint32_t index, uint64_t value)
{
	struct lapic *a = cpu->lapic;
	uint64_t offset;

	if (index == MSR_APIC_BASE)
		return write_base(a, value);
	if (index == MSR_TSC_DEADLINE) {
		lapic_timer_set_deadline(a, value);
		return true;
	}
	if (!lapic_is_x2apic(a) || !x2apic_offset(index, &offset))
		return false;
	if (offset == REG_ICR) {
		a->icr = value & ~LVT_PENDING;
		lapic_send(a);
		return true;
	}
	if (value >> 32)
		return false;
	if (offset == REG_SELF_IPI) {
		if (value >> 8)
			return false;
		lapic_accept(a, (uint8_t)value, false);
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
		put_register(state->lapic, offsets[i], lapic_register_read(a, offsets[i]));
	for (unsigned i = 0; i < 8; i++) {
		put_register(state->lapic, REG_ISR + 0x10 * i, a->isr[i]);
		put_register(state->lapic, REG_TMR + 0x10 * i, atomic_load(&a->tmr[i]));
		put_register(state->lapic, REG_IRR + 0x10 * i, atomic_load(&a->irr[i]));
	}
	for (unsigned i = 0; i < LVT_COUNT; i++)
		put_register(state->lapic, REG_LVT_TIMER + 0x10 * i,
			     lapic_register_read(a, REG_LVT_TIMER + 0x10 * i));
	state->apic_base = atomic_load(&a->base);
	state->tsc_deadline = a->tsc_deadline;
	state->cr8 = a->tpr >> 4;
}

int lapic_load(struct soft_cpu *cpu, const struct vcpu_state *state, struct err *err)
{
	struct lapic *a = cpu->lapic;
	const uint8_t *page = state->lapic;
	uint64_t mode = state->apic_base & (BASE_X2APIC | BASE_ENABLED);

	if (mode == BASE_X2APIC)
		return err_set(err, EINVAL, "local APIC base 0x%llx has an impossible mode",
			       (unsigned long long)state->apic_base);
	atomic_store(&a->base, state->apic_base);
	atomic_store(&a->id,
		     lapic_is_x2apic(a) ? le32_get(page + REG_ID) : le32_get(page + REG_ID) >> 24);
	/* Eight bits cannot name all: until x2APIC is on, the rest of the id is the vCPU's. */
	if (!lapic_is_x2apic(a) && cpu->vcpu.index > 0xff)
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
	lapic_timer_restore(a, le32_get(page + REG_TIMER_CURRENT), state->tsc_deadline);
	lapic_notify(a);
	return 0;
}
