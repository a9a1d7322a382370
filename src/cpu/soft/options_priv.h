/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The software engine's options. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SOFT_CACHE_DEFAULT (UINT64_C(64) << 20)
#define SOFT_HEAT_DEFAULT  16
#define SOFT_TRACE_DEFAULT 2
#define SOFT_CACHE_MAX     (UINT64_C(1) << 30)

struct soft_options {
	bool jit;       /* translate; else everything is interpreted */
	bool verify;    /* and compare each translated block's run with the interpreter's */
	bool perf;      /* write the names of translated code for perf(1) */
	uint64_t cache; /* bytes of translated code in a VM */
	uint16_t heat;  /* entries before a block is translated */
	uint16_t
		trace; /* samples that find it before it gets a trace; 0: as soon as it is translated */
};

/* Parses "key=value,…"; NULL or "": the defaults. -EINVAL names the first word that is wrong. */
int soft_options_parse(struct soft_options *options, const char *text, struct err *err);
