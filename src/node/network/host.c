/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side of a network of the type nat: a bridge of ours, its addresses, and forwarding. All
 * of it is found again by its name, and made again if somebody took it away.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "host/fd.h"
#include "node/network/priv.h"
#include "node/vm/spawn.h"

#define FIRST_SUBNET "10.77.0.0/24"
#define SUBNETS      256

/* ---- rights and settings of the kernel ---- */

int network_rights(struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (!syscall(SYS_capget, &header, sets) &&
	    sets[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN))
		return 0;
	err_set(err, EPERM, "the daemon may not change the host's network");
	return err_hint(err, "give it CAP_NET_ADMIN, or take a network of the type user");
}

/* A setting below /proc/sys/net. */
static int read_setting(const char *path, char *ret_value)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, ret_value, 1) == 1 ? 0 : -errno;
}

static int write_setting(const char *path, char value, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	char now;

	if (!read_setting(path, &now) && now == value)
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, &value, 1) != 1)
		return err_errno(err, errno, "cannot set '%s' to %c", path, value);
	log_info("'%s' is %c now", path, value);
	return 0;
}

/*
 * A host that forwards IPv6 takes no more notice of routers that announce themselves, unless told to
 * (accept_ra 2): it would lose its own way out.
 */
static int keep_hearing_routers(struct err *err)
{
	DIR *folder = opendir("/proc/sys/net/ipv6/conf");
	const struct dirent *entry;
	int rc = 0;

	while (folder && !rc && (entry = readdir(folder))) {
		char path[320], value;

		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", entry->d_name);
		if (*entry->d_name != '.' && strncmp(entry->d_name, "ce-", 3) &&
		    !read_setting(path, &value) && value == '1')
			rc = write_setting(path, '2', err);
	}
	if (folder)
		closedir(folder);
	return rc;
}

static const char forward4[] = "/proc/sys/net/ipv4/ip_forward";
static const char forward6[] = "/proc/sys/net/ipv6/conf/all/forwarding";

/* Which of them we switched on, since the host was booted: "BOOT 4 6" in the store. */
#define FORWARDING_KEY "/networks/forwarding"

struct forwarding {
	char boot[BOOT_ID_SIZE];
	bool ipv4, ipv6;
};

static void read_forwarding(struct node *node, struct forwarding *forwarding)
{
	struct store_item item;

	*forwarding = (struct forwarding){ 0 };
	if (vm_boot_id(forwarding->boot) || store_get(node->store, FORWARDING_KEY, &item, NULL))
		return;
	if (!strncmp(item.value, forwarding->boot, BOOT_ID_SIZE - 1)) {
		forwarding->ipv4 = strchr(item.value + BOOT_ID_SIZE - 1, '4');
		forwarding->ipv6 = strchr(item.value + BOOT_ID_SIZE - 1, '6');
	}
	store_item_fini(&item);
}

static void keep_forwarding(struct node *node, const struct forwarding *forwarding)
{
	struct store_commit commit = { 0 };
	char text[BOOT_ID_SIZE + 8];
	int length = snprintf(text, sizeof(text), "%s%s%s", forwarding->boot,
			      forwarding->ipv4 ? " 4" : "", forwarding->ipv6 ? " 6" : "");

	store_put(&commit, FORWARDING_KEY, text, (size_t)length);
	store_commit(node->store, &commit, NULL, NULL);
	store_commit_fini(&commit);
}

static bool is_on(const char *path)
{
	char value;

	return !read_setting(path, &value) && value == '1';
}

static int enable_forwarding(struct node *node, bool ipv6, struct err *err)
{
	struct forwarding forwarding;
	int rc = 0;

	if (is_on(forward4) && (!ipv6 || is_on(forward6)))
		return 0;
	read_forwarding(node, &forwarding);
	forwarding.ipv4 |= !is_on(forward4);
	forwarding.ipv6 |= ipv6 && !is_on(forward6);
	/* Before it is done: who is killed in between takes back what was not there, at worst. */
	keep_forwarding(node, &forwarding);
	rc = write_setting(forward4, '1', err);
	if (!rc && ipv6 && !is_on(forward6))
		rc = keep_hearing_routers(err);
	return rc || !ipv6 ? rc : write_setting(forward6, '1', err);
}

/* Whatever is not hardware may have come to need it: other bridges, also of another daemon, tunnels,
 * containers. */
