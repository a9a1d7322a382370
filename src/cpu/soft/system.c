/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT, INT n and its kin, HLT, MONITOR, MWAIT, CPUID, RDMSR, WRMSR,
 * RDTSC, RDPMC, XGETBV, XSETBV, STAC, CLAC.
 *
 * Spec: Intel SDM volume 2; AMD APM volume 3 for SYSCALL in compatibility mode.
 */
#include <errno.h>

#include "cpu/soft/debug_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/segment_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/time_priv.h"
#include "cpu/soft/width_priv.h"

#define RAX REG_OFFSET(GPR_RAX)
#define RBX REG_OFFSET(GPR_RBX)
#define RCX REG_OFFSET(GPR_RCX)
#define RDX REG_OFFSET(GPR_RDX)

static struct vcpu_segment flat_code(uint16_t selector, unsigned dpl, bool code64)
{
	uint16_t attributes = code64 ? SEGMENT_CODE64 : SEGMENT_CODE32;

	return (struct vcpu_segment){ .selector = selector,
				      .limit = UINT32_MAX,
				      .attributes =
					      (uint16_t)(attributes | dpl << SEGMENT_DPL_SHIFT) };
}

static struct vcpu_segment flat_data(uint16_t selector, unsigned dpl)
{
	return (struct vcpu_segment){ .selector = selector,
				      .limit = UINT32_MAX,
				      .attributes = (uint16_t)(SEGMENT_DATA32 |
							       dpl << SEGMENT_DPL_SHIFT) };
}

HANDLER(syscall)
{
	uint16_t selector = (uint16_t)(cpu->msr.star >> 32) & 0xfffc;
	uint64_t next = rip_next(cpu, insn);

	if (!(cpu->efer & EFER_SCE) || !cpu_protected(cpu) ||
	    (!cpu_long_mode(cpu) && !cpu->engine->vendor_amd) ||
	    (!cpu_code64(cpu) && !cpu->engine->vendor_amd))
		raise_ud(cpu, insn);
	if (cpu_long_mode(cpu)) {
		bool code64 = cpu_code64(cpu);

		cpu->gpr[GPR_RCX] = code64 ? next : (uint32_t)next;
		cpu->gpr[GPR_R11] = rflags_get(cpu) & ~RFLAGS_RF;
		flags_write(cpu, 0, cpu->msr.syscall_mask | RFLAGS_RF);
		next = code64 ? cpu->msr.lstar : cpu->msr.cstar;
		code_segment_set(cpu, flat_code(selector, 0, true), 0);
	} else {
		*reg64(cpu, RCX) = (uint32_t)next;
		flags_write(cpu, 0, RFLAGS_IF | RFLAGS_VM | RFLAGS_RF);
		next = (uint32_t)cpu->msr.star;
		code_segment_set(cpu, flat_code(selector, 0, false), 0);
	}
	cpu->segments[SEG_SS] = flat_data(selector + 8, 0);
	cpu->unstepped = !(cpu->flags & RFLAGS_TF);
	return leave_to_loop(cpu, insn, next);
}

/* `imm` is the operand size in bits: 64 returns to 64-bit code. */
HANDLER(sysret)
{
	uint16_t base = (uint16_t)(cpu->msr.star >> 48);
	bool code64 = insn->imm == 64;
	uint64_t target = code64 ? cpu->gpr[GPR_RCX] : (uint32_t)cpu->gpr[GPR_RCX];

	if (!(cpu->efer & EFER_SCE) || (!cpu_code64(cpu) && !cpu->engine->vendor_amd))
		raise_ud(cpu, insn);
	if (cpu->cpl || !cpu_protected(cpu) || (code64 && !linear_is_canonical(cpu, target)))
		raise_gp(cpu, insn);
	if (cpu_long_mode(cpu))
		flags_write(cpu, cpu->gpr[GPR_R11], RFLAGS_VALID & ~(RFLAGS_RF | RFLAGS_VM));
	else
		flags_write(cpu, RFLAGS_IF, RFLAGS_IF);
	code_segment_set(cpu, flat_code((uint16_t)((base + (code64 ? 16 : 0)) | 3), 3, code64), 3);
	cpu->segments[SEG_SS] = flat_data((uint16_t)((base + 8) | 3), 3);
	/* Of TF, it is the value that it sets that counts. Spec: AMD APM volume 3, SYSRET. */
	if (cpu->flags & RFLAGS_TF) {
		cpu->rip = target;
		debug_note(cpu, DR6_BS);
		raise_fault(cpu, NULL, EXCEPTION_DB);
	}
	return leave_to_loop(cpu, insn, target);
}

