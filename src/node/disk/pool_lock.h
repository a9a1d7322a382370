/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder is the pool of one daemon: at its start that one removes what is not whole, and the work of
 * another looks the same. The lock is on a file in the folder, since folders themselves cannot be locked on
 * every file system, and goes with the process.
 */
#pragma once

#include "node/node.h"

int pool_locks_open(struct node *node, struct err *err);
void pool_locks_close(struct node *node);

/*
 * Has the folder from now on; the first time, what was not whole in it is removed. API_CODE_IN_USE: another
 * daemon has it. Any thread, may wait.
 */
int pool_lock_take(struct node *node, const char *folder, struct problem *problem);
/* Others may have it, and nothing of the lock is left there. Does nothing if it was not taken. */
void pool_lock_drop(struct node *node, const char *folder);
/* Whether it could be taken. */
int pool_lock_check(struct node *node, const char *folder, struct problem *problem);
