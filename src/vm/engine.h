/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract of a CPU engine: what runs vCPUs (KVM, or software).
 *
 * An engine owns the processors and their local APICs. Everything else of the machine (IOAPIC, PIC,
 * buses, clocks) is handed down in `struct engine_config`; the engine performs port and memory
 * accesses on the buses itself, on the vCPU's thread, and reaches the controllers through `struct
 * engine_platform`.
 *
 * Order of calls: open; map_memory once; vcpu_new for 0 … n-1; then, for every vCPU on a thread of
 * its own, vcpu_run in a loop. vcpu_free for all before free.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vm/bus.h"
#include "vm/debug.h"
#include "vm/irq.h"
#include "vm/memory.h"
#include "vm/vcpu_state.h"
#include "x86/cpuid.h"

struct engine;
struct vcpu;
struct engine_ops;

/*
 * What the machine does for the engine. Any vCPU thread. The engine holds none of its locks around these calls: before
 * they return, the controllers may use its pic_line and msi (the PIC's output falls, a level is still asserted).
 */
struct engine_platform {
	struct bus *ports;
	struct bus *mmio;
	void *ctx;

	/* The vCPU that takes PIC interrupts acknowledges one: the vector, or -1 if the line fell
	 * meanwhile. */
	int (*pic_acknowledge)(void *ctx);
	/* A local APIC ended a level-triggered interrupt with this vector: the IOAPICs look whether
	 * it was theirs. */
	void (*eoi)(void *ctx, uint8_t vector);
};

struct engine_config {
	struct memory *memory;
	const struct engine_platform *platform; /* borrowed for the engine's life */
	unsigned vcpus;
	const struct cpuid_table *
		cpuid; /* borrowed until open returns; per-vCPU fields (APIC id) are the engine's */
	uint64_t tsc_khz; /* 0: the host's */
	/* "key=value" words behind `--engine NAME,`; NULL: none. -EINVAL names the first that is
	 * unknown. */
	const char *options;
};

/* Why vcpu_run() came back. */
enum vcpu_exit {
	VCPU_EXIT_KICKED,   /* by vcpu_kick(), state is complete and may be read */
	VCPU_EXIT_SHUTDOWN, /* triple fault */
	VCPU_EXIT_DEBUG,    /* vcpu_debug_stop() says which of vcpu_debug()'s wishes; state is
			       complete */
	VCPU_EXIT_ERROR,    /* the engine cannot go on; the log says why and the state is still
			       readable */
};

enum engine_bus { ENGINE_PORTS, ENGINE_MMIO };

struct engine_ops {
	const char *name; /* "kvm", "soft" */

	/* Whether it can work on this host: 0, or a negative errno and the reason in `err`. Cheap,
	 * no side effects. */
	int (*probe)(struct err *err);

	/*
	 * The most that this engine can offer a guest here, in CPUID form, before any model narrows
	 * it. -EIO and `err` when the engine cannot be asked.
	 */
	int (*supported_cpuid)(struct cpuid_table *ret_table, struct err *err);

	/*
	 * Whether the guest may read and write this MSR; rows of x86/msr.h are what is saved.
	 * Optional.
	 */
	bool (*msr_supported)(uint32_t index);

	int (*open)(struct engine **ret_engine, const struct engine_config *config,
		    struct err *err);
	void (*free)(struct engine *engine);

	/* Makes config->memory the guest's RAM at the regions' addresses. */
	int (*map_memory)(struct engine *engine, struct err *err);

	/* The PIC pair's output: wired to LINT0 of vCPU 0 (virtual wire mode). Any thread. */
	void (*pic_line)(struct engine *engine, bool level);

	/* Delivers a message to the local APICs. Any thread. */
	void (*msi)(struct engine *engine, struct msi_message message);

	/* An NMI to one vCPU. Any thread. */
	void (*nmi)(struct engine *engine, unsigned vcpu);

	/*
	 * Optional: events without a trip through this process. ioeventfd: a write of `size` bytes
	 * at `address` (any value) signals `fd` instead of reaching the bus; `on` false takes it
	 * away. irqfd: a signal on `fd` sends `message`; calling again for the same fd changes the
	 * message, NULL takes it away. -ENOTSUP or a missing slot: the caller goes through bus and
	 * msi.
	 */
	int (*ioeventfd)(struct engine *engine, enum engine_bus bus, uint64_t address,
			 unsigned size, int fd, bool on);
	int (*irqfd)(struct engine *engine, int fd, const struct msi_message *message);

	/*
	 * Optional: the log of pages that vCPUs wrote, for engines that do not log by
	 * memory_dirty() themselves. start/stop; collect ORs what was written since the last
	 * collect into the memory's own log.
	 */
	int (*dirty_log)(struct engine *engine, bool on, struct err *err);
	int (*dirty_collect)(struct engine *engine, struct err *err);

	/*
	 * kvmclock and friends: the guest was stopped for a while, tell it on the next read.
	 * Optional; all vCPUs stopped.
	 */
	void (*clock_paused)(struct engine *engine);

	/* Counters: exits by reason, instructions, caches (new reference). Any thread. */
	json_t *(*stats)(struct engine *engine);

	/* `index` is also the initial APIC id. State after creation: vcpu_state_reset(). */
	int (*vcpu_new)(struct vcpu **ret_vcpu, struct engine *engine, unsigned index,
			struct err *err);
	void (*vcpu_free)(struct vcpu *vcpu);

	/*
	 * Runs until something below happens. HLT and waiting for SIPI wait inside. Always the same
	 * thread per vCPU.
	 */
	enum vcpu_exit (*vcpu_run)(struct vcpu *vcpu);

	/* Makes a vcpu_run() in progress, or else the next one, return VCPU_EXIT_KICKED soon. Any
	 * thread. */
	void (*vcpu_kick)(struct vcpu *vcpu);

	/*
	 * Whole state, while vcpu_run() is not in progress. set checks everything that hostile
	 * state could break and refuses it with -EINVAL. On the vCPU's own thread or while that
	 * thread is parked.
	 */
	int (*vcpu_get)(struct vcpu *vcpu, struct vcpu_state *ret_state, struct err *err);
	int (*vcpu_set)(struct vcpu *vcpu, const struct vcpu_state *state, struct err *err);

	/*
	 * Optional, together with the next: what makes vcpu_run() return VCPU_EXIT_DEBUG from now
	 * on, in place of what was asked before; NULL: nothing more. `debug` is copied. A point is
	 * met again when the vCPU resumes at its instruction. A step ends after one instruction
	 * (one element of a repeated string instruction), or at the first instruction of a handler
	 * that its fault led to; interrupts wait while it runs, but a halted vCPU's step ends when
	 * one wakes it. -ENOSPC: more points than the engine can watch; -ENOTSUP: a kind that it
	 * cannot; nothing is changed then. While the vCPU's thread is parked.
	 */
	int (*vcpu_debug)(struct vcpu *vcpu, const struct vcpu_debug *debug);

	/* Why the last vcpu_run() returned VCPU_EXIT_DEBUG, until it is called again; else
	 * DEBUG_NO_STOP. While the vCPU's thread is parked. */
	struct debug_stop (*vcpu_debug_stop)(struct vcpu *vcpu);
};

/* Every engine object starts with this, so that callers can reach its ops. */
struct engine {
	const struct engine_ops *ops;
};

struct vcpu {
	const struct engine_ops *ops;
	unsigned index;
};
