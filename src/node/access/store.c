/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What access keeps in the store beside the objects that are shown. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/access/priv.h"
#include "node/object/change_priv.h"

int store_get_json(struct node *node, const char *key, json_t **ret_value, uint64_t *ret_modified,
		   uint64_t *ret_lease)
{
	struct store_item item;
	int rc = store_get(node->store, key, &item, NULL);

	if (rc)
		return rc;
	*ret_value = json_loadb(item.value, item.bytes, JSON_DECODE_ANY, NULL);
	if (ret_modified)
		*ret_modified = item.modified;
	if (ret_lease)
		*ret_lease = item.lease;
	store_item_fini(&item);
	return *ret_value ? 0 : -EBADMSG;
}

void secret_key(const struct api_kind *kind, const char *uid, char ret_key[STORE_KEY_MAX + 1])
{
	snprintf(ret_key, STORE_KEY_MAX + 1, "/secrets/%s/%s", kind->name, uid);
}

int user_epoch(struct node *node, const char *uid, char ret_epoch[SECRET_HEX + 1])
{
	char key[STORE_KEY_MAX + 1];
	json_t *value;
	int rc;

	*ret_epoch = '\0';
	secret_key(&api_user, uid, key);
	rc = store_get_json(node, key, &value, NULL, NULL);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	snprintf(ret_epoch, SECRET_HEX + 1, "%s", schema_string(value, "epoch") ?: "");
	json_decref(value);
	return 0;
}

int user_has_password(struct node *node, const char *uid, bool *ret_has)
{
	char key[STORE_KEY_MAX + 1];
	json_t *value = NULL;
	int rc;

	secret_key(&api_user, uid, key);
	rc = store_get_json(node, key, &value, NULL, NULL);
	if (rc && rc != -ENOENT)
		return rc;
	*ret_has = json_object_get(value, "argon2id");
	json_decref(value);
	return 0;
}

static char *keep(struct change *change, const char *text, struct problem *problem)
{
	char *kept = change_keep(change, strdup(text));

	if (!kept)
		problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	return kept;
}

int change_expect_key(struct change *change, const char *key, uint64_t modified,
		      struct problem *problem)
{
	char *kept = keep(change, key, problem);

	if (!kept)
		return -ENOMEM;
	store_expect(&change->commit, kept, modified);
	return 0;
}

int change_delete_key(struct change *change, const char *key, struct problem *problem)
{
	char *kept = keep(change, key, problem);

	if (!kept)
		return -ENOMEM;
	store_delete(&change->commit, kept);
	return 0;
}
