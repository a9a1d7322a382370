/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole PC on an engine that executes nothing: building, life, requests, state, tables. */
#include "machine/machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "fake_engine.h"
#include "net/user.h"
#include "x86/msr.h"

/* Back-ends for one of every virtio device. */
struct backends {
	struct machine_disk disk;
	struct machine_nic nic;
	struct machine_console console;
};

struct fixture {
	struct loop *loop;
	struct machine *machine;
	struct machine_config config;
	unsigned events[MACHINE_EVENT_ENDED + 1]; /* how many of each kind */
	struct machine_event last;
	enum machine_event_kind stop_at; /* the loop stops there */
	struct backends backends;
};

static void on_event(void *ctx, const struct machine_event *event)
{
	struct fixture *f = ctx;

	f->events[event->kind]++;
	f->last = *event;
	if (event->kind == f->stop_at)
		loop_stop(f->loop);
}

static void fixture_init(struct fixture *f)
{
	*f = (struct fixture){ .stop_at = MACHINE_EVENT_ENDED };
	f->config = (struct machine_config){
		.name = "test",
		.engine = &fake_engine_ops,
		.vcpus = 2,
		.memory = { .size = 64 * MIB },
		.extras = MACHINE_ISA_DEBUG_EXIT,
		.listener = { .event = on_event, .ctx = f },
	};
	assert_int_equal(loop_new(&f->loop, NULL), 0);
}

static void add_backends(struct fixture *f)
{
	char path[] = "/tmp/cella-disk-XXXXXX";
	struct block_open_options options = { .path = path };
	struct backends *b = &f->backends;
	int fd = mkstemp(path);

	assert_int_equal(ftruncate(fd, MIB), 0);
	close(fd);
	assert_int_equal(block_open(&options, f->loop, &b->disk.node, NULL), 0);
	unlink(path);
	assert_int_equal(net_user_open(&(struct net_user_options){ 0 }, f->loop, &b->nic.net, NULL),
			 0);
	assert_int_equal(chardev_open("file=/dev/null", f->loop, &b->console.chardev, NULL), 0);
	b->disk.id = "disk0";
	b->nic.id = "net0";
	b->console.id = "console0";
	f->config.disks = &b->disk;
	f->config.nics = &b->nic;
	f->config.consoles = &b->console;
	f->config.disk_count = f->config.nic_count = f->config.console_count = 1;
}

static void build(struct fixture *f)
{
	struct err err = ERR_INIT;

	if (machine_new(&f->machine, &f->config, f->loop, &err))
		fail_msg("%s", err.text);
}

static void fixture_fini(struct fixture *f)
{
	machine_free(f->machine);
	block_close(f->backends.disk.node);
	if (f->backends.nic.net)
		net_close(f->backends.nic.net);
	chardev_close(f->backends.console.chardev);
	loop_free(f->loop);
}

static void dump_of_every_device_is_json(void **state)
{
	struct fixture f;
	json_t *devices, *device, *dump;
	size_t i;

	(void)state;
	fixture_init(&f);
	add_backends(&f);
	build(&f);
	devices = machine_devices(f.machine);
	assert_in_range(json_array_size(devices), 22, 40);
	json_array_foreach(devices, i, device)
	{
		const char *id = json_string_value(json_object_get(device, "id"));

		assert_int_equal(machine_dump(f.machine, id, &dump, NULL), 0);
		assert_string_equal(json_string_value(json_object_get(dump, "type")),
				    json_string_value(json_object_get(device, "type")));
		json_decref(dump);
	}
	json_decref(devices);
	fixture_fini(&f);
}

static void dump_of_other_ids_is_their_json(void **state)
{
	struct fixture f;
	struct err err = ERR_INIT;
	json_t *dump;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_dump(f.machine, "cpu1", &dump, NULL), 0);
	assert_string_equal(json_string_value(json_object_get(dump, "rip")), "0xfff0");
	json_decref(dump);
	assert_int_equal(machine_dump(f.machine, "memory-map", &dump, NULL), 0);
	assert_in_range(json_array_size(json_object_get(dump, "ports")), 15, 60);
	json_decref(dump);
	assert_int_equal(machine_dump(f.machine, "cpu2", &dump, &err), -ENOENT);
	assert_int_equal(machine_dump(f.machine, "teapot", &dump, &err), -ENOENT);
	assert_string_equal(err.text, "there is no device 'teapot'");
	assert_int_equal(machine_start(f.machine, NULL), 0);
	assert_int_equal(machine_dump(f.machine, "cpu0", &dump, &err), -EBUSY);
	fixture_fini(&f);
}

