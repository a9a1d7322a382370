/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the metrics share: a sample, which is what the thread heard in one round, as JSON
 *
 *	{"time": …, "node": {VALUE: …},
 *	 "vms": [{"uid", "project", "name", "labels", "state", "values": {VALUE: …},
 *	          "disks": [{"disk", "values": {VALUE: …}}], "nics": [{"nic", "values": {…}}]}]}
 *
 * (the last three only of machines that run)
 * with the VALUE names of the tables in metrics_text.c. It is never changed.
 */
#pragma once

#include <pthread.h>

#include "node/metrics/metrics.h"
#include "node/metrics/history.h"

/* The latest sample, new reference; NULL: there is none yet. */
json_t *metrics_latest(struct node *node);

/* ---- sample.c ---- */

json_t *metrics_sample(struct node *node);

/* ---- graphs.c ---- */

struct graphs;
struct graphs *graphs_new(struct node *node);
void graphs_free(struct graphs *graphs);
/* Adds what a sample has to the histories. */
void graphs_add(struct graphs *graphs, const json_t *sample);
