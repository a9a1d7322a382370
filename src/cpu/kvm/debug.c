/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints, watchpoints and steps of a debugger outside of the guest, by the processor's debug
 * registers: four places at a time, and the guest's use of those registers is suspended meanwhile.
 * Hardware tells writes from accesses, but not reads. Further breakpoints that may be patched are an
 * INT3 in memory, where their address is mapped for any vCPU.
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

#define INT3 0xcc

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

/* Where memory has the address for any of the vCPUs. */
static bool find_gpa(struct kvm_engine *kvm, uint64_t linear, uint64_t *ret_gpa)
{
	for (unsigned i = 0; i < kvm->vcpu_count; i++) {
		struct kvm_translation place = { .linear_address = linear };

		if (kvm->vcpus[i] && !ioctl(kvm->vcpus[i]->fd, KVM_TRANSLATE, &place) &&
		    place.valid && memory_map(kvm->memory, GPA(place.physical_address), 1)) {
			*ret_gpa = place.physical_address;
			return true;
		}
	}
	return false;
}

/* The patch at the address, made if need be and then counted; -1: it cannot be. */
static int get_patch(struct kvm_engine *kvm, uint64_t linear)
{
	static const uint8_t int3 = INT3;
	struct kvm_patch patch = { .linear = linear, .users = 1 };
	int slot = -1;

	for (int i = 0; i < KVM_PATCHES_MAX; i++) {
		if (kvm->patches[i].users && kvm->patches[i].linear == linear) {
			kvm->patches[i].users++;
			return i;
		}
		if (!kvm->patches[i].users)
			slot = i;
	}
	if (slot < 0 || !find_gpa(kvm, linear, &patch.gpa) ||
	    memory_read(kvm->memory, GPA(patch.gpa), &patch.old, 1) ||
	    memory_write(kvm->memory, GPA(patch.gpa), &int3, 1))
		return -1;
	kvm->patches[slot] = patch;
	return slot;
}

/* What the guest wrote there meanwhile stays. */
static void put_patch(struct kvm_engine *kvm, unsigned slot)
{
	struct kvm_patch *patch = &kvm->patches[slot];
	uint8_t now;

	if (!--patch->users && !memory_read(kvm->memory, GPA(patch->gpa), &now, 1) && now == INT3)
		memory_write(kvm->memory, GPA(patch->gpa), &patch->old, 1);
}

static void put_patches(struct kvm_engine *kvm, const struct kvm_debug *debug)
{
	for (unsigned i = 0; i < KVM_PATCHES_MAX; i++) {
		if (debug->patched[i])
			put_patch(kvm, i);
	}
}

/* A breakpoint that may be patched takes what the others leave of the registers, or else a patch. */
static int place(struct kvm_engine *kvm, struct kvm_debug *debug, const struct debug_point *point)
{
	int rc = add_point(debug, point), slot;

	if (rc != -ENOSPC || !point->patch)
		return rc;
	slot = get_patch(kvm, point->linear);
	if (slot < 0)
		return rc;
	debug->patched[slot] = true;
	debug->control.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
	return 0;
}

static int place_all(struct kvm_engine *kvm, struct kvm_debug *debug,
		     const struct vcpu_debug *wanted)
{
	int rc = 0;

	for (int patch = 0; patch < 2; patch++) {
		for (unsigned i = 0; i < wanted->count && !rc; i++) {
			if (wanted->points[i].patch == patch)
				rc = place(kvm, debug, &wanted->points[i]);
		}
	}
	return rc;
}

int kvm_vcpu_debug(struct vcpu *vcpu, const struct vcpu_debug *wanted)
{
	struct kvm_vcpu *v = to_kvm_vcpu(vcpu);
	struct kvm_debug debug = { .control.arch.debugreg[7] = DR7_FIXED };
	int rc = 0;

	if (wanted)
		rc = place_all(v->engine, &debug, wanted);
	debug.step = wanted && wanted->step;
	if (debug.used)
		debug.control.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	if (debug.step)
		debug.control.control |=
			KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | v->engine->debug_block_irq;
	if (!rc && ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug.control))
		rc = -errno;
	put_patches(v->engine, rc ? &debug : &v->debug);
	if (!rc)
		v->debug = debug;
	return rc;
}

struct debug_stop kvm_vcpu_debug_stop(struct vcpu *vcpu)
{
	return to_kvm_vcpu(vcpu)->debug.stop;
}

static int set_dr6(struct kvm_vcpu *v, uint64_t dr6)
{
	struct kvm_debugregs registers;

	if (ioctl(v->fd, KVM_GET_DEBUGREGS, &registers))
		return -errno;
	registers.dr6 = (registers.dr6 & ~DR6_BREAKPOINTS) | dr6;
	return ioctl(v->fd, KVM_SET_DEBUGREGS, &registers) ? -errno : 0;
}

/* A #DB or #BP that nobody asked for from outside is the guest's. */
static enum kvm_next give_to_guest(struct kvm_vcpu *v, const struct kvm_debug_exit_arch *exit)
{
	struct kvm_guest_debug inject = v->debug.control;
	bool is_bp = exit->exception == EXCEPTION_BP;

	inject.control |=
		KVM_GUESTDBG_ENABLE | (is_bp ? KVM_GUESTDBG_INJECT_BP : KVM_GUESTDBG_INJECT_DB);
	if ((!is_bp && set_dr6(v, exit->dr6)) || ioctl(v->fd, KVM_SET_GUEST_DEBUG, &inject)) {
		log_error("vCPU %u: cannot hand the guest its debug exception", v->vcpu.index);
		return KVM_STOP_ERROR;
	}
	return KVM_GO_ON;
}

static bool meets_patch(const struct kvm_vcpu *v, uint64_t pc)
{
	for (unsigned i = 0; i < KVM_PATCHES_MAX; i++) {
		if (v->debug.patched[i] && v->engine->patches[i].linear == pc)
			return true;
	}
	return false;
}

enum kvm_next kvm_debug_exit(struct kvm_vcpu *v)
{
	const struct kvm_debug_exit_arch *exit = &v->run->debug.arch;

	if (exit->exception == EXCEPTION_BP && meets_patch(v, exit->pc)) {
		v->debug.stop =
			(struct debug_stop){ DEBUG_POINT,
					     { exit->pc, 1, DEBUG_EXECUTE, .patch = true } };
		return KVM_STOP_DEBUG;
	}
	for (unsigned i = 0; i < v->debug.used; i++) {
		const struct debug_point *point = &v->debug.points[i];

		if (exit->exception == EXCEPTION_DB && exit->dr6 >> i & 1 &&
		    (point->kind != DEBUG_EXECUTE || point->linear == exit->pc)) {
			v->debug.stop = (struct debug_stop){ DEBUG_POINT, *point };
			return KVM_STOP_DEBUG;
		}
	}
	if (v->debug.step && exit->exception == EXCEPTION_DB && exit->dr6 & DR6_BS) {
		v->debug.stop = (struct debug_stop){ .kind = DEBUG_STEPPED };
		return KVM_STOP_DEBUG;
	}
	return give_to_guest(v, exit);
}
