/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The protocol against an engine that only holds state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "gdb/registers.h"

#include "rig.h"

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig_init(rig);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

static void send_packet(struct rig *rig, const char *request)
{
	struct str packet = { 0 };

	str_fini(&rig->output);
	gdb_packet_add(&packet, request, strlen(request));
	gdb_stub_receive(&rig->stub, packet.text, packet.length);
	str_fini(&packet);
}

/* The data of the last packet in the output; "" if there is none. */
static const char *answer(struct rig *rig)
{
	static struct gdb_reader reader;
	bool any = false;

	memset(&reader, 0, sizeof(reader));
	for (size_t i = 0; i < rig->output.length; i++)
		any |= gdb_reader_take(&reader, (uint8_t)rig->output.text[i]) == GDB_PACKET;
	return any ? (const char *)reader.data : "";
}

static void expect(struct rig *rig, const char *request, const char *reply)
{
	send_packet(rig, request);
	if (strcmp(answer(rig), reply))
		fail_msg("'%s' is answered by '%s', not '%s'", request, answer(rig), reply);
}

static const struct {
	const char *request, *reply;
} exchanges[] = {
	{ "vMustReplyEmpty", "" },
	{ "qAttached", "1" },
	{ "qC", "QC1" },
	{ "?", "T05thread:1;" },
	{ "qfThreadInfo", "m1,2" },
	{ "qsThreadInfo", "l" },
	{ "T1", "OK" },
	{ "T2", "OK" },
	{ "T3", "E02" },
	{ "T", "E16" },
	{ "Hg2", "OK" },
	{ "qC", "QC2" },
	{ "Hg3", "E02" },
	{ "Hc-1", "OK" },
	{ "Hx1", "E16" },
	{ "Hg1", "OK" },
	{ "qThreadExtraInfo,2", "63707531205b77616974735d" }, /* cpu1 [waits] */
	{ "vCont?", "vCont;c;C;s;S;t;r" },
	{ "QStartNoAckMode", "OK" },
	{ "qXfer:features:read:target.xml:0,5", "m<?xml" },
	{ "qXfer:features:read:target.xml:ffffff,5", "l" },
	{ "qXfer:features:read:other.xml:0,5", "E16" },
	{ "M1000,4:01020304", "OK" },
	{ "m1000,4", "01020304" },
	{ "M1000,4:0102", "E16" },
	{ "m1000,0", "" },
	{ "mffffe,8", "0000" },
	{ "m100000,4", "E0e" },
	{ "m0,2001", "E16" },
	{ "mffffffffffffffff,2", "E0e" },
	{ "Mffffe,4:01020304", "E0e" },
	{ "mffffe,2", "0000" },
	{ "X1000,2:#$", "OK" },
	{ "m1000,4", "23240304" },
	{ "X1000,3:ab", "E16" },
	{ "x1000,4", "b#$\x03\x04" },
	{ "p0", "0000000000000000" },
	{ "P0=8877665544332211", "OK" },
	{ "p0", "8877665544332211" },
	{ "P0=88", "E16" },
	{ "p1000", "E16" },
	{ "P1000=00", "E16" },
	{ "G8877665544332212", "OK" },
	{ "p0", "8877665544332212" },
	{ "Z0,1000,1", "OK" },
	{ "Z0,1000,1", "OK" },
	{ "Z2,2000,4", "OK" },
	{ "Z2,2000,0", "E16" },
	{ "Z3,2000,4", "" },
	{ "Z5,2000,4", "" },
	{ "z3,2000,4", "OK" },
	{ "z0,1000,1", "OK" },
	{ "z0,1000,1", "OK" },
	{ "vCont", "E16" },
	{ "vCont;x", "E16" },
	{ "vCont;c:9", "E02" },
	{ "c1000", "E16" },
	{ "C", "E16" },
	{ "S5;1000", "E16" },
	{ "qRcmd,68", "OK" },
	{ "qRcmd,6", "OK" },
	{ "qRcmd,zz", "E16" },
};

