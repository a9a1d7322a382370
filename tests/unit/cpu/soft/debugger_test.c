/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps, breakpoints and watchpoints of a debugger outside of the guest, on the software engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "board.h"
#include "x86/msr.h"

#define STOP 0xe6, BOARD_STOP /* out %al, $BOARD_STOP */
#define STUB UINT64_C(0x6000)

static void want(struct board *b, bool step, const struct debug_point *points, unsigned count)
{
	const struct vcpu_debug debug = { step, points, count };

	assert_int_equal(soft_engine_ops.vcpu_debug(b->vcpus[0], &debug), 0);
}

static enum vcpu_exit run(struct board *b)
{
	return soft_engine_ops.vcpu_run(b->vcpus[0]);
}

static struct debug_stop stop_of(struct board *b)
{
	return soft_engine_ops.vcpu_debug_stop(b->vcpus[0]);
}

struct walk {
	const char *name;
	enum board_mode mode;
	uint8_t code[16];
	uint16_t stops
		[8]; /* where each step ends, from BOARD_CODE; high bit: from STUB; 0xffff: end */
};

#define AT_STUB(vector) (0x8000 | 8 * (vector))
#define END             0xffff

static const struct walk walks[] = {
	{ "plain", BOARD_LONG, { 0x90, 0x89, 0xd8, 0xeb, 0x01, 0x90, 0x90 }, { 1, 3, 6, 7, END } },
	{ "rep stosb, an element a step",
	  BOARD_LONG,
	  { 0xb9, 3, 0, 0, 0, 0xf3, 0xaa, 0x90 },
	  { 5, 5, 5, 7, 8, END } },
	{ "mov to ss", BOARD_LONG, { 0x8e, 0xd0, 0x90, 0x90 }, { 2, 3, 4, END } },
	{ "pushf, popf", BOARD_LONG, { 0x9c, 0x9d, 0x90 }, { 1, 2, 3, END } },
	{ "call and ret", BOARD_LONG, { 0xe8, 1, 0, 0, 0, 0x90, 0xc3 }, { 6, 5, 6, END } },
	{ "a fault leads to its handler",
	  BOARD_LONG,
	  { 0x90, 0x0f, 0x0b },
	  { 1, AT_STUB(6), AT_STUB(6) + 2, END } },
	{ "int3", BOARD_LONG, { 0xcc }, { AT_STUB(3), AT_STUB(3) + 2, END } },
	{ "int3 of a user program", BOARD_LONG_USER, { 0x90, 0xf1 }, { 1, AT_STUB(1), END } },
	{ "syscall", BOARD_LONG_USER, { 0x0f, 0x05, 0x90 }, { AT_STUB(40), END } },
	{ "real mode", BOARD_REAL, { 0x90, 0xb8, 0x34, 0x12, 0x90 }, { 1, 4, 5, END } },
};

static void step_ends_after_each_instruction(void **state)
{
	struct board *b = *state;

	for (const struct walk *w = walks; w < walks + ARRAY_SIZE(walks); w++) {
		struct vcpu_state *s;

		board_reset(b, w->mode);
		s = board_state(b);
		s->gpr[GPR_RDI] = BOARD_DATA;
		s->gpr[GPR_RAX] = 0x10;
		vcpu_state_msr(s, MSR_LSTAR)->value = STUB + 8 * 40;
		vcpu_state_msr(s, MSR_STAR)->value = UINT64_C(0x1000080000) << 12;
		vcpu_state_msr(s, MSR_SYSCALL_MASK)->value = RFLAGS_TF | RFLAGS_IF;
		board_set(b, s);
		memory_write(b->memory, GPA(BOARD_CODE), w->code, sizeof(w->code));
		want(b, true, NULL, 0);
		for (unsigned i = 0; w->stops[i] != END; i++) {
			uint64_t at = w->stops[i] & 0x8000 ? STUB + (w->stops[i] & 0x7fff)
							   : BOARD_CODE + w->stops[i];

			if (run(b) != VCPU_EXIT_DEBUG || board_state(b)->rip != at)
				fail_msg("%s: step %u ends at 0x%llx", w->name, i,
					 (unsigned long long)board_state(b)->rip);
			assert_int_equal(stop_of(b).kind, DEBUG_STEPPED);
		}
		want(b, false, NULL, 0);
	}
}

static void step_keeps_interrupts_waiting(void **state)
{
	static const uint8_t code[] = { 0x90, 0x90, 0x90, 0x90 };
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code));
	soft_engine_ops.nmi(b->engine, 0);
	want(b, true, NULL, 0);
	assert_int_equal(run(b), VCPU_EXIT_DEBUG);
	assert_int_equal(board_state(b)->rip, BOARD_CODE + 1);
	want(b, false, NULL, 0);
	assert_int_equal(run(b), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, 2);
}

