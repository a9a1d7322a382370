/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From specs to plans, and from plans to the texts that nft and dnsmasq get. */
#include "base/str.h"
#include "node/network/dnsmasq_config.h"
#include "node/network/plan.h"
#include "node/network/nft_rules.h"
#include "../fixture.h"

#define WEB_UID "11111111-2222-4333-8444-555555555555"
#define NET_UID "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

/* Nothing here is done to objects. */
const struct kind_ops *const kind_ops_table[] = { NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	(void)kind;
	return NULL;
}

/* An object as a client would have made it: checked, with its presets. */
static struct object object_of(const struct api_kind *kind, const char *name, const char *uid,
			       const char *labels, const char *spec)
{
	struct object object = { .kind = kind, .project = "default" };
	json_error_t error;
	struct err err = ERR_INIT;
	json_t *wanted = json_pack("{s:s}", "name", name);

	json_object_set_new(wanted, "labels", json_loads(labels, 0, &error));
	json_object_set_new(wanted, "spec", json_loads(spec, 0, &error));
	if (api_check_object(kind, wanted, NULL, 0, &err))
		fail_msg("%s", err.text);
	snprintf(object.name, sizeof(object.name), "%s", name);
	snprintf(object.uid, sizeof(object.uid), "%s", uid);
	object.document = wanted;
	return object;
}

static struct plan_network *network_of_spec(const char *spec)
{
	struct object object = object_of(&api_network, "lan", NET_UID, "{}", spec);
	struct problem problem = PROBLEM_INIT;
	struct plan_network *network = NULL;

	if (plan_network_read(&object, &network, &problem))
		fail_msg("%s: %s", problem.field, problem.err.text);
	json_decref(object.document);
	return network;
}

static void add_group(struct plan *plan, const char *labels, const char *rules)
{
	char spec[1024];
	struct problem problem = PROBLEM_INIT;
	struct plan_group group;
	struct object object;

	snprintf(spec, sizeof(spec), "{\"labels\": %s, \"rules\": %s}", labels, rules);
	object = object_of(&api_security_group, "group", NET_UID, "{}", spec);
	if (plan_group_read(&object, &group, &problem))
		fail_msg("%s: %s", problem.field, problem.err.text);
	json_decref(object.document);
	assert_int_equal(vec_push(&plan->groups, group), 0);
}

static struct plan_nic *add_nic(struct plan *plan, const char *name, const char *uid,
				const char *labels, const char *net, const char *address)
{
	char spec[512];
	struct problem problem = PROBLEM_INIT;
	struct plan_nic nic;
	struct object vm;

	snprintf(spec, sizeof(spec), "{\"nets\": [%s]}", net);
	vm = object_of(&api_vm, name, uid, labels, spec);
	if (plan_nic_read(&vm, 0, json_array_get(json_object_get(object_spec(&vm), "nets"), 0),
			  &nic, &problem))
		fail_msg("%s: %s", problem.field, problem.err.text);
	json_decref(vm.document);
	nic.network = plan->networks.items[0];
	assert_int_equal(address_parse(address, &nic.address, NULL), 0);
	assert_int_equal(vec_push(&plan->nics, nic), 0);
	return &plan->nics.items[plan->nics.count - 1];
}

static struct plan plan_of(const char *spec)
{
	struct plan plan = { 0 };

	assert_int_equal(vec_push(&plan.networks, network_of_spec(spec)), 0);
	return plan;
}

static char *rules_of(const struct plan *plan, enum nft_tracking tracking)
{
	struct str text = { 0 };

	nft_rules_text(plan, tracking, "cella-test", &text);
	return str_take(&text);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in:\n%s", part, text);
}

static void assert_has_not(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' in:\n%s", part, text);
}

/* The part of the rules that is the chain's. */
static char *chain_of(const char *rules, const char *name)
{
	char start[64];
	const char *at, *end;

	snprintf(start, sizeof(start), "\tchain %s {\n", name);
	at = strstr(rules, start);
	if (!at)
		fail_msg("no chain '%s' in:\n%s", name, rules);
	end = strstr(at, "\n\t}\n");
	return strndup(at, (size_t)(end - at));
}

