/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line is put together on the stack, and cut at LINE_MAX_BYTES. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

#define LINE_MAX_BYTES 1024

_Atomic enum log_level log_threshold = LOG_WARN;
static _Atomic int log_fd = STDERR_FILENO;
static atomic_bool log_raw;
static _Atomic enum log_form log_form;

static const char *const level_names[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn",   [LOG_INFO] = "info",
	[LOG_DEBUG] = "debug", [LOG_TRACE] = "trace",
};

void log_set_output(int fd, bool raw_terminal)
{
	atomic_store(&log_fd, fd);
	atomic_store(&log_raw, raw_terminal);
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	for (unsigned i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (!strcmp(name, level_names[i])) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

void log_set_form(enum log_form form)
{
	atomic_store(&log_form, form);
}

struct line {
	char text[LINE_MAX_BYTES];
	size_t used;
};

/* Leaves room for the end of the line. */
static void add(struct line *line, const char *format, ...) PRINTF_LIKE(2, 3);
static void add(struct line *line, const char *format, ...)
{
	size_t room = sizeof(line->text) - line->used - 8;
	va_list args;
	int printed;

	va_start(args, format);
	printed = vsnprintf(line->text + line->used, room, format, args);
	va_end(args);
	if (printed > 0)
		line->used += MIN((size_t)printed, room - 1);
}

static void add_time(struct line *line)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	line->used += strftime(line->text + line->used, 32, "%FT%T", &tm);
	add(line, ".%03ldZ", now.tv_nsec / 1000000);
}

/* What is cut is cut between characters. */
static void add_quoted(struct line *line, const char *text)
{
	for (; *text && line->used < sizeof(line->text) - 16; text++) {
		if (*text == '"' || *text == '\\')
			line->text[line->used++] = '\\';
		line->text[line->used++] = *text;
	}
}

static void add_message(struct line *line, enum log_form form, enum log_level level,
			const char *message)
{
	/* Of syslog(3): err, warning, info, debug. */
	static const int priorities[] = {
		[LOG_ERROR] = 3, [LOG_WARN] = 4, [LOG_INFO] = 6, [LOG_DEBUG] = 7, [LOG_TRACE] = 7
	};

	switch (form) {
	case LOG_FORM_TEXT:
		add_time(line);
		add(line, " %-5s %s", level_names[level], message);
		break;
	case LOG_FORM_JSON:
		add(line, "{\"time\":\"");
		add_time(line);
		add(line, "\",\"level\":\"%s\",\"program\":\"%s\",\"message\":\"",
		    level_names[level], program_invocation_short_name);
		add_quoted(line, message);
		memcpy(line->text + line->used, "\"}", 3);
		line->used += 2;
		break;
	case LOG_FORM_JOURNAL:
		add(line, "<%d>%s", priorities[level], message);
		break;
	}
}

void log_write(enum log_level level, const char *format, ...)
{
	const char *end = atomic_load(&log_raw) ? "\r\n" : "\n";
	int saved_errno = errno;
	char message[LINE_MAX_BYTES];
	struct line line = { .used = 0 };
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	str_make_plain(message);
	add_message(&line, atomic_load(&log_form), level, message);
	memcpy(line.text + line.used, end, strlen(end));
	line.used += strlen(end);
	/* Nobody can be told that the log itself is gone. */
	(void)!write(atomic_load(&log_fd), line.text, line.used);
	errno = saved_errno;
}
