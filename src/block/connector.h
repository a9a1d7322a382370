/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks over the network, for a process that may open no sockets: a helper process connects, and
 * serves what it finds over NBD on socket pairs.
 *
 *	rc = block_connector_new(&connector, "/usr/libexec/cella/cella-img", err);
 *	options.connector = connector;		// block_open() of any URI asks it
 *	rc = block_connector_allow(connector, "nbd://store/", err);
 *	rc = block_connector_seal(connector, err);	// from now on it opens what was allowed
 *	...
 *	block_connector_stop(connector);	// what waits for a server fails soon
 *	block_connector_free(connector);
 *
 * The helper is started when it is needed for the first time. It trusts nothing that comes after the
 * seal, as its starter may have been taken over by a guest. Each disk is served by a process of its
 * own, with names, TLS and a hostile server's answers in it, behind walls that leave it the host's
 * resolver and the ports of its URI (img/connector.c). Calling a server again is its work too.
 *
 * On the wire: JSON in packets, one answer for each question.
 *	{"allow": PREFIX}			{}
 *	{"seal": true}				{}
 *	{"open": URI, "read-only": BOOLEAN}	{} and sockets
 *	or else					{"code": ERRNO, "text": TEXT, "hint": TEXT}
 */
#pragma once

#include "block/block.h"

#define BLOCK_CONNECTOR_SOCKETS 4
#define BLOCK_CONNECTOR_PACKET  (64 * 1024) /* most bytes */

struct block_connector;

/* Starts nothing yet; `program` is copied. -ENOMEM. */
int block_connector_new(struct block_connector **ret_connector, const char *program,
			struct err *err);

/* As block_connector_stop(). Accepts NULL. Nodes that it has opened may live on, as long as the
 * helper lets them. */
void block_connector_free(struct block_connector *connector);

/* URIs that may be opened after the seal: this one, and those below it if it ends with '/'. */
int block_connector_allow(struct block_connector *connector, const char *prefix, struct err *err);
int block_connector_seal(struct block_connector *connector, struct err *err);

/* For block_open(): the storage behind options->path. Any thread. */
int block_connector_open(const struct block_open_options *options, struct loop *loop,
			 struct block_node **ret_node, struct err *err);

/* The helper ends; disks that it has opened work for four seconds more, or until they are closed. Accepts
 * NULL. */
void block_connector_stop(struct block_connector *connector);

/* Whether a URI is `allowed`, or below it. */
bool block_connector_matches(const char *allowed, const char *uri);