static void stats_have_engine_and_devices(void **state)
{
	struct fixture f;
	json_t *stats;

	(void)state;
	fixture_init(&f);
	build(&f);
	stats = machine_stats(f.machine);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(stats, "engine"), "exits")), 7);
	assert_true(json_is_object(json_object_get(stats, "devices")));
	assert_int_equal(json_integer_value(json_object_get(stats, "time_ns")), 0);
	json_decref(stats);
	fixture_fini(&f);
}

static void life_in_order_reports_each_step(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_state(f.machine), MACHINE_CREATED);
	assert_int_equal(machine_pause(f.machine, NULL), -EINVAL);
	assert_int_equal(machine_resume(f.machine, NULL), -EINVAL);
	assert_int_equal(machine_start(f.machine, NULL), 0);
	assert_int_equal(machine_start(f.machine, NULL), -EINVAL);
	assert_int_equal(machine_state(f.machine), MACHINE_RUNNING);
	assert_int_equal(machine_pause(f.machine, NULL), 0);
	assert_int_equal(machine_pause(f.machine, NULL), 0);
	assert_int_equal(f.events[MACHINE_EVENT_PAUSED], 1);
	assert_int_equal(machine_resume(f.machine, NULL), 0);
	assert_int_equal(fake_engine->clock_pauses, 1);
	assert_int_equal(machine_nmi(f.machine, NULL), 0);
	assert_int_equal(fake_engine->nmis, 2);
	assert_int_equal(machine_reset(f.machine, NULL), 0);
	assert_int_equal(machine_state(f.machine), MACHINE_RUNNING);
	assert_int_equal(machine_pause(f.machine, NULL), 0);
	assert_int_equal(machine_reset(f.machine, NULL), 0);
	assert_int_equal(machine_state(f.machine), MACHINE_PAUSED);
	assert_int_equal(f.events[MACHINE_EVENT_RESET], 2);
	fixture_fini(&f);
}

/* What a guest can do to end or reset its machine, by writing to ports or by failing. */
static const struct {
	const char *what;
	struct fake_access script[4];
	bool no_reboot;
	enum machine_event_kind kind;
	enum machine_end end;
	uint32_t code;
} requests[] = {
	{ "ACPI S5",
	  { { .address = 0x604, .size = 2, .value = 0x2000 } },
	  false,
	  MACHINE_EVENT_ENDED,
	  MACHINE_END_POWER_OFF,
	  0 },
	{ "debug exit",
	  { { .address = 0xf4, .size = 4, .value = 0x15 } },
	  false,
	  MACHINE_EVENT_ENDED,
	  MACHINE_END_DEBUG_EXIT,
	  0x2b },
	{ "panic",
	  { { .address = 0x505, .size = 1, .value = 1 } },
	  false,
	  MACHINE_EVENT_ENDED,
	  MACHINE_END_PANIC,
	  0 },
	{ "crash kernel",
	  { { .address = 0x505, .size = 1, .value = 2 } },
	  false,
	  MACHINE_EVENT_PANICKED,
	  MACHINE_END_NONE,
	  0 },
	{ "reset register",
	  { { .address = 0xcf9, .size = 1, .value = 6 } },
	  false,
	  MACHINE_EVENT_RESET,
	  MACHINE_END_NONE,
	  0 },
	{ "reset register, refused",
	  { { .address = 0xcf9, .size = 1, .value = 6 } },
	  true,
	  MACHINE_EVENT_ENDED,
	  MACHINE_END_RESET,
	  0 },
	{ "keyboard controller",
	  { { .address = 0x64, .size = 1, .value = 0xfe } },
	  false,
	  MACHINE_EVENT_RESET,
	  MACHINE_END_NONE,
	  0 },
	{ "port 0x92",
	  { { .address = 0x92, .size = 1, .value = 1 } },
	  false,
	  MACHINE_EVENT_RESET,
	  MACHINE_END_NONE,
	  0 },
	{ "off wins over reset",
	  { { .address = 0xcf9, .size = 1, .value = 6 },
	    { .address = 0x604, .size = 2, .value = 0x2000 } },
	  false,
	  MACHINE_EVENT_ENDED,
	  MACHINE_END_POWER_OFF,
	  0 },
	{ "triple fault",
	  { { .exit = VCPU_EXIT_SHUTDOWN } },
	  false,
	  MACHINE_EVENT_ENDED,
	  MACHINE_END_TRIPLE_FAULT,
	  0 },
	{ "reset register, and a triple fault behind it",
	  { { .address = 0xcf9, .size = 1, .value = 6 }, { .exit = VCPU_EXIT_SHUTDOWN } },
	  true,
	  MACHINE_EVENT_ENDED,
	  MACHINE_END_RESET,
	  0 },
	{ "a debugger's stop",
	  { { .exit = VCPU_EXIT_DEBUG } },
	  false,
	  MACHINE_EVENT_PAUSED,
	  MACHINE_END_NONE,
	  0 },
	{ "engine error",
	  { { .exit = VCPU_EXIT_ERROR } },
	  false,
	  MACHINE_EVENT_ENDED,
	  MACHINE_END_ENGINE_ERROR,
	  0 },
};

