/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8042 keyboard controller: commands, output port with reset, keyboard and mouse channels.
 *
 * The output buffer holds one byte and where it came from; devices wait in their own queues until
 * the guest has fetched it. A command's own answer goes before them. Scan codes are not translated
 * since nothing types. The A20 gate only remembers (devices/port92.c says why).
 *
 * Invariant: an interrupt line is high exactly while the output buffer holds a byte of its device
 * and the command byte enables it.
 * Threads: vCPUs, under the device's lock.
 * Spec: Intel UPI-41/42 user's manual; IBM PS/2 Technical Reference, "Keyboard and Auxiliary
 * Device Controller".
 */
#include "devices/i8042.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "devices/ps2.h"

#define DATA_PORT    0x60
#define COMMAND_PORT 0x64
#define RAM_BYTES    32

#define STATUS_FULL     0x01
#define STATUS_SELFTEST 0x04
#define STATUS_COMMAND  0x08
#define STATUS_UNLOCKED 0x10
#define STATUS_MOUSE    0x20

/* The command byte, which is RAM byte 0. */
#define MODE_KEYBOARD_IRQ 0x01
#define MODE_MOUSE_IRQ    0x02
#define MODE_SELFTEST     0x04
#define MODE_NO_KEYBOARD  0x10
#define MODE_NO_MOUSE     0x20
#define MODE_TRANSLATE    0x40

#define OUTPUT_NOT_RESET 0x01
#define OUTPUT_A20       0x02
#define OUTPUT_POWER_ON  0xcf /* clock and data lines idle, A20 open, no reset */

#define COMMAND_NONE 0 /* of `parameter_of`: 0x00 takes no parameter */

enum output_source { SOURCE_NONE, SOURCE_CONTROLLER, SOURCE_KEYBOARD, SOURCE_MOUSE };

struct i8042 {
	struct device device;
	struct bus_region data_region, command_region;
	struct irq_line keyboard_irq, mouse_irq;
	struct machine_requests requests;

	uint8_t ram[RAM_BYTES];
	uint8_t output_port;
	uint8_t source; /* enum output_source: whose byte is in `output` */
	uint8_t output;
	bool last_was_command;
	uint8_t parameter_of; /* the command whose data byte comes next */
	struct ps2 keyboard, mouse;
};

/* Moves the next byte into the free output buffer, and sets the lines. */
static void i8042_update(struct i8042 *kbc)
{
	uint8_t mode = kbc->ram[0];

	if (kbc->source == SOURCE_NONE && !(mode & MODE_NO_KEYBOARD) &&
	    ps2_take(&kbc->keyboard, &kbc->output))
		kbc->source = SOURCE_KEYBOARD;
	if (kbc->source == SOURCE_NONE && !(mode & MODE_NO_MOUSE) &&
	    ps2_take(&kbc->mouse, &kbc->output))
		kbc->source = SOURCE_MOUSE;
	irq_set(&kbc->keyboard_irq, kbc->source == SOURCE_KEYBOARD && mode & MODE_KEYBOARD_IRQ);
	irq_set(&kbc->mouse_irq, kbc->source == SOURCE_MOUSE && mode & MODE_MOUSE_IRQ);
}

static void put_output(struct i8042 *kbc, enum output_source source, uint8_t byte)
{
	kbc->source = (uint8_t)source;
	kbc->output = byte;
}

static void set_output_port(struct i8042 *kbc, uint8_t value)
{
	kbc->output_port = value;
	if (!(value & OUTPUT_NOT_RESET))
		machine_request_reset(&kbc->requests);
}

/* Commands by range: RAM access and output port pulses. */
static void write_ranged_command(struct i8042 *kbc, uint8_t command)
{
	switch (command & 0xe0) {
	case 0x20:
		put_output(kbc, SOURCE_CONTROLLER, kbc->ram[command % RAM_BYTES]);
		break;
	case 0x60:
		kbc->parameter_of = command;
		break;
	default:
		/* 0xf0 to 0xff pulse the output port bits that are 0 in the command. */
		if (command >= 0xf0 && !(command & OUTPUT_NOT_RESET))
			machine_request_reset(&kbc->requests);
		break;
	}
}

