/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registers of a crashed processor as lines of the log. */
#include "machine/machine_priv.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/macros.h"

static const char *const gpr_names[GPR_COUNT] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15",
};

static const char *const segment_names[SEG_COUNT] = { "es", "cs", "ss", "ds", "fs", "gs" };

static void log_segment(const char *name, const struct vcpu_segment *segment)
{
	log_error("%s  %04x base %016" PRIx64 " limit %08x attributes %04x", name,
		  segment->selector, segment->base, segment->limit, segment->attributes);
}

static void log_state(const struct vcpu_state *s)
{
	log_error("rip %016" PRIx64 " rflags %08" PRIx64, s->rip, s->rflags);
	for (unsigned i = 0; i < GPR_COUNT; i += 4)
		log_error("%s %016" PRIx64 " %s %016" PRIx64 " %s %016" PRIx64 " %s %016" PRIx64,
			  gpr_names[i], s->gpr[i], gpr_names[i + 1], s->gpr[i + 1],
			  gpr_names[i + 2], s->gpr[i + 2], gpr_names[i + 3], s->gpr[i + 3]);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		log_segment(segment_names[i], &s->segments[i]);
	log_segment("tr", &s->tr);
	log_error("gdt base %016" PRIx64 " limit %04x idt base %016" PRIx64 " limit %04x",
		  s->gdtr.base, s->gdtr.limit, s->idtr.base, s->idtr.limit);
	log_error("cr0 %08" PRIx64 " cr2 %016" PRIx64 " cr3 %016" PRIx64 " cr4 %08" PRIx64
		  " efer %08" PRIx64,
		  s->cr0, s->cr2, s->cr3, s->cr4, s->efer);
}

void machine_log_registers(struct machine *machine, unsigned vcpu)
{
	struct vcpu *v = processors_vcpu(machine->processors, vcpu);
	struct err err = ERR_INIT;

	log_error("registers of vcpu %u:", vcpu);
	if (v->ops->vcpu_get(v, machine->scratch, &err))
		log_error("%s", err.text);
	else
		log_state(machine->scratch);
}
