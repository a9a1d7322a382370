/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CLC … STI, LAHF, SAHF, PUSHF, POPF. Spec: Intel SDM volume 2. */
#include "cpu/soft/segment_priv.h"
#include "cpu/soft/stack_priv.h"
#include "cpu/soft/width_priv.h"

HANDLER(clc)
{
	cpu->status &= (uint16_t)~STATUS_CF;
	return NEXT(cpu, insn);
}

HANDLER(stc)
{
	cpu->status |= STATUS_CF;
	return NEXT(cpu, insn);
}

HANDLER(cmc)
{
	cpu->status ^= STATUS_CF;
	return NEXT(cpu, insn);
}

HANDLER(cld)
{
	cpu->flags &= ~(uint32_t)RFLAGS_DF;
	return NEXT(cpu, insn);
}

HANDLER(std)
{
	cpu->flags |= RFLAGS_DF;
	return NEXT(cpu, insn);
}

HANDLER(lahf)
{
	*reg8(cpu, REG_OFFSET_HIGH(GPR_RAX)) = (uint8_t)(cpu->status >> 8);
	return NEXT(cpu, insn);
}

HANDLER(sahf)
{
	uint64_t of = cpu->status & STATUS_OF ? RFLAGS_OF : 0;

	status_set(cpu, *reg8(cpu, REG_OFFSET_HIGH(GPR_RAX)) | of);
	return NEXT(cpu, insn);
}

static unsigned iopl(const struct soft_cpu *cpu)
{
	return cpu->flags >> RFLAGS_IOPL_SHIFT & 3;
}

/* With protected-mode virtual interrupts (CR4.PVI), or VME in vm86, VIF stands in for IF. */
static bool uses_vif(const struct soft_cpu *cpu)
{
	if (cpu_vm86(cpu))
		return cpu->cr4 & CR4_VME && iopl(cpu) < 3;
	return cpu_protected(cpu) && cpu->cr4 & CR4_PVI && cpu->cpl == 3 && iopl(cpu) < 3;
}

static bool may_change_if(const struct soft_cpu *cpu)
{
	return !cpu_protected(cpu) || cpu->cpl <= iopl(cpu);
}

HANDLER(cli)
{
	if (may_change_if(cpu))
		cpu->flags &= ~(uint32_t)RFLAGS_IF;
	else if (uses_vif(cpu))
		cpu->flags &= ~(uint32_t)RFLAGS_VIF;
	else
		raise_gp(cpu, insn);
	return NEXT(cpu, insn);
}

/* The instruction after STI is executed before an interrupt is taken. */
HANDLER(sti)
{
	if (may_change_if(cpu)) {
		cpu->shadow = !(cpu->flags & RFLAGS_IF);
		cpu->flags |= RFLAGS_IF;
	} else if (uses_vif(cpu) && !(cpu->flags & RFLAGS_VIP)) {
		cpu->flags |= RFLAGS_VIF;
	} else {
		raise_gp(cpu, insn);
	}
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

/* `imm` is the operand's size in bytes. */
HANDLER(pushf)
{
	uint64_t flags = rflags_get(cpu) & ~(RFLAGS_VM | RFLAGS_RF);

	if (cpu_vm86(cpu) && iopl(cpu) < 3) {
		if (!(cpu->cr4 & CR4_VME) || insn->imm != 2)
			raise_gp(cpu, insn);
		flags = (flags & ~RFLAGS_IF) | RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
	}
	stack_push(cpu, insn, flags, (unsigned)insn->imm);
	return NEXT(cpu, insn);
}

static void popf_virtual(struct soft_cpu *cpu, const struct insn *insn, uint64_t flags)
{
	if (!(cpu->cr4 & CR4_VME) || insn->imm != 2 || flags & RFLAGS_TF ||
	    (flags & RFLAGS_IF && cpu->flags & RFLAGS_VIP))
		raise_gp(cpu, insn);
	flags_write(cpu, flags, RFLAGS_ARITHMETIC | RFLAGS_DF | RFLAGS_NT);
	flags_write(cpu, flags & RFLAGS_IF ? RFLAGS_VIF : 0, RFLAGS_VIF);
}

HANDLER(popf)
{
	unsigned size = (unsigned)insn->imm;
	uint64_t flags = stack_load(cpu, insn, 0, size);
	uint64_t mask = RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
	bool had_if = cpu->flags & RFLAGS_IF;

	if (cpu_vm86(cpu) && iopl(cpu) < 3) {
		popf_virtual(cpu, insn, flags);
	} else {
		if (size > 2)
			mask |= RFLAGS_AC | RFLAGS_ID;
		if (may_change_if(cpu))
			mask |= RFLAGS_IF;
		if (!cpu->cpl)
			mask |= RFLAGS_IOPL;
		flags_write(cpu, flags & ~RFLAGS_RF, mask | RFLAGS_RF);
	}
	stack_move(cpu, size);
	if (cpu->flags & RFLAGS_TF || (!had_if && cpu->flags & RFLAGS_IF))
		return leave_to_loop(cpu, insn, rip_next(cpu, insn));
	return leave_by_jump(cpu, insn, rip_next(cpu, insn));
}

static int set_size(const struct decoding *d, struct insn *insn)
{
	switch (d->z->mnemonic) {
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_POPF:
		insn->imm = 2;
		break;
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_POPFD:
		insn->imm = 4;
		break;
	default:
		insn->imm = 8;
	}
	return 0;
}

#define FLAG_ROW(mnemonic, name, flags, adjust)                                                    \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, FORM_ANY, flags, { name, name, name, name }, adjust     \
	}

const struct op_row flag_rows[] = {
	FLAG_ROW(CLC, clc, 0, NULL),
	FLAG_ROW(STC, stc, 0, NULL),
	FLAG_ROW(CMC, cmc, 0, NULL),
	FLAG_ROW(CLD, cld, 0, NULL),
	FLAG_ROW(STD, std, 0, NULL),
	FLAG_ROW(LAHF, lahf, 0, NULL),
	FLAG_ROW(SAHF, sahf, 0, NULL),
	FLAG_ROW(CLI, cli, 0, NULL),
	FLAG_ROW(STI, sti, OP_END, NULL),
	FLAG_ROW(PUSHF, pushf, 0, set_size),
	FLAG_ROW(PUSHFD, pushf, 0, set_size),
	FLAG_ROW(PUSHFQ, pushf, 0, set_size),
	FLAG_ROW(POPF, popf, OP_END, set_size),
	FLAG_ROW(POPFD, popf, OP_END, set_size),
	FLAG_ROW(POPFQ, popf, OP_END, set_size),
};
const unsigned flag_row_count = ARRAY_SIZE(flag_rows);
