/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading of segment registers, and the instructions that name them: MOV, LDS … LGS, FSGSBASE,
 * SWAPGS, ARPL, LAR, LSL, VERR, VERW.
 *
 * Spec: Intel SDM volume 3, chapters 3 and 5; AMD APM volume 2, chapter 4.
 */
#include "cpu/soft/segment_priv.h"

#include <errno.h>

#include "cpu/soft/block_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/width_priv.h"

#define DESCRIPTOR_ACCESSED 40

static bool has_descriptors(const struct soft_cpu *cpu)
{
	return cpu_protected(cpu) && !cpu_vm86(cpu);
}

bool descriptor_read(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
		     uint64_t *ret_descriptor, uint64_t *ret_linear)
{
	bool local = selector & SELECTOR_TI;
	uint64_t base = local ? cpu->ldtr.base : cpu->gdtr.base;
	uint32_t limit = local ? cpu->ldtr.limit : cpu->gdtr.limit;

	if (local && (!(cpu->ldtr.attributes & SEGMENT_P) || selector_is_null(cpu->ldtr.selector)))
		return false;
	if ((selector | 7u) > limit)
		return false;
	*ret_linear = base + (selector & SELECTOR_INDEX);
	*ret_descriptor = system_load(cpu, insn, *ret_linear, 8);
	return true;
}

uint64_t descriptor_need(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
			 unsigned vector, uint64_t *ret_linear)
{
	uint64_t descriptor;

	if (selector_is_null(selector) ||
	    !descriptor_read(cpu, insn, selector, &descriptor, ret_linear))
		raise_error(cpu, insn, vector, selector & SELECTOR_ERROR);
	return descriptor;
}

uint64_t descriptor_high_base(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear)
{
	return system_load(cpu, insn, linear + 8, 4) << 32;
}

void descriptor_set_bit(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
			uint64_t descriptor, unsigned bit, bool value)
{
	uint8_t byte = (uint8_t)(descriptor >> (bit & ~7u));

	if (!!(descriptor & BIT(bit)) == value)
		return;
	byte = (uint8_t)bits_set(byte, bit % 8, 1, value);
	system_store(cpu, insn, linear + bit / 8, byte, 1);
}

struct vcpu_segment segment_of(uint16_t selector, uint64_t descriptor)
{
	return (struct vcpu_segment){
		.selector = selector,
		.base = descriptor_base(descriptor),
		.limit = descriptor_limit(descriptor),
		.attributes = descriptor_attributes(descriptor),
	};
}

void segment_load_real(struct soft_cpu *cpu, unsigned seg, uint16_t selector)
{
	struct vcpu_segment *s = &cpu->segments[seg];

	s->selector = selector;
	s->base = (uint64_t)selector << 4;
	/* In real mode the limit stays what protected mode left: programs rely on it. */
	if (cpu_vm86(cpu)) {
		s->limit = 0xffff;
		s->attributes = SEGMENT_REAL_DATA | SEGMENT_DPL;
	} else if (!(s->attributes & SEGMENT_P)) {
		s->attributes |= SEGMENT_REAL_DATA;
	}
}

struct vcpu_segment stack_segment_need(struct soft_cpu *cpu, const struct insn *insn,
				       uint16_t selector, unsigned cpl, unsigned vector)
{
	uint64_t linear, d = descriptor_need(cpu, insn, selector, vector, &linear);
	uint16_t a = descriptor_attributes(d);

	if (!(a & SEGMENT_S) || a & SEGMENT_CODE || !(a & SEGMENT_WRITABLE) ||
	    (selector & SELECTOR_RPL) != cpl || segment_dpl(a) != cpl)
		raise_error(cpu, insn, vector, selector & SELECTOR_ERROR);
	if (!(a & SEGMENT_P))
		raise_error(cpu, insn, EXCEPTION_SS, selector & SELECTOR_ERROR);
	descriptor_set_bit(cpu, insn, linear, d, DESCRIPTOR_ACCESSED, true);
	return segment_of(selector, d | BIT(DESCRIPTOR_ACCESSED));
}

