/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control registers, EFER, descriptor-table registers, and TLB control.
 *
 * Spec: Intel SDM volume 3, chapters 2, 4.10 and 9.8; volume 2.
 */
#include <errno.h>
#include <string.h>

#include "cpu/soft/lapic_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/segment_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/width_priv.h"

/* CR4 bits that exist when CPUID says so. */
static const struct {
	uint64_t bit;
	uint32_t leaf;
	enum { REG_EBX, REG_ECX, REG_EDX } reg;
	unsigned shift;
} cr4_features[] = {
	{ CR4_VME, 1, REG_EDX, 1 },      { CR4_PVI, 1, REG_EDX, 1 },
	{ CR4_TSD, 1, REG_EDX, 4 },      { CR4_DE, 1, REG_EDX, 2 },
	{ CR4_PSE, 1, REG_EDX, 3 },      { CR4_PAE, 1, REG_EDX, 6 },
	{ CR4_MCE, 1, REG_EDX, 7 },      { CR4_PGE, 1, REG_EDX, 13 },
	{ CR4_OSFXSR, 1, REG_EDX, 24 },  { CR4_OSXMMEXCPT, 1, REG_EDX, 25 },
	{ CR4_UMIP, 7, REG_ECX, 2 },     { CR4_LA57, 7, REG_ECX, 16 },
	{ CR4_FSGSBASE, 7, REG_EBX, 0 }, { CR4_PCIDE, 1, REG_ECX, 17 },
	{ CR4_OSXSAVE, 1, REG_ECX, 26 }, { CR4_SMEP, 7, REG_EBX, 7 },
	{ CR4_SMAP, 7, REG_EBX, 20 },
};

uint64_t control_cr4_valid(const struct soft_cpu *cpu)
{
	uint64_t valid = CR4_PCE;

	for (unsigned i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		struct cpuid_regs r = cpuid_query(&cpu->engine->cpuid, cr4_features[i].leaf, 0);
		uint32_t value = cr4_features[i].reg == REG_EBX   ? r.ebx
				 : cr4_features[i].reg == REG_ECX ? r.ecx
								  : r.edx;

		if (value >> cr4_features[i].shift & 1)
			valid |= cr4_features[i].bit;
	}
	return valid;
}

static bool uses_pae_pointers(const struct soft_cpu *cpu, uint64_t cr0, uint64_t cr4)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(cpu->efer & EFER_LME);
}

/* Long mode becomes active or inactive with paging. */
static bool switch_long_mode(struct soft_cpu *cpu, uint64_t cr0)
{
	bool on = cr0 & CR0_PG && cpu->efer & EFER_LME;

	if (on == cpu_long_mode(cpu))
		return true;
	if (on && (!(cpu->cr4 & CR4_PAE) || cpu->segments[SEG_CS].attributes & SEGMENT_L))
		return false;
	if (!on && (cpu_code64(cpu) || cpu->cr4 & CR4_PCIDE))
		return false;
	cpu->efer ^= EFER_LMA;
	return true;
}

bool control_write_cr0(struct soft_cpu *cpu, uint64_t value)
{
	uint64_t old = cpu->cr0, changed;

	value = (value & ~(UINT32_MAX & ~CR0_VALID)) | CR0_ET;
	changed = old ^ value;
	if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) ||
	    (value & CR0_NW && !(value & CR0_CD)))
		return false;
	if (!(value & CR0_PG) && old & CR0_PG && cpu->cr4 & CR4_PCIDE)
		return false;
	if (changed & (CR0_PG | CR0_CD | CR0_NW) && uses_pae_pointers(cpu, value, cpu->cr4) &&
	    !mmu_load_pdptrs(cpu, cpu->cr3, cpu->pdptr))
		return false;
	if (changed & CR0_PG && !switch_long_mode(cpu, value))
		return false;
	cpu->cr0 = value;
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		mmu_flush_all(cpu);
	mmu_update_rights(cpu);
	native_units_update(cpu);
	return true;
}

bool control_write_cr3(struct soft_cpu *cpu, uint64_t value)
{
	bool keep = false;

	if (cpu->cr4 & CR4_PCIDE) {
		keep = value & CR3_NO_FLUSH;
		value &= ~CR3_NO_FLUSH;
	}
	if (cpu_long_mode(cpu)) {
		if (value & ~bits_mask(cpu->engine->physical_bits))
			return false;
	} else {
		value = (uint32_t)value;
		if (uses_pae_pointers(cpu, cpu->cr0, cpu->cr4) &&
		    !mmu_load_pdptrs(cpu, value, cpu->pdptr))
			return false;
	}
	cpu->cr3 = value;
	mmu_switch(cpu, keep);
	return true;
}

#define CR4_TRANSLATION                                                                            \
	(CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57 | CR4_PKE)

