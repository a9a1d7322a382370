/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cards that have taps: "/attachments/VM/INDEX" in the store, with the item of the machine's "nets" as it
 * was when the card was attached. That is what the running machine has, whatever its spec says since:
 * a card that is taken out of the spec, or put on another network, stays where it is until the guest
 * lets go of it, and so do its rules.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "node/network/priv.h"

#define PREFIX     "/attachments/"
#define PAGE_ITEMS 256
#define KEY_BYTES  96

/* What a change of the spec brings at once. */
static const char *const live[] = { "forwards", "spoofing", "receive-max", "transmit-max" };

static void attachment_key(const char *vm_uid, unsigned index, char key[KEY_BYTES])
{
	snprintf(key, KEY_BYTES, PREFIX "%s/%u", vm_uid, index);
}

static void attachment_fini(struct attachment *attachment)
{
	json_decref(attachment->net);
}

struct attachment *attachment_find_there(struct networks *networks, const char *vm_uid,
					 unsigned index)
{
	struct attachment *attachment;

	vec_for_each (attachment, &networks->attachments) {
		if (attachment->index == index && !strcmp(attachment->vm_uid, vm_uid))
			return attachment;
	}
	return NULL;
}

static int store_attachment(struct node *node, const struct attachment *attachment,
			    struct problem *problem)
{
	char address[ADDRESS_TEXT_SIZE], address6[ADDRESS_TEXT_SIZE];
	json_t *json =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "network", attachment->network_uid,
			  "project", attachment->project, "name", attachment->name, "address",
			  address_text(&attachment->address, address), "address6",
			  address_text(&attachment->address6, address6), "net", attachment->net);
	AUTO_FREE char *text = json_dumps(json, JSON_COMPACT);
	struct store_commit commit = { 0 };
	char key[KEY_BYTES];
	int rc;

	json_decref(json);
	if (!text)
		return problem_set(problem, API_CODE_INTERNAL, "out of memory");
	attachment_key(attachment->vm_uid, attachment->index, key);
	store_put(&commit, key, text, strlen(text));
	rc = store_commit(node->store, &commit, NULL, &problem->err);
	store_commit_fini(&commit);
	return rc ? problem_from_err(problem, rc) : 0;
}

static void remove_key(struct node *node, const char *key)
{
	struct store_commit commit = { 0 };

	store_delete(&commit, key);
	store_commit(node->store, &commit, NULL, NULL);
	store_commit_fini(&commit);
}

int attachment_note_there(struct networks *networks, const struct object *vm,
			  const struct plan_nic *nic, const char *network_uid,
			  struct problem *problem)
{
	json_t *net = json_array_get(json_object_get(object_spec(vm), "nets"), nic->index);
	struct attachment attachment = {
		.index = nic->index,
		.address = nic->address,
		.address6 = nic->address6,
		.net = json_incref(net),
	};
	int rc;

	memcpy(attachment.vm_uid, vm->uid, sizeof(attachment.vm_uid));
	memcpy(attachment.project, vm->project, sizeof(attachment.project));
	memcpy(attachment.name, vm->name, sizeof(attachment.name));
	snprintf(attachment.network_uid, sizeof(attachment.network_uid), "%s", network_uid);
	attachment_forget_there(networks, vm->uid, nic->index);
	rc = store_attachment(networks->node, &attachment, problem);
	if (!rc && vec_push(&networks->attachments, attachment))
		rc = problem_set(problem, API_CODE_INTERNAL, "out of memory");
	if (rc)
		attachment_fini(&attachment);
	return rc;
}

void attachment_forget_there(struct networks *networks, const char *vm_uid, unsigned index)
{
	struct attachment *attachment = attachment_find_there(networks, vm_uid, index);
	char key[KEY_BYTES];

	if (!attachment)
		return;
	attachment_fini(attachment);
	*attachment = networks->attachments.items[--networks->attachments.count];
	attachment_key(vm_uid, index, key);
	remove_key(networks->node, key);
}

void attachments_fini(struct networks *networks)
{
	struct attachment *attachment;

	vec_for_each (attachment, &networks->attachments)
		attachment_fini(attachment);
	vec_fini(&networks->attachments);
}

/* ---- reading ---- */

/* One that is not there, or not known, is none. */
static void read_address(const json_t *json, const char *name, struct address *address)
{
	const char *text = schema_string(json, name);

	if (text)
		address_parse(text, address, NULL);
}

