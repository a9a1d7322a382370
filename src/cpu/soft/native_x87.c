/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and MMX instructions: pending exceptions, the pointer registers, and the environment.
 *
 * The unit's state is in the XSAVE image between instructions and in the processor only inside a
 * thunk; so the host never sees a pending exception of the guest. What a thunk leaves in FIP and
 * FDP are addresses of the host: the guest's are put in their place. FOP, FIP and FDP are those of
 * the last instruction that is no control instruction, as on processors that do not limit them to
 * unmasked exceptions; FNINIT and FNSAVE clear them.
 *
 * In 64-bit code FIP and FDP are kept as 64-bit offsets, else as 32-bit offset and selector, in the
 * form of FXSAVE with and without REX.W.
 *
 * With CR0.NE clear an unmasked exception does not raise #MF. The line that would interrupt instead
 * (FERR# to IRQ 13) is not modelled, and IGNNE# counts as asserted: the instruction runs as if the
 * exceptions were masked.
 *
 * Spec: Intel SDM volume 1, chapter 8; section 8.7 (exception signalling), figures 8-9 to 8-12
 * (environment in memory); volume 1, chapter 9 (MMX).
 */
#include <errno.h>
#include <string.h>

#include "cpu/soft/native_exec_priv.h"

#define X87_FCW  0u /* offsets in the image */
#define X87_FSW  2u
#define X87_TAGS 4u
#define X87_ST0  32u

#define FSW_SUMMARY    UINT16_C(0x8080) /* ES and B */
#define FSW_EXCEPTIONS UINT16_C(0x3f)

enum x87_flags { X87_WAITS = 1u << 0 }; /* insn->dst: raises a pending exception first */

static uint16_t *field(struct soft_cpu *cpu, unsigned offset)
{
	return (uint16_t *)(cpu->xsave + offset);
}

static void summary_update(struct soft_cpu *cpu)
{
	uint16_t *fsw = field(cpu, X87_FSW);

	*fsw &= (uint16_t)~FSW_SUMMARY;
	if (*fsw & ~*field(cpu, X87_FCW) & FSW_EXCEPTIONS)
		*fsw |= FSW_SUMMARY;
}

static void x87_ready(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	if (unlikely(insn->dst & X87_WAITS && *field(cpu, X87_FSW) & FSW_SUMMARY &&
		     cpu->cr0 & CR0_NE))
		raise_fault(cpu, insn, EXCEPTION_MF);
}

/* Makes FOP, FIP and FDP what the guest expects; `before` is what they were, from FIP on. */
static void pointers_update(struct soft_cpu *cpu, const struct insn *insn, const uint64_t *before)
{
	const struct native_operand *operand = native_operand(insn);
	uint64_t pointers[2] = { before[0], before[1] };

	if (operand->fop != FOP_NONE) {
		bool wide = cpu_code64(cpu);

		pointers[0] = cpu->rip + insn->offset;
		if (!wide)
			pointers[0] = (uint32_t)pointers[0] |
				      (uint64_t)cpu->segments[SEG_CS].selector << 32;
		if (operand->size) {
			pointers[1] = ea_offset(cpu, insn);
			if (!wide)
				pointers[1] = (uint32_t)pointers[1] |
					      (uint64_t)cpu->segments[insn->seg].selector << 32;
		}
		*field(cpu, XSAVE_FOP) = operand->fop;
	}
	memcpy(cpu->xsave + XSAVE_FIP, pointers, sizeof(pointers));
}

/* Runs the thunk with all exceptions masked, although one is pending: IGNNE#. */
static unsigned run_ignoring(struct soft_cpu *cpu, const struct insn *insn, void *memory)
{
	uint16_t *fcw = field(cpu, X87_FCW), masks = *fcw & FSW_EXCEPTIONS;
	unsigned vector;

	*fcw |= FSW_EXCEPTIONS;
	*field(cpu, X87_FSW) &= (uint16_t)~FSW_SUMMARY;
	vector = native_code(insn)(cpu, memory);
	*fcw = (uint16_t)((*fcw & ~FSW_EXCEPTIONS) | masks);
	summary_update(cpu);
	return vector;
}

static void x87_run(struct soft_cpu *cpu, const struct insn *insn, void *memory)
{
	uint64_t before[2];
	uint16_t fop = *field(cpu, XSAVE_FOP);
	unsigned vector;

	memcpy(before, cpu->xsave + XSAVE_FIP, sizeof(before));
	if (unlikely(insn->dst & X87_WAITS && *field(cpu, X87_FSW) & FSW_SUMMARY))
		vector = run_ignoring(cpu, insn, memory);
	else
		vector = native_code(insn)(cpu, memory);
	*field(cpu, XSAVE_FOP) = fop;
	pointers_update(cpu, insn, before);
	if (unlikely(vector))
		native_raise(cpu, insn, vector);
}

static const struct insn *x87_register(struct soft_cpu *cpu, const struct insn *insn)
{
	x87_ready(cpu, insn);
	x87_run(cpu, insn, NULL);
	return insn + 1;
}

static const struct insn *x87_load(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t linear;

	x87_ready(cpu, insn);
	linear = native_address(cpu, insn, false);
	x87_run(cpu, insn,
		(void *)(uintptr_t)load_in_place(cpu, insn, linear, native_operand(insn)->size));
	return insn + 1;
}

static __attribute__((noinline)) void x87_store_copied(struct soft_cpu *cpu,
						       const struct insn *insn, uint64_t linear)
{
	unsigned size = native_operand(insn)->size;
	uint8_t bytes[16], untouched[16];

	memset(untouched, 0xa5, sizeof(untouched));
	memcpy(bytes, untouched, sizeof(bytes));
	store_probe(cpu, insn, linear, size);
	x87_run(cpu, insn, bytes);
	/* An unmasked exception may have kept it from storing. */
	if (!(*field(cpu, X87_FSW) & FSW_SUMMARY) || memcmp(bytes, untouched, size))
		store_bytes(cpu, insn, linear, bytes, size);
}

static const struct insn *x87_store(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t linear;
	void *p;

	x87_ready(cpu, insn);
	linear = native_address(cpu, insn, true);
	p = tlb_write(cpu, linear, native_operand(insn)->size);
	if (likely(p))
		x87_run(cpu, insn, p);
	else
		x87_store_copied(cpu, insn, linear);
	return insn + 1;
}

static const struct insn *fwait(struct soft_cpu *cpu, const struct insn *insn)
{
	x87_ready(cpu, insn);
	return NEXT(cpu, insn);
}

static uint8_t *st(struct soft_cpu *cpu, unsigned index)
{
	return cpu->xsave + X87_ST0 + 16 * (index & 7);
}

static unsigned top(struct soft_cpu *cpu)
{
	return *field(cpu, X87_FSW) >> 11 & 7;
}

/* The tag of a register that is not empty. */
static unsigned tag_of(const uint8_t *value)
{
	uint64_t mantissa;
	uint16_t exponent;

	memcpy(&mantissa, value, 8);
	memcpy(&exponent, value + 8, 2);
	exponent &= 0x7fff;
	if (!exponent && !mantissa)
		return 1;                                                /* zero */
	return exponent && exponent != 0x7fff && mantissa >> 63 ? 0 : 2; /* valid, special */
}

static uint16_t tags_get(struct soft_cpu *cpu)
{
	uint16_t tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		bool used = cpu->xsave[X87_TAGS] >> i & 1;

		tags |= (uint16_t)((used ? tag_of(st(cpu, i - top(cpu))) : 3) << 2 * i);
	}
	return tags;
}

