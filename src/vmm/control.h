/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: JSON-RPC for whoever may open it (see api/control.h).
 *
 * Peers are not trusted beyond that: requests, connections and unread replies are bounded, and who
 * does not read is dropped. Runs on the loop's thread only.
 */
#pragma once

#include <jansson.h>

#include "api/control.h"
#include "base/err.h"

struct control;
struct vmm;

/*
 * Listens on a new socket at `path`, which only the owner may open. A socket that nobody listens on
 * any more is replaced; -EADDRINUSE otherwise. `vmm` is borrowed until control_close().
 */
int control_open(struct control **ret_control, struct vmm *vmm, const char *path, struct err *err);

/* Sends what can be sent at once, closes all connections and removes the socket. Accepts NULL. */
void control_close(struct control *control);

/* Sends an event to all who subscribed. Takes `params` (NULL: none). `control` may be NULL. */
void control_tell(struct control *control, enum control_event event, json_t *params);