static void write_command(struct i8042 *kbc, uint8_t command)
{
	kbc->parameter_of = COMMAND_NONE;
	switch (command) {
	case 0xa7:
		kbc->ram[0] |= MODE_NO_MOUSE;
		break;
	case 0xa8:
		kbc->ram[0] &= ~MODE_NO_MOUSE;
		break;
	case 0xa9: /* test of the mouse's lines */
	case 0xab: /* test of the keyboard's lines */
		put_output(kbc, SOURCE_CONTROLLER, 0x00);
		break;
	case 0xaa: /* self-test */
		kbc->ram[0] |= MODE_SELFTEST;
		put_output(kbc, SOURCE_CONTROLLER, 0x55);
		break;
	case 0xad:
		kbc->ram[0] |= MODE_NO_KEYBOARD;
		break;
	case 0xae:
		kbc->ram[0] &= ~MODE_NO_KEYBOARD;
		break;
	case 0xc0: /* input port: keyboard not locked */
		put_output(kbc, SOURCE_CONTROLLER, 0x80);
		break;
	case 0xd0:
		put_output(kbc, SOURCE_CONTROLLER, kbc->output_port);
		break;
	case 0xd1: /* write output port */
	case 0xd2: /* as if from the keyboard */
	case 0xd3: /* as if from the mouse */
	case 0xd4: /* to the mouse */
		kbc->parameter_of = command;
		break;
	case 0xdd:
		kbc->output_port &= ~OUTPUT_A20;
		break;
	case 0xdf:
		kbc->output_port |= OUTPUT_A20;
		break;
	default:
		write_ranged_command(kbc, command);
		break;
	}
}

static void write_data(struct i8042 *kbc, uint8_t value)
{
	uint8_t command = kbc->parameter_of;

	kbc->parameter_of = COMMAND_NONE;
	switch (command) {
	case COMMAND_NONE:
		/* Sending to the keyboard enables it. */
		kbc->ram[0] &= ~MODE_NO_KEYBOARD;
		ps2_write(&kbc->keyboard, value);
		break;
	case 0xd1:
		set_output_port(kbc, value);
		break;
	case 0xd2:
		put_output(kbc, SOURCE_KEYBOARD, value);
		break;
	case 0xd3:
		put_output(kbc, SOURCE_MOUSE, value);
		break;
	case 0xd4:
		kbc->ram[0] &= ~MODE_NO_MOUSE;
		ps2_write(&kbc->mouse, value);
		break;
	default:
		kbc->ram[command % RAM_BYTES] = value;
		break;
	}
}

static uint64_t data_read(void *device, uint64_t offset, unsigned size)
{
	struct i8042 *kbc = device;
	uint8_t value = kbc->output;

	(void)offset;
	(void)size;
	/* The line falls before the next byte raises it again. */
	if (kbc->source == SOURCE_KEYBOARD)
		irq_set(&kbc->keyboard_irq, false);
	if (kbc->source == SOURCE_MOUSE)
		irq_set(&kbc->mouse_irq, false);
	kbc->source = SOURCE_NONE;
	i8042_update(kbc);
	return value;
}

static void data_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8042 *kbc = device;

	(void)offset;
	(void)size;
	kbc->last_was_command = false;
	write_data(kbc, (uint8_t)value);
	i8042_update(kbc);
}

static uint64_t status_read(void *device, uint64_t offset, unsigned size)
{
	const struct i8042 *kbc = device;

	(void)offset;
	(void)size;
	return (kbc->source != SOURCE_NONE ? STATUS_FULL : 0) |
	       (kbc->ram[0] & MODE_SELFTEST ? STATUS_SELFTEST : 0) |
	       (kbc->last_was_command ? STATUS_COMMAND : 0) | STATUS_UNLOCKED |
	       (kbc->source == SOURCE_MOUSE ? STATUS_MOUSE : 0);
}

static void command_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8042 *kbc = device;

	(void)offset;
	(void)size;
	kbc->last_was_command = true;
	write_command(kbc, (uint8_t)value);
	i8042_update(kbc);
}

