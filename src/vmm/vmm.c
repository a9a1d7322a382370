/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/vmm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "api/control.h"
#include "api/schema.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "vmm/control.h"

/* How long a guest may take to power off before it is ended. */
#define PATIENCE_NS (20 * NS_PER_SEC)

/* The status that a shell gives a process which a signal ended. */
#define STATUS_OF_SIGNAL 128

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

void vmm_end(struct vmm *vmm, int status, const char *reason)
{
	log_info("machine '%s' ends: %s", vmm->description.name, reason);
	control_tell(vmm->control, CONTROL_EVENT_ENDED,
		     json_pack("{s:s, s:i}", "reason", reason, "status", status));
	vmm->status = status;
	loop_stop(vmm->loop);
}

void vmm_press_power_button(struct vmm *vmm)
{
	machine_power_button(vmm->machine);
	control_tell(vmm->control, CONTROL_EVENT_POWER_BUTTON, NULL);
}

static void patience_ended(struct loop_timer *timer)
{
	struct vmm *vmm = container_of(timer, struct vmm, patience);

	log_warn("the guest did not power off in %u s", (unsigned)(PATIENCE_NS / NS_PER_SEC));
	vmm_end(vmm, STATUS_OF_SIGNAL + vmm->ending_signal, "signal");
}

/* The first signal asks the guest, a second one insists. */
static void signal_ready(struct loop_fd *source, uint32_t events)
{
	struct vmm *vmm = container_of(source, struct vmm, signals);
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (vmm->ending_signal || machine_state(vmm->machine) != MACHINE_RUNNING) {
		vmm_end(vmm, STATUS_OF_SIGNAL + (int)info.ssi_signo, "signal");
		return;
	}
	log_info("%s: asking the guest to power off", strsignal((int)info.ssi_signo));
	vmm->ending_signal = (int)info.ssi_signo;
	vmm_press_power_button(vmm);
	loop_timer_arm(vmm->loop, &vmm->patience, clock_now_ns() + PATIENCE_NS);
}

static void user_leaves(void *ctx)
{
	vmm_end(ctx, 0, "terminal");
}

static int watch_signals(struct vmm *vmm, struct err *err)
{
	static const int ending[] = { SIGTERM, SIGINT, SIGHUP };
	sigset_t set;
	int rc;

	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(ending); i++)
		sigaddset(&set, ending[i]);
	/* Threads block all signals anyway; the main thread takes these from the descriptor. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	vmm->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	vmm->signals.ready = signal_ready;
	vmm->patience.expired = patience_ended;
	rc = vmm->signals.fd < 0 ? -errno : loop_fd_add(vmm->loop, &vmm->signals, EPOLLIN);
	return rc ? err_errno(err, rc, "cannot watch signals") : 0;
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
		.extras = extras_of(json_object_get(vmm->config, "devices")),
		.no_reboot = !schema_boolean(vmm->config, "reboot"),
		.listener = {
			.event = machine_event,
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
static int allow_sockets(struct vmm *vmm, const json_t *specs, struct err *err)
{
	static const char prefix[] = "unix=";
	size_t index;
	json_t *spec;
	int rc = 0;

	json_array_foreach(specs, index, spec)
	{
		const char *text = json_string_value(spec);

		if (!rc && !strncmp(text, prefix, strlen(prefix)))
			rc = allow_folder_of(vmm, text + strlen(prefix), SANDBOX_REMOVE, err);
	}
	return rc;
}

/* What is still reached by name when the guest runs. */
static int allow_files(struct vmm *vmm, struct err *err)
{
	static const char resolver[] = "/etc/resolv.conf";
	AUTO_FREE char *resolver_target = realpath(resolver, NULL);
	const char *socket = schema_string(vmm->config, "control");
	int rc = 0;

	/* User networks look for the host's name servers again and again; the file may be replaced. */
	if (vmm->backends.nic_count)
		rc = allow_folder_of(vmm, resolver, SANDBOX_READ, err);
	if (!rc && vmm->backends.nic_count && resolver_target)
		rc = allow_folder_of(vmm, resolver_target, SANDBOX_READ, err);
	if (!rc && socket)
		rc = allow_folder_of(vmm, socket, SANDBOX_REMOVE, err);
	if (!rc)
		rc = allow_sockets(vmm, json_object_get(vmm->config, "serials"), err);
	if (!rc)
		rc = allow_sockets(vmm, json_object_get(vmm->config, "consoles"), err);
	return rc;
}

int vmm_init(struct vmm *vmm, json_t *config, const struct engine_choice *engine, struct err *err)
{
	const char *socket = schema_string(config, "control");
	int rc;

	/* The first use of calendar time reads the time zone, which no thread may when the guest
	 * runs. */
	tzset();
	*vmm = (struct vmm){ .config = config, .engine = *engine, .signals = { .fd = -1 } };
	list_init(&vmm->backends.attachable.list);
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
		rc = allow_files(vmm, err);
	if (rc)
		return rc;
	describe(vmm);
	return machine_new(&vmm->machine, &vmm->description, vmm->loop, err);
}

int vmm_run(struct vmm *vmm, struct err *err)
{
	int rc = sandbox_enter(vmm->sandbox, err);

	if (rc)
		return rc;
	rc = sandbox_enter_thread(vmm->sandbox, SANDBOX_LOOP);
	if (rc)
		return err_errno(err, rc, "cannot enter the sandbox");
	rc = machine_start(vmm->machine, err);
	if (rc)
		return rc;
	rc = loop_run(vmm->loop);
	return rc ? err_errno(err, rc, "cannot wait for events") : 0;
}

void vmm_fini(struct vmm *vmm)
{
	control_close(vmm->control);
	vmm->control = NULL;
	machine_free(vmm->machine);
	backends_close(&vmm->backends);
	if (vmm->loop) {
		loop_timer_cancel(vmm->loop, &vmm->patience);
		loop_fd_remove(vmm->loop, &vmm->signals);
	}
	if (vmm->signals.fd >= 0)
		close(vmm->signals.fd);
	loop_free(vmm->loop);
	sandbox_free(vmm->sandbox);
}
