/* SPDX-License-Identifier: GPL-2.0-or-later */
/* General queries (q…) and settings (Q…). */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "gdb/registers.h"
#include "gdb/stub_priv.h"

#define MONITOR_LINE_MAX  256
#define MONITOR_CHUNK_MAX 2048

/* ":FEATURE;FEATURE…", each with '+' or '=' behind it. */
static int supported(struct gdb_stub *stub, struct gdb_text text)
{
	while (gdb_text_left(&text)) {
		if (!gdb_take(&text, ':') && !gdb_take(&text, ';'))
			text.at++;
		else if (gdb_take_word(&text, "swbreak+"))
			stub->tells_swbreak = true;
		else if (gdb_take_word(&text, "hwbreak+"))
			stub->tells_hwbreak = true;
	}
	str_printf(&stub->reply,
		   "PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+;swbreak+;"
		   "hwbreak+;binary-upload+",
		   GDB_PACKET_MAX);
	return 0;
}

static int current_thread(struct gdb_stub *stub, struct gdb_text text)
{
	str_printf(&stub->reply, "QC%x", stub->general + 1);
	return 0;
}

/* The machine was there before the debugger: leaving it detaches. */
static int attached(struct gdb_stub *stub, struct gdb_text text)
{
	str_add(&stub->reply, "1");
	return 0;
}

/* As many as fit, then "l". */
static int more_threads(struct gdb_stub *stub, struct gdb_text text)
{
	const char *separator = "m";

	if (stub->listed >= gdb_vcpus(stub)) {
		str_add(&stub->reply, "l");
		return 0;
	}
	while (stub->listed < gdb_vcpus(stub) && stub->reply.length < GDB_PACKET_MAX - 16) {
		str_printf(&stub->reply, "%s%x", separator, ++stub->listed);
		separator = ",";
	}
	return 0;
}

static int first_threads(struct gdb_stub *stub, struct gdb_text text)
{
	stub->listed = 0;
	return more_threads(stub, text);
}

static const char *activity_name(const struct vcpu_state *state)
{
	static const char *const names[] = {
		[VCPU_RUNNING] = "running",     [VCPU_HALTED] = "halted",
		[VCPU_WAIT_FOR_SIPI] = "waits", [VCPU_SIPI_RECEIVED] = "running",
		[VCPU_UNINITIALIZED] = "waits", [VCPU_SHUTDOWN_STATE] = "shut down",
	};

	return state && state->activity < ARRAY_SIZE(names) ? names[state->activity] : "unknown";
}

static int thread_info(struct gdb_stub *stub, struct gdb_text text)
{
	struct str words = { 0 };
	unsigned vcpu = stub->general;
	bool any;
	int rc = gdb_take(&text, ',') ? gdb_take_thread(&text, stub, &vcpu, &any) : -EINVAL;

	if (rc)
		return rc;
	str_printf(&words, "cpu%u [%s]", vcpu, activity_name(gdb_state(stub, vcpu)));
	gdb_hex_add(&stub->reply, words.text, words.length);
	str_fini(&words);
	return 0;
}

static int make_description(struct gdb_stub *stub)
{
	const struct vcpu_state *state = gdb_state(stub, 0);
	struct str xml = { 0 };

	if (stub->description)
		return 0;
	if (!state)
		return -EIO;
	gdb_registers_describe(state, &xml);
	stub->description = str_take(&xml);
	return stub->description ? 0 : -ENOMEM;
}

/* "OFFSET,LENGTH" of the only annex. */
static int read_description(struct gdb_stub *stub, struct gdb_text text)
{
	uint64_t offset, count;
	size_t size;
	int rc;

	if (!gdb_take_word(&text, "target.xml:") || !gdb_take_hex(&text, &offset) ||
	    !gdb_take(&text, ',') || !gdb_take_hex(&text, &count))
		return -EINVAL;
	rc = make_description(stub);
	if (rc)
		return rc;
	size = strlen(stub->description);
	offset = MIN(offset, size);
	/* Half of it, since bytes may have to be escaped. */
	count = MIN(count, (uint64_t)GDB_PACKET_MAX / 2);
	count = MIN(count, size - offset);
	str_add(&stub->reply, offset + count < size ? "m" : "l");
	str_add_bytes(&stub->reply, stub->description + offset, count);
	return 0;
}

/* The words of `monitor`, in hexadecimal; its output goes ahead of the answer. */
static int monitor(struct gdb_stub *stub, struct gdb_text text)
{
	char line[MONITOR_LINE_MAX + 1];
	size_t length = gdb_text_left(&text) / 2;
	struct str out = { 0 };
	bool failed;

	if (length > MONITOR_LINE_MAX || !gdb_take_bytes(&text, line, length))
		return -EINVAL;
	line[length] = '\0';
	gdb_monitor(stub, line, &out);
	for (size_t at = 0; at < out.length; at += MONITOR_CHUNK_MAX) {
		str_add(&stub->reply, "O");
		gdb_hex_add(&stub->reply, out.text + at,
			    MIN(out.length - at, (size_t)MONITOR_CHUNK_MAX));
		gdb_stub_send(stub);
	}
	failed = out.failed;
	str_fini(&out);
	return failed ? -ENOMEM : gdb_ok(stub);
}

static int start_no_ack(struct gdb_stub *stub, struct gdb_text text)
{
	stub->no_ack = true;
	return gdb_ok(stub);
}

struct query {
	const char *name;
	gdb_handler *handle;
};

/* A name that begins another one comes behind it. */
static const struct query queries[] = {
	{ "Supported", supported },
	{ "Attached", attached },
	{ "Xfer:features:read:", read_description },
	{ "Rcmd,", monitor },
	{ "fThreadInfo", first_threads },
	{ "sThreadInfo", more_threads },
	{ "ThreadExtraInfo", thread_info },
	{ "C", current_thread },
};

static const struct query settings[] = {
	{ "StartNoAckMode", start_no_ack },
};

static int dispatch(const struct query *rows, unsigned count, struct gdb_stub *stub,
		    struct gdb_text text)
{
	for (unsigned i = 0; i < count; i++) {
		if (gdb_take_word(&text, rows[i].name))
			return rows[i].handle(stub, text);
	}
	return -ENOTSUP;
}

int gdb_query(struct gdb_stub *stub, struct gdb_text text)
{
	return dispatch(queries, ARRAY_SIZE(queries), stub, text);
}

int gdb_set(struct gdb_stub *stub, struct gdb_text text)
{
	return dispatch(settings, ARRAY_SIZE(settings), stub, text);
}
