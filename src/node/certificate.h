/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A certificate of our own for TLS: self-signed, ECDSA on P-256, for the names and addresses of the
 * host. The key stays when the certificate is renewed.
 *
 * Spec: RFC 5280; RFC 8422. Functions are for any thread; they wait for the disk.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define CERTIFICATE_FILE "server.crt"
#define CERTIFICATE_KEY  "server.key"

#define CERTIFICATE_DAYS  397
#define CERTIFICATE_RENEW 30 /* days before its end */

/*
 * CERTIFICATE_FILE and CERTIFICATE_KEY in a folder: makes what is missing, and another certificate
 * when it does not fit the key, ends within CERTIFICATE_RENEW days of `now` (unix, seconds), or lacks
 * one of the DNS names. `names`: these and addresses, NULL at the end; the first one is the host's. An
 * address that is new alone is no reason: who has pinned the certificate would be locked out by it.
 * `ret_made`: the certificate is a new one. -EBADMSG: the key is damaged.
 */
int certificate_ensure(int folder_fd, const char *const *names, uint64_t now, bool *ret_made,
		       struct err *err);

/* SHA-256 of a PEM file's first certificate, as people compare it: 64 hex digits. */
int certificate_fingerprint(const char *path, char ret_hex[65], struct err *err);

/* The names and addresses of the host, NULL at the end; free with certificate_free_names(). NULL: no
 * memory. */
char **certificate_host_names(void);
void certificate_free_names(char **names);
