/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The software engine behind the engine contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/macros.h"
#include "base/bytes.h"
#include "board.h"
#include "x86/exception.h"
#include "x86/msr.h"

#define STOP 0xe6, BOARD_STOP /* out %al, $BOARD_STOP */

static int setup(void **state)
{
	struct board *b = NULL;
	int rc = board_new(&b, 2, NULL);

	*state = b;
	return rc;
}

static int teardown(void **state)
{
	board_free(*state);
	return 0;
}

static void open_unknown_option_refused(void **state)
{
	struct board *b = *state;
	const struct cpuid_table none = { 0 };
	const struct engine_config config = { .memory = b->memory,
					      .platform = &b->platform,
					      .vcpus = 1,
					      .cpuid = &none,
					      .options = "fast=yes" };
	struct engine *engine = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(soft_engine_ops.open(&engine, &config, &err), -EINVAL);
	assert_non_null(strstr(err.text, "fast"));
	assert_null(engine);
}

static void run_program_stops_with_its_registers(void **state)
{
	static const uint8_t code[] = { 0xb8, 0x34, 0x12, 0, 0, 0xb3, 0x77, STOP };
	struct board *b = *state;

	for (enum board_mode mode = BOARD_PROTECTED; mode <= BOARD_LONG_USER; mode++) {
		struct vcpu_state *s;

		board_reset(b, mode);
		assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
		assert_int_equal(b->stopped, 0x34);
		s = board_state(b);
		assert_int_equal(s->gpr[GPR_RAX], 0x1234);
		assert_int_equal(s->gpr[GPR_RBX] & 0xff, 0x77);
		assert_int_equal(s->rip, BOARD_CODE + sizeof(code));
	}
}

static void kick_before_run_returns_at_once(void **state)
{
	static const uint8_t forever[] = { 0xeb, 0xfe };
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	soft_engine_ops.vcpu_kick(b->vcpus[0]);
	assert_int_equal(board_run(b, forever, sizeof(forever)), VCPU_EXIT_KICKED);
	assert_int_equal(board_state(b)->rip, BOARD_CODE);
}

static void *run_forever(void *ctx)
{
	struct board *b = ctx;
	static const uint8_t halt[] = { 0xf4, 0xeb, 0xfd };

	return (void *)(uintptr_t)board_run(b, halt, sizeof(halt));
}

static void kick_halted_vcpu_returns(void **state)
{
	struct board *b = *state;
	pthread_t thread;
	void *exit;

	board_reset(b, BOARD_LONG);
	assert_int_equal(pthread_create(&thread, NULL, run_forever, b), 0);
	soft_engine_ops.vcpu_kick(b->vcpus[0]);
	pthread_join(thread, &exit);
	assert_int_equal((uintptr_t)exit, VCPU_EXIT_KICKED);
}

#define STARTED UINT64_C(0x6000)

static void *run_faulting(void *ctx)
{
	/* movb $1, STARTED; mov 0x10000, %al: beyond the limit */
	static const uint8_t code[] = { 0xc6, 0x06, 0x00, 0x60, 1, 0x67, 0xa0, 0, 0, 1, 0 };

	return (void *)(uintptr_t)board_run(ctx, code, sizeof(code));
}

static void kick_vcpu_whose_handler_faults_for_ever_returns(void **state)
{
	struct board *b = *state;
	struct vcpu_state *s;
	pthread_t thread;
	void *exit;

	board_reset(b, BOARD_REAL);
	s = board_state(b);
	s->segments[SEG_SS].base = BOARD_DATA; /* the stack is pushed to again and again */
	board_set(b, s);
	board_poke(b, s->idtr.base + 4ull * EXCEPTION_GP, 0x9000, 4);
	board_poke(b, 0x9000, UINT64_C(0x00010000a067), 6); /* the same access */
	board_poke(b, STARTED, 0, 1);
	assert_int_equal(pthread_create(&thread, NULL, run_faulting, b), 0);
	while (!board_peek(b, STARTED, 1))
		sched_yield();
	soft_engine_ops.vcpu_kick(b->vcpus[0]);
	pthread_join(thread, &exit);
	assert_int_equal((uintptr_t)exit, VCPU_EXIT_KICKED);
}

