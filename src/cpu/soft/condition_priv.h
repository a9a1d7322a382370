/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sixteen conditions, from soft_cpu.status. Spec: Intel SDM volume 1, appendix B. */
#pragma once

#include "cpu/soft/flags_priv.h"

/* SF differs from OF. */
#define STATUS_LESS(s) (((s) >> 15 ^ (s)) & 1)

/* X(name, is true), in the order of the encoding. Zydis names: JNBE for A, JNL for GE, and so on. */
#define FOR_CONDITIONS(X)                                                                          \
	X(O, s &STATUS_OF)                                                                         \
	X(NO, !(s & STATUS_OF))                                                                    \
	X(B, s &STATUS_CF)                                                                         \
	X(NB, !(s & STATUS_CF))                                                                    \
	X(Z, s &STATUS_ZF)                                                                         \
	X(NZ, !(s & STATUS_ZF))                                                                    \
	X(BE, s &(STATUS_CF | STATUS_ZF))                                                          \
	X(NBE, !(s & (STATUS_CF | STATUS_ZF)))                                                     \
	X(S, s &STATUS_SF)                                                                         \
	X(NS, !(s & STATUS_SF))                                                                    \
	X(P, s &STATUS_PF)                                                                         \
	X(NP, !(s & STATUS_PF))                                                                    \
	X(L, STATUS_LESS(s))                                                                       \
	X(NL, !STATUS_LESS(s))                                                                     \
	X(LE, STATUS_LESS(s) || s & STATUS_ZF)                                                     \
	X(NLE, !(STATUS_LESS(s) || s & STATUS_ZF))

#define CONDITION_DEFINE(name, test)                                                               \
	static inline bool condition_##name(const struct soft_cpu *cpu)                            \
	{                                                                                          \
		uint16_t s = cpu->status;                                                          \
                                                                                                   \
		return test;                                                                       \
	}

FOR_CONDITIONS(CONDITION_DEFINE)
