/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which server the command line talks to. In this order: --context, CELLA_SOCKET, CELLA_CONTEXT, the
 * current context, the default socket.
 *
 * Contexts are in $XDG_CONFIG_HOME/cella/contexts.json, which only its owner may read:
 *
 *	{ "current": "lab", "contexts": { "lab": { "address": "https://lab:8443", "project": "web",
 *	  "token": "cella_…", "certificates": "PEM of who is trusted" } } }
 */
#pragma once

#include <jansson.h>

#include "base/err.h"

struct settings {
	char *path;
	json_t *root; /* always an object with "contexts" */
};

/* A file that is not there is empty. `settings_fini()` also after a failure. */
int settings_load(struct settings *settings, struct err *err);
/* Replaces the file in one step. */
int settings_save(const struct settings *settings, struct err *err);
void settings_fini(struct settings *settings);

/* The context of that name, borrowed; -ENOENT names those that are there. */
int settings_context(const struct settings *settings, const char *name, json_t **ret_context,
		     struct err *err);

struct server {
	char *address;      /* "https://HOST:PORT", or a socket's path */
	char *token;        /* NULL: none */
	char *project;      /* that is meant when none is said */
	char *certificates; /* PEM; NULL: those that the system trusts */
};

/* `context`: what --context said, or NULL. */
int server_find(const char *context, struct server *ret_server, struct err *err);
void server_fini(struct server *server);
