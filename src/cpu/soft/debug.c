/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Debug registers. Spec: Intel SDM volume 3, chapter 17. */
#include "cpu/soft/debug_priv.h"

#include <errno.h>

#include "cpu/soft/debugger_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/width_priv.h"

enum breakpoint_type { BREAK_EXECUTE, BREAK_WRITE, BREAK_IO, BREAK_ACCESS };

static bool is_enabled(const struct soft_cpu *cpu, unsigned i)
{
	return cpu->dr7 >> (2 * i) & 3;
}

static enum breakpoint_type type_of(const struct soft_cpu *cpu, unsigned i)
{
	return cpu->dr7 >> (16 + 4 * i) & 3;
}

static uint64_t length_of(const struct soft_cpu *cpu, unsigned i)
{
	static const uint8_t lengths[] = { 1, 2, 8, 4 };

	return lengths[cpu->dr7 >> (18 + 4 * i) & 3];
}

static bool meets(const struct soft_cpu *cpu, unsigned i, uint64_t address, unsigned size)
{
	uint64_t length = length_of(cpu, i), start = cpu->dr[i] & ~(length - 1);

	return address < start + length && start < address + size;
}

void debug_watch(struct soft_cpu *cpu, uint64_t linear, unsigned size, bool write)
{
	for (unsigned i = 0; i < 4; i++) {
		enum breakpoint_type type = type_of(cpu, i);

		if (is_enabled(cpu, i) &&
		    (type == BREAK_ACCESS || (type == BREAK_WRITE && write)) &&
		    meets(cpu, i, linear, size))
			cpu->events.debug |= 1u << i;
	}
}

void debug_watch_port(struct soft_cpu *cpu, uint16_t port, unsigned size)
{
	if (!(cpu->cr4 & CR4_DE))
		return;
	for (unsigned i = 0; i < 4; i++) {
		if (is_enabled(cpu, i) && type_of(cpu, i) == BREAK_IO && meets(cpu, i, port, size))
			cpu->events.debug |= 1u << i;
	}
}

uint32_t debug_breakpoints(const struct soft_cpu *cpu)
{
	uint64_t linear =
		cpu_code64(cpu) ? cpu->rip : (uint32_t)(cpu->segments[SEG_CS].base + cpu->rip);
	uint32_t hit = 0;

	for (unsigned i = 0; i < 4; i++) {
		if (is_enabled(cpu, i) && type_of(cpu, i) == BREAK_EXECUTE && cpu->dr[i] == linear)
			hit |= 1u << i;
	}
	return hit;
}

bool debug_is_active(const struct soft_cpu *cpu)
{
	return cpu->flags & RFLAGS_TF || cpu->dr7 & DR7_ENABLES || debugger_steps(cpu);
}

void debug_note(struct soft_cpu *cpu, uint32_t dr6)
{
	cpu->dr6 = (cpu->dr6 & ~DR6_BREAKPOINTS) | dr6;
}

/* Common to reads and writes; `n` becomes the register that is meant (4 and 5 are names of 6 and
 * 7). */
static unsigned need_debug_register(struct soft_cpu *cpu, const struct insn *insn, unsigned n)
{
	if ((n == 4 || n == 5) && cpu->cr4 & CR4_DE)
		raise_ud(cpu, insn);
	if (n > 7)
		raise_ud(cpu, insn);
	if (cpu->cpl)
		raise_gp(cpu, insn);
	if (cpu->dr7 & DR7_GD) {
		cpu->dr7 &= ~DR7_GD;
		cpu->dr6 |= DR6_BD;
		raise_fault(cpu, insn, EXCEPTION_DB);
	}
	return n == 4 || n == 5 ? n + 2 : n;
}

HANDLER(mov_from_dr)
{
	unsigned n = need_debug_register(cpu, insn, insn->src);
	uint64_t value = n == 6 ? cpu->dr6 : n == 7 ? cpu->dr7 : cpu->dr[n & 3];

	*reg64(cpu, insn->dst) = cpu_code64(cpu) ? value : (uint32_t)value;
	return NEXT(cpu, insn);
}

HANDLER(mov_to_dr)
{
	unsigned n = need_debug_register(cpu, insn, insn->dst);
	uint64_t value = cpu_code64(cpu) ? *reg64(cpu, insn->src) : *reg32(cpu, insn->src);

	if (n >= 6 && value >> 32)
		raise_gp(cpu, insn);
	if (n == 6)
		cpu->dr6 = (value & (DR6_BREAKPOINTS | DR6_BD | DR6_BS | DR6_BT)) | DR6_FIXED;
	else if (n == 7)
		cpu->dr7 = (value & UINT64_C(0xffff2bff)) | DR7_FIXED;
	else
		cpu->dr[n] = value;
	mmu_update_rights(cpu);
	return leave_to_loop(cpu, insn, rip_next(cpu, insn));
}

int debug_choose_mov(struct insn *insn, bool load)
{
	insn->exec = load ? mov_to_dr : mov_from_dr;
	if (load)
		insn->flags |= INSN_LAST;
	return 0;
}
