/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Networks of a node in a network namespace of this test: with the real kernel, nft and dnsmasq. What
 * packets may do is for tests/system; here is what is made, found again and removed.
 */
#include <ftw.h>
#include <sched.h>
#include <sys/wait.h>

#include "node/network/priv.h"
#include "node/network/nft.h"

#include "../fixture.h"

static const struct kind_ops vm_test_ops = { .kind = &api_vm };

const struct kind_ops *const kind_ops_table[] = { &network_ops, &security_group_ops, &vm_test_ops,
						  NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	for (const struct kind_ops *const *ops = kind_ops_table; *ops; ops++) {
		if ((*ops)->kind == kind)
			return *ops;
	}
	return NULL;
}

#define LAN "{\"type\": \"nat\", \"subnet\": \"10.99.1.0/24\"}"

/* ---- the rig ---- */

static void start(struct rig *rig)
{
	struct err err = ERR_INIT;

	rig->node.config.run = rig->folder;
	if (network_ops.start(&rig->node, &err))
		fail_msg("%s", err.text);
	if (rig->node.networks->unable.code)
		fail_msg("%s", rig->node.networks->unable.text);
}

/* What was asked for before is done. */
static void settle(struct rig *rig)
{
	struct problem problem = PROBLEM_INIT;

	assert_int_equal(networks_apply(rig->node.networks, &problem), 0);
}

/* As after a daemon that was killed. */
static void start_again(struct rig *rig)
{
	settle(rig);
	reconciler_stop(&rig->node);
	loop_hold(rig->node.loop);
	network_ops.stop(&rig->node);
	loop_release(rig->node.loop);
	rig_reopen(rig);
	start(rig);
}

static int setup(void **state)
{
	rig_init(state);
	start(*state);
	return 0;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	char path[128];

	settle(rig);
	reconciler_stop(&rig->node);
	workers_free(rig->node.workers);
	assert_int_equal(workers_new(&rig->node.workers, "reconcile", 1, NULL), 0);
	loop_hold(rig->node.loop);
	network_ops.stop(&rig->node);
	loop_release(rig->node.loop);
	snprintf(path, sizeof(path), "%s/networks", rig->folder);
	nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return rig_fini(state);
}

/* What a command prints, caller frees. */
static char *output_of(const char *command)
{
	FILE *out = popen(command, "r");
	struct str text = { 0 };
	char line[512];

	while (fgets(line, sizeof(line), out))
		str_add(&text, line);
	pclose(out);
	return str_take(&text);
}

static void assert_output(const char *command, const char *part, bool there)
{
	char *text = output_of(command);

	if (!strstr(text, part) == there)
		fail_msg("'%s'%s in the output of '%s':\n%s", part, there ? " is not" : "", command,
			 text);
	free(text);
}

static struct object make(struct rig *rig, const struct api_kind *kind, const char *name,
			  const char *spec)
{
	struct problem problem = PROBLEM_INIT;
	struct object object;

	if (rig_create(rig, kind, name, spec, &object, &problem))
		fail_msg("%s: %s", problem.field, problem.err.text);
	return object;
}

static void reconcile(struct rig *rig, const struct object *object)
{
	struct problem problem = PROBLEM_INIT;

	if (kind_ops_of(object->kind)->reconcile(&rig->node, object, &problem) < 0)
		fail_msg("%s; %s", problem.err.text, problem.err.hint);
}

static struct network_port attach(struct rig *rig, const struct object *vm, unsigned queues)
{
	struct problem problem = PROBLEM_INIT;
	struct network_port port;

	if (network_attach(&rig->node, vm, 0, queues, &port, &problem))
		fail_msg("%s; %s", problem.err.text, problem.err.hint);
	return port;
}

static void remove_network(struct rig *rig, struct object *network)
{
	network->deleting = true;
	json_object_set_new(network->document, "deleting", json_true());
	assert_int_equal(rig_put(rig, network, NULL), 0);
	reconcile(rig, network);
	object_fini(network);
}

/* ---- tests ---- */