static void requests_have_their_answers(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(exchanges); i++)
		expect(*state, exchanges[i].request, exchanges[i].reply);
}

static void acknowledges_until_asked_not_to(void **state)
{
	struct rig *rig = *state;

	gdb_stub_receive(&rig->stub, "$qC#b4", 6);
	assert_string_equal(rig->output.text, "+$QC1#c5");
	gdb_stub_receive(&rig->stub, "-", 1);
	assert_string_equal(rig->output.text, "+$QC1#c5$QC1#c5");
	str_fini(&rig->output);
	gdb_stub_receive(&rig->stub, "$qC#00", 6);
	assert_string_equal(rig->output.text, "-");
	send_packet(rig, "QStartNoAckMode");
	str_fini(&rig->output);
	gdb_stub_receive(&rig->stub, "-$qC#00$qC#b4", 13);
	assert_string_equal(rig->output.text, "$QC1#c5");
}

static void points_go_to_all_vcpus_or_none(void **state)
{
	struct rig *rig = *state;
	char request[32];

	for (unsigned i = 0; i < RIG_POINTS_MAX; i++) {
		snprintf(request, sizeof(request), "Z%u,%x,4", i % 3, 0x1000 + 4 * i);
		expect(rig, request, "OK");
	}
	expect(rig, "Z0,9000,1", "E1c");
	for (unsigned i = 0; i < RIG_VCPUS; i++) {
		assert_int_equal(rig_vcpu(rig, i)->point_count, RIG_POINTS_MAX);
		assert_int_equal(rig_vcpu(rig, i)->points[2].kind, DEBUG_WRITE);
		assert_int_equal(rig_vcpu(rig, i)->points[2].size, 4);
	}
	expect(rig, "z2,1008,4", "OK");
	assert_int_equal(rig_vcpu(rig, 1)->point_count, RIG_POINTS_MAX - 1);
	gdb_stub_disconnect(&rig->stub);
	assert_int_equal(rig_vcpu(rig, 1)->point_count, 0);
	assert_int_equal(rig->resumes, 1);
}

static const struct {
	const char *what, *request;
	bool step[RIG_VCPUS];
	struct debug_stop stops[RIG_VCPUS];
	const char *told;
} runs[] = {
	{ "one steps, all run",
	  "vCont;s:2;c",
	  { false, true },
	  { { 0 }, { DEBUG_STEPPED } },
	  "T05thread:2;" },
	{ "the first action counts",
	  "vCont;c:1;s:1;s",
	  { false, true },
	  { { 0 }, { DEBUG_STEPPED } },
	  "T05thread:2;" },
	{ "old step", "s", { true, false }, { { DEBUG_STEPPED } }, "T05thread:1;" },
	{ "breakpoint",
	  "c",
	  { false, false },
	  { { 0 }, { DEBUG_POINT, { 0x1000, 1, DEBUG_EXECUTE, true } } },
	  "T05swbreak:;thread:2;" },
	{ "watchpoint",
	  "vCont;c",
	  { false, false },
	  { { DEBUG_POINT, { 0x2000, 4, DEBUG_WRITE } } },
	  "T05watch:2000;thread:1;" },
	{ "a point before a step",
	  "vCont;s:1;c",
	  { true, false },
	  { { DEBUG_STEPPED }, { DEBUG_POINT, { 0x1000, 1, DEBUG_EXECUTE, true } } },
	  "T05swbreak:;thread:2;" },
	{ "nobody: paused from elsewhere", "c", { false, false }, { { 0 } }, "T02thread:1;" },
};