static void triple_fault_shuts_down(void **state)
{
	static const uint8_t code[] = { 0x0f, 0x0b };
	struct board *b = *state;
	struct vcpu_state *s;

	board_reset(b, BOARD_LONG);
	s = board_state(b);
	s->idtr.limit = 0;
	board_set(b, s);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_SHUTDOWN);
	assert_int_equal(board_state(b)->activity, VCPU_SHUTDOWN_STATE);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_SHUTDOWN);
}

static void state_set_and_get_returns_the_same(void **state)
{
	struct board *b = *state;
	struct vcpu_state before, after;

	board_reset(b, BOARD_LONG);
	before = *board_state(b);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		before.gpr[i] = UINT64_C(0x0123456789abcdef) * (i + 1);
	before.rflags = RFLAGS_FIXED | RFLAGS_CF | RFLAGS_OF | RFLAGS_DF | RFLAGS_IOPL;
	before.cr2 = 0x1234567;
	before.dr[2] = 0x8877;
	before.xsave[160] = 0x5a;
	before.xsave[512] = 3;
	before.nmi_masked = before.nmi_pending = true;
	before.interrupt_shadow = true;
	before.exception_vector = 14;
	before.exception_has_error = true;
	before.exception_error = 6;
	before.exception_payload = 0x4000;
	before.activity = VCPU_HALTED;
	le32_put(before.lapic + 0x80, 0x40);
	le32_put(before.lapic + 0xa0, 0x40); /* the processor's priority follows the task's */
	before.cr8 = 4;
	vcpu_state_msr(&before, MSR_LSTAR)->value = UINT64_C(0xffffffff81000000);
	board_set(b, &before);
	after = *board_state(b);
	before.tsc = after.tsc; /* it runs */
	assert_memory_equal(&before, &after, sizeof(before));
}

#define HOSTILE(member, bad)                                                                       \
	{                                                                                          \
		offsetof(struct vcpu_state, member), sizeof(((struct vcpu_state *)0)->member), bad \
	}

static void state_set_impossible_refused(void **state)
{
	static const struct {
		size_t offset, size;
		uint64_t value;
	} rows[] = {
		HOSTILE(rflags, UINT64_C(1) << 40),
		HOSTILE(rflags, RFLAGS_FIXED | RFLAGS_VM),
		HOSTILE(cr0, CR0_PG),
		HOSTILE(cr0, CR0_PE | CR0_PG | CR0_NW),
		HOSTILE(cr0, UINT64_C(1) << 32),
		HOSTILE(cr3, UINT64_C(1) << 63),
		HOSTILE(cr4, CR4_PAE | CR4_VMXE),
		HOSTILE(cr4, 0),
		HOSTILE(cr8, 16),
		HOSTILE(efer, EFER_LME),
		HOSTILE(efer, EFER_SVME | EFER_LME | EFER_LMA),
		HOSTILE(xcr0, 0),
		HOSTILE(xcr0, XCR0_X87 | XCR0_AVX),
		HOSTILE(dr7, UINT64_C(1) << 32),
		HOSTILE(activity, VCPU_SHUTDOWN_STATE + 1),
		HOSTILE(exception_vector, 32),
		HOSTILE(msr_count, VCPU_MSRS_MAX + 1),
		HOSTILE(xsave_size, VCPU_XSAVE_MAX + 1),
		HOSTILE(xsave_size, 0),
		HOSTILE(apic_base, UINT64_C(1) << 10),
	};
	struct board *b = *state;
	struct vcpu_state before, hostile;

	board_reset(b, BOARD_LONG);
	before = *board_state(b);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;

		hostile = before;
		memcpy((uint8_t *)&hostile + rows[i].offset, &rows[i].value, rows[i].size);
		assert_int_equal(soft_engine_ops.vcpu_set(b->vcpus[0], &hostile, &err), -EINVAL);
		assert_string_not_equal(err.text, "");
		hostile = *board_state(b);
		hostile.tsc = before.tsc;
		assert_memory_equal(&before, &hostile, sizeof(before));
	}
}

/* sti; hlt; then what the vector's stub says. */
static int run_until_interrupt(struct board *b)
{
	static const uint8_t code[] = { 0xfb, 0xf4, 0xb0, 0xff, STOP };

	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	return b->stopped;
}