static void network_is_made_and_goes_without_a_trace(void **state)
{
	struct rig *rig = *state;
	char *links = output_of("ip -o link"), *after;
	struct object network = make(rig, &api_network, "lan", LAN);
	json_t *status;

	assert_int_equal(
		nft_run("table inet other {\nchain c {\ntcp dport 9 drop\n}\n}\n", false, NULL), 0);
	reconcile(rig, &network);
	status = object_status(&rig->node, &network);
	assert_string_equal(schema_string(status, "state"), "ready");
	assert_string_equal(schema_string(status, "subnet"), "10.99.1.0/24");
	json_decref(status);
	assert_output("ip -o addr", "inet 10.99.1.1/24", true);
	assert_output("ip -o addr", "inet6 fe80::1/64", true);
	assert_output("nft list ruleset", "ip saddr 10.99.1.0/24", true);
	assert_output("pgrep -fa 'networks/[0-9a-f-]*/dnsmasq[.]conf'", rig->folder, true);
	assert_output("cat /proc/sys/net/ipv4/ip_forward", "1", true);
	remove_network(rig, &network);
	assert_output("nft list ruleset", "cella", false);
	assert_output("nft list ruleset", "tcp dport 9 drop", true);
	after = output_of("ip -o link");
	assert_string_equal(after, links);
	assert_output("pgrep -fa 'networks/[0-9a-f-]*/dnsmasq[.]conf'", rig->folder, false);
	free(after);
	free(links);
}

static void machine_gets_a_tap_rules_and_the_same_address_again(void **state)
{
	struct rig *rig = *state;
	struct object network = make(rig, &api_network, "lan", LAN);
	struct object vm = make(rig, &api_vm, "web",
				"{\"nets\": [{\"network\": \"lan\", \"receive-max\": 1000}]}");
	struct network_port port = attach(rig, &vm, 2);
	json_t *facts = network_describe(&rig->node, &vm, 0), *again;
	char words[128];

	assert_int_equal(port.fd_count, 2);
	assert_string_equal(schema_string(port.net, "kind"), "tap");
	assert_int_equal(schema_integer(port.net, "receive-max"), 1000);
	assert_string_equal(schema_string(port.net, "mac"), schema_string(facts, "mac"));
	assert_int_equal(json_array_size(json_object_get(facts, "addresses")), 2);
	snprintf(words, sizeof(words), "\"%s\" : jump spoof-0", schema_string(facts, "interface"));
	assert_output("nft list ruleset bridge", words, true);
	assert_output("ip -o link show type tun", "master ce-", true);
	assert_int_equal(rig_count(rig, "/addresses/"), 2);
	network_port_fini(&port);
	network_detach(&rig->node, vm.uid, 0);
	assert_output("nft list ruleset bridge", words, false);
	assert_output("ip -o link", "ct-", false);
	port = attach(rig, &vm, 1);
	again = network_describe(&rig->node, &vm, 0);
	assert_true(json_equal(facts, again));
	network_port_fini(&port);
	network_detach(&rig->node, vm.uid, 0);
	network_forget(&rig->node, vm.uid);
	assert_int_equal(rig_count(rig, "/addresses/"), 0);
	json_decref(facts);
	json_decref(again);
	object_fini(&vm);
	remove_network(rig, &network);
}

