/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/control.h"
#include "api/schema.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "host/fd.h"
#include "host/thread.h"
#include "gdb/gdb.h"
#include "vmm/control.h"
#include "vmm/debugger.h"

const struct vmm_patience vmm_patience_usual = {
	.ask_ns = 20 * NS_PER_SEC,
	.end_ns = 5 * NS_PER_SEC,
	.flush_ns = 2 * NS_PER_SEC,
};

/* The status that a shell gives a process which a signal ended. */
#define STATUS_OF_SIGNAL 128

/* How many vCPUs are named that do not answer. */
#define BLAMED_MAX 8u

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_SEC;
}

static int status_of_end(const struct machine_event *event)
{
	switch (event->end) {
	case MACHINE_END_POWER_OFF:
	case MACHINE_END_RESET:
		return 0;
	case MACHINE_END_DEBUG_EXIT:
		return (int)event->code;
	default:
		return VMM_STATUS_CRASHED;
	}
}

static void machine_event(void *ctx, const struct machine_event *event)
{
	static const enum control_event events[] = {
		[MACHINE_EVENT_PAUSED] = CONTROL_EVENT_PAUSED,
		[MACHINE_EVENT_RESUMED] = CONTROL_EVENT_RESUMED,
		[MACHINE_EVENT_RESET] = CONTROL_EVENT_RESET,
		[MACHINE_EVENT_PANICKED] = CONTROL_EVENT_PANICKED,
	};
	struct vmm *vmm = ctx;

	if (event->kind == MACHINE_EVENT_ENDED)
		vmm_end(vmm, status_of_end(event), machine_end_name(event->end));
	else
		control_tell(vmm->control, events[event->kind], NULL);
	if (event->kind == MACHINE_EVENT_PAUSED)
		gdb_paused(vmm->gdb);
}

static void card_detached(void *ctx, const char *id)
{
	hotplug_detached(ctx, id);
}

/* Nothing of the guest has run on this thread yet, and nothing shall unless its filter is in place. */
static void vcpu_starting(void *ctx, unsigned vcpu)
{
	struct vmm *vmm = ctx;
	int rc = sandbox_enter_thread(vmm->sandbox, vmm->engine.vcpu_thread);

	if (!rc)
		return;
	log_error("cannot enter the sandbox of vCPU %u: %s", vcpu, strerrordesc_np(-rc));
	exit(VMM_STATUS_FAILED);
}

/* For who is not there to hear the event. */
static void write_end(struct vmm *vmm, int status, const char *reason)
{
	if (vmm->end_fd >= 0 &&
	    dprintf(vmm->end_fd, "{\"reason\": \"%s\", \"status\": %d}\n", reason, status) < 0)
		log_warn("cannot write '%s': %s", schema_string(vmm->config, "end-file"),
			 strerrordesc_np(errno));
}

/* And what the guest said last, which nobody may have read. */
static void write_consoles(struct vmm *vmm)
{
	AUTO_FREE uint8_t *bytes = vmm->end_fd >= 0 ? malloc(CONSOLE_RING_BYTES) : NULL;
	struct console *console;

	if (!bytes)
		return;
	list_for_each (console, &vmm->backends.attachable.list, node) {
		uint64_t from;
		size_t count = console_kept(console, bytes, &from);

		if (dprintf(vmm->end_fd, "{\"console\": \"%s\", \"from\": %llu, \"count\": %zu}\n",
			    console->id, (unsigned long long)from, count) < 0 ||
		    fd_write_all(vmm->end_fd, bytes, count))
			return;
	}
}

void vmm_end(struct vmm *vmm, int status, const char *reason)
{
	log_info("machine '%s' ends: %s", vmm->description.name, reason);
	write_end(vmm, status, reason);
	control_tell(vmm->control, CONTROL_EVENT_ENDED,
		     json_pack("{s:s, s:i}", "reason", reason, "status", status));
	vmm->status = status;
	gdb_ended(vmm->gdb, status);
	guard_expect_end(vmm->guard, status);
	loop_stop(vmm->loop);
}

void vmm_press_power_button(struct vmm *vmm)
{
	machine_power_button(vmm->machine);
	control_tell(vmm->control, CONTROL_EVENT_POWER_BUTTON, NULL);
}

