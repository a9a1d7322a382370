/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Thunks alone: registers in and out of the state, replaced registers, flags, exceptions, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/soft/cpu_priv.h"
#include "cpu/soft/flags_priv.h"
#include "cpu/soft/native_priv.h"

struct bench {
	struct soft_cpu *cpu;
	struct native *native;
	ZydisDecoder decoder;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->cpu = aligned_alloc(64, (sizeof(*b->cpu) + 63) / 64 * 64);
	assert_non_null(b->cpu);
	memset(b->cpu, 0, sizeof(*b->cpu));
	memcpy(b->cpu->xsave, &(uint16_t){ 0x37f }, 2);
	memcpy(b->cpu->xsave + XSAVE_MXCSR, &(uint32_t){ 0x1f80 }, 4);
	assert_int_equal(native_new(&b->native), 0);
	ZydisDecoderInit(&b->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	native_free(b->native);
	free(b->cpu);
	free(b);
	return 0;
}

static int thunk_of(struct bench *b, const char *bytes, native_thunk **ret_thunk)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	assert_true(ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&b->decoder, bytes, strlen(bytes), &z, operands)));
	return native_thunk_get(b->native, &z, operands, ret_thunk);
}

static unsigned run(struct bench *b, const char *bytes, void *memory)
{
	native_thunk *thunk;

	assert_int_equal(thunk_of(b, bytes, &thunk), 0);
	return thunk(b->cpu, memory);
}

static void thunk_with_gprs_reads_and_writes_the_right_ones(void **state)
{
	/* clang-format off */
	static const struct {
		const char *bytes;
		int in1, in2, out;
		uint64_t value1, value2, expected;
	} rows[] = {
		{ "\xf3\x48\x0f\xb8\xdc", GPR_RSP, -1, GPR_RBX, 0xf0f0, 0, 8 },		/* popcnt rbx, rsp */
		{ "\xf3\x4d\x0f\xb8\xe7", GPR_R15, -1, GPR_R12, 0x7, 0, 3 },		/* popcnt r12, r15 */
		{ "\xf3\x48\x0f\xb8\xfe", GPR_RSI, -1, GPR_RDI, 0x1f, 0, 5 },		/* popcnt rdi, rsi */
		{ "\xc4\xc2\xe3\xf6\xdc", GPR_R12, GPR_RDX, GPR_RBX, 1ull << 63, 6, 3 }, /* mulx rbx, rbx, r12 */
		{ "\xf3\x0f\xbc\xc7", GPR_RDI, -1, GPR_RAX, 0x100, 0, 8 },		/* tzcnt eax, edi */
		{ "\xc4\xe2\x40\xf2\xf0", GPR_RDI, GPR_RAX, GPR_RSI, 0xff00, 0xf0f0, 0xf0 }, /* andn esi, edi, eax */
	};
	/* clang-format on */
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(b->cpu->gpr, 0xaa, sizeof(b->cpu->gpr));
		b->cpu->gpr[rows[i].in1] = rows[i].value1;
		if (rows[i].in2 >= 0)
			b->cpu->gpr[rows[i].in2] = rows[i].value2;
		assert_int_equal(run(b, rows[i].bytes, NULL), 0);
		assert_int_equal(b->cpu->gpr[rows[i].out], rows[i].expected);
		for (int n = 0; n < GPR_COUNT; n++)
			if (n != rows[i].in1 && n != rows[i].in2 && n != rows[i].out)
				assert_int_equal(b->cpu->gpr[n], UINT64_C(0xaaaaaaaaaaaaaaaa));
	}
}

static void thunk_with_high_byte_reads_it(void **state)
{
	struct bench *b = *state;
	uint64_t low, high;

	b->cpu->gpr[GPR_RAX] = 0;
	b->cpu->gpr[GPR_RBX] = 0x1200;
	assert_int_equal(run(b, "\xf2\x0f\x38\xf0\xc7", NULL), 0); /* crc32 eax, bh */
	high = b->cpu->gpr[GPR_RAX];
	b->cpu->gpr[GPR_RAX] = 0;
	b->cpu->gpr[GPR_RBX] = 0x12;
	assert_int_equal(run(b, "\xf2\x0f\x38\xf0\xc3", NULL), 0); /* crc32 eax, bl */
	low = b->cpu->gpr[GPR_RAX];
	assert_int_not_equal(low, 0);
	assert_int_equal(low, high);
	b->cpu->gpr[GPR_RDI] = 0x12;
	b->cpu->gpr[GPR_RAX] = 0;
	assert_int_equal(run(b, "\xf2\x40\x0f\x38\xf0\xc7", NULL), 0); /* crc32 eax, dil */
	assert_int_equal(b->cpu->gpr[GPR_RAX], low);
}

static void thunk_with_flags_keeps_the_others(void **state)
{
	struct bench *b = *state;

	b->cpu->gpr[GPR_RAX] = UINT64_MAX;
	b->cpu->gpr[GPR_RCX] = 0;
	b->cpu->status = status_of_rflags(RFLAGS_CF | RFLAGS_OF | RFLAGS_SF);
	assert_int_equal(run(b, "\x66\x48\x0f\x38\xf6\xc1", NULL), 0); /* adcx rax, rcx */
	assert_int_equal(b->cpu->gpr[GPR_RAX], 0);
	assert_int_equal(rflags_of_status(b->cpu->status),
			 RFLAGS_CF | RFLAGS_OF | RFLAGS_SF | RFLAGS_FIXED);
	b->cpu->gpr[GPR_RAX] = 1;
	b->cpu->gpr[GPR_RCX] = 0;
	b->cpu->status = status_of_rflags(RFLAGS_OF);
	assert_int_equal(run(b, "\xf3\x48\x0f\x38\xf6\xc1", NULL), 0); /* adox rax, rcx */
	assert_int_equal(b->cpu->gpr[GPR_RAX], 2);
	assert_int_equal(rflags_of_status(b->cpu->status), RFLAGS_FIXED);
}