static void step_of_halted_vcpu_ends_where_it_wakes(void **state)
{
	static const uint8_t code[] = { 0xf4, 0x90 };
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code));
	want(b, true, NULL, 0);
	assert_int_equal(run(b), VCPU_EXIT_DEBUG);
	assert_int_equal(board_state(b)->activity, VCPU_HALTED);
	soft_engine_ops.nmi(b->engine, 0);
	assert_int_equal(run(b), VCPU_EXIT_DEBUG);
	assert_int_equal(board_state(b)->rip, STUB + 2 * 8);
}

static void breakpoint_stops_before_each_pass(void **state)
{
	/* mov $3, %ecx; again: inc %eax; loop again; stop */
	static const uint8_t code[] = { 0xb9, 3, 0, 0, 0, 0xff, 0xc0, 0xe2, 0xfc, STOP };
	static const struct debug_point point = { BOARD_CODE + 5, 1, DEBUG_EXECUTE };
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code));
	for (unsigned pass = 0; pass < 3; pass++) {
		want(b, false, &point, 1);
		assert_int_equal(run(b), VCPU_EXIT_DEBUG);
		assert_int_equal(stop_of(b).kind, DEBUG_POINT);
		assert_int_equal(stop_of(b).point.linear, point.linear);
		assert_int_equal(board_state(b)->rip, point.linear);
		assert_int_equal(board_state(b)->gpr[GPR_RCX], 3 - pass);
		/* It is met again at once, until it is stepped over without it. */
		assert_int_equal(run(b), VCPU_EXIT_DEBUG);
		assert_int_equal(board_state(b)->gpr[GPR_RCX], 3 - pass);
		want(b, true, NULL, 0);
		assert_int_equal(run(b), VCPU_EXIT_DEBUG);
	}
	want(b, false, &point, 1);
	assert_memory_equal(memory_map(b->memory, GPA(BOARD_CODE), sizeof(code)), code,
			    sizeof(code));
	assert_int_equal(run(b), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, 3);
}

/* In one page, in an instruction across two, and behind such a one; a second breakpoint a page further is not met. */
static void breakpoint_is_met_in_code_already_decoded(void **state)
{
	/* mov $3, %ecx; again: inc %eax; loop again; stop */
	static const uint8_t code[] = { 0xb9, 3, 0, 0, 0, 0xff, 0xc0, 0xe2, 0xfc, STOP };
	static const uint64_t places[] = { 0x8000, 0x8ffa, 0x8ff9 };
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		const struct debug_point points[] = { { places[i] + 0x1005, 1, DEBUG_EXECUTE },
						      { places[i] + 5, 1, DEBUG_EXECUTE } };
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		memory_write(b->memory, GPA(places[i]), code, sizeof(code));
		for (unsigned pass = 0; pass < 3; pass++) {
			s = board_state(b);
			s->rip = places[i];
			board_set(b, s);
			want(b, false, points, pass == 1 ? 2 : pass ? 1 : 0);
			assert_int_equal(run(b), pass == 1 ? VCPU_EXIT_DEBUG : VCPU_EXIT_KICKED);
			if (pass == 1)
				assert_int_equal(board_state(b)->rip, points[1].linear);
		}
	}
}

/* Hot code need not keep flags that the next instruction writes; at a breakpoint they are shown. */
static void breakpoint_shows_flags_that_are_about_to_die(void **state)
{
	/* mov $5000, %ecx; again: cmp $5, %ecx; je out; add $-1, %ecx; jmp again; out: xor %eax, %eax; stop */
	static const uint8_t code[] = { 0xb9, 0x88, 0x13, 0,    0,    0x83, 0xf9, 0x05, 0x74,
					0x05, 0x83, 0xc1, 0xff, 0xeb, 0xf6, 0x31, 0xc0, STOP };
	static const struct debug_point point = { BOARD_CODE + 15, 1, DEBUG_EXECUTE };
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code));
	want(b, false, &point, 1);
	assert_int_equal(run(b), VCPU_EXIT_DEBUG);
	assert_int_equal(board_state(b)->rip, point.linear);
	assert_int_equal(board_state(b)->rflags & RFLAGS_ARITHMETIC, RFLAGS_ZF | RFLAGS_PF);
}

