/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The KVM virtual machine: created, given its capabilities and memory; and the engine's ops. */
#include "cpu/kvm/kvm_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "x86/features.h"

/* Pages that VMX takes for itself on processors without unrestricted guests; nothing else there. */
#define IDENTITY_MAP_ADDRESS UINT64_C(0xfeffc000)
#define TSS_ADDRESS          UINT64_C(0xfeffd000)

#define DIRTY_RING_ENTRIES 4096

static int check_extension(const struct kvm_engine *kvm, int cap)
{
	return ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, cap);
}

static int enable(struct kvm_engine *kvm, uint32_t cap, uint64_t argument)
{
	struct kvm_enable_cap request = { .cap = cap, .args = { argument } };

	return ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &request) ? -errno : 0;
}

static int parse_options(struct kvm_engine *kvm, const char *text, struct err *err)
{
	static const struct {
		const char *word;
		unsigned ring_entries;
	} words[] = { { "dirty=bitmap", 0 }, { "dirty=ring", DIRTY_RING_ENTRIES } };

	while (text && *text) {
		size_t length = strcspn(text, ",");
		size_t i = 0;

		while (i < ARRAY_SIZE(words) &&
		       (strlen(words[i].word) != length || strncmp(words[i].word, text, length)))
			i++;
		if (i == ARRAY_SIZE(words)) {
			err_set(err, EINVAL, "engine kvm has no option '%.*s'",
				(int)MIN(length, (size_t)64), text);
			return err_hint(err, "there are 'dirty=bitmap' and 'dirty=ring'");
		}
		kvm->dirty_ring_entries = words[i].ring_entries;
		text += length + (text[length] == ',');
	}
	return 0;
}

static int create_vm(struct kvm_engine *kvm, struct err *err)
{
	uint64_t identity = IDENTITY_MAP_ADDRESS;

	do
		kvm->vm_fd = ioctl(kvm->kvm_fd, KVM_CREATE_VM, 0);
	while (kvm->vm_fd < 0 && errno == EINTR);
	if (kvm->vm_fd < 0)
		return kvm_err(err, errno, KVM_CREATE_VM, "cannot create a virtual machine");
	if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) ||
	    ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS))
		return kvm_err(err, errno, KVM_SET_TSS_ADDR, "cannot set aside KVM's own pages");
	return 0;
}

/* Guests get no MSR that comes with a feature they are not offered. */
static int filter_msrs(struct kvm_engine *kvm, struct err *err)
{
	uint8_t nothing_allowed[4] = { 0 }; /* a bit a register, up to 32 in a range */
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	unsigned ranges = 0;

	if (check_extension(kvm, KVM_CAP_X86_MSR_FILTER) <= 0)
		return 0;
	for (size_t i = 0; i < cpu_feature_msrs_count && ranges < KVM_MSR_FILTER_MAX_RANGES; i++) {
		const struct cpu_feature_msrs *row = &cpu_feature_msrs[i];

		if (cpu_feature_msrs_present(&kvm->cpuid, row))
			continue;
		filter.ranges[ranges++] = (struct kvm_msr_filter_range){
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			.nmsrs = row->count,
			.base = row->first,
			.bitmap = nothing_allowed,
		};
	}
	if (ranges && ioctl(kvm->vm_fd, KVM_X86_SET_MSR_FILTER, &filter))
		return kvm_err(err, errno, KVM_X86_SET_MSR_FILTER, "cannot filter MSRs");
	return 0;
}

static int enable_dirty_ring(struct kvm_engine *kvm, struct err *err)
{
	static const uint32_t caps[] = { KVM_CAP_DIRTY_LOG_RING,
#ifdef KVM_CAP_DIRTY_LOG_RING_ACQ_REL
					 KVM_CAP_DIRTY_LOG_RING_ACQ_REL
#endif
	};
	uint64_t bytes = kvm->dirty_ring_entries * sizeof(struct kvm_dirty_gfn);

	if (!kvm->dirty_ring_entries)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if (!enable(kvm, caps[i], bytes))
			return 0;
	}
	err_set(err, ENOTSUP, "the kernel's KVM has no dirty ring");
	return err_hint(err, "leave out 'dirty=ring'");
}

