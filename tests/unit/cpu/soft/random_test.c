/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random instructions on random states: the engine and this processor must agree in every
 * register, flag, vector byte, data byte and fault.
 *
 *	test-cpu-soft-random interpreter|translator[32] [SEED [ROUNDS [SPACE]]]
 *
 * Differences that must be stand in one table, with the reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "cpu/soft/native_priv.h"
#include "random_forms.h"
#include "sandbox.h"
#include "subject.h"
#include "x86/registers.h"

#define SEED_DEFAULT UINT64_C(0x1234567)
#define REPORTS_MAX  40

/* Parts of the state. */
enum {
	PART_FAULT = 1u << 0,
	PART_GPR = 1u << 1,
	PART_FLAGS = 1u << 2,
	PART_X87 = 1u << 3,
	PART_MXCSR = 1u << 4,
	PART_VECTOR = 1u << 5,
	PART_DATA = 1u << 6,
	PART_CR2 = 1u << 7,
	PART_WHICH = 1u << 8, /* both fault, but not with the same vector */
};

static const char *const part_names[] = { "fault",  "gpr",  "flags", "x87",  "mxcsr",
					  "vector", "data", "cr2",   "which" };

/* What may differ, and why. */
static const struct difference {
	uint16_t mnemonic;
	unsigned parts;
	const char *reason;
} differences[] = {
	{ ZYDIS_MNEMONIC_PAUSE, PART_GPR, "Zydis takes F3 REX.B 90 for it, which is XCHG" },
	{ ZYDIS_MNEMONIC_MOVSB, PART_WHICH, "with REP: which operand is looked at first" },
	{ ZYDIS_MNEMONIC_MOVSW, PART_WHICH, "as MOVSB" },
	{ ZYDIS_MNEMONIC_MOVSQ, PART_WHICH, "as MOVSB" },
	{ ZYDIS_MNEMONIC_MOVSD, PART_WHICH, "as MOVSB" },
	{ ZYDIS_MNEMONIC_VPEXTRD, PART_FAULT | PART_WHICH | PART_GPR | PART_DATA,
	  "W outside 64-bit mode: ignored by Intel, refused by AMD" },
	{ ZYDIS_MNEMONIC_VPINSRD, PART_FAULT | PART_WHICH | PART_VECTOR, "as VPEXTRD" },
	{ ZYDIS_MNEMONIC_FLDENV, PART_CR2, "order in which a long operand is accessed" },
	{ ZYDIS_MNEMONIC_FRSTOR, PART_CR2, "order in which a long operand is accessed" },
	{ ZYDIS_MNEMONIC_KMOVD, PART_VECTOR,
	  "W outside 64-bit mode: AMD takes the upper half of the register" },
	{ ZYDIS_MNEMONIC_FXSAVE, PART_CR2, "order in which a long operand is accessed" },
	{ ZYDIS_MNEMONIC_FXRSTOR, PART_CR2, "order in which a long operand is accessed" },
	{ ZYDIS_MNEMONIC_POPA, PART_GPR, "what is popped before a fault stays with AMD" },
	{ ZYDIS_MNEMONIC_POPAD, PART_GPR, "as POPA" },
	{ ZYDIS_MNEMONIC_XSAVE, PART_CR2, "order in which a long operand is accessed" },
	{ ZYDIS_MNEMONIC_XSAVEC, PART_CR2, "order in which a long operand is accessed" },
	{ ZYDIS_MNEMONIC_XSAVEOPT, PART_CR2, "order in which a long operand is accessed" },
	{ ZYDIS_MNEMONIC_XRSTOR, PART_CR2, "order in which a long operand is accessed" },
	{ ZYDIS_MNEMONIC_MASKMOVQ, PART_CR2 | PART_FAULT,
	  "an address is judged as that of the whole operand, and even if no byte is selected" },
	{ ZYDIS_MNEMONIC_MASKMOVDQU, PART_CR2 | PART_FAULT, "as MASKMOVQ" },
	{ ZYDIS_MNEMONIC_VMASKMOVDQU, PART_CR2 | PART_FAULT, "as MASKMOVQ" },
};