HANDLER(sysenter)
{
	uint16_t selector = (uint16_t)(cpu->msr.sysenter_cs & 0xfffc);
	bool wide = cpu_long_mode(cpu);

	if (wide && cpu->engine->vendor_amd)
		raise_ud(cpu, insn);
	if (!cpu_protected(cpu) || !selector)
		raise_gp(cpu, insn);
	flags_write(cpu, 0, RFLAGS_VM | RFLAGS_IF | RFLAGS_RF);
	cpu->gpr[GPR_RSP] = wide ? cpu->msr.sysenter_esp : (uint32_t)cpu->msr.sysenter_esp;
	code_segment_set(cpu, flat_code(selector, 0, wide), 0);
	cpu->segments[SEG_SS] = flat_data(selector + 8, 0);
	return leave_to_loop(cpu, insn,
			     wide ? cpu->msr.sysenter_eip : (uint32_t)cpu->msr.sysenter_eip);
}

HANDLER(sysexit)
{
	uint16_t base = (uint16_t)(cpu->msr.sysenter_cs & 0xfffc);
	bool code64 = insn->imm == 64;
	uint64_t target = code64 ? cpu->gpr[GPR_RDX] : (uint32_t)cpu->gpr[GPR_RDX];

	if (cpu_long_mode(cpu) && cpu->engine->vendor_amd)
		raise_ud(cpu, insn);
	if (!base || !cpu_protected(cpu) || cpu->cpl ||
	    (code64 &&
	     (!linear_is_canonical(cpu, target) || !linear_is_canonical(cpu, cpu->gpr[GPR_RCX]))))
		raise_gp(cpu, insn);
	cpu->gpr[GPR_RSP] = code64 ? cpu->gpr[GPR_RCX] : (uint32_t)cpu->gpr[GPR_RCX];
	code_segment_set(cpu, flat_code((uint16_t)((base + (code64 ? 32 : 16)) | 3), 3, code64), 3);
	cpu->segments[SEG_SS] = flat_data((uint16_t)((base + (code64 ? 40 : 24)) | 3), 3);
	return leave_to_loop(cpu, insn, target);
}

static const struct insn *soft_interrupt(struct soft_cpu *cpu, const struct insn *insn,
					 unsigned vector, enum event_kind kind)
{
	uint64_t next = rip_next(cpu, insn);

	cpu->instructions += insn->op;
	event_deliver(cpu, insn, vector, kind, cpu_code64(cpu) ? next : (uint32_t)next, false, 0);
	cpu->unstepped = true; /* TF is off when the handler begins */
	return NULL;
}

/* In vm86 mode INT n is the monitor's business unless IOPL is 3, or VME redirects it. */
static void deliver_vm86(struct soft_cpu *cpu, const struct insn *insn, unsigned vector)
{
	bool vme = cpu->cr4 & CR4_VME;
	unsigned iopl = cpu->flags >> RFLAGS_IOPL_SHIFT & 3;

	if (vme) {
		uint64_t map = system_load(cpu, insn, cpu->tr.base + 102, 2);
		uint64_t byte = map - 32 + vector / 8;

		if (map >= 32 && byte <= cpu->tr.limit &&
		    !(system_load(cpu, insn, cpu->tr.base + byte, 1) >> (vector % 8) & 1))
			raise_gp(cpu, insn);
	}
	if (iopl < 3)
		raise_gp(cpu, insn);
}

