/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine is made of: the description that machine_new() builds from.
 *
 * Back-ends come in opened, so that whoever opened them (the VMM's main) decides about paths,
 * rights and sandbox. All that is pointed to is borrowed until machine_free(); back-ends are closed
 * by their owner after it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/block.h"
#include "chardev/chardev.h"
#include "net/net.h"
#include "vm/engine.h"
#include "vm/memory.h"

#define MACHINE_SERIALS   4
#define MACHINE_VCPUS_MAX 1024
#define MACHINE_PORTS_MAX 24 /* so that bus 0 has room for what does not move */

/* A virtio block device. */
struct machine_disk {
	const char *id; /* unique in the machine, "disk0" */
	struct block_node
		*node;      /* its queues are served on its loop, the machine's or another one */
	const char *serial; /* at most 20 bytes are shown to the guest; NULL: none */
	unsigned queues;    /* 0: one a vCPU, as far as the device can */
	bool write_through; /* the guest is told that there is no volatile cache */
	bool removable;     /* it is in a hotplug port */
};

/* A virtio network device. */
struct machine_nic {
	const char *id; /* "net0" */
	struct net_backend *net;
	uint8_t mac[6];
	bool removable; /* it is in a hotplug port */
};

/* A virtio console with one port. */
struct machine_console {
	const char *id; /* "console0" */
	struct chardev *chardev;
};

/* Devices that only exist when asked for. */
enum machine_extra {
	MACHINE_ISA_DEBUG_EXIT = 1u << 0,
	MACHINE_PC_TESTDEV = 1u << 1,
};

enum machine_event_kind {
	MACHINE_EVENT_PAUSED,
	MACHINE_EVENT_RESUMED,
	MACHINE_EVENT_RESET,    /* it was reset and goes on */
	MACHINE_EVENT_PANICKED, /* the guest said so; MACHINE_EVENT_ENDED follows unless it boots a
				   crash kernel */
	MACHINE_EVENT_ENDED,    /* the last event: no vCPU runs any more, state may be read until
				   machine_free() */
};

enum machine_end {
	MACHINE_END_NONE, /* still alive */
	MACHINE_END_POWER_OFF,
	MACHINE_END_RESET, /* a reset with `no_reboot` */
	MACHINE_END_PANIC,
	MACHINE_END_DEBUG_EXIT,   /* `code`: the exit status, (value << 1) | 1 */
	MACHINE_END_TRIPLE_FAULT, /* registers are in the log */
	MACHINE_END_ENGINE_ERROR, /* reason and registers are in the log */
};

struct machine_event {
	enum machine_event_kind kind;
	enum machine_end end; /* with MACHINE_EVENT_ENDED */
	uint32_t code;        /* with MACHINE_END_DEBUG_EXIT */
};

struct machine_listener {
	/* Called on the loop's thread; may call every machine function but machine_free(). */
	void (*event)(void *ctx, const struct machine_event *event);
	/* Optional. On the loop's thread: the device of a disk or network card is gone, and its back-end
	 * may be closed. */
	void (*card_detached)(void *ctx, const char *id);
	/* Optional. On a vCPU's thread, once, before it first runs: the place to give up rights. */
	void (*vcpu_starting)(void *ctx, unsigned vcpu);
	void *ctx;
};

struct machine_config {
	const char *name;    /* shown by SMBIOS and messages */
	const uint8_t *uuid; /* 16 bytes in RFC 4122 order; NULL: all zero */
	const char *board;   /* a name of board_find(); NULL: "pc" */

	const struct engine_ops *engine;
	const char *engine_options; /* "key=value,…"; NULL: none */
	unsigned vcpus;             /* 1 to MACHINE_VCPUS_MAX */
	const char *cpu_model;      /* a name of x86/model.h; NULL: "host" */
	struct memory_config memory;

	/* Files are opened by machine_new() and read again at each reset. NULL: no kernel, and the
	 * vCPUs start at reset. */
	const char *kernel, *initrd;
	const char *append; /* kernel command line; NULL: empty */

	const struct machine_disk *disks;
	size_t disk_count;
	const struct machine_nic *nics;
	size_t nic_count;
	const struct machine_console *consoles;
	size_t console_count;
	struct chardev *serials[MACHINE_SERIALS]; /* COM1 … COM4; NULL: nobody listens */
	struct chardev *debug_port; /* takes the bytes written to port 0xe9; NULL: nobody */

	unsigned
		hotplug_ports; /* up to MACHINE_PORTS_MAX, removable disks and NICs take one each */
	unsigned extras;       /* enum machine_extra */
	bool no_reboot;        /* a reset ends the machine */

	struct machine_listener listener;
};
