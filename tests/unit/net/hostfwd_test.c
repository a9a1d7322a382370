/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <errno.h>

#include <cmocka.h>

#include "base/macros.h"
#include "net/hostfwd.h"

static const struct good {
	const char *text;
	bool udp;
	const char *host;
	uint16_t host_port;
	const char *guest;
	uint16_t guest_port;
} goods[] = {
	{ "tcp:127.0.0.2:8080-10.0.2.20:80", false, "127.0.0.2", 8080, "10.0.2.20", 80 },
	{ "udp:0.0.0.0:53-:5353", true, "0.0.0.0", 53, "0.0.0.0", 5353 },
	{ "tcp::8080-:80", false, "127.0.0.1", 8080, "0.0.0.0", 80 },
	{ "tcp:8080-80", false, "127.0.0.1", 8080, "0.0.0.0", 80 },
	{ "8080-80", false, "127.0.0.1", 8080, "0.0.0.0", 80 },
	{ "tcp::-:22", false, "127.0.0.1", 22, "0.0.0.0", 22 },
	{ "tcp::22-", false, "127.0.0.1", 22, "0.0.0.0", 22 },
	{ "22", false, "127.0.0.1", 22, "0.0.0.0", 22 },
	{ "1-65535", false, "127.0.0.1", 1, "0.0.0.0", 65535 },
	{ "0.0.0.0:22-10.0.2.15:", false, "0.0.0.0", 22, "10.0.2.15", 22 },
};

static const char *const bads[] = {
	"",
	"-",
	"tcp:",
	"tcp::-:",
	"tcp:host:80-:80",
	"sctp::80-:80",
	"80-80-80",
	"0-80",
	"80-0",
	"65536-80",
	"80-65536",
	"1.2.3:80-:80",
	"::1:80-:80",
	"tcp: 80-80",
	"80x-80",
	"-80-80",
	"tcp:1111111111111111111111111111111111111111111111111111111111111111111:80-:80",
};

static void hostfwd_good_text_is_understood(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(goods); i++) {
		struct net_hostfwd forward;
		char address[INET_ADDRSTRLEN];

		assert_int_equal(net_hostfwd_parse(goods[i].text, &forward, NULL), 0);
		assert_int_equal(forward.udp, goods[i].udp);
		assert_int_equal(forward.host_port, goods[i].host_port);
		assert_int_equal(forward.guest_port, goods[i].guest_port);
		inet_ntop(AF_INET, &forward.host_address, address, sizeof(address));
		assert_string_equal(address, goods[i].host);
		inet_ntop(AF_INET, &forward.guest_address, address, sizeof(address));
		assert_string_equal(address, goods[i].guest);
	}
}

static void hostfwd_bad_text_is_refused_by_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bads); i++) {
		struct net_hostfwd forward = { .host_port = 7 };
		struct err err = ERR_INIT;

		assert_int_equal(net_hostfwd_parse(bads[i], &forward, &err), -EINVAL);
		assert_non_null(strstr(err.text, bads[i]));
		assert_int_equal(forward.host_port, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostfwd_good_text_is_understood),
		cmocka_unit_test(hostfwd_bad_text_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
