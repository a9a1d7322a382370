/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A UART.
 *
 * Time on the wire is not modelled: a character is sent when it is written and received when there
 * is room, so the divisor only reads back, and the character time-out of the receive FIFO is due
 * at once. What the back-end cannot take waits in the transmit FIFO with THRE off; what the
 * receive FIFO cannot take waits in the back-end. So nothing is lost in either direction.
 *
 * Invariants: FIFOs hold at most `fifo_depth()` characters; the line is high exactly while an
 * enabled interrupt is pending and OUT2 is on.
 * Threads: vCPUs (ports) and the loop (back-end), under the device's lock.
 * Spec: National PC16550D data sheet (DS008652).
 */
#include "devices/uart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "host/thread.h"

#define FIFO_BYTES 16

enum uart_register {
	UART_DATA,    /* or divisor low */
	UART_IER,     /* or divisor high */
	UART_IIR_FCR, /* read, write */
	UART_LCR,
	UART_MCR,
	UART_LSR,
	UART_MSR,
	UART_SCR,
	UART_PORTS
};

#define IER_RECEIVED 0x01
#define IER_EMPTY    0x02
#define IER_LINE     0x04
#define IER_MODEM    0x08

#define IIR_NONE     0x01
#define IIR_MODEM    0x00
#define IIR_EMPTY    0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE     0x06
#define IIR_TIMEOUT  0x0c
#define IIR_FIFOS    0xc0

#define FCR_ENABLE        0x01
#define FCR_RESET_RECEIVE 0x02
#define FCR_RESET_SEND    0x04
#define FCR_KEPT          (FCR_ENABLE | 0xc8) /* DMA mode and trigger level */

#define LCR_DIVISOR 0x80

#define MCR_DTR      0x01
#define MCR_RTS      0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08
#define MCR_LOOPBACK 0x10
#define MCR_WRITABLE 0x1f

#define LSR_READY   0x01
#define LSR_OVERRUN 0x02
#define LSR_EMPTY   0x20
#define LSR_IDLE    0x40

#define MSR_DELTAS     0x0f
#define MSR_DELTA_RING 0x04
#define MSR_CTS        0x10
#define MSR_DSR        0x20
#define MSR_RING       0x40
#define MSR_DCD        0x80

struct uart_fifo {
	uint8_t bytes[FIFO_BYTES];
	uint8_t count;
};

struct uart {
	struct device device;
	struct bus_region region;
	struct irq_line irq;
	struct chardev *chardev;

	uint8_t divisor_low, divisor_high;
	uint8_t ier, fcr, lcr, mcr, scr;
	uint8_t msr;
	bool overrun;
	bool empty_pending;   /* the transmitter-empty interrupt was not yet taken */
	bool receive_blocked; /* the back-end waits for room */
	struct uart_fifo receive, send;
};

static unsigned fifo_depth(const struct uart *uart)
{
	return uart->fcr & FCR_ENABLE ? FIFO_BYTES : 1;
}

static unsigned fifo_trigger(const struct uart *uart)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return uart->fcr & FCR_ENABLE ? levels[uart->fcr >> 6] : 1;
}

static void fifo_drop(struct uart_fifo *fifo, size_t count)
{
	fifo->count -= (uint8_t)count;
	memmove(fifo->bytes, fifo->bytes + count, fifo->count);
}

static void fifo_append(struct uart_fifo *fifo, const uint8_t *bytes, size_t count)
{
	memcpy(fifo->bytes + fifo->count, bytes, count);
	fifo->count += (uint8_t)count;
}

/* The pending enabled interrupt of the highest priority. Spec: PC16550D table IV. */
static uint8_t interrupt_id(const struct uart *uart)
{
	if (uart->ier & IER_LINE && uart->overrun)
		return IIR_LINE;
	if (uart->ier & IER_RECEIVED && uart->receive.count)
		return uart->receive.count >= fifo_trigger(uart) ? IIR_RECEIVED : IIR_TIMEOUT;
	if (uart->ier & IER_EMPTY && uart->empty_pending)
		return IIR_EMPTY;
	if (uart->ier & IER_MODEM && uart->msr & MSR_DELTAS)
		return IIR_MODEM;
	return IIR_NONE;
}

static void uart_update(struct uart *uart)
{
	irq_set(&uart->irq, uart->mcr & MCR_OUT2 && interrupt_id(uart) != IIR_NONE);
}

/* Takes what fits. */
static size_t uart_accept(struct uart *uart, const uint8_t *bytes, size_t count)
{
	size_t room = fifo_depth(uart) - MIN(fifo_depth(uart), (unsigned)uart->receive.count);

	count = MIN(count, room);
	fifo_append(&uart->receive, bytes, count);
	uart_update(uart);
	return count;
}

static size_t uart_receive(void *ctx, const uint8_t *bytes, size_t count)
{
	struct uart *uart = ctx;
	size_t taken = 0;

	LOCK_SCOPE(&uart->device.lock);
	/* In loopback the receiver is cut off from the wire. */
	if (!(uart->mcr & MCR_LOOPBACK))
		taken = uart_accept(uart, bytes, count);
	uart->receive_blocked = taken < count;
	return taken;
}