struct totals {
	struct native_host host;
	unsigned long run, faults, reports;
	bool code32;
	unsigned char seen[ZYDIS_MNEMONIC_MAX_VALUE + 1], reported[ZYDIS_MNEMONIC_MAX_VALUE + 1];
};

static unsigned allowed(ZydisMnemonic mnemonic)
{
	for (size_t i = 0; i < ARRAY_SIZE(differences); i++)
		if (differences[i].mnemonic == mnemonic)
			return differences[i].parts;
	return 0;
}

/* Elsewhere the host may have pages that the guest has not. */
static bool in_sandbox(uint64_t address)
{
	return address - SANDBOX_DATA < SANDBOX_DATA_PAGES * 4096u;
}

static unsigned compare(const struct random_case *c, const struct sandbox_state *a,
			const struct sandbox_state *b)
{
	uint64_t flags = RFLAGS_ARITHMETIC | RFLAGS_DF;
	unsigned parts = 0;

	/* AAA and its kin: elsewhere the interpreter has processors' own values of them. */
	if (c->z.meta.category == ZYDIS_CATEGORY_DECIMAL)
		flags &= ~(uint64_t)c->z.cpu_flags->undefined;
	if (a->rip != b->rip || (a->vector == SANDBOX_NO_FAULT) != (b->vector == SANDBOX_NO_FAULT))
		parts |= PART_FAULT;
	else if (a->vector != b->vector)
		parts |= PART_WHICH;
	if (a->vector == 14 && b->vector == 14 &&
	    (a->cr2 != b->cr2 || (in_sandbox(a->cr2) && a->error != b->error)))
		parts |= PART_CR2;
	if (memcmp(a->gpr, b->gpr, sizeof(a->gpr)))
		parts |= PART_GPR;
	if ((a->rflags ^ b->rflags) & flags)
		parts |= PART_FLAGS;
	/* FOP, FIP and FDP of the host are those of the sandbox. */
	if (memcmp(a->xsave, b->xsave, 6) || memcmp(a->xsave + 32, b->xsave + 32, 128))
		parts |= PART_X87;
	if (memcmp(a->xsave + XSAVE_MXCSR, b->xsave + XSAVE_MXCSR, 4))
		parts |= PART_MXCSR;
	if (memcmp(a->xsave + XSAVE_XMM, b->xsave + XSAVE_XMM, 256) ||
	    memcmp(a->xsave + XSAVE_YMM_HIGH, b->xsave + XSAVE_YMM_HIGH,
		   SANDBOX_XSAVE - XSAVE_YMM_HIGH))
		parts |= PART_VECTOR;
	if (memcmp(a->data, b->data, sizeof(a->data)))
		parts |= PART_DATA;
	return parts;
}

static bool has_mmx(const struct random_case *c)
{
	for (unsigned i = 0; i < c->z.operand_count; i++) {
		if (c->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(c->operands[i].reg.value) == ZYDIS_REGCLASS_MMX)
			return true;
	}
	return false;
}

