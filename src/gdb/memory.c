/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory by the virtual addresses of the chosen vCPU. Only RAM: a look at a device could change it.
 */
#include <errno.h>

#include "base/macros.h"
#include "gdb/stub_priv.h"
#include "x86/walk.h"

/* What fits into a packet as two digits a byte. */
#define MEMORY_MAX (GDB_PACKET_MAX / 2)

static int read_table(void *ctx, uint64_t gpa, void *buffer, unsigned bytes)
{
	return memory_read(ctx, GPA(gpa), buffer, bytes);
}

/* One page's part of a range: where it is. */
static int translate(struct gdb_stub *stub, uint64_t linear, struct gpa *ret_gpa)
{
	const struct vcpu_state *state = gdb_state(stub, stub->general);
	struct walk_registers registers;

	if (!state)
		return -EIO;
	registers = (struct walk_registers){ state->cr0, state->cr3, state->cr4, state->efer };
	for (unsigned i = 0; i < ARRAY_SIZE(registers.pdptr); i++)
		registers.pdptr[i] = state->pdptr[i];
	return walk_linear(&registers, linear, read_table, stub->machine.memory, &ret_gpa->v);
}

static size_t page_part(uint64_t linear, size_t count)
{
	return MIN(count, (size_t)(PAGE_SIZE - (linear & PAGE_MASK)));
}

/* How many of the bytes could be read, from the first on. */
static size_t read_linear(struct gdb_stub *stub, uint64_t linear, uint8_t *buffer, size_t count)
{
	size_t done = 0;

	while (done < count) {
		size_t part = page_part(linear + done, count - done);
		struct gpa gpa;

		if (translate(stub, linear + done, &gpa) ||
		    memory_read(stub->machine.memory, gpa, buffer + done, part))
			break;
		done += part;
	}
	return done;
}

/* All or nothing, as far as translation goes. */
static int write_linear(struct gdb_stub *stub, uint64_t linear, const uint8_t *bytes, size_t count)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t done = 0; done < count;) {
			size_t part = page_part(linear + done, count - done);
			struct gpa gpa;
			int rc = translate(stub, linear + done, &gpa);

			if (!rc && !memory_map(stub->machine.memory, gpa, part))
				rc = -EFAULT;
			if (!rc && pass)
				rc = memory_write(stub->machine.memory, gpa, bytes + done, part);
			if (rc)
				return rc;
			done += part;
		}
	}
	return 0;
}

/* "ADDRESS,LENGTH" */
static int take_range(struct gdb_text *text, uint64_t *ret_linear, size_t *ret_count)
{
	uint64_t count;

	if (!gdb_take_hex(text, ret_linear) || !gdb_take(text, ',') || !gdb_take_hex(text, &count))
		return -EINVAL;
	*ret_count = (size_t)MIN(count, (uint64_t)MEMORY_MAX);
	return *ret_count == count ? 0 : -EINVAL;
}

static int read_range(struct gdb_stub *stub, struct gdb_text text, uint8_t buffer[MEMORY_MAX],
		      size_t *ret_count)
{
	uint64_t linear;
	size_t count;
	int rc = take_range(&text, &linear, &count);

	if (rc)
		return rc;
	*ret_count = read_linear(stub, linear, buffer, count);
	return *ret_count || !count ? 0 : -EFAULT;
}

int gdb_read_memory(struct gdb_stub *stub, struct gdb_text text)
{
	uint8_t buffer[MEMORY_MAX];
	size_t count = 0;
	int rc = read_range(stub, text, buffer, &count);

	if (!rc)
		gdb_hex_add(&stub->reply, buffer, count);
	return rc;
}

int gdb_read_memory_binary(struct gdb_stub *stub, struct gdb_text text)
{
	uint8_t buffer[MEMORY_MAX];
	size_t count = 0;
	int rc = read_range(stub, text, buffer, &count);

	if (!rc) {
		str_add(&stub->reply, "b");
		str_add_bytes(&stub->reply, buffer, count);
	}
	return rc;
}

int gdb_write_memory(struct gdb_stub *stub, struct gdb_text text)
{
	uint8_t buffer[MEMORY_MAX];
	uint64_t linear;
	size_t count;
	int rc = take_range(&text, &linear, &count);

	if (!rc && (!gdb_take(&text, ':') || !gdb_take_bytes(&text, buffer, count)))
		rc = -EINVAL;
	if (!rc)
		rc = write_linear(stub, linear, buffer, count);
	return rc ? rc : gdb_ok(stub);
}

int gdb_write_memory_binary(struct gdb_stub *stub, struct gdb_text text)
{
	uint64_t linear;
	size_t count;
	int rc = take_range(&text, &linear, &count);

	if (!rc && (!gdb_take(&text, ':') || gdb_text_left(&text) != count))
		rc = -EINVAL;
	if (!rc)
		rc = write_linear(stub, linear, text.at, count);
	return rc ? rc : gdb_ok(stub);
}
