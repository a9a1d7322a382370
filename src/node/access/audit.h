/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The audit log: who did what, from where, and what it changed, under /audit/ in the store. A line is
 * in the same commit as its change, so that neither is there without the other. The newest line has the
 * first key. Secrets are not in it.
 */
#pragma once

#include "node/object/object.h"

struct audit_line {
	const char *action; /* "create", "change", "delete", an action's name, "sign-in" */
	const char *kind, *project, *name, *uid; /* NULL: of no object */
	uint64_t before;                         /* revision, 0: there was none */
	json_t *difference;                      /* borrowed, merge patch; NULL: none */
	const char *operation;                   /* NULL: none */
};

int audit_open(struct node *node, struct err *err);
void audit_close(struct node *node);

/* A line in the commit of a change. */
int audit_add(struct change *change, const struct audit_line *line, struct problem *problem);

/* A line of its own, for what is no change of an object. `who` NULL: the server. Waits for the disk;
 * what fails is logged. */
void audit_note(struct node *node, const struct identity *who, const struct audit_line *line);

/* Forgets what is older than 90 days, and the oldest above 200,000. A worker. */
void audit_prune(struct node *node);

/* What turns `before` into `after`, by RFC 7396, new reference; NULL: no memory. */
json_t *audit_difference(const json_t *before, const json_t *after);
