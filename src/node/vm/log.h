/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log that keeps the latest bytes of a stream in a file of bounded size: what a console said. It
 * knows how far it is in the stream it was written from, so that after an end of the daemon, however
 * sudden, it goes on with the right byte.
 *
 * Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct vm_log;

#define VM_LOG_SOURCE_MAX 48

/*
 * Opens the file `name` in a folder, and makes it, or makes it anew when it is none or has another size:
 * `capacity` bytes of the stream are kept.
 */
int vm_log_open(struct vm_log **ret_log, int folder_fd, const char *name, uint32_t capacity,
		struct err *err);
/* Accepts NULL. */
void vm_log_close(struct vm_log *log);

/*
 * The log is written from the stream of that name now. Returns the number of its byte that is missing:
 * 0 for a stream that is new to it.
 */
uint64_t vm_log_source(struct vm_log *log, const char *source);

/* The next bytes are of the stream's byte `at` on: those before it are lost. */
void vm_log_skip(struct vm_log *log, uint64_t at);

/* Bytes of the stream. 0 or a negative errno, and then none of them is in it. */
int vm_log_write(struct vm_log *log, const void *bytes, size_t count);

/* Bytes that are no part of the stream. */
int vm_log_note(struct vm_log *log, const void *bytes, size_t count);

/* The numbers of the log's own bytes: of the oldest that is kept, and of the next one. */
void vm_log_range(struct vm_log *log, uint64_t *ret_first, uint64_t *ret_next);

/*
 * Reads from byte `*at` on, or from the oldest one behind it; `*at` is moved behind what was read.
 * Returns how many bytes (0: there is no more), or a negative errno.
 */
ssize_t vm_log_read(struct vm_log *log, uint64_t *at, void *bytes, size_t max);
