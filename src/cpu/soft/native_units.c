/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instruction sets this processor can lend the guest, and which the guest has switched on.
 *
 * Spec: Intel SDM volume 3, section 2.5 (CR0.EM, CR0.MP, CR0.TS, CR4.OSFXSR, CR4.OSXSAVE), section
 * 13.1 (tables 13-1 and 13-3); volume 1, section 14.8.
 */
#include <errno.h>
#include <string.h>

#include "cpu/soft/native_exec_priv.h"
#include "x86/cpuid.h"

static bool avx_enabled(const struct soft_cpu *cpu, uint64_t components)
{
	return cpu_protected(cpu) && !cpu_vm86(cpu) && cpu->cr4 & CR4_OSXSAVE &&
	       (cpu->xcr0 & components) == components;
}

void native_units_update(struct soft_cpu *cpu)
{
	const uint64_t avx = XCR0_SSE | XCR0_AVX;
	const uint8_t switched = cpu->cr0 & CR0_TS ? EXCEPTION_NM : 0;
	const bool emulated = cpu->cr0 & CR0_EM;
	uint8_t *fault = cpu->unit_fault;

	fault[UNIT_INTEGER] = 0;
	fault[UNIT_X87] = emulated ? EXCEPTION_NM : switched;
	fault[UNIT_WAIT] = cpu->cr0 & CR0_MP ? switched : 0;
	fault[UNIT_MMX] = emulated ? EXCEPTION_UD : switched;
	fault[UNIT_SSE] = emulated || !(cpu->cr4 & CR4_OSFXSR) ? EXCEPTION_UD : switched;
	fault[UNIT_AVX] = avx_enabled(cpu, avx) ? switched : EXCEPTION_UD;
	fault[UNIT_AVX512] = avx_enabled(cpu, avx | XCR0_AVX512) ? switched : EXCEPTION_UD;
}

/* An instruction set: where its feature bit is, and the unit that its instructions need. */
struct isa_row {
	uint16_t isa; /* ZydisISASet */
	uint8_t unit; /* enum native_unit */
	uint8_t reg;  /* of the leaf: 0 EAX … 3 EDX */
	uint8_t bit;
	uint32_t leaf;
};

enum { EAX, EBX, ECX, EDX };

#define EXTENDED          0x80000001u
#define LEGACY_AND_HEADER (512u + 64u)

#define ROW(name, isa_unit, cpuid_leaf, cpuid_reg, cpuid_bit)                                      \
	{                                                                                          \
		.isa = ZYDIS_ISA_SET_##name, .unit = UNIT_##isa_unit, .leaf = (cpuid_leaf),        \
		.reg = (cpuid_reg), .bit = (cpuid_bit)                                             \
	}
