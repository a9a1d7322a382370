/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks and network cards that come and go in the ports of the PC board, on an engine that executes nothing. */
#include "machine/machine.h"

#include <errno.h>
#include <linux/pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "fake_engine.h"
#include "net/user.h"

#define PORTS 3
#define ECAM  UINT64_C(0xe0000000)

/* The first port: behind the host bridge and the random number generator; and what is behind it. */
#define PORT_AT (ECAM + (2 << 15))
#define CARD_AT (ECAM + (1 << 20))

#define SLOT_CONTROL (PORT_AT + 0x40 + PCI_EXP_SLTCTL)

struct fixture {
	struct loop *loop;
	struct machine *machine;
	struct machine_config config;
	struct machine_disk disks[PORTS + 1];
	struct machine_nic nic;
	char detached[64]; /* ids in order */
	unsigned detached_count, stop_at;
};

static void on_event(void *ctx, const struct machine_event *event)
{
	(void)ctx;
	(void)event;
}

static void on_detached(void *ctx, const char *id)
{
	struct fixture *f = ctx;

	strcat(f->detached, id);
	if (++f->detached_count == f->stop_at)
		loop_stop(f->loop);
}

static struct block_node *make_disk(struct loop *loop)
{
	char path[] = "/tmp/cella-disk-XXXXXX";
	struct block_open_options options = { .path = path };
	struct block_node *node;
	int fd = mkstemp(path);

	assert_int_equal(ftruncate(fd, MIB), 0);
	close(fd);
	assert_int_equal(block_open(&options, loop, &node, NULL), 0);
	unlink(path);
	return node;
}

static void fixture_init(struct fixture *f)
{
	static const char *const ids[] = { "a", "b", "c", "d" };

	*f = (struct fixture){ .stop_at = 1 };
	f->config = (struct machine_config){
		.name = "test",
		.engine = &fake_engine_ops,
		.vcpus = 2,
		.memory = { .size = 64 * MIB },
		.hotplug_ports = PORTS,
		.listener = { .event = on_event, .card_detached = on_detached, .ctx = f },
	};
	assert_int_equal(loop_new(&f->loop, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(f->disks); i++)
		f->disks[i] = (struct machine_disk){ .id = ids[i], .node = make_disk(f->loop) };
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
	for (unsigned i = 0; i < ARRAY_SIZE(f->disks); i++)
		block_close(f->disks[i].node);
	loop_free(f->loop);
}

static uint64_t read_at(uint64_t address, unsigned size)
{
	return bus_read(fake_engine->config.platform->mmio, address, size);
}

static void write_at(uint64_t address, uint64_t value, unsigned size)
{
	bus_write(fake_engine->config.platform->mmio, address, value, size);
}

/* A driver that is there for what is in the first port, and lets go of it. */
static void driver_holds(void)
{
	write_at(SLOT_CONTROL, PCI_EXP_SLTCTL_PWR_IND_ON, 2);
}

static void driver_lets_go(void)
{
	write_at(SLOT_CONTROL, PCI_EXP_SLTCTL_PWR_IND_OFF, 2);
}

static bool fact(struct fixture *f, const char *id, const char *name)
{
	json_t *facts = machine_describe_card(f->machine, id);
	bool value = json_is_true(json_object_get(facts, name));

	assert_non_null(facts);
	json_decref(facts);
	return value;
}

static void attached_disk_is_behind_its_port(void **state)
{
	struct fixture f;
	json_t *dump;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(read_at(CARD_AT, 4), UINT32_MAX);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[0], NULL), 0);
	assert_int_equal(read_at(CARD_AT, 4), 0x10421af4);
	assert_int_equal(machine_dump(f.machine, "a", &dump, NULL), 0);
	json_decref(dump);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[0], NULL), -EEXIST);
	assert_false(fact(&f, "a", "detaching"));
	assert_null(machine_describe_card(f.machine, "b"));
	fixture_fini(&f);
}

static void attach_ends_when_no_port_is_free(void **state)
{
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_start(f.machine, NULL), 0);
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(machine_attach_disk(f.machine, &f.disks[i], NULL), 0);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[PORTS], &err), -ENOSPC);
	assert_string_equal(err.text, "all 3 hotplug ports are taken");
	assert_int_equal(machine_detach_card(f.machine, "b", true, NULL), 0);
	assert_int_equal(loop_run(f.loop), 0);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[PORTS], NULL), 0);
	fixture_fini(&f);
}

