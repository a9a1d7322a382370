/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the translator does with each instruction, and what that does with the arithmetic flags.
 *
 * Flags that the manuals leave undefined count as written only where processors are known to write
 * them; elsewhere as possibly kept.
 */
#include <string.h>

#include "cpu/soft/decode_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/native_exec_priv.h"
#include "cpu/soft/native_thunk_priv.h"

static bool is_code64(const ZydisDecodedInstruction *z)
{
	return z->machine_mode == ZYDIS_MACHINE_MODE_LONG_64;
}

/* The width of addresses, and of what the stack holds. */
static unsigned word_bits(const ZydisDecodedInstruction *z)
{
	return is_code64(z) ? 64 : 32;
}

/* One element of a string, in the segments that are flat. */
static enum kind string_kind(const ZydisDecodedInstruction *z)
{
	const ZydisInstructionAttributes others =
		ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE |
		ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS;

	if (z->attributes & others || z->address_width != word_bits(z))
		return KIND_CALL;
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		return KIND_MOVS;
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		return KIND_STOS;
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
		return KIND_LODS;
	default:
		return KIND_CALL;
	}
}

static enum kind integer_kind(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHW:
	case ZYDIS_MNEMONIC_PREFETCHWT1:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
		return KIND_NOTHING;
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_ADC:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_CMP:
	case ZYDIS_MNEMONIC_TEST:
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
	case ZYDIS_MNEMONIC_NEG:
	case ZYDIS_MNEMONIC_NOT:
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
	case ZYDIS_MNEMONIC_IMUL:
	case ZYDIS_MNEMONIC_MUL:
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
	case ZYDIS_MNEMONIC_BSF:
	case ZYDIS_MNEMONIC_BSR:
	case ZYDIS_MNEMONIC_CDQ:
	case ZYDIS_MNEMONIC_CQO:
	case ZYDIS_MNEMONIC_CWD:
	case ZYDIS_MNEMONIC_CBW:
	case ZYDIS_MNEMONIC_CWDE:
	case ZYDIS_MNEMONIC_CDQE:
	case ZYDIS_MNEMONIC_XCHG:
	case ZYDIS_MNEMONIC_XADD:
	case ZYDIS_MNEMONIC_CMPXCHG:
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
	case ZYDIS_MNEMONIC_MOVBE:
	case ZYDIS_MNEMONIC_LAHF:
	case ZYDIS_MNEMONIC_SAHF:
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
	case ZYDIS_MNEMONIC_CMC:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
		return KIND_COPY;
	case ZYDIS_MNEMONIC_BSWAP:
		return z->operand_width >= 32 ? KIND_COPY : KIND_CALL;
	case ZYDIS_MNEMONIC_LEA:
		/* A narrow destination keeps its upper part, which an address in a scratch register
		 * would take. */
		return z->address_width == word_bits(z) && z->operand_width != 16 ? KIND_LEA
										  : KIND_CALL;
	case ZYDIS_MNEMONIC_CLD:
	case ZYDIS_MNEMONIC_STD:
		return KIND_DIRECTION;
	case ZYDIS_MNEMONIC_PUSH:
		return z->operand_width == word_bits(z) ? KIND_PUSH : KIND_CALL;
	case ZYDIS_MNEMONIC_POP:
		return z->operand_width == word_bits(z) ? KIND_POP : KIND_CALL;
	case ZYDIS_MNEMONIC_LEAVE:
		return z->operand_width == word_bits(z) ? KIND_LEAVE_FRAME : KIND_CALL;
	default:
		break;
	}
	if (z->meta.category == ZYDIS_CATEGORY_STRINGOP)
		return string_kind(z);
	if (z->meta.category == ZYDIS_CATEGORY_CMOV || z->meta.category == ZYDIS_CATEGORY_SETCC)
		return KIND_COPY;
	return KIND_CALL;
}

static enum kind end_kind(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
	bool direct = o[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

	if (z->operand_width != word_bits(z) || z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return KIND_END;
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_JMP:
		return direct ? KIND_JUMP : KIND_JUMP_INDIRECT;
	case ZYDIS_MNEMONIC_CALL:
		return direct ? KIND_CALL_NEAR : KIND_CALL_INDIRECT;
	case ZYDIS_MNEMONIC_RET:
		return KIND_RET;
	default:
		break;
	}
	if (z->meta.category == ZYDIS_CATEGORY_COND_BR &&
	    ((z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (z->opcode & 0xf0) == 0x70) ||
	     (z->opcode_map == ZYDIS_OPCODE_MAP_0F && (z->opcode & 0xf0) == 0x80)))
		return KIND_JCC;
	return KIND_END;
}

/* What the instruction does with the two guest registers that live in memory. */
static void note_scratch(struct unit *u, const ZydisDecodedOperand *o, unsigned number)
{
	uint8_t bit = number == SCRATCH_0 ? 1 : 2;
	bool partial = o->size < 32 || o->actions & ZYDIS_OPERAND_ACTION_CONDWRITE;

	/* Zero leaves their destination alone. */
	partial |= u->z.mnemonic == ZYDIS_MNEMONIC_BSF || u->z.mnemonic == ZYDIS_MNEMONIC_BSR;
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ || partial)
		u->scratch_read |= bit;
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		u->scratch_written |= bit;
}

