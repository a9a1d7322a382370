/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers that C and assembly of the guest programs share. */
#pragma once

#define SELECTOR_CODE        0x08
#define SELECTOR_DATA        0x10
#define SELECTOR_CODE32      0x18
#define SELECTOR_CODE16      0x20
#define SELECTOR_DATA16      0x28
#define SELECTOR_USER_CODE32 0x30
#define SELECTOR_USER_DATA   0x38
#define SELECTOR_USER_CODE   0x40
#define SELECTOR_TSS         0x48
#define SELECTOR_FREE        0x58
#define GDT_BYTES            (SELECTOR_FREE + 16 * 8)

/* Low memory: code that real mode and starting processors run, one page each. */
#define REAL_BASE        0x8000
#define REAL_DOWN        REAL_BASE
#define REAL_EXIT_OFFSET 0x100
#define REAL_EXIT        (REAL_BASE + REAL_EXIT_OFFSET)
#define AP_OFFSET        0x1000
#define REAL_USER        0xa000 /* free for the tests, up to 0xf000 */
#define REAL_STACK       0x7000

#define AP_MAX 8
