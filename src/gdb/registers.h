/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers as GDB numbers them, in `struct vcpu_state`; and the target description that says
 * so. GDB's standard features (core, sse, avx, segments) keep its own order; the system registers
 * follow.
 *
 * Spec: Debugging with GDB, appendix G.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "vm/vcpu_state.h"

#define GDB_REGISTER_BYTES_MAX 16

/* How many there are: fewer where the vCPU has no AVX. */
unsigned gdb_register_count(const struct vcpu_state *state);

/* Bytes of register `n`, which there is. */
unsigned gdb_register_size(const struct vcpu_state *state, unsigned n);

/* Little-endian, gdb_register_size() bytes. */
void gdb_register_get(const struct vcpu_state *state, unsigned n, void *buffer);
void gdb_register_set(struct vcpu_state *state, unsigned n, const void *buffer);

/* Appends the target description as XML. */
void gdb_registers_describe(const struct vcpu_state *state, struct str *out);
