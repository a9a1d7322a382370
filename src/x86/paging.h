/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page-table entry bits. Spec: Intel SDM volume 3, chapter 4; AMD APM volume 2, chapter 5. */
#pragma once

#include "base/bits.h"

#define PTE_P      BIT(0)
#define PTE_W      BIT(1)
#define PTE_U      BIT(2)
#define PTE_PWT    BIT(3)
#define PTE_PCD    BIT(4)
#define PTE_A      BIT(5)
#define PTE_D      BIT(6)
#define PTE_PS     BIT(7) /* in a directory: maps a large page */
#define PTE_G      BIT(8)
#define PTE_NX     BIT(63)
#define PTE_ADDR   UINT64_C(0x000ffffffffff000)
#define PTE_SHIFT  12
#define PTE_LEVELS 9 /* bits of the address that a level decodes (10 in 32-bit paging) */