HANDLER(int_n)
{
	if (cpu_vm86(cpu))
		deliver_vm86(cpu, insn, (uint8_t)insn->imm);
	return soft_interrupt(cpu, insn, (uint8_t)insn->imm, EVENT_SOFT);
}

HANDLER(int3)
{
	return soft_interrupt(cpu, insn, EXCEPTION_BP, EVENT_TRAP3);
}

/* Watchpoints that wait for the end of MOV SS's shadow are told together with it. */
HANDLER(int1)
{
	cpu->dr6 |= cpu->events.debug;
	cpu->events.debug = 0;
	return soft_interrupt(cpu, insn, EXCEPTION_DB, EVENT_TRAP1);
}

HANDLER(into)
{
	if (cpu->status & STATUS_OF)
		return soft_interrupt(cpu, insn, EXCEPTION_OF, EVENT_TRAP3);
	return leave_to_loop(cpu, insn, (uint32_t)rip_next(cpu, insn));
}

static void need_cpl0(struct soft_cpu *cpu, const struct insn *insn)
{
	if (cpu->cpl)
		raise_gp(cpu, insn);
}

HANDLER(hlt)
{
	need_cpl0(cpu, insn);
	cpu->events.activity = VCPU_HALTED;
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

HANDLER(cpuid)
{
	struct cpuid_regs r = cpu_cpuid(cpu, *reg32(cpu, RAX), *reg32(cpu, RCX));

	*reg64(cpu, RAX) = r.eax;
	*reg64(cpu, RBX) = r.ebx;
	*reg64(cpu, RCX) = r.ecx;
	*reg64(cpu, RDX) = r.edx;
	return next_serialised(cpu, insn);
}

HANDLER(rdmsr)
{
	uint64_t value;

	need_cpl0(cpu, insn);
	if (!msr_read(cpu, *reg32(cpu, RCX), &value))
		raise_gp(cpu, insn);
	value |= msr_ones(*reg32(cpu, RCX));
	*reg64(cpu, RAX) = (uint32_t)value;
	*reg64(cpu, RDX) = value >> 32;
	return insn + 1;
}

HANDLER(wrmsr)
{
	uint64_t value = *reg32(cpu, RAX) | (uint64_t)*reg32(cpu, RDX) << 32;

	need_cpl0(cpu, insn);
	value &= ~msr_ones(*reg32(cpu, RCX));
	if (!msr_write(cpu, *reg32(cpu, RCX), value))
		raise_gp(cpu, insn);
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

static void set_pair(struct soft_cpu *cpu, uint64_t value)
{
	*reg64(cpu, RAX) = (uint32_t)value;
	*reg64(cpu, RDX) = value >> 32;
}

HANDLER(rdtsc)
{
	if (cpu->cr4 & CR4_TSD && cpu->cpl)
		raise_gp(cpu, insn);
	set_pair(cpu, time_tsc(cpu));
	return NEXT(cpu, insn);
}

HANDLER(rdtscp)
{
	if (cpu->cr4 & CR4_TSD && cpu->cpl)
		raise_gp(cpu, insn);
	set_pair(cpu, time_tsc(cpu));
	*reg64(cpu, RCX) = (uint32_t)cpu->msr.tsc_aux;
	return NEXT(cpu, insn);
}

/* There are no performance counters. */
HANDLER(rdpmc)
{
	raise_gp(cpu, insn);
}

HANDLER(rdpid)
{
	*reg64(cpu, insn->dst) = cpu->msr.tsc_aux;
	return NEXT(cpu, insn);
}

HANDLER(xgetbv)
{
	uint32_t index = *reg32(cpu, RCX);

	if (!(cpu->cr4 & CR4_OSXSAVE))
		raise_ud(cpu, insn);
	if (index > 1)
		raise_gp(cpu, insn);
	/* Index 1 tells which components are not in their initial state. */
	set_pair(cpu, index ? cpu->xcr0 & *(uint64_t *)(cpu->xsave + 512) : cpu->xcr0);
	return NEXT(cpu, insn);
}

HANDLER(xsetbv)
{
	uint64_t value = *reg32(cpu, RAX) | (uint64_t)*reg32(cpu, RDX) << 32;
	uint64_t wide = value & XCR0_AVX512;

	if (!(cpu->cr4 & CR4_OSXSAVE))
		raise_ud(cpu, insn);
	need_cpl0(cpu, insn);
	if (*reg32(cpu, RCX) || value & ~cpu->engine->xcr0_mask || !(value & XCR0_X87) ||
	    (value & XCR0_AVX && !(value & XCR0_SSE)) ||
	    (wide && (wide != XCR0_AVX512 || !(value & XCR0_AVX))))
		raise_gp(cpu, insn);
	cpu->xcr0 = value;
	native_units_update(cpu);
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

static void set_ac(struct soft_cpu *cpu, const struct insn *insn, bool on)
{
	/* Legal with the feature, in use or not; the set bit spares the look at CPUID. */
	if (cpu->cpl || (!(cpu->cr4 & CR4_SMAP) && !(control_cr4_valid(cpu) & CR4_SMAP)))
		raise_ud(cpu, insn);
	cpu->flags = on ? cpu->flags | RFLAGS_AC : cpu->flags & ~(uint32_t)RFLAGS_AC;
	mmu_update_rights(cpu);
}

HANDLER(stac)
{
	set_ac(cpu, insn, true);
	return NEXT(cpu, insn);
}

HANDLER(clac)
{
	set_ac(cpu, insn, false);
	return NEXT(cpu, insn);
}

static int set_size(const struct decoding *d, struct insn *insn)
{
	insn->imm = d->z->operand_width;
	return 0;
}

#define SYSTEM_ROW(mnemonic, name, flags)                                                          \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, FORM_ANY, flags, { name, name, name, name }, NULL       \
	}

const struct op_row system_rows[] = {
	SYSTEM_ROW(SYSCALL, syscall, OP_END),
	{ ZYDIS_MNEMONIC_SYSRET, FORM_ANY, OP_END, { sysret, sysret, sysret, sysret }, set_size },
	SYSTEM_ROW(SYSENTER, sysenter, OP_END),
	{ ZYDIS_MNEMONIC_SYSEXIT,
	  FORM_ANY,
	  OP_END,
	  { sysexit, sysexit, sysexit, sysexit },
	  set_size },
	SYSTEM_ROW(INT, int_n, OP_END),
	SYSTEM_ROW(INT3, int3, OP_END),
	SYSTEM_ROW(INT1, int1, OP_END),
	SYSTEM_ROW(INTO, into, OP_END),
	SYSTEM_ROW(HLT, hlt, OP_END),
	SYSTEM_ROW(CPUID, cpuid, 0),
	SYSTEM_ROW(RDMSR, rdmsr, 0),
	SYSTEM_ROW(WRMSR, wrmsr, OP_END),
	SYSTEM_ROW(RDTSC, rdtsc, 0),
	SYSTEM_ROW(RDTSCP, rdtscp, 0),
	SYSTEM_ROW(RDPMC, rdpmc, OP_END),
	SYSTEM_ROW(RDPID, rdpid, 0),
	SYSTEM_ROW(XGETBV, xgetbv, 0),
	SYSTEM_ROW(XSETBV, xsetbv, OP_END),
	SYSTEM_ROW(STAC, stac, 0),
	SYSTEM_ROW(CLAC, clac, 0),
};
const unsigned system_row_count = ARRAY_SIZE(system_rows);