static void thunk_of_legacy_vector_keeps_upper_halves(void **state)
{
	struct bench *b = *state;
	alignas(16) uint32_t memory[4] = { 1, 2, 3, 4 };
	uint32_t *xmm9 = (uint32_t *)(b->cpu->xsave + XSAVE_XMM + 16 * 9);

	memset(b->cpu->xsave + XSAVE_YMM_HIGH + 16 * 9, 0x55, 16);
	xmm9[3] = 7;
	assert_int_equal(run(b, "\x66\x44\x0f\xfe\x0b", memory), 0); /* paddd xmm9, [rbx] */
	assert_int_equal(xmm9[0], 1);
	assert_int_equal(xmm9[3], 11);
	assert_int_equal(b->cpu->xsave[XSAVE_YMM_HIGH + 16 * 9], 0x55);
}

static void thunk_with_unmasked_exception_returns_its_vector(void **state)
{
	struct bench *b = *state;
	uint32_t *mxcsr = (uint32_t *)(b->cpu->xsave + XSAVE_MXCSR);
	float *xmm0 = (float *)(b->cpu->xsave + XSAVE_XMM);

	assert_int_equal(native_traps_install(), 0); /* cmocka puts its own in before each test */
	xmm0[0] = 1;
	*mxcsr = 0x1f80 & ~0x200u;
	assert_int_equal(run(b, "\xf3\x0f\x5e\xc1", NULL), EXCEPTION_XM); /* divss xmm0, xmm1 */
	assert_int_equal(*mxcsr, 0x1d84);
	assert_true(xmm0[0] == 1);
	assert_int_equal(__builtin_ia32_stmxcsr() & 0x1f80, 0x1f80);
	*mxcsr = 0x1f80;
	assert_int_equal(run(b, "\xf3\x0f\x5e\xc1", NULL), 0);
	assert_int_equal(*mxcsr, 0x1f84);
}

static void thunk_of_x87_keeps_its_stack_between_calls(void **state)
{
	struct bench *b = *state;
	double in = 1.5, out = 0;

	assert_int_equal(run(b, "\xdd\x03", &in), 0);  /* fld qword [rbx] */
	assert_int_equal(run(b, "\xd9\xe8", NULL), 0); /* fld1 */
	assert_int_equal(run(b, "\xde\xc1", NULL), 0); /* faddp */
	assert_int_equal(run(b, "\xdd\x1b", &out), 0); /* fstp qword [rbx] */
	assert_true(out == 2.5);
	b->cpu->gpr[GPR_RAX] = UINT64_MAX;
	assert_int_equal(run(b, "\xdf\xe0", NULL), 0); /* fnstsw ax */
	assert_int_equal(b->cpu->gpr[GPR_RAX], UINT64_MAX - 0xffff);
	assert_int_equal(b->cpu->xsave[4], 0); /* abridged tags: empty */
}

static void thunk_of_same_form_is_shared_and_the_store_is_bounded(void **state)
{
	struct bench *b = *state;
	native_thunk *first, *second;
	int r = 0;

	assert_int_equal(thunk_of(b, "\x66\x0f\xfe\x03", &first), 0);
	assert_int_equal(thunk_of(b, "\x66\x0f\xfe\x44\x8b\x10", &second), 0);
	assert_ptr_equal(first, second);
	for (unsigned i = 0; i < 65536 && !r; i++) {
		char bytes[] = {
			0x66, 0x0f, 0x3a, 0x0f, (char)(0xc0 | (i >> 8 & 0x3f)), (char)i, 0
		};
		char other[] = { 0x66, 0x0f, 0x70, (char)(0xc0 | (i >> 8 & 0x3f)), (char)i, 0 };

		if ((i & 0xff) == 0)
			continue;
		r = thunk_of(b, i < 16384 ? bytes : other, &second);
	}
	assert_int_equal(r, -ENOSPC);
	native_flush(b->native);
	assert_int_equal(thunk_of(b, "\x66\x0f\xfe\x03", &first), 0);
}

static void thunk_of_unfit_instruction_is_refused(void **state)
{
	static const char *const rows[] = {
		"\xc3",                     /* ret */
		"\x0f\x20\xc0",             /* mov rax, cr0 */
		"\xa4",                     /* movsb */
		"\xc4\xe2\x6d\x90\x04\x0f", /* vpgatherdd ymm0, [rdi + ymm1], ymm2 */
		"\x66\x0f\xf7\xc1",         /* maskmovdqu */
	};
	struct bench *b = *state;
	native_thunk *thunk;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(thunk_of(b, rows[i], &thunk), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(thunk_with_gprs_reads_and_writes_the_right_ones),
		TEST(thunk_with_high_byte_reads_it),
		TEST(thunk_with_flags_keeps_the_others),
		TEST(thunk_of_legacy_vector_keeps_upper_halves),
		TEST(thunk_with_unmasked_exception_returns_its_vector),
		TEST(thunk_of_x87_keeps_its_stack_between_calls),
		TEST(thunk_of_same_form_is_shared_and_the_store_is_bounded),
		TEST(thunk_of_unfit_instruction_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