bool is_gpr(ZydisRegisterClass class)
{
	return class == ZYDIS_REGCLASS_GPR8 || class == ZYDIS_REGCLASS_GPR16 ||
	       class == ZYDIS_REGCLASS_GPR32 || class == ZYDIS_REGCLASS_GPR64;
}

static bool is_vector(ZydisRegisterClass class)
{
	return class == ZYDIS_REGCLASS_XMM || class == ZYDIS_REGCLASS_YMM ||
	       class == ZYDIS_REGCLASS_ZMM || class == ZYDIS_REGCLASS_MASK ||
	       class == ZYDIS_REGCLASS_X87 || class == ZYDIS_REGCLASS_MMX;
}

static bool is_high(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

/* The number that an encoding has for a register: 4 to 7 for AH to BH too. */
static unsigned encoded_number(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (unsigned)(r - ZYDIS_REGISTER_SPL + 4);
	return (unsigned)ZydisRegisterGetId(r);
}

unsigned guest_number(ZydisRegister r)
{
	return is_high(r) ? (unsigned)(r - ZYDIS_REGISTER_AH) : encoded_number(r);
}

/* Of the units: a hidden operand. */
static bool is_status(ZydisRegister r)
{
	return r == ZYDIS_REGISTER_MXCSR || r == ZYDIS_REGISTER_X87CONTROL ||
	       r == ZYDIS_REGISTER_X87STATUS || r == ZYDIS_REGISTER_X87TAG;
}

static bool fits_register(struct unit *u, const ZydisDecodedOperand *o)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);

	if (class == ZYDIS_REGCLASS_FLAGS || class == ZYDIS_REGCLASS_IP)
		return true;
	if (is_vector(class))
		return u->native_unit;
	if (is_status(o->reg.value))
		return true;
	if (!is_gpr(class))
		return false;
	if (!is_high(o->reg.value) && in_memory(guest_number(o->reg.value)))
		note_scratch(u, o, guest_number(o->reg.value));
	return true;
}

static bool names_high(const struct unit *u)
{
	for (unsigned i = 0; i < u->z.operand_count; i++)
		if (u->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    is_high(u->operands[i].reg.value))
			return true;
	return false;
}

/* MOV between the accumulator and an address that stands in the instruction. */
static bool is_moffs(const struct unit *u)
{
	return u->z.mnemonic == ZYDIS_MNEMONIC_MOV && u->z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	       (u->z.opcode & 0xfc) == 0xa0;
}

/* Whether the address is that of the decoded insn's memory operand. */
static bool is_plain(const struct unit *u, const ZydisDecodedOperand *o)
{
	if (o->mem.type != ZYDIS_MEMOP_TYPE_MEM || o->size > 512)
		return false;
	if (is_moffs(u))
		return o->mem.disp.value == u->insn->disp;
	return o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM;
}

/* Operands that the emitter can copy or replace; fills in the memory operand. */
static bool fits(struct unit *u)
{
	for (unsigned i = 0; i < u->z.operand_count; i++) {
		const ZydisDecodedOperand *o = &u->operands[i];

		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			if (o->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
				continue;
			if (o->encoding == ZYDIS_OPERAND_ENCODING_NONE)
				continue; /* of PUSH, POP and their kin */
			if (!is_plain(u, o))
				return false;
			u->memory = true;
			u->write = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
			u->size = (uint8_t)(o->size / 8);
		} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			if (!fits_register(u, o))
				return false;
		}
	}
	if (!u->memory)
		return true;
	/* The place needs a scratch register, which needs a REX prefix, with which there is no AH. */
	return !names_high(u) && (u->scratch_read | u->scratch_written) != 3;
}

static bool is_by_cl(const struct unit *u)
{
	return u->operands[u->z.operand_count_visible - 1].type == ZYDIS_OPERAND_TYPE_REGISTER;
}

/* Whether undefined flags are written all the same. */
static bool writes_undefined(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_AND || m == ZYDIS_MNEMONIC_OR || m == ZYDIS_MNEMONIC_XOR ||
	       m == ZYDIS_MNEMONIC_TEST;
}

static bool is_shift(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		return true;
	default:
		return false;
	}
}

