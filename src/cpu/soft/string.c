/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MOVS, STOS, LODS, CMPS, SCAS, with their repeat prefixes.
 *
 * Registers are brought up to date after each element (or run of elements), so a fault or an
 * interrupt in between leaves the instruction restartable. REP MOVS and REP STOS go page by page
 * where source and destination are plain memory. A repeated instruction looks for attention between
 * runs and then leaves its block to be started again.
 *
 * Spec: Intel SDM volume 2; volume 1, section 7.3.9.
 */
#include <errno.h>
#include <string.h>

#include "cpu/soft/condition_priv.h"
#include "cpu/soft/width_priv.h"

#define RAX REG_OFFSET(GPR_RAX)

/* `scale` of a string insn is the address size in bytes. */
static inline uint64_t address_mask(const struct insn *insn)
{
	return bits_mask(insn->scale * 8u);
}

static void set_address(struct soft_cpu *cpu, const struct insn *insn, enum vcpu_gpr r,
			uint64_t value)
{
	if (insn->scale == 2)
		*reg16(cpu, REG_OFFSET(r)) = (uint16_t)value;
	else
		cpu->gpr[r] = value & address_mask(insn);
}

static int64_t step(const struct soft_cpu *cpu, unsigned size)
{
	return cpu->flags & RFLAGS_DF ? -(int64_t)size : (int64_t)size;
}

static void advance(struct soft_cpu *cpu, const struct insn *insn, enum vcpu_gpr r, int64_t by)
{
	set_address(cpu, insn, r, cpu->gpr[r] + (uint64_t)by);
}

static uint64_t source(struct soft_cpu *cpu, const struct insn *insn, unsigned size)
{
	return segment_linear(cpu, insn, insn->seg, cpu->gpr[GPR_RSI] & address_mask(insn), size,
			      false);
}

static uint64_t destination(struct soft_cpu *cpu, const struct insn *insn, unsigned size,
			    bool write)
{
	return segment_linear(cpu, insn, SEG_ES, cpu->gpr[GPR_RDI] & address_mask(insn), size,
			      write);
}

static bool is_repeated(const struct insn *insn)
{
	return insn->flags & (INSN_REP | INSN_REPNE);
}

static uint64_t repeat_count(const struct soft_cpu *cpu, const struct insn *insn)
{
	return cpu->gpr[GPR_RCX] & address_mask(insn);
}

static void repeat_done(struct soft_cpu *cpu, const struct insn *insn, uint64_t count)
{
	set_address(cpu, insn, GPR_RCX, cpu->gpr[GPR_RCX] - count);
}

/* Leaves with rip at the instruction, to come back. */
static const struct insn *interrupted(struct soft_cpu *cpu, const struct insn *insn)
{
	cpu->rip += insn->offset;
	return NULL;
}

/*
 * How many elements from `offset` on are in one page, and within a segment that needs no check for
 * each of them; 0: go one by one.
 */
static uint64_t run_length(const struct soft_cpu *cpu, const struct insn *insn, unsigned seg,
			   uint64_t offset, uint64_t linear, unsigned size)
{
	uint64_t rest = (PAGE_SIZE - (linear & PAGE_MASK)) / size;

	if (cpu_code64(cpu))
		return insn->scale == 8 ? rest : MIN(rest, (UINT32_MAX - offset) / size);
	if (cpu->segments[seg].limit != UINT32_MAX || cpu->segments[seg].attributes & SEGMENT_DOWN)
		return 0;
	return MIN(rest, (address_mask(insn) - offset) / size);
}

/* Copies ascending as the processor does: an overlap ahead of the source repeats the pattern. */
static void copy_run(uint8_t *to, const uint8_t *from, uint64_t bytes, unsigned size)
{
	if (to <= from || to >= from + bytes) {
		memmove(to, from, bytes);
		return;
	}
	if ((uint64_t)(to - from) >= size) {
		for (uint64_t i = 0; i < bytes; i += size)
			memcpy(to + i, from + i, size);
		return;
	}
	for (uint64_t i = 0; i < bytes; i += size) {
		uint8_t element[8];

		memcpy(element, from + i, size);
		memcpy(to + i, element, size);
	}
}

