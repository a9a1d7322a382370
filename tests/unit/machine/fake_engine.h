/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine for tests: vCPUs that hold state and execute nothing, but for one script of bus
 * accesses on vCPU 0.
 *
 * The running script's rows are performed on the vCPU's thread; it then waits to be kicked.
 */
#pragma once

#include "base/check.h"
#include "base/macros.h"
#include "host/thread.h"
#include "vm/engine.h"

#define FAKE_VCPUS_MAX 300

/* One access of the script; size 0 ends it, and `exit` is then what vcpu_run() returns, if it is
 * not KICKED. */
struct fake_access {
	bool mmio;
	uint64_t address;
	unsigned size;
	uint64_t value;
	enum vcpu_exit exit;
};

struct fake_vcpu {
	struct vcpu vcpu;
	struct fake_engine *engine;
	struct vcpu_state state;
	bool kicked;
};

struct fake_engine {
	struct engine engine;
	struct engine_config config;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const struct fake_access *script; /* NULL: nothing to do */
	struct msi_message last_msi;
	unsigned nmis, clock_pauses;
	struct fake_vcpu *vcpus[FAKE_VCPUS_MAX];
	/* If not 0: vCPUs from `deaf_vcpu` on write a byte there when they first run, and never answer
	 * again. */
	int deaf_fd;
	unsigned deaf_vcpu;
};

extern struct fake_engine *fake_engine; /* the one that is open */
extern const struct engine_ops fake_engine_ops;

/* Lets vCPU 0 perform it when it runs next; borrowed. */
void fake_engine_play(const struct fake_access *script);