/* ---- reading ---- */

static const struct {
	const struct api_kind *kind;
	const char *spec, *field, *words;
} refused[] = {
	{ &api_network, "{\"subnet\": \"10.77.1.1/24\"}", "spec.subnet", "bits behind" },
	{ &api_network, "{\"subnet\": \"fd00::/64\"}", "spec.subnet", "no subnet of IPv4" },
	{ &api_network, "{\"subnet\": \"10.77.1.0/30\"}", "spec.subnet", "8 to 29 bits" },
	{ &api_network, "{\"subnet6\": \"fd00::/80\"}", "spec.subnet6", "8 to 64 bits" },
	{ &api_network, "{\"domain\": \"a b\"}", "spec.domain", "no domain" },
	{ &api_network, "{\"domain\": \"x\\nserver=1.2.3.4\"}", "spec.domain", "no domain" },
	{ &api_network, "{\"domain\": \"-a.example\"}", "spec.domain", "no domain" },
	{ &api_network, "{\"mtu\": 1000}", "spec.mtu", "1280 to 65535 with IPv6" },
	{ &api_network, "{\"type\": \"bridge\"}", "spec.bridge", "needs one" },
	{ &api_network, "{\"type\": \"bridge\", \"bridge\": \"a\\\" b\"}", "spec.bridge",
	  "no name of a bridge" },
	{ &api_network, "{\"bridge\": \"br0\"}", "spec.bridge",
	  "only a network of the type bridge" },
	{ &api_network, "{\"type\": \"user\", \"subnet\": \"10.0.0.0/24\"}", "spec.subnet",
	  "only a network of the type nat" },
	{ &api_network, "{\"leases\": [{\"mac\": \"x\"}]}", "spec.leases[0]", "hardware address" },
	{ &api_network, "{\"leases\": [{\"mac\": \"5e:00:00:00:00:01\", \"name\": \"a\\nb\"}]}",
	  "spec.leases[0]", "must be a name" },
	{ &api_network, "{\"forwards\": [{\"port\": 80, \"to\": \"host\"}]}", "spec.forwards[0]",
	  "no address" },
	{ &api_network,
	  "{\"forwards\": [{\"port\": 80, \"to\": \"10.0.0.1\", \"address\": \"fd00::1\"}]}",
	  "spec.forwards[0]", "different versions" },
	{ &api_security_group, "{\"rules\": [{}, {\"ports\": \"ssh\"}]}", "spec.rules[1]",
	  "no port" },
	{ &api_security_group, "{\"rules\": [{\"protocol\": \"icmp\", \"ports\": \"1\"}]}",
	  "spec.rules[0]", "icmp has no ports" },
	{ &api_security_group, "{\"rules\": [{\"remote\": \"10.0.0.1/8\"}]}", "spec.rules[0]",
	  "bits behind" },
};

static void plan_of_wrong_spec_is_refused_with_field(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		struct object object =
			object_of(refused[i].kind, "wrong", NET_UID, "{}", refused[i].spec);
		struct problem problem = PROBLEM_INIT;
		struct plan_network *network;
		struct plan_group group;
		int rc = refused[i].kind == &api_network
				 ? plan_network_read(&object, &network, &problem)
				 : plan_group_read(&object, &group, &problem);

		assert_int_equal(rc, -EINVAL);
		assert_int_equal(problem.code, API_CODE_INVALID);
		assert_string_equal(problem.field, refused[i].field);
		assert_has(problem.err.text, refused[i].words);
		json_decref(object.document);
	}
}

static void plan_names_are_of_the_uid_and_fit(void **state)
{
	char tap[IFNAMSIZ], other[IFNAMSIZ], bridge[IFNAMSIZ];

	(void)state;
	plan_tap_name(WEB_UID, 0, tap);
	plan_tap_name(WEB_UID, 1, other);
	plan_bridge_name(NET_UID, bridge);
	assert_string_equal(bridge, "ce-aaaaaaaa");
	assert_int_equal(strlen(tap), 15);
	assert_int_equal(strncmp(tap, "ct-", 3), 0);
	assert_string_not_equal(tap, other);
}

