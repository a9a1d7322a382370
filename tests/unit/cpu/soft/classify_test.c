/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the translator copies into its code, over the whole opcode space: nothing that reaches
 * memory but by the operand which it replaces, nothing that needs or names what is not the guest's.
 * docs/translator.md says why that matters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "board.h"
#include "cpu/soft/decode_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/translate_priv.h"

#define STOP 0xe6, BOARD_STOP /* out %al, $BOARD_STOP */

struct space {
	uint8_t lead[6]; /* prefixes and escape bytes in front of the opcode */
	uint8_t count;
};

static const struct space legacy[] = {
	{ { 0 }, 0 },          { { 0x66 }, 1 },       { { 0xf2 }, 1 }, { { 0xf3 }, 1 },
	{ { 0xf0 }, 1 },       { { 0x48 }, 1 },       { { 0x45 }, 1 }, { { 0x66, 0x48 }, 2 },
	{ { 0xf3, 0x48 }, 2 }, { { 0xf2, 0x48 }, 2 }, { { 0x64 }, 1 }, { { 0x67 }, 1 },
};
static const struct space maps[] = {
	{ { 0 }, 0 },
	{ { 0x0f }, 1 },
	{ { 0x0f, 0x38 }, 2 },
	{ { 0x0f, 0x3a }, 2 },
};
/* [rax], [r10 + disp32], a SIB byte (an index of vectors for gathers), and registers. */
static const uint8_t forms[] = { 0x00, 0x82, 0x04, 0xc0, 0xc3, 0xc4, 0xc2 };

struct totals {
	struct soft_cpu *cpu;
	unsigned long copied, escapes;
};

static bool register_is_the_guests(ZydisRegister r)
{
	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
	case ZYDIS_REGCLASS_X87:
	case ZYDIS_REGCLASS_MMX:
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM:
	case ZYDIS_REGCLASS_MASK:
	case ZYDIS_REGCLASS_FLAGS:
	case ZYDIS_REGCLASS_IP:
		return true;
	default:
		return r == ZYDIS_REGISTER_MXCSR || r == ZYDIS_REGISTER_X87CONTROL ||
		       r == ZYDIS_REGISTER_X87STATUS || r == ZYDIS_REGISTER_X87TAG;
	}
}

static bool is_memory(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->mem.type != ZYDIS_MEMOP_TYPE_AGEN;
}

/* A ModRM operand, or what becomes one: MOV with an address of its own is copied as 88 to 8B. */
static bool is_replaced(const struct unit *u, const ZydisDecodedOperand *o)
{
	if (!u->memory || o->mem.type != ZYDIS_MEMOP_TYPE_MEM || o->size != u->size * 8u)
		return false;
	return o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
	       (u->z.mnemonic == ZYDIS_MNEMONIC_MOV && (u->operation.opcode & 0xfc) == 0x88);
}

/* Whether a copy of it could reach, or change, what is not the guest's. */
static bool escapes(const struct unit *u)
{
	if (u->z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
	    u->z.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
		return true;
	switch (u->z.meta.category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
	case ZYDIS_CATEGORY_CET:
	case ZYDIS_CATEGORY_PKU:
		return true;
	default:
		break;
	}
	for (unsigned i = 0; i < u->z.operand_count; i++) {
		const ZydisDecodedOperand *o = &u->operands[i];

		if (is_memory(o) && !is_replaced(u, o))
			return true;
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (!register_is_the_guests(o->reg.value) ||
		     (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
		      ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value) ==
			      ZYDIS_REGISTER_RSP)))
			return true;
	}
	return false;
}

static void try_bytes(struct totals *t, const uint8_t *bytes)
{
	const ZydisDecoder *decoder = &t->cpu->engine->decoders[DECODER_64];
	struct insn insn = { 0 };
	struct unit u = { .insn = &insn };
	unsigned links = 0;

	if (ZYAN_FAILED(ZydisDecoderDecodeFull(decoder, bytes, 15, &u.z, u.operands)))
		return;
	if (!native_has_room(t->cpu->native, 1))
		native_flush(t->cpu->native);
	decode_insn(t->cpu, bytes, 15, &insn, &links);
	if (insn.exec == op_undefined || insn.exec == op_too_long)
		return;
	unit_classify(t->cpu, &u);
	if (u.kind != KIND_COPY)
		return;
	t->copied++;
	if (!escapes(&u))
		return;
	if (!t->escapes++ || t->escapes % 1000 == 0)
		fprintf(stderr, "copied: %s, memory %d, bytes %02x %02x %02x %02x %02x %02x\n",
			ZydisMnemonicGetString(u.z.mnemonic), u.memory, bytes[0], bytes[1],
			bytes[2], bytes[3], bytes[4], bytes[5]);
}

