/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the slow path of memory accesses tells `jit=verify`, see verify_priv.h. */
#pragma once

#include <stdint.h>

struct soft_cpu;

/*
 * An access of `size` bytes (enum mmu_access `kind`) is about to be tried; soft_cpu.verify is
 * there. Does not return if it must not be done twice.
 */
void verify_access(struct soft_cpu *cpu, uint64_t linear, unsigned size, unsigned kind);

/* A page table is read at `host`. Does not return if the run has changed it: that is in a copy. */
void verify_table(struct soft_cpu *cpu, const void *host);

/* Where the access really goes for a page that lies at `page` on the host. */
uint8_t *verify_page(struct soft_cpu *cpu, uint8_t *page, unsigned kind);
