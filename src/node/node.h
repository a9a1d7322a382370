/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node: what every part of the daemon shares.
 *
 * Threads: the loop's thread supervises (processes, sockets, timers, watches of the store) and never
 * waits; workers answer requests and reconcile, and may wait for the store or a child; operations run
 * on a pool of their own. Who changes an object does it by a commit of the store; no lock is held
 * across one.
 */
#pragma once

#include "api/kind.h"
#include "api/problem.h"
#include "host/loop.h"
#include "host/workers.h"
#include "store/store.h"
#include "web/web.h"

struct access;
struct audit;
struct events;
struct housekeeping;
struct idempotency;
struct metrics;
struct networks;
struct operations;
struct pool_locks;
struct reconciler;
struct vms;

struct node_config {
	const char *data;   /* folder: store, certificates, images, what machines leave */
	const char *run;    /* folder of sockets and process numbers */
	const char *socket; /* Unix socket of the API */
	const char *const *listen;
	const char *certificate, *key; /* PEM files of the operator; NULL: our own, in DATA/tls */
	const char *ui;                /* folder of the console's files */
	const char *libexec;           /* folder of cella-vmm and cella-img */
	const char *cgroup;            /* below which machines have their control groups */
	const char *log;               /* file; NULL: stderr */
	unsigned requests_per_second;  /* of one identity; 0: the preset */
};

struct node {
	struct node_config config;
	unsigned parts, kinds; /* that were started */
	int data_fd, run_fd;   /* the folders */
	int log_fd;            /* -1: stderr */
	struct loop *loop;
	struct store *store;
	struct web *web;
	struct workers *workers; /* reconciling */
	struct access *access;
	struct audit *audit;
	struct events *events;
	struct housekeeping *housekeeping;
	struct idempotency *idempotency;
	struct operations *operations;
	struct reconciler *reconciler;
	struct vms *vms;
	struct metrics *metrics;
	struct networks *networks;
	struct pool_locks *pool_locks;
};

/* 36 characters and a NUL. */
#define UID_SIZE 37
void node_new_uid(char ret_uid[UID_SIZE]);
/* "2026-11-21T15:00:00Z". */
#define TIME_SIZE 32
void node_time_text(uint64_t unix_ms, char ret_text[TIME_SIZE]);
uint64_t node_now_ms(void); /* of the calendar */
