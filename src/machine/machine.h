/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual machine: memory, buses, clock, devices and processors as one object with a life.
 *
 *	created --start--> running <--pause/resume--> paused
 *	   any of them --power-off, crash, debug exit--> ended
 *
 * The devices stand in one array in the order in which the board's table built them; reset, save,
 * load, dump and free walk it. All functions: the loop's thread, or the only thread while nobody
 * runs the loop.
 */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "host/loop.h"
#include "machine/config.h"
#include "state/fields.h"

struct machine;
struct processors;

enum machine_state { MACHINE_CREATED, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_ENDED };

/*
 * Builds the machine and loads the kernel; nothing runs yet. `config` and `loop` are borrowed until
 * machine_free(). Everything a person can have got wrong (memory that the host lacks, a broken
 * kernel, a CPU feature that the engine does not have) is refused here, and `err` names it.
 */
int machine_new(struct machine **ret_machine, const struct machine_config *config,
		struct loop *loop, struct err *err);

/* Ends the vCPUs' threads, for good; returns when they have ended, however long that takes. */
void machine_stop(struct machine *machine);

/* Whether vCPU `index` of the configuration's has not yet answered a pause or stop in progress; it
 * may itself wait for another that has not. Any thread, while the machine exists. */
bool machine_awaited_vcpu(struct machine *machine, unsigned index);

/* Stops and frees. Accepts NULL. Not from a callback of the machine's own listener. */
void machine_free(struct machine *machine);

/* The name of a state for people and protocols: "created", "running", "paused", "ended". */
const char *machine_state_name(enum machine_state state);
const char *machine_end_name(enum machine_end end);

enum machine_state machine_state(const struct machine *machine);

/* Power on: from created to running. -EINVAL in any other state. */
int machine_start(struct machine *machine, struct err *err);

/*
 * Returns when no vCPU runs, devices have parked their work and machine time stands still. Does
 * nothing when paused. -EINVAL in the other states.
 */
int machine_pause(struct machine *machine, struct err *err);
int machine_resume(struct machine *machine, struct err *err);

/*
 * As the reset button: devices and processors to their power-on state, the kernel loaded anew; a
 * running machine goes on running, a paused one stays paused. -EINVAL when ended; an error while
 * loading ends the machine.
 */
int machine_reset(struct machine *machine, struct err *err);

/* Asks the guest's operating system to power off. Does nothing unless running or paused. */
void machine_power_button(struct machine *machine);

/* An NMI to all processors, for guests that are stuck. -EINVAL unless running. */
int machine_nmi(struct machine *machine, struct err *err);

/* Ids and types of all devices: [{"id": "rtc", "type": "rtc"}, …]. New reference; NULL when out of
 * memory. */
json_t *machine_devices(struct machine *machine);

/*
 * The state of one device by its id, "memory-map" (the buses' regions), or of a vCPU as "cpu0" …
 * (those only while no vCPU runs: -EBUSY). New reference in `ret_json`. -ENOENT if there is no such
 * id.
 */
int machine_dump(struct machine *machine, const char *id, json_t **ret_json, struct err *err);

/* Makes a disk larger and tells the guest. -ENOENT: there is no such disk; and what the disk says. */
int machine_resize_disk(struct machine *machine, const char *id, uint64_t bytes, struct err *err);

/*
 * Puts a disk or a network card into a free hotplug port; what `disk` or `nic` points to is borrowed until
 * the listener's `card_detached`, or machine_free(). -EEXIST: a device has its id; -ENOSPC: no port is free.
 */
int machine_attach_disk(struct machine *machine, const struct machine_disk *disk, struct err *err);
int machine_attach_nic(struct machine *machine, const struct machine_nic *nic, struct err *err);

/*
 * Asks the guest to let go of a disk or network card in a port, or pulls it out at once (`force`). The
 * listener's `card_detached` follows when the device is gone. -ENOENT; -ENOTSUP: it is in no port;
 * -EALREADY: the guest was asked.
 */
int machine_detach_card(struct machine *machine, const char *id, bool force, struct err *err);

/* The guest shall keep a card that it was asked for. */
void machine_keep_card(struct machine *machine, const char *id);

/*
 * Calls `change`, which puts another medium behind a disk's node while nothing of the guest's is in
 * flight, and tells the guest the size. -EBUSY unless `force`: the guest has a driver that may write
 * what is meant for the medium before. -ENOENT, and what `change` returns.
 */
int machine_change_disk(struct machine *machine, const char *id, bool force,
			int (*change)(void *ctx, struct err *err), void *ctx, struct err *err);

/* Where a disk or network card is: {"port": …, "detaching": …, "driver": …}, without "port" if it is in
 * none. New reference; NULL if there is no such card, or no memory. */
json_t *machine_describe_card(struct machine *machine, const char *id);

/* Counters: {"engine": …, "devices": {id: …}, "time_ns": …}. New reference; NULL when out of
 * memory. */
json_t *machine_stats(struct machine *machine);

/*
 * Appends clock, devices and vCPUs to the stream, or takes them from one: a machine of the same
 * configuration becomes the saved one, but for memory and disks. Neither while vCPUs run: -EBUSY. A
 * stream that is refused leaves the machine ended, since parts of it may be loaded.
 */
int machine_save(struct machine *machine, struct state_stream *stream, struct err *err);
int machine_load(struct machine *machine, struct state_stream *stream, struct err *err);

/* The guest's RAM and its vCPUs, borrowed; the latter are for a debugger, while none runs. */
struct memory *machine_memory(struct machine *machine);
struct processors *machine_processors(struct machine *machine);
