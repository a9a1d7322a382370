/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors of segments and gates, and the attribute word of a loaded segment register.
 *
 * The attribute word is bits 8 to 23 of a descriptor's high word with the limit's bits cleared, as
 * in `struct vcpu_segment`. Spec: Intel SDM volume 3, sections 3.4.5, 3.5, 5.2, 6.14.1.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"

#define SEGMENT_TYPE      UINT16_C(0x000f)
#define SEGMENT_ACCESSED  UINT16_C(0x0001)
#define SEGMENT_WRITABLE  UINT16_C(0x0002) /* data */
#define SEGMENT_READABLE  UINT16_C(0x0002) /* code */
#define SEGMENT_DOWN      UINT16_C(0x0004) /* data: expands down */
#define SEGMENT_CONFORMS  UINT16_C(0x0004) /* code */
#define SEGMENT_CODE      UINT16_C(0x0008)
#define SEGMENT_S         UINT16_C(0x0010) /* code or data, not system */
#define SEGMENT_DPL       UINT16_C(0x0060)
#define SEGMENT_DPL_SHIFT 5
#define SEGMENT_P         UINT16_C(0x0080)
#define SEGMENT_AVL       UINT16_C(0x1000)
#define SEGMENT_L         UINT16_C(0x2000)
#define SEGMENT_DB        UINT16_C(0x4000)
#define SEGMENT_G         UINT16_C(0x8000)
#define SEGMENT_VALID     UINT16_C(0xf0ff)

/* Attribute words of the flat segments that boot protocols and resets ask for. */
#define SEGMENT_CODE64    (SEGMENT_P | SEGMENT_S | 0xb | SEGMENT_L | SEGMENT_G)
#define SEGMENT_CODE32    (SEGMENT_P | SEGMENT_S | 0xb | SEGMENT_DB | SEGMENT_G)
#define SEGMENT_DATA32    (SEGMENT_P | SEGMENT_S | 0x3 | SEGMENT_DB | SEGMENT_G)
#define SEGMENT_REAL_CODE (SEGMENT_P | SEGMENT_S | 0xb)
#define SEGMENT_REAL_DATA (SEGMENT_P | SEGMENT_S | 0x3)

/* Types of system segments and gates (S clear). */
enum system_type {
	SYSTEM_TSS16_AVAILABLE = 0x1,
	SYSTEM_LDT = 0x2,
	SYSTEM_TSS16_BUSY = 0x3,
	SYSTEM_CALL_GATE16 = 0x4,
	SYSTEM_TASK_GATE = 0x5,
	SYSTEM_INTERRUPT_GATE16 = 0x6,
	SYSTEM_TRAP_GATE16 = 0x7,
	SYSTEM_TSS_AVAILABLE = 0x9, /* 32 or 64 bits */
	SYSTEM_TSS_BUSY = 0xb,
	SYSTEM_CALL_GATE = 0xc,
	SYSTEM_INTERRUPT_GATE = 0xe,
	SYSTEM_TRAP_GATE = 0xf,
};

#define SELECTOR_RPL UINT16_C(0x3)
#define SELECTOR_TI  UINT16_C(0x4)

/* The parts of an 8-byte segment descriptor. */
static inline uint32_t descriptor_base(uint64_t d)
{
	return (uint32_t)(bits_get(d, 16, 24) | bits_get(d, 56, 8) << 24);
}

/* In bytes, scaled by the granularity. */
static inline uint32_t descriptor_limit(uint64_t d)
{
	uint32_t limit = (uint32_t)(bits_get(d, 0, 16) | bits_get(d, 48, 4) << 16);

	return bits_get(d, 55, 1) ? limit << 12 | 0xfff : limit;
}

static inline uint16_t descriptor_attributes(uint64_t d)
{
	return (uint16_t)bits_get(d, 40, 16) & SEGMENT_VALID;
}

/* The descriptor for a base, a limit in bytes and an attribute word. */
static inline uint64_t descriptor_make(uint32_t base, uint32_t limit, uint16_t attributes)
{
	uint64_t scaled = attributes & SEGMENT_G ? limit >> 12 : limit;

	return bits_get(scaled, 0, 16) | bits_get(base, 0, 24) << 16 |
	       (uint64_t)(attributes & SEGMENT_VALID) << 40 | bits_get(scaled, 16, 4) << 48 |
	       bits_get(base, 24, 8) << 56;
}

static inline unsigned segment_dpl(uint16_t attributes)
{
	return (attributes & SEGMENT_DPL) >> SEGMENT_DPL_SHIFT;
}