static void tags_set(struct soft_cpu *cpu, uint16_t tags)
{
	uint8_t used = 0;

	for (unsigned i = 0; i < 8; i++)
		used |= (uint8_t)(((tags >> 2 * i & 3) != 3) << i);
	cpu->xsave[X87_TAGS] = used;
}

/*
 * The environment in memory, seven words of 16 or 32 bits: control, status, tags, and the pointers,
 * whose form differs between real and protected mode.
 */
struct environment {
	uint16_t fcw, fsw, tags, fop;
	uint64_t fip, fdp; /* as in the image */
};

#define ENVIRONMENT_WORDS 7

static bool real_mode_form(const struct soft_cpu *cpu)
{
	return !cpu_protected(cpu) || cpu_vm86(cpu);
}

static void pointer_pack(bool real, uint64_t pointer, uint16_t fop, bool wide, uint32_t *words)
{
	uint32_t offset = (uint32_t)pointer, selector = (uint32_t)(pointer >> 32) & 0xffff;
	uint32_t linear = (selector << 4) + offset;

	if (real) {
		words[0] = linear & 0xffff;
		words[1] = fop | (wide ? linear >> 16 << 12 : (linear >> 16 & 15) << 12);
	} else {
		words[0] = offset;
		words[1] = selector | (uint32_t)fop << 16;
	}
}

static uint64_t pointer_unpack(bool real, const uint32_t *words)
{
	if (real)
		return (words[0] & 0xffff) | (words[1] >> 12 & 0xffff) << 16;
	return words[0] | (uint64_t)(words[1] & 0xffff) << 32;
}