static void note_virtual(void *ctx, const struct netlink_link *link)
{
	if (*link->kind)
		*(bool *)ctx = true;
}

static int note_nat(void *ctx, const struct object *network)
{
	(void)ctx;
	return !network->deleting && !strcmp(schema_string(object_spec(network), "type"), "nat");
}

/* With the last network that needed it. */
static void disable_forwarding(struct networks *networks)
{
	struct forwarding forwarding;
	bool needed = false;

	read_forwarding(networks->node, &forwarding);
	if ((!forwarding.ipv4 && !forwarding.ipv6) ||
	    object_each(networks->node, &api_network, NULL, note_nat, NULL) ||
	    netlink_links(&networks->netlink, note_virtual, &needed, NULL))
		return;
	if (needed) {
		log_info("the host goes on forwarding: others may have come to need it");
		return;
	}
	if (forwarding.ipv4)
		write_setting(forward4, '0', NULL);
	if (forwarding.ipv6)
		write_setting(forward6, '0', NULL);
	forwarding.ipv4 = forwarding.ipv6 = false;
	keep_forwarding(networks->node, &forwarding);
}

/* ---- the bridge ---- */

struct wanted_addresses {
	struct networks *networks;
	const struct plan_network *network;
	unsigned index;
	bool found[3];
	struct netlink_address wanted[3];
	VEC(struct netlink_address) others;
};

static void compare_address(void *ctx, const struct netlink_address *address)
{
	struct wanted_addresses *addresses = ctx;

	if (address->index != addresses->index)
		return;
	for (unsigned i = 0; i < 3; i++) {
		const struct netlink_address *wanted = &addresses->wanted[i];

		if (wanted->prefix == address->prefix &&
		    address_equal(&wanted->address, &address->address)) {
			addresses->found[i] = true;
			return;
		}
	}
	/* What cannot be noted now is noted the next time. */
	if (vec_push(&addresses->others, *address))
		return;
}

static int set_addresses(struct networks *networks, const struct plan_network *network,
			 unsigned index, struct err *err)
{
	struct wanted_addresses addresses = {
		.networks = networks,
		.index = index,
		.wanted = {
			{ index, network->gateway, network->subnet.prefix },
			{ index, network->gateway6, network->subnet6.prefix },
			{ index, PLAN_GATEWAY_LINK_LOCAL, 64 },
		},
	};
	const struct netlink_address *other;
	int rc = netlink_addresses(&networks->netlink, false, compare_address, &addresses, err);

	if (!network->subnet6.address.bytes)
		addresses.wanted[2].address.bytes = 0;
	for (unsigned i = 0; i < 3 && !rc; i++) {
		if (!addresses.found[i] && addresses.wanted[i].address.bytes)
			rc = netlink_add_address(&networks->netlink, &addresses.wanted[i], err);
	}
	vec_for_each (other, &addresses.others) {
		if (!rc)
			rc = netlink_remove_address(&networks->netlink, other, err);
	}
	vec_fini(&addresses.others);
	return rc;
}

/* Of the network's uid, so that machines never see it change. */
static void bridge_mac(const char *uid, uint8_t mac[MAC_BYTES])
{
	uint64_t hash = text_hash(uid, 0);

	mac[0] = 0xce;
	for (unsigned i = 1; i < MAC_BYTES; i++)
		mac[i] = (uint8_t)(hash >> (8 * i));
}

static int find_or_make(struct networks *networks, const struct plan_network *network,
			struct netlink_link *link, struct err *err)
{
	uint8_t mac[MAC_BYTES];
	int rc = netlink_find(&networks->netlink, network->bridge, link, err);

	if (rc != -ENODEV) {
		if (rc || !strcmp(link->kind, "bridge"))
			return rc;
		return err_set(err, EEXIST, "the host has a '%s' that is no bridge", link->name);
	}
	bridge_mac(network->uid, mac);
	rc = netlink_add_bridge(&networks->netlink, network->bridge, mac,
				networks->tracking == NFT_TRACK_NETFILTER, err);
	return rc ? rc : netlink_find(&networks->netlink, network->bridge, link, err);
}

/* So that 127.0.0.1 leads to forwards as well; rules see to it that nobody comes from there. */
static int route_loopback(const char *bridge, struct err *err)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", bridge);
	return write_setting(path, '1', err);
}

/* No machine is a router of the host's. Where there is no IPv6, there is nothing to say. */
static void ignore_routers(const char *bridge)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", bridge);
	write_setting(path, '0', NULL);
}