static void stop_is_told_with_thread_and_reason(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(runs); i++) {
		struct rig *rig;
		void *own;

		setup(&own);
		rig = own;
		send_packet(rig, "qSupported:xmlRegisters=i386;swbreak+;hwbreak+");
		expect(rig, "Z0,1000,1", "OK");
		expect(rig, "Z2,2000,4", "OK");
		expect(rig, runs[i].request, "");
		assert_int_equal(rig->resumes, 1);
		expect(rig, "g", "E10");
		for (unsigned v = 0; v < RIG_VCPUS; v++) {
			if (rig_vcpu(rig, v)->step != runs[i].step[v])
				fail_msg("%s: vCPU %u", runs[i].what, v);
			rig_vcpu(rig, v)->stop = runs[i].stops[v];
		}
		str_fini(&rig->output);
		gdb_stub_paused(&rig->stub);
		if (strcmp(answer(rig), runs[i].told))
			fail_msg("%s: told '%s'", runs[i].what, answer(rig));
		/* It stays told, and once. */
		str_fini(&rig->output);
		gdb_stub_paused(&rig->stub);
		assert_int_equal(rig->output.length, 0);
		teardown(&own);
	}
}

static void second_watchpoint_is_told_before_anything_runs(void **state)
{
	static const struct debug_stop met = { DEBUG_POINT, { 0x2000, 4, DEBUG_WRITE } };
	struct rig *rig = *state;

	expect(rig, "Z2,2000,4", "OK");
	expect(rig, "c", "");
	rig_vcpu(rig, 0)->stop = rig_vcpu(rig, 1)->stop = met;
	str_fini(&rig->output);
	gdb_stub_paused(&rig->stub);
	assert_string_equal(answer(rig), "T05watch:2000;thread:2;");
	expect(rig, "c", "T05watch:2000;thread:1;");
	assert_int_equal(rig->resumes, 1);
	expect(rig, "c", "");
	assert_int_equal(rig->resumes, 2);
}

static void range_is_stepped_until_left(void **state)
{
	struct rig *rig = *state;

	expect(rig, "vCont;r1000,1008:1", "");
	for (unsigned at = 0x1001; at <= 0x1009; at += 4) {
		rig_vcpu(rig, 0)->state.rip = at;
		rig_vcpu(rig, 0)->stop = (struct debug_stop){ .kind = DEBUG_STEPPED };
		assert_string_equal(answer(rig), "");
		gdb_stub_paused(&rig->stub);
	}
	assert_string_equal(answer(rig), "T05thread:1;");
	assert_int_equal(rig->resumes, 3);
}

static void interrupt_stops_and_is_told(void **state)
{
	struct rig *rig = *state;

	gdb_stub_receive(&rig->stub, "\x03", 1);
	assert_int_equal(rig->pauses, 1); /* of the connection */
	expect(rig, "vCont;c", "");
	gdb_stub_receive(&rig->stub, "\x03", 1);
	assert_int_equal(rig->pauses, 2);
	assert_string_equal(answer(rig), "T02thread:1;");
}

static void leaving_lets_the_machine_run(void **state)
{
	struct rig *rig = *state;

	expect(rig, "Z0,1000,1", "OK");
	expect(rig, "D", "OK");
	assert_true(rig->finished);
	assert_int_equal(rig->resumes, 1);
	assert_int_equal(rig_vcpu(rig, 0)->point_count, 0);
	expect(rig, "g", "");
}

static void end_is_told_to_who_waits(void **state)
{
	struct rig *rig = *state;

	expect(rig, "c", "");
	gdb_stub_ended(&rig->stub, 2);
	assert_string_equal(answer(rig), "W02");
	assert_true(rig->finished);
}

static void kill_ends_the_machine(void **state)
{
	struct rig *rig = *state;

	expect(rig, "vKill;1", "OK");
	expect(rig, "k", "");
	assert_int_equal(rig->quits, 2);
}

