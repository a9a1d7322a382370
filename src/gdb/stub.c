/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gdb/stub_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

static const struct command {
	const char *name;
	gdb_handler *handle;
	bool needs_stop; /* refused while the machine runs */
} commands[] = {
	/* Longer names before the letters they begin with. */
	{ "vCont", gdb_vcont },
	{ "vKill", gdb_vkill },
	{ "?", gdb_why, true },
	{ "g", gdb_read_registers, true },
	{ "G", gdb_write_registers, true },
	{ "p", gdb_read_register, true },
	{ "P", gdb_write_register, true },
	{ "m", gdb_read_memory, true },
	{ "M", gdb_write_memory, true },
	{ "x", gdb_read_memory_binary, true },
	{ "X", gdb_write_memory_binary, true },
	{ "Z", gdb_insert_point, true },
	{ "z", gdb_remove_point, true },
	{ "c", gdb_continue, true },
	{ "C", gdb_continue_signal, true },
	{ "s", gdb_step, true },
	{ "S", gdb_step_signal, true },
	{ "H", gdb_set_thread },
	{ "T", gdb_thread_alive },
	{ "D", gdb_detach },
	{ "k", gdb_kill },
	{ "q", gdb_query },
	{ "Q", gdb_set },
};

int gdb_ok(struct gdb_stub *stub)
{
	str_add(&stub->reply, "OK");
	return 0;
}

void gdb_stub_send(struct gdb_stub *stub)
{
	str_fini(&stub->sent);
	gdb_packet_add(&stub->sent, stub->reply.text, stub->reply.length);
	/* Without memory nothing is said, and the debugger gives up waiting. */
	if (!stub->reply.failed && !stub->sent.failed)
		stub->output.send(stub->output.ctx, stub->sent.text, stub->sent.length);
	str_fini(&stub->reply);
}

static const struct command *find_command(struct gdb_text *text)
{
	for (const struct command *c = commands; c < commands + ARRAY_SIZE(commands); c++) {
		if (gdb_take_word(text, c->name))
			return c;
	}
	return NULL;
}

static void serve(struct gdb_stub *stub)
{
	struct gdb_text text = { stub->reader.data, stub->reader.data + stub->reader.count };
	const struct command *command = find_command(&text);
	int rc = 0;

	stub->state_known = false;
	if (command && command->needs_stop && stub->running)
		rc = -EBUSY;
	else if (command)
		rc = command->handle(stub, text);
	if (rc == GDB_NO_REPLY)
		return;
	if (rc) {
		str_fini(&stub->reply);
		/* What is not supported has the same answer as what is not known. */
		if (rc != -ENOTSUP)
			str_printf(&stub->reply, "E%02x", (unsigned)-rc & 0xff);
	}
	gdb_stub_send(stub);
}

static void acknowledge(struct gdb_stub *stub, const char *sign)
{
	if (!stub->no_ack)
		stub->output.send(stub->output.ctx, sign, 1);
}

void gdb_stub_receive(struct gdb_stub *stub, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	for (; count && stub->connected; at++, count--) {
		switch (gdb_reader_take(&stub->reader, *at)) {
		case GDB_NOTHING:
			break;
		case GDB_PACKET:
			acknowledge(stub, "+");
			serve(stub);
			break;
		case GDB_BAD:
			acknowledge(stub, "-");
			break;
		case GDB_INTERRUPT:
			gdb_interrupt(stub);
			break;
		case GDB_NACK:
			if (!stub->no_ack && stub->sent.length)
				stub->output.send(stub->output.ctx, stub->sent.text,
						  stub->sent.length);
			break;
		}
	}
}

int gdb_stub_init(struct gdb_stub *stub, const struct gdb_machine *machine,
		  const struct gdb_output *output)
{
	*stub = (struct gdb_stub){ .machine = *machine, .output = *output };
	stub->state = calloc(1, sizeof(*stub->state));
	stub->threads = calloc(gdb_vcpus(stub), sizeof(*stub->threads));
	return stub->state && stub->threads ? 0 : -ENOMEM;
}

void gdb_stub_fini(struct gdb_stub *stub)
{
	str_fini(&stub->reply);
	str_fini(&stub->sent);
	free(stub->description);
	free(stub->threads);
	free(stub->state);
}

void gdb_stub_connect(struct gdb_stub *stub)
{
	stub->connected = true;
	stub->running = stub->no_ack = false;
	stub->tells_swbreak = stub->tells_hwbreak = false;
	stub->general = stub->resumed = stub->last_stopped = 0;
	stub->resumes_all = true;
	stub->reader.state = READER_IDLE;
	stub->machine.ops->pause(stub->machine.ctx, NULL);
}

void gdb_stub_disconnect(struct gdb_stub *stub)
{
	if (!stub->connected)
		return;
	gdb_release(stub);
	stub->connected = false;
	str_fini(&stub->reply);
	str_fini(&stub->sent);
}