static int enable_caps(struct kvm_engine *kvm, struct err *err)
{
	int rc = enable(kvm, KVM_CAP_SPLIT_IRQCHIP, KVM_LEVEL_ROUTES);

	if (rc)
		return kvm_err(err, -rc, KVM_ENABLE_CAP, "cannot have local APICs in the kernel");
	rc = enable(kvm, KVM_CAP_X2APIC_API,
		    KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	if (rc)
		return kvm_err(err, -rc, KVM_ENABLE_CAP, "cannot have 32-bit APIC ids");
	/* No model offers performance counters; this saves their emulation. Older kernels lack it. */
	if (check_extension(kvm, KVM_CAP_PMU_CAPABILITY) > 0)
		enable(kvm, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE);
	rc = enable_dirty_ring(kvm, err);
	return rc ? rc : filter_msrs(kvm, err);
}

int kvm_open(struct engine **ret_engine, const struct engine_config *config, struct err *err)
{
	struct kvm_engine *kvm = calloc(1, sizeof(*kvm));
	int rc;

	if (!kvm)
		return err_errno(err, ENOMEM, "cannot create the KVM engine");
	*kvm = (struct kvm_engine){
		.engine.ops = &kvm_engine_ops,
		.kvm_fd = -1,
		.vm_fd = -1,
		.memory = config->memory,
		.platform = config->platform,
		.cpuid = *config->cpuid,
		.tsc_khz = config->tsc_khz,
		.vcpu_count = config->vcpus,
		.vcpus = calloc(config->vcpus, sizeof(*kvm->vcpus)),
	};
	pthread_mutex_init(&kvm->routes_lock, NULL);
	pthread_mutex_init(&kvm->dirty_lock, NULL);
	rc = kvm->vcpus ? 0 : err_errno(err, ENOMEM, "cannot create %u vCPUs", config->vcpus);
	if (!rc)
		rc = parse_options(kvm, config->options, err);
	if (!rc)
		rc = kvm_host_open(&kvm->kvm_fd, err);
	if (!rc)
		rc = create_vm(kvm, err);
	if (!rc)
		rc = kvm_irq_init(kvm, err);
	if (!rc)
		rc = enable_caps(kvm, err);
	if (rc) {
		kvm_free(&kvm->engine);
		return rc;
	}
	kvm->run_bytes = (size_t)ioctl(kvm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	kvm->xsave_bytes = (uint32_t)MAX(check_extension(kvm, KVM_CAP_XSAVE2), 0);
	kvm->smm = check_extension(kvm, KVM_CAP_X86_SMM) > 0;
	kvm->debug_block_irq = (uint32_t)MAX(check_extension(kvm, KVM_CAP_SET_GUEST_DEBUG2), 0) &
			       KVM_GUESTDBG_BLOCKIRQ;
	kvm_vcpu_signal_init();
	*ret_engine = &kvm->engine;
	return 0;
}

void kvm_free(struct engine *engine)
{
	struct kvm_engine *kvm = to_kvm_engine(engine);

	if (!kvm)
		return;
	if (kvm->vm_fd >= 0)
		close(kvm->vm_fd);
	if (kvm->kvm_fd >= 0)
		close(kvm->kvm_fd);
	kvm_irq_fini(kvm);
	free(kvm->dirty_bitmap);
	free(kvm->vcpus);
	pthread_mutex_destroy(&kvm->dirty_lock);
	pthread_mutex_destroy(&kvm->routes_lock);
	free(kvm);
}

int kvm_map_memory(struct engine *engine, struct err *err)
{
	struct kvm_engine *kvm = to_kvm_engine(engine);

	for (unsigned r = 0; r < MEMORY_REGIONS; r++) {
		const struct memory_region *region = &kvm->memory->regions[r];

		for (uint64_t offset = 0; offset < region->size; offset += KVM_SLOT_BYTES) {
			int rc;

			if (kvm->slot_count == KVM_SLOTS_MAX)
				return err_set(err, E2BIG, "memory needs more than %u slots of KVM",
					       KVM_SLOTS_MAX);
			kvm->slots[kvm->slot_count] = (struct kvm_slot){
				.region = r,
				.offset = offset,
				.size = MIN(region->size - offset, KVM_SLOT_BYTES),
			};
			rc = kvm_slot_set(kvm, kvm->slot_count, false, err);
			if (rc)
				return rc;
			kvm->slot_count++;
		}
	}
	return 0;
}

void kvm_clock_paused(struct engine *engine)
{
	struct kvm_engine *kvm = to_kvm_engine(engine);

	/* EINVAL from a vCPU whose guest does not use the clock. */
	for (unsigned i = 0; i < kvm->vcpu_count; i++) {
		if (kvm->vcpus[i])
			ioctl(kvm->vcpus[i]->fd, KVM_KVMCLOCK_CTRL, 0);
	}
}

json_t *kvm_stats(struct engine *engine)
{
	const struct kvm_engine *kvm = to_kvm_engine(engine);
	json_t *exits = json_object();

	for (unsigned reason = 0; reason < KVM_EXIT_REASONS; reason++) {
		const char *name = kvm_exit_name(reason);
		uint64_t sum = 0;

		for (unsigned i = 0; i < kvm->vcpu_count; i++) {
			if (kvm->vcpus[i])
				sum += atomic_load_explicit(&kvm->vcpus[i]->exits[reason],
							    memory_order_relaxed);
		}
		if (sum)
			json_object_set_new(exits, name ? name : "other",
					    json_integer((json_int_t)sum));
	}
	return json_pack("{s:s, s:o}", "engine", "kvm", "exits", exits);
}

const struct engine_ops kvm_engine_ops = {
	.name = "kvm",
	.probe = kvm_probe,
	.supported_cpuid = kvm_supported_cpuid,
	.msr_supported = kvm_msr_supported,
	.open = kvm_open,
	.free = kvm_free,
	.map_memory = kvm_map_memory,
	.pic_line = kvm_pic_line,
	.msi = kvm_msi,
	.nmi = kvm_nmi,
	.ioeventfd = kvm_ioeventfd,
	.irqfd = kvm_irqfd,
	.dirty_log = kvm_dirty_log,
	.dirty_collect = kvm_dirty_collect,
	.clock_paused = kvm_clock_paused,
	.stats = kvm_stats,
	.vcpu_new = kvm_vcpu_new,
	.vcpu_free = kvm_vcpu_free,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_kick = kvm_vcpu_kick,
	.vcpu_get = kvm_vcpu_get,
	.vcpu_set = kvm_vcpu_set,
	.vcpu_debug = kvm_vcpu_debug,
	.vcpu_debug_stop = kvm_vcpu_debug_stop,
};
