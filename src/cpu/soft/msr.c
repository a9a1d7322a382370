/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers.
 *
 * Most are plain storage with a mask of what may be set: rows of one table. Those with effects have
 * functions. Spec: Intel SDM volume 4; AMD APM volume 2, appendix A; Linux
 * Documentation/virt/kvm/x86/msr.rst.
 */
#include "x86/msr.h"

#include "cpu/soft/lapic_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/time_priv.h"

enum msr_check { CHECK_NONE, CHECK_CANONICAL, CHECK_PAT };

/* A register that is storage: where it is, and which bits may be set. */
struct msr_storage {
	uint32_t index;
	uint32_t offset; /* of a uint64_t in struct soft_cpu */
	uint64_t valid;
	enum msr_check check;
};

#define STORAGE(index, member, valid, check)                                                       \
	{                                                                                          \
		index, offsetof(struct soft_cpu, member), valid, check                             \
	}
#define ALL UINT64_MAX

static const struct msr_storage storage[] = {
	STORAGE(MSR_TSC_ADJUST, msr.tsc_adjust, ALL, CHECK_NONE),
	STORAGE(MSR_SPEC_CTRL, msr.spec_ctrl, 0x487, CHECK_NONE),
	STORAGE(MSR_SYSENTER_CS, msr.sysenter_cs, 0xffffffff, CHECK_NONE),
	STORAGE(MSR_SYSENTER_ESP, msr.sysenter_esp, ALL, CHECK_CANONICAL),
	STORAGE(MSR_SYSENTER_EIP, msr.sysenter_eip, ALL, CHECK_CANONICAL),
	STORAGE(MSR_MCG_STATUS, msr.mcg_status, 0x7, CHECK_NONE),
	STORAGE(MSR_MCG_CTL, msr.mcg_ctl, ALL, CHECK_NONE),
	STORAGE(MSR_MISC_ENABLE, msr.misc_enable, ALL, CHECK_NONE),
	STORAGE(MSR_DEBUGCTL, msr.debugctl, 0x3, CHECK_NONE),
	STORAGE(MSR_PAT, msr.pat, ALL, CHECK_PAT),
	STORAGE(MSR_MTRR_DEF_TYPE, msr.mtrr_def_type, 0xcff, CHECK_NONE),
	STORAGE(MSR_MTRR_FIX64K_00000, msr.mtrr_fixed[0], ALL, CHECK_NONE),
	STORAGE(MSR_MTRR_FIX16K_80000, msr.mtrr_fixed[1], ALL, CHECK_NONE),
	STORAGE(MSR_MTRR_FIX16K_A0000, msr.mtrr_fixed[2], ALL, CHECK_NONE),
	STORAGE(MSR_XSS, msr.xss, 0, CHECK_NONE),
	STORAGE(MSR_KVM_POLL_CONTROL, msr.kvm_poll_control, 1, CHECK_NONE),
	STORAGE(MSR_STAR, msr.star, ALL, CHECK_NONE),
	STORAGE(MSR_LSTAR, msr.lstar, ALL, CHECK_CANONICAL),
	STORAGE(MSR_CSTAR, msr.cstar, ALL, CHECK_CANONICAL),
	STORAGE(MSR_SYSCALL_MASK, msr.syscall_mask, 0xffffffff, CHECK_NONE),
	STORAGE(MSR_FS_BASE, segments[SEG_FS].base, ALL, CHECK_CANONICAL),
	STORAGE(MSR_GS_BASE, segments[SEG_GS].base, ALL, CHECK_CANONICAL),
	STORAGE(MSR_KERNEL_GS_BASE, msr.kernel_gs_base, ALL, CHECK_CANONICAL),
	STORAGE(MSR_TSC_AUX, msr.tsc_aux, 0xffffffff, CHECK_NONE),
	STORAGE(MSR_HWCR, msr.hwcr, ALL, CHECK_NONE),
};

/* Registers that read as a constant and whose writes are dropped. */
static const struct {
	uint32_t index;
	uint64_t value;
	bool refuses_writes;
} constants[] = {
	{ MSR_BIOS_SIGN_ID, 0, false },
	{ MSR_PRED_CMD, 0, false },
	{ MSR_MCG_CAP, 0, true },      /* no banks */
	{ MSR_MTRR_CAP, 0x508, true }, /* eight variable ranges, fixed ones, write combining */
	{ MSR_VM_CR, 0, false },
	{ 0xc0010010, 0, false }, /* SYSCFG */
	{ 0xc001001a, 0, false }, /* TOP_MEM */
	{ 0xc001001d, 0, false }, /* TOP_MEM2 */
	{ 0xc0010055, 0, false }, /* interrupt pending */
	{ 0xc0010140, 0, true },  /* OSVW: no errata */
	{ 0xc0010141, 0, true },
	{ 0xc0011029, 2, false }, /* DE_CFG: LFENCE serialises */
	{ 0xc0011020, 0, false }, /* LS_CFG */
	{ 0xc0011022, 0, false }, /* DC_CFG */
	{ 0xc001102a, 0, false }, /* BU_CFG2 */
	{ 0xc001001f, 0, false }, /* NB_CFG */
	{ 0xc0010000, 0, false }, /* four performance events and their counters, of no CPUID bit */
	{ 0xc0010001, 0, false },
	{ 0xc0010002, 0, false },
	{ 0xc0010003, 0, false },
	{ 0xc0010004, 0, false },
	{ 0xc0010005, 0, false },
	{ 0xc0010006, 0, false },
	{ 0xc0010007, 0, false },
	{ 0x17, 0, true },   /* platform id */
	{ 0x34, 0, true },   /* SMI count */
	{ 0x3a, 1, true },   /* feature control: locked, no VMX */
	{ 0x9b, 0, true },   /* SMM monitor */
	{ 0xce, 0, true },   /* platform info */
	{ 0x140, 0, false }, /* misc features */
	{ 0x186, 0, false }, /* performance events */
	{ 0x187, 0, false },
	{ 0xc1, 0, false },
	{ 0xc2, 0, false },
	{ 0x2a, 0, false },  /* power-on configuration */
	{ 0x198, 0, true },  /* performance status */
	{ 0x1a2, 0, false }, /* temperature target */
	{ 0x606, 0, true },  /* power units */
};

