/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The formats and their settings, for help. */
#pragma once

#include <stdio.h>

/* Help behind the arguments of commands that make images. */
void img_print_formats(FILE *out);
