/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which certificate the TLS listeners have. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "host/clock.h"
#include "node/access/priv.h"
#include "node/certificate.h"

#define TLS_FOLDER "tls"
#define PERIOD_NS  (3600 * NS_PER_SEC)

/* DATA/tls, which nobody else may look into. */
static int open_folder(struct node *node, int *ret_fd, struct err *err)
{
	int fd;

	if (mkdirat(node->data_fd, TLS_FOLDER, 0700) && errno != EEXIST)
		return err_errno(err, errno, "cannot make the folder '%s/%s'", node->config.data,
				 TLS_FOLDER);
	fd = openat(node->data_fd, TLS_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "cannot open the folder '%s/%s'", node->config.data,
				 TLS_FOLDER);
	*ret_fd = fd;
	return 0;
}

static char *path_of(struct node *node, const char *name)
{
	struct str path = { 0 };

	str_printf(&path, "%s/%s/%s", node->config.data, TLS_FOLDER, name);
	return str_take(&path);
}

static int ensure(int folder_fd, bool *ret_made, struct err *err)
{
	char **names = certificate_host_names();
	int rc = names ? certificate_ensure(folder_fd, (const char *const *)names,
					    node_now_ms() / 1000, ret_made, err)
		       : err_errno(err, ENOMEM, "cannot make a certificate");

	certificate_free_names(names);
	return rc;
}

/* When the files were last changed; zeros: they are not there. */
static void read_times(const struct node_config *config, struct timespec ret_times[2])
{
	const char *const paths[2] = { config->certificate, config->key };

	for (unsigned i = 0; i < 2; i++) {
		struct stat status;

		ret_times[i] = (struct timespec){ 0 };
		if (!stat(paths[i], &status))
			ret_times[i] = status.st_mtim;
	}
}

static void expired(struct loop_timer *timer)
{
	struct access *access = container_of(timer, struct access, renewal);

	access_renew_certificate(access->node);
}

static void wait_for_next(struct node *node)
{
	struct access *access = node->access;

	access->renewal.expired = expired;
	loop_timer_arm(node->loop, &access->renewal, clock_now_ns() + PERIOD_NS);
}

/* Our own one, and its paths into the configuration. */
static int use_own(struct node *node, bool *ret_made, struct err *err)
{
	struct access *access = node->access;
	AUTO_CLOSE int folder_fd = -1;
	char fingerprint[65];
	int rc = open_folder(node, &folder_fd, err);

	rc = rc ? rc : ensure(folder_fd, ret_made, err);
	if (rc)
		return rc;
	if (!access->certificate)
		access->certificate = path_of(node, CERTIFICATE_FILE);
	if (!access->key)
		access->key = path_of(node, CERTIFICATE_KEY);
	if (!access->certificate || !access->key)
		return err_errno(err, ENOMEM, "cannot use a certificate");
	node->config.certificate = access->certificate;
	node->config.key = access->key;
	if (*ret_made && !certificate_fingerprint(access->certificate, fingerprint, err))
		log_info("tls: made a certificate, SHA-256 %s", fingerprint);
	return 0;
}

int access_certificate(struct node *node, struct err *err)
{
	const struct node_config *config = &node->config;
	bool made = false;
	int rc = 0;

	if (!config->certificate != !config->key) {
		err_set(err, EINVAL, "a certificate and its key go together");
		err_hint(err, "give both, or none for one of our own");
		return -EINVAL;
	}
	if (!config->certificate)
		rc = use_own(node, &made, err);
	if (rc)
		return rc;
	read_times(config, node->access->files);
	wait_for_next(node);
	return 0;
}

void access_renew_certificate(struct node *node)
{
	struct access *access = node->access;
	const struct web_config config = { .certificate = node->config.certificate,
					   .key = node->config.key };
	struct timespec times[2];
	struct err err = ERR_INIT;
	bool made = false;
	int rc = 0;

	if (!access->renewal.expired)
		return;
	wait_for_next(node);
	if (access->certificate)
		rc = use_own(node, &made, &err);
	read_times(&node->config, times);
	if (!rc && !memcmp(times, access->files, sizeof(times)))
		return;
	rc = rc ? rc : web_renew_tls(node->web, &config, &err);
	if (rc) {
		log_error("tls: the certificate stays as it was: %s", err.text);
		return;
	}
	memcpy(access->files, times, sizeof(times));
	log_info("tls: clients get the certificate that is in '%s' now", config.certificate);
}