static void ask_for_more(struct uart *uart)
{
	if (!uart->receive_blocked || uart->mcr & MCR_LOOPBACK ||
	    uart->receive.count >= fifo_depth(uart))
		return;
	uart->receive_blocked = false;
	chardev_receive_ready(uart->chardev);
}

/* Hands the transmit FIFO on. */
static void uart_drain(struct uart *uart)
{
	size_t taken;

	if (!uart->send.count)
		return;
	taken = chardev_write(uart->chardev, uart->send.bytes, uart->send.count);
	fifo_drop(&uart->send, MIN(taken, (size_t)uart->send.count));
	if (!uart->send.count)
		uart->empty_pending = true;
}

static void uart_write_ready(void *ctx)
{
	struct uart *uart = ctx;

	LOCK_SCOPE(&uart->device.lock);
	uart_drain(uart);
	uart_update(uart);
}

static void write_data(struct uart *uart, uint8_t byte)
{
	/* The interrupt falls, to rise again as soon as the character is gone. */
	uart->empty_pending = false;
	uart_update(uart);
	if (uart->mcr & MCR_LOOPBACK) {
		uart->overrun |= !uart_accept(uart, &byte, 1);
		uart->empty_pending = true;
	} else if (uart->send.count < FIFO_BYTES) {
		/* Without FIFOs too, all 16 bytes are used before a guest that ignores THRE loses
		 * any. */
		fifo_append(&uart->send, &byte, 1);
		uart_drain(uart);
	}
}

static uint8_t read_data(struct uart *uart)
{
	uint8_t byte = uart->receive.bytes[0];

	if (!uart->receive.count)
		return 0;
	fifo_drop(&uart->receive, 1);
	if (!uart->receive.count)
		ask_for_more(uart);
	return byte;
}