static void enable_lapic(struct board *b)
{
	struct vcpu_state *s = board_state(b);

	le32_put(s->lapic + 0xf0, 0x1ff);
	board_set(b, s);
}

static void msi_reaches_the_processor_it_names(void **state)
{
	static const struct {
		uint64_t address;
		uint32_t data;
		int vector;
	} rows[] = {
		{ 0xfee00000, 0x21, 0x21 },           /* physical 0 */
		{ 0xfee00000, 0x8022, 0x22 },         /* level */
		{ 0xfeeff000, 0x23, 0x23 },           /* broadcast */
		{ 0xfee01000 | 1 << 2, 0x24, 0x24 },  /* logical 1 */
		{ 0xfee00000, 0x400, 2 },             /* NMI */
		{ 0xfee00000 | 1 << 3, 0x125, 0x25 }, /* lowest priority */
	};
	struct board *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		enable_lapic(b);
		s = board_state(b);
		le32_put(s->lapic + 0xd0, 1 << 24);
		board_set(b, s);
		/* To nobody, first: other ids, also those beyond 255. */
		soft_engine_ops.msi(b->engine, (struct msi_message){ 0xfee07000, 0x3f });
		soft_engine_ops.msi(b->engine, (struct msi_message){ 0xfee00000 | 1 << 5, 0x3f });
		soft_engine_ops.msi(b->engine,
				    (struct msi_message){ rows[i].address, rows[i].data });
		assert_int_equal(run_until_interrupt(b), rows[i].vector);
	}
}

static void pic_line_gives_the_pics_vector(void **state)
{
	struct board *b = *state;
	struct vcpu_state *s;

	board_reset(b, BOARD_LONG);
	enable_lapic(b);
	s = board_state(b);
	le32_put(s->lapic + 0x350, 0x700);
	board_set(b, s);
	soft_engine_ops.pic_line(b->engine, true);
	assert_int_equal(run_until_interrupt(b), 0x30);
	soft_engine_ops.pic_line(b->engine, false);
}

static void nmi_is_taken_without_if(void **state)
{
	static const uint8_t halt[] = { 0xf4, 0xb0, 0xff, STOP };
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	soft_engine_ops.nmi(b->engine, 0);
	assert_int_equal(board_run(b, halt, sizeof(halt)), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, 2);
	assert_true(board_state(b)->nmi_masked);
}

static void level_interrupt_eoi_tells_the_platform(void **state)
{
	/* movl $0, 0xfee000b0 */
	static const uint8_t end[] = {
		0x67, 0xc7, 0x04, 0x25, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0, STOP
	};
	struct board *b = *state;

	for (unsigned level = 0; level < 2; level++) {
		struct vcpu_state *s;

		board_reset(b, BOARD_LONG);
		enable_lapic(b);
		s = board_state(b);
		/* Vector 0x31 in service, its page mapped by the last of the four page directories. */
		le32_put(s->lapic + 0x110, 1 << (0x31 - 0x20));
		le32_put(s->lapic + 0x190, level << (0x31 - 0x20));
		board_set(b, s);
		board_poke(b, 0x2018, 0x4000 | 7, 8);
		board_poke(b, 0x4000 + 8 * 0x1f7, UINT64_C(0xfee00000) | 0x87, 8);
		b->eois = 0;
		assert_int_equal(board_run(b, end, sizeof(end)), VCPU_EXIT_KICKED);
		assert_int_equal(b->eois, level);
		assert_int_equal(le32_get(board_state(b)->lapic + 0x110), 0);
	}
	assert_int_equal(b->last_eoi, 0x31);
}

static void code_written_by_device_is_executed_anew(void **state)
{
	static const uint8_t one[] = { 0xb0, 1, STOP }, two[] = { 0xb0, 2, STOP };
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	board_run(b, one, sizeof(one));
	assert_int_equal(b->stopped, 1);
	board_reset(b, BOARD_LONG);
	board_run(b, two, sizeof(two));
	assert_int_equal(b->stopped, 2);
}

