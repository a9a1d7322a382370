/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all networks of a daemon share. Its start looks for what is there: taps of machines that run are
 * attachments, servers of networks that are gone are removed. Bridges go before their networks do, so
 * that those nobody knows here belong to another daemon.
 */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "node/network/priv.h"
#include "node/network/nft.h"

/* ---- changes of machines ---- */

static void machine_changed(void *ctx, const struct store_event *event)
{
	struct networks *networks = ctx;

	atomic_fetch_add(&networks->machine_changes, 1);
	networks_touch(networks);
}

static void start_watch(struct networks *networks);

static void machines_lost(void *ctx)
{
	struct networks *networks = ctx;

	networks->watch = NULL;
	start_watch(networks);
	machine_changed(networks, NULL);
}

/* Without memory for it, changes of machines come into force when networks are looked at again. */
static void start_watch(struct networks *networks)
{
	static const char *const machines[] = { "/objects/vm/", NULL };
	static const struct store_watch_ops ops = {
		.event = machine_changed,
		.lost = machines_lost,
	};
	struct node *node = networks->node;
	int rc = store_watch(node->store, machines, store_revision(node->store), node->loop, &ops,
			     networks, &networks->watch);

	if (rc)
		log_error("networks: machines are not watched: %s", strerrordesc_np(-rc));
}

/* ---- what is there already ---- */

struct found {
	VEC(struct netlink_link) taps;
	bool failed;
};

static void note_link(void *ctx, const struct netlink_link *link)
{
	struct found *found = ctx;

	if (!strcmp(link->kind, "tun"))
		found->failed |= vec_push(&found->taps, *link) != 0;
}

static bool has_tap(void *ctx, const char *name)
{
	const struct found *found = ctx;
	const struct netlink_link *tap;

	vec_for_each (tap, &found->taps) {
		if (!strcmp(tap->name, name))
			return true;
	}
	return false;
}

/* The server of a network that was deleted while the daemon was not there. */
static void remove_server(struct networks *networks, const char *uid)
{
	struct problem problem = PROBLEM_INIT;
	struct dnsmasq dnsmasq;
	struct object object;
	char *folder;
	int rc = object_get_by_uid(networks->node, &api_network, uid, &object, &problem);

	if (!rc)
		object_fini(&object);
	if (rc != -ENOENT || asprintf(&folder, "%s/%s", networks->folder, uid) < 0)
		return;
	log_warn("dnsmasq in '%s' belongs to nothing any more", folder);
	if (!dnsmasq_open(&dnsmasq, folder, networks->node->loop, NULL, NULL, &problem.err))
		dnsmasq_remove(&dnsmasq);
	dnsmasq_close(&dnsmasq);
}

static int find_servers(struct networks *networks, struct err *err)
{
	DIR *folder = opendir(networks->folder);
	const struct dirent *entry;

	if (!folder)
		return err_errno(err, errno, "cannot read '%s'", networks->folder);
	while ((entry = readdir(folder))) {
		if (strlen(entry->d_name) == UID_SIZE - 1)
			remove_server(networks, entry->d_name);
	}
	closedir(folder);
	return 0;
}

static int find_all(struct networks *networks, struct err *err)
{
	struct found found = { 0 };
	int rc = netlink_links(&networks->netlink, note_link, &found, err);

	if (!rc && found.failed)
		rc = err_errno(err, ENOMEM, "cannot look for taps");
	if (!rc) {
		rc = attachments_load(networks, has_tap, &found);
		if (rc)
			err_errno(err, rc, "cannot look for taps");
	}
	vec_fini(&found.taps);
	return rc ? rc : find_servers(networks, err);
}

static enum nft_tracking find_tracking(void)
{
	if (!nft_run(NFT_PROBE_BRIDGE, true, NULL))
		return NFT_TRACK_BRIDGE;
	return access("/proc/sys/net/bridge", F_OK) ? NFT_TRACK_NONE : NFT_TRACK_NETFILTER;
}

/* ---- start and stop ---- */

