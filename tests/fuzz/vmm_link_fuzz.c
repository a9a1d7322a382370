/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM process says to the daemon: the first byte chooses events, a console, or the file `end`. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "host/loop.h"
#include "node/vm/process.h"
#include "node/vm/vmm_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
	char folder[32];
	int folder_fd, listener;
	struct loop *loop;
};

static void status(void *ctx, const json_t *result)
{
	check(ctx && result);
}

static void event(void *ctx, enum control_event event, const json_t *params)
{
	(void)params;
	check(ctx && event < CONTROL_EVENTS);
}

static void attached(void *ctx, uint64_t from)
{
	(void)from;
	check(ctx);
}

static void output(void *ctx, const uint8_t *bytes, size_t count)
{
	check(ctx && bytes && count);
}

static void closed(void *ctx)
{
	loop_stop(((struct rig *)ctx)->loop);
}

static const struct vmm_link_ops ops = {
	.status = status,
	.event = event,
	.attached = attached,
	.output = output,
	.closed = closed,
};

static void open_rig(struct rig *rig)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(rig->folder, "/tmp/cella-fuzz-XXXXXX");
	check(mkdtemp(rig->folder));
	rig->folder_fd = open(rig->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rig->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", rig->folder);
	check(!bind(rig->listener, (struct sockaddr *)&address, sizeof(address)));
	check(!listen(rig->listener, 1) && !loop_new(&rig->loop, NULL));
}

static void close_rig(struct rig *rig)
{
	loop_free(rig->loop);
	close(rig->listener);
	unlinkat(rig->folder_fd, "control", 0);
	unlinkat(rig->folder_fd, VM_END_FILE, 0);
	close(rig->folder_fd);
	rmdir(rig->folder);
}

/* All that is said fits into a socket. */
static void try_link(struct rig *rig, bool console, const uint8_t *data, size_t size)
{
	struct vmm_link *link;
	int end;

	if (console)
		check(!vmm_link_attach(&link, rig->folder_fd, "serial0", 0, rig->loop, &ops, rig,
				       NULL));
	else
		check(!vmm_link_subscribe(&link, rig->folder_fd, rig->loop, &ops, rig, NULL));
	end = accept4(rig->listener, NULL, NULL, SOCK_CLOEXEC);
	check(end >= 0 && send(end, data, size, MSG_NOSIGNAL) == (ssize_t)size);
	check(!shutdown(end, SHUT_WR) && !loop_run(rig->loop));
	vmm_link_close(link);
	close(end);
}

static void try_end(struct rig *rig, const uint8_t *data, size_t size)
{
	int fd = openat(rig->folder_fd, VM_END_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	uint64_t from;
	size_t count;

	check(write(fd, data, size) == (ssize_t)size);
	close(fd);
	free(vm_end_console(rig->folder_fd, "serial0", &from, &count));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig rig;

	if (!size || size > 65536)
		return 0;
	atomic_store(&log_threshold, LOG_ERROR);
	open_rig(&rig);
	if (data[0] == 'e')
		try_end(&rig, data + 1, size - 1);
	else
		try_link(&rig, data[0] == 'c', data + 1, size - 1);
	close_rig(&rig);
	return 0;
}
