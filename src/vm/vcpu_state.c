/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/vcpu_state.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "x86/msr.h"
#include "x86/registers.h"
#include "x86/segment.h"

#define APIC_BASE_ENABLED   BIT(11)
#define APIC_BASE_BOOTSTRAP BIT(8)
#define APIC_BASE_DEFAULT   UINT64_C(0xfee00000)

#define LAPIC_ID            0x20
#define LAPIC_VERSION       0x30
#define LAPIC_DFR           0xe0
#define LAPIC_SVR           0xf0
#define LAPIC_LVT_FIRST     0x320 /* timer, thermal, counters, LINT0, LINT1, error */
#define LAPIC_LVT_COUNT     6
#define LAPIC_LVT_MASKED    0x10000
#define LAPIC_VERSION_VALUE 0x00050014 /* version 0x14, six LVT entries */

#define XSAVE_FCW   0
#define XSAVE_MXCSR 24
#define FCW_RESET   0x0040
#define MXCSR_RESET 0x1f80

static const struct state_field segment_fields[] = {
	STATE_FIELD(struct vcpu_segment, base),
	STATE_FIELD(struct vcpu_segment, limit),
	STATE_FIELD(struct vcpu_segment, selector),
	STATE_FIELD(struct vcpu_segment, attributes, .max = SEGMENT_VALID),
	{ 0 },
};

static const struct state_field table_register_fields[] = {
	STATE_FIELD(struct vcpu_table_register, base),
	STATE_FIELD(struct vcpu_table_register, limit),
	{ 0 },
};

static const struct state_field msr_fields[] = {
	STATE_FIELD(struct vcpu_msr, index),
	STATE_FIELD(struct vcpu_msr, value),
	{ 0 },
};

#define FIELD(member, ...) STATE_FIELD(struct vcpu_state, member, __VA_ARGS__)

static const struct state_field vcpu_fields[] = {
	STATE_ARRAY(struct vcpu_state, gpr),
	FIELD(rip),
	FIELD(rflags, .min = RFLAGS_FIXED, .max = RFLAGS_VALID | RFLAGS_FIXED),
	STATE_STRUCTS(struct vcpu_state, segments, segment_fields),
	STATE_STRUCT(struct vcpu_state, tr, segment_fields),
	STATE_STRUCT(struct vcpu_state, ldtr, segment_fields),
	STATE_STRUCT(struct vcpu_state, gdtr, table_register_fields),
	STATE_STRUCT(struct vcpu_state, idtr, table_register_fields),
	FIELD(cr0, .max = CR0_VALID),
	FIELD(cr2),
	FIELD(cr3),
	FIELD(cr4, .max = UINT32_MAX),
	FIELD(cr8, .max = 15),
	FIELD(efer, .max = UINT32_MAX),
	STATE_ARRAY(struct vcpu_state, pdptr),
	STATE_ARRAY(struct vcpu_state, dr),
	FIELD(dr6, .max = UINT32_MAX),
	FIELD(dr7, .max = UINT32_MAX),
	FIELD(xcr0),
	FIELD(xsave_size, .min = 576, .max = VCPU_XSAVE_MAX),
	STATE_RAW(struct vcpu_state, xsave),
	FIELD(msr_count, .max = VCPU_MSRS_MAX),
	STATE_STRUCTS(struct vcpu_state, msrs, msr_fields),
	FIELD(exception_vector),
	FIELD(exception_has_error, .max = 1),
	FIELD(exception_error),
	FIELD(exception_payload),
	FIELD(interrupt_vector),
	FIELD(interrupt_soft, .max = 1),
	FIELD(nmi_injected, .max = 1),
	FIELD(nmi_pending, .max = 1),
	FIELD(nmi_masked, .max = 1),
	FIELD(interrupt_shadow, .max = 1),
	FIELD(smm, .max = 1),
	FIELD(smi_pending, .max = 1),
	FIELD(sipi_vector),
	FIELD(activity, .max = VCPU_SHUTDOWN_STATE),
	FIELD(apic_base),
	STATE_RAW(struct vcpu_state, lapic),
	FIELD(tsc_deadline),
	FIELD(tsc),
	{ 0 },
};

