/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What KVM's error numbers mean.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst; Intel SDM volume 3, section 26.8 and appendix C; AMD
 * APM volume 2, appendix C.
 */
#include "cpu/kvm/kvm_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/macros.h"

static const struct {
	unsigned long request; /* 0: any */
	int error;
	const char *words;
} hints[] = {
	{ KVM_CREATE_VM, EBUSY,
	  "another hypervisor (VirtualBox, VMware) uses the processor: stop its machines" },
	{ KVM_CREATE_VM, ENOMEM, "the host is short of memory, or of cgroup 'memory' quota" },
	{ KVM_CREATE_VCPU, EINVAL, "the kernel has a lower limit of vCPUs: give less --cpus" },
	{ KVM_CREATE_VCPU, ENOMEM, "the host is short of memory: give less --cpus" },
	{ KVM_SET_CPUID2, EINVAL, "the kernel does not accept this CPU model: try another" },
	{ KVM_SET_CPUID2, E2BIG, "the CPUID table is longer than the kernel takes" },
	{ KVM_SET_USER_MEMORY_REGION, EINVAL,
	  "the kernel does not accept the memory layout: give less --memory" },
	{ KVM_SET_USER_MEMORY_REGION, ENOMEM, "the host is short of memory: give less --memory" },
	{ KVM_SET_TSC_KHZ, EINVAL, "the processor cannot scale its time stamp counter" },
	{ KVM_SET_GSI_ROUTING, EINVAL, "the kernel has a lower limit of interrupt routes" },
	{ 0, EPERM, "add the user to the group 'kvm'" },
};

int kvm_err(struct err *err, int error, unsigned long request, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_errno(err, error, "%s", text);
	for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
		if (hints[i].error == error && (!hints[i].request || hints[i].request == request))
			return err_hint(err, "%s", hints[i].words);
	}
	return -error;
}

/* VMX basic exit reasons of failed entries. Spec: SDM volume 3, appendix C. */
#define VMX_ENTRY_FAILED        0x80000000u
#define VMX_INVALID_GUEST_STATE 33
#define VMX_MSR_LOADING         34
#define VMX_MACHINE_CHECK       41

/* SVM says VMEXIT_INVALID with all ones. Spec: APM volume 2, 15.5.1. */
#define SVM_INVALID UINT64_MAX

void kvm_explain_entry_failure(uint64_t reason, char *text, size_t bytes)
{
	const char *words = "a reason that only the processor's manual knows";

	if (reason == SVM_INVALID || reason == UINT32_MAX)
		words = "the guest's state breaks a rule of the architecture (VMRUN)";
	else if (reason == (VMX_ENTRY_FAILED | VMX_INVALID_GUEST_STATE))
		words = "the guest's state breaks a rule of the architecture (VM entry); old "
			"processors "
			"without unrestricted guests cannot run all of real mode";
	else if (reason == (VMX_ENTRY_FAILED | VMX_MSR_LOADING))
		words = "an MSR of the guest cannot be loaded";
	else if (reason == (VMX_ENTRY_FAILED | VMX_MACHINE_CHECK))
		words = "a machine check during entry: look for hardware errors in the kernel log";
	snprintf(text, bytes, "%s", words);
}

const char *kvm_explain_internal_error(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "the kernel cannot emulate the guest's instruction";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "two exceptions met while one was delivered";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "a fault on the page of an event's delivery, such as an IDT in MMIO";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "the processor left the guest for a reason the kernel does not know";
	default:
		return "unknown kind";
	}
}