static bool writes_memory(const struct random_case *c)
{
	for (unsigned i = 0; i < c->z.operand_count; i++) {
		if (c->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    c->operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			return true;
	}
	return false;
}

/* What Intel's processors do in another order than AMD's, which the engine follows: it shows only where an
 * instruction faults, and is done anew after that. */
static unsigned allowed_by_intel(const struct random_case *c, const struct sandbox_state *want,
				 const struct sandbox_state *got)
{
	unsigned parts = 0;

	/* The exception that the value raises is noted before the memory is looked at. */
	if (c->z.meta.category == ZYDIS_CATEGORY_X87_ALU && writes_memory(c) &&
	    want->vector == SANDBOX_NO_FAULT && want->xsave[2] & BIT(7)) /* error summary */
		return PART_FAULT | PART_X87;
	if (want->vector == SANDBOX_NO_FAULT || got->vector == SANDBOX_NO_FAULT)
		return 0;
	if (has_mmx(c))
		parts |= PART_X87; /* has been switched to MMX */
	if (writes_memory(c))
		parts |= PART_CR2;
	switch (c->z.meta.category) {
	case ZYDIS_CATEGORY_AVX2GATHER:
	case ZYDIS_CATEGORY_GATHER:
		return parts | PART_VECTOR; /* elements before the one that faults */
	case ZYDIS_CATEGORY_X87_ALU:
		return parts |
		       (writes_memory(c) ? PART_DATA : 0); /* of ten bytes, those in front */
	case ZYDIS_CATEGORY_STRINGOP:
		/* Of elements before the one that faults; of two operands, which is looked at first. */
		return parts | PART_CR2 | PART_WHICH | PART_FLAGS;
	default:
		break;
	}
	switch (c->z.mnemonic) {
	case ZYDIS_MNEMONIC_ENTER:
		return parts | PART_WHICH; /* at the end of 4 GiB */
	case ZYDIS_MNEMONIC_VCVTPS2PH:
		return parts | PART_MXCSR | PART_WHICH; /* its own exceptions come first */
	default:
		return parts;
	}
}

static void show_bytes(const char *name, const uint8_t *in, const uint8_t *want, const uint8_t *got,
		       size_t count)
{
	for (size_t i = 0; i < count; i += 8) {
		uint64_t v[3];

		if (!memcmp(want + i, got + i, 8))
			continue;
		memcpy(&v[0], in + i, 8);
		memcpy(&v[1], want + i, 8);
		memcpy(&v[2], got + i, 8);
		fprintf(stderr, "    %s+%zu: was %016lx, processor %016lx, interpreter %016lx\n",
			name, i, v[0], v[1], v[2]);
	}
}

static void show(const struct random_case *c, unsigned parts, const struct sandbox_state *in,
		 const struct sandbox_state *want, const struct sandbox_state *got)
{
	ZydisFormatter formatter;
	char text[128];

	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&formatter, &c->z, c->operands, c->z.operand_count_visible,
					text, sizeof(text), SANDBOX_CODE, NULL);
	fprintf(stderr, "%s  (", text);
	for (unsigned i = 0; i < c->length; i++)
		fprintf(stderr, "%02x", c->code[i]);
	fprintf(stderr, ") differs:");
	for (unsigned i = 0; i < ARRAY_SIZE(part_names); i++)
		if (parts & 1u << i)
			fprintf(stderr, " %s", part_names[i]);
	fprintf(stderr,
		"\n    vector %u/%u error %x/%x cr2 %lx/%lx rip %lx/%lx flags %lx: %lx/%lx\n",
		want->vector, got->vector, want->error, got->error, want->cr2, got->cr2, want->rip,
		got->rip, in->rflags, want->rflags, got->rflags);
	show_bytes("gpr", (const uint8_t *)in->gpr, (const uint8_t *)want->gpr,
		   (const uint8_t *)got->gpr, sizeof(in->gpr));
	show_bytes("xsave", in->xsave, want->xsave, got->xsave, SANDBOX_XSAVE);
	show_bytes("data", in->data, want->data, got->data, SANDBOX_DATA_BYTES);
}

/* Clears what is not compared. */
static void settle(struct sandbox_state *state)
{
	for (unsigned i = 0; state->code32 && i < 8; i++)
		state->gpr[i] = (uint32_t)state->gpr[i];
	memset(state->xsave + 6, 0, 18); /* FOP, FIP, FDP */
	memset(state->xsave + 28, 0, 4);
	memset(state->xsave + 416, 0, 160);
}

/*
 * MXCSR_MASK in a saved area: the guest is not offered the processor's mode of misaligned SSE.
 */