/* Modem inputs: in loopback our own outputs, otherwise a peer that is always there. */
static uint8_t modem_inputs(const struct uart *uart)
{
	if (!(uart->mcr & MCR_LOOPBACK))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (uart->mcr & MCR_OUT1 ? MSR_RING : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct uart *uart, uint8_t value)
{
	uint8_t before = uart->msr, inputs, changed;

	uart->mcr = value & MCR_WRITABLE;
	inputs = modem_inputs(uart);
	changed = (before ^ inputs) >> 4;
	/* Of the ring indicator only the trailing edge counts. */
	if (inputs & MSR_RING)
		changed &= ~MSR_DELTA_RING;
	uart->msr = inputs | (before & MSR_DELTAS) | changed;
	ask_for_more(uart);
}

static void write_ier(struct uart *uart, uint8_t value)
{
	if (value & ~uart->ier & IER_EMPTY && !uart->send.count)
		uart->empty_pending = true;
	uart->ier = value & (IER_RECEIVED | IER_EMPTY | IER_LINE | IER_MODEM);
}

static void write_fcr(struct uart *uart, uint8_t value)
{
	bool toggled = (value ^ uart->fcr) & FCR_ENABLE;

	/* The other bits only take effect together with the enable bit. */
	uart->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	if (toggled || value & FCR_RESET_RECEIVE)
		uart->receive.count = 0;
	if (toggled || value & FCR_RESET_SEND) {
		uart->send.count = 0;
		uart->empty_pending = true;
	}
	ask_for_more(uart);
}

static uint8_t read_iir(struct uart *uart)
{
	uint8_t id = interrupt_id(uart);

	if (id == IIR_EMPTY)
		uart->empty_pending = false;
	return id | (uart->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct uart *uart)
{
	uint8_t value = (uart->receive.count ? LSR_READY : 0) | (uart->overrun ? LSR_OVERRUN : 0) |
			(uart->send.count ? 0 : LSR_EMPTY | LSR_IDLE);

	uart->overrun = false;
	return value;
}

static uint8_t read_msr(struct uart *uart)
{
	uint8_t value = uart->msr;

	uart->msr &= ~MSR_DELTAS;
	return value;
}

static uint8_t read_register(struct uart *uart, enum uart_register reg)
{
	bool divisor = uart->lcr & LCR_DIVISOR;

	switch (reg) {
	case UART_DATA:
		return divisor ? uart->divisor_low : read_data(uart);
	case UART_IER:
		return divisor ? uart->divisor_high : uart->ier;
	case UART_IIR_FCR:
		return read_iir(uart);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		return read_lsr(uart);
	case UART_MSR:
		return read_msr(uart);
	case UART_SCR:
		return uart->scr;
	case UART_PORTS:
		break;
	}
	return 0xff;
}

static void write_register(struct uart *uart, enum uart_register reg, uint8_t value)
{
	bool divisor = uart->lcr & LCR_DIVISOR;

	switch (reg) {
	case UART_DATA:
		if (divisor)
			uart->divisor_low = value;
		else
			write_data(uart, value);
		break;
	case UART_IER:
		if (divisor)
			uart->divisor_high = value;
		else
			write_ier(uart, value);
		break;
	case UART_IIR_FCR:
		write_fcr(uart, value);
		break;
	case UART_LCR:
		uart->lcr = value;
		break;
	case UART_MCR:
		write_mcr(uart, value);
		break;
	case UART_SCR:
		uart->scr = value;
		break;
	case UART_LSR:
	case UART_MSR:
	case UART_PORTS:
		break;
	}
}

static uint64_t uart_bus_read(void *device, uint64_t offset, unsigned size)
{
	struct uart *uart = device;
	uint8_t value = read_register(uart, (enum uart_register)offset);

	(void)size;
	uart_update(uart);
	return value;
}

static void uart_bus_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct uart *uart = device;

	(void)size;
	write_register(uart, (enum uart_register)offset, (uint8_t)value);
	uart_update(uart);
}

static const struct bus_ops uart_bus_ops = {
	.read = uart_bus_read,
	.write = uart_bus_write,
	.min_size = 1,
	.max_size = 1,
};

static void uart_reset(struct device *device)
{
	struct uart *uart = container_of(device, struct uart, device);

	uart_drain(uart);       /* a last message on the way down */
	uart->divisor_low = 12; /* 9600 baud */
	uart->divisor_high = 0;
	uart->ier = uart->fcr = uart->lcr = uart->scr = 0;
	uart->mcr = MCR_OUT2;
	uart->msr = modem_inputs(uart);
	uart->overrun = uart->empty_pending = false;
	uart->receive = uart->send = (struct uart_fifo){ 0 };
	uart_update(uart);
	ask_for_more(uart);
}

static void uart_free(struct device *device)
{
	struct uart *uart = container_of(device, struct uart, device);

	bus_unmap(&uart->region);
	if (uart->chardev)
		chardev_attach(uart->chardev, (struct chardev_receiver){ 0 });
	device_fini(device);
	free(uart);
}

static bool uart_ok(const struct device *device)
{
	const struct uart *uart = container_of(device, struct uart, device);

	return uart->receive.count <= fifo_depth(uart) && uart->send.count <= FIFO_BYTES &&
	       !(uart->mcr & ~MCR_WRITABLE) && !(uart->ier >> 4) && !(uart->fcr & ~FCR_KEPT);
}

static const struct state_field uart_fifo_fields[] = {
	STATE_RAW(struct uart_fifo, bytes),
	STATE_FIELD(struct uart_fifo, count, .max = FIFO_BYTES),
	{ 0 },
};

static const struct state_field uart_fields[] = {
	STATE_FIELD(struct uart, divisor_low),
	STATE_FIELD(struct uart, divisor_high),
	STATE_FIELD(struct uart, ier, .max = 0x0f),
	STATE_FIELD(struct uart, fcr),
	STATE_FIELD(struct uart, lcr),
	STATE_FIELD(struct uart, mcr, .max = MCR_WRITABLE),
	STATE_FIELD(struct uart, scr),
	STATE_FIELD(struct uart, msr),
	STATE_FIELD(struct uart, overrun),
	STATE_FIELD(struct uart, empty_pending),
	STATE_STRUCT(struct uart, receive, uart_fifo_fields),
	STATE_STRUCT(struct uart, send, uart_fifo_fields),
	{ 0 },
};

static int uart_validate(const void *object, struct err *err)
{
	const struct uart *uart = object;

	if (!uart_ok(&uart->device))
		return err_set(err, EINVAL, "refuse UART state: its registers cannot be like this");
	return 0;
}

static void uart_post_load(void *object)
{
	struct uart *uart = object;

	uart_drain(uart);
	ask_for_more(uart);
}

const struct state_desc uart_state = {
	.name = "uart",
	.version = 1,
	.fields = uart_fields,
	.validate = uart_validate,
	.post_load = uart_post_load,
};

static const struct device_ops uart_ops = {
	.type = "uart",
	.reset = uart_reset,
	.free = uart_free,
	.state = &uart_state,
	.ok = uart_ok,
};

int uart_new(struct device **ret_uart, const struct uart_config *config, struct err *err)
{
	struct uart *uart = calloc(1, sizeof(*uart));
	int rc;

	if (!uart)
		return err_errno(err, ENOMEM, "cannot create serial port '%s'", config->id);
	device_init(&uart->device, &uart_ops, config->id);
	uart->irq = config->irq;
	uart->region = (struct bus_region){
		.name = uart->device.id,
		.ops = &uart_bus_ops,
		.device = uart,
		.lock = &uart->device.lock,
		.size = UART_PORTS,
	};
	rc = bus_map(config->ports, &uart->region, config->base, err);
	if (rc) {
		device_free(&uart->device);
		return rc;
	}
	device_reset(&uart->device);
	uart->chardev = config->chardev;
	if (uart->chardev)
		chardev_attach(uart->chardev, (struct chardev_receiver){
						      .receive = uart_receive,
						      .write_ready = uart_write_ready,
						      .ctx = uart,
					      });
	*ret_uart = &uart->device;
	return 0;
}