static struct vcpu_segment data_segment_need(struct soft_cpu *cpu, const struct insn *insn,
					     uint16_t selector)
{
	uint64_t linear, d = descriptor_need(cpu, insn, selector, EXCEPTION_GP, &linear);
	uint16_t a = descriptor_attributes(d);
	unsigned level = MAX((unsigned)(selector & SELECTOR_RPL), (unsigned)cpu->cpl);
	bool code = a & SEGMENT_CODE;

	if (!(a & SEGMENT_S) || (code && !(a & SEGMENT_READABLE)) ||
	    (!(code && a & SEGMENT_CONFORMS) && segment_dpl(a) < level))
		raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
	if (!(a & SEGMENT_P))
		raise_error(cpu, insn, EXCEPTION_NP, selector & SELECTOR_ERROR);
	descriptor_set_bit(cpu, insn, linear, d, DESCRIPTOR_ACCESSED, true);
	return segment_of(selector, d | BIT(DESCRIPTOR_ACCESSED));
}

void segment_load(struct soft_cpu *cpu, const struct insn *insn, unsigned seg, uint16_t selector)
{
	if (!has_descriptors(cpu)) {
		segment_load_real(cpu, seg, selector);
	} else if (!selector_is_null(selector)) {
		cpu->segments[seg] = seg == SEG_SS ? stack_segment_need(cpu, insn, selector,
									cpu->cpl, EXCEPTION_GP)
						   : data_segment_need(cpu, insn, selector);
	} else {
		if (seg == SEG_SS &&
		    (!cpu_code64(cpu) || cpu->cpl == 3 || (selector & SELECTOR_RPL) != cpu->cpl))
			raise_gp(cpu, insn);
		cpu->segments[seg] = (struct vcpu_segment){ .selector = selector };
		if (seg == SEG_SS)
			cpu->segments[seg].attributes = (uint16_t)(cpu->cpl << SEGMENT_DPL_SHIFT);
	}
}

void cpl_set(struct soft_cpu *cpu, unsigned cpl)
{
	if (cpu->cpl != cpl) {
		cpu->cpl = (uint8_t)cpl;
		mmu_update_rights(cpu);
	}
}

void code_segment_set(struct soft_cpu *cpu, struct vcpu_segment cs, unsigned cpl)
{
	cpu->segments[SEG_CS] = cs;
	cpl_set(cpu, cpl);
}

void flags_write(struct soft_cpu *cpu, uint64_t value, uint64_t mask)
{
	uint64_t flags = (rflags_get(cpu) & ~mask) | (value & mask);

	status_set(cpu, flags);
	cpu->flags = (uint32_t)(flags & ~RFLAGS_ARITHMETIC) | (uint32_t)RFLAGS_FIXED;
	if (mask & RFLAGS_AC)
		mmu_update_rights(cpu);
	if (mask & RFLAGS_VM)
		native_units_update(cpu);
}

HANDLER(mov_from_segment_r16)
{
	*reg16(cpu, insn->dst) = cpu->segments[insn->src].selector;
	return NEXT(cpu, insn);
}

HANDLER(mov_from_segment_r)
{
	*reg64(cpu, insn->dst) = cpu->segments[insn->src].selector;
	return NEXT(cpu, insn);
}

HANDLER(mov_from_segment_m)
{
	STORE_EA(16, cpu->segments[insn->src].selector);
	return NEXT(cpu, insn);
}

/* In 32-bit code the mode depends on the segments, see MODE_FLAT; and SS has its width. */
void segment_ends_block(const struct decoding *d, struct insn *insn, unsigned seg)
{
	if (seg == SEG_SS || d->cpu->mode & MODE_CODE32)
		insn->flags |= INSN_LAST;
}

const struct insn *segment_loaded(struct soft_cpu *cpu, const struct insn *insn)
{
	return insn->flags & INSN_LAST ? leave_to_loop(cpu, insn, rip_next(cpu, insn))
				       : NEXT(cpu, insn);
}

