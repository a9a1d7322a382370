/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static json_t *resolved(const char *text)
{
	json_t *config = json_loads(text, 0, NULL);
	struct err err = ERR_INIT;

	assert_non_null(config);
	if (config_resolve(config, &err))
		fail_msg("%s: %s", text, err.text);
	return config;
}

static const char *text_at(const json_t *config, const char *list, size_t index, const char *key)
{
	return schema_string(json_array_get(json_object_get(config, list), index), key);
}

static void config_resolve_empty_gives_one_cpu_and_terminal(void **state)
{
	json_t *config = resolved("{}");

	(void)state;
	assert_string_equal(schema_string(config, "name"), "cella");
	assert_int_equal(schema_integer(json_object_get(config, "cpu"), "count"), 1);
	assert_int_equal(schema_integer(json_object_get(config, "memory"), "size"), 512 * MIB);
	assert_string_equal(schema_string(json_object_get(config, "engine"), "name"), "auto");
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(config, "serials"), 0)), "stdio");
	assert_int_equal(json_array_size(json_object_get(config, "nets")), 0);
	json_decref(config);
}

static void config_resolve_console_on_stdio_leaves_serial_unconnected(void **state)
{
	json_t *config = resolved("{\"consoles\": [\"stdio\"]}");

	(void)state;
	assert_int_equal(json_array_size(json_object_get(config, "serials")), 0);
	json_decref(config);
}

static void config_resolve_devices_without_id_are_numbered(void **state)
{
	json_t *config =
		resolved("{\"disks\": [{\"path\": \"a\"}, {\"path\": \"b\", \"id\": \"data\"}],"
			 " \"nets\": [{\"kind\": \"none\"}, {\"kind\": \"user\"}]}");

	(void)state;
	assert_string_equal(text_at(config, "disks", 0, "id"), "disk0");
	assert_string_equal(text_at(config, "disks", 1, "id"), "data");
	assert_int_equal(json_array_size(json_object_get(config, "nets")), 1);
	assert_string_equal(text_at(config, "nets", 0, "id"), "net0");
	json_decref(config);
}

static void config_resolve_mac_depends_on_name_and_index_only(void **state)
{
	json_t *first = resolved(
		"{\"name\": \"a\", \"nets\": [{\"kind\": \"user\"}, {\"kind\": \"user\"}]}");
	json_t *again =
		resolved("{\"name\": \"a\", \"nets\": [{\"kind\": \"user\", \"id\": \"x\"}]}");
	json_t *other = resolved("{\"name\": \"b\", \"nets\": [{\"kind\": \"user\"}]}");
	uint8_t mac[6];

	(void)state;
	assert_string_equal(text_at(first, "nets", 0, "mac"), text_at(again, "nets", 0, "mac"));
	assert_string_not_equal(text_at(first, "nets", 0, "mac"), text_at(first, "nets", 1, "mac"));
	assert_string_not_equal(text_at(first, "nets", 0, "mac"), text_at(other, "nets", 0, "mac"));
	assert_int_equal(config_parse_mac(text_at(first, "nets", 0, "mac"), mac, NULL), 0);
	json_decref(other);
	json_decref(again);
	json_decref(first);
}

