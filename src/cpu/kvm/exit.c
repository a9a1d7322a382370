/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why KVM_RUN came back, and what to do about each reason: one row a reason. Reasons that only come
 * when something is asked of KVM that this engine never asks are errors and say so.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst, section 5.
 */
#include "cpu/kvm/kvm_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"

#define INSTRUCTION_MAX 15

static enum kvm_next go_on(struct kvm_vcpu *v)
{
	(void)v;
	return KVM_GO_ON;
}

static enum kvm_next on_io(struct kvm_vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus *ports = v->engine->platform->ports;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint64_t value = 0;

	if (run->io.count != 1) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write_repeated(ports, run->io.port, run->io.size, data, run->io.count);
		else
			bus_read_repeated(ports, run->io.port, run->io.size, data, run->io.count);
	} else if (run->io.direction == KVM_EXIT_IO_OUT) {
		memcpy(&value, data, run->io.size);
		bus_write(ports, run->io.port, value, run->io.size);
	} else {
		value = bus_read(ports, run->io.port, run->io.size);
		memcpy(data, &value, run->io.size);
	}
	return KVM_GO_ON;
}

/* An access that crosses a page comes in two pieces of any length; the bus takes powers of two. */
static enum kvm_next on_mmio(struct kvm_vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus *mmio = v->engine->platform->mmio;
	unsigned size;

	for (unsigned at = 0; at < run->mmio.len; at += size) {
		uint64_t value = 0;

		size = 8;
		while (size > run->mmio.len - at)
			size /= 2;
		if (run->mmio.is_write) {
			memcpy(&value, run->mmio.data + at, size);
			bus_write(mmio, run->mmio.phys_addr + at, value, size);
		} else {
			value = bus_read(mmio, run->mmio.phys_addr + at, size);
			memcpy(run->mmio.data + at, &value, size);
		}
	}
	return KVM_GO_ON;
}

static enum kvm_next on_eoi(struct kvm_vcpu *v)
{
	const struct engine_platform *platform = v->engine->platform;

	platform->eoi(platform->ctx, v->run->eoi.vector);
	return KVM_GO_ON;
}

static enum kvm_next on_shutdown(struct kvm_vcpu *v)
{
	log_debug("vCPU %u: triple fault", v->vcpu.index);
	return KVM_STOP_SHUTDOWN;
}

static enum kvm_next on_ring_full(struct kvm_vcpu *v)
{
	int rc = kvm_dirty_ring_full(v);

	if (!rc)
		return KVM_GO_ON;
	log_error("vCPU %u: cannot reset the dirty ring: %s", v->vcpu.index, strerror(-rc));
	return KVM_STOP_ERROR;
}

/* Where the guest stands and the bytes there, as far as they can be read. */
static void log_place(struct kvm_vcpu *v, const uint8_t *known, unsigned known_count)
{
	uint8_t bytes[INSTRUCTION_MAX] = { 0 };
	char text[3 * INSTRUCTION_MAX + 1] = "";
	unsigned count = MIN(known_count, (unsigned)INSTRUCTION_MAX);
	struct kvm_regs regs = { 0 };
	struct kvm_sregs sregs = { 0 };
	struct kvm_translation place;

	ioctl(v->fd, KVM_GET_REGS, &regs);
	ioctl(v->fd, KVM_GET_SREGS, &sregs);
	place = (struct kvm_translation){ .linear_address = sregs.cs.base + regs.rip };
	if (count)
		memcpy(bytes, known, count);
	else if (!ioctl(v->fd, KVM_TRANSLATE, &place) && place.valid) {
		uint64_t rest = PAGE_SIZE - (place.physical_address & PAGE_MASK);

		count = (unsigned)MIN(rest, (uint64_t)INSTRUCTION_MAX);
		if (memory_read(v->engine->memory, GPA(place.physical_address), bytes, count))
			count = 0;
	}
	for (unsigned i = 0; i < count; i++)
		snprintf(text + 3 * i, sizeof(text) - 3 * i, " %02x", bytes[i]);
	log_error("vCPU %u: at %04x:%016" PRIx64 " cr0 %08" PRIx64 " cr3 %016" PRIx64
		  " cr4 %08" PRIx64 " efer %04" PRIx64 ", bytes%s",
		  v->vcpu.index, sregs.cs.selector, (uint64_t)regs.rip, (uint64_t)sregs.cr0,
		  (uint64_t)sregs.cr3, (uint64_t)sregs.cr4, (uint64_t)sregs.efer,
		  count ? text : " not readable");
}

static enum kvm_next on_internal_error(struct kvm_vcpu *v)
{
	const struct kvm_run *run = v->run;
	const uint8_t *bytes = NULL;
	unsigned count = 0;

	log_error("vCPU %u: KVM internal error %u: %s", v->vcpu.index, run->internal.suberror,
		  kvm_explain_internal_error(run->internal.suberror));
	for (unsigned i = 0; i < MIN(run->internal.ndata, 16u); i++)
		log_debug("vCPU %u: internal data %u: 0x%llx", v->vcpu.index, i,
			  (unsigned long long)run->internal.data[i]);
	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
	    run->emulation_failure.ndata > 0 &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
		bytes = run->emulation_failure.insn_bytes;
		count = run->emulation_failure.insn_size;
	}
	log_place(v, bytes, count);
	return KVM_STOP_ERROR;
}

