/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, subnets, ports and forwards of specs: what is read is written, and read again as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_subnet(const char *text)
{
	char written[SUBNET_TEXT_SIZE];
	struct subnet subnet, again;

	if (subnet_parse(text, &subnet, NULL))
		return;
	if (subnet_parse(subnet_text(&subnet, written), &again, NULL) ||
	    again.prefix != subnet.prefix || !address_equal(&again.address, &subnet.address) ||
	    !subnet_overlaps(&subnet, &again))
		abort();
}

static void check_mac(const char *text)
{
	uint8_t mac[MAC_BYTES], again[MAC_BYTES];
	char written[MAC_TEXT_SIZE];

	if (mac_parse(text, mac, NULL))
		return;
	if (mac_parse(mac_text(mac, written), again, NULL) || memcmp(mac, again, MAC_BYTES))
		abort();
}

static void check_ports(const char *text)
{
	struct port_range ranges[8];
	int count = ports_parse(text, ranges, 8, NULL);

	for (int i = 0; i < count; i++) {
		if (ranges[i].first > ranges[i].last)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct forward forward;

	memcpy(text, data, size);
	text[size] = '\0';
	check_subnet(text);
	check_mac(text);
	check_ports(text);
	if (!forward_parse(text, &forward, NULL) && (!forward.host_port || !forward.guest_port))
		abort();
	free(text);
	return 0;
}
