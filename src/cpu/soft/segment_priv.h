/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segment registers, descriptor tables, far transfers and delivery of events. */
#pragma once

#include "cpu/soft/access_priv.h"

struct decoding;

#define SELECTOR_INDEX UINT16_C(0xfff8)
#define SELECTOR_ERROR UINT16_C(0xfffc) /* what of a selector goes into an error code */

static inline bool selector_is_null(uint16_t selector)
{
	return !(selector & SELECTOR_ERROR);
}

/*
 * Reads the descriptor of a selector (8 bytes) and its linear address. False: beyond the table's
 * limit. `insn` may be NULL here and below: between instructions.
 */
bool descriptor_read(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
		     uint64_t *ret_descriptor, uint64_t *ret_linear);

/* As above, and #GP(selector) if it is null or beyond. */
uint64_t descriptor_need(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
			 unsigned vector, uint64_t *ret_linear);

/* The upper half of a 16-byte system descriptor of long mode: bits 32 to 63 of the base. */
uint64_t descriptor_high_base(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear);

/* Sets the accessed bit in memory (or, for a TSS, the busy bit: `bit` 41). */
void descriptor_set_bit(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
			uint64_t descriptor, unsigned bit, bool value);

/* The register's content for a descriptor. */
struct vcpu_segment segment_of(uint16_t selector, uint64_t descriptor);

/* As real mode and vm86 load it. */
void segment_load_real(struct soft_cpu *cpu, unsigned seg, uint16_t selector);

/* Loads ES, SS, DS, FS or GS with every check of the present mode. Spec: SDM volume 3, section 5.5
 * to 5.7. */
void segment_load(struct soft_cpu *cpu, const struct insn *insn, unsigned seg, uint16_t selector);

/* Checks and reads what SS is to be at privilege level `cpl`; `vector` is what is raised (#TS or
 * #GP). */
struct vcpu_segment stack_segment_need(struct soft_cpu *cpu, const struct insn *insn,
				       uint16_t selector, unsigned cpl, unsigned vector);

/* Changes CS and the privilege level; mode and rights follow. */
void code_segment_set(struct soft_cpu *cpu, struct vcpu_segment cs, unsigned cpl);

/* Changes the privilege level alone. */
void cpl_set(struct soft_cpu *cpu, unsigned cpl);

/* What of EFLAGS an instruction may change is written, the rest stays. */
void flags_write(struct soft_cpu *cpu, uint64_t value, uint64_t mask);

/*
 * For instructions that load a segment register: whether they end their block, and what the handler
 * returns.
 */
void segment_ends_block(const struct decoding *d, struct insn *insn, unsigned seg);
const struct insn *segment_loaded(struct soft_cpu *cpu, const struct insn *insn);

/* Picks the handlers of MOV to and from segment registers, and of far JMP, CALL, RET. */
int segment_choose_mov(const struct decoding *d, struct insn *insn, bool load);
int far_choose(const struct decoding *d, struct insn *insn);

enum event_kind {
	EVENT_EXTERNAL, /* interrupt, NMI */
	EVENT_EXCEPTION,
	EVENT_SOFT,  /* INT n: the gate's DPL counts */
	EVENT_TRAP3, /* INT3, INTO: likewise */
	EVENT_TRAP1, /* INT1: not */
};

/*
 * Goes through the IDT with `rip` as return address. Raises what goes wrong on the way; then
 * nothing of the registers has changed. Spec: SDM volume 3, sections 6.12, 6.14, 20.1.4.
 */
void event_deliver(struct soft_cpu *cpu, const struct insn *insn, unsigned vector,
		   enum event_kind kind, uint64_t rip, bool has_error, uint32_t error);

enum task_reason { TASK_JUMP, TASK_CALL, TASK_IRET, TASK_GATE };

/* Switches to another task. `rip` is where the old one goes on. Spec: SDM volume 3, section 7.3. */
void task_switch(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
		 enum task_reason reason, uint64_t rip, bool has_error, uint32_t error);
