/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's end of a VM process' control socket (see api/control.h), which is named `control` in the
 * machine's folder, however long its path is.
 *
 * A VM process is not trusted: what it says is bounded, checked, and waited for only so long.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "api/control.h"
#include "base/err.h"
#include "host/loop.h"

#define VMM_REPLY_MAX (4u << 20)

/* -ENOENT, -ECONNREFUSED: nobody listens. */
int vmm_connect(int folder_fd, int *ret_fd, struct err *err);

/*
 * Calls a method and waits for its result on a connection of its own. Takes `params` (NULL: none);
 * `ret_result` (or NULL) gets a new reference. Errors: -ETIMEDOUT after `timeout_ms`, -EREMOTEIO with
 * the VM process' words when it refuses, -EPROTO, and those of vmm_connect(). Any thread that may wait.
 */
int vmm_call(int folder_fd, enum control_method method, json_t *params, unsigned timeout_ms,
	     json_t **ret_result, struct err *err);

/* The same, with descriptors that the VM process gets copies of. */
int vmm_call_with(int folder_fd, enum control_method method, json_t *params, const int *fds,
		  unsigned fd_count, unsigned timeout_ms, json_t **ret_result, struct err *err);

/* ---- a connection that goes on ---- */

struct vmm_link;

/* On the loop's thread. */
struct vmm_link_ops {
	/* Of subscribed links: the first thing that is told, the result of the method "status" … */
	void (*status)(void *ctx, const json_t *status);
	/* … and then what happens; `params` may be NULL. */
	void (*event)(void *ctx, enum control_event event, const json_t *params);
	/* Of console links: the number of the first byte that follows, and what the guest wrote. */
	void (*attached)(void *ctx, uint64_t from);
	void (*output)(void *ctx, const uint8_t *bytes, size_t count);
	/* It broke off. The link may be closed in it. */
	void (*closed)(void *ctx);
};

/* A link that hears events. Loop thread, or who holds the loop. */
int vmm_link_subscribe(struct vmm_link **ret_link, int folder_fd, struct loop *loop,
		       const struct vmm_link_ops *ops, void *ctx, struct err *err);

/* A link that is a console's stream, from byte `from` of it. */
int vmm_link_attach(struct vmm_link **ret_link, int folder_fd, const char *console, uint64_t from,
		    struct loop *loop, const struct vmm_link_ops *ops, void *ctx, struct err *err);

/* Input for the console: how many bytes were taken, the rest is too much at once. Loop thread. */
size_t vmm_link_write(struct vmm_link *link, const void *bytes, size_t count);

/* Takes the output that has arrived. Loop thread, or who holds the loop; not from its callbacks. */
void vmm_link_drain(struct vmm_link *link);

/* Nothing is called any more. Accepts NULL. Loop thread, or who holds the loop. */
void vmm_link_close(struct vmm_link *link);
