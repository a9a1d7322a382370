/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which CPU engine a machine gets. */
#pragma once

#include "base/err.h"
#include "host/sandbox.h"
#include "vm/engine.h"

struct engine_choice {
	const struct engine_ops *ops;
	enum sandbox_thread vcpu_thread; /* what its vCPU threads may do */
	char reason[ERR_TEXT_MAX];       /* why this one, for the log */
};

/*
 * The engine called `name`; "auto" is the first that can work here, in order of speed. -ENODEV with
 * the engine's own words when it cannot.
 */
int engine_choose(const char *name, struct engine_choice *ret_choice, struct err *err);
