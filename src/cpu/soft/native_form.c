/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a decoded instruction to what a thunk needs to know: its encoding, taken apart, and the
 * registers that it uses.
 *
 * The encoding is rebuilt from its fields and not patched: prefixes without effect, the memory
 * operand's address, and everything that means something else outside 64-bit mode are gone then.
 */
#include "cpu/soft/native_thunk_priv.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "x86/registers.h"

#define STATUS_FLAGS                                                                               \
	(ZYDIS_CPUFLAG_CF | ZYDIS_CPUFLAG_PF | ZYDIS_CPUFLAG_AF | ZYDIS_CPUFLAG_ZF |               \
	 ZYDIS_CPUFLAG_SF | ZYDIS_CPUFLAG_OF)

static int use_add(struct native_form *form, struct use use)
{
	for (unsigned i = 0; i < form->use_count; i++) {
		struct use *u = &form->uses[i];

		/* Fields that name the same register share it. */
		if (u->kind != use.kind || u->number != use.number || u->high != use.high ||
		    u->kind == USE_GPR)
			continue;
		u->read |= use.read;
		u->write |= use.write;
		u->width = MAX(u->width, use.width);
		return 0;
	}
	if (form->use_count == USES_MAX)
		return -ENOENT;
	use.host = use.number;
	form->uses[form->use_count++] = use;
	return 0;
}

static int use_gpr(struct native_form *form, const ZydisDecodedOperand *op,
		   ZydisRegisterClass class)
{
	ZydisRegister r = op->reg.value;
	struct use use = {
		.kind = USE_GPR,
		.field = op->encoding,
		.width = 8,
		.read = op->actions & ZYDIS_OPERAND_ACTION_MASK_READ,
		.write = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE,
	};

	if (class == ZYDIS_REGCLASS_GPR8) {
		use.high = r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
		use.number = (uint8_t)(r - ZYDIS_REGISTER_AL);
		if (r >= ZYDIS_REGISTER_AH)
			use.number -= 4;
		form->operation.rex |= !use.high;
	} else {
		use.number = (uint8_t)ZydisRegisterGetId(r);
	}
	/* Of a narrow destination the rest stays. */
	if (class == ZYDIS_REGCLASS_GPR8 || class == ZYDIS_REGCLASS_GPR16 ||
	    op->actions & ZYDIS_OPERAND_ACTION_CONDWRITE)
		use.read = true;
	if (use.high && use.write)
		return -ENOENT;
	return use_add(form, use);
}

static int use_register(struct native_form *form, const ZydisDecodedInstruction *z,
			const ZydisDecodedOperand *op)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(op->reg.value);
	struct use use = {
		.kind = class == ZYDIS_REGCLASS_MASK ? USE_MASK : USE_VECTOR,
		.number = (uint8_t)ZydisRegisterGetId(op->reg.value),
		.field = op->encoding,
		.read = op->actions & ZYDIS_OPERAND_ACTION_MASK_READ,
		.write = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE,
	};

	switch (class) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return use_gpr(form, op, class);
	case ZYDIS_REGCLASS_X87:
	case ZYDIS_REGCLASS_MMX:
		form->fx = true;
		return 0;
	case ZYDIS_REGCLASS_FLAGS:
		return 0;
	case ZYDIS_REGCLASS_MASK:
		return use_add(form, use);
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM:
		/* Legacy encodings and merging masks keep some of the destination. */
		use.read |= z->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
			    z->avx.mask.mode == ZYDIS_MASK_MODE_MERGING;
		use.width = class == ZYDIS_REGCLASS_XMM   ? 16
			    : class == ZYDIS_REGCLASS_YMM ? 32
							  : 64;
		return use_add(form, use);
	default:
		if (op->reg.value == ZYDIS_REGISTER_X87STATUS ||
		    op->reg.value == ZYDIS_REGISTER_X87CONTROL ||
		    op->reg.value == ZYDIS_REGISTER_X87TAG) {
			form->fx = true;
			return 0;
		}
		return -ENOENT;
	}
}

/* VP2INTERSECT writes a pair of mask registers and names one of it. */
static int use_mask_pair(struct native_form *form)
{
	struct use pair = form->uses[0];

	pair.number ^= 1;
	return use_add(form, pair);
}