static const struct {
	const char *text, *error;
} refused[] = {
	{ "{\"disks\": [{\"path\": \"a\", \"id\": \"x\"}, {\"path\": \"b\", \"id\": \"x\"}]}",
	  "id 'x' is used twice" },
	{ "{\"disks\": [{\"path\": \"a\", \"id\": \"a b\"}]}", "must be made of letters" },
	{ "{\"disks\": [{\"path\": \"a\", \"cache\": \"fast\"}]}",
	  "'disks[0].cache': must be one of" },
	{ "{\"disks\": [{\"path\": \"a\", \"serial\": \"123456789012345678901\"}]}",
	  "0 to 20 characters" },
	{ "{\"nets\": [{\"kind\": \"tap\"}]}",
	  "tap network 'net0' needs the name of an interface" },
	{ "{\"nets\": [{\"kind\": \"user\", \"ifname\": \"x\"}]}", "is no tap" },
	{ "{\"nets\": [{\"kind\": \"user\", \"fds\": [5]}]}", "is no tap" },
	{ "{\"nets\": [{\"kind\": \"tap\", \"ifname\": \"x\", \"fds\": [5]}]}", "not both" },
	{ "{\"nets\": [{\"kind\": \"tap\", \"fds\": [2]}]}", "must be 3 to" },
	{ "{\"nets\": [{\"kind\": \"tap\", \"fds\": [5, 6]}, {\"kind\": \"tap\", \"fds\": [6]}]}",
	  "descriptor 6 is given twice" },
	{ "{\"nets\": [{\"kind\": \"tap\", \"ifname\": \"x\", \"restricted\": true}]}",
	  "cannot be restricted" },
	{ "{\"nets\": [{\"kind\": \"tap\", \"ifname\": \"x\", \"hostfwd\": [\"1-2\"]}]}",
	  "cannot forward ports" },
	{ "{\"nets\": [{\"kind\": \"tap\", \"ifname\": \"0123456789abcdef\"}]}",
	  "1 to 15 characters" },
	{ "{\"nets\": [{\"kind\": \"user\", \"mac\": \"52:54:00:12:34\"}]}",
	  "must be a MAC address" },
	{ "{\"nets\": [{\"kind\": \"user\", \"mac\": \"52:54:00:12:34:+5\"}]}",
	  "must be a MAC address" },
	{ "{\"nets\": [{\"kind\": \"user\", \"mac\": \"52:54:00:12:34:5g\"}]}",
	  "must be a MAC address" },
	{ "{\"nets\": [{\"kind\": \"user\", \"mac\": \"53:54:00:12:34:56\"}]}", "multicast" },
	{ "{\"serials\": [\"stdio\", \"stdio\"]}", "'stdio' can serve only one" },
	{ "{\"serials\": [\"stdio\"], \"consoles\": [\"stdio\"]}", "'stdio' can serve only one" },
	{ "{\"serials\": [\"file=\"]}", "must be stdio, pty" },
	{ "{\"serials\": [\"none\", \"none\", \"none\", \"none\", \"none\"]}", "at most 4 items" },
	{ "{\"cpu\": {\"count\": 1025}}", "'cpu.count': must be 1 to 1024" },
	{ "{\"memory\": {\"size\": 4096}}", "'memory.size': must be 1M to 4096T" },
	{ "{\"engine\": {\"name\": \"xen\"}}", "must be one of auto, kvm, soft" },
	{ "{\"devices\": [\"floppy\"]}", "'devices[0]': must be one of" },
	{ "{\"initrd\": \"i\"}", "initial RAM disk 'i' has no kernel" },
};

static void config_resolve_wrong_values_are_named(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		json_t *config = json_loads(refused[i].text, 0, NULL);
		struct err err = ERR_INIT;
		int rc = config_resolve(config, &err);

		if (rc >= 0 || !strstr(err.text, refused[i].error))
			fail_msg("%s: %d '%s'", refused[i].text, rc, err.text);
		json_decref(config);
	}
}

static void config_parse_mac_valid_gives_bytes(void **state)
{
	static const uint8_t expected[6] = { 0x02, 0xab, 0xCD, 0x00, 0xff, 0x10 };
	uint8_t mac[6];

	(void)state;
	assert_int_equal(config_parse_mac("02:ab:CD:00:ff:10", mac, NULL), 0);
	assert_memory_equal(mac, expected, sizeof(mac));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_resolve_empty_gives_one_cpu_and_terminal),
		cmocka_unit_test(config_resolve_console_on_stdio_leaves_serial_unconnected),
		cmocka_unit_test(config_resolve_devices_without_id_are_numbered),
		cmocka_unit_test(config_resolve_mac_depends_on_name_and_index_only),
		cmocka_unit_test(config_resolve_wrong_values_are_named),
		cmocka_unit_test(config_parse_mac_valid_gives_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