static void patience_ended(struct loop_timer *timer)
{
	struct vmm *vmm = container_of(timer, struct vmm, patience_timer);

	log_warn("the guest did not power off in %g s", seconds(vmm->patience.ask_ns));
	vmm_end(vmm, STATUS_OF_SIGNAL + vmm->ending_signal, "signal");
}

/* The first signal asks the guest, a second one insists. */
static void signalled(void *ctx, int number)
{
	struct vmm *vmm = ctx;

	if (vmm->ending_signal || machine_state(vmm->machine) != MACHINE_RUNNING) {
		vmm_end(vmm, STATUS_OF_SIGNAL + number, "signal");
		return;
	}
	log_info("%s: asking the guest to power off", strsignal(number));
	vmm->ending_signal = number;
	vmm_press_power_button(vmm);
	loop_timer_arm(vmm->loop, &vmm->patience_timer, clock_now_ns() + vmm->patience.ask_ns);
}

static void user_leaves(void *ctx)
{
	vmm_end(ctx, 0, "terminal");
}

/* Lists the vCPUs that are waited for, as "0", "0 and 1", "0, 1 and 2" and so on; returns how many. */
static unsigned list_awaited(const struct vmm *vmm, char *ret_text, size_t size)
{
	unsigned vcpus[BLAMED_MAX], count = 0;
	size_t used = 0;

	for (unsigned i = 0; i < vmm->description.vcpus; i++) {
		if (!machine_awaited_vcpu(vmm->machine, i))
			continue;
		if (count < BLAMED_MAX)
			vcpus[count] = i;
		count++;
	}
	for (unsigned i = 0; i < MIN(count, BLAMED_MAX); i++) {
		const char *link = i + 1 < count ? ", " : " and ";

		used += (size_t)snprintf(ret_text + used, size - used, "%s%u", i ? link : "",
					 vcpus[i]);
	}
	if (count > BLAMED_MAX)
		snprintf(ret_text + used, size - used, " and %u more", count - BLAMED_MAX);
	return count;
}

/*
 * Says who holds the end up: each that has not come, because one that is stuck may hold others up.
 * The machine cannot go away meanwhile: see vmm_fini(). Allocates nothing: what is stuck may hold
 * the allocator's lock.
 */
static void blame(struct vmm *vmm)
{
	char text[BLAMED_MAX * 8 + 24];
	unsigned count;

	LOCK_SCOPE(&vmm->machine_lock);
	count = vmm->machine ? list_awaited(vmm, text, sizeof(text)) : 0;
	if (count > 1)
		log_error("vCPUs %s do not answer: ending without them", text);
	else if (count)
		log_error("vCPU %s does not answer: ending without it", text);
	else
		log_error("the end takes too long: leaving what is in progress");
}

/* Calls `visit` with the path of each socket of the configuration, until one returns other than 0. */
static int for_each_socket(struct vmm *vmm,
			   int (*visit)(struct vmm *vmm, const char *path, struct err *err),
			   struct err *err)
{
	static const char prefix[] = "unix=", *const lists[] = { "serials", "consoles" };
	const char *control = schema_string(vmm->config, "control");
	const char *gdb = schema_string(json_object_get(vmm->config, "gdb"), "unix");
	int rc = control ? visit(vmm, control, err) : 0;

	if (!rc && gdb)
		rc = visit(vmm, gdb, err);
	for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
		size_t index;
		json_t *spec;

		json_array_foreach(json_object_get(vmm->config, lists[i]), index, spec)
		{
			const char *text = json_string_value(spec);

			if (!rc && !strncmp(text, prefix, strlen(prefix)))
				rc = visit(vmm, text + strlen(prefix), err);
		}
	}
	return rc;
}

static int remove_socket(struct vmm *vmm, const char *path, struct err *err)
{
	(void)vmm;
	(void)err;
	unlink(path);
	return 0;
}

/* The guard's thread. */
static void abandoning(void *ctx)
{
	struct vmm *vmm = ctx;

	blame(vmm);
	/* Before the machine is there, a socket of that name may be somebody else's. */
	if (atomic_load(&vmm->sockets_open))
		for_each_socket(vmm, remove_socket, NULL);
}

