/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IN, OUT, INS, OUTS.
 *
 * Spec: Intel SDM volume 1, chapter 19 (permission); volume 2.
 */
#include <errno.h>

#include "cpu/soft/code_priv.h"
#include "cpu/soft/debug_priv.h"
#include "cpu/soft/width_priv.h"

#define RAX          REG_OFFSET(GPR_RAX)
#define RDX          REG_OFFSET(GPR_RDX)
#define TSS_MAP_BASE 102

/* Beyond IOPL the bitmap of the TSS decides; a clear bit for every byte of the access allows it. */
static void need_permission(struct soft_cpu *cpu, const struct insn *insn, uint16_t port,
			    unsigned size)
{
	unsigned iopl = cpu->flags >> RFLAGS_IOPL_SHIFT & 3;
	uint64_t at, bits;

	debug_watch_port(cpu, port, size);
	if (!cpu_protected(cpu) || (cpu->cpl <= iopl && !cpu_vm86(cpu)))
		return;
	if (!(cpu->tr.attributes & SEGMENT_P) ||
	    (cpu->tr.attributes & SEGMENT_TYPE) < SYSTEM_TSS_AVAILABLE ||
	    cpu->tr.limit < TSS_MAP_BASE + 1)
		raise_gp(cpu, insn);
	at = system_load(cpu, insn, cpu->tr.base + TSS_MAP_BASE, 2) + port / 8;
	/* Two bytes are always read, so that an access may cross them. */
	if (at + 1 > cpu->tr.limit)
		raise_gp(cpu, insn);
	bits = system_load(cpu, insn, cpu->tr.base + at, 2) >> (port % 8);
	if (bits & bits_mask(size))
		raise_gp(cpu, insn);
}

static uint64_t port_read(struct soft_cpu *cpu, uint16_t port, unsigned size)
{
	uint64_t value;

	cpu->stats.io++;
	code_leave_guest(cpu);
	value = bus_read(cpu->engine->platform->ports, port, size);
	code_enter_guest(cpu);
	return value;
}

static void port_write(struct soft_cpu *cpu, uint16_t port, uint64_t value, unsigned size)
{
	cpu->stats.io++;
	code_leave_guest(cpu);
	bus_write(cpu->engine->platform->ports, port, value, size);
	code_enter_guest(cpu);
}

