/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port forwards as people write them. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "net/hostfwd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct net_hostfwd forward;
	struct err err = ERR_INIT;

	check(text);
	if (!net_hostfwd_parse(text, &forward, &err))
		check(forward.host_port && forward.guest_port);
	else
		check(err.code && *err.text);
	free(text);
	return 0;
}
