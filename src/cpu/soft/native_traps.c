/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of the host inside thunks: the guest's own instruction raised them.
 *
 * The expected one is SIGFPE: a SIMD exception that the guest has unmasked. SIGILL means that this
 * processor does not know an instruction that the decoder knows; SIGSEGV and SIGBUS are the general
 * protection fault of a misaligned operand. The handler needs no state of its own: a mark in
 * front of the instruction tells a thunk from all other code and says where it goes on.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include "base/macros.h"
#include "cpu/soft/native_thunk_priv.h"

static const int trap_signals[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS };

/* What handled them before: the process's own last words. Written once, before vCPUs run. */
static struct sigaction traps_before[ARRAY_SIZE(trap_signals)]; /* see tools/globals.txt */

/* Not ours: whoever was there before gets it when it is raised again. */
static void hand_back(int number, bool raised_by_instruction)
{
	for (unsigned i = 0; i < ARRAY_SIZE(trap_signals); i++) {
		if (trap_signals[i] == number)
			sigaction(number, &traps_before[i], NULL);
	}
	if (!raised_by_instruction)
		raise(number);
}

static void trap_handler(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	struct {
		uint32_t nop, displacement;
	} mark;

	/* Only what an instruction itself raised; not what another process sent. */
	if (info->si_code > 0) {
		memcpy(&mark, (const void *)(uintptr_t)(regs[REG_RIP] - (greg_t)sizeof(mark)),
		       sizeof(mark));
		if (mark.nop == JIT_MARK) {
			regs[REG_RIP] += (int32_t)mark.displacement;
			return;
		}
		if ((mark.displacement & 0xffff) == THUNK_MARK) {
			regs[REG_RIP] += mark.displacement >> 16;
			regs[REG_RAX] = regs[REG_TRAPNO];
			return;
		}
	}
	hand_back(number, info->si_code > 0);
}

int native_traps_install(void)
{
	struct sigaction action = { .sa_sigaction = trap_handler,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction before;

	sigemptyset(&action.sa_mask);
	for (unsigned i = 0; i < ARRAY_SIZE(trap_signals); i++) {
		if (sigaction(trap_signals[i], &action, &before) < 0)
			return -errno;
		if (before.sa_sigaction != trap_handler)
			traps_before[i] = before;
	}
	return 0;
}