static enum kvm_next on_fail_entry(struct kvm_vcpu *v)
{
	uint64_t reason = v->run->fail_entry.hardware_entry_failure_reason;
	char words[256];

	kvm_explain_entry_failure(reason, words, sizeof(words));
	log_error("vCPU %u: the processor refuses to enter the guest, reason 0x%" PRIx64 ": %s",
		  v->vcpu.index, reason, words);
	log_place(v, NULL, 0);
	return KVM_STOP_ERROR;
}

static enum kvm_next on_unknown(struct kvm_vcpu *v)
{
	log_error("vCPU %u: KVM does not know the processor's exit reason 0x%" PRIx64,
		  v->vcpu.index, (uint64_t)v->run->hw.hardware_exit_reason);
	log_place(v, NULL, 0);
	return KVM_STOP_ERROR;
}

static enum kvm_next on_system_event(struct kvm_vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_CRASH:
		log_error("vCPU %u: the guest reports a crash through the hypervisor",
			  v->vcpu.index);
		return KVM_STOP_SHUTDOWN;
	case KVM_SYSTEM_EVENT_SHUTDOWN:
	case KVM_SYSTEM_EVENT_RESET:
		return KVM_STOP_SHUTDOWN;
	default:
		return KVM_GO_ON;
	}
}

/* A hypercall that the kernel does not serve is one that does not exist. */
static enum kvm_next on_hypercall(struct kvm_vcpu *v)
{
	v->run->hypercall.ret = (uint64_t)-ENOSYS;
	return KVM_GO_ON;
}

/* Raises #GP, as for a register that is not there. */
static enum kvm_next on_msr(struct kvm_vcpu *v)
{
	v->run->msr.error = 1;
	return KVM_GO_ON;
}

static enum kvm_next on_unasked(struct kvm_vcpu *v)
{
	const char *name = kvm_exit_name(v->run->exit_reason);

	log_error("vCPU %u: KVM exit %u (%s), which was not asked for", v->vcpu.index,
		  v->run->exit_reason, name ? name : "new");
	log_place(v, NULL, 0);
	return KVM_STOP_ERROR;
}

static const struct {
	const char *name;
	enum kvm_next (*handle)(struct kvm_vcpu *v);
} exits[KVM_EXIT_REASONS] = {
	[KVM_EXIT_UNKNOWN] = { "unknown", on_unknown },
	[KVM_EXIT_EXCEPTION] = { "exception", on_unasked },
	[KVM_EXIT_IO] = { "io", on_io },
	[KVM_EXIT_HYPERCALL] = { "hypercall", on_hypercall },
	[KVM_EXIT_DEBUG] = { "debug", kvm_debug_exit },
	[KVM_EXIT_HLT] = { "hlt", on_unasked },
	[KVM_EXIT_MMIO] = { "mmio", on_mmio },
	[KVM_EXIT_IRQ_WINDOW_OPEN] = { "irq-window", go_on },
	[KVM_EXIT_SHUTDOWN] = { "shutdown", on_shutdown },
	[KVM_EXIT_FAIL_ENTRY] = { "fail-entry", on_fail_entry },
	[KVM_EXIT_INTR] = { "intr", go_on },
	[KVM_EXIT_SET_TPR] = { "set-tpr", go_on },
	[KVM_EXIT_TPR_ACCESS] = { "tpr-access", on_unasked },
	[KVM_EXIT_NMI] = { "nmi", go_on },
	[KVM_EXIT_INTERNAL_ERROR] = { "internal-error", on_internal_error },
	[KVM_EXIT_SYSTEM_EVENT] = { "system-event", on_system_event },
	[KVM_EXIT_IOAPIC_EOI] = { "ioapic-eoi", on_eoi },
	[KVM_EXIT_HYPERV] = { "hyperv", on_unasked },
	[KVM_EXIT_X86_RDMSR] = { "rdmsr", on_msr },
	[KVM_EXIT_X86_WRMSR] = { "wrmsr", on_msr },
	[KVM_EXIT_DIRTY_RING_FULL] = { "dirty-ring-full", on_ring_full },
	[KVM_EXIT_X86_BUS_LOCK] = { "bus-lock", go_on },
	[KVM_EXIT_XEN] = { "xen", on_unasked },
};

const char *kvm_exit_name(unsigned reason)
{
	return reason < KVM_EXIT_REASONS ? exits[reason].name : NULL;
}

enum kvm_next kvm_exit_handle(struct kvm_vcpu *v)
{
	uint32_t reason = v->run->exit_reason;

	if (reason >= KVM_EXIT_REASONS || !exits[reason].handle)
		return on_unasked(v);
	return exits[reason].handle(v);
}

void kvm_exit_run_failed(struct kvm_vcpu *v, int error)
{
	switch (error) {
	case EFAULT:
	case EHWPOISON:
		log_error("vCPU %u: a page of the guest's memory cannot be had from the host (%s): "
			  "out of memory or huge pages, or a memory error",
			  v->vcpu.index, strerror(error));
		break;
	case ENOMEM:
		log_error("vCPU %u: the host is out of memory", v->vcpu.index);
		break;
	default:
		log_error("vCPU %u: KVM_RUN failed: %s", v->vcpu.index, strerror(error));
	}
	log_place(v, NULL, 0);
}