#define ROWS_EVEX(name, leaf, reg, bit)                                                            \
	ROW(AVX512##name##_128, AVX512, leaf, reg, bit),                                           \
		ROW(AVX512##name##_256, AVX512, leaf, reg, bit),                                   \
		ROW(AVX512##name##_512, AVX512, leaf, reg, bit)

static const struct isa_row isa_rows[] = {
	ROW(X87, X87, 1, EDX, 0),
	ROW(FCMOV, X87, 1, EDX, 15),
	ROW(PPRO, X87, 1, EDX, 15), /* FCOMI; others of this set are the core's */
	ROW(SSE3X87, X87, 1, ECX, 0),
	ROW(PENTIUMMMX, MMX, 1, EDX, 23),
	ROW(SSE, SSE, 1, EDX, 25),
	ROW(SSEMXCSR, SSE, 1, EDX, 25),
	ROW(SSE2, SSE, 1, EDX, 26),
	ROW(SSE2MMX, MMX, 1, EDX, 26),
	ROW(SSE3, SSE, 1, ECX, 0),
	ROW(PCLMULQDQ, SSE, 1, ECX, 1),
	ROW(SSSE3, SSE, 1, ECX, 9),
	ROW(SSSE3MMX, MMX, 1, ECX, 9),
	ROW(SSE4, SSE, 1, ECX, 19),
	ROW(SSE42, SSE, 1, ECX, 20),
	ROW(SSE4A, SSE, EXTENDED, ECX, 6),
	ROW(AES, SSE, 1, ECX, 25),
	ROW(SHA, SSE, 7, EBX, 29),
	ROW(GFNI, SSE, 7, ECX, 8),
	ROW(AVX, AVX, 1, ECX, 28),
	ROW(AVXAES, AVX, 1, ECX, 25),
	ROW(F16C, AVX, 1, ECX, 29),
	ROW(FMA, AVX, 1, ECX, 12),
	ROW(AVX2, AVX, 7, EBX, 5),
	ROW(AVX2GATHER, AVX, 7, EBX, 5),
	ROW(AVX_GFNI, AVX, 7, ECX, 8),
	ROW(VAES, AVX, 7, ECX, 9),
	ROW(VPCLMULQDQ, AVX, 7, ECX, 10),
	ROWS_EVEX(F, 7, EBX, 16),
	ROW(AVX512F_128N, AVX512, 7, EBX, 16),
	ROW(AVX512F_SCALAR, AVX512, 7, EBX, 16),
	ROW(AVX512F_KOP, AVX512, 7, EBX, 16),
	ROWS_EVEX(DQ, 7, EBX, 17),
	ROW(AVX512DQ_128N, AVX512, 7, EBX, 17),
	ROW(AVX512DQ_SCALAR, AVX512, 7, EBX, 17),
	ROW(AVX512DQ_KOP, AVX512, 7, EBX, 17),
	ROWS_EVEX(_IFMA, 7, EBX, 21),
	ROWS_EVEX(CD, 7, EBX, 28),
	ROWS_EVEX(BW, 7, EBX, 30),
	ROW(AVX512BW_128N, AVX512, 7, EBX, 30),
	ROW(AVX512BW_KOP, AVX512, 7, EBX, 30),
	ROWS_EVEX(_VBMI, 7, ECX, 1),
	ROWS_EVEX(_VBMI2, 7, ECX, 6),
	ROWS_EVEX(_GFNI, 7, ECX, 8),
	ROWS_EVEX(_VAES, 7, ECX, 9),
	ROWS_EVEX(_VPCLMULQDQ, 7, ECX, 10),
	ROWS_EVEX(_VNNI, 7, ECX, 11),
	ROWS_EVEX(_BITALG, 7, ECX, 12),
	ROWS_EVEX(_VPOPCNTDQ, 7, ECX, 14),
	ROWS_EVEX(_VP2INTERSECT, 7, EDX, 8),
	ROW(FXSAVE, SSE, 1, EDX, 24), /* FXSAVE, XSAVE and their kin check for themselves */
	ROW(FXSAVE64, SSE, 1, EDX, 24),
	ROW(XSAVE, SSE, 1, ECX, 26),
	ROW(XSAVEOPT, SSE, 1, ECX, 26),
	ROW(XSAVEC, SSE, 1, ECX, 26),
	ROW(XSAVES, SSE, 1, ECX, 26),
	ROW(BMI1, INTEGER, 7, EBX, 3),
	ROW(BMI2, INTEGER, 7, EBX, 8),
	ROW(ADOX_ADCX, INTEGER, 7, EBX, 19),
	ROW(POPCNT, INTEGER, 1, ECX, 23),
	ROW(LZCNT, INTEGER, EXTENDED, ECX, 5),
};

#undef ROWS_EVEX
#undef ROW

static bool isa_present(const struct isa_row *row)
{
	struct cpuid_regs regs = cpuid_host(row->leaf, 0);
	const uint32_t registers[] = { regs.eax, regs.ebx, regs.ecx, regs.edx };

	return registers[row->reg] >> row->bit & 1;
}

/* Spec: Intel SDM volume 1, section 13.2 "Enumeration of CPU Support for XSAVE Instructions". */
static void detect_state(struct native_host *host)
{
	uint32_t features = cpuid_host(1, 0).ecx;
	struct cpuid_regs main;

	host->size = LEGACY_AND_HEADER;
	if (!(features & BIT(27))) /* OSXSAVE */
		return;
	main = cpuid_host(0xd, 0);
	host->size = main.ebx;
	host->avx = (main.eax & 6) == 6 && features & BIT(28);
	if ((main.eax & XCR0_AVX512) == XCR0_AVX512) {
		host->opmask = cpuid_host(0xd, 5).ebx;
		host->zmm_high = cpuid_host(0xd, 6).ebx;
		host->zmm_16 = cpuid_host(0xd, 7).ebx;
	}
	if (main.eax & XCR0_PKRU)
		host->pkru = cpuid_host(0xd, 9).ebx;
}

void native_host_detect(struct native_host *ret_host)
{
	struct native_host host = { 0 };

	detect_state(&host);
	memset(host.units, UNIT_COUNT, sizeof(host.units));
	for (size_t i = 0; i < ARRAY_SIZE(isa_rows); i++) {
		const struct isa_row *row = &isa_rows[i];
		bool state = row->unit == UNIT_AVX512 ? host.opmask
			     : row->unit == UNIT_AVX  ? host.avx
						      : true;

		if (state && isa_present(row))
			host.units[row->isa] = row->unit;
	}
	*ret_host = host;
}

/* Which register files an instruction names. */
static unsigned register_classes(const ZydisDecodedInstruction *z,
				 const ZydisDecodedOperand *operands)
{
	unsigned classes = 0;

	for (unsigned i = 0; i < z->operand_count; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			classes |= 1u << ZydisRegisterGetClass(operands[i].reg.value);
	return classes;
}

int native_unit(const struct native_host *host, const ZydisDecodedInstruction *z,
		const ZydisDecodedOperand *operands)
{
	const unsigned x87 = 1u << ZYDIS_REGCLASS_X87, mmx = 1u << ZYDIS_REGCLASS_MMX,
		       xmm = 1u << ZYDIS_REGCLASS_XMM;
	unsigned classes = register_classes(z, operands);
	unsigned unit = host->units[z->meta.isa_set];

	if (unit == UNIT_COUNT)
		return -ENOENT;
	if (z->mnemonic == ZYDIS_MNEMONIC_FWAIT)
		return UNIT_WAIT;
	if (z->mnemonic == ZYDIS_MNEMONIC_CRC32)
		return UNIT_INTEGER;
	/* Zydis files x87 and MMX forms of later instructions with what is new beside them. */
	if (classes & x87)
		return UNIT_X87;
	if (z->meta.isa_set == ZYDIS_ISA_SET_PPRO)
		return -ENOENT;
	return unit == UNIT_SSE && classes & mmx && !(classes & xmm) ? UNIT_MMX : (int)unit;
}