static void detached_disk_goes_when_the_guest_lets_go(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_start(f.machine, NULL), 0);
	for (unsigned i = 1; i <= 20; i++) {
		assert_int_equal(machine_attach_disk(f.machine, &f.disks[0], NULL), 0);
		driver_holds();
		assert_int_equal(machine_detach_card(f.machine, "a", false, NULL), 0);
		assert_int_equal(machine_detach_card(f.machine, "a", false, NULL), -EALREADY);
		assert_true(fact(&f, "a", "detaching"));
		assert_int_equal(f.detached_count, i - 1);
		f.stop_at = i;
		driver_lets_go();
		assert_int_equal(loop_run(f.loop), 0);
		assert_int_equal(f.detached_count, i);
		assert_int_equal(machine_detach_card(f.machine, "a", false, NULL), -ENOENT);
		assert_int_equal(read_at(CARD_AT, 4), UINT32_MAX);
	}
	fixture_fini(&f);
}

static void disk_that_is_kept_may_be_asked_for_again(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[0], NULL), 0);
	driver_holds();
	assert_int_equal(machine_detach_card(f.machine, "a", false, NULL), 0);
	machine_keep_card(f.machine, "a");
	machine_keep_card(f.machine, "b");
	assert_false(fact(&f, "a", "detaching"));
	driver_lets_go();
	assert_int_equal(read_at(CARD_AT, 4), 0x10421af4);
	assert_int_equal(machine_detach_card(f.machine, "a", false, NULL), 0);
	assert_int_equal(loop_run(f.loop), 0);
	assert_string_equal(f.detached, "a");
	fixture_fini(&f);
}

static void reset_lets_go_of_what_was_asked_for(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[0], NULL), 0);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[1], NULL), 0);
	assert_int_equal(machine_reset(f.machine, NULL), 0);
	assert_int_equal(machine_detach_card(f.machine, "a", false, NULL), 0);
	assert_int_equal(machine_reset(f.machine, NULL), 0);
	assert_int_equal(loop_run(f.loop), 0);
	assert_string_equal(f.detached, "a");
	assert_false(fact(&f, "b", "detaching"));
	assert_int_equal(read_at(CARD_AT + MIB, 4), 0x10421af4);
	fixture_fini(&f);
}

static void network_card_comes_and_goes_as_disks_do(void **state)
{
	struct net_backend *net;
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	fixture_init(&f);
	assert_int_equal(net_user_open(&(struct net_user_options){ 0 }, f.loop, &net, NULL), 0);
	f.nic = (struct machine_nic){ .id = "n", .net = net, .mac = { 2, 0, 0, 0, 0, 1 } };
	f.config.nics = &f.nic;
	f.config.nic_count = 1;
	build(&f);
	assert_int_equal(machine_detach_card(f.machine, "n", true, &err), -ENOTSUP);
	assert_non_null(strstr(err.hint, "removable=on"));
	machine_free(f.machine);
	f.nic.removable = true;
	build(&f);
	assert_int_equal(machine_start(f.machine, NULL), 0);
	assert_int_equal(machine_attach_nic(f.machine, &f.nic, NULL), -EEXIST);
	for (unsigned i = 1; i <= 20; i++) {
		assert_int_equal(read_at(CARD_AT, 4), 0x10411af4);
		driver_holds();
		assert_int_equal(machine_detach_card(f.machine, "n", false, NULL), 0);
		assert_true(fact(&f, "n", "detaching"));
		f.stop_at = i;
		driver_lets_go();
		assert_int_equal(loop_run(f.loop), 0);
		assert_int_equal(f.detached_count, i);
		assert_int_equal(read_at(CARD_AT, 4), UINT32_MAX);
		assert_int_equal(machine_attach_nic(f.machine, &f.nic, NULL), 0);
	}
	machine_free(f.machine);
	f.machine = NULL;
	net_close(net);
	fixture_fini(&f);
}