static void watchpoint_stops_behind_the_access(void **state)
{
	static const struct {
		const char *name;
		uint8_t code[16];
		enum debug_point_kind kind;
		unsigned offset, size; /* watched, from BOARD_DATA */
		unsigned stop;         /* from BOARD_CODE; 0: none */
	} rows[] = {
		{ "store", { 0x90, 0x89, 0x07, 0x90, STOP }, DEBUG_WRITE, 0, 4, 3 },
		{ "store beside", { 0x90, 0x89, 0x07, 0x90, STOP }, DEBUG_WRITE, 4, 4, 0 },
		{ "store of the last byte",
		  { 0x90, 0x89, 0x07, 0x90, STOP },
		  DEBUG_WRITE,
		  3,
		  1,
		  3 },
		{ "store for a read", { 0x90, 0x89, 0x07, 0x90, STOP }, DEBUG_READ, 0, 4, 0 },
		{ "load", { 0x90, 0x8b, 0x07, 0x90, STOP }, DEBUG_READ, 0, 1, 3 },
		{ "load for a write", { 0x90, 0x8b, 0x07, 0x90, STOP }, DEBUG_WRITE, 0, 1, 0 },
		{ "load for any", { 0x90, 0x8b, 0x07, 0x90, STOP }, DEBUG_ACCESS, 2, 1, 3 },
		{ "add", { 0x90, 0x01, 0x07, 0x90, STOP }, DEBUG_WRITE, 0, 8, 3 },
		{ "movups", { 0x90, 0x0f, 0x11, 0x07, STOP }, DEBUG_WRITE, 15, 1, 4 },
		{ "second element of rep stosb",
		  { 0xb9, 3, 0, 0, 0, 0xf3, 0xaa, STOP },
		  DEBUG_WRITE,
		  1,
		  1,
		  5 },
	};
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct debug_point point = { BOARD_DATA + rows[i].offset, rows[i].size,
						   rows[i].kind };
		enum vcpu_exit exit;
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		s = board_state(b);
		s->gpr[GPR_RDI] = BOARD_DATA;
		board_set(b, s);
		memory_write(b->memory, GPA(BOARD_CODE), rows[i].code, sizeof(rows[i].code));
		want(b, false, &point, 1);
		exit = run(b);
		if (exit != (rows[i].stop ? VCPU_EXIT_DEBUG : VCPU_EXIT_KICKED))
			fail_msg("%s: exit %d", rows[i].name, exit);
		if (!rows[i].stop)
			continue;
		if (board_state(b)->rip != BOARD_CODE + rows[i].stop)
			fail_msg("%s: stopped at 0x%llx", rows[i].name,
				 (unsigned long long)board_state(b)->rip);
		assert_int_equal(stop_of(b).point.kind, rows[i].kind);
		assert_int_equal(stop_of(b).point.linear, point.linear);
	}
}

static void watchpoint_sees_the_frame_of_a_fault(void **state)
{
	static const uint8_t code[] = { 0x90, 0x0f, 0x0b };
	static const struct debug_point point = { BOARD_STACK - 8, 8, DEBUG_WRITE };
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code));
	want(b, false, &point, 1);
	assert_int_equal(run(b), VCPU_EXIT_DEBUG);
	assert_int_equal(board_state(b)->rip, STUB + 6 * 8);
}

static void access_that_faults_is_not_met(void **state)
{
	static const uint8_t code[] = { 0x89, 0x07, 0x90 };
	static const struct debug_point point = { UINT64_C(0x40000000), 4, DEBUG_WRITE };
	struct board *b = *state;
	struct vcpu_state *s;

	board_reset(b, BOARD_LONG);
	s = board_state(b);
	s->gpr[GPR_RDI] = point.linear; /* behind what is mapped */
	board_set(b, s);
	memory_write(b->memory, GPA(BOARD_CODE), code, sizeof(code));
	want(b, false, &point, 1);
	assert_int_equal(run(b), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, 14);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(step_ends_after_each_instruction, board_setup,
						board_teardown),
		cmocka_unit_test_setup_teardown(step_keeps_interrupts_waiting, board_setup,
						board_teardown),
		cmocka_unit_test_setup_teardown(step_of_halted_vcpu_ends_where_it_wakes,
						board_setup, board_teardown),
		cmocka_unit_test_setup_teardown(breakpoint_stops_before_each_pass, board_setup,
						board_teardown),
		cmocka_unit_test_setup_teardown(breakpoint_is_met_in_code_already_decoded,
						board_setup, board_teardown),
		cmocka_unit_test_setup_teardown(breakpoint_shows_flags_that_are_about_to_die,
						board_setup, board_teardown),
		cmocka_unit_test_setup_teardown(watchpoint_stops_behind_the_access, board_setup,
						board_teardown),
		cmocka_unit_test_setup_teardown(watchpoint_sees_the_frame_of_a_fault, board_setup,
						board_teardown),
		cmocka_unit_test_setup_teardown(access_that_faults_is_not_met, board_setup,
						board_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
