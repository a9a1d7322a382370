/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passphrases that settings name ("key=file:PATH", "key=fd:NUMBER") are read before the sandbox
 * closes, into memory that has a descriptor: so they may lie anywhere, come from a pipe, and be
 * used twice, by what makes an image and what then opens it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/str.h"
#include "codec/secret.h"
#include "host/fd.h"
#include "img/command.h"

static int hold(const char *source, char *text, size_t size, struct err *err)
{
	struct secret secret;
	int fd, rc = secret_load(&secret, source, err);

	if (rc)
		return rc;
	/* Not closed: it lives as long as the program. */
	fd = memfd_create("secret", MFD_CLOEXEC);
	rc = fd < 0 ? -errno : fd_write_all(fd, secret.bytes, secret.count);
	if (!rc && lseek(fd, 0, SEEK_SET) < 0)
		rc = -errno;
	secret_fini(&secret);
	snprintf(text, size, "fd:%d", fd);
	return rc ? err_errno(err, rc, "cannot hold a secret") : 0;
}

/* The settings of one argument, with the source of the passphrase replaced. */
static int hold_in(json_t *list, size_t index, struct err *err)
{
	json_t *settings = json_object();
	struct str text = { 0 };
	const char *source;
	char held[24];
	int rc = settings ? block_settings_parse(
				    settings, json_string_value(json_array_get(list, index)), err)
			  : err_errno(err, ENOMEM, "cannot read arguments");

	source = rc ? NULL : block_setting_string(settings, "key");
	if (source && strncmp(source, "env:", 4)) {
		const char *name;
		json_t *value;

		rc = hold(source, held, sizeof(held), err);
		json_object_set_new(settings, "key", json_string(held));
		json_object_foreach(settings, name, value)
		{
			str_printf(&text, "%s%s=%s", text.length ? "," : "", name,
				   json_string_value(value));
		}
		if (!rc && (text.failed || json_array_set_new(list, index, json_string(text.text))))
			rc = err_errno(err, ENOMEM, "cannot read arguments");
	}
	str_fini(&text);
	json_decref(settings);
	return rc;
}

int img_hold_secrets(struct img *img, struct err *err)
{
	static const char *const arguments[] = { "options", "image-options", "other-options" };
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(arguments); i++) {
		json_t *list = json_object_get(img->values, arguments[i]);

		for (size_t at = 0; at < json_array_size(list) && !rc; at++)
			rc = hold_in(list, at, err);
	}
	return rc;
}
