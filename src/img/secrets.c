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

/* Of the image itself, or of one that it stands on. */
static bool is_key(const char *name)
{
	const char *dot = strrchr(name, '.');

	return !strcmp(dot ? dot + 1 : name, "key");
}

static int hold_value(const char *name, json_t *value, struct err *err)
{
	const char *source = json_string_value(value);
	char held[24];
	int rc;

	if (!is_key(name) || !strncmp(source, "env:", 4))
		return 0;
	rc = hold(source, held, sizeof(held), err);
	if (!rc && json_string_set(value, held))
		rc = err_errno(err, ENOMEM, "cannot read arguments");
	return rc;
}

/* The settings of one argument, with the sources of passphrases replaced. */
static int hold_in(json_t *list, size_t index, struct err *err)
{
	json_t *settings = json_object(), *value;
	struct str text = { 0 };
	const char *name;
	int rc = settings ? block_settings_parse(
				    settings, json_string_value(json_array_get(list, index)), err)
			  : err_errno(err, ENOMEM, "cannot read arguments");

	json_object_foreach(settings, name, value)
	{
		rc = rc ? rc : hold_value(name, value, err);
		str_printf(&text, "%s%s=%s", text.length ? "," : "", name,
			   json_string_value(value));
	}
	if (!rc && text.length &&
	    (text.failed || json_array_set_new(list, index, json_string(text.text))))
		rc = err_errno(err, ENOMEM, "cannot read arguments");
	str_fini(&text);
	json_decref(settings);
	return rc;
}

int img_hold_secrets(struct img *img, struct err *err)
{
	static const char *const arguments[] = { "options", "image-options", "other-options",
						 "backing-options" };
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(arguments); i++) {
		json_t *list = json_object_get(img->values, arguments[i]);

		for (size_t at = 0; at < json_array_size(list) && !rc; at++)
			rc = hold_in(list, at, err);
	}
	return rc;
}
