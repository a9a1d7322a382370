/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts from outside to the kernel's local APICs: messages, the PIC's line, NMIs, and event
 * descriptors that the kernel serves by itself.
 *
 * The kernel tells of the end of an interrupt (which the IOAPIC model waits for) only when one of
 * the routes reserved for IOAPICs has its vector and is level-triggered. Devices here send plain
 * messages, so the first level-triggered message of a vector adds such a route, addressed to
 * everyone; a vector that is reported once too often does no harm, the IOAPIC looks for itself.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst, 4.24, 4.52, 4.59, 4.71, 7.5; Intel SDM volume 3,
 * "Message Signalled Interrupts".
 */
#include "cpu/kvm/kvm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/macros.h"
#include "host/thread.h"

#define MSI_BASE            UINT32_C(0xfee00000)
#define MSI_DESTINATION(id) (((uint32_t)(id)&0xff) << 12)
#define MSI_DESTINATION_EXT UINT32_C(0xfe0) /* bits 8 to 14 of the destination in bits 5 to 11 */
#define MSI_DATA_NMI        UINT32_C(0x400)
#define MSI_DATA_LEVEL      UINT32_C(0x8000)

int kvm_irq_init(struct kvm_engine *kvm, struct err *err)
{
	size_t entries = KVM_LEVEL_ROUTES + KVM_IRQFDS_MAX;

	kvm->routing =
		calloc(1, sizeof(*kvm->routing) + entries * sizeof(kvm->routing->entries[0]));
	kvm->irqfds = calloc(KVM_IRQFDS_MAX, sizeof(*kvm->irqfds));
	if (!kvm->routing || !kvm->irqfds)
		return err_errno(err, ENOMEM, "cannot create the table of interrupt routes");
	for (unsigned i = 0; i < KVM_IRQFDS_MAX; i++)
		kvm->irqfds[i].fd = -1;
	return 0;
}

void kvm_irq_fini(struct kvm_engine *kvm)
{
	free(kvm->routing);
	free(kvm->irqfds);
}

/* The kernel wants the destination's bits 8 to 31 in the address's upper half. */
static uint32_t address_high(struct msi_message message)
{
	uint32_t extended = (uint32_t)(message.address & MSI_DESTINATION_EXT) >> 5;

	return (uint32_t)(message.address >> 32) | extended << 8;
}

static uint32_t address_low(struct msi_message message)
{
	return (uint32_t)message.address & ~MSI_DESTINATION_EXT;
}

static void add_route(struct kvm_irq_routing *routing, uint32_t gsi, uint32_t low, uint32_t high,
		      uint32_t data)
{
	routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = low, .address_hi = high, .data = data },
	};
}

static int update_routes_locked(struct kvm_engine *kvm)
{
	struct kvm_irq_routing *routing = kvm->routing;

	routing->nr = 0;
	for (unsigned i = 0; i < KVM_LEVEL_VECTORS && kvm->level_routes[i]; i++) {
		uint32_t data = kvm->level_routes[i] | MSI_DATA_LEVEL;

		/* Everyone in xAPIC mode, and everyone in x2APIC mode. */
		add_route(routing, 2 * i, MSI_BASE | MSI_DESTINATION(0xff), 0, data);
		add_route(routing, 2 * i + 1, MSI_BASE | MSI_DESTINATION(0xff), 0xffffff00, data);
	}
	for (unsigned i = 0; i < KVM_IRQFDS_MAX; i++) {
		const struct kvm_irqfd_route *route = &kvm->irqfds[i];

		if (route->fd >= 0)
			add_route(routing, KVM_LEVEL_ROUTES + i, address_low(route->message),
				  address_high(route->message), route->message.data);
	}
	return ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, routing) ? -errno : 0;
}

/* Vectors below 16 are not legal for an APIC, so that 0 marks a free place. */
static void need_level_route(struct kvm_engine *kvm, uint8_t vector)
{
	uint64_t bit = BIT(vector % 64);
	uint8_t *place, old;

	if (vector < 16 || atomic_load(&kvm->level_vectors[vector / 64]) & bit)
		return;
	LOCK_SCOPE(&kvm->routes_lock);
	if (atomic_load(&kvm->level_vectors[vector / 64]) & bit)
		return;
	/* The oldest gives way: what a guest once used before it rebooted. */
	place = &kvm->level_routes[kvm->level_next++ % KVM_LEVEL_VECTORS];
	old = *place;
	*place = vector;
	if (old)
		atomic_fetch_and(&kvm->level_vectors[old / 64], ~BIT(old % 64));
	update_routes_locked(kvm);
	atomic_fetch_or(&kvm->level_vectors[vector / 64], bit);
}

