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
#include "x86/features.h"

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
	cpu->vector_units = 0;
	for (unsigned unit = UNIT_SSE; unit <= UNIT_AVX512 && !fault[unit]; unit++)
		cpu->vector_units |= (uint8_t)(1u << unit);
	if (!fault[UNIT_X87] && !fault[UNIT_WAIT] && !fault[UNIT_MMX])
		cpu->vector_units |= 1u << UNIT_X87;
}

/* An instruction set: the feature that has it, and the unit that its instructions need. */
struct isa_row {
	uint16_t isa;     /* ZydisISASet */
	uint16_t feature; /* enum cpu_feature */
	uint8_t unit;     /* enum native_unit */
};

#define ROW(name, isa_unit, isa_feature)                                                           \
	{                                                                                          \
		.isa = ZYDIS_ISA_SET_##name, .feature = FEATURE_##isa_feature,                     \
		.unit = UNIT_##isa_unit                                                            \
	}
#define ROWS_EVEX(name, feature)                                                                   \
	ROW(AVX512##name##_128, AVX512, feature), ROW(AVX512##name##_256, AVX512, feature),        \
		ROW(AVX512##name##_512, AVX512, feature)

static const struct isa_row isa_rows[] = {
	ROW(X87, X87, FPU),
	ROW(FCMOV, X87, CMOV),
#ifdef ZYDIS_KNOWS_FCOMI_AND_PREFETCHIT
	ROW(FCOMI, X87, CMOV),
#else
	ROW(PPRO, X87, CMOV), /* FCOMI; others of this set are the core's */
#endif
	ROW(SSE3X87, X87, SSE3),
	ROW(PENTIUMMMX, MMX, MMX),
	ROW(SSE, SSE, SSE),
	ROW(SSEMXCSR, SSE, SSE),
	ROW(SSE2, SSE, SSE2),
	ROW(SSE2MMX, MMX, SSE2),
	ROW(SSE3, SSE, SSE3),
	ROW(PCLMULQDQ, SSE, PCLMULQDQ),
	ROW(SSSE3, SSE, SSSE3),
	ROW(SSSE3MMX, MMX, SSSE3),
	ROW(SSE4, SSE, SSE4_1),
	ROW(SSE42, SSE, SSE4_2),
	ROW(SSE4A, SSE, SSE4A),
	ROW(AES, SSE, AES),
	ROW(SHA, SSE, SHA),
	ROW(GFNI, SSE, GFNI),
	ROW(AVX, AVX, AVX),
	ROW(AVXAES, AVX, AES),
	ROW(F16C, AVX, F16C),
	ROW(FMA, AVX, FMA),
	ROW(AVX2, AVX, AVX2),
	ROW(AVX2GATHER, AVX, AVX2),
	ROW(AVX_GFNI, AVX, GFNI),
	ROW(AVX_VNNI, AVX, AVX_VNNI),
	ROW(VAES, AVX, VAES),
	ROW(VPCLMULQDQ, AVX, VPCLMULQDQ),
	ROWS_EVEX(F, AVX512F),
	ROW(AVX512F_128N, AVX512, AVX512F),
	ROW(AVX512F_SCALAR, AVX512, AVX512F),
	ROW(AVX512F_KOP, AVX512, AVX512F),
	ROWS_EVEX(DQ, AVX512DQ),
	ROW(AVX512DQ_128N, AVX512, AVX512DQ),
	ROW(AVX512DQ_SCALAR, AVX512, AVX512DQ),
	ROW(AVX512DQ_KOP, AVX512, AVX512DQ),
	ROWS_EVEX(CD, AVX512CD),
	ROWS_EVEX(BW, AVX512BW),
	ROW(AVX512BW_128N, AVX512, AVX512BW),
	ROW(AVX512BW_KOP, AVX512, AVX512BW),
	ROWS_EVEX(_IFMA, AVX512IFMA),
	ROWS_EVEX(_VBMI, AVX512VBMI),
	ROWS_EVEX(_VBMI2, AVX512VBMI2),
	ROWS_EVEX(_GFNI, GFNI),
	ROWS_EVEX(_VAES, VAES),
	ROWS_EVEX(_VPCLMULQDQ, VPCLMULQDQ),
	ROWS_EVEX(_VNNI, AVX512VNNI),
	ROWS_EVEX(_BITALG, AVX512BITALG),
	ROWS_EVEX(_VPOPCNTDQ, AVX512VPOPCNTDQ),
	ROWS_EVEX(_VP2INTERSECT, AVX512VP2INTERSECT),
	ROWS_EVEX(_BF16, AVX512BF16),
	ROW(FXSAVE, SSE, FXSR), /* FXSAVE, XSAVE and their kin check for themselves */
	ROW(FXSAVE64, SSE, FXSR),
	ROW(XSAVE, SSE, XSAVE),
	ROW(XSAVEOPT, SSE, XSAVEOPT),
	ROW(XSAVEC, SSE, XSAVEC),
	ROW(XSAVES, SSE, XSAVES),
	ROW(BMI1, INTEGER, BMI1),
	ROW(BMI2, INTEGER, BMI2),
	ROW(ADOX_ADCX, INTEGER, ADX),
	ROW(POPCNT, INTEGER, POPCNT),
	ROW(LZCNT, INTEGER, LZCNT),
};

#undef ROWS_EVEX
#undef ROW

/* Features that come with those above, and have no instruction set of their own. */
static const uint16_t other_features[] = { FEATURE_AVX512VL, FEATURE_MMXEXT, FEATURE_XSAVEERPTR };

/* Leaves that were asked for; the instruction traps on virtual hosts and takes microseconds. */
struct leaves {
	struct {
		uint32_t leaf, subleaf;
		struct cpuid_regs regs;
	} list[8];
	unsigned count;
};

static struct cpuid_regs leaf_get(struct leaves *leaves, uint32_t leaf, uint32_t subleaf)
{
	unsigned i = 0;

	while (i < leaves->count &&
	       (leaves->list[i].leaf != leaf || leaves->list[i].subleaf != subleaf))
		i++;
	if (i == ARRAY_SIZE(leaves->list))
		return cpuid_host(leaf, subleaf);
	if (i == leaves->count) {
		leaves->list[i].leaf = leaf;
		leaves->list[i].subleaf = subleaf;
		leaves->list[i].regs = cpuid_host(leaf, subleaf);
		leaves->count++;
	}
	return leaves->list[i].regs;
}

static bool host_has(struct leaves *leaves, unsigned feature)
{
	const struct cpu_feature_row *row = &cpu_feature_table[feature];
	struct cpuid_regs regs = leaf_get(leaves, row->leaf, row->subleaf);
	const uint32_t registers[] = { regs.eax, regs.ebx, regs.ecx, regs.edx };

	return registers[row->reg] >> row->bit & 1;
}

static bool host_has_state(const struct native_host *host, unsigned unit)
{
	return unit == UNIT_AVX512 ? host->opmask : unit == UNIT_AVX ? host->avx : true;
}

/* Spec: Intel SDM volume 1, section 13.2 "Enumeration of CPU Support for XSAVE Instructions". */
static void detect_state(struct native_host *host)
{
	uint32_t features = cpuid_host(1, 0).ecx;
	struct cpuid_regs main;

	if (!(features & BIT(27))) /* OSXSAVE */
		return;
	main = cpuid_host(0xd, 0);
	host->avx = (main.eax & 6) == 6 && features & BIT(28);
	if ((main.eax & XCR0_AVX512) == XCR0_AVX512) {
		host->opmask = cpuid_host(0xd, 5).ebx;
		host->zmm_high = cpuid_host(0xd, 6).ebx;
		host->zmm_16 = cpuid_host(0xd, 7).ebx;
	}
	host->mask = XCR0_SSE | (host->avx ? XCR0_AVX : 0) | (host->opmask ? XCR0_AVX512 : 0);
	if (main.eax & XCR0_PKRU)
		host->pkru = cpuid_host(0xd, 9).ebx;
}

void native_host_detect(struct native_host *ret_host)
{
	struct native_host host = { 0 };
	struct leaves leaves = { .count = 0 };

	detect_state(&host);
	host.amd = cpuid_vendor_amd(leaf_get(&leaves, 0, 0));
	memset(host.units, UNIT_COUNT, sizeof(host.units));
	for (size_t i = 0; i < ARRAY_SIZE(isa_rows); i++) {
		const struct isa_row *row = &isa_rows[i];

		if (!host_has_state(&host, row->unit) || !host_has(&leaves, row->feature))
			continue;
		host.units[row->isa] = row->unit;
		cpu_features_add(&host.features, (enum cpu_feature)row->feature);
	}
	for (size_t i = 0; i < ARRAY_SIZE(other_features); i++)
		if (host_has(&leaves, other_features[i]))
			cpu_features_add(&host.features, (enum cpu_feature)other_features[i]);
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
