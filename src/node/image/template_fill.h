/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parameters in a template: in strings of the machine's spec "${memory}" stands for the parameter's
 * value, with its type where it is all of the string ("${memory}": 1073741824), as text where it is a
 * part of it ("host-${index}"); "$${" is a plain "${". "${name}" is the new machine's name.
 */
#pragma once

#include <jansson.h>

#include "api/problem.h"

/* Rows of spec.parameters: names once, defaults of their types, and no other names in `vm`. */
int template_check(const json_t *parameters, const json_t *vm, struct problem *problem);

/*
 * The spec of a machine called `name`, new reference. `given`: an object of strings by parameter.
 * API_CODE_INVALID names the parameter that is missing, unknown, or of another type.
 */
int template_fill(const json_t *parameters, const json_t *given, const char *name, const json_t *vm,
		  json_t **ret_spec, struct problem *problem);
