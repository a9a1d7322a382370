/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of machines: "/addresses/NETWORK/ADDRESS" in the store, with the machine's uid and the
 * number of its card. They are kept while the machine is stopped, so that it comes back with the same.
 *
 * The number of an IPv4 address in its subnet is that of the machine's IPv6 address in the other one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/str.h"
#include "node/network/priv.h"

#define FIRST_NUMBER 2u /* 1 is the bridge */
#define PAGE_ITEMS   512
#define OWNER_SIZE   (UID_SIZE + 8)
#define PREFIX       "/addresses/"

/* Says what a card's entry has in it. */
static void owner_text(const struct plan_nic *nic, char text[OWNER_SIZE])
{
	snprintf(text, OWNER_SIZE, "%s %u", nic->vm_uid, nic->index);
}

static void address_key(const char *network_uid, const struct address *address, char key[128])
{
	char text[ADDRESS_TEXT_SIZE];

	snprintf(key, 128, PREFIX "%s/%s", network_uid, address ? address_text(address, text) : "");
}

/* Calls `visit` for each entry with the prefix, until it says something else than 0. */
static int each_entry(struct node *node, const char *prefix,
		      int (*visit)(void *ctx, const struct store_item *item), void *ctx)
{
	char after[STORE_KEY_MAX + 1] = "";
	bool more = true;
	int rc = 0;

	while (more && !rc) {
		struct store_page page;
		const struct store_item *item;

		rc = store_list(node->store, prefix, *after ? after : NULL, PAGE_ITEMS, &page,
				NULL);
		if (rc)
			return rc;
		vec_for_each (item, &page.items) {
			snprintf(after, sizeof(after), "%s", item->key);
			rc = visit(ctx, item);
			if (rc)
				break;
		}
		more = page.more;
		store_page_fini(&page);
	}
	return rc;
}

/* ---- one network ---- */

#define NUMBERS 65536

struct book {
	const struct plan_network *network;
	char owner[OWNER_SIZE];
	struct address own, own6;   /* that the card has */
	uint8_t taken[NUMBERS / 8]; /* by others */
};

static void take_number(struct book *book, uint32_t number)
{
	book->taken[number / 8] |= (uint8_t)(1 << number % 8);
}

static int read_entry(void *ctx, const struct store_item *item)
{
	struct book *book = ctx;
	const char *slash = strrchr(item->key, '/');
	struct address address;
	bool six;

	if (address_parse(slash + 1, &address, NULL))
		return 0;
	six = address.bytes == 16;
	if (strcmp(item->value, book->owner))
		take_number(book,
			    subnet_number(six ? &book->network->subnet6 : &book->network->subnet,
					  &address));
	else if (six)
		book->own6 = address;
	else
		book->own = address;
	return 0;
}

static int read_book(struct node *node, const struct plan_network *network,
		     const struct plan_nic *nic, struct book *book)
{
	const struct plan_lease *lease;
	char prefix[128];

	*book = (struct book){ .network = network };
	owner_text(nic, book->owner);
	vec_for_each (lease, &network->leases) {
		const struct subnet *subnet =
			lease->address.bytes == 16 ? &network->subnet6 : &network->subnet;

		if (memcmp(lease->mac, nic->mac, MAC_BYTES))
			take_number(book, subnet_number(subnet, &lease->address));
		else if (lease->address.bytes == 16)
			book->own6 = lease->address;
		else if (lease->address.bytes)
			book->own = lease->address;
	}
	take_number(book, 0);
	take_number(book, 1);
	address_key(network->uid, NULL, prefix);
	return each_entry(node, prefix, read_entry, book);
}

static bool is_free(const struct book *book, uint32_t number)
{
	return number && !(book->taken[number / 8] >> number % 8 & 1);
}

/* From a place that the machine's uid gives, the next free one. 0: there is none. */
static uint32_t choose_number(const struct book *book, const struct plan_nic *nic)
{
	uint32_t last = subnet_last_number(&book->network->subnet);
	uint32_t count = last - FIRST_NUMBER + 1;
	uint32_t start = (uint32_t)((text_hash(nic->vm_uid, 0) + nic->index) % count);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = FIRST_NUMBER + (start + i) % count;

		if (is_free(book, number))
			return number;
	}
	return 0;
}

/* The address of the card, which may stay 0. */
static void choose(const struct book *book, struct plan_nic *nic)
{
	const struct plan_network *network = book->network;
	uint32_t number;

	if (!nic->address.bytes && network->subnet.address.bytes) {
		number = subnet_number(&network->subnet, &book->own);
		if (!is_free(book, number) || number > subnet_last_number(&network->subnet))
			number = choose_number(book, nic);
		if (number)
			nic->address = subnet_address(&network->subnet, number);
	}
	if (nic->address6.bytes || !network->subnet6.address.bytes)
		return;
	number = subnet_number(&network->subnet6, &book->own6);
	if (!number)
		number = subnet_number(&network->subnet, &nic->address);
	if (number)
		nic->address6 = subnet_address(&network->subnet6, number);
}

/* ---- the store ---- */

static int in_use(const struct address *address, struct problem *problem)
{
	char text[ADDRESS_TEXT_SIZE];

	return problem_set(problem, API_CODE_IN_USE, "another machine has the address '%s'",
			   address_text(address, text));
}