static void plan_network_has_a_local_subnet6_of_its_own(void **state)
{
	struct plan_network *network = network_of_spec("{}");
	struct plan_network *without = network_of_spec("{\"ipv6\": false}");

	(void)state;
	assert_int_equal(network->subnet6.prefix, 64);
	assert_int_equal(network->subnet6.address.octets[0], 0xfd);
	assert_int_equal(network->gateway6.octets[15], 1);
	assert_int_equal(without->subnet6.address.bytes, 0);
	plan_network_free(network);
	plan_network_free(without);
}

/* ---- rules ---- */

static void rules_of_nothing_leave_nothing(void **state)
{
	struct plan plan = { 0 };
	char *rules = rules_of(&plan, NFT_TRACK_BRIDGE);

	(void)state;
	assert_string_equal(rules, "table inet cella-test\ndelete table inet cella-test\n"
				   "table bridge cella-test\ndelete table bridge cella-test\n");
	free(rules);
}

static void rules_of_a_network_translate_and_close_it(void **state)
{
	struct plan plan = plan_of("{\"subnet\": \"10.77.1.0/24\", \"subnet6\": \"fd12::/64\"}");
	char *rules = rules_of(&plan, NFT_TRACK_BRIDGE);

	(void)state;
	assert_has(rules, "ip saddr 10.77.1.0/24 ip daddr != { 10.77.1.0/24, 224.0.0.0/4, "
			  "255.255.255.255 } masquerade");
	assert_has(rules, "ip6 saddr fd12::/64 ip6 daddr != { fd12::/64, fe80::/10, ff00::/8 } "
			  "masquerade");
	assert_has(rules, "oifname vmap { \"ce-aaaaaaaa\" : jump entering-0 }");
	assert_has(rules, "iifname vmap { \"ce-aaaaaaaa\" : jump host-0 }");
	assert_has_not(rules, "meta mark");
	free(rules);
	plan_fini(&plan);
}

static void rules_of_a_closed_network_let_nothing_out(void **state)
{
	struct plan plan =
		plan_of("{\"subnet\": \"10.77.1.0/24\", \"nat\": false, \"isolated\": true}");
	char *rules = rules_of(&plan, NFT_TRACK_BRIDGE);
	char *leaving = chain_of(rules, "leaving-0");

	(void)state;
	assert_has_not(rules, "255.255.255.255 } masquerade");
	assert_string_equal(leaving,
			    "\tchain leaving-0 {\n\t\toifname \"ce-aaaaaaaa\" ct status dnat "
			    "accept\n\t\toifname \"ce-aaaaaaaa\" drop\n\t\tct state "
			    "established,related accept\n\t\tdrop");
	free(leaving);
	free(rules);
	plan_fini(&plan);
}

static void rules_hold_a_machine_to_its_addresses(void **state)
{
	struct plan plan = plan_of("{\"subnet\": \"10.77.1.0/24\", \"ipv6\": false}");
	char *rules, *chain, words[128];
	struct plan_nic *nic = add_nic(&plan, "web", WEB_UID, "{}",
				       "{\"mac\": \"5e:00:00:00:00:01\"}", "10.77.1.9");

	(void)state;
	rules = rules_of(&plan, NFT_TRACK_BRIDGE);
	chain = chain_of(rules, "spoof-0");
	assert_has(chain, "iifname . ether saddr != @cards-0 drop");
	assert_has(chain, "iifname . arp saddr ether != @cards-0 drop");
	assert_has(chain, "iifname @held4-0 iifname . arp saddr ip != @own4-0 drop");
	assert_has(chain, "iifname @held4-0 iifname . ip saddr != @own4-0 drop");
	assert_has(chain, "icmpv6 type { nd-router-advert, nd-redirect } drop");
	assert_has(chain, "udp sport { 67, 547 } drop");
	assert_has(chain, "iifname @held6-0 ip6 saddr != fe80::/10 drop");
	snprintf(words, sizeof(words), "\"%s\" . 5e:00:00:00:00:01 }", nic->tap);
	assert_has(rules, words);
	snprintf(words, sizeof(words), "\"%s\" . 10.77.1.9 }", nic->tap);
	assert_has(rules, words);
	snprintf(words, sizeof(words), "\"%s\" . fe80::5c00:ff:fe00:1 }", nic->tap);
	assert_has(rules, words);
	snprintf(words, sizeof(words), "\"%s\" . 0xfe800000000000005c0000fffe000001 }", nic->tap);
	assert_has(rules, words);
	snprintf(words, sizeof(words), "\"%s\" : jump spoof-0", nic->tap);
	assert_has(rules, words);
	assert_has(rules, "elements = { 0.0.0.0, 10.77.1.1, 10.77.1.9 }");
	/* No group speaks of it: its traffic is not followed. */
	assert_has_not(rules, "chain from-");
	assert_has_not(rules, "chain to-");
	free(chain);
	free(rules);
	plan_fini(&plan);
}