static const struct msr_storage *find(uint32_t index)
{
	for (unsigned i = 0; i < ARRAY_SIZE(storage); i++) {
		if (storage[i].index == index)
			return &storage[i];
	}
	return NULL;
}

static uint64_t *slot(struct soft_cpu *cpu, const struct msr_storage *s)
{
	return (uint64_t *)((uint8_t *)cpu + s->offset);
}

/* The MTRRs that come in runs. */
static uint64_t *mtrr(struct soft_cpu *cpu, uint32_t index)
{
	if (index >= MSR_MTRR_PHYS_BASE0 && index < MSR_MTRR_PHYS_BASE0 + 16)
		return &cpu->msr.mtrr_variable[index - MSR_MTRR_PHYS_BASE0];
	if (index >= MSR_MTRR_FIX4K_C0000 && index < MSR_MTRR_FIX4K_C0000 + 8)
		return &cpu->msr.mtrr_fixed[3 + index - MSR_MTRR_FIX4K_C0000];
	return NULL;
}

static bool is_lapic(uint32_t index)
{
	return index == MSR_APIC_BASE || index == MSR_TSC_DEADLINE ||
	       (index >= MSR_X2APIC_BASE && index <= MSR_X2APIC_LAST);
}

uint64_t msr_ones(uint32_t index)
{
	return index == MSR_HWCR ? BIT(24) : 0;
}

bool msr_read(struct soft_cpu *cpu, uint32_t index, uint64_t *ret_value)
{
	const struct msr_storage *s = find(index);
	uint64_t *range = mtrr(cpu, index);

	if (s || range) {
		*ret_value = s ? *slot(cpu, s) : *range;
		return true;
	}
	if (is_lapic(index))
		return lapic_msr_read(cpu, index, ret_value);
	switch (index) {
	case MSR_TSC:
		*ret_value = time_tsc(cpu);
		return true;
	case MSR_EFER:
		*ret_value = cpu->efer;
		return true;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*ret_value = cpu->msr.kvm_wall_clock;
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*ret_value = cpu->msr.kvm_system_time;
		return true;
	default:
		break;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(constants); i++) {
		if (constants[i].index == index) {
			*ret_value = constants[i].value;
			return true;
		}
	}
	return false;
}

/* Each of the eight bytes names a memory type that exists. */
static bool is_pat(uint64_t value)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned type = value >> (8 * i) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool write_storage(struct soft_cpu *cpu, const struct msr_storage *s, uint64_t value)
{
	if (value & ~s->valid)
		return false;
	if (s->check == CHECK_CANONICAL && !linear_is_canonical(cpu, value))
		return false;
	if (s->check == CHECK_PAT && !is_pat(value))
		return false;
	if (s->index == MSR_TSC_ADJUST)
		cpu->tsc_offset += (int64_t)(value - *slot(cpu, s));
	*slot(cpu, s) = value;
	return true;
}

bool msr_write(struct soft_cpu *cpu, uint32_t index, uint64_t value)
{
	const struct msr_storage *s = find(index);
	uint64_t *range = mtrr(cpu, index);

	if (s)
		return write_storage(cpu, s, value);
	if (range) {
		*range = value;
		return true;
	}
	if (is_lapic(index))
		return lapic_msr_write(cpu, index, value);
	switch (index) {
	case MSR_TSC: {
		int64_t before = cpu->tsc_offset;

		time_set_tsc(cpu, value);
		cpu->msr.tsc_adjust += (uint64_t)(cpu->tsc_offset - before);
		return true;
	}
	case MSR_EFER:
		return control_write_efer(cpu, value);
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		cpu->msr.kvm_wall_clock = value;
		time_write_wall_clock(cpu);
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		cpu->msr.kvm_system_time = value;
		time_write_system_time(cpu);
		return true;
	default:
		break;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(constants); i++) {
		if (constants[i].index == index)
			return !constants[i].refuses_writes;
	}
	return false;
}

bool msr_is_supported(uint32_t index)
{
	if (find(index) || is_lapic(index) || index == MSR_TSC || index == MSR_EFER)
		return true;
	if (index == MSR_KVM_WALL_CLOCK_NEW || index == MSR_KVM_SYSTEM_TIME_NEW ||
	    index == MSR_KVM_WALL_CLOCK || index == MSR_KVM_SYSTEM_TIME)
		return true;
	if ((index >= MSR_MTRR_PHYS_BASE0 && index < MSR_MTRR_PHYS_BASE0 + 16) ||
	    (index >= MSR_MTRR_FIX4K_C0000 && index < MSR_MTRR_FIX4K_C0000 + 8))
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(constants); i++) {
		if (constants[i].index == index)
			return true;
	}
	return false;
}
