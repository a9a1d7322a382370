/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* Whether everybody reaches the address: it is not of this host, of a private network, or of a link. Spec:
 * RFC 6890 */
bool fetch_address_is_public(const struct sockaddr *address);
