/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine that only remembers what the control socket asked of it; included by the one program
 * that stands in for the rest of the VM process.
 */
#pragma once

#include <errno.h>
#include <string.h>

#include "machine/machine.h"
#include "vmm/vmm.h"

struct machine {
	enum machine_state state;
	unsigned resets, nmis;
};

enum machine_state machine_state(const struct machine *machine)
{
	return machine->state;
}

const char *machine_state_name(enum machine_state state)
{
	return state == MACHINE_PAUSED ? "paused" : "running";
}

int machine_pause(struct machine *machine, struct err *err)
{
	(void)err;
	machine->state = MACHINE_PAUSED;
	return 0;
}

int machine_resume(struct machine *machine, struct err *err)
{
	if (machine->state != MACHINE_PAUSED) {
		err_set(err, EINVAL, "cannot resume a machine that runs");
		return err_hint(err, "pause it first");
	}
	machine->state = MACHINE_RUNNING;
	return 0;
}

int machine_reset(struct machine *machine, struct err *err)
{
	(void)err;
	machine->resets++;
	return 0;
}

int machine_nmi(struct machine *machine, struct err *err)
{
	(void)err;
	machine->nmis++;
	return 0;
}

json_t *machine_devices(struct machine *machine)
{
	(void)machine;
	return json_pack("[{s:s, s:s}]", "id", "rtc", "type", "rtc");
}

int machine_dump(struct machine *machine, const char *id, json_t **ret_json, struct err *err)
{
	(void)machine;
	if (strcmp(id, "rtc"))
		return err_set(err, ENOENT, "there is no device '%s'", id);
	*ret_json = json_pack("{s:i}", "index", 3);
	return 0;
}

int machine_resize_disk(struct machine *machine, const char *id, uint64_t bytes, struct err *err)
{
	(void)machine;
	(void)bytes;
	return err_set(err, ENOENT, "there is no disk '%s'", id);
}

int machine_attach_disk(struct machine *machine, const struct machine_disk *disk, struct err *err)
{
	(void)machine;
	return err_set(err, ENOSPC, "no port for disk '%s'", disk->id);
}

int machine_attach_nic(struct machine *machine, const struct machine_nic *nic, struct err *err)
{
	(void)machine;
	return err_set(err, ENOSPC, "no port for network '%s'", nic->id);
}

int machine_detach_card(struct machine *machine, const char *id, bool force, struct err *err)
{
	(void)machine;
	(void)force;
	return err_set(err, ENOENT, "there is no card '%s'", id);
}

void machine_keep_card(struct machine *machine, const char *id)
{
	(void)machine;
	(void)id;
}

int machine_change_disk(struct machine *machine, const char *id, bool force,
			int (*change)(void *ctx, struct err *err), void *ctx, struct err *err)
{
	(void)machine;
	(void)id;
	(void)force;
	return change(ctx, err);
}

json_t *machine_describe_card(struct machine *machine, const char *id)
{
	(void)machine;
	(void)id;
	return json_object();
}

json_t *machine_stats(struct machine *machine)
{
	(void)machine;
	return json_object();
}

void vmm_end(struct vmm *vmm, int status, const char *reason)
{
	(void)reason;
	vmm->status = status;
}

void vmm_press_power_button(struct vmm *vmm)
{
	vmm->ending_signal = -1;
}
