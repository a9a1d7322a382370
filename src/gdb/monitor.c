/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What GDB's `monitor` offers beside the protocol: commands to the machine as a whole. */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "gdb/stub_priv.h"

#define READ_MAX 1024 /* bytes of one `xp` */

struct command {
	const char *name, *arguments, *help;
	void (*run)(struct gdb_stub *stub, char *arguments, struct str *out);
};

static void reset(struct gdb_stub *stub, char *arguments, struct str *out)
{
	struct err err = ERR_INIT;

	stub->state_known = false;
	if (stub->machine.ops->reset(stub->machine.ctx, &err))
		str_printf(out, "%s\n", err.text);
}

static void list_devices(struct gdb_stub *stub, char *arguments, struct str *out)
{
	stub->machine.ops->list_devices(stub->machine.ctx, out);
}

static void dump_line(struct str *out, uint64_t at, const uint8_t *bytes, size_t count)
{
	str_printf(out, "%016llx:", (unsigned long long)at);
	for (size_t i = 0; i < count; i++)
		str_printf(out, " %02x", bytes[i]);
	str_add(out, "\n");
}

static void read_physical(struct gdb_stub *stub, char *arguments, struct str *out)
{
	char *rest = NULL, *address = strtok_r(arguments, " ", &rest);
	char *length = strtok_r(NULL, " ", &rest);
	uint64_t at, count = 16;
	uint8_t bytes[READ_MAX];

	if (!address || parse_u64(address, 0, UINT64_MAX, &at) ||
	    (length && parse_u64(length, 1, READ_MAX, &count))) {
		str_printf(out, "usage: xp ADDRESS [COUNT], at most %u bytes\n", READ_MAX);
		return;
	}
	if (memory_read(stub->machine.memory, GPA(at), bytes, count)) {
		str_add(out, "not all of it is memory\n");
		return;
	}
	for (size_t i = 0; i < count; i += 16)
		dump_line(out, at + i, bytes + i, MIN(count - i, (size_t)16));
}

static void help(struct gdb_stub *stub, char *arguments, struct str *out);

static const struct command commands[] = {
	{ "help", "", "this list", help },
	{ "info", "", "the machine's devices", list_devices },
	{ "reset", "", "press the reset button; the machine stays stopped", reset },
	{ "xp", " ADDRESS [COUNT]", "bytes of physical memory", read_physical },
};

static void help(struct gdb_stub *stub, char *arguments, struct str *out)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		str_printf(out, "%s%s: %s\n", commands[i].name, commands[i].arguments,
			   commands[i].help);
}

void gdb_monitor(struct gdb_stub *stub, char *line, struct str *out)
{
	char *rest = NULL, *name = strtok_r(line, " ", &rest);

	if (stub->running) {
		str_add(out, "the machine runs\n");
		return;
	}
	for (unsigned i = 0; name && i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name)) {
			commands[i].run(stub, rest, out);
			return;
		}
	}
	str_add(out, "unknown command, try 'monitor help'\n");
}
