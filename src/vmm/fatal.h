/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last words of a process that a signal ends. */
#pragma once

/*
 * From now on SIGSEGV and its like, and the sandbox's SIGSYS, first give the terminal back and say
 * what happened; then the signal ends the process as it would have.
 */
void fatal_install(void);