void kvm_msi(struct engine *engine, struct msi_message message)
{
	struct kvm_engine *kvm = to_kvm_engine(engine);
	struct kvm_msi msi = {
		.address_lo = address_low(message),
		.address_hi = address_high(message),
		.data = message.data,
	};

	if (message.data & MSI_DATA_LEVEL)
		need_level_route(kvm, message.data & 0xff);
	/* A message that nobody takes or that makes no sense is lost, as on a bus. */
	ioctl(kvm->vm_fd, KVM_SIGNAL_MSI, &msi);
}

void kvm_nmi(struct engine *engine, unsigned vcpu)
{
	/* As a message, because KVM_NMI would wait for the vCPU to come out of KVM_RUN. */
	struct kvm_msi msi = {
		.address_lo = MSI_BASE | MSI_DESTINATION(vcpu),
		.address_hi = vcpu & ~0xffu,
		.data = MSI_DATA_NMI,
	};

	ioctl(to_kvm_engine(engine)->vm_fd, KVM_SIGNAL_MSI, &msi);
}

void kvm_pic_line(struct engine *engine, bool level)
{
	struct kvm_vcpu *v = to_kvm_engine(engine)->vcpus[0];

	/* Its run loop acknowledges and injects. */
	if (v && atomic_exchange(&v->pic_line, level) != level && level)
		kvm_vcpu_interrupt(v);
}

int kvm_ioeventfd(struct engine *engine, enum engine_bus bus, uint64_t address, unsigned size,
		  int fd, bool on)
{
	struct kvm_ioeventfd event = {
		.addr = address,
		.len = size,
		.fd = fd,
		.flags = (bus == ENGINE_PORTS ? KVM_IOEVENTFD_FLAG_PIO : 0u) |
			 (on ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(to_kvm_engine(engine)->vm_fd, KVM_IOEVENTFD, &event) ? -errno : 0;
}

/* The place of `fd`, or with -1 the first free one; KVM_IRQFDS_MAX if there is none. */
static unsigned find_irqfd(const struct kvm_engine *kvm, int fd)
{
	unsigned i = 0;

	while (i < KVM_IRQFDS_MAX && kvm->irqfds[i].fd != fd)
		i++;
	return i;
}

static int set_irqfd(struct kvm_engine *kvm, unsigned index, uint32_t flags)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)kvm->irqfds[index].fd,
		.gsi = KVM_LEVEL_ROUTES + index,
		.flags = flags,
	};

	return ioctl(kvm->vm_fd, KVM_IRQFD, &irqfd) ? -errno : 0;
}

static int add_irqfd_locked(struct kvm_engine *kvm, int fd, struct msi_message message)
{
	unsigned index = find_irqfd(kvm, -1);
	int rc;

	if (index == KVM_IRQFDS_MAX)
		return -ENOSPC;
	kvm->irqfds[index] = (struct kvm_irqfd_route){ fd, message };
	rc = update_routes_locked(kvm);
	if (!rc)
		rc = set_irqfd(kvm, index, 0);
	if (rc)
		kvm->irqfds[index].fd = -1;
	return rc;
}

int kvm_irqfd(struct engine *engine, int fd, const struct msi_message *message)
{
	struct kvm_engine *kvm = to_kvm_engine(engine);
	unsigned index;
	int rc;

	LOCK_SCOPE(&kvm->routes_lock);
	index = find_irqfd(kvm, fd);
	if (index == KVM_IRQFDS_MAX)
		return message ? add_irqfd_locked(kvm, fd, *message) : 0;
	if (message) {
		kvm->irqfds[index].message = *message;
		return update_routes_locked(kvm);
	}
	rc = set_irqfd(kvm, index, KVM_IRQFD_FLAG_DEASSIGN);
	kvm->irqfds[index].fd = -1;
	return rc ? rc : update_routes_locked(kvm);
}