static void addresses_of_the_spec_are_kept_for_their_machine(void **state)
{
	struct rig *rig = *state;
	struct object network = make(rig, &api_network, "lan", LAN);
	struct object one =
		make(rig, &api_vm, "one",
		     "{\"nets\": [{\"network\": \"lan\", \"address\": \"10.99.1.7\"}]}");
	struct object two =
		make(rig, &api_vm, "two",
		     "{\"nets\": [{\"network\": \"lan\", \"address\": \"10.99.1.7\"}]}");
	struct object gateway =
		make(rig, &api_vm, "three",
		     "{\"nets\": [{\"network\": \"lan\", \"address\": \"10.99.1.1\"}]}");
	struct object other = make(rig, &api_vm, "four", "{\"nets\": [{\"network\": \"wan\"}]}");
	struct network_port port = attach(rig, &one, 1);
	struct problem problem = PROBLEM_INIT;

	assert_int_equal(network_check(&rig->node, &one, &problem), 0);
	assert_true(network_check(&rig->node, &two, &problem) < 0);
	assert_int_equal(problem.code, API_CODE_IN_USE);
	assert_string_equal(problem.field, "spec.nets[0]");
	assert_true(network_check(&rig->node, &gateway, &problem) < 0);
	assert_int_equal(problem.code, API_CODE_INVALID);
	assert_non_null(strstr(problem.err.hint, "10.99.1.0/24"));
	assert_true(network_check(&rig->node, &other, &problem) < 0);
	assert_int_equal(problem.code, API_CODE_NOT_FOUND);
	network_port_fini(&port);
	network_detach(&rig->node, one.uid, 0);
	object_fini(&one);
	object_fini(&two);
	object_fini(&gateway);
	object_fini(&other);
	remove_network(rig, &network);
}

static void daemon_that_starts_again_finds_what_is_there(void **state)
{
	struct rig *rig = *state;
	struct object network = make(rig, &api_network, "lan", LAN);
	struct object vm = make(rig, &api_vm, "web", "{\"nets\": [{\"network\": \"lan\"}]}");
	struct network_port port = attach(rig, &vm, 1);
	json_t *facts = network_describe(&rig->node, &vm, 0);
	char *before, *after, words[128], pgrep[128];

	reconcile(rig, &network);
	snprintf(pgrep, sizeof(pgrep), "pgrep -f '%s/dnsmasq[.]conf'", network.uid);
	before = output_of(pgrep);
	assert_true(*before);
	start_again(rig);
	settle(rig);
	snprintf(words, sizeof(words), "\"%s\" : jump spoof-0", schema_string(facts, "interface"));
	assert_output("nft list ruleset bridge", words, true);
	reconcile(rig, &network);
	after = output_of(pgrep);
	assert_string_equal(before, after);
	network_port_fini(&port);
	network_detach(&rig->node, vm.uid, 0);
	assert_output("nft list ruleset bridge", words, false);
	free(before);
	free(after);
	json_decref(facts);
	object_fini(&vm);
	remove_network(rig, &network);
}

/* Another daemon of the host has its own folder, and the same ways of naming. */
static void what_another_daemon_made_stays(void **state)
{
	static const char rules[] =
		"table inet cella-00000000 {\nchain c {\ntcp dport 9 drop\n}\n}\n"
		"table bridge cella-00000000 {\nchain c {\ndrop\n}\n}\n";
	struct rig *rig = *state;
	struct object network;
	char *before, *after;

	assert_int_equal(system("ip link add ce-00000000 type bridge"), 0);
	assert_int_equal(system("ip tuntap add ct-000000000000 mode tap"), 0);
	assert_int_equal(nft_run(rules, false, NULL), 0);
	before = output_of("ip -o link; nft list ruleset");
	start_again(rig);
	network = make(rig, &api_network, "lan", LAN);
	reconcile(rig, &network);
	assert_output("nft list ruleset", "ip saddr 10.99.1.0/24", true);
	remove_network(rig, &network);
	after = output_of("ip -o link; nft list ruleset");
	assert_string_equal(before, after);
	assert_int_equal(system("ip link del ce-00000000 && ip link del ct-000000000000"), 0);
	assert_int_equal(nft_run("flush ruleset", false, NULL), 0);
	free(before);
	free(after);
}

