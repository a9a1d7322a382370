/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, subnets, ports and forwards as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <errno.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/address.h"

static void subnet_of_good_text_reads_back(void **state)
{
	static const struct {
		const char *text, *mask, *first, *last;
	} rows[] = {
		{ "10.77.1.0/24", "255.255.255.0", "10.77.1.1", "10.77.1.254" },
		{ "10.77.1.8/29", "255.255.255.248", "10.77.1.9", "10.77.1.14" },
		{ "192.168.0.0/23", "255.255.254.0", "192.168.0.1", "192.168.1.254" },
		{ "10.0.0.0/8", "255.0.0.0", "10.0.0.1", "10.0.255.255" },
		{ "fd12:3456::/64", NULL, "fd12:3456::1", "fd12:3456::ffff" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[SUBNET_TEXT_SIZE], address_words[ADDRESS_TEXT_SIZE];
		struct subnet subnet;
		struct address address;

		assert_int_equal(subnet_parse(rows[i].text, &subnet, NULL), 0);
		assert_string_equal(subnet_text(&subnet, text), rows[i].text);
		if (rows[i].mask)
			assert_string_equal(subnet_mask_text(&subnet, address_words), rows[i].mask);
		address = subnet_address(&subnet, 1);
		assert_string_equal(address_text(&address, address_words), rows[i].first);
		address = subnet_address(&subnet, subnet_last_number(&subnet));
		assert_string_equal(address_text(&address, address_words), rows[i].last);
		assert_true(subnet_has(&subnet, &address));
		assert_int_equal(subnet_number(&subnet, &address), subnet_last_number(&subnet));
	}
}

static void subnet_of_bad_text_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"10.0.0.0",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.1/24",
		"fd00::1/64",
		"fd00::/129",
		"10.0.0/24",
		"a/24",
		"/24",
		"10.0.0.0/24 ",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/128",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		struct err err = ERR_INIT;
		struct subnet subnet;

		assert_int_equal(subnet_parse(texts[i], &subnet, &err), -EINVAL);
		assert_true(*err.text);
	}
}

static void subnet_overlap_is_seen_both_ways(void **state)
{
	static const struct {
		const char *one, *other;
		bool overlap;
	} rows[] = {
		{ "10.77.0.0/16", "10.77.3.0/24", true },
		{ "10.77.1.0/24", "10.77.1.0/24", true },
		{ "10.77.1.0/24", "10.77.2.0/24", false },
		{ "10.0.0.0/8", "fd00::/8", false },
		{ "fd00::/63", "fd00:0:0:1::/64", true },
		{ "fd00::/64", "fd00:0:0:1::/64", false },
		{ "10.77.1.0/25", "10.77.1.128/25", false },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct subnet one, other;

		assert_int_equal(subnet_parse(rows[i].one, &one, NULL), 0);
		assert_int_equal(subnet_parse(rows[i].other, &other, NULL), 0);
		assert_int_equal(subnet_overlaps(&one, &other), rows[i].overlap);
		assert_int_equal(subnet_overlaps(&other, &one), rows[i].overlap);
	}
}

static void mac_of_text(void **state)
{
	static const char *const bad[] = {
		"",
		"5e:00:00:12:34",
		"5e:00:00:12:34:5",
		"5e:00:00:12:34:56:",
		"5e-00-00-12-34-56",
		"5e:00:00:12:34: 6",
		"5e:00:00:12:34:+6",
		"5e:00:00:12:34:5g",
		"01:00:5e:00:00:01",
	};
	char text[MAC_TEXT_SIZE], address[ADDRESS_TEXT_SIZE];
	struct address local;
	uint8_t mac[MAC_BYTES];

	(void)state;
	assert_int_equal(mac_parse("5E:00:00:12:34:56", mac, NULL), 0);
	assert_string_equal(mac_text(mac, text), "5e:00:00:12:34:56");
	local = mac_link_local(mac);
	assert_string_equal(address_text(&local, address), "fe80::5c00:ff:fe12:3456");
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(mac_parse(bad[i], mac, NULL), -EINVAL);
}

static void ports_of_text(void **state)
{
	static const char *const bad[] = { "",        ",",  "http", "80-22",       "65536",
					   "1-65536", "-1", "1-",   "22 80-88-90", "1,2,3,4,5" };
	struct port_range ranges[4];

	(void)state;
	assert_int_equal(ports_parse("22, 80-88,443", ranges, 4, NULL), 3);
	assert_int_equal(ranges[0].first, 22);
	assert_int_equal(ranges[0].last, 22);
	assert_int_equal(ranges[1].first, 80);
	assert_int_equal(ranges[1].last, 88);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ports_parse(bad[i], ranges, 4, NULL), -EINVAL);
}

static void forward_of_text(void **state)
{
	static const struct {
		const char *text;
		bool udp;
		const char *host, *guest;
		uint16_t host_port, guest_port;
	} good[] = {
		{ "8080-80", false, "", "", 8080, 80 },
		{ "tcp:8080-", false, "", "", 8080, 8080 },
		{ "udp:-53", true, "", "", 53, 53 },
		{ "80", false, "", "", 80, 80 },
		{ "udp:127.0.0.1:5353-53", true, "127.0.0.1", "", 5353, 53 },
		{ "tcp::2222-10.77.1.9:22", false, "", "10.77.1.9", 2222, 22 },
		{ "[fd00::1]:80-[fd00::2]:8080", false, "fd00::1", "fd00::2", 80, 8080 },
	};
	static const char *const bad[] = {
		"",
		"-",
		"80-80-80",
		"x-80",
		"0-80",
		"80-0",
		"80-65536",
		"1.2.3:80-80",
		"sctp:80-80",
		"fd00::1:80-80",
		"[fd00::1]80-80",
		"10.0.0.1:80-[fd00::1]:80",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		char text[ADDRESS_TEXT_SIZE];
		struct forward forward;

		assert_int_equal(forward_parse(good[i].text, &forward, NULL), 0);
		assert_int_equal(forward.udp, good[i].udp);
		assert_string_equal(address_text(&forward.host, text), good[i].host);
		assert_string_equal(address_text(&forward.guest, text), good[i].guest);
		assert_int_equal(forward.host_port, good[i].host_port);
		assert_int_equal(forward.guest_port, good[i].guest_port);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct forward forward;

		assert_int_equal(forward_parse(bad[i], &forward, NULL), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subnet_of_good_text_reads_back),
		cmocka_unit_test(subnet_of_bad_text_is_refused),
		cmocka_unit_test(subnet_overlap_is_seen_both_ways),
		cmocka_unit_test(mac_of_text),
		cmocka_unit_test(ports_of_text),
		cmocka_unit_test(forward_of_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
