/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passwords, hashed with Argon2id: slow on purpose and in much memory, so that a stolen store is not
 * soon guessed. Since each attempt costs the host as well, only few run at once, and a crowd is sent
 * away at once instead of taking every worker of the web server.
 *
 * Spec: RFC 9106; NIST SP 800-63B, 5.1.1.2 (length is what counts, no rules of composition).
 */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "codec/kdf.h"
#include "node/access/priv.h"

#define RUNNING_MAX 2
#define WAITING_MAX 2
#define SALT_BYTES  16
#define KEY_BYTES   32

/* About a tenth of a second. Kept with each hash: the numbers may grow. */
static const struct kdf_argon2 preset_cost = {
	.id = true, .passes = 2, .memory_kib = 64 * 1024, .lanes = 1
};

struct password_key {
	uint8_t salt[SALT_BYTES], key[KEY_BYTES];
};

void passwords_init(struct passwords *passwords)
{
	pthread_mutex_init(&passwords->lock, NULL);
	pthread_cond_init(&passwords->freed, NULL);
	passwords->running = passwords->waiting = 0;
	passwords->cost = preset_cost;
}

void passwords_fini(struct passwords *passwords)
{
	pthread_cond_destroy(&passwords->freed);
	pthread_mutex_destroy(&passwords->lock);
}

static int turn_begin(struct passwords *passwords, struct problem *problem)
{
	int rc = 0;

	pthread_mutex_lock(&passwords->lock);
	if (passwords->running == RUNNING_MAX && passwords->waiting == WAITING_MAX) {
		rc = problem_set(problem, API_CODE_TOO_MANY, "too many sign-ins at once");
		problem_hint(problem, "try again in a second");
	} else {
		passwords->waiting++;
		while (passwords->running == RUNNING_MAX)
			pthread_cond_wait(&passwords->freed, &passwords->lock);
		passwords->waiting--;
		passwords->running++;
	}
	pthread_mutex_unlock(&passwords->lock);
	return rc;
}

static void turn_end(struct passwords *passwords)
{
	pthread_mutex_lock(&passwords->lock);
	passwords->running--;
	pthread_cond_signal(&passwords->freed);
	pthread_mutex_unlock(&passwords->lock);
}

/* The key of the password, within the turns. */
static int derive(struct passwords *passwords, const struct kdf_argon2 *how, const char *password,
		  struct password_key *key, struct problem *problem)
{
	int rc = turn_begin(passwords, problem);

	if (rc)
		return rc;
	rc = kdf_argon2(how, password, strlen(password), key->salt, SALT_BYTES, key->key,
			KEY_BYTES);
	turn_end(passwords);
	if (rc)
		problem_set(problem, API_CODE_UNAVAILABLE, "cannot hash a password: out of memory");
	return rc;
}

int password_hash(struct passwords *passwords, const char *password, json_t **ret_hash,
		  struct problem *problem)
{
	char salt[2 * SALT_BYTES + 1], key_hex[2 * KEY_BYTES + 1], epoch[SECRET_HEX + 1];
	const struct kdf_argon2 *how = &passwords->cost;
	struct password_key key;
	int rc;

	if (getrandom(key.salt, SALT_BYTES, 0) != SALT_BYTES || secret_random(epoch))
		return problem_set(problem, API_CODE_INTERNAL, "cannot get random numbers");
	rc = derive(passwords, how, password, &key, problem);
	if (rc)
		return rc;
	hex_write(key.salt, SALT_BYTES, salt);
	hex_write(key.key, KEY_BYTES, key_hex);
	*ret_hash = json_pack("{s:{s:i, s:i, s:i, s:s, s:s}, s:s}", "argon2id", "passes",
			      (int)how->passes, "memory-kib", (int)how->memory_kib, "lanes",
			      (int)how->lanes, "salt", salt, "key", key_hex, "epoch", epoch);
	explicit_bzero(&key, sizeof(key));
	explicit_bzero(key_hex, sizeof(key_hex));
	return *ret_hash ? 0 : problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

/* What is in the store; -EINVAL: no hash of ours. */
static int hash_read(const json_t *hash, struct kdf_argon2 *ret_how, struct password_key *ret_key)
{
	int passes, memory_kib, lanes;
	const char *salt, *key;

	if (json_unpack((json_t *)(uintptr_t)hash, "{s:{s:i, s:i, s:i, s:s, s:s}}", "argon2id",
			"passes", &passes, "memory-kib", &memory_kib, "lanes", &lanes, "salt",
			&salt, "key", &key))
		return -EINVAL;
	*ret_how = (struct kdf_argon2){ .id = true,
					.passes = (uint32_t)passes,
					.memory_kib = (uint32_t)memory_kib,
					.lanes = (uint32_t)lanes };
	if (hex_read(salt, ret_key->salt, SALT_BYTES))
		return -EINVAL;
	return hex_read(key, ret_key->key, KEY_BYTES);
}

int password_verify(struct passwords *passwords, const json_t *hash, const char *password,
		    struct problem *problem)
{
	struct password_key kept = { 0 }, key = { 0 };
	struct kdf_argon2 how = passwords->cost;
	bool known = hash && !hash_read(hash, &how, &kept);
	unsigned different = 0;
	int rc;

	if (!known)
		how = passwords->cost;
	memcpy(key.salt, kept.salt, SALT_BYTES);
	rc = derive(passwords, &how, password, &key, problem);
	for (size_t i = 0; i < KEY_BYTES; i++)
		different |= kept.key[i] ^ key.key[i];
	explicit_bzero(&key, sizeof(key));
	explicit_bzero(&kept, sizeof(kept));
	if (rc)
		return rc;
	return known && !different ? 0 : -EACCES;
}

int password_check(const char *password, const char *user, struct problem *problem)
{
	size_t length = strlen(password);

	if (length >= PASSWORD_MIN && length <= PASSWORD_MAX && strcasecmp(password, user))
		return 0;
	if (length > PASSWORD_MAX)
		problem_set(problem, API_CODE_INVALID, "the password is longer than %d bytes",
			    PASSWORD_MAX);
	else if (length < PASSWORD_MIN)
		problem_set(problem, API_CODE_INVALID, "the password is shorter than %d characters",
			    PASSWORD_MIN);
	else
		problem_set(problem, API_CODE_INVALID, "the password is the user's name");
	problem_hint(problem, "a few words that nobody else would put together are good");
	return -EINVAL;
}