static void only_cards_in_ports_are_detached(void **state)
{
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	fixture_init(&f);
	f.disks[1].removable = true;
	f.config.disks = f.disks;
	f.config.disk_count = 2;
	build(&f);
	assert_int_equal(machine_detach_card(f.machine, "a", false, &err), -ENOTSUP);
	assert_non_null(strstr(err.hint, "removable=on"));
	assert_int_equal(machine_detach_card(f.machine, "rng", false, &err), -ENOENT);
	assert_int_equal(machine_detach_card(f.machine, "b", true, &err), 0);
	assert_int_equal(loop_run(f.loop), 0);
	assert_string_equal(f.detached, "b");
	fixture_fini(&f);
}

static void more_removable_disks_than_ports_are_refused(void **state)
{
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	fixture_init(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(f.disks); i++)
		f.disks[i].removable = true;
	f.config.disks = f.disks;
	f.config.disk_count = ARRAY_SIZE(f.disks);
	assert_int_equal(machine_new(&f.machine, &f.config, f.loop, &err), -ENOSPC);
	assert_non_null(strstr(err.hint, "--hotplug-ports"));
	f.config.hotplug_ports = MACHINE_PORTS_MAX + 1;
	assert_int_equal(machine_new(&f.machine, &f.config, f.loop, &err), -EINVAL);
	f.machine = NULL;
	fixture_fini(&f);
}

static void machine_with_attached_disk_is_saved_and_loaded(void **state)
{
	struct state_stream saved = { 0 }, again = { 0 }, in;
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[0], NULL), 0);
	driver_holds();
	assert_int_equal(machine_save(f.machine, &saved, NULL), 0);
	machine_free(f.machine);
	build(&f);
	in = state_stream_reader(saved.bytes, saved.count);
	assert_int_equal(machine_load(f.machine, &in, NULL), -EINVAL);
	machine_free(f.machine);
	build(&f);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[0], NULL), 0);
	in = state_stream_reader(saved.bytes, saved.count);
	if (machine_load(f.machine, &in, &err))
		fail_msg("%s", err.text);
	assert_int_equal(machine_save(f.machine, &again, NULL), 0);
	assert_int_equal(saved.count, again.count);
	assert_memory_equal(saved.bytes, again.bytes, saved.count);
	state_stream_fini(&saved);
	state_stream_fini(&again);
	fixture_fini(&f);
}

static int note_change(void *ctx, struct err *err)
{
	(void)err;
	++*(unsigned *)ctx;
	return 0;
}

static void medium_changes_while_no_driver_may_write(void **state)
{
	uint64_t common;
	struct fixture f;
	unsigned changes = 0;

	(void)state;
	fixture_init(&f);
	build(&f);
	assert_int_equal(machine_attach_disk(f.machine, &f.disks[0], NULL), 0);
	assert_int_equal(machine_change_disk(f.machine, "b", false, note_change, &changes, NULL),
			 -ENOENT);
	assert_int_equal(machine_change_disk(f.machine, "a", false, note_change, &changes, NULL),
			 0);
	assert_int_equal(changes, 1);
	/* A driver's way to DRIVER_OK: features in two halves, status bits one after another. */
	common = read_at(CARD_AT + PCI_BASE_ADDRESS_0, 4);
	write_at(common + 8, 1, 4);
	write_at(common + 20, 3, 1);
	write_at(common + 12, 1, 4);
	write_at(common + 20, 11, 1);
	write_at(common + 20, 15, 1);
	assert_int_equal(read_at(common + 20, 1), 15);
	assert_true(fact(&f, "a", "driver"));
	assert_int_equal(machine_change_disk(f.machine, "a", false, note_change, &changes, NULL),
			 -EBUSY);
	assert_int_equal(changes, 1);
	assert_int_equal(machine_change_disk(f.machine, "a", true, note_change, &changes, NULL), 0);
	assert_int_equal(changes, 2);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attached_disk_is_behind_its_port),
		cmocka_unit_test(attach_ends_when_no_port_is_free),
		cmocka_unit_test(detached_disk_goes_when_the_guest_lets_go),
		cmocka_unit_test(disk_that_is_kept_may_be_asked_for_again),
		cmocka_unit_test(reset_lets_go_of_what_was_asked_for),
		cmocka_unit_test(network_card_comes_and_goes_as_disks_do),
		cmocka_unit_test(only_cards_in_ports_are_detached),
		cmocka_unit_test(more_removable_disks_than_ports_are_refused),
		cmocka_unit_test(machine_with_attached_disk_is_saved_and_loaded),
		cmocka_unit_test(medium_changes_while_no_driver_may_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
