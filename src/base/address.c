/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "base/str.h"

#define NUMBER_MAX 0xffff

/* ---- addresses ---- */

static int family_of(const struct address *address)
{
	return address->bytes == 4 ? AF_INET : AF_INET6;
}

int address_parse(const char *text, struct address *ret_address, struct err *err)
{
	struct address address = { .bytes = strchr(text, ':') ? 16 : 4 };

	if (inet_pton(family_of(&address), text, address.octets) != 1)
		return err_set(err, EINVAL, "'%.64s' is no address of IPv4 or IPv6", text);
	*ret_address = address;
	return 0;
}

const char *address_text(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
	*text = '\0';
	if (address->bytes)
		inet_ntop(family_of(address), address->octets, text, ADDRESS_TEXT_SIZE);
	return text;
}

bool address_equal(const struct address *one, const struct address *other)
{
	return one->bytes == other->bytes && !memcmp(one->octets, other->octets, one->bytes);
}

/* ---- subnets ---- */

/* Whether the first `bits` are the same. */
static bool same_bits(const uint8_t *one, const uint8_t *other, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(one, other, bits / 8))
		return false;
	return !rest || !((one[bits / 8] ^ other[bits / 8]) >> (8 - rest));
}

int subnet_parse(const char *text, struct subnet *ret_subnet, struct err *err)
{
	char copy[SUBNET_TEXT_SIZE];
	struct subnet subnet = { 0 };
	uint64_t prefix;
	char *slash;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (!slash || strlen(text) >= sizeof(copy))
		return err_set(err, EINVAL, "'%.64s' is no subnet: ADDRESS/BITS", text);
	*slash = '\0';
	if (address_parse(copy, &subnet.address, err))
		return -EINVAL;
	if (parse_u64(slash + 1, 0, 8 * subnet.address.bytes, &prefix))
		return err_set(err, EINVAL, "'%.64s' is no subnet: 0 to %u bits", text,
			       8 * subnet.address.bytes);
	subnet.prefix = (unsigned)prefix;
	for (unsigned bit = subnet.prefix; bit < 8 * subnet.address.bytes; bit++) {
		if (subnet.address.octets[bit / 8] >> (7 - bit % 8) & 1)
			return err_set(err, EINVAL, "'%.64s' has bits behind its first %u", text,
				       subnet.prefix);
	}
	*ret_subnet = subnet;
	return 0;
}

const char *subnet_text(const struct subnet *subnet, char text[SUBNET_TEXT_SIZE])
{
	char address[ADDRESS_TEXT_SIZE];

	snprintf(text, SUBNET_TEXT_SIZE, "%s/%u", address_text(&subnet->address, address),
		 subnet->prefix);
	return text;
}

bool subnet_has(const struct subnet *subnet, const struct address *address)
{
	return subnet->address.bytes && subnet->address.bytes == address->bytes &&
	       same_bits(subnet->address.octets, address->octets, subnet->prefix);
}

bool subnet_overlaps(const struct subnet *one, const struct subnet *other)
{
	return one->prefix <= other->prefix ? subnet_has(one, &other->address)
					    : subnet_has(other, &one->address);
}

const char *subnet_mask_text(const struct subnet *subnet, char text[ADDRESS_TEXT_SIZE])
{
	struct address mask = { .bytes = 4 };

	be32_put(mask.octets, subnet->prefix ? ~0u << (32 - subnet->prefix) : 0);
	return address_text(&mask, text);
}

struct address subnet_address(const struct subnet *subnet, uint32_t number)
{
	struct address address = subnet->address;
	uint8_t *end = address.octets + address.bytes - 4;

	be32_put(end, be32_get(end) + number);
	return address;
}

uint32_t subnet_number(const struct subnet *subnet, const struct address *address)
{
	unsigned skipped;
	uint32_t number;

	if (!subnet_has(subnet, address))
		return 0;
	skipped = address->bytes - 4;
	if (memcmp(address->octets, subnet->address.octets, skipped))
		return 0;
	number = be32_get(address->octets + skipped) - be32_get(subnet->address.octets + skipped);
	return number <= NUMBER_MAX ? number : 0;
}

uint32_t subnet_last_number(const struct subnet *subnet)
{
	unsigned bits = 8 * subnet->address.bytes - subnet->prefix;

	if (bits >= 17)
		return NUMBER_MAX;
	if (bits < 2)
		return 0;
	return (1u << bits) - (subnet->address.bytes == 4 ? 2 : 1);
}

/* ---- hardware addresses ---- */