/* Each opcode behind `lead`, with each form and register field. */
static void try_opcodes(struct totals *t, const uint8_t *lead, unsigned count)
{
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		for (unsigned f = 0; f < ARRAY_SIZE(forms) * 8; f++) {
			uint8_t bytes[15] = { 0 };

			memcpy(bytes, lead, count);
			bytes[count] = (uint8_t)opcode;
			bytes[count + 1] = (uint8_t)(forms[f / 8] | (f % 8) << 3);
			bytes[count + 2] = 0x08; /* SIB: [rax + rcx] */
			try_bytes(t, bytes);
		}
	}
}

static void start(struct board **ret_board, struct totals *t)
{
	static const uint8_t code[] = { STOP };
	struct board *b = NULL;
	struct vcpu_state *s;

	assert_int_equal(board_new(&b, 1, "heat=1"), 0);
	board_reset(b, BOARD_LONG);
	s = board_state(b);
	s->cr4 |= CR4_OSXSAVE;
	s->xcr0 |= XCR0_SSE | XCR0_AVX;
	board_set(b, s);
	/* So that it knows its mode. */
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	t->cpu = container_of(b->vcpus[0], struct soft_cpu, vcpu);
	*ret_board = b;
}

static void legacy_copies_stay_inside(void **state)
{
	struct totals t = { 0 };
	struct board *b;

	(void)state;
	start(&b, &t);
	for (unsigned p = 0; p < ARRAY_SIZE(legacy); p++) {
		for (unsigned m = 0; m < ARRAY_SIZE(maps); m++) {
			uint8_t lead[8];

			memcpy(lead, legacy[p].lead, legacy[p].count);
			memcpy(lead + legacy[p].count, maps[m].lead, maps[m].count);
			try_opcodes(&t, lead, legacy[p].count + maps[m].count);
		}
	}
	assert_true(t.copied > 20000);
	assert_int_equal(t.escapes, 0);
	board_free(b);
}

static void vex_copies_stay_inside(void **state)
{
	struct totals t = { 0 };
	struct board *b;

	(void)state;
	start(&b, &t);
	/* Maps 1 to 3; W, L, prefix; vvvv of all ones and of xmm1. */
	for (unsigned map = 1; map <= 3; map++) {
		for (unsigned i = 0; i < 32; i++) {
			uint8_t vvvv = i & 16 ? 0x70 : 0x78;
			const uint8_t lead[] = { 0xc4, (uint8_t)(0xe0 | map),
						 (uint8_t)((i & 8) << 4 | vvvv | (i & 4) |
							   (i & 3)) };

			try_opcodes(&t, lead, sizeof(lead));
		}
	}
	assert_true(t.copied || !t.cpu->vector_units);
	assert_int_equal(t.escapes, 0);
	board_free(b);
}

static void evex_copies_stay_inside(void **state)
{
	struct totals t = { 0 };
	struct board *b;

	(void)state;
	start(&b, &t);
	/* Maps 1 to 3; W, prefix; length, mask, broadcast. */
	for (unsigned map = 1; map <= 3; map++) {
		for (unsigned i = 0; i < 8; i++) {
			static const uint8_t last[] = { 0x08, 0x48, 0x49, 0xc9, 0x58 };

			for (unsigned k = 0; k < ARRAY_SIZE(last); k++) {
				const uint8_t lead[] = { 0x62, (uint8_t)(0xf0 | map),
							 (uint8_t)((i & 4) << 5 | 0x7c | (i & 3)),
							 last[k] };

				try_opcodes(&t, lead, sizeof(lead));
			}
		}
	}
	assert_int_equal(t.escapes, 0);
	board_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legacy_copies_stay_inside),
		cmocka_unit_test(vex_copies_stay_inside),
		cmocka_unit_test(evex_copies_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