static void requests_of_the_guest_become_events(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		struct fixture f;

		fixture_init(&f);
		f.config.no_reboot = requests[i].no_reboot;
		f.stop_at = requests[i].kind;
		build(&f);
		fake_engine_play(requests[i].script);
		assert_int_equal(machine_start(f.machine, NULL), 0);
		assert_int_equal(loop_run(f.loop), 0);
		if (f.last.end != requests[i].end || f.last.code != requests[i].code)
			fail_msg("%s: ended by %s with %u", requests[i].what,
				 machine_end_name(f.last.end), f.last.code);
		assert_int_equal(machine_state(f.machine) == MACHINE_ENDED,
				 requests[i].kind == MACHINE_EVENT_ENDED);
		fixture_fini(&f);
	}
}

static void ended_machine_refuses_everything(void **state)
{
	static const struct fake_access off[] = { { .address = 0x604, .size = 2, .value = 0x2000 },
						  { 0 } };
	struct fixture f;

	(void)state;
	fixture_init(&f);
	build(&f);
	fake_engine_play(off);
	assert_int_equal(machine_start(f.machine, NULL), 0);
	assert_int_equal(loop_run(f.loop), 0);
	assert_int_equal(machine_start(f.machine, NULL), -EINVAL);
	assert_int_equal(machine_pause(f.machine, NULL), -EINVAL);
	assert_int_equal(machine_resume(f.machine, NULL), -EINVAL);
	assert_int_equal(machine_reset(f.machine, NULL), -EINVAL);
	assert_int_equal(machine_nmi(f.machine, NULL), -EINVAL);
	machine_power_button(f.machine);
	assert_int_equal(f.events[MACHINE_EVENT_ENDED], 1);
	fixture_fini(&f);
}

