/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dnsmasq's file of leases, in which guests name themselves. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/network/dnsmasq_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lease(void *ctx, const struct lease *lease)
{
	if (*lease->name && api_check_name(lease->name, NULL))
		abort();
	if (lease->address.bytes != 4 && lease->address.bytes != 16)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	leases_read(text, check_lease, NULL);
	free(text);
	return 0;
}
