/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations among themselves, and what routes and the daemon have of them. */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "node/access/access.h"
#include "node/object/priv.h"
#include "node/operation/operation.h"

#define OPERATION_WAIT_MAX_MS 600000u

/* Ids count down with time, so that the newest operation comes first. */
void operation_new_id(char ret_id[UID_SIZE]);
void operation_key(const char *id, char ret_key[KEY_SIZE]);

/* As it is stored, before it begins; new reference; NULL: no memory. `who` NULL: the server. */
json_t *operation_document(const char *id, const struct object *object, const char *action,
			   const json_t *params, const struct identity *who, const char *parent);
/* As the API shows it. New reference; NULL: no memory. */
json_t *operation_json(const json_t *document, uint64_t revision);
bool operation_has_ended(const json_t *document);
/* The object that it is on; of one that has gone kind, project, name and uid alone. -EINVAL: there is
 * none in the document. */
int operation_resource(struct node *node, const json_t *document, struct object *ret_object);
/* Whether the document may be shown. */
bool operation_allows(struct node *node, const struct identity *who, enum api_verb verb,
		      const json_t *document);

/* ---- the pool ---- */

int operations_open(struct node *node, struct err *err);
/* Those that the daemon was doing or was to do when it ended go on. */
int operations_resume(struct node *node, struct err *err);
/* What runs is asked to stop, and goes on after the next start; who waits is answered. Waits for it. */
void operations_stop(struct node *node);
/* No requests and no loop any more. */
void operations_close(struct node *node);

/*
 * An operation is there before the commit that stores it, so that whoever learns of it by that commit
 * can wait for it and cancel it; it begins behind the commit, which was `revision`, or is withdrawn when
 * there was none. The document is borrowed. -ENOMEM.
 */
int operations_announce(struct node *node, const json_t *document);
void operations_begin(struct node *node, const char *id, uint64_t revision);
void operations_withdraw(struct node *node, const char *id);
/* Wakes those that wait for something to happen to the object. Any thread. */
void operations_poke(struct node *node, const char *uid);
/* 0 (also: it is cancelled already), -ENOENT: there is none, -EALREADY: it has ended. Waits for the one
 * who is about to begin it. */
int operations_cancel(struct node *node, const char *id, struct problem *problem);
/* Forgets those that ended a week ago, and the oldest above 10,000. A worker. */
void operations_prune(struct node *node);

/*
 * Answers the exchange with the operation when it has ended, or as it is then when `ms` have passed
 * or the daemon stops: status 200, or 202 while it goes on. `who` asks (NULL: only without waiting), and
 * is refused after waiting who may do less with the operation's object by then. Does not wait.
 */
void operations_answer(struct node *node, const struct identity *who, const char *id, unsigned ms,
		       struct web_exchange *exchange);

/* ---- for the files of the operations ---- */

struct run {
	struct operation operation; /* what the kind's function sees: first */
	struct operations *all;
	struct list node;  /* of those that have not ended */
	struct list queue; /* of those that wait for a thread, or empty */
	struct list waiters;
	char id[UID_SIZE];
	pthread_cond_t changed;
	unsigned refs;
	uint64_t modified; /* of the document in the store */
	json_t *document;  /* what is to be in the store */
	bool begun;        /* its commit is done */
	bool cancelled, poked, ended;
	uint64_t written_ns;           /* of the progress */
	uint64_t phase_ns, phase_done; /* when the phase began, and where */
	char phase[32], object_uid[UID_SIZE];
};

struct operations {
	struct node *node;
	pthread_mutex_t lock; /* guards all of these and the runs */
	pthread_cond_t idle;  /* a thread has ended */
	struct list runs;     /* struct run: pending and running */
	struct list queue;
	struct list answered; /* struct waiter, until the loop answers it */
	unsigned waiters;     /* of runs */
	unsigned threads, active;
	unsigned children;   /* programs that run */
	pthread_cond_t room; /* for another one */
	bool stopping;
};

static inline struct run *run_of(const struct operation *operation)
{
	return (struct run *)(uintptr_t)operation;
}

struct run *operations_find_locked(struct operations *all, const char *id);
void run_put_locked(struct run *run);
/* The document goes to the store as it is in memory; several may do that at once. */
int run_save(struct run *run);
/* Those who wait for it are answered by the loop. */
void run_answer_waiters_locked(struct run *run);
/* The same at once, since the loop may run no more. */
void operations_answer_rest(struct operations *all);
/* Another one may use the thread's place while this one waits. */
void operations_leave_locked(struct operations *all);
void operations_enter_locked(struct operations *all);