static void settle_mask(struct sandbox_state *want, const struct sandbox_state *got)
{
	for (size_t i = 28; i < SANDBOX_DATA_BYTES; i += 16)
		if (le_get(want->data + i, 4) == 0x2ffff && le_get(got->data + i, 4) == 0xffff)
			le_put(want->data + i, 0xffff, 4);
}

static void run_one(struct sandbox *sandbox, struct subject *subject, const struct random_case *c,
		    const struct sandbox_state *in, struct totals *totals)
{
	struct sandbox_state want = *in, got = *in;
	unsigned parts;

	native_sandbox_run(sandbox, c->code, c->length, &want);
	subject_run(subject, c->code, c->length, &got);
	settle(&want);
	settle(&got);
	settle_mask(&want, &got);
	totals->run++;
	totals->seen[c->z.mnemonic] = 1;
	totals->faults += want.vector != SANDBOX_NO_FAULT;
	/* Where the guest has nothing, the host may have pages of this process. */
	if (got.vector == 14 && !in_sandbox(got.cr2) && native_sandbox_is_mapped(got.cr2))
		return;
	parts = compare(c, &want, &got) & ~allowed(c->z.mnemonic);
	if (!totals->host.amd)
		parts &= ~allowed_by_intel(c, &want, &got);
	if (!parts)
		return;
	if (totals->reported[c->z.mnemonic] < 2 && totals->reports++ < REPORTS_MAX)
		show(c, parts, in, &want, &got);
	totals->reported[c->z.mnemonic] += totals->reported[c->z.mnemonic] < 255;
}

static void run_space(struct sandbox *sandbox, struct subject *subject, struct random *random,
		      const struct form_space *space, unsigned rounds, struct totals *totals)
{
	struct sandbox_state *in = malloc(sizeof(*in));
	ZydisDecoder decoder;
	struct random_case c;

	if (!in)
		abort();
	if (totals->code32)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned opcode = space->first; opcode <= space->last; opcode++)
		for (unsigned i = 0; i < space->variants * rounds; i++)
			if (random_case_make(random, space, (uint8_t)opcode, &decoder,
					     &totals->host, &c, in))
				run_one(sandbox, subject, &c, in, totals);
	free(in);
}

static int report(const struct totals *totals)
{
	unsigned seen = 0, reported = 0;

	for (size_t i = 0; i < ARRAY_SIZE(totals->seen); i++) {
		seen += totals->seen[i];
		reported += totals->reported[i] != 0;
	}
	fprintf(stderr, "%lu instructions of %u names, %lu faults; %u names differ\n", totals->run,
		seen, totals->faults, reported);
	for (size_t i = 0; reported && i < ARRAY_SIZE(totals->reported); i++)
		if (totals->reported[i])
			fprintf(stderr, "  %s (%u)\n", ZydisMnemonicGetString((ZydisMnemonic)i),
				totals->reported[i]);
	return reported ? 1 : 0;
}

int main(int argc, char **argv)
{
	bool translated = argc > 1 && !strncmp(argv[1], "translator", strlen("translator"));
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : SEED_DEFAULT;
	unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 1;
	const char *only = argc > 4 ? argv[4] : NULL;
	struct totals totals = { .code32 = argc > 1 && strstr(argv[1], "32") };
	struct sandbox *sandbox;
	struct subject *subject;
	int r;

	native_host_detect(&totals.host);
	if (subject_new(&subject, translated) || native_sandbox_new(&sandbox)) {
		fprintf(stderr, "cannot set up\n");
		return 1;
	}
	for (unsigned i = 0; i < form_space_count; i++) {
		struct random random = { (seed + i) * UINT64_C(0x9e3779b97f4a7c15) | 1 };

		if (!only || !strcmp(only, form_spaces[i].name))
			run_space(sandbox, subject, &random, &form_spaces[i], rounds, &totals);
	}
	r = report(&totals);
	native_sandbox_free(sandbox);
	subject_free(subject);
	return r;
}
