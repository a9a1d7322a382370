/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole state of a software vCPU, in and out. */
#pragma once

#include "cpu/soft/cpu_priv.h"

void state_get(struct soft_cpu *cpu, struct vcpu_state *ret_state);

/* Refuses with -EINVAL, nothing changed, what no processor could be in. */
int state_set(struct soft_cpu *cpu, const struct vcpu_state *state, struct err *err);
