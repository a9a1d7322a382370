/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/vm/console.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "host/thread.h"
#include "node/vm/process.h"
#include "node/vm/vmm_link.h"

#define PORT      "serial0"
#define LOG_NAME  "console.log"
#define TYPED_MAX 16384
#define RETRY_NS  (200 * NS_PER_MS)

struct vm_console {
	struct loop *loop;
	int folder_fd;
	struct vm_log *log;
	struct log_once full_said;

	/* The loop's. */
	struct vmm_link *link; /* NULL: not attached */
	struct loop_timer retry;
	struct loop_task type;
	char run[VM_LOG_SOURCE_MAX];

	pthread_mutex_t lock;
	struct list viewers; /* guarded by lock */
	uint8_t *typed;      /* guarded by lock: not yet passed on */
	size_t typed_count;  /* guarded by lock */
};

/* ---- output ---- */

static void tell(struct vm_console *console)
{
	struct vm_viewer *viewer;

	LOCK_SCOPE(&console->lock);
	list_for_each (viewer, &console->viewers, node)
		viewer->more(viewer);
}

/* On a full disk the machine goes on, and its log has a gap. */
static void record(struct vm_console *console, const void *bytes, size_t count)
{
	int rc = vm_log_write(console->log, bytes, count);

	if (rc)
		log_once(&console->full_said, LOG_WARN, "cannot write a console's log: %s",
			 strerrordesc_np(-rc));
}

static void note(struct vm_console *console, const char *format, ...) PRINTF_LIKE(2, 3);
static void note(struct vm_console *console, const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	vm_log_note(console->log, text, strlen(text));
}

/* The stream goes on with its byte `from`, and the log misses what is between. */
static void skip_to(struct vm_console *console, uint64_t from)
{
	uint64_t at = vm_log_source(console->log, console->run);

	if (from <= at)
		return;
	note(console, "\r\n[%llu bytes are lost]\r\n", (unsigned long long)(from - at));
	vm_log_skip(console->log, from);
}

static void link_attached(void *ctx, uint64_t from)
{
	skip_to(ctx, from);
}

static void link_output(void *ctx, const uint8_t *bytes, size_t count)
{
	struct vm_console *console = ctx;

	record(console, bytes, count);
	tell(console);
}

static void link_closed(void *ctx)
{
	struct vm_console *console = ctx;

	vmm_link_close(console->link);
	console->link = NULL;
	loop_timer_arm(console->loop, &console->retry, clock_now_ns() + RETRY_NS);
}

static const struct vmm_link_ops link_ops = {
	.attached = link_attached,
	.output = link_output,
	.closed = link_closed,
};

static void connect_link(struct vm_console *console)
{
	if (vmm_link_attach(&console->link, console->folder_fd, PORT,
			    vm_log_source(console->log, console->run), console->loop, &link_ops,
			    console, NULL))
		loop_timer_arm(console->loop, &console->retry, clock_now_ns() + RETRY_NS);
}

static void retry(struct loop_timer *timer)
{
	connect_link(container_of(timer, struct vm_console, retry));
}

void vm_console_attach(struct vm_console *console, const char *run)
{
	if (console->link || console->retry.heap_index)
		return;
	snprintf(console->run, sizeof(console->run), "%s", run);
	connect_link(console);
}

static void detach(struct vm_console *console)
{
	vmm_link_close(console->link);
	console->link = NULL;
	loop_timer_cancel(console->loop, &console->retry);
}

void vm_console_ended(struct vm_console *console, const char *run, const char *reason)
{
	uint64_t from = 0, at;
	size_t count = 0;
	AUTO_FREE uint8_t *kept = vm_end_console(console->folder_fd, PORT, &from, &count);

	if (console->link)
		vmm_link_drain(console->link);
	detach(console);
	snprintf(console->run, sizeof(console->run), "%s", run);
	at = vm_log_source(console->log, run);
	if (kept && from + count > at) {
		skip_to(console, from);
		at = MAX(at, from);
		record(console, kept + (at - from), count - (size_t)(at - from));
	}
	note(console, "\r\n[the machine ended: %s]\r\n", reason);
	tell(console);
}

/* ---- input ---- */

static void pass_typed(struct loop_task *task)
{
	struct vm_console *console = container_of(task, struct vm_console, type);
	AUTO_FREE uint8_t *typed = NULL;
	size_t count;

	pthread_mutex_lock(&console->lock);
	typed = take_ptr(&console->typed);
	count = console->typed_count;
	console->typed_count = 0;
	pthread_mutex_unlock(&console->lock);
	if (console->link && count)
		vmm_link_write(console->link, typed, count);
}

void vm_console_type(struct vm_console *console, const void *bytes, size_t count)
{
	LOCK_SCOPE(&console->lock);
	if (!console->typed)
		console->typed = malloc(TYPED_MAX);
	if (!console->typed)
		return;
	count = MIN(count, TYPED_MAX - console->typed_count);
	memcpy(console->typed + console->typed_count, bytes, count);
	console->typed_count += count;
	loop_post(console->loop, &console->type);
}

/* ---- its life ---- */

int vm_console_new(struct vm_console **ret_console, int folder_fd, struct loop *loop,
		   struct err *err)
{
	struct vm_console *console = calloc(1, sizeof(*console));
	int rc;

	if (!console)
		return err_errno(err, ENOMEM, "cannot open a console");
	console->loop = loop;
	console->folder_fd = folder_fd;
	console->retry.expired = retry;
	console->type.run = pass_typed;
	list_init(&console->viewers);
	pthread_mutex_init(&console->lock, NULL);
	rc = vm_log_open(&console->log, folder_fd, LOG_NAME, VM_CONSOLE_LOG_BYTES, err);
	if (rc) {
		vm_console_free(console);
		return rc;
	}
	*ret_console = console;
	return 0;
}

void vm_console_free(struct vm_console *console)
{
	if (!console)
		return;
	detach(console);
	loop_task_cancel(console->loop, &console->type);
	vm_log_close(console->log);
	free(console->typed);
	pthread_mutex_destroy(&console->lock);
	free(console);
}

struct vm_log *vm_console_log(struct vm_console *console)
{
	return console->log;
}

void vm_console_add(struct vm_console *console, struct vm_viewer *viewer)
{
	LOCK_SCOPE(&console->lock);
	list_append(&console->viewers, &viewer->node);
}

void vm_console_remove(struct vm_console *console, struct vm_viewer *viewer)
{
	LOCK_SCOPE(&console->lock);
	list_remove(&viewer->node);
}