int mac_parse(const char *text, uint8_t ret_mac[MAC_BYTES], struct err *err)
{
	uint8_t mac[MAC_BYTES];
	size_t length = strlen(text);
	unsigned read = 0;
	int end = 0;

	/* The form is fixed, so that spaces and signs, which scanf would take, have no place. */
	if (length == MAC_TEXT_SIZE - 1 && strspn(text, "0123456789abcdefABCDEF:") == length)
		read = (unsigned)sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0],
					&mac[1], &mac[2], &mac[3], &mac[4], &mac[5], &end);
	if (read != MAC_BYTES || (size_t)end != length)
		return err_set(err, EINVAL, "'%.32s' is no hardware address: 5e:00:00:12:34:56",
			       text);
	if (mac[0] & 1)
		return err_set(err, EINVAL, "'%s' is the hardware address of a group", text);
	memcpy(ret_mac, mac, MAC_BYTES);
	return 0;
}

const char *mac_text(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT_SIZE])
{
	snprintf(text, MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return text;
}

struct address mac_link_local(const uint8_t mac[MAC_BYTES])
{
	return (struct address){
		.bytes = 16,
		.octets = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3],
			    mac[4], mac[5] },
	};
}

/* ---- ports ---- */

static int parse_range(const char *text, struct port_range *range)
{
	char copy[16];
	char *dash;
	uint64_t first, last;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	snprintf(copy, sizeof(copy), "%s", text);
	dash = strchr(copy, '-');
	if (dash)
		*dash = '\0';
	if (parse_u64(copy, 0, UINT16_MAX, &first) ||
	    parse_u64(dash ? dash + 1 : copy, first, UINT16_MAX, &last))
		return -EINVAL;
	*range = (struct port_range){ (uint16_t)first, (uint16_t)last };
	return 0;
}

int ports_parse(const char *text, struct port_range *ret_ranges, unsigned max, struct err *err)
{
	char copy[512];
	char *place, *word;
	unsigned count = 0;

	if (strlen(text) >= sizeof(copy))
		return err_set(err, EINVAL, "ports take %zu characters at the most",
			       sizeof(copy) - 1);
	snprintf(copy, sizeof(copy), "%s", text);
	for (word = strtok_r(copy, ", ", &place); word; word = strtok_r(NULL, ", ", &place)) {
		if (count == max)
			return err_set(err, EINVAL, "more than %u ranges of ports", max);
		if (parse_range(word, &ret_ranges[count]))
			return err_set(err, EINVAL, "'%.32s' is no port or range: 22, 80-88", word);
		count++;
	}
	if (!count)
		return err_set(err, EINVAL, "there is no port in '%.32s'", text);
	return (int)count;
}

/* "[ADDR:][PORT]" of `length` characters; what is missing stays as it is. */
static int parse_end(const char *text, size_t length, struct address *address, uint16_t *port)
{
	char copy[ADDRESS_TEXT_SIZE + 16];
	char *digits = copy, *colon;
	uint64_t value;

	if (length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	colon = strrchr(copy, ':');
	if (colon) {
		char *start = copy;

		digits = colon + 1;
		*colon = '\0';
		if (*start == '[' && colon[-1] == ']') {
			colon[-1] = '\0';
			start++;
		} else if (strchr(start, ':')) {
			return -EINVAL;
		}
		if (*start && address_parse(start, address, NULL))
			return -EINVAL;
	}
	if (!*digits)
		return 0;
	if (parse_u64(digits, 1, UINT16_MAX, &value))
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

int forward_parse(const char *text, struct forward *ret_forward, struct err *err)
{
	struct forward forward = { 0 };
	const char *start = text;
	size_t length;
	int rc;

	if (!strncmp(start, "tcp:", 4) || !strncmp(start, "udp:", 4)) {
		forward.udp = *start == 'u';
		start += 4;
	}
	length = strcspn(start, "-");
	rc = parse_end(start, length, &forward.host, &forward.host_port);
	start += length;
	if (!rc && *start)
		rc = parse_end(start + 1, strlen(start + 1), &forward.guest, &forward.guest_port);
	if (!forward.host_port)
		forward.host_port = forward.guest_port;
	if (!forward.guest_port)
		forward.guest_port = forward.host_port;
	if (rc || !forward.host_port ||
	    (forward.host.bytes && forward.guest.bytes &&
	     forward.host.bytes != forward.guest.bytes))
		return err_set(err, EINVAL,
			       "'%.64s' is no forward: [tcp:|udp:][ADDR:]PORT[-[ADDR:]PORT]", text);
	*ret_forward = forward;
	return 0;
}
