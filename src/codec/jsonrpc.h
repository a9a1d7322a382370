/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON-RPC 2.0 messages: requests of a peer that nobody trusts, and the replies to them.
 *
 * Spec: https://www.jsonrpc.org/specification (2013-01-04).
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#define JSONRPC_DEPTH_MAX 32

enum jsonrpc_code {
	JSONRPC_PARSE_ERROR = -32700,
	JSONRPC_INVALID_REQUEST = -32600,
	JSONRPC_METHOD_NOT_FOUND = -32601,
	JSONRPC_INVALID_PARAMS = -32602,
	JSONRPC_INTERNAL_ERROR = -32603,
	JSONRPC_FAILED = -32000, /* the request was right, the operation did not succeed */
};

/* One request; all borrowed from the message. */
struct jsonrpc_call {
	const char *method;
	json_t *params; /* object or array; NULL: none */
	json_t *id;     /* NULL: a notification, which gets no reply */
};

/*
 * A message of `length` bytes: an object, or a batch as an array of at least one. New reference;
 * NULL with the reply that tells the error (new reference, NULL when out of memory).
 */
json_t *jsonrpc_load(const char *text, size_t length, json_t **ret_reply);

/* Takes one request apart. 0, or -EINVAL with the reply that tells the error. */
int jsonrpc_parse(json_t *request, struct jsonrpc_call *ret_call, json_t **ret_reply);

/* Replies and notifications: new references, NULL when out of memory. `result` and `params` are
 * taken. */
json_t *jsonrpc_result(json_t *id, json_t *result);
json_t *jsonrpc_error(json_t *id, enum jsonrpc_code code, const char *message);
json_t *jsonrpc_notification(const char *method, json_t *params);