static const struct bus_ops data_ops = {
	.read = data_read,
	.write = data_write,
	.min_size = 1,
	.max_size = 1,
};

static const struct bus_ops command_ops = {
	.read = status_read,
	.write = command_write,
	.min_size = 1,
	.max_size = 1,
};

static void i8042_reset(struct device *device)
{
	struct i8042 *kbc = container_of(device, struct i8042, device);

	for (unsigned i = 0; i < RAM_BYTES; i++)
		kbc->ram[i] = 0;
	/* As a BIOS leaves it. */
	kbc->ram[0] = MODE_KEYBOARD_IRQ | MODE_SELFTEST | MODE_NO_MOUSE | MODE_TRANSLATE;
	kbc->output_port = OUTPUT_POWER_ON;
	kbc->source = SOURCE_NONE;
	kbc->output = 0;
	kbc->last_was_command = true;
	kbc->parameter_of = COMMAND_NONE;
	ps2_reset(&kbc->keyboard);
	ps2_reset(&kbc->mouse);
	i8042_update(kbc);
}

static void i8042_free(struct device *device)
{
	struct i8042 *kbc = container_of(device, struct i8042, device);

	bus_unmap(&kbc->data_region);
	bus_unmap(&kbc->command_region);
	device_fini(device);
	free(kbc);
}

static bool ps2_ok(const struct ps2 *ps2)
{
	return ps2->count <= PS2_QUEUE_BYTES && ps2->scan_set >= 1 && ps2->scan_set <= 3;
}

static bool i8042_ok(const struct device *device)
{
	const struct i8042 *kbc = container_of(device, struct i8042, device);

	return kbc->source <= SOURCE_MOUSE && ps2_ok(&kbc->keyboard) && ps2_ok(&kbc->mouse);
}

static const struct state_field i8042_fields[] = {
	STATE_RAW(struct i8042, ram),
	STATE_FIELD(struct i8042, output_port),
	STATE_FIELD(struct i8042, source, .max = SOURCE_MOUSE),
	STATE_FIELD(struct i8042, output),
	STATE_FIELD(struct i8042, last_was_command),
	STATE_FIELD(struct i8042, parameter_of),
	STATE_STRUCT(struct i8042, keyboard, ps2_fields),
	STATE_STRUCT(struct i8042, mouse, ps2_fields),
	{ 0 },
};

const struct state_desc i8042_state = { .name = "i8042", .version = 1, .fields = i8042_fields };

static const struct device_ops i8042_ops = {
	.type = "i8042",
	.reset = i8042_reset,
	.free = i8042_free,
	.state = &i8042_state,
	.ok = i8042_ok,
};

int i8042_new(struct device **ret_i8042, const struct i8042_config *config, struct err *err)
{
	struct i8042 *kbc = calloc(1, sizeof(*kbc));
	int rc;

	if (!kbc)
		return err_errno(err, ENOMEM, "cannot create keyboard controller");
	device_init(&kbc->device, &i8042_ops, "i8042");
	kbc->keyboard_irq = config->keyboard_irq;
	kbc->mouse_irq = config->mouse_irq;
	kbc->requests = config->requests;
	ps2_init_keyboard(&kbc->keyboard);
	ps2_init_mouse(&kbc->mouse);
	kbc->data_region = (struct bus_region){
		.name = "i8042-data",
		.ops = &data_ops,
		.device = kbc,
		.lock = &kbc->device.lock,
		.size = 1,
	};
	kbc->command_region = (struct bus_region){
		.name = "i8042-command",
		.ops = &command_ops,
		.device = kbc,
		.lock = &kbc->device.lock,
		.size = 1,
	};
	rc = bus_map(config->ports, &kbc->data_region, DATA_PORT, err);
	if (!rc)
		rc = bus_map(config->ports, &kbc->command_region, COMMAND_PORT, err);
	if (rc) {
		device_free(&kbc->device);
		return rc;
	}
	device_reset(&kbc->device);
	*ret_i8042 = &kbc->device;
	return 0;
}
