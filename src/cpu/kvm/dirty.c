/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory slots, and the log of pages that vCPUs wrote, in the kernel's two forms: a bitmap for each
 * slot, fetched and cleared whole, or a ring for each vCPU, which costs by pages written instead of
 * by memory size.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst, 4.8, 4.35, 8.29.
 */
#include "cpu/kvm/kvm_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/macros.h"
#include "host/thread.h"

int kvm_slot_set(struct kvm_engine *kvm, unsigned slot, bool log, struct err *err)
{
	const struct kvm_slot *s = &kvm->slots[slot];
	const struct memory_region *region = &kvm->memory->regions[s->region];
	struct kvm_userspace_memory_region memory = {
		.slot = slot,
		.flags = log ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = region->base.v + s->offset,
		.memory_size = s->size,
		.userspace_addr = (uintptr_t)region->host + s->offset,
	};

	if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &memory))
		return kvm_err(err, errno, KVM_SET_USER_MEMORY_REGION,
			       "cannot give the guest its memory at 0x%llx",
			       (unsigned long long)memory.guest_phys_addr);
	return 0;
}

static int set_logging(struct kvm_engine *kvm, bool on, struct err *err)
{
	for (unsigned i = 0; i < kvm->slot_count; i++) {
		int rc = kvm_slot_set(kvm, i, on, err);

		if (rc)
			return rc;
	}
	return 0;
}

static uint64_t largest_slot(const struct kvm_engine *kvm)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < kvm->slot_count; i++)
		bytes = MAX(bytes, kvm->slots[i].size);
	return bytes;
}

int kvm_dirty_log(struct engine *engine, bool on, struct err *err)
{
	struct kvm_engine *kvm = to_kvm_engine(engine);
	int rc;

	LOCK_SCOPE(&kvm->dirty_lock);
	if (on == kvm->dirty_logging)
		return 0;
	if (on && !kvm->dirty_ring_entries) {
		kvm->dirty_bitmap = calloc((largest_slot(kvm) / PAGE_SIZE + 63) / 64, 8);
		if (!kvm->dirty_bitmap)
			return err_errno(err, ENOMEM, "cannot log writes to memory");
	}
	rc = set_logging(kvm, on, err);
	if (rc && on)
		set_logging(kvm, false, NULL);
	kvm->dirty_logging = on && !rc;
	if (!kvm->dirty_logging) {
		free(kvm->dirty_bitmap);
		kvm->dirty_bitmap = NULL;
	}
	return rc;
}

/* The slot's bitmap into the region's own; slots start at multiples of 64 pages. */
static void merge(struct kvm_engine *kvm, const struct kvm_slot *slot)
{
	struct memory_region *region = &kvm->memory->regions[slot->region];
	_Atomic uint64_t *to = region->dirty + slot->offset / PAGE_SIZE / 64;

	for (uint64_t i = 0; i < (slot->size / PAGE_SIZE + 63) / 64; i++) {
		if (kvm->dirty_bitmap[i])
			atomic_fetch_or(&to[i], kvm->dirty_bitmap[i]);
	}
}

static int collect_bitmaps(struct kvm_engine *kvm, struct err *err)
{
	for (unsigned i = 0; i < kvm->slot_count; i++) {
		struct kvm_dirty_log log = { .slot = i, .dirty_bitmap = kvm->dirty_bitmap };

		if (ioctl(kvm->vm_fd, KVM_GET_DIRTY_LOG, &log))
			return kvm_err(err, errno, KVM_GET_DIRTY_LOG,
				       "cannot fetch the log of writes to memory");
		merge(kvm, &kvm->slots[i]);
	}
	return 0;
}

/* Takes what one vCPU's ring holds; true if there was something, so that a reset is due. */
static bool harvest_locked(struct kvm_vcpu *v)
{
	struct kvm_engine *kvm = v->engine;
	bool any = false;

	for (;;) {
		struct kvm_dirty_gfn *entry =
			&v->dirty_ring[v->dirty_next & (kvm->dirty_ring_entries - 1)];
		uint32_t slot;

		if (__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			return any;
		slot = entry->slot & 0xffff;
		if (slot < kvm->slot_count) {
			const struct kvm_slot *s = &kvm->slots[slot];
			uint64_t base = kvm->memory->regions[s->region].base.v + s->offset;

			memory_dirty(kvm->memory, GPA(base + entry->offset * PAGE_SIZE), PAGE_SIZE);
		}
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		v->dirty_next++;
		any = true;
	}
}

static int reset_rings(struct kvm_engine *kvm)
{
	return ioctl(kvm->vm_fd, KVM_RESET_DIRTY_RINGS, 0) < 0 ? -errno : 0;
}

static int collect_rings(struct kvm_engine *kvm, struct err *err)
{
	bool any = false;
	int rc;

	for (unsigned i = 0; i < kvm->vcpu_count; i++) {
		if (kvm->vcpus[i])
			any |= harvest_locked(kvm->vcpus[i]);
	}
	rc = any ? reset_rings(kvm) : 0;
	return rc ? kvm_err(err, -rc, KVM_RESET_DIRTY_RINGS, "cannot reset the dirty rings") : 0;
}

int kvm_dirty_collect(struct engine *engine, struct err *err)
{
	struct kvm_engine *kvm = to_kvm_engine(engine);

	LOCK_SCOPE(&kvm->dirty_lock);
	if (!kvm->dirty_logging)
		return 0;
	return kvm->dirty_ring_entries ? collect_rings(kvm, err) : collect_bitmaps(kvm, err);
}

int kvm_dirty_ring_full(struct kvm_vcpu *v)
{
	LOCK_SCOPE(&v->engine->dirty_lock);
	return harvest_locked(v) ? reset_rings(v->engine) : 0;
}