static void monitor_has_its_commands(void **state)
{
	struct rig *rig = *state;

	send_packet(rig, "qRcmd,696e666f"); /* info */
	assert_non_null(strstr(rig->output.text, "$O7274633a207274630a#"));
	send_packet(rig, "qRcmd,7265736574"); /* reset */
	assert_int_equal(rig->resets, 1);
	assert_string_equal(answer(rig), "OK");
	expect(rig, "M3000,2:abcd", "OK");
	send_packet(rig, "qRcmd,7870203078333030302032"); /* xp 0x3000 2 */
	assert_non_null(
		strstr(rig->output.text, "$O303030303030303030303030333030303a2061622063640a#"));
	send_packet(rig, "qRcmd,7870203078663030303030"); /* xp 0xf00000 */
	assert_non_null(strstr(rig->output.text, "$O6e6f7420616c6c"));
}

/* Every register of the description is as long as `g` says, and a write comes back. */
static void registers_keep_what_is_written(void **state)
{
	struct rig *rig = *state;
	struct vcpu_state *s = &rig_vcpu(rig, 0)->state;
	struct str xml = { 0 };
	size_t digits = 0, bits = 0;

	for (unsigned n = 0; n < gdb_register_count(s); n++) {
		uint8_t bytes[GDB_REGISTER_BYTES_MAX] = { 0x04 }, back[GDB_REGISTER_BYTES_MAX];

		gdb_register_set(s, n, bytes);
		gdb_register_get(s, n, back);
		digits += 2 * gdb_register_size(s, n);
		/* MSRs that the vCPU has not stay zero; an empty x87 register's tag does not say of what. */
		if (memcmp(bytes, back, gdb_register_size(s, n)) && n != 34 && n != 75)
			fail_msg("register %u", n);
	}
	send_packet(rig, "g");
	assert_int_equal(strlen(answer(rig)), digits);
	gdb_registers_describe(s, &xml);
	for (const char *at = xml.text; (at = strstr(at, "bitsize=\"")); at += 9)
		bits += strtoul(at + 9, NULL, 10);
	assert_int_equal(bits, digits * 4);
	str_fini(&xml);
	s->xsave_size = 576;
	assert_int_equal(gdb_register_count(s), 66);
}

static void x87_tags_are_made_of_the_registers(void **state)
{
	struct rig *rig = *state;
	struct vcpu_state *s = &rig_vcpu(rig, 0)->state;
	uint8_t *x87 = s->xsave;

	/* TOP 6: st0 is register 6 (1.0), st1 register 7 (0.0), st2 register 0 (infinity). */
	le16_put(x87 + 2, 6 << 11);
	x87[4] = 0xc1;
	memset(x87 + 32, 0, 48);
	le64_put(x87 + 32, UINT64_C(1) << 63);
	le16_put(x87 + 40, 0x3fff);
	le64_put(x87 + 64, UINT64_C(1) << 63);
	le16_put(x87 + 72, 0x7fff);
	expect(rig, "p22", "fe4f0000");
	expect(rig, "P22=ffff0000", "OK");
	assert_int_equal(s->xsave[4], 0);
	expect(rig, "P22=fcff0000", "OK");
	assert_int_equal(s->xsave[4], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(requests_have_their_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(acknowledges_until_asked_not_to, setup, teardown),
		cmocka_unit_test_setup_teardown(points_go_to_all_vcpus_or_none, setup, teardown),
		cmocka_unit_test(stop_is_told_with_thread_and_reason),
		cmocka_unit_test_setup_teardown(second_watchpoint_is_told_before_anything_runs,
						setup, teardown),
		cmocka_unit_test_setup_teardown(range_is_stepped_until_left, setup, teardown),
		cmocka_unit_test_setup_teardown(interrupt_stops_and_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(leaving_lets_the_machine_run, setup, teardown),
		cmocka_unit_test_setup_teardown(end_is_told_to_who_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(kill_ends_the_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(monitor_has_its_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_keep_what_is_written, setup, teardown),
		cmocka_unit_test_setup_teardown(x87_tags_are_made_of_the_registers, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