static unsigned environment_pack(struct soft_cpu *cpu, bool wide, uint8_t *bytes)
{
	bool real = real_mode_form(cpu);
	uint32_t ones = wide ? 0xffff0000 : 0;
	uint32_t words[ENVIRONMENT_WORDS];
	uint64_t fip, fdp;

	memcpy(&fip, cpu->xsave + XSAVE_FIP, 8);
	memcpy(&fdp, cpu->xsave + XSAVE_FDP, 8);
	if (cpu_code64(cpu)) {
		fip = (uint32_t)fip;
		fdp = (uint32_t)fdp;
	}
	words[0] = *field(cpu, X87_FCW) | ones;
	words[1] = *field(cpu, X87_FSW) | ones;
	words[2] = tags_get(cpu) | ones;
	pointer_pack(real, fip, *field(cpu, XSAVE_FOP), wide, &words[3]);
	pointer_pack(real, fdp, 0, wide, &words[5]);
	if (!real)
		words[6] |= ones;
	for (unsigned i = 0; i < ENVIRONMENT_WORDS; i++)
		memcpy(bytes + (wide ? 4 : 2) * i, &words[i], wide ? 4 : 2);
	return ENVIRONMENT_WORDS * (wide ? 4 : 2);
}

/*
 * Registers do not move when the top of the stack does, but the image has them counted from it:
 * turns them from the old top to the present one.
 */
static void registers_turn(struct soft_cpu *cpu, unsigned old_top)
{
	unsigned turn = top(cpu) - old_top;
	uint8_t registers[8][16];

	for (unsigned i = 0; i < 8; i++)
		memcpy(registers[i], st(cpu, i + turn), 16);
	memcpy(st(cpu, 0), registers, sizeof(registers));
}

static void environment_unpack(struct soft_cpu *cpu, bool wide, const uint8_t *bytes)
{
	bool real = real_mode_form(cpu);
	uint32_t words[ENVIRONMENT_WORDS] = { 0 };
	uint64_t pointers[2];

	for (unsigned i = 0; i < ENVIRONMENT_WORDS; i++)
		memcpy(&words[i], bytes + (wide ? 4 : 2) * i, wide ? 4 : 2);
	*field(cpu, X87_FCW) = (uint16_t)((words[0] & 0x1f3f) | 0x40);
	*field(cpu, X87_FSW) = (uint16_t)words[1];
	tags_set(cpu, (uint16_t)words[2]);
	*field(cpu, XSAVE_FOP) = (real ? words[4] : wide ? words[4] >> 16 : 0) & 0x7ff;
	pointers[0] = pointer_unpack(real, &words[3]);
	pointers[1] = pointer_unpack(real, &words[5]);
	memcpy(cpu->xsave + XSAVE_FIP, pointers, sizeof(pointers));
	summary_update(cpu);
}

/* insn->src: the words are of 32 bits. */

static const struct insn *fnstenv(struct soft_cpu *cpu, const struct insn *insn)
{
	uint8_t bytes[4 * ENVIRONMENT_WORDS];
	unsigned size;

	x87_ready(cpu, insn);
	size = environment_pack(cpu, insn->src, bytes);
	store_bytes(cpu, insn, ea_linear(cpu, insn, size, true), bytes, size);
	*field(cpu, X87_FCW) |= FSW_EXCEPTIONS;
	summary_update(cpu);
	return insn + 1;
}

static const struct insn *fldenv(struct soft_cpu *cpu, const struct insn *insn)
{
	unsigned size = ENVIRONMENT_WORDS * (insn->src ? 4u : 2u);
	uint8_t bytes[4 * ENVIRONMENT_WORDS];
	unsigned old_top = top(cpu);

	x87_ready(cpu, insn);
	load_bytes(cpu, insn, ea_linear(cpu, insn, size, false), bytes, size);
	environment_unpack(cpu, insn->src, bytes);
	registers_turn(cpu, old_top);
	return insn + 1;
}

/* The registers keep their contents and become empty; control word and pointers begin anew. */
static void x87_reset(struct soft_cpu *cpu)
{
	unsigned old_top = top(cpu);

	memset(cpu->xsave, 0, XSAVE_MXCSR);
	*field(cpu, X87_FCW) = 0x37f;
	registers_turn(cpu, old_top);
}

static const struct insn *fninit(struct soft_cpu *cpu, const struct insn *insn)
{
	x87_ready(cpu, insn);
	x87_reset(cpu);
	return insn + 1;
}

static const struct insn *fnsave(struct soft_cpu *cpu, const struct insn *insn)
{
	uint8_t bytes[4 * ENVIRONMENT_WORDS + 80];
	unsigned size;

	x87_ready(cpu, insn);
	size = environment_pack(cpu, insn->src, bytes);
	for (unsigned i = 0; i < 8; i++)
		memcpy(bytes + size + 10 * i, st(cpu, i), 10);
	size += 80;
	store_bytes(cpu, insn, ea_linear(cpu, insn, size, true), bytes, size);
	x87_reset(cpu);
	return insn + 1;
}

