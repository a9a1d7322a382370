/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel on this host can do: whether its KVM is real and complete, and what it offers a
 * guest.
 *
 * A /dev/kvm alone proves nothing: some hosts have one whose module emulates the guest's kernel
 * instructions instead of using the processor, and no stock system boots on it. So the module that
 * drives the processor must be there, too.
 */
#include "cpu/kvm/kvm_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "x86/features.h"

#define DEVICE "/dev/kvm"

static const struct {
	int cap;
	const char *name;
} needed_caps[] = {
	{ KVM_CAP_USER_MEMORY, "USER_MEMORY" },
	{ KVM_CAP_SPLIT_IRQCHIP, "SPLIT_IRQCHIP" },
	{ KVM_CAP_X2APIC_API, "X2APIC_API" },
	{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
	{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
	{ KVM_CAP_IRQFD, "IRQFD" },
	{ KVM_CAP_IOEVENTFD, "IOEVENTFD" },
	{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
	{ KVM_CAP_TSC_DEADLINE_TIMER, "TSC_DEADLINE_TIMER" },
	{ KVM_CAP_SREGS2, "SREGS2" },
	{ KVM_CAP_XSAVE, "XSAVE" },
	{ KVM_CAP_XCRS, "XCRS" },
	{ KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" },
	{ KVM_CAP_DEBUGREGS, "DEBUGREGS" },
	{ KVM_CAP_MP_STATE, "MP_STATE" },
	{ KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "SET_IDENTITY_MAP_ADDR" },
};

static int open_device(struct err *err)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	int error = errno;

	if (fd >= 0)
		return fd;
	err_errno(err, error, "cannot open '" DEVICE "'");
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return err_hint(err, "enable virtualisation in the firmware and load the module "
				     "kvm_intel or kvm_amd");
	case EACCES:
	case EPERM:
		return err_hint(err, "add the user to the group 'kvm'");
	}
	return -error;
}

static int check_module(struct err *err)
{
	glob_t found = { 0 };
	const char *other = "none";

	if (!access("/sys/module/kvm_intel", F_OK) || !access("/sys/module/kvm_amd", F_OK))
		return 0;
	if (!glob("/sys/module/kvm_*", 0, NULL, &found) && found.gl_pathc)
		other = strrchr(found.gl_pathv[0], '/') + 1;
	err_set(err, ENODEV,
		"'" DEVICE "' is not hardware virtualisation: neither module kvm_intel nor kvm_amd "
		"is loaded (found: %s)",
		other);
	globfree(&found);
	return -ENODEV;
}

int kvm_host_open(int *ret_fd, struct err *err)
{
	AUTO_CLOSE int fd = open_device(err);
	int version;

	if (fd < 0)
		return fd;
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(err, ENODEV, "'" DEVICE "' has API version %d, not %d", version,
			       KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(needed_caps); i++) {
		if (ioctl(fd, KVM_CHECK_EXTENSION, needed_caps[i].cap) <= 0) {
			err_set(err, ENODEV, "the kernel's KVM lacks the capability %s",
				needed_caps[i].name);
			return err_hint(err, "use Linux 5.15 or newer");
		}
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

int kvm_probe(struct err *err)
{
	AUTO_CLOSE int fd = -1;
	int rc = check_module(NULL);

	/* Whoever has no device at all should hear of that first. */
	if (rc && !access(DEVICE, F_OK))
		return check_module(err);
	return kvm_host_open(&fd, err);
}

static int get_supported(int fd, struct kvm_cpuid2 **ret_cpuid)
{
	/* The kernel says E2BIG until the array is large enough. */
	for (uint32_t entries = CPUID_ENTRIES_MAX; entries <= 1024; entries *= 2) {
		struct kvm_cpuid2 *cpuid =
			calloc(1, sizeof(*cpuid) + entries * sizeof(cpuid->entries[0]));
		int error;

		if (!cpuid)
			return -ENOMEM;
		cpuid->nent = entries;
		if (!ioctl(fd, KVM_GET_SUPPORTED_CPUID, cpuid)) {
			*ret_cpuid = cpuid;
			return 0;
		}
		error = errno;
		free(cpuid);
		if (error != E2BIG)
			return -error;
	}
	return -E2BIG;
}

/* Only what a model may take: tables of larger hosts have rows for what no guest is offered. */
static bool leaf_of_interest(uint32_t leaf)
{
	if (leaf == 0 || leaf == 0xd || leaf == 0x15 || leaf == 0x80000008)
		return true;
	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
		if (cpu_feature_table[f].leaf == leaf)
			return true;
	}
	return false;
}

int kvm_supported_cpuid(struct cpuid_table *ret_table, struct err *err)
{
	const struct cpu_feature_row *deadline = &cpu_feature_table[FEATURE_TSC_DEADLINE];
	AUTO_FREE struct kvm_cpuid2 *cpuid = NULL;
	AUTO_CLOSE int fd = -1;
	struct cpuid_table table = { 0 };
	int rc = kvm_host_open(&fd, err);

	if (rc)
		return rc;
	rc = get_supported(fd, &cpuid);
	if (rc) {
		kvm_err(err, -rc, KVM_GET_SUPPORTED_CPUID, "cannot ask KVM for its CPUID");
		return -EIO;
	}
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *from = &cpuid->entries[i];
		struct cpuid_entry to = {
			.leaf = from->function,
			.subleaf = from->index,
			.indexed = from->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.regs = { from->eax, from->ebx, from->ecx, from->edx },
		};

		if (!leaf_of_interest(to.leaf))
			continue;
		/* A capability of its own, which kvm_host_open() demands; not in the table. */
		if (to.leaf == deadline->leaf)
			to.regs.ecx |= 1u << deadline->bit;
		if (cpuid_set(&table, &to))
			return err_set(err, EIO, "KVM's CPUID has too many leaves");
	}
	*ret_table = table;
	return 0;
}

bool kvm_msr_supported(uint32_t index)
{
	AUTO_FREE struct kvm_msr_list *list = NULL;
	AUTO_CLOSE int fd = -1;
	struct kvm_msr_list none = { 0 };

	if (kvm_host_open(&fd, NULL))
		return false;
	/* Fails with E2BIG and tells the count. */
	ioctl(fd, KVM_GET_MSR_INDEX_LIST, &none);
	list = calloc(1, sizeof(*list) + none.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return false;
	list->nmsrs = none.nmsrs;
	if (ioctl(fd, KVM_GET_MSR_INDEX_LIST, list))
		return false;
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		if (list->indices[i] == index)
			return true;
	}
	return false;
}
