/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The certificate that a server shows. */
#pragma once

#include "base/err.h"

#define FINGERPRINT_SIZE 65

/* Connects to "https://HOST:PORT" and trusts nothing. `ret_pem` is the caller's to free. */
int certificate_fetch(const char *address, char **ret_pem, char ret_fingerprint[FINGERPRINT_SIZE],
		      struct err *err);

/* Days until it ends, negative: it has. -EINVAL: it is not understood. */
int certificate_days(const char *pem, int *ret_days);
