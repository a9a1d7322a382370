/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine, interpreter or translator, in the sandbox's place: the same code, data and registers, user mode. */
#pragma once

#include "sandbox.h"

struct subject;

/* Negative errno, after a message on stderr. */
int subject_new(struct subject **ret_subject, bool translated);
void subject_free(struct subject *subject);

/* As native_sandbox_run(). */
void subject_run(struct subject *subject, const uint8_t *code, unsigned length,
		 struct sandbox_state *state);
