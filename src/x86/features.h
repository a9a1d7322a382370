/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processor features that this project knows: each is one CPUID bit with a name, the features it
 * builds on, and the MSRs that exist only with it.
 *
 * The table is also the limit of what a guest is ever offered: a bit that is not here is never
 * passed on, because nobody would save the state that comes with it.
 *
 * Spec: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "x86/cpuid.h"

/* FEATURE(identifier, name, leaf, subleaf, register, bit, needs, needs too) */
#define CPU_FEATURES(FEATURE)                                                                      \
	FEATURE(SSE3, "sse3", 1, 0, ECX, 0, SSE2, NONE)                                            \
	FEATURE(PCLMULQDQ, "pclmulqdq", 1, 0, ECX, 1, SSE2, NONE)                                  \
	FEATURE(SSSE3, "ssse3", 1, 0, ECX, 9, SSE3, NONE)                                          \
	FEATURE(FMA, "fma", 1, 0, ECX, 12, AVX, NONE)                                              \
	FEATURE(CX16, "cx16", 1, 0, ECX, 13, LM, NONE)                                             \
	FEATURE(PCID, "pcid", 1, 0, ECX, 17, LM, NONE)                                             \
	FEATURE(SSE4_1, "sse4.1", 1, 0, ECX, 19, SSSE3, NONE)                                      \
	FEATURE(SSE4_2, "sse4.2", 1, 0, ECX, 20, SSE4_1, NONE)                                     \
	FEATURE(X2APIC, "x2apic", 1, 0, ECX, 21, APIC, NONE)                                       \
	FEATURE(MOVBE, "movbe", 1, 0, ECX, 22, NONE, NONE)                                         \
	FEATURE(POPCNT, "popcnt", 1, 0, ECX, 23, NONE, NONE)                                       \
	FEATURE(TSC_DEADLINE, "tsc-deadline", 1, 0, ECX, 24, APIC, TSC)                            \
	FEATURE(AES, "aes", 1, 0, ECX, 25, SSE2, NONE)                                             \
	FEATURE(XSAVE, "xsave", 1, 0, ECX, 26, FXSR, NONE)                                         \
	FEATURE(AVX, "avx", 1, 0, ECX, 28, XSAVE, SSE4_2)                                          \
	FEATURE(F16C, "f16c", 1, 0, ECX, 29, AVX, NONE)                                            \
	FEATURE(RDRAND, "rdrand", 1, 0, ECX, 30, NONE, NONE)                                       \
	FEATURE(HYPERVISOR, "hypervisor", 1, 0, ECX, 31, NONE, NONE)                               \
	FEATURE(FPU, "fpu", 1, 0, EDX, 0, NONE, NONE)                                              \
	FEATURE(VME, "vme", 1, 0, EDX, 1, NONE, NONE)                                              \
	FEATURE(DE, "de", 1, 0, EDX, 2, NONE, NONE)                                                \
	FEATURE(PSE, "pse", 1, 0, EDX, 3, NONE, NONE)                                              \
	FEATURE(TSC, "tsc", 1, 0, EDX, 4, NONE, NONE)                                              \
	FEATURE(MSR, "msr", 1, 0, EDX, 5, NONE, NONE)                                              \
	FEATURE(PAE, "pae", 1, 0, EDX, 6, NONE, NONE)                                              \
	FEATURE(MCE, "mce", 1, 0, EDX, 7, MSR, NONE)                                               \
	FEATURE(CX8, "cx8", 1, 0, EDX, 8, NONE, NONE)                                              \
	FEATURE(APIC, "apic", 1, 0, EDX, 9, MSR, NONE)                                             \
	FEATURE(SEP, "sep", 1, 0, EDX, 11, MSR, NONE)                                              \
	FEATURE(MTRR, "mtrr", 1, 0, EDX, 12, MSR, NONE)                                            \
	FEATURE(PGE, "pge", 1, 0, EDX, 13, NONE, NONE)                                             \
	FEATURE(MCA, "mca", 1, 0, EDX, 14, MCE, NONE)                                              \
	FEATURE(CMOV, "cmov", 1, 0, EDX, 15, NONE, NONE)                                           \
	FEATURE(PAT, "pat", 1, 0, EDX, 16, MSR, NONE)                                              \
	FEATURE(PSE36, "pse36", 1, 0, EDX, 17, PSE, NONE)                                          \
	FEATURE(CLFLUSH, "clflush", 1, 0, EDX, 19, NONE, NONE)                                     \
	FEATURE(MMX, "mmx", 1, 0, EDX, 23, FPU, NONE)                                              \
	FEATURE(FXSR, "fxsr", 1, 0, EDX, 24, FPU, NONE)                                            \
	FEATURE(SSE, "sse", 1, 0, EDX, 25, FXSR, NONE)                                             \
	FEATURE(SSE2, "sse2", 1, 0, EDX, 26, SSE, NONE)                                            \
	FEATURE(ARAT, "arat", 6, 0, EAX, 2, APIC, NONE)                                            \
	FEATURE(FSGSBASE, "fsgsbase", 7, 0, EBX, 0, LM, NONE)                                      \
	FEATURE(TSC_ADJUST, "tsc-adjust", 7, 0, EBX, 1, TSC, NONE)                                 \
	FEATURE(BMI1, "bmi1", 7, 0, EBX, 3, NONE, NONE)                                            \
	FEATURE(AVX2, "avx2", 7, 0, EBX, 5, AVX, NONE)                                             \
	FEATURE(SMEP, "smep", 7, 0, EBX, 7, NONE, NONE)                                            \
	FEATURE(BMI2, "bmi2", 7, 0, EBX, 8, NONE, NONE)                                            \
	FEATURE(ERMS, "erms", 7, 0, EBX, 9, NONE, NONE)                                            \
	FEATURE(INVPCID, "invpcid", 7, 0, EBX, 10, NONE, NONE)                                     \
	FEATURE(AVX512F, "avx512f", 7, 0, EBX, 16, AVX2, FMA)                                      \
	FEATURE(AVX512DQ, "avx512dq", 7, 0, EBX, 17, AVX512F, NONE)                                \
	FEATURE(RDSEED, "rdseed", 7, 0, EBX, 18, NONE, NONE)                                       \
	FEATURE(ADX, "adx", 7, 0, EBX, 19, NONE, NONE)                                             \
	FEATURE(SMAP, "smap", 7, 0, EBX, 20, NONE, NONE)                                           \
	FEATURE(AVX512IFMA, "avx512ifma", 7, 0, EBX, 21, AVX512F, NONE)                            \
	FEATURE(CLFLUSHOPT, "clflushopt", 7, 0, EBX, 23, CLFLUSH, NONE)                            \
	FEATURE(CLWB, "clwb", 7, 0, EBX, 24, CLFLUSH, NONE)                                        \
	FEATURE(AVX512CD, "avx512cd", 7, 0, EBX, 28, AVX512F, NONE)                                \
	FEATURE(SHA, "sha", 7, 0, EBX, 29, SSE2, NONE)                                             \
	FEATURE(AVX512BW, "avx512bw", 7, 0, EBX, 30, AVX512F, NONE)                                \
	FEATURE(AVX512VL, "avx512vl", 7, 0, EBX, 31, AVX512F, NONE)                                \
	FEATURE(AVX512VBMI, "avx512vbmi", 7, 0, ECX, 1, AVX512BW, NONE)                            \
	FEATURE(UMIP, "umip", 7, 0, ECX, 2, NONE, NONE)                                            \
	FEATURE(PKU, "pku", 7, 0, ECX, 3, XSAVE, LM)                                               \
	FEATURE(AVX512VBMI2, "avx512vbmi2", 7, 0, ECX, 6, AVX512BW, NONE)                          \
	FEATURE(GFNI, "gfni", 7, 0, ECX, 8, SSE2, NONE)                                            \
	FEATURE(VAES, "vaes", 7, 0, ECX, 9, AVX, AES)                                              \
	FEATURE(VPCLMULQDQ, "vpclmulqdq", 7, 0, ECX, 10, AVX, PCLMULQDQ)                           \
	FEATURE(AVX512VNNI, "avx512vnni", 7, 0, ECX, 11, AVX512F, NONE)                            \
	FEATURE(AVX512BITALG, "avx512bitalg", 7, 0, ECX, 12, AVX512BW, NONE)                       \
	FEATURE(AVX512VPOPCNTDQ, "avx512vpopcntdq", 7, 0, ECX, 14, AVX512F, NONE)                  \
	FEATURE(LA57, "la57", 7, 0, ECX, 16, LM, NONE)                                             \
	FEATURE(RDPID, "rdpid", 7, 0, ECX, 22, NONE, NONE)                                         \
	FEATURE(MOVDIRI, "movdiri", 7, 0, ECX, 27, NONE, NONE)                                     \
	FEATURE(MOVDIR64B, "movdir64b", 7, 0, ECX, 28, NONE, NONE)                                 \
	FEATURE(FSRM, "fsrm", 7, 0, EDX, 4, ERMS, NONE)                                            \
	FEATURE(AVX512VP2INTERSECT, "avx512vp2intersect", 7, 0, EDX, 8, AVX512F, NONE)             \
	FEATURE(MD_CLEAR, "md-clear", 7, 0, EDX, 10, NONE, NONE)                                   \
	FEATURE(SERIALIZE, "serialize", 7, 0, EDX, 14, NONE, NONE)                                 \
	FEATURE(AVX512FP16, "avx512fp16", 7, 0, EDX, 23, AVX512BW, NONE)                           \
	FEATURE(SPEC_CTRL, "spec-ctrl", 7, 0, EDX, 26, MSR, NONE)                                  \
	FEATURE(STIBP, "stibp", 7, 0, EDX, 27, MSR, NONE)                                          \
	FEATURE(ARCH_CAPABILITIES, "arch-capabilities", 7, 0, EDX, 29, MSR, NONE)                  \
	FEATURE(SPEC_CTRL_SSBD, "spec-ctrl-ssbd", 7, 0, EDX, 31, MSR, NONE)                        \
	FEATURE(AVX_VNNI, "avx-vnni", 7, 1, EAX, 4, AVX2, NONE)                                    \
	FEATURE(AVX512BF16, "avx512bf16", 7, 1, EAX, 5, AVX512BW, NONE)                            \
	FEATURE(FZRM, "fzrm", 7, 1, EAX, 10, NONE, NONE)                                           \
	FEATURE(FSRS, "fsrs", 7, 1, EAX, 11, NONE, NONE)                                           \
	FEATURE(FSRC, "fsrc", 7, 1, EAX, 12, NONE, NONE)                                           \
	FEATURE(AVX_IFMA, "avx-ifma", 7, 1, EAX, 23, AVX2, NONE)                                   \
	FEATURE(XSAVEOPT, "xsaveopt", 0xd, 1, EAX, 0, XSAVE, NONE)                                 \
	FEATURE(XSAVEC, "xsavec", 0xd, 1, EAX, 1, XSAVE, NONE)                                     \
	FEATURE(XGETBV1, "xgetbv1", 0xd, 1, EAX, 2, XSAVE, NONE)                                   \
	FEATURE(XSAVES, "xsaves", 0xd, 1, EAX, 3, XSAVEC, NONE)                                    \
	FEATURE(KVMCLOCK_OLD, "kvmclock-old", 0x40000001, 0, EAX, 0, TSC, NONE)                    \
	FEATURE(KVM_NOP_IO_DELAY, "kvm-nop-io-delay", 0x40000001, 0, EAX, 1, NONE, NONE)           \
	FEATURE(KVMCLOCK, "kvmclock", 0x40000001, 0, EAX, 3, TSC, NONE)                            \
	FEATURE(KVM_STEAL_TIME, "kvm-steal-time", 0x40000001, 0, EAX, 5, NONE, NONE)               \
	FEATURE(KVM_PV_EOI, "kvm-pv-eoi", 0x40000001, 0, EAX, 6, APIC, NONE)                       \
	FEATURE(KVM_PV_UNHALT, "kvm-pv-unhalt", 0x40000001, 0, EAX, 7, APIC, NONE)                 \
	FEATURE(KVM_PV_TLB_FLUSH, "kvm-pv-tlb-flush", 0x40000001, 0, EAX, 9, KVM_STEAL_TIME, NONE) \
	FEATURE(KVM_PV_SEND_IPI, "kvm-pv-send-ipi", 0x40000001, 0, EAX, 11, APIC, NONE)            \
	FEATURE(KVM_POLL_CONTROL, "kvm-poll-control", 0x40000001, 0, EAX, 12, NONE, NONE)          \
	FEATURE(KVM_PV_SCHED_YIELD, "kvm-pv-sched-yield", 0x40000001, 0, EAX, 13, NONE, NONE)      \
	FEATURE(KVM_MSI_EXT_DEST_ID, "kvm-msi-ext-dest-id", 0x40000001, 0, EAX, 15, APIC, NONE)    \
	FEATURE(KVMCLOCK_STABLE, "kvmclock-stable", 0x40000001, 0, EAX, 24, KVMCLOCK, NONE)        \
	FEATURE(LAHF, "lahf", 0x80000001, 0, ECX, 0, LM, NONE)                                     \
	FEATURE(CR8_LEGACY, "cr8-legacy", 0x80000001, 0, ECX, 4, APIC, NONE)                       \
	FEATURE(LZCNT, "lzcnt", 0x80000001, 0, ECX, 5, NONE, NONE)                                 \
	FEATURE(SSE4A, "sse4a", 0x80000001, 0, ECX, 6, SSE3, NONE)                                 \
	FEATURE(MISALIGN_SSE, "misalignsse", 0x80000001, 0, ECX, 7, SSE, NONE)                     \
	FEATURE(PREFETCHW, "prefetchw", 0x80000001, 0, ECX, 8, NONE, NONE)                         \
	FEATURE(OSVW, "osvw", 0x80000001, 0, ECX, 9, MSR, NONE)                                    \
	FEATURE(SYSCALL, "syscall", 0x80000001, 0, EDX, 11, MSR, NONE)                             \
	FEATURE(NX, "nx", 0x80000001, 0, EDX, 20, PAE, NONE)                                       \
	FEATURE(MMXEXT, "mmxext", 0x80000001, 0, EDX, 22, MMX, NONE)                               \
	FEATURE(FXSR_OPT, "fxsr-opt", 0x80000001, 0, EDX, 25, FXSR, NONE)                          \
	FEATURE(PDPE1GB, "pdpe1gb", 0x80000001, 0, EDX, 26, LM, NONE)                              \
	FEATURE(RDTSCP, "rdtscp", 0x80000001, 0, EDX, 27, TSC, NONE)                               \
	FEATURE(LM, "lm", 0x80000001, 0, EDX, 29, PAE, MSR)                                        \
	FEATURE(INVTSC, "invtsc", 0x80000007, 0, EDX, 8, TSC, NONE)                                \
	FEATURE(CLZERO, "clzero", 0x80000008, 0, EBX, 0, NONE, NONE)                               \
	FEATURE(XSAVEERPTR, "xsaveerptr", 0x80000008, 0, EBX, 2, XSAVE, NONE)                      \
	FEATURE(WBNOINVD, "wbnoinvd", 0x80000008, 0, EBX, 9, NONE, NONE)                           \
	FEATURE(AMD_IBPB, "ibpb", 0x80000008, 0, EBX, 12, MSR, NONE)                               \
	FEATURE(AMD_IBRS, "ibrs", 0x80000008, 0, EBX, 14, MSR, NONE)                               \
	FEATURE(AMD_STIBP, "amd-stibp", 0x80000008, 0, EBX, 15, MSR, NONE)                         \
	FEATURE(AMD_STIBP_ALWAYS, "amd-stibp-always", 0x80000008, 0, EBX, 17, AMD_STIBP, NONE)     \
	FEATURE(AMD_SSBD, "amd-ssbd", 0x80000008, 0, EBX, 24, MSR, NONE)                           \
	FEATURE(AMD_SSB_NO, "amd-ssb-no", 0x80000008, 0, EBX, 26, NONE, NONE)                      \
	FEATURE(AMD_PSFD, "amd-psfd", 0x80000008, 0, EBX, 28, MSR, NONE)                           \
	FEATURE(LFENCE_SERIALIZES, "lfence-serializes", 0x80000021, 0, EAX, 2, NONE, NONE)         \
	FEATURE(NULL_SEL_CLEARS, "null-sel-clears-base", 0x80000021, 0, EAX, 6, NONE, NONE)        \
	FEATURE(AUTO_IBRS, "auto-ibrs", 0x80000021, 0, EAX, 8, MSR, NONE)

