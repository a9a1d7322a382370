/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MXCSR, and the instructions that clear vector registers whole. */
#include <errno.h>
#include <string.h>

#include "cpu/soft/native_exec_priv.h"

static const struct insn *ldmxcsr(struct soft_cpu *cpu, const struct insn *insn)
{
	uint32_t value = load32(cpu, insn, native_address(cpu, insn, false));

	if (value & ~MXCSR_VALID)
		raise_gp(cpu, insn);
	memcpy(cpu->xsave + XSAVE_MXCSR, &value, sizeof(value));
	return NEXT(cpu, insn);
}

static const struct insn *stmxcsr(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t linear = native_address(cpu, insn, true);

	store32(cpu, insn, linear, *(const uint32_t *)(cpu->xsave + XSAVE_MXCSR));
	return NEXT(cpu, insn);
}

/* Outside 64-bit mode the second eight registers are out of reach, and stay. */
static unsigned registers_in_reach(const struct soft_cpu *cpu)
{
	return cpu_code64(cpu) ? 16 : 8;
}

static const struct insn *vzeroupper(struct soft_cpu *cpu, const struct insn *insn)
{
	unsigned count = registers_in_reach(cpu);
	bool zmm = native_host(cpu->native)->opmask;

	native_check(cpu, insn);
	for (unsigned i = 0; i < count; i++) {
		if (!cpu->upper_in_use[i])
			continue;
		memset(ymm_high(cpu, i), 0, 16);
		if (zmm)
			memset(zmm_high(cpu, i), 0, 32);
		cpu->upper_in_use[i] = 0;
	}
	return NEXT(cpu, insn);
}

static const struct insn *vzeroall(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	memset(xmm(cpu, 0), 0, 16ul * registers_in_reach(cpu));
	return vzeroupper(cpu, insn);
}

struct state_row {
	uint16_t mnemonic;
	uint8_t size; /* of the memory operand, for the check of segment limits */
	uint8_t align;
	insn_exec *exec;
};

/* XSAVE and its kin check the rest themselves: the size of the operand varies. */
static const struct state_row state_rows[] = {
	{ ZYDIS_MNEMONIC_LDMXCSR, 4, 0, ldmxcsr },
	{ ZYDIS_MNEMONIC_VLDMXCSR, 4, 0, ldmxcsr },
	{ ZYDIS_MNEMONIC_STMXCSR, 4, 0, stmxcsr },
	{ ZYDIS_MNEMONIC_VSTMXCSR, 4, 0, stmxcsr },
	{ ZYDIS_MNEMONIC_VZEROUPPER, 0, 0, vzeroupper },
	{ ZYDIS_MNEMONIC_VZEROALL, 0, 0, vzeroall },
	{ ZYDIS_MNEMONIC_FXSAVE, 0, 15, native_fxsave },
	{ ZYDIS_MNEMONIC_FXSAVE64, 0, 15, native_fxsave },
	{ ZYDIS_MNEMONIC_FXRSTOR, 0, 15, native_fxrstor },
	{ ZYDIS_MNEMONIC_FXRSTOR64, 0, 15, native_fxrstor },
	{ ZYDIS_MNEMONIC_XSAVE, 0, 63, native_xsave },
	{ ZYDIS_MNEMONIC_XSAVE64, 0, 63, native_xsave },
	{ ZYDIS_MNEMONIC_XSAVEOPT, 0, 63, native_xsaveopt },
	{ ZYDIS_MNEMONIC_XSAVEOPT64, 0, 63, native_xsaveopt },
	{ ZYDIS_MNEMONIC_XSAVEC, 0, 63, native_xsavec },
	{ ZYDIS_MNEMONIC_XSAVEC64, 0, 63, native_xsavec },
	{ ZYDIS_MNEMONIC_XSAVES, 0, 63, native_xsaves },
	{ ZYDIS_MNEMONIC_XSAVES64, 0, 63, native_xsaves },
	{ ZYDIS_MNEMONIC_XRSTOR, 0, 63, native_xrstor },
	{ ZYDIS_MNEMONIC_XRSTOR64, 0, 63, native_xrstor },
	{ ZYDIS_MNEMONIC_XRSTORS, 0, 63, native_xrstors },
	{ ZYDIS_MNEMONIC_XRSTORS64, 0, 63, native_xrstors },
};

int native_decode_state(const ZydisDecodedInstruction *z, struct insn *out)
{
	struct native_operand *operand = (struct native_operand *)&out->imm;

	for (size_t i = 0; i < ARRAY_SIZE(state_rows); i++) {
		if (state_rows[i].mnemonic != z->mnemonic)
			continue;
		operand->size = state_rows[i].size;
		operand->align = state_rows[i].align;
		out->exec = state_rows[i].exec;
		return 0;
	}
	return -ENOENT;
}
