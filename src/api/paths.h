/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the daemon and its clients meet when nobody says anything else. */
#pragma once

#include <stddef.h>

/*
 * The daemon's Unix socket: /run/cella/api.sock for root, cella/api.sock in XDG_RUNTIME_DIR for others
 * (or /tmp/cella-UID/api.sock, where there is no such folder).
 */
void api_socket_path(char *ret_path, size_t size);
