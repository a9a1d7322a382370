/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GDB stub of a machine: what `--gdb` asks for. The loop's thread. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct vmm;

/* Listens as `vmm->config` says, if it does; before the sandbox is entered. */
int debugger_listen(struct vmm *vmm, struct err *err);

/* Serves there, now that the machine exists. */
int debugger_open(struct vmm *vmm, struct err *err);

/* Accepts a machine without a debugger, and a half-built one. */
void debugger_close(struct vmm *vmm);

/* Whether the machine shall not start before a debugger lets it. */
bool debugger_waits(const struct vmm *vmm);
