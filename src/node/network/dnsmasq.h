/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dnsmasq(8) of one network: it has a folder, outlives the daemon, and is found again by what is
 * in the folder. Functions are for one thread at a time, unless they say something else.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "host/loop.h"
#include "node/network/dnsmasq_config.h"
#include "node/vm/spawn.h"

struct dnsmasq {
	int folder_fd;
	char *folder; /* its path */
	struct loop *loop;
	bool running;
	atomic_bool gone; /* it ran, and has ended by itself */
	uint64_t started_ns;
	struct loop_fd source;    /* its pidfd */
	void (*ended)(void *ctx); /* by itself; loop's thread */
	void *ctx;
};

/*
 * Takes the folder's path (absolute; made if it is not there) and finds the process if it runs.
 * `ended` may be called from then on. The caller calls dnsmasq_close() in any case.
 */
int dnsmasq_open(struct dnsmasq *dnsmasq, char *folder, struct loop *loop, void (*ended)(void *ctx),
		 void *ctx, struct err *err);
/* The process goes on. Holds the loop. */
void dnsmasq_close(struct dnsmasq *dnsmasq);

/* Makes it be as the texts say: started, started anew (another configuration) or told to read them
 * again. Does nothing if they are what it has. */
int dnsmasq_apply(struct dnsmasq *dnsmasq, const char *config, const char *hosts, const char *names,
		  struct err *err);

/* Ends it, waiting up to some seconds. */
void dnsmasq_stop(struct dnsmasq *dnsmasq);

/* The same, and removes its folder. Also what another daemon has left. */
void dnsmasq_remove(struct dnsmasq *dnsmasq);

/* The text of its leases, "" if there are none; caller frees. NULL: no memory. */
char *dnsmasq_leases(const struct dnsmasq *dnsmasq);
