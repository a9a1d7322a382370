/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "img/fetch_address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"

static bool is_public(const char *text)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		return fetch_address_is_public((const struct sockaddr *)&four);
	assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
	return fetch_address_is_public((const struct sockaddr *)&six);
}

static void address_of_public_network_is_public(void **state)
{
	static const char *const addresses[] = {
		"1.1.1.1",          "9.255.255.255",   "11.0.0.0",       "100.63.255.255",
		"100.128.0.0",      "126.255.255.255", "172.15.255.255", "172.32.0.0",
		"192.167.255.255",  "198.17.255.255",  "198.20.0.0",     "223.255.255.255",
		"2a00:1450::1",     "2600::",          "::ffff:1.1.1.1", "2002:0101:0101::1",
		"64:ff9b::101:101",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		if (!is_public(addresses[i]))
			fail_msg("'%s' is taken for a private address", addresses[i]);
	}
}

static void address_of_other_network_is_not_public(void **state)
{
	static const char *const addresses[] = {
		"0.0.0.0",
		"10.0.0.1",
		"100.64.0.1",
		"100.127.255.255",
		"127.0.0.1",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.168.1.1",
		"198.19.255.255",
		"224.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"fe80::1",
		"febf::1",
		"fc00::1",
		"fdff::1",
		"ff02::1",
		"::ffff:127.0.0.1",
		"::ffff:10.0.0.1",
		"64:ff9b::a00:1",
		"2002:7f00:1::1",
		"2001:db8::1",
		"::127.0.0.1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		if (is_public(addresses[i]))
			fail_msg("'%s' is taken for a public address", addresses[i]);
	}
}

static void address_of_another_family_is_not_public(void **state)
{
	const struct sockaddr address = { .sa_family = AF_UNIX };

	(void)state;
	assert_false(fetch_address_is_public(&address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_of_public_network_is_public),
		cmocka_unit_test(address_of_other_network_is_not_public),
		cmocka_unit_test(address_of_another_family_is_not_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