static const struct insn *frstor(struct soft_cpu *cpu, const struct insn *insn)
{
	unsigned environment = ENVIRONMENT_WORDS * (insn->src ? 4u : 2u);
	unsigned size = environment + 80;
	uint8_t bytes[4 * ENVIRONMENT_WORDS + 80];

	x87_ready(cpu, insn);
	load_bytes(cpu, insn, ea_linear(cpu, insn, size, false), bytes, size);
	environment_unpack(cpu, insn->src, bytes);
	for (unsigned i = 0; i < 8; i++)
		memcpy(st(cpu, i), bytes + environment + 10 * i, 10);
	return insn + 1;
}

/* What every MMX instruction does first: registers in use, none of them the top. */
static void enter_mmx(struct soft_cpu *cpu)
{
	unsigned old_top = top(cpu);

	*field(cpu, X87_FSW) &= (uint16_t) ~(7u << 11);
	registers_turn(cpu, old_top);
	cpu->xsave[X87_TAGS] = 0xff;
}

static const struct insn *maskmovq(struct soft_cpu *cpu, const struct insn *insn)
{
	uint8_t data[8], mask[8];

	native_check(cpu, insn);
	if (*field(cpu, X87_FSW) & FSW_SUMMARY && cpu->cr0 & CR0_NE)
		raise_fault(cpu, insn, EXCEPTION_MF);
	memcpy(data, st(cpu, insn->dst - top(cpu)), 8);
	memcpy(mask, st(cpu, insn->src - top(cpu)), 8);
	enter_mmx(cpu); /* even if the store faults */
	store_selected(cpu, insn, data, mask, 8);
	return insn + 1;
}

struct x87_row {
	uint16_t mnemonic;
	bool waits;
	insn_exec *exec; /* NULL: a thunk */
};

/* Control instructions: the thunks leave the pointers alone. */
static const struct x87_row control_rows[] = {
	{ ZYDIS_MNEMONIC_FNINIT, false, fninit },
	{ ZYDIS_MNEMONIC_FNCLEX, false, NULL },
	{ ZYDIS_MNEMONIC_FNSTCW, false, NULL },
	{ ZYDIS_MNEMONIC_FNSTSW, false, NULL },
	{ ZYDIS_MNEMONIC_FLDCW, true, NULL },
	{ ZYDIS_MNEMONIC_FNSTENV, false, fnstenv },
	{ ZYDIS_MNEMONIC_FLDENV, true, fldenv },
	{ ZYDIS_MNEMONIC_FNSAVE, false, fnsave },
	{ ZYDIS_MNEMONIC_FRSTOR, true, frstor },
	{ ZYDIS_MNEMONIC_FWAIT, true, fwait },
	{ ZYDIS_MNEMONIC_FENI8087_NOP, false, NULL },
	{ ZYDIS_MNEMONIC_FDISI8087_NOP, false, NULL },
	{ ZYDIS_MNEMONIC_FSETPM287_NOP, false, NULL },
};

static bool uses_mmx(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
	for (unsigned i = 0; i < z->operand_count; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(operands[i].reg.value) == ZYDIS_REGCLASS_MMX)
			return true;
	return false;
}

static int decode_fx_thunk(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
			   const ZydisDecodedOperand *operands, struct insn *out)
{
	struct native_operand *operand = (struct native_operand *)&out->imm;
	int r = native_decode_thunk(cpu, z, operands, out);

	if (r)
		return r;
	if (!operand->size)
		out->exec = x87_register;
	else
		out->exec = out->exec == native_store ? x87_store : x87_load;
	return 0;
}

static int decode_maskmovq(const ZydisDecodedOperand *operands, struct insn *out)
{
	out->dst = (uint8_t)ZydisRegisterGetId(operands[0].reg.value);
	out->src = (uint8_t)ZydisRegisterGetId(operands[1].reg.value);
	out->exec = maskmovq;
	return 0;
}

int native_decode_x87(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
		      const ZydisDecodedOperand *operands, struct insn *out)
{
	struct native_operand *operand = (struct native_operand *)&out->imm;
	const struct x87_row *row = NULL;
	bool x87 = out->op == UNIT_X87 || out->op == UNIT_WAIT;

	if (z->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ)
		return decode_maskmovq(operands, out);
	if (!x87 && out->op != UNIT_MMX && !uses_mmx(z, operands))
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(control_rows) && !row; i++)
		if (control_rows[i].mnemonic == z->mnemonic)
			row = &control_rows[i];
	out->dst = !row || row->waits ? X87_WAITS : 0;
	out->src = z->operand_width != 16;
	operand->fop = FOP_NONE;
	if (row && row->exec) {
		out->exec = row->exec;
		return 0;
	}
	if (x87 && !row)
		operand->fop = (uint16_t)((z->opcode & 7) << 8 | z->raw.modrm.mod << 6 |
					  z->raw.modrm.reg << 3 | z->raw.modrm.rm);
	return decode_fx_thunk(cpu, z, operands, out);
}