/* A count of zero writes nothing. */
static bool may_be_no_shift(const struct unit *u)
{
	const ZydisDecodedOperand *last = &u->operands[u->z.operand_count_visible - 1];
	unsigned mask = u->z.operand_width == 64 ? 63 : 31;

	return is_by_cl(u) ||
	       (last->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && (last->imm.value.u & mask) < 1);
}

static void flags_of(struct unit *u)
{
	const ZydisAccessedFlags *f = u->z.cpu_flags;
	uint32_t sure, all;

	if (!f)
		return;
	sure = f->modified | f->set_0 | f->set_1;
	all = sure | f->undefined;
	if (writes_undefined(u->z.mnemonic))
		sure = all;
	if (is_shift(u->z.mnemonic)) {
		if (may_be_no_shift(u))
			sure = 0;
		/* OF with other counts than 1 is undefined, whatever the table says. */
		sure &= ~(uint32_t)(ZYDIS_CPUFLAG_OF | ZYDIS_CPUFLAG_AF);
	}
	u->reads = f->tested & FLAGS_ALL;
	u->writes = sure & FLAGS_ALL;
	u->merges = all & ~sure & FLAGS_ALL;
}

/* A bit offset in a register reaches beyond the memory operand. */
static bool is_bit_string(const struct unit *u)
{
	switch (u->z.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return u->memory && u->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	default:
		return false;
	}
}

/*
 * x87 and MMX: not what moves the whole state or resets the pointers, and nothing that uses vector
 * registers too.
 */
static bool x87_copies(struct unit *u, unsigned unit)
{
	struct native_form form;

	u->traps = true; /* a pending exception */
	switch (u->z.mnemonic) {
	case ZYDIS_MNEMONIC_FNINIT:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	/* From memory they use no vector register, but MXCSR. */
	case ZYDIS_MNEMONIC_CVTPS2PI:
	case ZYDIS_MNEMONIC_CVTTPS2PI:
	case ZYDIS_MNEMONIC_CVTPD2PI:
	case ZYDIS_MNEMONIC_CVTTPD2PI:
		return false;
	case ZYDIS_MNEMONIC_FNCLEX:
	case ZYDIS_MNEMONIC_FNSTCW:
	case ZYDIS_MNEMONIC_FNSTSW:
		u->traps = false;
		break;
	default:
		break;
	}
	if (native_form_init(&form, &u->z, u->operands))
		return false;
	u->native_unit = (uint8_t)unit;
	u->operation = form.operation;
	u->x87_pointers = native_operand(u->insn)->fop != FOP_NONE;
	return true;
}

static bool loads_mxcsr(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_LDMXCSR || m == ZYDIS_MNEMONIC_VLDMXCSR;
}

static bool is_mxcsr_move(ZydisMnemonic m)
{
	return loads_mxcsr(m) || m == ZYDIS_MNEMONIC_STMXCSR || m == ZYDIS_MNEMONIC_VSTMXCSR;
}

/* Instructions of the extensions: what a thunk could do is done in place. */
static bool native_copies(const struct soft_cpu *cpu, struct unit *u)
{
	const struct native_host *host = native_host(cpu->native);
	int unit = native_unit(host, &u->z, u->operands);
	struct native_form form;

	if (unit == UNIT_X87 || unit == UNIT_WAIT || unit == UNIT_MMX)
		return x87_copies(u, (unsigned)unit);
	if (unit < 0)
		return false;
	if (u->z.mnemonic == ZYDIS_MNEMONIC_VZEROUPPER ||
	    u->z.mnemonic == ZYDIS_MNEMONIC_VZEROALL) {
		if (!is_code64(&u->z)) /* there they know eight registers */
			return false;
		u->native_unit = (uint8_t)unit;
		return !operation_init(&u->operation, &u->z, u->operands);
	}
	if (is_mxcsr_move(u->z.mnemonic)) {
		u->native_unit = (uint8_t)unit;
		return !operation_init(&u->operation, &u->z, u->operands);
	}
	/* Masked elements may lie on pages that cannot be accessed; a miss of the TLB shows that. */
	if (native_form_init(&form, &u->z, u->operands) || form.fx)
		return false;
	u->native_unit = (uint8_t)unit;
	u->operation = form.operation;
	u->traps = form.mxcsr;
	return true;
}

/* Encodings that 64-bit code does not have, or not for the same. */
static void modernise(struct operation *o, const struct unit *u)
{
	if (o->map != MAP_ONE_BYTE)
		return;
	if (is_moffs(u)) {
		o->opcode = 0x88 | (~o->opcode & 2) | (o->opcode & 1);
		o->has_modrm = true;
		o->reg = 0;
	} else if (!is_code64(&u->z) && (o->opcode & 0xf0) == 0x40) { /* INC, DEC */
		o->reg = o->opcode >> 3 & 1;
		o->opcode = 0xff;
		o->opcode_register = false;
		o->has_modrm = true;
	} else if (o->opcode == 0x82) {
		o->opcode = 0x80;
	}
}

