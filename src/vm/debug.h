/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a debugger outside of the guest asks of a vCPU, and what it is told. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum debug_point_kind {
	DEBUG_EXECUTE, /* an instruction begins at the address; `size` does not matter */
	DEBUG_WRITE,
	DEBUG_READ,
	DEBUG_ACCESS, /* either of the last two */
};

/* A place to stop at, by linear address, in whatever address space is current. */
struct debug_point {
	uint64_t linear;
	uint64_t size; /* bytes, 1 or more */
	enum debug_point_kind kind;
	bool patch; /* DEBUG_EXECUTE: memory may hold a breakpoint instruction for it, which the guest
		       would see */
};

struct vcpu_debug {
	bool step; /* stop after one instruction */
	const struct debug_point *points;
	unsigned count;
};

enum debug_stop_kind {
	DEBUG_NO_STOP,
	DEBUG_STEPPED,
	DEBUG_POINT, /* at `point` before its instruction, or after the instruction that accessed it */
};

struct debug_stop {
	enum debug_stop_kind kind;
	struct debug_point point;
};
