/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest asks of its machine through a chip: reset, power-off, an exit code, "I crashed".
 *
 * Asynchronous: the machine only notes the request and acts on its loop thread; the vCPU that asked
 * may run a little on. Slots may be NULL. Any thread, with the asking device's lock held; a slot
 * must not call back into a device.
 */
#pragma once

#include <stdint.h>

enum machine_panic {
	MACHINE_PANICKED,    /* the guest is dead */
	MACHINE_CRASHLOADED, /* the guest is dead and its crash kernel takes over */
};

struct machine_requests {
	void (*reset)(void *ctx);
	void (*power_off)(void *ctx);
	/* `status`: the exit status that the VM process shall have, 0 to 255. */
	void (*debug_exit)(void *ctx, uint8_t status);
	void (*panicked)(void *ctx, enum machine_panic kind);
	void *ctx;
};

static inline void machine_request_reset(const struct machine_requests *requests)
{
	if (requests->reset)
		requests->reset(requests->ctx);
}

static inline void machine_request_power_off(const struct machine_requests *requests)
{
	if (requests->power_off)
		requests->power_off(requests->ctx);
}

static inline void machine_request_debug_exit(const struct machine_requests *requests,
					      uint8_t status)
{
	if (requests->debug_exit)
		requests->debug_exit(requests->ctx, status);
}

static inline void machine_request_panicked(const struct machine_requests *requests,
					    enum machine_panic kind)
{
	if (requests->panicked)
		requests->panicked(requests->ctx, kind);
}