static uint64_t movs_run(struct soft_cpu *cpu, const struct insn *insn, unsigned size,
			 uint64_t count)
{
	uint64_t mask = address_mask(insn);
	uint64_t from = source(cpu, insn, size), to = destination(cpu, insn, size, true);
	const uint8_t *host_from = tlb_read(cpu, from, 1);
	uint8_t *host_to = tlb_write(cpu, to, 1);

	if (!host_from || !host_to)
		return 0;
	count = MIN(count, run_length(cpu, insn, insn->seg, cpu->gpr[GPR_RSI] & mask, from, size));
	count = MIN(count, run_length(cpu, insn, SEG_ES, cpu->gpr[GPR_RDI] & mask, to, size));
	copy_run(host_to, host_from, count * size, size);
	return count;
}

static void fill_run(uint8_t *to, uint64_t value, uint64_t count, unsigned size)
{
	if (size == 1) {
		memset(to, (uint8_t)value, count);
		return;
	}
	for (uint64_t i = 0; i < count; i++)
		memcpy(to + i * size, &value, size);
}

static uint64_t stos_run(struct soft_cpu *cpu, const struct insn *insn, unsigned size,
			 uint64_t count)
{
	uint64_t to = destination(cpu, insn, size, true);
	uint8_t *host = tlb_write(cpu, to, 1);

	if (!host)
		return 0;
	count = MIN(count, run_length(cpu, insn, SEG_ES, cpu->gpr[GPR_RDI] & address_mask(insn), to,
				      size));
	fill_run(host, cpu->gpr[GPR_RAX], count, size);
	return count;
}

