/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: lines on stderr (or another descriptor) with a level, for operators and developers.
 *
 * Level, form and descriptor are process-wide, set once by main before threads start, changed later
 * only atomically. A line is one write(2), so lines of threads never mix. In a terminal in raw mode a
 * line ends with CR LF.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/macros.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

extern _Atomic enum log_level log_threshold; /* exception to "no globals": tools/globals.txt */

/* Descriptor that takes the lines (borrowed), and whether it is a raw terminal. Default: 2, false. */
void log_set_output(int fd, bool raw_terminal);

/*
 * What a line looks like: text with time and level; an object of JSON with "time", "level", "message"
 * and "program"; text with the priority in front that journald takes off (sd-daemon(3)).
 */
enum log_form { LOG_FORM_TEXT, LOG_FORM_JSON, LOG_FORM_JOURNAL };

void log_set_form(enum log_form form);

/* The level of that name ("error" … "trace"); false if there is none. */
bool log_level_parse(const char *name, enum log_level *ret_level);
const char *log_level_name(enum log_level level);

void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_at(level, ...)                                                                         \
	((level) <= atomic_load_explicit(&log_threshold, memory_order_relaxed)                     \
		 ? log_write(level, __VA_ARGS__)                                                   \
		 : (void)0)

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_TRACE, __VA_ARGS__)

/*
 * A guest can repeat its mistakes at any rate: such lines are written once per object. The flag
 * lives in the object (a device, a queue), is zero at first, and may be cleared at its reset.
 */
struct log_once {
	atomic_flag said;
};

#define log_once(once, level, ...)                                                                 \
	(atomic_flag_test_and_set(&(once)->said) ? (void)0 : log_at(level, __VA_ARGS__))