HANDLER(mov_to_segment_r)
{
	segment_load(cpu, insn, insn->dst, *reg16(cpu, insn->src));
	return segment_loaded(cpu, insn);
}

HANDLER(mov_to_segment_m)
{
	segment_load(cpu, insn, insn->dst, LOAD_EA(16));
	return segment_loaded(cpu, insn);
}

/* Interrupts wait until after the instruction that loads the stack pointer. */
HANDLER(mov_to_ss_r)
{
	segment_load(cpu, insn, SEG_SS, *reg16(cpu, insn->src));
	cpu->shadow = cpu->shadow_debug = true;
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

HANDLER(mov_to_ss_m)
{
	segment_load(cpu, insn, SEG_SS, LOAD_EA(16));
	cpu->shadow = cpu->shadow_debug = true;
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

int segment_choose_mov(const struct decoding *d, struct insn *insn, bool load)
{
	bool memory = d->operands[load ? 1 : 0].type == ZYDIS_OPERAND_TYPE_MEMORY;

	if (!load) {
		insn->exec = memory                      ? mov_from_segment_m
			     : d->z->operand_width == 16 ? mov_from_segment_r16
							 : mov_from_segment_r;
		return 0;
	}
	if (insn->dst == SEG_CS || insn->dst > SEG_GS)
		return -ENOENT;
	segment_ends_block(d, insn, insn->dst);
	if (insn->dst == SEG_SS)
		insn->exec = memory ? mov_to_ss_m : mov_to_ss_r;
	else
		insn->exec = memory ? mov_to_segment_m : mov_to_segment_r;
	return 0;
}

/* LES, LDS, LSS, LFS, LGS: offset, then selector. `op` is the segment. */
#define LOAD_POINTER(bits, suffix, mod, name)                                                      \
	HANDLER(load_pointer##bits)                                                                \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 8 + 2, false);                       \
		uint##bits##_t offset = load##bits(cpu, insn, linear);                             \
		uint16_t selector = load16(cpu, insn, linear + bits / 8);                          \
                                                                                                   \
		segment_load(cpu, insn, insn->src, selector);                                      \
		set_reg##bits(cpu, insn->dst, offset);                                             \
		return segment_loaded(cpu, insn);                                                  \
	}

FOR_WIDE_WIDTHS(LOAD_POINTER, load_pointer)

static int choose_pointer(const struct decoding *d, struct insn *insn)
{
	static insn_exec *const exec[] = EXEC_WIDE_WIDTHS(load_pointer);

	switch (d->z->mnemonic) {
	case ZYDIS_MNEMONIC_LES:
		insn->src = SEG_ES;
		break;
	case ZYDIS_MNEMONIC_LDS:
		insn->src = SEG_DS;
		break;
	case ZYDIS_MNEMONIC_LSS:
		insn->src = SEG_SS;
		break;
	case ZYDIS_MNEMONIC_LFS:
		insn->src = SEG_FS;
		break;
	default:
		insn->src = SEG_GS;
	}
	segment_ends_block(d, insn, insn->src);
	insn->exec = exec[width_index(d->operands[0].size)];
	return insn->exec ? 0 : -ENOENT;
}

/* RDFSBASE and its kin. */
static void need_fsgsbase(struct soft_cpu *cpu, const struct insn *insn)
{
	if (!(cpu->cr4 & CR4_FSGSBASE))
		raise_ud(cpu, insn);
}

#define BASE_DEFINE(bits, name, seg)                                                               \
	HANDLER(read_##name##bits)                                                                 \
	{                                                                                          \
		need_fsgsbase(cpu, insn);                                                          \
		set_reg##bits(cpu, insn->dst, (uint##bits##_t)cpu->segments[seg].base);            \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(write_##name##bits)                                                                \
	{                                                                                          \
		uint64_t base = *reg##bits(cpu, insn->dst);                                        \
                                                                                                   \
		need_fsgsbase(cpu, insn);                                                          \
		if (!linear_is_canonical(cpu, base))                                               \
			raise_gp(cpu, insn);                                                       \
		cpu->segments[seg].base = base;                                                    \
		return NEXT(cpu, insn);                                                            \
	}

BASE_DEFINE(32, fsbase, SEG_FS)
BASE_DEFINE(64, fsbase, SEG_FS)
BASE_DEFINE(32, gsbase, SEG_GS)
BASE_DEFINE(64, gsbase, SEG_GS)

HANDLER(swapgs)
{
	uint64_t base = cpu->segments[SEG_GS].base;

	if (cpu->cpl)
		raise_gp(cpu, insn);
	cpu->segments[SEG_GS].base = cpu->msr.kernel_gs_base;
	cpu->msr.kernel_gs_base = base;
	return NEXT(cpu, insn);
}

static void set_zf(struct soft_cpu *cpu, bool value)
{
	cpu->status = (uint16_t)((cpu->status & ~STATUS_ZF) | (value ? STATUS_ZF : 0));
}

/* Whether the value changes. */
static bool arpl(uint16_t *value, uint16_t with)
{
	bool raise = (*value & SELECTOR_RPL) < (with & SELECTOR_RPL);

	if (raise)
		*value = (uint16_t)((*value & ~SELECTOR_RPL) | (with & SELECTOR_RPL));
	return raise;
}

HANDLER(arpl_rr)
{
	uint16_t value;

	if (!has_descriptors(cpu))
		raise_ud(cpu, insn);
	value = *reg16(cpu, insn->dst);
	set_zf(cpu, arpl(&value, *reg16(cpu, insn->src)));
	set_reg16(cpu, insn->dst, value);
	return insn + 1;
}

HANDLER(arpl_mr)
{
	uint16_t value;
	bool raised;

	if (!has_descriptors(cpu))
		raise_ud(cpu, insn);
	value = LOAD_EA(16);
	raised = arpl(&value, *reg16(cpu, insn->src));
	if (raised)
		STORE_EA(16, value);
	set_zf(cpu, raised);
	return insn + 1;
}

/* What LAR, LSL, VERR and VERW may look at: false clears ZF. */
static bool is_visible(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
		       uint64_t *ret_descriptor)
{
	uint64_t linear;
	uint16_t a;

	if (!has_descriptors(cpu))
		raise_ud(cpu, insn);
	if (selector_is_null(selector) ||
	    !descriptor_read(cpu, insn, selector, ret_descriptor, &linear))
		return false;
	a = descriptor_attributes(*ret_descriptor);
	if (a & SEGMENT_S && a & SEGMENT_CODE && a & SEGMENT_CONFORMS)
		return true;
	return segment_dpl(a) >= MAX((unsigned)cpu->cpl, (unsigned)(selector & SELECTOR_RPL));
}

/* System types that LAR and LSL accept, as bit masks by type. */
#define LAR_TYPES      (BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(9) | BIT(11) | BIT(12))
#define LAR_TYPES_LONG (BIT(2) | BIT(9) | BIT(11) | BIT(12))
#define LSL_TYPES      (BIT(1) | BIT(2) | BIT(3) | BIT(9) | BIT(11))
#define LSL_TYPES_LONG (BIT(2) | BIT(9) | BIT(11))

static bool type_in(const struct soft_cpu *cpu, uint64_t descriptor, uint64_t legacy, uint64_t wide)
{
	uint16_t a = descriptor_attributes(descriptor);

	return a & SEGMENT_S || (cpu_long_mode(cpu) ? wide : legacy) & BIT(a & SEGMENT_TYPE);
}

static void lar(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector)
{
	uint64_t d;
	bool ok = is_visible(cpu, insn, selector, &d) && type_in(cpu, d, LAR_TYPES, LAR_TYPES_LONG);

	if (ok && insn->op == 16)
		set_reg16(cpu, insn->dst, (uint16_t)(d >> 32 & 0xff00));
	else if (ok)
		set_reg32(cpu, insn->dst, (uint32_t)(d >> 32) & 0x00ffff00);
	set_zf(cpu, ok);
}

static void lsl(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector)
{
	uint64_t d;
	bool ok = is_visible(cpu, insn, selector, &d) && type_in(cpu, d, LSL_TYPES, LSL_TYPES_LONG);

	if (ok && insn->op == 16)
		set_reg16(cpu, insn->dst, (uint16_t)descriptor_limit(d));
	else if (ok)
		set_reg32(cpu, insn->dst, descriptor_limit(d));
	set_zf(cpu, ok);
}

static void verify(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector)
{
	bool write = insn->op;
	uint64_t d;
	bool ok = is_visible(cpu, insn, selector, &d);
	uint16_t a = ok ? descriptor_attributes(d) : 0;

	if (!(a & SEGMENT_S))
		ok = false;
	else if (a & SEGMENT_CODE)
		ok = ok && !write && a & SEGMENT_READABLE;
	else
		ok = ok && (!write || a & SEGMENT_WRITABLE);
	set_zf(cpu, ok);
}

#define SELECTOR_HANDLERS(name, operand)                                                           \
	static const struct insn *name##_r(struct soft_cpu *cpu, const struct insn *insn)          \
	{                                                                                          \
		name(cpu, insn, *reg16(cpu, insn->operand));                                       \
		return insn + 1;                                                                   \
	}                                                                                          \
	static const struct insn *name##_m(struct soft_cpu *cpu, const struct insn *insn)          \
	{                                                                                          \
		if (!has_descriptors(cpu))                                                         \
			raise_ud(cpu, insn);                                                       \
		name(cpu, insn, LOAD_EA(16));                                                      \
		return insn + 1;                                                                   \
	}

SELECTOR_HANDLERS(lar, src)
SELECTOR_HANDLERS(lsl, src)
SELECTOR_HANDLERS(verify, dst)

static int set_width(const struct decoding *d, struct insn *insn)
{
	insn->op = (uint8_t)d->operands[0].size;
	return 0;
}

static int set_write(const struct decoding *d, struct insn *insn)
{
	insn->op = d->z->mnemonic == ZYDIS_MNEMONIC_VERW;
	return 0;
}

#define ANY_WIDTH(name)                                                                            \
	{                                                                                          \
		name, name, name, name                                                             \
	}
#define POINTER_ROW(mnemonic)                                                                      \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, FORM_ANY, 0, ANY_WIDTH(op_undefined), choose_pointer    \
	}
#define SELECTOR_ROWS(mnemonic, form, name, adjust)                                                \
	{ ZYDIS_MNEMONIC_##mnemonic, form##R, 0, ANY_WIDTH(name##_r), adjust },                    \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, form##M, 0, ANY_WIDTH(name##_m), adjust                 \
	}

const struct op_row segment_rows[] = {
	POINTER_ROW(LES),
	POINTER_ROW(LDS),
	POINTER_ROW(LSS),
	POINTER_ROW(LFS),
	POINTER_ROW(LGS),
	ROW(RDFSBASE, FORM_R, OP_CODE64, { NULL, NULL, read_fsbase32, read_fsbase64 }),
	ROW(RDGSBASE, FORM_R, OP_CODE64, { NULL, NULL, read_gsbase32, read_gsbase64 }),
	ROW(WRFSBASE, FORM_R, OP_CODE64, { NULL, NULL, write_fsbase32, write_fsbase64 }),
	ROW(WRGSBASE, FORM_R, OP_CODE64, { NULL, NULL, write_gsbase32, write_gsbase64 }),
	ROW(SWAPGS, FORM_ANY, OP_CODE64, ANY_WIDTH(swapgs)),
	ROW(ARPL, FORM_RR, OP_LEGACY, ANY_WIDTH(arpl_rr)),
	ROW(ARPL, FORM_MR, OP_LEGACY, ANY_WIDTH(arpl_mr)),
	SELECTOR_ROWS(LAR, FORM_R, lar, set_width),
	SELECTOR_ROWS(LSL, FORM_R, lsl, set_width),
	SELECTOR_ROWS(VERR, FORM_, verify, set_write),
	SELECTOR_ROWS(VERW, FORM_, verify, set_write),
};
const unsigned segment_row_count = ARRAY_SIZE(segment_rows);
