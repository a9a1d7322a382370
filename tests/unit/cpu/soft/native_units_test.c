/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each unit raises, by the registers that switch it; and what the host is found to have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cpu/soft/cpu_priv.h"

#define ALL   (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)
#define CR4_X (CR4_OSFXSR | CR4_OSXSAVE)

static void units_after_register_change_raise_what_manuals_say(void **state)
{
	enum { OK = 0, UD = EXCEPTION_UD, NM = EXCEPTION_NM };
	static const struct {
		uint64_t cr0, cr4, xcr0;
		uint32_t flags;
		uint8_t x87, wait, mmx, sse, avx, avx512;
	} rows[] = {
		{ CR0_PE, CR4_X, ALL, 0, OK, OK, OK, OK, OK, OK },
		{ CR0_PE | CR0_TS, CR4_X, ALL, 0, NM, OK, NM, NM, NM, NM },
		{ CR0_PE | CR0_TS | CR0_MP, CR4_X, ALL, 0, NM, NM, NM, NM, NM, NM },
		{ CR0_PE | CR0_MP, CR4_X, ALL, 0, OK, OK, OK, OK, OK, OK },
		{ CR0_PE | CR0_EM, CR4_X, ALL, 0, NM, OK, UD, UD, OK, OK },
		{ CR0_PE | CR0_EM | CR0_TS, CR4_X, ALL, 0, NM, OK, UD, UD, NM, NM },
		{ CR0_PE, CR4_OSXSAVE, ALL, 0, OK, OK, OK, UD, OK, OK },
		{ CR0_PE, CR4_OSFXSR, ALL, 0, OK, OK, OK, OK, UD, UD },
		{ CR0_PE, CR4_X, ALL & ~XCR0_AVX512, 0, OK, OK, OK, OK, OK, UD },
		{ CR0_PE, CR4_X, ALL & ~XCR0_OPMASK, 0, OK, OK, OK, OK, OK, UD },
		{ CR0_PE, CR4_X, XCR0_X87 | XCR0_SSE, 0, OK, OK, OK, OK, UD, UD },
		{ CR0_PE, CR4_X, XCR0_X87, 0, OK, OK, OK, OK, UD, UD },
		{ CR0_PE, CR4_X, ALL, RFLAGS_VM, OK, OK, OK, OK, UD, UD },
		{ 0, CR4_X, ALL, 0, OK, OK, OK, OK, UD, UD },
	};
	struct soft_cpu *cpu = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint8_t expected[UNIT_COUNT] = {
			[UNIT_X87] = rows[i].x87, [UNIT_WAIT] = rows[i].wait,
			[UNIT_MMX] = rows[i].mmx, [UNIT_SSE] = rows[i].sse,
			[UNIT_AVX] = rows[i].avx, [UNIT_AVX512] = rows[i].avx512,
		};

		cpu->cr0 = rows[i].cr0;
		cpu->cr4 = rows[i].cr4;
		cpu->xcr0 = rows[i].xcr0;
		cpu->flags = rows[i].flags;
		native_units_update(cpu);
		assert_memory_equal(cpu->unit_fault, expected, sizeof(expected));
	}
}

static void host_detect_finds_what_every_64_bit_processor_has(void **state)
{
	struct native_host host;

	(void)state;
	native_host_detect(&host);
	assert_true(cpu_features_have(&host.features, FEATURE_SSE2));
	assert_true(cpu_features_have(&host.features, FEATURE_FXSR));
	assert_false(cpu_features_have(&host.features, FEATURE_MISALIGN_SSE));
	assert_false(cpu_features_have(&host.features, FEATURE_FXSR_OPT));
	assert_int_equal(host.units[ZYDIS_ISA_SET_SSE2], UNIT_SSE);
	assert_int_equal(host.units[ZYDIS_ISA_SET_X87], UNIT_X87);
	assert_int_equal(host.units[ZYDIS_ISA_SET_AMX_TILE], UNIT_COUNT);
}

static int setup(void **state)
{
	struct soft_cpu *cpu = aligned_alloc(64, round_up(sizeof(*cpu), 64));

	assert_non_null(cpu);
	memset(cpu, 0, sizeof(*cpu));
	*state = cpu;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(units_after_register_change_raise_what_manuals_say,
						setup, teardown),
		cmocka_unit_test(host_detect_finds_what_every_64_bit_processor_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
