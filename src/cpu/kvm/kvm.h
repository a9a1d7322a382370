/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU engine on the Linux kernel's KVM: the processor's own virtualisation runs the guest.
 *
 * Options (engine_config.options): "dirty=bitmap" (default) or "dirty=ring" chooses how the kernel
 * tells which pages were written.
 */
#pragma once

#include "vm/engine.h"

extern const struct engine_ops kvm_engine_ops;