bool control_write_cr4(struct soft_cpu *cpu, uint64_t value)
{
	uint64_t changed = cpu->cr4 ^ value;

	if (value & ~control_cr4_valid(cpu))
		return false;
	if (cpu_long_mode(cpu) && (!(value & CR4_PAE) || changed & CR4_LA57))
		return false;
	if (changed & value & CR4_PCIDE && (!cpu_long_mode(cpu) || cpu->cr3 & CR3_PCID))
		return false;
	if (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP) &&
	    uses_pae_pointers(cpu, cpu->cr0, value) && !mmu_load_pdptrs(cpu, cpu->cr3, cpu->pdptr))
		return false;
	cpu->cr4 = value;
	if (changed & CR4_TRANSLATION)
		mmu_flush_all(cpu);
	mmu_update_rights(cpu);
	native_units_update(cpu);
	return true;
}

bool control_write_efer(struct soft_cpu *cpu, uint64_t value)
{
	struct cpuid_regs r = cpuid_query(&cpu->engine->cpuid, 0x80000001, 0);
	uint64_t valid = EFER_LMA;

	valid |= r.edx & BIT(11) ? EFER_SCE : 0;
	valid |= r.edx & BIT(20) ? EFER_NXE : 0;
	valid |= r.edx & BIT(25) ? EFER_FFXSR : 0;
	valid |= r.edx & BIT(29) ? EFER_LME : 0;
	if (value & ~valid || (cpu->cr0 & CR0_PG && (cpu->efer ^ value) & EFER_LME))
		return false;
	value = (value & ~EFER_LMA) | (cpu->efer & EFER_LMA);
	if ((cpu->efer ^ value) & EFER_NXE)
		mmu_flush_all(cpu);
	cpu->efer = value;
	return true;
}

static void need_cpl0(struct soft_cpu *cpu, const struct insn *insn)
{
	if (cpu->cpl)
		raise_gp(cpu, insn);
}

HANDLER(mov_from_cr)
{
	uint64_t value;

	need_cpl0(cpu, insn);
	switch (insn->src) {
	case 0:
		value = cpu->cr0;
		break;
	case 2:
		value = cpu->cr2;
		break;
	case 3:
		value = cpu->cr3;
		break;
	case 4:
		value = cpu->cr4;
		break;
	case 8:
		value = lapic_get_cr8(cpu);
		break;
	default:
		raise_ud(cpu, insn);
	}
	*reg64(cpu, insn->dst) = cpu_code64(cpu) ? value : (uint32_t)value;
	return NEXT(cpu, insn);
}