static bool read_item(const struct store_item *item, struct attachment *ret_attachment)
{
	struct attachment attachment = { 0 };
	json_t *json = json_loadb(item->value, item->bytes, 0, NULL);
	const char *network = schema_string(json, "network");
	const char *project = schema_string(json, "project"), *name = schema_string(json, "name");
	bool good = sscanf(item->key, PREFIX "%36[0-9a-f-]/%u", attachment.vm_uid,
			   &attachment.index) == 2 &&
		    network && project && name && json_object_get(json, "net");

	if (good) {
		snprintf(attachment.network_uid, sizeof(attachment.network_uid), "%s", network);
		snprintf(attachment.project, sizeof(attachment.project), "%s", project);
		snprintf(attachment.name, sizeof(attachment.name), "%s", name);
		attachment.net = json_incref(json_object_get(json, "net"));
		read_address(json, "address", &attachment.address);
		read_address(json, "address6", &attachment.address6);
		*ret_attachment = attachment;
	}
	json_decref(json);
	return good;
}

/* Calls `visit` for each, until it says something else than 0. The attachment is borrowed, and may be
 * taken, by a reference to its `net`. */
static int each_stored(struct node *node,
		       int (*visit)(void *ctx, const char *key,
				    const struct attachment *attachment),
		       void *ctx)
{
	char after[STORE_KEY_MAX + 1] = "";
	bool more = true;
	int rc = 0;

	while (more && !rc) {
		const struct store_item *item;
		struct store_page page;

		rc = store_list(node->store, PREFIX, *after ? after : NULL, PAGE_ITEMS, &page,
				NULL);
		if (rc)
			return rc;
		vec_for_each (item, &page.items) {
			struct attachment attachment;

			snprintf(after, sizeof(after), "%s", item->key);
			if (rc || !read_item(item, &attachment))
				continue;
			rc = visit(ctx, item->key, &attachment);
			attachment_fini(&attachment);
		}
		more = page.more;
		store_page_fini(&page);
	}
	return rc;
}

struct load {
	struct networks *networks;
	bool (*has_tap)(void *ctx, const char *name);
	void *ctx;
};

static int load_one(void *ctx, const char *key, const struct attachment *attachment)
{
	struct load *load = ctx;
	char tap[IFNAMSIZ];

	plan_tap_name(attachment->vm_uid, attachment->index, tap);
	if (!load->has_tap(load->ctx, tap)) {
		remove_key(load->networks->node, key);
		return 0;
	}
	if (vec_push(&load->networks->attachments, *attachment))
		return -ENOMEM;
	json_incref(attachment->net);
	return 0;
}

int attachments_load(struct networks *networks, bool (*has_tap)(void *ctx, const char *name),
		     void *ctx)
{
	struct load load = { networks, has_tap, ctx };

	return each_stored(networks->node, load_one, &load);
}

struct search {
	const char *network_uid;
	char name[2 * API_NAME_MAX + 2];
};

static int find_one(void *ctx, const char *key, const struct attachment *attachment)
{
	struct search *search = ctx;

	if (!strcmp(attachment->network_uid, search->network_uid))
		snprintf(search->name, sizeof(search->name), "%s/%s", attachment->project,
			 attachment->name);
	return *search->name != '\0';
}

bool attachments_use(struct node *node, const char *network_uid,
		     char ret_name[2 * API_NAME_MAX + 2])
{
	struct search search = { .network_uid = network_uid };

	if (each_stored(node, find_one, &search) <= 0)
		return false;
	memcpy(ret_name, search.name, sizeof(search.name));
	return true;
}

/* ---- what is in force ---- */

static json_t *without_live(const json_t *net)
{
	json_t *rest = json_copy((json_t *)(uintptr_t)net);

	for (unsigned i = 0; i < ARRAY_SIZE(live); i++)
		json_object_del(rest, live[i]);
	return rest;
}

static bool same_but_live(const json_t *one, const json_t *other)
{
	json_t *one_rest = without_live(one), *other_rest = without_live(other);
	bool same = one && other && json_equal(one_rest, other_rest);

	json_decref(one_rest);
	json_decref(other_rest);
	return same;
}

static json_t *net_of(const struct object *vm, unsigned index)
{
	return json_array_get(json_object_get(object_spec(vm), "nets"), index);
}

json_t *attachment_net(const struct attachment *attachment, const struct object *vm)
{
	json_t *now = net_of(vm, attachment->index);

	return json_incref(same_but_live(attachment->net, now) ? now : attachment->net);
}

bool network_changes_live(const struct object *vm, unsigned index, const json_t *before)
{
	return same_but_live(before, net_of(vm, index));
}

bool network_is_user(struct node *node, const struct object *vm, unsigned index)
{
	struct problem problem = PROBLEM_INIT;
	struct object network;
	bool user;

	if (network_of(node, vm, index, &network, &problem))
		return false;
	user = !strcmp(schema_string(object_spec(&network), "type"), "user");
	object_fini(&network);
	return user;
}
