/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of leases: a line for each, "EXPIRES MAC|IAID ADDRESS NAME|* CLIENT", those of IPv6 behind a
 * line "duid …". Names are what machines say of themselves, so they may be anything.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "node/network/dnsmasq_config.h"

#define FIELDS   4
#define LINE_MAX 1024

/* The first words of a line; false: there are fewer. */
static bool split(char *line, char *fields[FIELDS])
{
	char *place, *word = strtok_r(line, " ", &place);

	for (unsigned i = 0; i < FIELDS; i++) {
		if (!word)
			return false;
		fields[i] = word;
		word = strtok_r(NULL, " ", &place);
	}
	return true;
}

static bool read_line(char *line, struct lease *lease)
{
	char *fields[FIELDS];

	*lease = (struct lease){ 0 };
	if (!split(line, fields) || parse_u64(fields[0], 0, INT64_MAX, &lease->expires) ||
	    address_parse(fields[2], &lease->address, NULL))
		return false;
	if (lease->address.bytes == 4 && mac_parse(fields[1], lease->mac, NULL))
		return false;
	if (!api_check_name(fields[3], NULL))
		memcpy(lease->name, fields[3], strlen(fields[3]) + 1);
	return true;
}

void leases_read(const char *text, void (*lease)(void *ctx, const struct lease *lease), void *ctx)
{
	unsigned count = 0;

	while (*text && count < LEASES_MAX) {
		size_t length = strcspn(text, "\n");
		char line[LINE_MAX];
		struct lease found;

		if (length < sizeof(line)) {
			memcpy(line, text, length);
			line[length] = '\0';
			if (read_line(line, &found)) {
				lease(ctx, &found);
				count++;
			}
		}
		text += length + (text[length] == '\n');
	}
}