static void rules_of_a_trusted_machine_check_no_source(void **state)
{
	struct plan plan = plan_of("{\"subnet\": \"10.77.1.0/24\"}");
	char *rules;

	(void)state;
	add_nic(&plan, "router", WEB_UID, "{}", "{\"spoofing\": true}", "10.77.1.9");
	rules = rules_of(&plan, NFT_TRACK_BRIDGE);
	assert_has_not(rules, ": jump spoof-");
	free(rules);
	plan_fini(&plan);
}

static struct plan grouped_plan(void)
{
	struct plan plan = plan_of("{\"subnet\": \"10.77.1.0/24\"}");

	add_nic(&plan, "web", WEB_UID, "{\"tier\": \"web\"}", "{\"mac\": \"5e:00:00:00:00:01\"}",
		"10.77.1.9");
	add_nic(&plan, "db", NET_UID, "{\"tier\": \"db\"}", "{\"mac\": \"5e:00:00:00:00:02\"}",
		"10.77.1.10");
	add_group(&plan, "{\"tier\": \"db\"}",
		  "[{\"protocol\": \"tcp\", \"ports\": \"5432, 6000-6010\", \"remote-labels\": "
		  "{\"tier\": \"web\"}}, {\"protocol\": \"icmp\", \"remote\": \"10.77.1.1\"}]");
	return plan;
}

static void rules_of_a_group_are_for_who_has_its_labels(void **state)
{
	struct plan plan = grouped_plan();
	char *rules = rules_of(&plan, NFT_TRACK_BRIDGE), *chain;
	char name[48];

	(void)state;
	chain = chain_of(rules, "group-0-in");
	assert_has(chain,
		   "ether saddr @remote-0-0 meta l4proto tcp th dport { 5432, 6000-6010 } accept");
	assert_has(chain, "ip saddr 10.77.1.1/32 meta l4proto { icmp, 58 } accept");
	assert_has(rules,
		   "set remote-0-0 {\n\t\ttype ether_addr\n\t\telements = { 5e:00:00:00:00:01 }");
	free(chain);
	chain = chain_of(rules, "to-0");
	assert_has(chain, "ct state established,related accept");
	assert_has(chain, "jump group-0-in\n\t\tdrop");
	free(chain);
	snprintf(name, sizeof(name), "\"%s\" : jump to-0", plan.nics.items[1].tap);
	assert_has(rules, name);
	snprintf(name, sizeof(name), "\"%s\" : jump to-", plan.nics.items[0].tap);
	assert_has_not(rules, name);
	assert_has_not(rules, "chain from-");
	/* One more for which the same groups speak shares the chain. */
	free(rules);
	add_nic(&plan, "db2", NET_UID, "{\"tier\": \"db\", \"rack\": \"7\"}",
		"{\"mac\": \"5e:00:00:00:00:03\"}", "10.77.1.11");
	rules = rules_of(&plan, NFT_TRACK_BRIDGE);
	snprintf(name, sizeof(name), "\"%s\" : jump to-0", plan.nics.items[2].tap);
	assert_has(rules, name);
	assert_has_not(rules, "chain to-1");
	free(rules);
	plan_fini(&plan);
}

