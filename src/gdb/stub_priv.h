/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol without its socket: bytes in, bytes out. One file each: stub.c (packets in and out,
 * the table of commands), resume.c (running, stopping), points.c, memory.c, registers in `g` to `P`
 * (threads.c, with threads), query.c, monitor.c.
 */
#pragma once

#include "gdb/gdb.h"
#include "gdb/packet.h"
#include "vm/debug.h"

#define GDB_POINTS_MAX 128

struct gdb_stub;

/* Where the stub's bytes go. */
struct gdb_output {
	void (*send)(void *ctx, const void *bytes, size_t count);
	/* The debugger is done: close when everything is sent. */
	void (*finish)(void *ctx);
	void *ctx;
};

/* A breakpoint or watchpoint, as its packet named it. */
struct gdb_point {
	uint8_t type; /* the digit of Z0 to Z4 */
	struct debug_point point;
};

enum gdb_action { GDB_HOLD, GDB_CONTINUE, GDB_STEP, GDB_STEP_RANGE };

struct gdb_thread {
	enum gdb_action action;       /* of the resume in progress */
	uint64_t from, to;            /* GDB_STEP_RANGE: steps while rip is in [from, to) */
	struct debug_stop unreported; /* a watchpoint that was met beside the one told */
};

struct gdb_stub {
	struct gdb_machine machine;
	struct gdb_output output;
	bool connected;
	bool running; /* the debugger waits for a stop */
	bool no_ack;
	bool tells_swbreak, tells_hwbreak; /* the debugger understands these reasons */
	unsigned general, resumed;         /* vCPUs of Hg and, unless `resumes_all`, Hc */
	bool resumes_all;
	unsigned listed; /* by qfThreadInfo, qsThreadInfo */

	struct vcpu_state *state; /* of vCPU `state_of` while `state_known` */
	unsigned state_of;
	bool state_known;

	unsigned point_count;
	struct gdb_point points[GDB_POINTS_MAX];
	struct gdb_thread *threads; /* one a vCPU */
	unsigned last_stopped;      /* the vCPU told last */

	struct gdb_reader reader;
	struct str reply;  /* of the command in progress */
	struct str sent;   /* the last packet, to be sent again */
	char *description; /* target.xml; NULL: not made yet */
};

/* Zero or -ENOMEM; gdb_stub_fini() is due in any case. */
int gdb_stub_init(struct gdb_stub *stub, const struct gdb_machine *machine,
		  const struct gdb_output *output);
void gdb_stub_fini(struct gdb_stub *stub);

/* A debugger came: stops the machine. It left: lets it go. */
void gdb_stub_connect(struct gdb_stub *stub);
void gdb_stub_disconnect(struct gdb_stub *stub);

void gdb_stub_receive(struct gdb_stub *stub, const void *bytes, size_t count);
void gdb_stub_paused(struct gdb_stub *stub);
void gdb_stub_ended(struct gdb_stub *stub, int status);

/* Sends a packet of `reply`, and empties that. */
void gdb_stub_send(struct gdb_stub *stub);

/* A command's handler: `text` is what follows its name. 0: `reply` is sent as it is; a negative
 * errno is told; GDB_NO_REPLY: nothing is sent now. */
typedef int gdb_handler(struct gdb_stub *stub, struct gdb_text text);
#define GDB_NO_REPLY 1

/* Makes the reply "OK". */
int gdb_ok(struct gdb_stub *stub);

static inline unsigned gdb_vcpus(const struct gdb_stub *stub)
{
	return processors_count(stub->machine.processors);
}

static inline struct vcpu *gdb_vcpu(const struct gdb_stub *stub, unsigned index)
{
	return processors_vcpu(stub->machine.processors, index);
}

/* threads.c */
/* The state of a vCPU, good until the next command, or NULL. */
struct vcpu_state *gdb_state(struct gdb_stub *stub, unsigned vcpu);
/* A thread id: its vCPU in `ret_vcpu`, or `ret_any` for "all" and "any". -EINVAL: none, -ENOENT: no
 * such vCPU. */
int gdb_take_thread(struct gdb_text *text, const struct gdb_stub *stub, unsigned *ret_vcpu,
		    bool *ret_any);
gdb_handler gdb_read_registers, gdb_write_registers, gdb_read_register, gdb_write_register,
	gdb_set_thread, gdb_thread_alive;

/* memory.c */
gdb_handler gdb_read_memory, gdb_read_memory_binary, gdb_write_memory, gdb_write_memory_binary;

/* points.c */
gdb_handler gdb_insert_point, gdb_remove_point;
/* Tells all vCPUs: their points, and who shall step. 0 or a negative errno. */
int gdb_points_apply(struct gdb_stub *stub, bool resuming);
/* The type of the point that was met; -1: it is gone. */
int gdb_point_type(const struct gdb_stub *stub, const struct debug_point *point);

/* resume.c */
gdb_handler gdb_continue, gdb_continue_signal, gdb_step, gdb_step_signal, gdb_vcont, gdb_why,
	gdb_detach, gdb_kill, gdb_vkill;
void gdb_interrupt(struct gdb_stub *stub);
/* Takes all wishes back and lets the machine run. */
void gdb_release(struct gdb_stub *stub);

/* query.c */
gdb_handler gdb_query, gdb_set;

/* monitor.c */
/* Runs a command line of `monitor`, with its output in `out`. */
void gdb_monitor(struct gdb_stub *stub, char *line, struct str *out);
