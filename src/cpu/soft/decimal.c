/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AAA, AAS, AAM, AAD, DAA, DAS: what 64-bit code has no more. Spec: Intel SDM volume 2. */
#include "cpu/soft/width_priv.h"

#define AL (*reg8(cpu, REG_OFFSET(GPR_RAX)))
#define AH (*reg8(cpu, REG_OFFSET_HIGH(GPR_RAX)))
#define AX (*reg16(cpu, REG_OFFSET(GPR_RAX)))

static bool flag(const struct soft_cpu *cpu, uint16_t status)
{
	return cpu->status & status;
}

/* SF, ZF and PF by AL; AF and CF as given; OF clear. */
static void set_flags(struct soft_cpu *cpu, bool af, bool cf)
{
	uint16_t status;

	asm("testb %1, %1\n\t" FLAGS_OUT : "=&a"(status) : "q"(AL) : "cc");
	status &= (uint16_t) ~(STATUS_AF | STATUS_CF | STATUS_OF);
	cpu->status = (uint16_t)(status | (af ? STATUS_AF : 0) | (cf ? STATUS_CF : 0));
}

static const struct insn *ascii_adjust(struct soft_cpu *cpu, const struct insn *insn, int by)
{
	bool carry = (AL & 0xf) > 9 || flag(cpu, STATUS_AF);

	if (carry) {
		AX = (uint16_t)(AX + by * 6);
		AH = (uint8_t)(AH + by);
	}
	AL &= 0xf;
	set_flags(cpu, carry, carry);
	return insn + 1;
}

HANDLER(aaa)
{
	return ascii_adjust(cpu, insn, 1);
}

HANDLER(aas)
{
	return ascii_adjust(cpu, insn, -1);
}

static const struct insn *decimal_adjust(struct soft_cpu *cpu, const struct insn *insn, int by)
{
	uint8_t old = AL;
	bool cf = flag(cpu, STATUS_CF), low = (old & 0xf) > 9 || flag(cpu, STATUS_AF);
	bool high = old > 0x99 || cf;
	bool carry = high;

	if (low) {
		AL = (uint8_t)(AL + by * 6);
		if (by < 0)
			carry = cf || old < 6 || high;
	}
	if (high)
		AL = (uint8_t)(AL + by * 0x60);
	set_flags(cpu, low, carry);
	return insn + 1;
}

HANDLER(daa)
{
	return decimal_adjust(cpu, insn, 1);
}

HANDLER(das)
{
	return decimal_adjust(cpu, insn, -1);
}

HANDLER(aam)
{
	uint8_t base = (uint8_t)insn->imm, value = AL;

	if (!base)
		raise_fault(cpu, insn, EXCEPTION_DE);
	AH = value / base;
	AL = value % base;
	set_flags(cpu, false, false);
	return NEXT(cpu, insn);
}

HANDLER(aad)
{
	AX = (uint8_t)(AL + AH * (uint8_t)insn->imm);
	set_flags(cpu, false, false);
	return NEXT(cpu, insn);
}

HANDLER(salc)
{
	AL = flag(cpu, STATUS_CF) ? 0xff : 0;
	return NEXT(cpu, insn);
}

#define DECIMAL_ROW(mnemonic, name) ROW(mnemonic, FORM_ANY, OP_LEGACY, { name, name, name, name })

const struct op_row decimal_rows[] = {
	DECIMAL_ROW(AAA, aaa),   DECIMAL_ROW(AAS, aas), DECIMAL_ROW(DAA, daa),
	DECIMAL_ROW(DAS, das),   DECIMAL_ROW(AAM, aam), DECIMAL_ROW(AAD, aad),
	DECIMAL_ROW(SALC, salc),
};
const unsigned decimal_row_count = ARRAY_SIZE(decimal_rows);
