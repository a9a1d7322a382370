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
#include "node/access_priv.h"
#include "node/certificate.h"

#define TLS_FOLDER "tls"

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

int access_certificate(struct node *node, struct err *err)
{
	struct access *access = node->access;
	AUTO_CLOSE int folder_fd = -1;
	char fingerprint[65];
	bool made = false;
	int rc;

	if (node->config.certificate && node->config.key)
		return 0;
	if (node->config.certificate || node->config.key) {
		err_set(err, EINVAL, "a certificate and its key go together");
		err_hint(err, "give both, or none for one of our own");
		return -EINVAL;
	}
	rc = open_folder(node, &folder_fd, err);
	rc = rc ? rc : ensure(folder_fd, &made, err);
	if (rc)
		return rc;
	access->certificate = path_of(node, CERTIFICATE_FILE);
	access->key = path_of(node, CERTIFICATE_KEY);
	if (!access->certificate || !access->key)
		return err_errno(err, ENOMEM, "cannot use a certificate");
	node->config.certificate = access->certificate;
	node->config.key = access->key;
	if (made && !certificate_fingerprint(access->certificate, fingerprint, err))
		log_info("tls: made a certificate, SHA-256 %s", fingerprint);
	return 0;
}