#define FEATURE_ID_ROW(id, ...) FEATURE_##id,
enum cpu_feature { FEATURE_NONE, CPU_FEATURES(FEATURE_ID_ROW) FEATURE_COUNT };
#undef FEATURE_ID_ROW

enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct cpu_feature_row {
	const char *name;
	uint32_t leaf, subleaf;
	enum cpuid_register reg;
	uint8_t bit;
	enum cpu_feature needs[2]; /* FEATURE_NONE: nothing */
};

/* By enum cpu_feature; the row of FEATURE_NONE is empty. */
extern const struct cpu_feature_row cpu_feature_table[FEATURE_COUNT];

/* The feature of that name, or FEATURE_NONE. */
enum cpu_feature cpu_feature_find(const char *name);

/* A set of features. FEATURE_NONE is never in one. */
struct cpu_feature_set {
	uint64_t words[(FEATURE_COUNT + 63) / 64];
};

static inline bool cpu_features_have(const struct cpu_feature_set *set, enum cpu_feature feature)
{
	return set->words[feature / 64] >> (feature % 64) & 1;
}

static inline void cpu_features_add(struct cpu_feature_set *set, enum cpu_feature feature)
{
	set->words[feature / 64] |= UINT64_C(1) << (feature % 64);
}

static inline void cpu_features_remove(struct cpu_feature_set *set, enum cpu_feature feature)
{
	set->words[feature / 64] &= ~(UINT64_C(1) << (feature % 64));
}

/* The features whose bits are set in the table, whatever they need. */
struct cpu_feature_set cpu_features_of(const struct cpuid_table *table);

/* Whether one bit is set in the table. */
bool cpu_feature_present(const struct cpuid_table *table, enum cpu_feature feature);

/* Sets the bits of the features in the answer of one leaf, and leaves others alone. */
void cpu_features_put(const struct cpu_feature_set *set, struct cpuid_entry *entry);

/* Takes away what needs something that is not there, until nothing is left to take. */
void cpu_features_close(struct cpu_feature_set *set);

/* A run of MSRs that exist only if one of some features does. */
struct cpu_feature_msrs {
	uint32_t first, count;
	enum cpu_feature features[4]; /* any of them; FEATURE_NONE ends the list early */
};

extern const struct cpu_feature_msrs cpu_feature_msrs[];
extern const size_t cpu_feature_msrs_count;

/* Whether a guest with this CPUID table has the MSRs of the row. */
bool cpu_feature_msrs_present(const struct cpuid_table *table, const struct cpu_feature_msrs *row);