int network_up_there(struct networks *networks, const struct plan_network *network, struct err *err)
{
	const struct netlink_change change = { .mtu = network->mtu,
					       .up = true,
					       .no_addresses = true };
	struct netlink_link link;
	int rc = find_or_make(networks, network, &link, err);

	if (!rc && (!link.up || link.mtu != network->mtu))
		rc = netlink_change(&networks->netlink, link.index, &change, err);
	if (!rc)
		rc = set_addresses(networks, network, link.index, err);
	if (!rc)
		rc = route_loopback(network->bridge, err);
	if (!rc)
		rc = enable_forwarding(networks->node, network->subnet6.address.bytes, err);
	ignore_routers(network->bridge);
	return rc ? err_wrap(err, "bridge '%s'", network->bridge) : 0;
}

int network_down_there(struct networks *networks, const char *uid, struct err *err)
{
	struct server *server = networks_find_server(networks, uid);
	char bridge[IFNAMSIZ];
	int rc;

	plan_bridge_name(uid, bridge);
	if (networks->unable.code && if_nametoindex(bridge)) {
		*err = networks->unable;
		return err_wrap(err, "cannot remove bridge '%s'", bridge);
	}
	if (server) {
		dnsmasq_remove(&server->dnsmasq);
		dnsmasq_close(&server->dnsmasq);
		for (size_t i = 0; i < networks->servers.count; i++) {
			if (networks->servers.items[i] == server)
				networks->servers.items[i] =
					networks->servers.items[--networks->servers.count];
		}
		free(server);
	}
	if (networks->unable.code)
		return 0;
	rc = netlink_remove(&networks->netlink, bridge, err);
	if (!rc)
		disable_forwarding(networks);
	return rc;
}

/* ---- subnets ---- */

int network_subnet(struct node *node, const struct object *object, struct plan_network *network)
{
	struct subnet subnet;
	json_t *status;
	int rc;

	if (network->subnet.address.bytes || network->type != NETWORK_NAT)
		return 0;
	status = object_status(node, object);
	rc = schema_string(status, "subnet")
		     ? subnet_parse(schema_string(status, "subnet"), &subnet, NULL)
		     : -ENOENT;
	if (!rc)
		plan_network_set_subnet(network, &subnet);
	json_decref(status);
	return rc;
}

struct free_subnet {
	const struct object *object;
	struct node *node;
	struct subnet subnet;
	bool taken;
};

static void compare_subnet(void *ctx, const struct netlink_address *address)
{
	struct free_subnet *wish = ctx;
	struct subnet other = { address->address, address->prefix };

	if (address->prefix && subnet_overlaps(&wish->subnet, &other))
		wish->taken = true;
}

static int compare_network(void *ctx, const struct object *object)
{
	struct free_subnet *wish = ctx;
	struct problem problem = PROBLEM_INIT;
	struct plan_network *network;

	if (!strcmp(object->uid, wish->object->uid) ||
	    plan_network_read(object, &network, &problem))
		return 0;
	network_subnet(wish->node, object, network);
	if (subnet_overlaps(&wish->subnet, &network->subnet))
		wish->taken = true;
	plan_network_free(network);
	return 0;
}

int network_choose_subnet_there(struct networks *networks, const struct object *object,
				struct plan_network *network, struct problem *problem)
{
	struct free_subnet wish = { .object = object, .node = networks->node };
	char text[SUBNET_TEXT_SIZE];
	int rc;

	for (unsigned i = 1; i < SUBNETS; i++) {
		wish.taken = false;
		subnet_parse(FIRST_SUBNET, &wish.subnet, NULL);
		wish.subnet.address.octets[2] = (uint8_t)i;
		rc = netlink_addresses(&networks->netlink, true, compare_subnet, &wish,
				       &problem->err);
		if (!rc)
			rc = object_each(networks->node, &api_network, NULL, compare_network,
					 &wish);
		if (rc)
			return problem_from_err(problem, rc);
		if (wish.taken)
			continue;
		plan_network_set_subnet(network, &wish.subnet);
		return object_patch_status(
			networks->node, object,
			json_pack("{s:s}", "subnet", subnet_text(&wish.subnet, text)));
	}
	problem_set(problem, API_CODE_CONFLICT, "every subnet of 10.77.0.0/16 is in use");
	return problem_hint(problem, "give the network a subnet");
}
