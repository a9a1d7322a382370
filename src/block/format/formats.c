/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables: every format and every protocol that there is. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "base/suggest.h"
#include "block/file/http.h"
#include "block/file/nbd.h"
#include "block/format.h"
#include "block/format/formats.h"

const struct block_format *const block_formats[] = {
	&raw_format,  &vdi_format,  &qcow2_format, &vhdx_format, &vhd_format,
	&vmdk_format, &luks_format, &ova_format,   NULL,
};

static const struct block_protocol http = { .scheme = "http", .open = http_open };
static const struct block_protocol https = { .scheme = "https", .open = http_open };
static const struct block_protocol nbd = { .scheme = "nbd", .open = nbd_open };
static const struct block_protocol nbd_unix = { .scheme = "nbd+unix", .open = nbd_open };
static const struct block_protocol nbds = { .scheme = "nbds", .open = nbd_open };
static const struct block_protocol nbds_unix = { .scheme = "nbds+unix", .open = nbd_open };

const struct block_protocol *const block_protocols[] = {
	&http, &https, &nbd, &nbd_unix, &nbds, &nbds_unix, NULL,
};

static bool is_among(const char *name, const char *const *names)
{
	for (; names && *names; names++) {
		if (!strcasecmp(name, *names))
			return true;
	}
	return false;
}

const struct block_format *block_format_find(const char *name)
{
	for (const struct block_format *const *format = block_formats; *format; format++) {
		if (!strcmp((*format)->name, name) || is_among(name, (*format)->other_names))
			return *format;
	}
	return NULL;
}

static int unknown_format(const char *name, struct err *err)
{
	struct suggestion suggestion = suggestion_for(name);
	struct str all = { 0 };

	for (const struct block_format *const *format = block_formats; *format; format++) {
		suggestion_offer(&suggestion, (*format)->name);
		str_printf(&all, "%s%s", all.length ? ", " : "", (*format)->name);
	}
	err_set(err, EINVAL, "unknown format '%.64s'", name);
	if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	else if (!all.failed)
		err_hint(err, "there are %s", all.text);
	str_fini(&all);
	return -EINVAL;
}

int block_format_choose(const char *name, const struct block_format **ret_format, struct err *err)
{
	*ret_format = block_format_find(name);
	return *ret_format ? 0 : unknown_format(name, err);
}

const struct block_format *block_format_of_path(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');

	if (!dot)
		return NULL;
	for (const struct block_format *const *format = block_formats; *format; format++) {
		if (is_among(dot + 1, (*format)->extensions))
			return *format;
	}
	return NULL;
}

const struct block_protocol *block_protocol_of_path(const char *path)
{
	size_t length = strcspn(path, ":/");

	if (path[length] != ':')
		return NULL;
	for (const struct block_protocol *const *protocol = block_protocols; *protocol;
	     protocol++) {
		if (strlen((*protocol)->scheme) == length &&
		    !strncmp((*protocol)->scheme, path, length))
			return *protocol;
	}
	return NULL;
}
