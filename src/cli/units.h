/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes in documents for people: "1G" for 1073741824, which the server takes as well. */
#pragma once

#include "api/kind.h"

/* A copy of an object of the kind with its sizes as text, where a unit says them exactly. New reference. */
json_t *units_copy(const struct api_kind *kind, const json_t *object);