static void reset_brings_back_what_was_built(void **state)
{
	static const struct fake_access mess[] = {
		{ .address = 0x21, .size = 1, .value = 0x5a },  /* PIC mask */
		{ .address = 0x43, .size = 1, .value = 0x34 },  /* PIT mode */
		{ .address = 0x3fb, .size = 1, .value = 0x83 }, /* UART divisor latch */
		{ .address = 0x3f8, .size = 1, .value = 7 },
		{ .address = 0xcf8, .size = 4, .value = 0x80000804 }, /* rng: command */
		{ .address = 0xcfc, .size = 2, .value = 0 },
		{ .mmio = true, .address = 0xfec00000, .size = 4, .value = 0x10 },
		{ .mmio = true, .address = 0xfec00010, .size = 4, .value = 0x31 },
		{ .mmio = true, .address = 0xfed00010, .size = 8, .value = 3 },
		/* Tells that the script is through. */
		{ .address = 0x505, .size = 1, .value = 2 },
		{ 0 },
	};
	static const char *const ids[] = { "pic", "ioapic", "serial0", "pci", "rng", "cpu0" };
	json_t *before[ARRAY_SIZE(ids)], *after;
	struct fixture f;

	(void)state;
	fixture_init(&f);
	f.stop_at = MACHINE_EVENT_PANICKED;
	build(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(machine_dump(f.machine, ids[i], &before[i], NULL), 0);
	fake_engine_play(mess);
	assert_int_equal(machine_start(f.machine, NULL), 0);
	assert_int_equal(loop_run(f.loop), 0);
	assert_int_equal(machine_pause(f.machine, NULL), 0);
	assert_int_equal(machine_reset(f.machine, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		assert_int_equal(machine_dump(f.machine, ids[i], &after, NULL), 0);
		if (!json_equal(before[i], after))
			fail_msg("'%s' is not as it was built", ids[i]);
		json_decref(before[i]);
		json_decref(after);
	}
	fixture_fini(&f);
}

static void saved_machine_loads_into_its_like(void **state)
{
	struct state_stream saved = { 0 }, again = { 0 };
	struct state_stream in;
	struct fixture f;
	struct err err = ERR_INIT;

	(void)state;
	fixture_init(&f);
	add_backends(&f);
	f.config.vcpus = 3;
	build(&f);
	fake_engine->vcpus[2]->state.gpr[GPR_RCX] = 0x1234;
	assert_int_equal(machine_save(f.machine, &saved, NULL), 0);
	machine_free(f.machine);

	build(&f);
	in = state_stream_reader(saved.bytes, saved.count);
	if (machine_load(f.machine, &in, &err))
		fail_msg("%s", err.text);
	assert_int_equal(in.at, saved.count);
	assert_int_equal(fake_engine->vcpus[2]->state.gpr[GPR_RCX], 0x1234);
	assert_int_equal(machine_save(f.machine, &again, NULL), 0);
	assert_int_equal(saved.count, again.count);
	assert_memory_equal(saved.bytes, again.bytes, saved.count);
	state_stream_fini(&saved);
	state_stream_fini(&again);
	fixture_fini(&f);
}

static void saved_machine_of_other_shape_is_refused(void **state)
{
	struct state_stream saved = { 0 }, in;
	struct fixture f;
	struct err err = ERR_INIT;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_save(f.machine, &saved, NULL), 0);
	machine_free(f.machine);
	f.config.vcpus = 1;
	build(&f);
	in = state_stream_reader(saved.bytes, saved.count);
	assert_int_equal(machine_load(f.machine, &in, &err), -EINVAL);
	assert_non_null(strstr(err.text, "2 vcpus"));
	assert_int_equal(machine_state(f.machine), MACHINE_ENDED);
	machine_free(f.machine);
	f.config.vcpus = 2;
	for (size_t cut = 0; cut < saved.count; cut += 997) {
		build(&f);
		in = state_stream_reader(saved.bytes, cut);
		assert_true(machine_load(f.machine, &in, &err) < 0);
		machine_free(f.machine);
	}
	f.machine = NULL;
	state_stream_fini(&saved);
	fixture_fini(&f);
}

/* A kernel of one ELF segment at 2 MiB. */
static void write_kernel(char *path)
{
	uint8_t p[4096 + 16] = "\177ELF\2\1\1";
	int fd = mkstemp(path);

	le16_put(p + 16, 2);
	le16_put(p + 18, 62);
	le64_put(p + 24, 2 * MIB);
	le64_put(p + 32, 64);
	le16_put(p + 54, 56);
	le16_put(p + 56, 1);
	le32_put(p + 64, 1);
	le64_put(p + 72, 4096);
	le64_put(p + 88, 2 * MIB);
	le64_put(p + 96, 16);
	le64_put(p + 104, 4096);
	memset(p + 4096, 0xf4, 16);
	assert_int_equal(write(fd, p, sizeof(p)), sizeof(p));
	close(fd);
}

static void kernel_is_loaded_anew_by_reset(void **state)
{
	char path[] = "/tmp/cella-kernel-XXXXXX";
	struct fixture f;
	const struct vcpu_state *first;
	struct memory *memory;
	uint8_t byte = 0;

	(void)state;
	write_kernel(path);
	fixture_init(&f);
	f.config.kernel = path;
	build(&f);
	unlink(path);
	first = &fake_engine->vcpus[0]->state;
	memory = machine_memory(f.machine);
	assert_int_equal(first->rip, 2 * MIB);
	assert_int_equal(fake_engine->vcpus[1]->state.activity, VCPU_UNINITIALIZED);
	assert_int_equal(vcpu_state_msr(&fake_engine->vcpus[1]->state, MSR_MTRR_DEF_TYPE)->value,
			 0x806);
	assert_int_equal(le32_get(first->lapic + 0x350), 0x700);
	assert_int_equal(memory_fill(memory, GPA(2 * MIB), 0, 16), 0);
	assert_int_equal(memory_fill(memory, GPA(0xe0000), 0, 16), 0);
	fake_engine->vcpus[0]->state.rip = 0;
	assert_int_equal(machine_reset(f.machine, NULL), 0);
	assert_int_equal(first->rip, 2 * MIB);
	assert_int_equal(memory_read(memory, GPA(2 * MIB), &byte, 1), 0);
	assert_int_equal(byte, 0xf4);
	assert_memory_equal(memory_map(memory, GPA(0xe0000), 8), "RSD PTR ", 8);
	assert_memory_equal(memory_map(memory, GPA(0xf0000), 5), "_SM3_", 5);
	assert_int_equal(le16_get(memory_map(memory, GPA(0x402), 2)), 0x2f8);
	assert_int_equal(le16_get(memory_map(memory, GPA(0x40e), 2)), 0x9fc0);
	assert_int_equal(le16_get(memory_map(memory, GPA(0x413), 2)), 639);
	fixture_fini(&f);
}

/* The memory map that a Linux-like kernel is told, as [base, size, type] rows. */
static void map_of_each_size_has_its_ram(void **state)
{
	static const struct {
		uint64_t bytes;
		unsigned rows;
		uint64_t low_end,
			high; /* where RAM ends below 4 GiB, tables included; bytes above */
	} cases[] = {
		{ 64 * MIB, 6, 64 * MIB, 0 },
		{ 2 * GIB, 6, 2 * GIB, 0 },
		{ 3 * GIB, 7, 2 * GIB, GIB },
	};
	char path[] = "/tmp/cella-kernel-XXXXXX";

	(void)state;
	write_kernel(path);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint8_t *page, *row;
		struct fixture f;

		fixture_init(&f);
		f.config.kernel = path;
		f.config.memory.size = cases[i].bytes;
		build(&f);
		page = memory_map(machine_memory(f.machine),
				  GPA(fake_engine->vcpus[0]->state.gpr[GPR_RSI]), 4096);
		assert_int_equal(page[0x1e8], cases[i].rows);
		row = page + 0x2d0;
		assert_int_equal(le64_get(row + 60), MIB);
		assert_int_equal(le64_get(row + 80), MIB + le64_get(row + 68));
		assert_int_equal(le32_get(row + 96), 3);
		assert_int_equal(le64_get(row + 80) + le64_get(row + 88), cases[i].low_end);
		assert_int_equal(le64_get(row + 100), 0xe0000000);
		if (cases[i].high) {
			assert_int_equal(le64_get(row + 120), 4 * GIB);
			assert_int_equal(le64_get(row + 128), cases[i].high);
		}
		fixture_fini(&f);
	}
	unlink(path);
}