#define PORT_DEFINE(bits)                                                                          \
	static const struct insn *in_port##bits(struct soft_cpu *cpu, const struct insn *insn,     \
						uint16_t port)                                     \
	{                                                                                          \
		need_permission(cpu, insn, port, bits / 8);                                        \
		set_reg##bits(cpu, RAX, (uint##bits##_t)port_read(cpu, port, bits / 8));           \
		return insn + 1;                                                                   \
	}                                                                                          \
	static const struct insn *out_port##bits(struct soft_cpu *cpu, const struct insn *insn,    \
						 uint16_t port)                                    \
	{                                                                                          \
		need_permission(cpu, insn, port, bits / 8);                                        \
		port_write(cpu, port, *reg##bits(cpu, RAX), bits / 8);                             \
		return leave_to_loop(cpu, insn, rip_next(cpu, insn));                              \
	}                                                                                          \
	HANDLER(in_i##bits)                                                                        \
	{                                                                                          \
		return in_port##bits(cpu, insn, (uint8_t)insn->imm);                               \
	}                                                                                          \
	HANDLER(in_dx##bits)                                                                       \
	{                                                                                          \
		return in_port##bits(cpu, insn, *reg16(cpu, RDX));                                 \
	}                                                                                          \
	HANDLER(out_i##bits)                                                                       \
	{                                                                                          \
		return out_port##bits(cpu, insn, (uint8_t)insn->imm);                              \
	}                                                                                          \
	HANDLER(out_dx##bits)                                                                      \
	{                                                                                          \
		return out_port##bits(cpu, insn, *reg16(cpu, RDX));                                \
	}

PORT_DEFINE(8)
PORT_DEFINE(16)
PORT_DEFINE(32)

/* INS and OUTS: `imm` is the element's size, `scale` the address size, in bytes. */
static uint64_t mask_of(const struct insn *insn)
{
	return bits_mask(insn->scale * 8u);
}

static void set_register(struct soft_cpu *cpu, const struct insn *insn, enum vcpu_gpr r,
			 uint64_t value)
{
	if (insn->scale == 2)
		*reg16(cpu, REG_OFFSET(r)) = (uint16_t)value;
	else
		cpu->gpr[r] = value & mask_of(insn);
}

static void ins_one(struct soft_cpu *cpu, const struct insn *insn, unsigned size)
{
	uint64_t linear =
		segment_linear(cpu, insn, SEG_ES, cpu->gpr[GPR_RDI] & mask_of(insn), size, true);

	/* What is read from a device cannot be put back: the store must not fail. */
	store_probe(cpu, insn, linear, size);
	store_slow(cpu, insn, linear, port_read(cpu, *reg16(cpu, RDX), size), size);
}

static void outs_one(struct soft_cpu *cpu, const struct insn *insn, unsigned size)
{
	uint64_t linear = segment_linear(cpu, insn, insn->seg, cpu->gpr[GPR_RSI] & mask_of(insn),
					 size, false);

	port_write(cpu, *reg16(cpu, RDX), load_slow(cpu, insn, linear, size), size);
}

static const struct insn *transfer(struct soft_cpu *cpu, const struct insn *insn,
				   void (*one)(struct soft_cpu *, const struct insn *, unsigned),
				   enum vcpu_gpr moves)
{
	unsigned size = (unsigned)insn->imm;
	int64_t step = cpu->flags & RFLAGS_DF ? -(int64_t)size : (int64_t)size;
	bool repeated = insn->flags & (INSN_REP | INSN_REPNE);
	uint64_t next = rip_next(cpu, insn);

	need_permission(cpu, insn, *reg16(cpu, RDX), size);
	while (!repeated || cpu->gpr[GPR_RCX] & mask_of(insn)) {
		one(cpu, insn, size);
		set_register(cpu, insn, moves, cpu->gpr[moves] + (uint64_t)step);
		if (!repeated)
			break;
		set_register(cpu, insn, GPR_RCX, cpu->gpr[GPR_RCX] - 1);
		if (attention_needed(cpu) && cpu->gpr[GPR_RCX] & mask_of(insn)) {
			next = cpu->rip + insn->offset;
			break;
		}
	}
	return leave_to_loop(cpu, insn, cpu_code64(cpu) ? next : (uint32_t)next);
}

HANDLER(ins)
{
	return transfer(cpu, insn, ins_one, GPR_RDI);
}

HANDLER(outs)
{
	return transfer(cpu, insn, outs_one, GPR_RSI);
}

static int choose_string(const struct decoding *d, struct insn *insn)
{
	insn->scale = d->z->address_width / 8;
	insn->imm = d->z->operand_width == 64 ? 4 : d->z->operand_width / 8;
	if (d->z->mnemonic == ZYDIS_MNEMONIC_INSB || d->z->mnemonic == ZYDIS_MNEMONIC_OUTSB)
		insn->imm = 1;
	insn->seg = SEG_DS;
	for (unsigned i = 0; i < d->z->operand_count; i++) {
		if (d->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    ZydisRegisterGetId(d->operands[i].mem.base) == GPR_RSI)
			insn->seg = (uint8_t)(d->operands[i].mem.segment - ZYDIS_REGISTER_ES);
	}
	return 0;
}

#define STRING_ROW(mnemonic, name)                                                                 \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, FORM_ANY, OP_END, { name, name, name, name },           \
			choose_string                                                              \
	}

/* OUT has the port first: its width is that of the second operand. */
const struct op_row io_rows[] = {
	ROW(IN, FORM_RI, 0, { in_i8, in_i16, in_i32, in_i32 }),
	ROW(IN, FORM_RR, 0, { in_dx8, in_dx16, in_dx32, in_dx32 }),
	ROW(OUT, FORM_IR, OP_END | OP_WIDTH1, { out_i8, out_i16, out_i32, out_i32 }),
	ROW(OUT, FORM_RR, OP_END | OP_WIDTH1, { out_dx8, out_dx16, out_dx32, out_dx32 }),
	STRING_ROW(INSB, ins),
	STRING_ROW(INSW, ins),
	STRING_ROW(INSD, ins),
	STRING_ROW(OUTSB, outs),
	STRING_ROW(OUTSW, outs),
	STRING_ROW(OUTSD, outs),
};
const unsigned io_row_count = ARRAY_SIZE(io_rows);
