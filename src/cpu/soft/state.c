/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between `struct vcpu_state` and the engine's own form. The state to set is hostile input. */
#include "cpu/soft/state_priv.h"

#include <errno.h>
#include <string.h>

#include "cpu/soft/engine_priv.h"
#include "cpu/soft/flags_priv.h"
#include "cpu/soft/lapic_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/run_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/time_priv.h"
#include "x86/msr.h"

static void get_events(struct soft_cpu *cpu, struct vcpu_state *s)
{
	unsigned pending = atomic_load(&cpu->events.pending);

	s->exception_vector = VCPU_NO_VECTOR;
	s->interrupt_vector = cpu->events.injected;
	if (cpu->events.fault) {
		s->exception_vector = cpu->exception.vector;
		s->exception_has_error = cpu->exception.has_error;
		s->exception_error = cpu->exception.error;
		s->exception_payload = cpu->exception.payload;
	}
	s->nmi_pending = pending & PENDING_NMI;
	s->nmi_masked = cpu->events.nmi_masked;
	s->interrupt_shadow = cpu->shadow;
	s->sipi_vector = (uint8_t)atomic_load(&cpu->events.sipi_vector);
	s->activity = cpu->events.activity;
}

void state_get(struct soft_cpu *cpu, struct vcpu_state *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
	s->rip = cpu->rip;
	s->rflags = rflags_get(cpu);
	memcpy(s->segments, cpu->segments, sizeof(s->segments));
	s->tr = cpu->tr;
	s->ldtr = cpu->ldtr;
	s->gdtr = cpu->gdtr;
	s->idtr = cpu->idtr;
	s->cr0 = cpu->cr0;
	s->cr2 = cpu->cr2;
	s->cr3 = cpu->cr3;
	s->cr4 = cpu->cr4;
	s->efer = cpu->efer;
	memcpy(s->pdptr, cpu->pdptr, sizeof(s->pdptr));
	memcpy(s->dr, cpu->dr, sizeof(s->dr));
	s->dr6 = cpu->dr6;
	s->dr7 = cpu->dr7;
	s->xcr0 = cpu->xcr0;
	native_state_save(cpu);
	s->xsave_size = cpu->engine->xsave_size;
	memcpy(s->xsave, cpu->xsave, s->xsave_size);
	for (unsigned i = 0; i < msr_table_count; i++) {
		uint64_t value;

		if (s->msr_count < VCPU_MSRS_MAX && msr_read(cpu, msr_table[i].index, &value))
			s->msrs[s->msr_count++] = (struct vcpu_msr){ msr_table[i].index, value };
	}
	get_events(cpu, s);
	lapic_save(cpu, s);
	s->tsc = time_tsc(cpu);
}

static int bad(struct err *err, const char *what, uint64_t value)
{
	return err_set(err, EINVAL, "processor state has an impossible %s 0x%llx", what,
		       (unsigned long long)value);
}

static int check_control(const struct soft_cpu *cpu, const struct vcpu_state *s, struct err *err)
{
	bool long_mode = s->efer & EFER_LMA;

	if (s->rflags & ~(RFLAGS_VALID | RFLAGS_FIXED))
		return bad(err, "RFLAGS", s->rflags);
	if (s->cr0 & ~CR0_VALID || (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE)) ||
	    (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
		return bad(err, "CR0", s->cr0);
	if (s->cr4 & ~control_cr4_valid(cpu))
		return bad(err, "CR4", s->cr4);
	if (s->efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR) ||
	    long_mode != (s->efer & EFER_LME && s->cr0 & CR0_PG))
		return bad(err, "EFER", s->efer);
	if (long_mode && !(s->cr4 & CR4_PAE))
		return bad(err, "CR4", s->cr4);
	if (s->cr4 & CR4_PCIDE && !long_mode)
		return bad(err, "CR4", s->cr4);
	if (s->cr3 & ~bits_mask(cpu->engine->physical_bits))
		return bad(err, "CR3", s->cr3);
	if (s->xcr0 & ~cpu->engine->xcr0_mask || !(s->xcr0 & XCR0_X87) ||
	    (s->xcr0 & XCR0_AVX && !(s->xcr0 & XCR0_SSE)))
		return bad(err, "XCR0", s->xcr0);
	if (s->dr6 >> 32 || s->dr7 >> 32)
		return bad(err, "DR7", s->dr7);
	return 0;
}

