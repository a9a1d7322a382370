/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/debugger.h"

#include <unistd.h>

#include "api/config.h"
#include "base/log.h"
#include "gdb/gdb.h"
#include "host/listen.h"
#include "vmm/vmm.h"

#define BACKLOG 1

static int pause_machine(void *ctx, struct err *err)
{
	return machine_pause(((struct vmm *)ctx)->machine, err);
}

static int resume_machine(void *ctx, struct err *err)
{
	struct machine *machine = ((struct vmm *)ctx)->machine;

	return machine_state(machine) == MACHINE_CREATED ? machine_start(machine, err)
							 : machine_resume(machine, err);
}

static int reset_machine(void *ctx, struct err *err)
{
	return machine_reset(((struct vmm *)ctx)->machine, err);
}

static void quit(void *ctx)
{
	vmm_end(ctx, 0, "debugger");
}

static void list_devices(void *ctx, struct str *out)
{
	json_t *list = machine_devices(((struct vmm *)ctx)->machine);
	size_t index;
	json_t *device;

	json_array_foreach(list, index, device) str_printf(
		out, "%s: %s\n", schema_string(device, "id"), schema_string(device, "type"));
	json_decref(list);
}

static const struct gdb_machine_ops machine_ops = {
	.pause = pause_machine,
	.resume = resume_machine,
	.reset = reset_machine,
	.quit = quit,
	.list_devices = list_devices,
};

static int listen_for(const json_t *config, int *ret_fd, struct err *err)
{
	const char *path = schema_string(config, "unix"), *tcp = schema_string(config, "tcp");
	char host[CONFIG_HOST_MAX + 1];
	uint16_t port;
	int rc;

	if (path) {
		rc = listen_unix(path, "debugger socket", BACKLOG, ret_fd, err);
		if (!rc)
			log_info("gdb: listening on %s", path);
		return rc;
	}
	rc = config_parse_tcp(tcp, host, &port, err);
	if (!rc)
		rc = listen_tcp(host, port, "debuggers", BACKLOG, ret_fd, err);
	if (!rc)
		log_info("gdb: listening on port %u of %s", listen_port(*ret_fd),
			 *host ? host : "127.0.0.1");
	return rc;
}

int debugger_listen(struct vmm *vmm, struct err *err)
{
	const json_t *config = json_object_get(vmm->config, "gdb");

	return config ? listen_for(config, &vmm->gdb_listener, err) : 0;
}

int debugger_open(struct vmm *vmm, struct err *err)
{
	const struct gdb_machine machine = {
		.processors = machine_processors(vmm->machine),
		.memory = machine_memory(vmm->machine),
		.ops = &machine_ops,
		.ctx = vmm,
	};
	int fd = vmm->gdb_listener;

	vmm->gdb_listener = -1;
	return fd < 0 ? 0 : gdb_open(&vmm->gdb, fd, &machine, vmm->loop, err);
}

void debugger_close(struct vmm *vmm)
{
	const char *path = schema_string(json_object_get(vmm->config, "gdb"), "unix");

	if (!vmm->gdb && vmm->gdb_listener < 0)
		return;
	if (vmm->gdb_listener >= 0)
		close(vmm->gdb_listener);
	vmm->gdb_listener = -1;
	gdb_close(vmm->gdb);
	vmm->gdb = NULL;
	if (path)
		unlink(path);
}

bool debugger_waits(const struct vmm *vmm)
{
	return vmm->gdb && schema_boolean(json_object_get(vmm->config, "gdb"), "wait");
}
