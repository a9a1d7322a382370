/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where `serve` listens. */
#pragma once

#include "base/str.h"
#include "img/command.h"

#define SERVE_SOCKETS_MAX 16

struct serve_listeners {
	int fds[SERVE_SOCKETS_MAX];
	unsigned count;
	uint16_t port;           /* of the first one; 0: it is no TCP socket */
	const char *socket_path; /* to remove at the end; NULL: none */
};

/* Opens what the arguments say, or takes what the service manager has opened. */
int serve_listen(const struct img *img, struct serve_listeners *listeners, struct err *err);

/* The URI of the first one: "nbd://127.0.0.1:10809/disk". */
void serve_uri(const struct img *img, const struct serve_listeners *listeners, struct str *uri);
