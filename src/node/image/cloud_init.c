/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON is YAML, so what is written for cloud-init is JSON. Of secrets only the hash of the password is
 * in here: in the specification, and on the seed disk.
 *
 * Spec: cloud-init 22.4, "NoCloud", "Networking config version 2"
 */
#include "node/image/cloud_init.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/fd.h"
#include "node/image/image.h"
#include "node/image/iso9660.h"
#include "node/network/network.h"

#define LABEL        "cidata"
#define CLOUD_CONFIG "#cloud-config\n"
#define SALT_PREFIX  "$6$" /* SHA-512 */
#define SALT_MAX     CRYPT_GENSALT_OUTPUT_SIZE
#define HIDDEN       "(hidden)"

enum document { USER_DATA, META_DATA, VENDOR_DATA, NETWORK_CONFIG, DOCUMENTS };

static const char *const document_names[DOCUMENTS] = {
	[USER_DATA] = "user-data",
	[META_DATA] = "meta-data",
	[VENDOR_DATA] = "vendor-data",
	[NETWORK_CONFIG] = "network-config",
};

struct documents {
	char *texts[DOCUMENTS]; /* owned */
};

static void documents_fini(struct documents *documents)
{
	for (unsigned i = 0; i < DOCUMENTS; i++)
		free(documents->texts[i]);
}

static const json_t *wanted(const struct object *vm)
{
	return json_object_get(object_spec(vm), "cloud-init");
}

bool cloud_init_wanted(const struct object *vm)
{
	return schema_string(object_spec(vm), "image") || json_object_size(wanted(vm));
}

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_INTERNAL,
			   "cannot write the data of cloud-init: no memory");
}

/* ---- the password ---- */

/* As crypt(5) writes them, for whoever brings a hash of their own. */
static bool is_hash(const char *text)
{
	static const char *const prefixes[] = { "$6$", "$5$" };

	for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t length = strlen(prefixes[i]);

		if (!strncmp(text, prefixes[i], length) && strchr(text + length, '$'))
			return true;
	}
	return false;
}

static char *hash_of(const char *password)
{
	AUTO_FREE struct crypt_data *data = calloc(1, sizeof(*data));
	char salt[SALT_MAX];
	const char *hash;

	if (!data || !crypt_gensalt_rn(SALT_PREFIX, 0, NULL, 0, salt, sizeof(salt)))
		return NULL;
	hash = crypt_rn(password, salt, data, sizeof(*data));
	return hash ? strdup(hash) : NULL;
}

int cloud_init_prepare(struct object *vm, struct problem *problem)
{
	json_t *own = (json_t *)wanted(vm);
	const char *password = schema_string(own, "password");
	AUTO_FREE char *hash = NULL;

	if (!password || is_hash(password))
		return 0;
	if (strpbrk(password, "\r\n")) {
		problem_field(problem, "spec.cloud-init.password");
		return problem_set(problem, API_CODE_INVALID, "a password is one line");
	}
	hash = hash_of(password);
	if (!hash || json_object_set_new(own, "password", json_string(hash)))
		return problem_set(problem, API_CODE_INTERNAL, "cannot hash the password");
	return 0;
}

/* ---- documents ---- */

/* Takes the reference. */
static char *text_of(const char *start, json_t *value)
{
	AUTO_FREE char *dumped = value ? json_dumps(value, JSON_INDENT(2)) : NULL;
	char *text;

	json_decref(value);
	return dumped && asprintf(&text, "%s%s\n", start, dumped) >= 0 ? text : NULL;
}

static int add_named_key(struct node *node, const struct object *vm, const char *ref, json_t *keys,
			 struct problem *problem)
{
	struct object key;
	const char *text;
	int rc = object_resolve(node, &api_key, vm->project, ref, &key, problem);

	if (rc) {
		problem_field(problem, "spec.cloud-init.keys");
		return rc;
	}
	text = schema_string(object_spec(&key), "public-key");
	rc = text && json_array_append_new(keys, json_string(text)) ? no_memory(problem) : 0;
	object_fini(&key);
	return rc;
}

static int add_keys(struct node *node, const struct object *vm, json_t *keys,
		    struct problem *problem)
{
	json_t *item;
	size_t index;
	int rc = 0;

	json_array_foreach(json_object_get(wanted(vm), "keys"), index, item)
	{
		rc = rc ? rc : add_named_key(node, vm, json_string_value(item), keys, problem);
	}
	if (!rc && json_array_extend(keys, json_object_get(wanted(vm), "ssh-keys")) &&
	    json_object_get(wanted(vm), "ssh-keys"))
		rc = no_memory(problem);
	return rc;
}

/* The instance is the machine, so that a clone is a new one. */
static int make_meta_data(struct node *node, const struct object *vm, char **ret_text,
			  struct problem *problem)
{
	const char *name = schema_string(wanted(vm), "hostname");
	json_t *keys = json_array();
	int rc = add_keys(node, vm, keys, problem);

	if (rc) {
		json_decref(keys);
		return rc;
	}
	*ret_text =
		text_of("", json_pack("{s:s, s:s, s:o}", "instance-id", vm->uid, "local-hostname",
				      name ? name : vm->name, "public-keys", keys));
	return *ret_text ? 0 : no_memory(problem);
}

/* The machine's, else its image's; none: that of the distribution. */
static int find_user(struct node *node, const struct object *vm, char **ret_user,
		     struct problem *problem)
{
	const char *user = schema_string(wanted(vm), "user");
	const char *ref = schema_string(object_spec(vm), "image");
	struct object image;
	int rc;

