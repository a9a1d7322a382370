/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exception vectors and error codes. Spec: Intel SDM volume 3, sections 6.3, 6.13 and 4.7. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"

enum exception_vector {
	EXCEPTION_DE = 0,
	EXCEPTION_DB = 1,
	EXCEPTION_NMI = 2,
	EXCEPTION_BP = 3,
	EXCEPTION_OF = 4,
	EXCEPTION_BR = 5,
	EXCEPTION_UD = 6,
	EXCEPTION_NM = 7,
	EXCEPTION_DF = 8,
	EXCEPTION_TS = 10,
	EXCEPTION_NP = 11,
	EXCEPTION_SS = 12,
	EXCEPTION_GP = 13,
	EXCEPTION_PF = 14,
	EXCEPTION_MF = 16,
	EXCEPTION_AC = 17,
	EXCEPTION_MC = 18,
	EXCEPTION_XM = 19,
	EXCEPTION_CP = 21,
};

/* Whether the vector, as a hardware exception outside real mode, pushes an error code. */
static inline bool exception_has_error_code(unsigned vector)
{
	const uint32_t with_code = 1u << EXCEPTION_DF | 1u << EXCEPTION_TS | 1u << EXCEPTION_NP |
				   1u << EXCEPTION_SS | 1u << EXCEPTION_GP | 1u << EXCEPTION_PF |
				   1u << EXCEPTION_AC | 1u << EXCEPTION_CP;

	return vector < 32 && (with_code >> vector & 1);
}

/* Two of these in a row make a double fault. Spec: SDM volume 3, table 6-5. */
static inline bool exception_is_contributory(unsigned vector)
{
	return vector == EXCEPTION_DE || (vector >= EXCEPTION_TS && vector <= EXCEPTION_GP) ||
	       vector == EXCEPTION_CP;
}

/* Page-fault error code. */
#define PF_PRESENT  BIT(0)
#define PF_WRITE    BIT(1)
#define PF_USER     BIT(2)
#define PF_RESERVED BIT(3)
#define PF_FETCH    BIT(4)
#define PF_KEY      BIT(5)

/* Selector error code. */
#define ERROR_EXTERNAL BIT(0)
#define ERROR_IDT      BIT(1)
#define ERROR_LDT      BIT(2)
