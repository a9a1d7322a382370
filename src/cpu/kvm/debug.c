/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints, watchpoints and steps of a debugger outside of the guest, by the processor's own
 * debug registers: four places at a time, and the guest's use of those registers is suspended
 * meanwhile. Hardware tells writes from accesses, but not reads.
 *
 * What a step is follows from TF too: it goes over a SYSCALL whose mask clears TF, and a PUSHF shows TF.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst, section 4.87 (KVM_SET_GUEST_DEBUG); Intel SDM volume
 * 3, section 17.2.
 */
#include <errno.h>

#include "base/log.h"
#include "cpu/kvm/kvm_priv.h"
#include "x86/exception.h"
#include "x86/registers.h"

/* R/W and LEN fields of DR7. */
static const uint8_t types[] = {
	[DEBUG_EXECUTE] = 0,
	[DEBUG_WRITE] = 1,
	[DEBUG_ACCESS] = 3,
};

static unsigned length_code(uint64_t size)
{
	return size == 8 ? 2 : (unsigned)size - 1;
}

/* Gives a point its registers: as many aligned pieces as its range has. */
static int add_point(struct kvm_debug *debug, const struct debug_point *point)
{
	uint64_t at = point->linear, rest = point->kind == DEBUG_EXECUTE ? 1 : point->size;

	if (point->kind == DEBUG_READ)
		return -ENOTSUP;
	while (rest) {
		unsigned n = debug->used;
		uint64_t size = 8;

		while (size > rest || at & (size - 1))
			size /= 2;
		if (n == KVM_DEBUG_REGISTERS)
			return -ENOSPC;
		debug->used++;
		debug->points[n] = *point;
		debug->control.arch.debugreg[n] = at;
		debug->control.arch.debugreg[7] |= UINT64_C(2) << (2 * n) |
						   (uint64_t)types[point->kind] << (16 + 4 * n) |
						   (uint64_t)length_code(size) << (18 + 4 * n);
		at += size;
		rest -= size;
	}
	return 0;
}

int kvm_vcpu_debug(struct vcpu *vcpu, const struct vcpu_debug *wanted)
{
	struct kvm_vcpu *v = to_kvm_vcpu(vcpu);
	struct kvm_debug debug = { .control.arch.debugreg[7] = DR7_FIXED };
	int rc = 0;

	for (unsigned i = 0; wanted && i < wanted->count && !rc; i++)
		rc = add_point(&debug, &wanted->points[i]);
	if (rc)
		return rc;
	debug.step = wanted && wanted->step;
	if (debug.used)
		debug.control.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	if (debug.step)
		debug.control.control |=
			KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | v->engine->debug_block_irq;
	if (ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug.control))
		return -errno;
	v->debug = debug;
	return 0;
}

struct debug_stop kvm_vcpu_debug_stop(struct vcpu *vcpu)
{
	return to_kvm_vcpu(vcpu)->debug.stop;
}

/* A #DB that nobody asked for from outside is the guest's. */
static enum kvm_next give_to_guest(struct kvm_vcpu *v, uint64_t dr6)
{
	struct kvm_guest_debug inject = v->debug.control;
	struct kvm_debugregs registers;

	inject.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB;
	if (ioctl(v->fd, KVM_GET_DEBUGREGS, &registers))
		return KVM_STOP_ERROR;
	registers.dr6 = (registers.dr6 & ~DR6_BREAKPOINTS) | dr6;
	if (ioctl(v->fd, KVM_SET_DEBUGREGS, &registers) ||
	    ioctl(v->fd, KVM_SET_GUEST_DEBUG, &inject)) {
		log_error("vCPU %u: cannot hand the guest its debug exception", v->vcpu.index);
		return KVM_STOP_ERROR;
	}
	return KVM_GO_ON;
}

enum kvm_next kvm_debug_exit(struct kvm_vcpu *v)
{
	const struct kvm_debug_exit_arch *exit = &v->run->debug.arch;

	for (unsigned i = 0; i < v->debug.used; i++) {
		const struct debug_point *point = &v->debug.points[i];

		if (exit->dr6 >> i & 1 &&
		    (point->kind != DEBUG_EXECUTE || point->linear == exit->pc)) {
			v->debug.stop = (struct debug_stop){ DEBUG_POINT, *point };
			return KVM_STOP_DEBUG;
		}
	}
	if (v->debug.step && exit->exception == EXCEPTION_DB && exit->dr6 & DR6_BS) {
		v->debug.stop = (struct debug_stop){ .kind = DEBUG_STEPPED };
		return KVM_STOP_DEBUG;
	}
	return give_to_guest(v, exit->dr6);
}
