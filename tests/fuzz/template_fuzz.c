/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Templates: {"parameters": […], "given": {…}, "vm": …}, as the kind's rows leave them. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "node/object/kind_ops.h"
#include "node/image/template_fill.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *input = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	json_t *spec = json_pack("{s:O*, s:O*}", "parameters", json_object_get(input, "parameters"),
				 "vm", json_object_get(input, "vm"));
	struct problem problem = PROBLEM_INIT;
	struct err err = ERR_INIT;
	json_t *filled;

	if (!schema_check(api_template.spec, spec, "spec", &err)) {
		const json_t *parameters = json_object_get(spec, "parameters");
		const json_t *vm = json_object_get(spec, "vm");

		if (template_check(parameters, vm, &problem))
			check(problem.code && *problem.err.text);
		problem = PROBLEM_INIT;
		if (template_fill(parameters, json_object_get(input, "given"), "web", vm, &filled,
				  &problem))
			check(problem.code && *problem.err.text);
		else
			json_decref(filled);
	}
	json_decref(spec);
	json_decref(input);
	return 0;
}