static void rules_of_groups_fit_what_the_kernel_can_follow(void **state)
{
	struct plan plan = grouped_plan();
	char *marked = rules_of(&plan, NFT_TRACK_NETFILTER);
	char *blind = rules_of(&plan, NFT_TRACK_NONE);
	char *bridge = strstr(marked, "table bridge cella-test {");

	(void)state;
	assert_has(marked, "chain mark-forward");
	assert_has(bridge, "meta mark & 0x10000000 == 0x10000000 accept");
	assert_has(bridge, "chain unmark");
	assert_has_not(bridge, "ct state");
	/* Nothing that begins elsewhere, and no answers either: closed rather than open. */
	assert_has_not(blind, "meta mark");
	assert_has(blind, "jump group-0-in\n\t\tdrop");
	free(marked);
	free(blind);
	plan_fini(&plan);
}

static void rules_of_forwards_lead_to_machines(void **state)
{
	struct plan plan =
		plan_of("{\"subnet\": \"10.77.1.0/24\", \"forwards\": [{\"protocol\": \"udp\", "
			"\"address\": \"192.0.2.1\", \"port\": 53, \"to\": \"10.77.1.9\"}]}");
	char *rules, *chain;

	(void)state;
	add_nic(&plan, "web", WEB_UID, "{}", "{\"forwards\": [\"8080-80\"]}", "10.77.1.9");
	assert_int_equal(address_parse("fd00::9", &plan.nics.items[0].address6, NULL), 0);
	rules = rules_of(&plan, NFT_TRACK_BRIDGE);
	chain = chain_of(rules, "forwards");
	assert_has(chain, "ip daddr 192.0.2.1 udp dport 53 dnat ip to 10.77.1.9:53\n");
	assert_has(chain, "meta nfproto ipv4 fib daddr type local tcp dport 8080 dnat ip to "
			  "10.77.1.9:80\n");
	assert_has(chain, "meta nfproto ipv6 fib daddr type local tcp dport 8080 dnat ip6 to "
			  "[fd00::9]:80");
	free(chain);
	free(rules);
	plan_fini(&plan);
}

/* ---- dnsmasq ---- */

static char *config_of(const struct plan_network *network)
{
	struct str text = { 0 };

	dnsmasq_config_text(network, "/run/cella/networks/x", "cella", &text);
	return str_take(&text);
}

static void config_of_a_network_serves_its_bridge_alone(void **state)
{
	struct plan_network *network =
		network_of_spec("{\"subnet\": \"10.77.1.0/24\", \"subnet6\": \"fd12::/64\"}");
	char *config = config_of(network);

	(void)state;
	assert_has(config, "\ninterface=ce-aaaaaaaa\n");
	assert_has(config, "\nbind-dynamic\n");
	assert_has(config, "\ndhcp-range=10.77.1.0,static,255.255.255.0,1h\n");
	assert_has(config, "\ndhcp-range=fd12::,static,64,1h\n");
	assert_has(config, "\nlocal=/cella.internal/\n");
	assert_has(config, "\ndhcp-hostsfile=/run/cella/networks/x/hosts\n");
	free(config);
	plan_network_free(network);
}

static void config_of_less_has_less(void **state)
{
	struct plan_network *network = network_of_spec(
		"{\"subnet\": \"10.77.1.0/24\", \"ipv6\": false, \"dns\": false, \"nat\": false}");
	char *config = config_of(network);

	(void)state;
	assert_has(config, "\nport=0\n");
	assert_has(config, "\ndhcp-option=option:router\n");
	assert_has_not(config, "enable-ra");
	assert_has_not(config, "addn-hosts");
	free(config);
	plan_network_free(network);
}