/* The operation to copy, for instructions of the integer tables. */
static bool integer_copies(struct unit *u)
{
	const ZydisDecodedInstruction *z = &u->z;
	struct operation *o = &u->operation;

	if (operation_init(o, z, u->operands) || o->encoding != OPERATION_LEGACY)
		return false;
	o->size16 = z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE && o->prefix != PREFIX_66;
	o->lock = z->attributes & ZYDIS_ATTRIB_HAS_LOCK;
	o->rex = z->attributes & ZYDIS_ATTRIB_HAS_REX;
	for (unsigned i = 0; i < z->operand_count; i++) {
		if (u->operands[i].encoding != ZYDIS_OPERAND_ENCODING_OPCODE)
			continue;
		o->opcode_register = true;
		o->rm = (uint8_t)encoded_number(u->operands[i].reg.value) & 15;
		o->opcode &= 0xf8;
	}
	modernise(o, u);
	u->traps = z->mnemonic == ZYDIS_MNEMONIC_DIV || z->mnemonic == ZYDIS_MNEMONIC_IDIV ||
		   z->mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B;
	return true;
}

static bool copies(const struct soft_cpu *cpu, struct unit *u)
{
	if (u->kind == KIND_COPY ? !integer_copies(u) : !native_copies(cpu, u))
		return false;
	u->kind = KIND_COPY;
	if (!fits(u) || (u->memory && !address_is_known(cpu, u)) || is_bit_string(u))
		return false;
	u->traps |= u->native_unit && u->memory && native_alignment(cpu, &u->z, u->size);
	if (loads_mxcsr(u->z.mnemonic))
		u->kind = KIND_LOAD_MXCSR;
	return true;
}

void unit_classify(const struct soft_cpu *cpu, struct unit *u)
{
	bool last = u->insn->flags & INSN_LAST, fit;
	enum kind otherwise = last ? KIND_END : KIND_CALL;

	u->reads = FLAGS_ALL;
	u->kind = last ? end_kind(&u->z, u->operands) : integer_kind(&u->z);
	switch (u->kind) {
	case KIND_END:
		return;
	case KIND_NOTHING:
		fit = true;
		break;
	case KIND_COPY:
	case KIND_CALL:
		fit = copies(cpu, u);
		break;
	case KIND_DIRECTION:
		fit = true;
		break;
	case KIND_MOVS:
	case KIND_STOS:
	case KIND_LODS:
		fit = true;
		u->size = u->operands[0].size / 8;
		break;
	case KIND_PUSH:
	case KIND_POP:
		if (u->kind == KIND_PUSH && u->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			u->kind = KIND_PUSH_MEMORY;
			fit = fits(u) && address_is_known(cpu, u);
			break;
		}
		fit = fits(u) && !u->memory && u->z.operand_count_visible == 1 &&
		      (u->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ||
		       is_gpr(ZydisRegisterGetClass(u->operands[0].reg.value)));
		break;
	case KIND_LEA:
		fit = fits(u) && address_is_known(cpu, u) && integer_copies(u);
		break;
	default:
		fit = fits(u) && (!u->memory || address_is_known(cpu, u));
	}
	if (!fit) {
		u->kind = otherwise;
		u->memory = u->traps = u->x87_pointers = false;
		u->native_unit = 0;
		u->reads = FLAGS_ALL;
		return;
	}
	u->reads = 0;
	if (u->kind != KIND_NOTHING)
		flags_of(u);
}

bool flags_are_dead(const struct soft_cpu *cpu, const uint8_t *bytes, unsigned count,
		    unsigned *ret_bytes)
{
	const ZydisDecoder *decoder = decoder_of(cpu);
	unsigned pending = FLAGS_ALL, offset = 0;

	for (unsigned i = 0; i < 12 && pending; i++) {
		struct unit u = { 0 };

		if (ZYAN_FAILED(ZydisDecoderDecodeFull(decoder, bytes + offset, count - offset,
						       &u.z, u.operands)))
			break;
		offset += u.z.length;
		/* Only what cannot leave the block, and of which the flags are sure. */
		if (u.z.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
			break;
		u.kind = integer_kind(&u.z);
		if (u.kind == KIND_CALL || u.kind == KIND_END)
			break;
		if (u.kind != KIND_NOTHING)
			flags_of(&u);
		if (u.reads & pending)
			break;
		pending &= ~(unsigned)u.writes;
	}
	*ret_bytes = offset;
	return !pending;
}