static void wrong_configurations_are_refused_by_name(void **state)
{
	static const struct {
		struct machine_config config;
		int code;
		const char *words;
	} cases[] = {
		{ { .vcpus = 0 }, -EINVAL, "1 to 1024 processors" },
		{ { .vcpus = 1025 }, -EINVAL, "1 to 1024 processors" },
		{ { .vcpus = 1, .initrd = "i" }, -EINVAL, "initrd 'i' needs a kernel" },
		{ { .vcpus = 1, .board = "amiga" }, -EINVAL, "no board 'amiga'" },
		{ { .vcpus = 1, .kernel = "/nonexistent" }, -ENOENT, "'/nonexistent'" },
		{ { .vcpus = 1, .cpu_model = "z80" }, -EINVAL, "z80" },
		{ { .vcpus = 1, .memory = { .size = MIB } }, -EINVAL, "too small" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct machine_config config = cases[i].config;
		struct err err = ERR_INIT;
		struct fixture f;

		fixture_init(&f);
		config.name = "test";
		config.engine = &fake_engine_ops;
		if (!config.memory.size)
			config.memory.size = 16 * MIB;
		assert_int_equal(machine_new(&f.machine, &config, f.loop, &err), cases[i].code);
		if (!strstr(err.text, cases[i].words))
			fail_msg("'%s' does not say '%s'", err.text, cases[i].words);
		assert_null(fake_engine);
		fixture_fini(&f);
	}
}

static void machine_of_300_processors_builds_and_resets(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	f.config.vcpus = 300;
	build(&f);
	assert_int_equal(machine_start(f.machine, NULL), 0);
	assert_int_equal(machine_reset(f.machine, NULL), 0);
	assert_int_equal(le32_get(fake_engine->vcpus[0]->state.lapic + 0x20), 0);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dump_of_every_device_is_json),
		cmocka_unit_test(dump_of_other_ids_is_their_json),
		cmocka_unit_test(stats_have_engine_and_devices),
		cmocka_unit_test(life_in_order_reports_each_step),
		cmocka_unit_test(requests_of_the_guest_become_events),
		cmocka_unit_test(ended_machine_refuses_everything),
		cmocka_unit_test(reset_brings_back_what_was_built),
		cmocka_unit_test(saved_machine_loads_into_its_like),
		cmocka_unit_test(saved_machine_of_other_shape_is_refused),
		cmocka_unit_test(kernel_is_loaded_anew_by_reset),
		cmocka_unit_test(map_of_each_size_has_its_ram),
		cmocka_unit_test(wrong_configurations_are_refused_by_name),
		cmocka_unit_test(machine_of_300_processors_builds_and_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