HANDLER(mov_to_cr)
{
	uint64_t value = cpu_code64(cpu) ? *reg64(cpu, insn->src) : *reg32(cpu, insn->src);
	bool ok = true;

	need_cpl0(cpu, insn);
	switch (insn->dst) {
	case 0:
		ok = control_write_cr0(cpu, value);
		break;
	case 2:
		cpu->cr2 = value;
		break;
	case 3:
		ok = control_write_cr3(cpu, value);
		break;
	case 4:
		ok = control_write_cr4(cpu, value);
		break;
	case 8:
		ok = lapic_set_cr8(cpu, value);
		break;
	default:
		raise_ud(cpu, insn);
	}
	if (!ok)
		raise_gp(cpu, insn);
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

int control_choose_mov(struct insn *insn, bool load)
{
	insn->exec = load ? mov_to_cr : mov_from_cr;
	if (load)
		insn->flags |= INSN_LAST;
	return 0;
}

HANDLER(clts)
{
	need_cpl0(cpu, insn);
	cpu->cr0 &= ~CR0_TS;
	native_units_update(cpu);
	return NEXT(cpu, insn);
}

/* LMSW changes PE (only to one), MP, EM and TS. */
static const struct insn *lmsw(struct soft_cpu *cpu, const struct insn *insn, uint16_t value)
{
	uint64_t mask = CR0_MP | CR0_EM | CR0_TS;

	need_cpl0(cpu, insn);
	if (!control_write_cr0(cpu, (cpu->cr0 & ~mask) | (value & (mask | CR0_PE))))
		raise_gp(cpu, insn);
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

HANDLER(lmsw_r)
{
	return lmsw(cpu, insn, *reg16(cpu, insn->dst));
}

HANDLER(lmsw_m)
{
	return lmsw(cpu, insn, LOAD_EA(16));
}

/* SMSW, SGDT, SIDT, SLDT and STR tell user space about the kernel: UMIP forbids them there. */
static void need_umip(struct soft_cpu *cpu, const struct insn *insn)
{
	if (cpu->cpl && cpu->cr4 & CR4_UMIP)
		raise_gp(cpu, insn);
}

static void need_protected(struct soft_cpu *cpu, const struct insn *insn)
{
	if (!cpu_protected(cpu) || cpu_vm86(cpu))
		raise_ud(cpu, insn);
}

#define STORE_DEFINE(bits, suffix, mod, name, value)                                               \
	HANDLER(name##_r##bits)                                                                    \
	{                                                                                          \
		need_umip(cpu, insn);                                                              \
		set_reg##bits(cpu, insn->dst, (uint##bits##_t)(value));                            \
		return NEXT(cpu, insn);                                                            \
	}

#define STORE_MEMORY(name, value)                                                                  \
	HANDLER(name##_m)                                                                          \
	{                                                                                          \
		need_umip(cpu, insn);                                                              \
		STORE_EA(16, (uint16_t)(value));                                                   \
		return NEXT(cpu, insn);                                                            \
	}

static uint16_t ldt_selector(struct soft_cpu *cpu, const struct insn *insn)
{
	need_protected(cpu, insn);
	return cpu->ldtr.selector;
}

static uint16_t task_selector(struct soft_cpu *cpu, const struct insn *insn)
{
	need_protected(cpu, insn);
	return cpu->tr.selector;
}

FOR_WIDE_WIDTHS(STORE_DEFINE, smsw, cpu->cr0)
FOR_WIDE_WIDTHS(STORE_DEFINE, sldt, ldt_selector(cpu, insn))
FOR_WIDE_WIDTHS(STORE_DEFINE, str, task_selector(cpu, insn))
STORE_MEMORY(smsw, cpu->cr0)
STORE_MEMORY(sldt, ldt_selector(cpu, insn))
STORE_MEMORY(str, task_selector(cpu, insn))

static const struct insn *store_table(struct soft_cpu *cpu, const struct insn *insn,
				      const struct vcpu_table_register *table)
{
	unsigned size = cpu_code64(cpu) ? 8 : 4;
	uint8_t image[10];

	need_umip(cpu, insn);
	memcpy(image, &table->limit, 2);
	memcpy(image + 2, &table->base, size);
	store_bytes(cpu, insn, ea_linear(cpu, insn, 2 + size, true), image, 2 + size);
	return insn + 1;
}

HANDLER(sgdt)
{
	return store_table(cpu, insn, &cpu->gdtr);
}

HANDLER(sidt)
{
	return store_table(cpu, insn, &cpu->idtr);
}

/* `imm` is the operand size: with 16 bits only 24 of the base count. */
static const struct insn *load_table(struct soft_cpu *cpu, const struct insn *insn,
				     struct vcpu_table_register *table)
{
	unsigned size = cpu_code64(cpu) ? 8 : 4;
	uint64_t linear, base;
	uint16_t limit;

	need_cpl0(cpu, insn);
	linear = ea_linear(cpu, insn, 2 + size, false);
	limit = load16(cpu, insn, linear);
	base = size == 8 ? load64(cpu, insn, linear + 2) : load32(cpu, insn, linear + 2);
	if (size == 8 && !linear_is_canonical(cpu, base))
		raise_gp(cpu, insn);
	if (insn->imm == 16)
		base &= 0xffffff;
	*table = (struct vcpu_table_register){ .base = base, .limit = limit };
	return next_serialised(cpu, insn);
}

HANDLER(lgdt)
{
	return load_table(cpu, insn, &cpu->gdtr);
}

HANDLER(lidt)
{
	return load_table(cpu, insn, &cpu->idtr);
}

static void load_system(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector, bool task)
{
	struct vcpu_segment *target = task ? &cpu->tr : &cpu->ldtr;
	struct vcpu_segment s;
	uint64_t linear, d;
	unsigned type;
	bool bad;

	need_protected(cpu, insn);
	need_cpl0(cpu, insn);
	if (!task && selector_is_null(selector)) {
		*target = (struct vcpu_segment){ .selector = selector };
		return;
	}
	if (selector & SELECTOR_TI)
		raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
	d = descriptor_need(cpu, insn, selector, EXCEPTION_GP, &linear);
	type = descriptor_attributes(d) & (SEGMENT_S | SEGMENT_TYPE);
	if (task)
		bad = type != SYSTEM_TSS_AVAILABLE &&
		      (type != SYSTEM_TSS16_AVAILABLE || cpu_long_mode(cpu));
	else
		bad = type != SYSTEM_LDT;
	if (bad)
		raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
	if (!(descriptor_attributes(d) & SEGMENT_P))
		raise_error(cpu, insn, EXCEPTION_NP, selector & SELECTOR_ERROR);
	s = segment_of(selector, d);
	if (cpu_long_mode(cpu)) {
		s.base |= descriptor_high_base(cpu, insn, linear);
		if (!linear_is_canonical(cpu, s.base))
			raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
	}
	if (task) {
		descriptor_set_bit(cpu, insn, linear, d, 41, true);
		s.attributes |= 2; /* busy */
	}
	*target = s;
}

#define LOAD_SYSTEM(name, task)                                                                    \
	HANDLER(name##_r)                                                                          \
	{                                                                                          \
		load_system(cpu, insn, *reg16(cpu, insn->dst), task);                              \
		return next_serialised(cpu, insn);                                                 \
	}                                                                                          \
	HANDLER(name##_m)                                                                          \
	{                                                                                          \
		need_protected(cpu, insn);                                                         \
		need_cpl0(cpu, insn);                                                              \
		load_system(cpu, insn, LOAD_EA(16), task);                                         \
		return next_serialised(cpu, insn);                                                 \
	}

LOAD_SYSTEM(lldt, false)
LOAD_SYSTEM(ltr, true)

HANDLER(invlpg)
{
	uint64_t linear;

	need_cpl0(cpu, insn);
	linear = ea_cut(cpu, insn);
	if (insn->ea == EA_BASED || !cpu_code64(cpu))
		linear += cpu->segments[insn->seg].base;
	mmu_flush_page(cpu, cpu_long_mode(cpu) ? linear : (uint32_t)linear);
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

enum invpcid_type { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_BUT_GLOBAL };

HANDLER(invpcid)
{
	uint64_t type = cpu_code64(cpu) ? *reg64(cpu, insn->dst) : *reg32(cpu, insn->dst);
	uint64_t linear, pcid, address;

	need_cpl0(cpu, insn);
	linear = ea_linear(cpu, insn, 16, false);
	pcid = load64(cpu, insn, linear);
	address = load64(cpu, insn, linear + 8);
	if (type > INVPCID_ALL_BUT_GLOBAL || (type <= INVPCID_CONTEXT && pcid & ~CR3_PCID) ||
	    (type <= INVPCID_CONTEXT && pcid && !(cpu->cr4 & CR4_PCIDE)) ||
	    (type == INVPCID_ADDRESS && !linear_is_canonical(cpu, address)))
		raise_gp(cpu, insn);
	if (type == INVPCID_ADDRESS)
		mmu_flush_page(cpu, address);
	else if (type == INVPCID_CONTEXT)
		mmu_flush_pcid(cpu, pcid);
	else
		mmu_flush_all(cpu);
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

/* Cache control has nothing to do here: memory is coherent. */
HANDLER(cache_flush)
{
	need_cpl0(cpu, insn);
	return next_serialised(cpu, insn);
}

static int set_size(const struct decoding *d, struct insn *insn)
{
	insn->imm = d->z->operand_width;
	return 0;
}

#define ANY_WIDTH(name)                                                                            \
	{                                                                                          \
		name, name, name, name                                                             \
	}
#define STORE_ROWS(mnemonic, name)                                                                 \
	ROW(mnemonic, FORM_R, 0, EXEC_WIDE_WIDTHS(name##_r)),                                      \
		ROW(mnemonic, FORM_M, 0, ANY_WIDTH(name##_m))
#define LOAD_ROWS(mnemonic, name, flags)                                                           \
	ROW(mnemonic, FORM_R, flags, ANY_WIDTH(name##_r)),                                         \
		ROW(mnemonic, FORM_M, flags, ANY_WIDTH(name##_m))

const struct op_row control_rows[] = {
	ROW(CLTS, FORM_ANY, 0, ANY_WIDTH(clts)),
	LOAD_ROWS(LMSW, lmsw, OP_END),
	STORE_ROWS(SMSW, smsw),
	STORE_ROWS(SLDT, sldt),
	STORE_ROWS(STR, str),
	ROW(SGDT, FORM_M, 0, ANY_WIDTH(sgdt)),
	ROW(SIDT, FORM_M, 0, ANY_WIDTH(sidt)),
	{ ZYDIS_MNEMONIC_LGDT, FORM_M, 0, ANY_WIDTH(lgdt), set_size },
	{ ZYDIS_MNEMONIC_LIDT, FORM_M, 0, ANY_WIDTH(lidt), set_size },
	LOAD_ROWS(LLDT, lldt, 0),
	LOAD_ROWS(LTR, ltr, 0),
	ROW(INVLPG, FORM_M, OP_END, ANY_WIDTH(invlpg)),
	ROW(INVPCID, FORM_RM, OP_END, ANY_WIDTH(invpcid)),
	ROW(WBINVD, FORM_ANY, 0, ANY_WIDTH(cache_flush)),
	ROW(INVD, FORM_ANY, 0, ANY_WIDTH(cache_flush)),
};
const unsigned control_row_count = ARRAY_SIZE(control_rows);