static int watch_signals(struct vmm *vmm, struct err *err)
{
	const struct guard_owner owner = {
		.signalled = signalled,
		.abandoning = abandoning,
		.ctx = vmm,
		.ask_ns = vmm->patience.ask_ns,
		.end_ns = vmm->patience.end_ns,
	};

	signal(SIGPIPE, SIG_IGN);
	vmm->patience_timer.expired = patience_ended;
	return guard_new(&vmm->guard, vmm->loop, &owner, err);
}

static unsigned extras_of(const json_t *devices)
{
	static const struct {
		const char *name;
		enum machine_extra extra;
	} extras[] = {
		{ "isa-debug-exit", MACHINE_ISA_DEBUG_EXIT },
		{ "pc-testdev", MACHINE_PC_TESTDEV },
	};
	unsigned all = 0;
	size_t index;
	json_t *name;

	json_array_foreach(devices, index, name)
	{
		for (unsigned i = 0; i < ARRAY_SIZE(extras); i++)
			all |= strcmp(json_string_value(name), extras[i].name) ? 0
									       : extras[i].extra;
	}
	return all;
}

static void describe(struct vmm *vmm)
{
	const json_t *cpu = json_object_get(vmm->config, "cpu");
	const json_t *memory = json_object_get(vmm->config, "memory");

	vmm->description = (struct machine_config){
		.name = schema_string(vmm->config, "name"),
		.engine = vmm->engine.ops,
		.engine_options = schema_string(json_object_get(vmm->config, "engine"), "options"),
		.vcpus = (unsigned)schema_integer(cpu, "count"),
		.cpu_model = schema_string(cpu, "model"),
		.memory = {
			.size = schema_integer(memory, "size"),
			.hugepages = schema_integer(memory, "hugepages"),
			.prealloc = schema_boolean(memory, "prealloc"),
		},
		.kernel = schema_string(vmm->config, "kernel"),
		.initrd = schema_string(vmm->config, "initrd"),
		.append = schema_string(vmm->config, "append"),
		.hotplug_ports = (unsigned)schema_integer(vmm->config, "hotplug-ports"),
		.extras = extras_of(json_object_get(vmm->config, "devices")),
		.no_reboot = !schema_boolean(vmm->config, "reboot"),
		.listener = {
			.event = machine_event,
			.card_detached = card_detached,
			.vcpu_starting = vcpu_starting,
			.ctx = vmm,
		},
	};
	backends_describe(&vmm->backends, &vmm->description);
}

/* Lets the folder of `path` into the sandbox. */
static int allow_folder_of(struct vmm *vmm, const char *path, unsigned access, struct err *err)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *folder =
		slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");

	return folder ? sandbox_allow(vmm->sandbox, folder, access, err)
		      : err_errno(err, ENOMEM, "cannot prepare the sandbox");
}

/* Sockets are removed at the end. */
static int allow_socket(struct vmm *vmm, const char *path, struct err *err)
{
	return allow_folder_of(vmm, path, SANDBOX_REMOVE, err);
}

/* User networks look for the host's name servers again and again, and the file may be replaced; random
 * numbers are for one that is attached. */
static int allow_user_nets(struct vmm *vmm, struct err *err)
{
	static const char resolver[] = "/etc/resolv.conf";
	AUTO_FREE char *resolver_target = realpath(resolver, NULL);
	int rc = allow_folder_of(vmm, resolver, SANDBOX_READ, err);

	if (!rc && resolver_target)
		rc = allow_folder_of(vmm, resolver_target, SANDBOX_READ, err);
	return rc ? rc : sandbox_allow(vmm->sandbox, "/dev/urandom", SANDBOX_READ, err);
}

/* What is still reached by name when the guest runs. */
static int allow_files(struct vmm *vmm, struct err *err)
{
	int rc = nets_may_open(vmm) ? allow_user_nets(vmm, err) : 0;

	if (!rc)
		rc = jobs_allow_folders(vmm, err);
	return rc ? rc : for_each_socket(vmm, allow_socket, err);
}