/* What the spec says since is for the next start; no rule goes before the tap. */
static void running_machine_keeps_its_rules_whatever_its_spec_says(void **state)
{
	struct rig *rig = *state;
	struct object network = make(rig, &api_network, "lan", LAN);
	struct object vm = make(rig, &api_vm, "web", "{\"nets\": [{\"network\": \"lan\"}]}");
	struct network_port port = attach(rig, &vm, 1);
	json_t *spec = json_object_get(vm.document, "spec");
	struct problem problem = PROBLEM_INIT;
	struct change change;
	char *before, *after;

	settle(rig);
	before = output_of("nft list ruleset");
	assert_non_null(strstr(before, "\" : jump spoof-0"));
	json_object_set_new(spec, "nets", json_array());
	assert_int_equal(rig_put(rig, &vm, &problem), 0);
	settle(rig);
	after = output_of("nft list ruleset");
	assert_string_equal(before, after);
	free(after);
	start_again(rig);
	settle(rig);
	after = output_of("nft list ruleset");
	assert_string_equal(before, after);
	change_begin(&change, &rig->node, NULL);
	assert_true(network_ops.release(&change, &network, &problem) < 0);
	assert_int_equal(problem.code, API_CODE_IN_USE);
	change_fini(&change);
	network_port_fini(&port);
	network_detach(&rig->node, vm.uid, 0);
	assert_int_equal(rig_count(rig, "/attachments/"), 0);
	free(after);
	free(before);
	object_fini(&vm);
	remove_network(rig, &network);
}

static void rules_that_somebody_flushed_come_back(void **state)
{
	struct rig *rig = *state;
	struct object network = make(rig, &api_network, "lan", LAN);

	reconcile(rig, &network);
	assert_int_equal(nft_run("flush ruleset", false, NULL), 0);
	reconcile(rig, &network);
	assert_output("nft list ruleset", "table inet cella-", true);
	assert_int_equal(system("ip link del $(ip -o link show type bridge | cut -d: -f2)"), 0);
	reconcile(rig, &network);
	assert_output("ip -o addr", "inet 10.99.1.1/24", true);
	remove_network(rig, &network);
}

static void bridge_of_the_host_that_is_missing_is_told(void **state)
{
	struct rig *rig = *state;
	struct object network =
		make(rig, &api_network, "office", "{\"type\": \"bridge\", \"bridge\": \"br9\"}");
	struct problem problem = PROBLEM_INIT;

	assert_true(network_ops.reconcile(&rig->node, &network, &problem) < 0);
	assert_non_null(strstr(problem.err.text, "no bridge 'br9'"));
	assert_int_equal(system("ip link add br9 type bridge"), 0);
	reconcile(rig, &network);
	remove_network(rig, &network);
	assert_output("ip -o link", "br9", true);
	assert_int_equal(system("ip link del br9"), 0);
}

static void user_network_needs_nothing_of_the_host(void **state)
{
	struct rig *rig = *state;
	struct object network =
		make(rig, &api_network, "slow", "{\"type\": \"user\", \"nat\": false}");
	struct object vm =
		make(rig, &api_vm, "web",
		     "{\"nets\": [{\"network\": \"slow\", \"forwards\": [\"8080-80\"]}]}");
	struct network_port port = attach(rig, &vm, 4);
	json_t *rules, *wanted;
	struct object group;

	assert_int_equal(port.fd_count, 0);
	assert_string_equal(schema_string(port.net, "kind"), "user");
	assert_true(schema_boolean(port.net, "restricted"));
	assert_int_equal(json_array_size(json_object_get(port.net, "hostfwd")), 1);
	network_port_fini(&port);
	/* Its process sees to what groups say. */
	group = make(
		rig, &api_security_group, "quiet",
		"{\"rules\": [{\"direction\": \"out\", \"protocol\": \"tcp\", \"ports\": \"80,90-95\", "
		"\"remote\": \"192.0.2.1\"}, {\"direction\": \"out\", \"remote-labels\": {\"a\": \"b\"}}]}");
	object_fini(&group);
	group = make(rig, &api_security_group, "others",
		     "{\"labels\": {\"tier\": \"db\"}, \"rules\": [{\"protocol\": \"icmp\"}]}");
	object_fini(&group);
	port = attach(rig, &vm, 4);
	wanted = json_pack("{s:[s], s:[{s:s, s:s, s:s, s:s}]}", "restrict", "out", "allow",
			   "direction", "out", "protocol", "tcp", "ports", "80-80,90-95", "remote",
			   "192.0.2.1/32");
	rules = network_user_rules(&rig->node, &vm);
	assert_true(json_equal(rules, wanted));
	assert_true(
		json_equal(json_object_get(port.net, "allow"), json_object_get(wanted, "allow")));
	json_decref(rules);
	json_decref(wanted);
	network_port_fini(&port);
	object_fini(&vm);
	remove_network(rig, &network);
}