static int form_uses(struct native_form *form, const ZydisDecodedInstruction *z,
		     const ZydisDecodedOperand *operands)
{
	int r;

	for (unsigned i = 0; i < z->operand_count; i++) {
		const ZydisDecodedOperand *op = &operands[i];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			r = use_register(form, z, op);
		} else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			r = op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
					    op->mem.type == ZYDIS_MEMOP_TYPE_MEM
				    ? 0
				    : -ENOENT;
			form->operation.memory = true;
			form->operation.rm = 7;
		} else {
			r = op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? 0 : -ENOENT;
		}
		if (r)
			return r;
	}
	if (z->mnemonic == ZYDIS_MNEMONIC_VP2INTERSECTD ||
	    z->mnemonic == ZYDIS_MNEMONIC_VP2INTERSECTQ)
		return use_mask_pair(form);
	return 0;
}

/* Whether MXCSR takes part: its control bits, or its status flags. */
static bool form_mxcsr(const ZydisDecodedInstruction *z)
{
	switch (z->meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE3:
	case ZYDIS_EXCEPTION_CLASS_AVX2:
	case ZYDIS_EXCEPTION_CLASS_AVX3:
	case ZYDIS_EXCEPTION_CLASS_AVX11:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E2NF:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E3NF:
	case ZYDIS_EXCEPTION_CLASS_E10:
	case ZYDIS_EXCEPTION_CLASS_E11:
		return true;
	default:
		break;
	}
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_CVTPI2PS:
	/* No exceptions, but what they do with denormals may depend on DAZ. */
	case ZYDIS_MNEMONIC_RCPPS:
	case ZYDIS_MNEMONIC_RCPSS:
	case ZYDIS_MNEMONIC_RSQRTPS:
	case ZYDIS_MNEMONIC_RSQRTSS:
	case ZYDIS_MNEMONIC_VRCPPS:
	case ZYDIS_MNEMONIC_VRCPSS:
	case ZYDIS_MNEMONIC_VRSQRTPS:
	case ZYDIS_MNEMONIC_VRSQRTSS:
	case ZYDIS_MNEMONIC_VRCP14PS:
	case ZYDIS_MNEMONIC_VRCP14PD:
	case ZYDIS_MNEMONIC_VRSQRT14PS:
	case ZYDIS_MNEMONIC_VRSQRT14PD:
	case ZYDIS_MNEMONIC_VFPCLASSPS:
	case ZYDIS_MNEMONIC_VFPCLASSPD:
	case ZYDIS_MNEMONIC_VFPCLASSSS:
	case ZYDIS_MNEMONIC_VFPCLASSSD:
		return true;
	default:
		return false;
	}
}

/* The mandatory prefix of a legacy encoding. */
static void legacy_prefixes(struct operation *o, const ZydisDecodedInstruction *z,
			    const ZydisDecodedOperand *operands)
{
	for (unsigned i = 0; i < z->raw.prefix_count; i++) {
		if (z->raw.prefixes[i].type != ZYDIS_PREFIX_TYPE_MANDATORY)
			continue;
		o->prefix = z->raw.prefixes[i].value == 0x66   ? PREFIX_66
			    : z->raw.prefixes[i].value == 0xf3 ? PREFIX_F3
							       : PREFIX_F2;
	}
	/* Integer extensions have an operand size; in 16-bit code without a prefix for it. */
	switch (z->meta.isa_set) {
	case ZYDIS_ISA_SET_POPCNT:
	case ZYDIS_ISA_SET_LZCNT:
	case ZYDIS_ISA_SET_BMI1:
	case ZYDIS_ISA_SET_SSE42:
		for (unsigned i = 0; i < z->operand_count_visible; i++)
			o->size16 |= operands[i].size == 16 &&
				     (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY ||
				      ZydisRegisterGetClass(operands[i].reg.value) ==
					      ZYDIS_REGCLASS_GPR16);
		break;
	default:
		break;
	}
}

static void form_immediates(struct operation *o, const ZydisDecodedInstruction *z)
{
	for (unsigned i = 0; i < ARRAY_SIZE(z->raw.imm); i++)
		for (unsigned bit = 0; bit < z->raw.imm[i].size; bit += 8)
			if (o->imm_bytes < sizeof(o->imm))
				o->imm[o->imm_bytes++] = (uint8_t)(z->raw.imm[i].value.u >> bit);
}