	*ret_user = NULL;
	if (!user && ref) {
		rc = image_resolve(node, vm->project, ref, &image, problem);
		if (rc)
			return rc;
		user = schema_string(object_spec(&image), "user");
		*ret_user = user ? strdup(user) : NULL;
		object_fini(&image);
		return user && !*ret_user ? no_memory(problem) : 0;
	}
	*ret_user = user ? strdup(user) : NULL;
	return user && !*ret_user ? no_memory(problem) : 0;
}

static int make_vendor_data(struct node *node, const struct object *vm, bool hide, char **ret_text,
			    struct problem *problem)
{
	const char *password = schema_string(wanted(vm), "password");
	json_t *config = json_object();
	AUTO_FREE char *user = NULL;
	int rc = find_user(node, vm, &user, problem);

	if (rc) {
		json_decref(config);
		return rc;
	}
	if (user)
		json_object_set_new(config, "user", json_string(user));
	if (password) {
		json_object_set_new(config, "password", json_string(hide ? HIDDEN : password));
		json_object_set_new(config, "chpasswd", json_pack("{s:b}", "expire", false));
		json_object_set_new(config, "ssh_pwauth", json_true());
	}
	*ret_text = text_of(CLOUD_CONFIG, config);
	return *ret_text ? 0 : no_memory(problem);
}

/* Cards are found by their addresses and get names that stay. */
static json_t *card_row(const char *mac, const char *name)
{
	return json_pack("{s:{s:s}, s:s, s:b, s:b}", "match", "macaddress", mac, "set-name", name,
			 "dhcp4", true, "dhcp6", true);
}

static int make_network_config(struct node *node, const struct object *vm, char **ret_text,
			       struct problem *problem)
{
	const char *given = schema_string(wanted(vm), "network-config");
	size_t count = json_array_size(json_object_get(object_spec(vm), "nets"));
	json_t *cards;

	if (given) {
		*ret_text = strdup(given);
		return *ret_text ? 0 : no_memory(problem);
	}
	cards = json_object();
	for (size_t i = 0; i < count; i++) {
		json_t *facts = network_describe(node, vm, (unsigned)i);
		const char *mac = schema_string(facts, "mac");
		char name[16];

		snprintf(name, sizeof(name), "eth%zu", i);
		if (mac)
			json_object_set_new(cards, name, card_row(mac, name));
		json_decref(facts);
	}
	*ret_text = text_of("", json_pack("{s:i, s:o}", "version", 2, "ethernets", cards));
	return *ret_text ? 0 : no_memory(problem);
}

static int make_documents(struct node *node, const struct object *vm, bool hide,
			  struct documents *documents, struct problem *problem)
{
	const char *user_data = schema_string(wanted(vm), "user-data");
	int rc;

	*documents = (struct documents){ 0 };
	documents->texts[USER_DATA] = strdup(user_data ? user_data : CLOUD_CONFIG "{}\n");
	rc = documents->texts[USER_DATA] ? 0 : no_memory(problem);
	if (!rc)
		rc = make_meta_data(node, vm, &documents->texts[META_DATA], problem);
	if (!rc)
		rc = make_vendor_data(node, vm, hide, &documents->texts[VENDOR_DATA], problem);
	if (!rc)
		rc = make_network_config(node, vm, &documents->texts[NETWORK_CONFIG], problem);
	return rc;
}

/* ---- the seed disk ---- */

static int write_whole(int dir_fd, const char *name, const uint8_t *bytes, size_t count)
{
	char part[64];
	AUTO_CLOSE int fd = -1;
	int rc;

	if (snprintf(part, sizeof(part), ".%s.part", name) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	if (unlinkat(dir_fd, part, 0) && errno != ENOENT)
		return -errno;
	fd = openat(dir_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = fd_write_all(fd, bytes, count);
	if (!rc && renameat(dir_fd, part, dir_fd, name))
		rc = -errno;
	if (rc)
		unlinkat(dir_fd, part, 0);
	return rc;
}

static int write_documents(const struct documents *documents, int dir_fd, const char *name,
			   struct problem *problem)
{
	struct iso9660_file files[DOCUMENTS];
	AUTO_FREE uint8_t *bytes = NULL;
	size_t count;
	int rc;

	for (unsigned i = 0; i < DOCUMENTS; i++)
		files[i] = (struct iso9660_file){
			.name = document_names[i],
			.bytes = documents->texts[i],
			.count = strlen(documents->texts[i]),
		};
	rc = iso9660_make(LABEL, files, DOCUMENTS, &bytes, &count);
	if (!rc)
		rc = write_whole(dir_fd, name, bytes, count);
	return rc ? problem_from_err(problem, err_errno(&problem->err, rc,
							"cannot write the disk of cloud-init"))
		  : 0;
}

int cloud_init_write(struct node *node, const struct object *vm, int dir_fd, const char *name,
		     struct problem *problem)
{
	struct documents documents;
	int rc = make_documents(node, vm, false, &documents, problem);

	if (!rc)
		rc = write_documents(&documents, dir_fd, name, problem);
	documents_fini(&documents);
	return rc;
}

int cloud_init_show(struct call *call, struct problem *problem)
{
	struct documents documents;
	int rc = make_documents(call->node, call->object, true, &documents, problem);

	if (!rc)
		call->result = json_object();
	for (unsigned i = 0; i < DOCUMENTS && !rc; i++) {
		if (json_object_set_new(call->result, document_names[i],
					json_string(documents.texts[i])))
			rc = no_memory(problem);
	}
	documents_fini(&documents);
	return rc;
}
