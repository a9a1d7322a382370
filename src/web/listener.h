/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server's listening sockets, and who connects to them. */
#pragma once

#include "web/web_priv.h"

/* Opens what the configuration names; nothing is accepted before the web thread runs. */
int web_listeners_open(struct web *web, const struct web_config *config, struct err *err);
/* Accepts nothing any more. On the web thread, or when it does not run. */
void web_listeners_close(struct web *web);
