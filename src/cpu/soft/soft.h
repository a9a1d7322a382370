/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The software CPU engine: runs vCPUs without help of the host's virtualisation. */
#pragma once

#include "vm/engine.h"

extern const struct engine_ops soft_engine_ops;