static int validate(const void *object, struct err *err)
{
	const struct vcpu_state *s = object;

	if (s->exception_vector != VCPU_NO_VECTOR && s->exception_vector > 31)
		return err_set(err, EINVAL, "exception vector %u is above 31", s->exception_vector);
	if (!(s->rflags & RFLAGS_FIXED) || s->rflags & ~(RFLAGS_VALID | RFLAGS_FIXED))
		return err_set(err, EINVAL, "flags 0x%llx have reserved bits",
			       (unsigned long long)s->rflags);
	if (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE))
		return err_set(err, EINVAL, "paging is on without protection");
	if (s->efer & EFER_LMA && !(s->cr0 & CR0_PG && s->cr4 & CR4_PAE))
		return err_set(err, EINVAL, "long mode is active without paging");
	return 0;
}

const struct state_desc vcpu_state_desc = {
	.name = "vcpu",
	.version = 1,
	.fields = vcpu_fields,
	.validate = validate,
};

struct vcpu_msr *vcpu_state_msr(struct vcpu_state *state, uint32_t index)
{
	for (uint32_t i = 0; i < state->msr_count && i < VCPU_MSRS_MAX; i++) {
		if (state->msrs[i].index == index)
			return &state->msrs[i];
	}
	return NULL;
}

static void reset_lapic(struct vcpu_state *s, uint32_t apic_id)
{
	le32_put(s->lapic + LAPIC_ID, apic_id << 24);
	le32_put(s->lapic + LAPIC_VERSION, LAPIC_VERSION_VALUE);
	le32_put(s->lapic + LAPIC_DFR, UINT32_MAX);
	le32_put(s->lapic + LAPIC_SVR, 0xff);
	for (unsigned i = 0; i < LAPIC_LVT_COUNT; i++)
		le32_put(s->lapic + LAPIC_LVT_FIRST + i * 0x10, LAPIC_LVT_MASKED);
}

void vcpu_state_reset(struct vcpu_state *s, uint32_t apic_id, uint32_t family_model_stepping,
		      uint32_t xsave_size)
{
	*s = (struct vcpu_state){
		.rip = 0xfff0,
		.rflags = RFLAGS_FIXED,
		.tr = { .limit = 0xffff, .attributes = SEGMENT_P | SYSTEM_TSS_BUSY },
		.ldtr = { .limit = 0xffff, .attributes = SEGMENT_P | SYSTEM_LDT },
		.gdtr.limit = 0xffff,
		.idtr.limit = 0xffff,
		.cr0 = CR0_CD | CR0_NW | CR0_ET,
		.dr6 = DR6_FIXED,
		.dr7 = DR7_FIXED,
		.xcr0 = XCR0_X87,
		.xsave_size = xsave_size,
		.exception_vector = VCPU_NO_VECTOR,
		.interrupt_vector = VCPU_NO_VECTOR,
		.activity = apic_id ? VCPU_UNINITIALIZED : VCPU_RUNNING,
		.apic_base =
			APIC_BASE_DEFAULT | APIC_BASE_ENABLED | (apic_id ? 0 : APIC_BASE_BOOTSTRAP),
	};
	s->gpr[GPR_RDX] = family_model_stepping;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s->segments[i] =
			(struct vcpu_segment){ .limit = 0xffff, .attributes = SEGMENT_REAL_DATA };
	s->segments[SEG_CS] = (struct vcpu_segment){
		.base = 0xffff0000,
		.limit = 0xffff,
		.selector = 0xf000,
		.attributes = SEGMENT_REAL_CODE,
	};
	le16_put(s->xsave + XSAVE_FCW, FCW_RESET);
	le32_put(s->xsave + XSAVE_MXCSR, MXCSR_RESET);
	for (unsigned i = 0; i < msr_table_count; i++)
		s->msrs[s->msr_count++] =
			(struct vcpu_msr){ msr_table[i].index, msr_table[i].reset };
	reset_lapic(s, apic_id);
}