static int keep(struct node *node, const char *network_uid, const struct address *address,
		const char *owner, struct problem *problem)
{
	struct store_commit commit = { 0 };
	struct store_item item = { 0 };
	char key[128];
	int rc;

	if (!address->bytes)
		return 0;
	address_key(network_uid, address, key);
	rc = store_get(node->store, key, &item, NULL);
	if (!rc) {
		bool own = !strcmp(item.value, owner);

		store_item_fini(&item);
		return own ? 0 : in_use(address, problem);
	}
	if (rc != -ENOENT)
		return problem_from_err(problem, rc);
	store_expect(&commit, key, 0);
	store_put(&commit, key, owner, strlen(owner));
	rc = store_commit(node->store, &commit, NULL, &problem->err);
	store_commit_fini(&commit);
	return rc ? problem_from_err(problem, rc) : 0;
}

/* What the card had before and has no more. */
struct stale {
	struct node *node;
	const struct plan_nic *nic;
	char owner[OWNER_SIZE];
};

static int drop_stale(void *ctx, const struct store_item *item)
{
	const struct stale *stale = ctx;
	const char *slash = strrchr(item->key, '/');
	struct store_commit commit = { 0 };
	struct address address;

	if (strcmp(item->value, stale->owner) || address_parse(slash + 1, &address, NULL) ||
	    address_equal(&address, &stale->nic->address) ||
	    address_equal(&address, &stale->nic->address6))
		return 0;
	store_delete(&commit, item->key);
	store_commit(stale->node->store, &commit, NULL, NULL);
	store_commit_fini(&commit);
	return 0;
}

int network_give_addresses_there(struct networks *networks, const struct plan_network *network,
				 struct plan_nic *nic, struct problem *problem)
{
	struct stale stale = { networks->node, nic, "" };
	struct book book;
	char prefix[128];
	int rc = read_book(networks->node, network, nic, &book);

	if (rc)
		return problem_from_err(problem, rc);
	if (network->type == NETWORK_NAT)
		choose(&book, nic);
	if (network->type == NETWORK_NAT && !nic->address.bytes) {
		problem_set(problem, API_CODE_CONFLICT, "network '%s' has no free address",
			    network->name);
		return problem_hint(problem, "delete machines, or make a larger network");
	}
	rc = keep(networks->node, network->uid, &nic->address, book.owner, problem);
	if (!rc)
		rc = keep(networks->node, network->uid, &nic->address6, book.owner, problem);
	if (rc)
		return rc;
	owner_text(nic, stale.owner);
	address_key(network->uid, NULL, prefix);
	each_entry(networks->node, prefix, drop_stale, &stale);
	return 0;
}

void network_known_addresses(struct node *node, const struct plan_network *network,
			     struct plan_nic *nic)
{
	struct book book;

	if (read_book(node, network, nic, &book))
		return;
	if (!nic->address.bytes)
		nic->address = book.own;
	if (!nic->address6.bytes)
		nic->address6 = book.own6;
}

/* Not the bridge's, nor the first or last of an IPv4 subnet. */
static bool is_for_machines(const struct subnet *subnet, const struct address *address)
{
	uint32_t number = subnet_number(subnet, address);

	if (!subnet_has(subnet, address) || number == 1)
		return false;
	return address->bytes == 16 || (number && number <= subnet_last_number(subnet));
}

static int check_address(struct node *node, const struct plan_network *network,
			 const struct subnet *subnet, const struct address *address,
			 const char *owner, struct problem *problem)
{
	char key[128], text[ADDRESS_TEXT_SIZE], subnet_words[SUBNET_TEXT_SIZE];
	struct store_item item = { 0 };
	bool others;

	if (!address->bytes)
		return 0;
	if (network->type == NETWORK_NAT && subnet->address.bytes &&
	    !is_for_machines(subnet, address)) {
		problem_set(problem, API_CODE_INVALID,
			    "'%s' is no address for machines of network '%s'",
			    address_text(address, text), network->name);
		return problem_hint(problem, "take one of %s", subnet_text(subnet, subnet_words));
	}
	address_key(network->uid, address, key);
	if (store_get(node->store, key, &item, NULL))
		return 0;
	others = strcmp(item.value, owner);
	store_item_fini(&item);
	return others ? in_use(address, problem) : 0;
}

int network_check_addresses(struct node *node, const struct plan_network *network,
			    const struct plan_nic *nic, struct problem *problem)
{
	char owner[OWNER_SIZE];
	int rc;

	owner_text(nic, owner);
	rc = check_address(node, network, &network->subnet, &nic->address, owner, problem);
	return rc ? rc
		  : check_address(node, network, &network->subnet6, &nic->address6, owner, problem);
}

struct forget {
	struct node *node;
	const char *vm_uid; /* NULL: everybody's */
};

static int forget_entry(void *ctx, const struct store_item *item)
{
	const struct forget *forget = ctx;
	struct store_commit commit = { 0 };

	if (forget->vm_uid && strncmp(item->value, forget->vm_uid, UID_SIZE - 1))
		return 0;
	store_delete(&commit, item->key);
	store_commit(forget->node->store, &commit, NULL, NULL);
	store_commit_fini(&commit);
	return 0;
}

void network_forget_addresses(struct node *node, const char *network_uid, const char *vm_uid)
{
	struct forget forget = { node, vm_uid };
	char prefix[128] = PREFIX;

	if (network_uid)
		address_key(network_uid, NULL, prefix);
	each_entry(node, prefix, forget_entry, &forget);
}