static void set_machine(struct vmm *vmm, struct machine *machine)
{
	LOCK_SCOPE(&vmm->machine_lock);
	vmm->machine = machine;
}

static int open_end_file(struct vmm *vmm, struct err *err)
{
	const char *path = schema_string(vmm->config, "end-file");

	if (!path)
		return 0;
	vmm->end_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return vmm->end_fd < 0 ? err_errno(err, errno, "cannot open '%s'", path) : 0;
}

int vmm_init(struct vmm *vmm, json_t *config, const struct engine_choice *engine,
	     const struct vmm_patience *patience, struct err *err)
{
	const char *socket = schema_string(config, "control");
	struct machine *machine = NULL;
	int rc;

	/* The first use of calendar time reads the time zone, which no thread may when the guest
	 * runs. */
	tzset();
	/* Else a thread that frees much opens a file to know whether it may give memory back; large
	 * blocks are mapped and given back one by one. */
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	*vmm = (struct vmm){
		.config = config,
		.engine = *engine,
		.patience = *patience,
		.gdb_listener = -1,
		.end_fd = -1,
	};
	pthread_mutex_init(&vmm->machine_lock, NULL);
	list_init(&vmm->backends.attachable.list);
	iothreads_init(&vmm->backends.iothreads);
	jobs_init(&vmm->jobs);
	hotplug_init(&vmm->hotplug);
	rc = open_end_file(vmm, err);
	if (!rc)
		rc = sandbox_new(&vmm->sandbox, err);
	if (!rc)
		rc = loop_new(&vmm->loop, err);
	if (!rc)
		rc = watch_signals(vmm, err);
	if (!rc)
		rc = backends_open(&vmm->backends, config, vmm->loop, user_leaves, vmm, err);
	/* Nobody is served before the loop runs. */
	if (!rc && socket)
		rc = control_open(&vmm->control, vmm, socket, err);
	if (!rc)
		rc = debugger_listen(vmm, err);
	if (!rc)
		rc = allow_files(vmm, err);
	if (rc)
		return rc;
	atomic_store(&vmm->sockets_open, true);
	describe(vmm);
	rc = machine_new(&machine, &vmm->description, vmm->loop, err);
	set_machine(vmm, machine);
	return rc ? rc : debugger_open(vmm, err);
}

int vmm_run(struct vmm *vmm, struct err *err)
{
	int rc = block_connector_seal(vmm->backends.connector, err);

	if (!rc)
		rc = sandbox_enter(vmm->sandbox, err);

	if (rc)
		return rc;
	guard_enter_sandbox(vmm->guard, vmm->sandbox);
	rc = iothreads_enter_sandbox(&vmm->backends.iothreads, vmm->sandbox, err);
	if (rc)
		return rc;
	rc = sandbox_enter_thread(vmm->sandbox, SANDBOX_LOOP);
	if (rc)
		return err_errno(err, rc, "cannot enter the sandbox");
	rc = debugger_waits(vmm) ? 0 : machine_start(vmm->machine, err);
	if (rc)
		return rc;
	rc = loop_run(vmm->loop);
	return rc ? err_errno(err, rc, "cannot wait for events") : 0;
}

void vmm_fini(struct vmm *vmm)
{
	struct machine *machine = vmm->machine;

	/* A disk whose server is away must not hold this up. */
	block_connector_stop(vmm->backends.connector);
	/* Whatever of this does not come back, the guard ends. */
	if (machine)
		machine_stop(machine);
	set_machine(vmm, NULL);
	write_consoles(vmm);
	control_close(vmm->control);
	vmm->control = NULL;
	debugger_close(vmm);
	if (machine)
		backends_flush(&vmm->backends, clock_now_ns() + vmm->patience.flush_ns);
	machine_free(machine);
	jobs_fini(vmm);
	hotplug_fini(vmm);
	backends_close(&vmm->backends);
	guard_free(vmm->guard);
	if (vmm->loop)
		loop_timer_cancel(vmm->loop, &vmm->patience_timer);
	loop_free(vmm->loop);
	sandbox_free(vmm->sandbox);
	if (vmm->end_fd >= 0)
		close(vmm->end_fd);
	pthread_mutex_destroy(&vmm->machine_lock);
}
