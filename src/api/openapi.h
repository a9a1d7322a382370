/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The OpenAPI document of the API, from the tables of kinds. */
#pragma once

#include <jansson.h>

#include "api/kind.h"

/* Spec: OpenAPI 3.1.0. A new reference; NULL: out of memory. */
json_t *openapi_document(void);

/* The JSON schema of rows (2020-12, as OpenAPI 3.1 takes it); `shown`: without what is secret. New
 * reference. */
json_t *openapi_schema(const struct schema_field *fields, bool shown);
