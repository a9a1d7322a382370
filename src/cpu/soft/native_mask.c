/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory operands of which a mask selects elements: only those may fault, and only those are
 * written.
 *
 * Where the whole operand can be accessed in place, the processor's own masking does it all. Else
 * the selected elements are copied one by one.
 *
 * Spec: Intel SDM volume 1, section 15.6.1.1 "Opmask Register to Predicate Vector Data Processing";
 * volume 2, VMASKMOV, VPMASKMOV, MASKMOVDQU.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/native_exec_priv.h"

/* A bit an element of the memory operand that is accessed. */
static uint64_t mask_active(struct soft_cpu *cpu, const struct native_operand *operand)
{
	uint64_t bits = 0;
	uint8_t sign;

	if (operand->kind == MASK_VECTOR) {
		for (unsigned i = 0; i < operand->lanes; i++) {
			vector_get(cpu, operand->mask, (i + 1u) * operand->lane - 1, &sign, 1);
			bits |= (uint64_t)(sign >> 7) << i;
		}
		return bits;
	}
	bits = *opmask(cpu, operand->mask) & bits_mask(operand->lanes);
	if (operand->kind == MASK_FOLDED) {
		unsigned count = operand->size / operand->lane;

		for (unsigned i = count; i < operand->lanes; i += count)
			bits |= bits >> i;
		return bits & bits_mask(count);
	}
	if (operand->kind == MASK_PACKED)
		return bits_mask((unsigned)__builtin_popcountll(bits));
	return bits;
}

/* The host address of the whole operand, or NULL. */
static void *mask_in_place(struct soft_cpu *cpu, const struct insn *insn, bool write)
{
	const struct native_operand *operand = native_operand(insn);
	uint64_t linear;

	/* The segment limit, too, binds only the selected elements. */
	if (insn->ea != EA_FLAT && insn->ea != EA_BASED)
		return NULL;
	linear = ea_linear(cpu, insn, operand->size, write);
	if (unlikely(linear & operand->align))
		return NULL;
	return write ? tlb_write(cpu, linear, operand->size) : tlb_read(cpu, linear, operand->size);
}

static uint64_t lane_address(struct soft_cpu *cpu, const struct insn *insn, unsigned lane,
			     bool write)
{
	unsigned size = native_operand(insn)->lane;

	return ea_linear_plus(cpu, insn, (uint64_t)lane * size, size, write);
}

static void mask_check_alignment(struct soft_cpu *cpu, const struct insn *insn, uint64_t active,
				 bool write)
{
	const struct native_operand *operand = native_operand(insn);
	unsigned first = (unsigned)__builtin_ctzll(active);

	if ((lane_address(cpu, insn, first, write) - (uint64_t)first * operand->lane) &
	    operand->align)
		raise_gp(cpu, insn);
}

static __attribute__((noinline)) void masked_load_copied(struct soft_cpu *cpu,
							 const struct insn *insn)
{
	const struct native_operand *operand = native_operand(insn);
	uint64_t active = mask_active(cpu, operand);
	alignas(64) uint8_t bytes[64] = { 0 };
	unsigned vector;

	if (active)
		mask_check_alignment(cpu, insn, active, false);
	for (unsigned i = 0; i < 64; i++)
		if (active & BIT(i))
			load_bytes(cpu, insn, lane_address(cpu, insn, i, false),
				   bytes + i * operand->lane, operand->lane);
	vector = native_code(insn)(cpu, bytes);
	if (vector)
		native_raise(cpu, insn, vector);
}

const struct insn *native_masked_load(struct soft_cpu *cpu, const struct insn *insn)
{
	unsigned vector = 0;
	void *p;

	native_check(cpu, insn);
	p = mask_in_place(cpu, insn, false);
	if (likely(p))
		vector = native_code(insn)(cpu, p);
	else
		masked_load_copied(cpu, insn);
	if (unlikely(vector))
		native_raise(cpu, insn, vector);
	return NEXT(cpu, insn);
}

static __attribute__((noinline)) void masked_store_copied(struct soft_cpu *cpu,
							  const struct insn *insn)
{
	const struct native_operand *operand = native_operand(insn);
	uint64_t active = mask_active(cpu, operand);
	alignas(64) uint8_t bytes[64] = { 0 };
	unsigned vector;

	if (active)
		mask_check_alignment(cpu, insn, active, true);
	for (unsigned i = 0; i < 64; i++)
		if (active & BIT(i))
			store_probe(cpu, insn, lane_address(cpu, insn, i, true), operand->lane);
	vector = native_code(insn)(cpu, bytes);
	if (vector)
		native_raise(cpu, insn, vector);
	for (unsigned i = 0; i < 64; i++)
		if (active & BIT(i))
			store_bytes(cpu, insn, lane_address(cpu, insn, i, true),
				    bytes + i * operand->lane, operand->lane);
}

const struct insn *native_masked_store(struct soft_cpu *cpu, const struct insn *insn)
{
	unsigned vector = 0;
	void *p;

	native_check(cpu, insn);
	p = mask_in_place(cpu, insn, true);
	if (likely(p))
		vector = native_code(insn)(cpu, p);
	else
		masked_store_copied(cpu, insn);
	if (unlikely(vector))
		native_raise(cpu, insn, vector);
	return NEXT(cpu, insn);
}

/* Whatever the mask, all of the operand must be writable. */
const struct insn *native_masked_store_whole(struct soft_cpu *cpu, const struct insn *insn)
{
	store_probe(cpu, insn, native_address(cpu, insn, true), native_operand(insn)->size);
	return native_masked_store(cpu, insn);
}

void store_selected(struct soft_cpu *cpu, const struct insn *insn, const uint8_t *data,
		    const uint8_t *mask, unsigned count)
{
	/* Spec: SDM, MASKMOVQ: faults of what is not selected are up to the processor. */
	bool whole = cpu->engine->vendor_amd;

	for (unsigned i = 0; i < count; i++)
		if (whole || mask[i] & 0x80)
			store_probe(cpu, insn, ea_linear_plus(cpu, insn, i, 1, true), 1);
	for (unsigned i = 0; i < count; i++)
		if (mask[i] & 0x80)
			store_bytes(cpu, insn, ea_linear_plus(cpu, insn, i, 1, true), &data[i], 1);
}

static const struct insn *maskmovdqu(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	store_selected(cpu, insn, xmm(cpu, insn->dst), xmm(cpu, insn->src), 16);
	return insn + 1;
}

int native_decode_maskmov(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
			  struct insn *out)
{
	if (z->mnemonic != ZYDIS_MNEMONIC_MASKMOVDQU && z->mnemonic != ZYDIS_MNEMONIC_VMASKMOVDQU)
		return -ENOENT;
	out->dst = (uint8_t)ZydisRegisterGetId(operands[0].reg.value);
	out->src = (uint8_t)ZydisRegisterGetId(operands[1].reg.value);
	out->exec = maskmovdqu;
	return 0;
}
