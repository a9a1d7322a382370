/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything the architecture defines about one processor, independent of the engine that runs it.
 *
 * What KVM saved the software engine loads, and the other way round; nothing here is an engine's
 * shortcut. Spec: Intel SDM volumes 1 and 3; AMD APM volume 2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state/fields.h"

enum vcpu_gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8,
	GPR_R9,
	GPR_R10,
	GPR_R11,
	GPR_R12,
	GPR_R13,
	GPR_R14,
	GPR_R15,
	GPR_COUNT
};

/* In the order of the instruction encoding. */
enum vcpu_segment_index { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/*
 * A segment register with its hidden part. `attributes` are bits 8 to 23 of the descriptor's high
 * word without the limit: 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G (see
 * x86/segment.h). P clear: the segment is not usable. `limit` is in bytes, scaled.
 */
struct vcpu_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint16_t attributes;
};

struct vcpu_table_register {
	uint64_t base;
	uint16_t limit;
};

struct vcpu_msr {
	uint32_t index;
	uint64_t value;
};

enum vcpu_activity {
	VCPU_RUNNING,
	VCPU_HALTED,
	VCPU_WAIT_FOR_SIPI, /* also after INIT */
	VCPU_SIPI_RECEIVED, /* KVM only tells it apart; as RUNNING */
	VCPU_UNINITIALIZED, /* an AP before its first INIT */
	VCPU_SHUTDOWN_STATE /* after a triple fault */
};

#define VCPU_MSRS_MAX    192
#define VCPU_XSAVE_MAX   11264 /* standard form with AMX tiles */
#define VCPU_LAPIC_BYTES 1024
#define VCPU_NO_VECTOR   0xff

struct vcpu_state {
	uint64_t gpr[GPR_COUNT];
	uint64_t rip;
	uint64_t rflags;

	struct vcpu_segment segments[SEG_COUNT];
	struct vcpu_segment tr, ldtr;
	struct vcpu_table_register gdtr, idtr;

	uint64_t cr0, cr2, cr3, cr4, cr8;
	uint64_t efer;
	uint64_t pdptr[4]; /* in PAE mode: the registers that CR3 loaded */
	uint64_t dr[4], dr6, dr7;
	uint64_t xcr0;

	/* Standard (not compacted) XSAVE image: legacy region, header, then the components at their
	 * CPUID offsets. */
	uint32_t xsave_size;
	uint8_t xsave[VCPU_XSAVE_MAX];

	/* The MSRs of x86/msr.h's table that are not registers above; in table order. */
	uint32_t msr_count;
	struct vcpu_msr msrs[VCPU_MSRS_MAX];

	/* Events between instructions. A vector of VCPU_NO_VECTOR: none. */
	uint8_t exception_vector; /* raised, not yet delivered (re-injected after a resume) */
	bool exception_has_error;
	uint32_t exception_error;
	uint64_t exception_payload; /* CR2 or DR6 bits that go with it */
	uint8_t interrupt_vector;   /* taken from the controller, not yet delivered */
	bool interrupt_soft;
	bool nmi_injected, nmi_pending, nmi_masked;
	bool interrupt_shadow; /* after STI or MOV SS */
	bool smm, smi_pending;
	uint8_t sipi_vector;
	uint8_t activity; /* enum vcpu_activity */

	/* Local APIC register page (offset n of the page at byte n; x2APIC ids in KVM's layout),
	 * and what is not in it. */
	uint64_t apic_base; /* IA32_APIC_BASE */
	uint8_t lapic[VCPU_LAPIC_BYTES];
	uint64_t tsc_deadline;

	uint64_t tsc; /* the guest's time stamp counter at the moment of saving */
};

extern const struct state_desc vcpu_state_desc;

/*
 * The processor after RESET. Spec: SDM volume 3, table "IA-32 and Intel 64 Processor States
 * Following Power-up, Reset, or INIT". `apic_id` 0 becomes the bootstrap processor and runs, others
 * wait. MSRs come from the x86/msr.h table.
 */
void vcpu_state_reset(struct vcpu_state *state, uint32_t apic_id, uint32_t family_model_stepping,
		      uint32_t xsave_size);

/* Finds an MSR in the state; NULL if it is not there. */
struct vcpu_msr *vcpu_state_msr(struct vcpu_state *state, uint32_t index);