static int check_rest(const struct vcpu_state *s, struct err *err)
{
	if (s->cr8 > 15)
		return bad(err, "CR8", s->cr8);
	if (s->activity > VCPU_SHUTDOWN_STATE)
		return bad(err, "activity", s->activity);
	if (s->exception_vector != VCPU_NO_VECTOR && s->exception_vector > 31)
		return bad(err, "exception", s->exception_vector);
	if (s->msr_count > VCPU_MSRS_MAX)
		return bad(err, "number of MSRs", s->msr_count);
	if (s->xsave_size < 576 || s->xsave_size > VCPU_XSAVE_MAX)
		return bad(err, "XSAVE size", s->xsave_size);
	if (s->rflags & RFLAGS_VM && (!(s->cr0 & CR0_PE) || s->efer & EFER_LMA))
		return bad(err, "RFLAGS", s->rflags);
	return 0;
}

static void set_events(struct soft_cpu *cpu, const struct vcpu_state *s)
{
	cpu->events.fault = s->exception_vector != VCPU_NO_VECTOR;
	cpu->events.delivering = -1;
	cpu->events.debug = 0;
	cpu->exception.vector = s->exception_vector;
	cpu->exception.has_error = s->exception_has_error;
	cpu->exception.error = s->exception_error;
	cpu->exception.payload = s->exception_payload;
	cpu->events.nmi_masked = s->nmi_masked;
	cpu->shadow = s->interrupt_shadow;
	atomic_store(&cpu->events.pending,
		     (s->nmi_pending || s->nmi_injected ? PENDING_NMI : 0u) | PENDING_INTERRUPT);
	atomic_store(&cpu->events.sipi_vector, s->sipi_vector);
	cpu->events.injected = s->interrupt_vector;
	cpu->events.activity =
		s->activity == VCPU_SIPI_RECEIVED ? VCPU_RUNNING : (enum vcpu_activity)s->activity;
}

static void set_registers(struct soft_cpu *cpu, const struct vcpu_state *s)
{
	bool protected = s->cr0 & CR0_PE && !(s->rflags & RFLAGS_VM);

	memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
	cpu->rip = s->rip;
	status_set(cpu, s->rflags);
	cpu->flags = (uint32_t)((s->rflags & ~RFLAGS_ARITHMETIC) | RFLAGS_FIXED);
	memcpy(cpu->segments, s->segments, sizeof(s->segments));
	for (unsigned i = 0; i < SEG_COUNT; i++)
		cpu->segments[i].attributes &= SEGMENT_VALID;
	cpu->tr = s->tr;
	cpu->ldtr = s->ldtr;
	cpu->gdtr = s->gdtr;
	cpu->idtr = s->idtr;
	cpu->cr0 = s->cr0 | CR0_ET;
	cpu->cr2 = s->cr2;
	cpu->cr3 = s->cr3;
	cpu->cr4 = s->cr4;
	cpu->efer = s->efer;
	memcpy(cpu->pdptr, s->pdptr, sizeof(s->pdptr));
	memcpy(cpu->dr, s->dr, sizeof(s->dr));
	cpu->dr6 = s->dr6 | DR6_FIXED;
	cpu->dr7 = s->dr7 | DR7_FIXED;
	cpu->xcr0 = s->xcr0;
	cpu->cpl = s->rflags & RFLAGS_VM ? 3
		   : protected           ? (uint8_t)segment_dpl(s->segments[SEG_SS].attributes)
					 : 0;
}

int state_set(struct soft_cpu *cpu, const struct vcpu_state *s, struct err *err)
{
	uint8_t old[VCPU_XSAVE_MAX];
	int rc = check_control(cpu, s, err);

	if (!rc)
		rc = check_rest(s, err);
	if (rc)
		return rc;
	memcpy(old, cpu->xsave, sizeof(old));
	memset(cpu->xsave, 0, sizeof(cpu->xsave));
	memcpy(cpu->xsave, s->xsave, MIN(s->xsave_size, cpu->engine->xsave_size));
	if (native_state_load(cpu)) {
		memcpy(cpu->xsave, old, sizeof(old));
		return err_set(err, EINVAL, "processor state has an impossible XSAVE image");
	}
	rc = lapic_load(cpu, s, err);
	if (rc) {
		memcpy(cpu->xsave, old, sizeof(old));
		return rc;
	}
	set_registers(cpu, s);
	for (unsigned i = 0; i < s->msr_count; i++)
		msr_write(cpu, s->msrs[i].index, s->msrs[i].value);
	/* Writing TSC_ADJUST moved it. */
	time_set_tsc(cpu, s->tsc);
	set_events(cpu, s);
	cpu_registers_changed(cpu);
	return 0;
}