int operation_init(struct operation *o, const ZydisDecodedInstruction *z,
		   const ZydisDecodedOperand *operands)
{
	const ZydisDecodedInstructionRaw *raw = &z->raw;

	o->map = (uint8_t)z->opcode_map;
	o->opcode = z->opcode;
	o->has_modrm = z->attributes & ZYDIS_ATTRIB_HAS_MODRM;
	o->reg = raw->modrm.reg;
	o->rm = raw->modrm.rm;
	switch (z->encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
		if (o->map > MAP_0F3A)
			return -ENOENT;
		if (z->attributes & ZYDIS_ATTRIB_HAS_REX) {
			o->w = raw->rex.W;
			o->reg |= raw->rex.R << 3;
			o->rm |= raw->rex.B << 3;
		}
		legacy_prefixes(o, z, operands);
		break;
	case ZYDIS_INSTRUCTION_ENCODING_VEX:
		o->encoding = OPERATION_VEX;
		o->prefix = raw->vex.pp;
		o->w = raw->vex.W;
		o->length = raw->vex.L;
		o->reg |= (~raw->vex.R & 1) << 3;
		o->rm |= (~raw->vex.B & 1) << 3;
		o->vvvv = ~raw->vex.vvvv & 15;
		break;
	case ZYDIS_INSTRUCTION_ENCODING_EVEX:
		o->encoding = OPERATION_EVEX;
		o->prefix = raw->evex.pp;
		o->w = raw->evex.W;
		o->length = (uint8_t)(raw->evex.L2 << 1 | raw->evex.L);
		o->reg |= (~raw->evex.R & 1) << 3 | (~raw->evex.R2 & 1) << 4;
		o->rm |= (~raw->evex.B & 1) << 3 | (~raw->evex.X & 1) << 4;
		o->vvvv = (uint8_t)((~raw->evex.vvvv & 15) | (~raw->evex.V2 & 1) << 4);
		o->mask = raw->evex.aaa;
		o->zeroing = raw->evex.z;
		o->extra = raw->evex.b;
		break;
	default:
		return -ENOENT;
	}
	form_immediates(o, z);
	return 0;
}

/* W is the width of a general register, or of the memory in its place. */
static bool has_general_width(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_VMOVD:
	case ZYDIS_MNEMONIC_VPEXTRD:
	case ZYDIS_MNEMONIC_VPINSRD:
	case ZYDIS_MNEMONIC_VPCMPESTRI:
	case ZYDIS_MNEMONIC_VPCMPESTRM:
	case ZYDIS_MNEMONIC_VCVTSI2SD:
	case ZYDIS_MNEMONIC_VCVTSI2SS:
	case ZYDIS_MNEMONIC_VCVTUSI2SD:
	case ZYDIS_MNEMONIC_VCVTUSI2SS:
		return true;
	default:
		return false;
	}
}

/* Outside 64-bit mode there are eight registers, and W does not widen a general one. */
static void form_narrow(struct native_form *form, const ZydisDecodedInstruction *z,
			const ZydisDecodedOperand *operands)
{
	struct operation *o = &form->operation;

	if (has_general_width(z->mnemonic))
		o->w = false;
	o->reg &= 7;
	o->rm &= 7;
	o->vvvv &= 7;
	for (unsigned i = 0; i < z->operand_count_visible; i++) {
		if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(operands[i].reg.value) == ZYDIS_REGCLASS_GPR32)
			o->w = false;
		if (operands[i].encoding == ZYDIS_OPERAND_ENCODING_IS4)
			o->imm[0] &= 0x7f;
	}
}

int native_form_init(struct native_form *form, const ZydisDecodedInstruction *z,
		     const ZydisDecodedOperand *operands)
{
	unsigned flags = 0;
	int r;

	memset(form, 0, sizeof(*form));
	r = operation_init(&form->operation, z, operands);
	if (r)
		return r;
	if (z->machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
		form_narrow(form, z, operands);
	r = form_uses(form, z, operands);
	if (r)
		return r;
	form->fx |= z->meta.isa_set == ZYDIS_ISA_SET_X87 ||
		    z->meta.isa_set == ZYDIS_ISA_SET_FCMOV ||
		    z->meta.isa_set == ZYDIS_ISA_SET_SSE3X87 ||
		    z->meta.isa_set == ZYDIS_ISA_SET_PENTIUMMMX;
	form->mxcsr = form_mxcsr(z);
	if (z->cpu_flags) {
		flags = z->cpu_flags->modified | z->cpu_flags->set_0 | z->cpu_flags->set_1 |
			z->cpu_flags->undefined;
		form->flags_in = z->cpu_flags->tested & STATUS_FLAGS;
	}
	form->flags_out = flags & STATUS_FLAGS;
	/* What the instruction leaves alone must survive the round trip. */
	form->flags_in |= form->flags_out &&
			  ((flags & STATUS_FLAGS) != STATUS_FLAGS || z->cpu_flags->undefined);
	return 0;
}
