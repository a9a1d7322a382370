/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static int negative(int code)
{
	return code ? -abs(code) : -EIO;
}

static void set_text(struct err *err, int code, const char *format, va_list args)
{
	err->code = code;
	vsnprintf(err->text, sizeof(err->text), format, args);
	err->hint[0] = '\0';
}

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list args;

	code = negative(code);
	if (!err)
		return code;
	va_start(args, format);
	set_text(err, code, format, args);
	va_end(args);
	return code;
}

int err_errno(struct err *err, int code, const char *format, ...)
{
	va_list args;
	size_t used;

	code = negative(code);
	if (!err)
		return code;
	va_start(args, format);
	set_text(err, code, format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerrordesc_np(-code));
	return code;
}

int err_wrap(struct err *err, const char *format, ...)
{
	char context[ERR_TEXT_MAX];
	char inner[ERR_TEXT_MAX];
	va_list args;

	if (!err)
		return -EIO;
	va_start(args, format);
	vsnprintf(context, sizeof(context), format, args);
	va_end(args);
	memcpy(inner, err->text, sizeof(inner));
	/* A message that does not fit loses its end, never its context. */
	snprintf(err->text, sizeof(err->text), "%.*s: %s", ERR_TEXT_MAX / 2, context, inner);
	return err->code;
}

int err_hint(struct err *err, const char *format, ...)
{
	va_list args;

	if (!err)
		return -EIO;
	va_start(args, format);
	vsnprintf(err->hint, sizeof(err->hint), format, args);
	va_end(args);
	return err->code;
}

void err_print(const struct err *err, FILE *out)
{
	struct err plain = *err;

	/* They name what images, guests and servers chose. */
	str_make_plain(plain.text);
	str_make_plain(plain.hint);
	fprintf(out, "cella: %s%s%s\n", plain.text, *plain.hint ? "; " : "", plain.hint);
}

int err_flush_stdout(struct err *err)
{
	/* An earlier failure has left no more than its mark. */
	int failed = ferror(stdout);

	errno = 0;
	if (!fflush(stdout) && !failed)
		return 0;
	return err_errno(err, errno ? errno : EIO, "cannot write to standard output");
}