static int make_folder(struct networks *networks, struct err *err)
{
	char *base = realpath(networks->node->config.run, NULL);
	int rc = base && asprintf(&networks->folder, "%s/networks", base) >= 0 ? 0 : -ENOMEM;

	free(base);
	if (rc)
		return err_errno(err, rc, "cannot find the folder for networks");
	if (mkdir(networks->folder, 0700) && errno != EEXIST)
		return err_errno(err, errno, "cannot make '%s'", networks->folder);
	return 0;
}

/* Every daemon of a host has tables of its own, by a name that is kept with its data. */
static int name_table(struct networks *networks, struct err *err)
{
	struct store *store = networks->node->store;
	static const char key[] = "/networks/table";
	struct store_commit commit = { 0 };
	struct store_item item;
	char uid[UID_SIZE];
	int rc = store_get(store, key, &item, NULL);

	if (!rc) {
		snprintf(networks->table, sizeof(networks->table), "%s", item.value);
		store_item_fini(&item);
		return 0;
	}
	node_new_uid(uid);
	snprintf(networks->table, sizeof(networks->table), "cella-%.8s", uid);
	store_put(&commit, key, networks->table, strlen(networks->table));
	rc = store_commit(store, &commit, NULL, err);
	store_commit_fini(&commit);
	return rc ? err_wrap(err, "name of nftables tables") : 0;
}

static void find_user(struct networks *networks)
{
	const struct passwd *user = getpwuid(geteuid());

	snprintf(networks->user, sizeof(networks->user), "%s", user ? user->pw_name : "root");
}

/* One of the type user, which needs no right: whoever has just begun can be on it. */
static int make_default(struct node *node, struct err *err)
{
	struct problem problem = PROBLEM_INIT;
	struct object object = { .kind = &api_network,
				 .project = API_DEFAULT_PROJECT,
				 .name = "default" };
	static const char key[] = "/networks/default-made";
	struct store_item item;
	struct change change;
	int rc = store_get(node->store, key, &item, NULL);

	if (!rc) {
		store_item_fini(&item);
		return 0;
	}
	rc = object_create(node, &object, json_pack("{s:s}", "type", "user"), &change, &problem);
	if (!rc) {
		/* Once: who deletes it does not want it back. */
		store_put(&change.commit, key, "", 0);
		rc = change_commit(&change, &problem);
	}
	change_fini(&change);
	object_fini(&object);
	if (rc && problem.code != API_CODE_EXISTS) {
		*err = problem.err;
		return err_wrap(err, "network 'default'");
	}
	return 0;
}

int networks_start(struct node *node, struct err *err)
{
	struct networks *networks = calloc(1, sizeof(*networks));
	int rc;

	if (!networks)
		return err_errno(err, ENOMEM, "cannot start networks");
	networks->node = node;
	networks->netlink = (struct netlink){ .route_fd = -1, .filter_fd = -1 };
	networks->last = &networks->first;
	pthread_mutex_init(&networks->lock, NULL);
	pthread_cond_init(&networks->changed, NULL);
	node->networks = networks;
	rc = make_default(node, err);
	if (!rc)
		rc = make_folder(networks, err);
	if (!rc)
		rc = name_table(networks, err);
	if (rc)
		return rc;
	find_user(networks);
	if (!network_rights(&networks->unable)) {
		rc = netlink_open(&networks->netlink, err);
		if (!rc)
			rc = find_all(networks, err);
		if (rc)
			return rc;
		networks->tracking = find_tracking();
	}
	start_watch(networks);
	networks_touch(networks);
	return networks_start_thread(networks, err);
}

void networks_stop(struct node *node)
{
	struct networks *networks = node->networks;
	struct server **server;

	if (!networks)
		return;
	store_watch_end(networks->watch);
	networks_stop_thread(networks);
	vec_for_each (server, &networks->servers) {
		dnsmasq_close(&(*server)->dnsmasq);
		free(*server);
	}
	vec_fini(&networks->servers);
	attachments_fini(networks);
	vec_fini(&networks->counts);
	netlink_close(&networks->netlink);
	pthread_cond_destroy(&networks->changed);
	pthread_mutex_destroy(&networks->lock);
	free(networks->rules);
	free(networks->folder);
	free(networks);
	node->networks = NULL;
}