#define STRING_DEFINE(bits, suffix, mod, name)                                                     \
	static void movs_one##bits(struct soft_cpu *cpu, const struct insn *insn)                  \
	{                                                                                          \
		uint##bits##_t value = load##bits(cpu, insn, source(cpu, insn, bits / 8));         \
                                                                                                   \
		store##bits(cpu, insn, destination(cpu, insn, bits / 8, true), value);             \
		advance(cpu, insn, GPR_RSI, step(cpu, bits / 8));                                  \
		advance(cpu, insn, GPR_RDI, step(cpu, bits / 8));                                  \
	}                                                                                          \
	static void stos_one##bits(struct soft_cpu *cpu, const struct insn *insn)                  \
	{                                                                                          \
		store##bits(cpu, insn, destination(cpu, insn, bits / 8, true),                     \
			    *reg##bits(cpu, RAX));                                                 \
		advance(cpu, insn, GPR_RDI, step(cpu, bits / 8));                                  \
	}                                                                                          \
	static void lods_one##bits(struct soft_cpu *cpu, const struct insn *insn)                  \
	{                                                                                          \
		set_reg##bits(cpu, RAX, load##bits(cpu, insn, source(cpu, insn, bits / 8)));       \
		advance(cpu, insn, GPR_RSI, step(cpu, bits / 8));                                  \
	}                                                                                          \
	static void compare##bits(struct soft_cpu *cpu, uint##bits##_t a, uint##bits##_t b)        \
	{                                                                                          \
		uint16_t status;                                                                   \
                                                                                                   \
		asm("cmp" suffix " %" mod "2, %" mod "1\n\t" FLAGS_OUT                             \
		    : "=&a"(status)                                                                \
		    : "r"(a), "r"(b)                                                               \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
	}                                                                                          \
	static void cmps_one##bits(struct soft_cpu *cpu, const struct insn *insn)                  \
	{                                                                                          \
		uint##bits##_t a = load##bits(cpu, insn, source(cpu, insn, bits / 8));             \
                                                                                                   \
		compare##bits(cpu, a,                                                              \
			      load##bits(cpu, insn, destination(cpu, insn, bits / 8, false)));     \
		advance(cpu, insn, GPR_RSI, step(cpu, bits / 8));                                  \
		advance(cpu, insn, GPR_RDI, step(cpu, bits / 8));                                  \
	}                                                                                          \
	static void scas_one##bits(struct soft_cpu *cpu, const struct insn *insn)                  \
	{                                                                                          \
		compare##bits(cpu, *reg##bits(cpu, RAX),                                           \
			      load##bits(cpu, insn, destination(cpu, insn, bits / 8, false)));     \
		advance(cpu, insn, GPR_RDI, step(cpu, bits / 8));                                  \
	}

/* For instructions that go one by one. */
#define NO_RUN(cpu, insn, size, count) 0

/* Repeats while the count lasts; `many` does a run at once and says how many elements. */
#define REPEAT_DEFINE(bits, suffix, mod, name, many)                                               \
	HANDLER(name##bits)                                                                        \
	{                                                                                          \
		if (!is_repeated(insn)) {                                                          \
			name##_one##bits(cpu, insn);                                               \
			return NEXT(cpu, insn);                                                    \
		}                                                                                  \
		for (uint64_t count; (count = repeat_count(cpu, insn));) {                         \
			uint64_t done = many(cpu, insn, bits / 8, count);                          \
                                                                                                   \
			if (!done) {                                                               \
				name##_one##bits(cpu, insn);                                       \
				done = 1;                                                          \
			}                                                                          \
			repeat_done(cpu, insn, done);                                              \
			if (attention_needed(cpu) && repeat_count(cpu, insn))                      \
				return interrupted(cpu, insn);                                     \
		}                                                                                  \
		return NEXT(cpu, insn);                                                            \
	}

/* Repeats while the count lasts and ZF is as the prefix says. */
#define COMPARE_DEFINE(bits, suffix, mod, name)                                                    \
	HANDLER(name##bits)                                                                        \
	{                                                                                          \
		bool while_equal = insn->flags & INSN_REP;                                         \
                                                                                                   \
		if (!is_repeated(insn)) {                                                          \
			name##_one##bits(cpu, insn);                                               \
			return NEXT(cpu, insn);                                                    \
		}                                                                                  \
		while (repeat_count(cpu, insn)) {                                                  \
			name##_one##bits(cpu, insn);                                               \
			repeat_done(cpu, insn, 1);                                                 \
			if (condition_Z(cpu) != while_equal)                                       \
				break;                                                             \
			if (attention_needed(cpu) && repeat_count(cpu, insn))                      \
				return interrupted(cpu, insn);                                     \
		}                                                                                  \
		return NEXT(cpu, insn);                                                            \
	}

/* Whether a run may be done at once: not while each element must be looked at. */
static bool may_run(const struct soft_cpu *cpu, uint64_t count)
{
	return count > 1 && !(cpu->flags & RFLAGS_DF) && !(cpu->mode & MODE_SINGLE);
}

/* Runs move the registers themselves. */
static uint64_t movs_many(struct soft_cpu *cpu, const struct insn *insn, unsigned size,
			  uint64_t count)
{
	count = may_run(cpu, count) ? movs_run(cpu, insn, size, count) : 0;
	advance(cpu, insn, GPR_RSI, (int64_t)(count * size));
	advance(cpu, insn, GPR_RDI, (int64_t)(count * size));
	return count;
}

static uint64_t stos_many(struct soft_cpu *cpu, const struct insn *insn, unsigned size,
			  uint64_t count)
{
	count = may_run(cpu, count) ? stos_run(cpu, insn, size, count) : 0;
	advance(cpu, insn, GPR_RDI, (int64_t)(count * size));
	return count;
}

FOR_WIDTHS(STRING_DEFINE, string)
FOR_WIDTHS(REPEAT_DEFINE, movs, movs_many)
FOR_WIDTHS(REPEAT_DEFINE, stos, stos_many)
FOR_WIDTHS(REPEAT_DEFINE, lods, NO_RUN)
FOR_WIDTHS(COMPARE_DEFINE, cmps)
FOR_WIDTHS(COMPARE_DEFINE, scas)

static int choose_string(const struct decoding *d, struct insn *insn)
{
	if (d->z->meta.category != ZYDIS_CATEGORY_STRINGOP)
		return -ENOENT;
	insn->scale = d->z->address_width / 8;
	/* Operands are hidden: the source's segment is that of the one which is based on SI. */
	insn->seg = SEG_DS;
	for (unsigned i = 0; i < d->z->operand_count; i++) {
		const ZydisDecodedOperand *o = &d->operands[i];

		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    ZydisRegisterGetId(o->mem.base) == GPR_RSI)
			insn->seg = (uint8_t)(o->mem.segment - ZYDIS_REGISTER_ES);
	}
	return 0;
}

#define STRING_ROW(mnemonic, name)                                                                 \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, FORM_ANY, 0, { name, name, name, name }, choose_string  \
	}
#define STRING_ROWS(mnemonic, name)                                                                \
	STRING_ROW(mnemonic##B, name##8), STRING_ROW(mnemonic##W, name##16),                       \
		STRING_ROW(mnemonic##D, name##32), STRING_ROW(mnemonic##Q, name##64)

const struct op_row string_rows[] = {
	STRING_ROWS(MOVS, movs), STRING_ROWS(STOS, stos), STRING_ROWS(LODS, lods),
	STRING_ROWS(CMPS, cmps), STRING_ROWS(SCAS, scas),
};
const unsigned string_row_count = ARRAY_SIZE(string_rows);
