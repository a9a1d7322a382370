/* SPDX-License-Identifier: GPL-2.0-or-later */
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

void log_write(enum log_level level, const char *format, ...)
{
	const char *end = atomic_load(&log_raw) ? "\r\n" : "\n";
	int saved_errno = errno;
	char line[LINE_MAX_BYTES];
	struct timespec now;
	struct tm tm;
	size_t used;
	int printed;
	va_list args;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	used = strftime(line, sizeof(line), "%FT%T", &tm);
	used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03ldZ %-5s ",
				 now.tv_nsec / 1000000, level_names[level]);
	va_start(args, format);
	printed = vsnprintf(line + used, sizeof(line) - used - 2, format, args);
	va_end(args);
	if (printed > 0)
		used += MIN((size_t)printed, sizeof(line) - used - 3);
	line[used] = '\0';
	str_make_plain(line);
	memcpy(line + used, end, strlen(end));
	used += strlen(end);
	/* Nobody can be told that the log itself is gone. */
	(void)!write(atomic_load(&log_fd), line, used);
	errno = saved_errno;
}