static void forwarding_goes_with_the_last_network(void **state)
{
	static const char forwarding[] = "cat /proc/sys/net/ipv4/ip_forward";
	struct rig *rig = *state;
	struct object network;

	assert_int_equal(system("echo 0 > /proc/sys/net/ipv4/ip_forward"), 0);
	network = make(rig, &api_network, "lan", LAN);
	reconcile(rig, &network);
	assert_output(forwarding, "1", true);
	remove_network(rig, &network);
	assert_output(forwarding, "0", true);
	/* Something that looks like a container's is on the host by now. */
	network = make(rig, &api_network, "lan", LAN);
	reconcile(rig, &network);
	assert_int_equal(system("ip link add v0 type veth peer name v1"), 0);
	remove_network(rig, &network);
	assert_output(forwarding, "1", true);
	/* And what was on before is not taken back. */
	assert_int_equal(system("ip link del v0"), 0);
	network = make(rig, &api_network, "lan", LAN);
	reconcile(rig, &network);
	remove_network(rig, &network);
	assert_output(forwarding, "0", true);
	assert_int_equal(system("echo 1 > /proc/sys/net/ipv4/ip_forward"), 0);
	network = make(rig, &api_network, "lan", LAN);
	reconcile(rig, &network);
	remove_network(rig, &network);
	assert_output(forwarding, "1", true);
}

static void networks_with_the_same_subnet_are_refused(void **state)
{
	struct rig *rig = *state;
	struct object network = make(rig, &api_network, "lan", LAN);
	struct problem problem = PROBLEM_INIT;
	struct object chosen;

	assert_true(rig_create(rig, &api_network, "same",
			       "{\"type\": \"nat\", \"subnet\": \"10.99.0.0/16\"}", NULL,
			       &problem) < 0);
	assert_int_equal(problem.code, API_CODE_CONFLICT);
	assert_non_null(strstr(problem.err.text, "default/lan"));
	/* One that is free, and not a route's. */
	assert_int_equal(system("ip link set lo up && ip addr add 10.77.1.9/24 dev lo"), 0);
	chosen = make(rig, &api_network, "any", "{\"type\": \"nat\"}");
	reconcile(rig, &chosen);
	assert_output("ip -o addr", "inet 10.77.2.1/24", true);
	remove_network(rig, &chosen);
	remove_network(rig, &network);
}

/* A namespace of its own; without rights, one of users first. */
static void enter_namespace(void)
{
	uid_t uid = geteuid();
	char map[32];
	FILE *file;

	if (!unshare(CLONE_NEWNET))
		return;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		perror("no network namespace for this test");
		exit(1);
	}
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
	file = fopen("/proc/self/uid_map", "w");
	fputs(map, file);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(network_is_made_and_goes_without_a_trace, setup,
						teardown),
		cmocka_unit_test_setup_teardown(machine_gets_a_tap_rules_and_the_same_address_again,
						setup, teardown),
		cmocka_unit_test_setup_teardown(addresses_of_the_spec_are_kept_for_their_machine,
						setup, teardown),
		cmocka_unit_test_setup_teardown(daemon_that_starts_again_finds_what_is_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_another_daemon_made_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(
			running_machine_keeps_its_rules_whatever_its_spec_says, setup, teardown),
		cmocka_unit_test_setup_teardown(rules_that_somebody_flushed_come_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bridge_of_the_host_that_is_missing_is_told, setup,
						teardown),
		cmocka_unit_test_setup_teardown(user_network_needs_nothing_of_the_host, setup,
						teardown),
		cmocka_unit_test_setup_teardown(forwarding_goes_with_the_last_network, setup,
						teardown),
		cmocka_unit_test_setup_teardown(networks_with_the_same_subnet_are_refused, setup,
						teardown),
	};

	enter_namespace();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