static void hosts_and_names_are_of_machines_and_leases(void **state)
{
	struct plan plan = plan_of("{\"subnet\": \"10.77.1.0/24\", \"leases\": [{\"mac\": "
				   "\"5e:00:00:00:00:07\", \"address\": \"10.77.1.70\", \"name\": "
				   "\"printer\"}, {\"mac\": \"5e:00:00:00:00:01\", \"address\": "
				   "\"10.77.1.9\"}]}");
	struct str hosts = { 0 }, names = { 0 };
	struct plan_nic *nic = add_nic(&plan, "web", WEB_UID, "{}",
				       "{\"mac\": \"5e:00:00:00:00:01\"}", "10.77.1.9");
	char *text;

	(void)state;
	assert_int_equal(address_parse("fd00::9", &nic->address6, NULL), 0);
	dnsmasq_hosts_text(&plan, plan.networks.items[0], &hosts);
	text = str_take(&hosts);
	assert_string_equal(text, "5e:00:00:00:00:01,10.77.1.9,[fd00::9],web\n"
				  "5e:00:00:00:00:07,10.77.1.70,printer\n");
	free(text);
	dnsmasq_names_text(&plan, plan.networks.items[0], &names);
	text = str_take(&names);
	assert_string_equal(text, "10.77.1.9 web.cella.internal web web.default.cella.internal\n"
				  "fd00::9 web.cella.internal web web.default.cella.internal\n"
				  "10.77.1.70 printer.cella.internal printer\n");
	free(text);
	plan_fini(&plan);
}

struct leases {
	unsigned count;
	struct lease items[8];
};

static void keep_lease(void *ctx, const struct lease *lease)
{
	struct leases *leases = ctx;

	leases->items[leases->count++] = *lease;
}

static void leases_of_a_file_are_read_and_the_rest_passed_over(void **state)
{
	static const char text[] =
		"1795274000 5e:00:00:00:00:01 10.77.1.9 web 01:5e:00:00:00:00:01\n"
		"0 5e:00:00:00:00:02 10.77.1.10 * *\n"
		"duid 00:01:00:01\n"
		"1795274001 123456 fd12::9 Not_a_name 00:04\n"
		"x 5e:00:00:00:00:02 10.77.1.10 a b\n"
		"1 zz 10.77.1.10 a b\n\n1 2\n"
		"1 5e:00:00:00:00:03 10.77.1.11 last *";
	struct leases leases = { 0 };
	char address[ADDRESS_TEXT_SIZE];

	(void)state;
	leases_read(text, keep_lease, &leases);
	assert_int_equal(leases.count, 4);
	assert_string_equal(leases.items[0].name, "web");
	assert_int_equal(leases.items[0].expires, 1795274000);
	assert_string_equal(leases.items[1].name, "");
	assert_string_equal(address_text(&leases.items[2].address, address), "fd12::9");
	assert_string_equal(leases.items[2].name, "");
	assert_int_equal(leases.items[2].mac[0], 0);
	assert_string_equal(leases.items[3].name, "last");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_of_wrong_spec_is_refused_with_field),
		cmocka_unit_test(plan_names_are_of_the_uid_and_fit),
		cmocka_unit_test(plan_network_has_a_local_subnet6_of_its_own),
		cmocka_unit_test(rules_of_nothing_leave_nothing),
		cmocka_unit_test(rules_of_a_network_translate_and_close_it),
		cmocka_unit_test(rules_of_a_closed_network_let_nothing_out),
		cmocka_unit_test(rules_hold_a_machine_to_its_addresses),
		cmocka_unit_test(rules_of_a_trusted_machine_check_no_source),
		cmocka_unit_test(rules_of_a_group_are_for_who_has_its_labels),
		cmocka_unit_test(rules_of_groups_fit_what_the_kernel_can_follow),
		cmocka_unit_test(rules_of_forwards_lead_to_machines),
		cmocka_unit_test(config_of_a_network_serves_its_bridge_alone),
		cmocka_unit_test(config_of_less_has_less),
		cmocka_unit_test(hosts_and_names_are_of_machines_and_leases),
		cmocka_unit_test(leases_of_a_file_are_read_and_the_rest_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
