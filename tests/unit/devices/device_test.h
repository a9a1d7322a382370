/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every test of a device includes. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "board.h"
#include "host/clock.h"