static void dirty_log_names_the_pages_written(void **state)
{
	/* movb %al, BOARD_DATA; again; stop */
	static const uint8_t code[] = { 0x88, 0x04, 0x25, 0, 0, 0x10, 0, STOP };
	struct board *b = *state;
	uint64_t pages[BOARD_RAM / PAGE_SIZE / 64];

	board_reset(b, BOARD_LONG);
	board_run(b, code, sizeof(code)); /* the write permission is cached by now */
	memory_dirty_log_set(b->memory, true);
	assert_int_equal(soft_engine_ops.dirty_log(b->engine, true, NULL), 0);
	for (unsigned turn = 0; turn < 2; turn++) {
		struct vcpu_state *s = board_state(b);

		s->rip = BOARD_CODE;
		board_set(b, s);
		assert_int_equal(soft_engine_ops.vcpu_run(b->vcpus[0]), VCPU_EXIT_KICKED);
		assert_int_equal(soft_engine_ops.dirty_collect(b->engine, NULL), 0);
		memset(pages, 0, sizeof(pages));
		memory_dirty_log_take(b->memory, 0, pages);
		assert_true(pages[BOARD_DATA / PAGE_SIZE / 64] >> (BOARD_DATA / PAGE_SIZE % 64) &
			    1);
		assert_false(pages[BOARD_DATA / PAGE_SIZE / 64] >>
				     (BOARD_DATA / PAGE_SIZE % 64 + 1) &
			     1);
	}
	assert_int_equal(soft_engine_ops.dirty_log(b->engine, false, NULL), 0);
	memory_dirty_log_set(b->memory, false);
}

static void dirty_log_leaves_changed_code_to_be_seen_at_once(void **state)
{
	static const uint8_t code[] = {
		0xc6, 0x05,       0x01, 0x00, 0x00, 0x00, 0x2a, /* movb $42, 1f+1(%rip) */
		0xb0, 0x07,                                     /* 1: mov $7, %al */
		0xe6, BOARD_STOP,                               /* out %al, $BOARD_STOP */
	};
	struct board *b = *state;

	board_reset(b, BOARD_LONG);
	memory_dirty_log_set(b->memory, true);
	assert_int_equal(soft_engine_ops.dirty_log(b->engine, true, NULL), 0);
	assert_int_equal(board_run(b, code, sizeof(code)), VCPU_EXIT_KICKED);
	assert_int_equal(b->stopped, 42);
	assert_int_equal(soft_engine_ops.dirty_log(b->engine, false, NULL), 0);
	memory_dirty_log_set(b->memory, false);
}

static void stats_count_what_was_done(void **state)
{
	static const uint8_t code[] = { 0x90, 0x90, STOP };
	struct board *b = *state;
	json_t *before = soft_engine_ops.stats(b->engine), *after, *one, *two;

	board_reset(b, BOARD_LONG);
	board_run(b, code, sizeof(code));
	after = soft_engine_ops.stats(b->engine);
	one = json_array_get(json_object_get(before, "vcpus"), 0);
	two = json_array_get(json_object_get(after, "vcpus"), 0);
	assert_int_equal(json_integer_value(json_object_get(two, "io")),
			 json_integer_value(json_object_get(one, "io")) + 1);
	/* The end of a translated block counts as one. */
	assert_true(json_integer_value(json_object_get(two, "instructions")) >
		    json_integer_value(json_object_get(one, "instructions")));
	json_decref(before);
	json_decref(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_unknown_option_refused),
		cmocka_unit_test(run_program_stops_with_its_registers),
		cmocka_unit_test(kick_before_run_returns_at_once),
		cmocka_unit_test(kick_halted_vcpu_returns),
		cmocka_unit_test(kick_vcpu_whose_handler_faults_for_ever_returns),
		cmocka_unit_test(triple_fault_shuts_down),
		cmocka_unit_test(state_set_and_get_returns_the_same),
		cmocka_unit_test(state_set_impossible_refused),
		cmocka_unit_test(msi_reaches_the_processor_it_names),
		cmocka_unit_test(pic_line_gives_the_pics_vector),
		cmocka_unit_test(nmi_is_taken_without_if),
		cmocka_unit_test(level_interrupt_eoi_tells_the_platform),
		cmocka_unit_test(code_written_by_device_is_executed_anew),
		cmocka_unit_test(dirty_log_names_the_pages_written),
		cmocka_unit_test(dirty_log_leaves_changed_code_to_be_seen_at_once),
		cmocka_unit_test(stats_count_what_was_done),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
