/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads, which are the vCPUs, and their registers. */
#include <errno.h>
#include <string.h>

#include "gdb/registers.h"
#include "gdb/stub_priv.h"

struct vcpu_state *gdb_state(struct gdb_stub *stub, unsigned vcpu)
{
	struct vcpu *v = gdb_vcpu(stub, vcpu);

	if (stub->running)
		return NULL;
	if (!stub->state_known || stub->state_of != vcpu)
		stub->state_known = !v->ops->vcpu_get(v, stub->state, NULL);
	stub->state_of = vcpu;
	return stub->state_known ? stub->state : NULL;
}

/* Puts the state just read and changed back. */
static int store_state(struct gdb_stub *stub)
{
	struct vcpu *v = gdb_vcpu(stub, stub->state_of);

	return v->ops->vcpu_set(v, stub->state, NULL);
}

int gdb_read_registers(struct gdb_stub *stub, struct gdb_text text)
{
	const struct vcpu_state *state = gdb_state(stub, stub->general);

	if (!state)
		return -EIO;
	for (unsigned n = 0; n < gdb_register_count(state); n++) {
		uint8_t bytes[GDB_REGISTER_BYTES_MAX];

		gdb_register_get(state, n, bytes);
		gdb_hex_add(&stub->reply, bytes, gdb_register_size(state, n));
	}
	return 0;
}

/* Only what differs is set, so that no component of the extended state comes to life unasked. */
int gdb_write_registers(struct gdb_stub *stub, struct gdb_text text)
{
	struct vcpu_state *state = gdb_state(stub, stub->general);
	int rc;

	if (!state)
		return -EIO;
	for (unsigned n = 0; n < gdb_register_count(state) && gdb_text_left(&text); n++) {
		uint8_t old[GDB_REGISTER_BYTES_MAX], bytes[GDB_REGISTER_BYTES_MAX];
		unsigned size = gdb_register_size(state, n);

		if (!gdb_take_bytes(&text, bytes, size))
			return -EINVAL;
		gdb_register_get(state, n, old);
		if (memcmp(old, bytes, size))
			gdb_register_set(state, n, bytes);
	}
	rc = store_state(stub);
	return rc ? rc : gdb_ok(stub);
}

int gdb_read_register(struct gdb_stub *stub, struct gdb_text text)
{
	const struct vcpu_state *state = gdb_state(stub, stub->general);
	uint8_t bytes[GDB_REGISTER_BYTES_MAX];
	uint64_t n;

	if (!state)
		return -EIO;
	if (!gdb_take_hex(&text, &n) || n >= gdb_register_count(state))
		return -EINVAL;
	gdb_register_get(state, (unsigned)n, bytes);
	gdb_hex_add(&stub->reply, bytes, gdb_register_size(state, (unsigned)n));
	return 0;
}

int gdb_write_register(struct gdb_stub *stub, struct gdb_text text)
{
	struct vcpu_state *state = gdb_state(stub, stub->general);
	uint8_t bytes[GDB_REGISTER_BYTES_MAX];
	uint64_t n;
	int rc;

	if (!state)
		return -EIO;
	if (!gdb_take_hex(&text, &n) || n >= gdb_register_count(state) || !gdb_take(&text, '=') ||
	    !gdb_take_bytes(&text, bytes, gdb_register_size(state, (unsigned)n)))
		return -EINVAL;
	gdb_register_set(state, (unsigned)n, bytes);
	rc = store_state(stub);
	return rc ? rc : gdb_ok(stub);
}

int gdb_take_thread(struct gdb_text *text, const struct gdb_stub *stub, unsigned *ret_vcpu,
		    bool *ret_any)
{
	uint64_t id;

	*ret_any = gdb_take_word(text, "-1");
	if (*ret_any)
		return 0;
	if (!gdb_take_hex(text, &id))
		return -EINVAL;
	*ret_any = !id;
	if (id > gdb_vcpus(stub))
		return -ENOENT;
	if (id)
		*ret_vcpu = (unsigned)id - 1;
	return 0;
}

int gdb_set_thread(struct gdb_stub *stub, struct gdb_text text)
{
	bool general = gdb_take(&text, 'g'), any;
	unsigned vcpu = stub->general;
	int rc;

	if (!general && !gdb_take(&text, 'c'))
		return -EINVAL;
	rc = gdb_take_thread(&text, stub, &vcpu, &any);
	if (rc)
		return rc;
	if (general) {
		stub->general = vcpu;
	} else {
		stub->resumed = vcpu;
		stub->resumes_all = any;
	}
	return gdb_ok(stub);
}

int gdb_thread_alive(struct gdb_stub *stub, struct gdb_text text)
{
	unsigned vcpu;
	bool any;
	int rc = gdb_take_thread(&text, stub, &vcpu, &any);

	return rc ? rc : gdb_ok(stub);
}
