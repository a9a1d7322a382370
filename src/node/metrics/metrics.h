/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host and its machines count: for Prometheus as text, and a week of it for graphs.
 *
 * A thread of its own asks every METRICS_STEP_S seconds; whoever wants to know gets what it heard last.
 * So a VM process that does not answer delays nobody.
 */
#pragma once

#include "node/object/kind_ops.h"
#include "node/route/route.h"

#define METRICS_STEP_S 10

struct metrics;

/* After the machines were found. */
int metrics_open(struct node *node, struct err *err);
void metrics_close(struct node *node);

/*
 * The text itself, caller frees; NULL: no memory. `who` NULL: all machines. Spec: Prometheus exposition
 * format 0.0.4.
 */
char *metrics_text(struct node *node, const struct identity *who);

/* GET /metrics: of the machines that the client may read. */
extern const struct route_fixed route_metrics[];

/* Resource of machines and of the node: {"step", "start", "series": {…}} for "?range=1h". */
int metrics_show_vm(struct call *call, struct problem *problem);
int metrics_show_node(struct call *call, struct problem *problem);
extern const char *const metrics_queries[];
