/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI transport's state, shared by its capabilities (pci_transport.c) and registers
 * (pci_registers.c).
 */
#pragma once

#include "host/loop.h"
#include "pci/pci.h"
#include "virtio/transport.h"

/* BAR 0. Every queue has a notify address of its own, so that an engine can tell kicks apart. */
#define BAR_COMMON        0x0000
#define BAR_COMMON_BYTES  64
#define BAR_ISR           0x1000
#define BAR_CONFIG        0x2000
#define BAR_CONFIG_BYTES  4096
#define BAR_NOTIFY        0x3000
#define BAR_NOTIFY_STRIDE 4
#define BAR_BYTES         0x4000

#define ISR_QUEUE  1
#define ISR_CONFIG 2

struct virtio_pci_queue {
	uint16_t vector;

	/* A kick that the engine turns into a signal; fd is -1 without. */
	struct loop_fd kick;
	uint64_t kick_address; /* where the engine has it; 0: nowhere */
	struct virtio_pci *pci;
};

struct virtio_pci {
	struct virtio_transport transport; /* first */
	struct virtio_device *virtio;
	struct pci_function function;
	struct loop *loop;
	struct loop_task again;
	bool kicks_to_loop;         /* also those that come by the bus */
	unsigned window_capability; /* VIRTIO_PCI_CAP_PCI_CFG */

	uint32_t offered_select, accepted_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint8_t isr;
	struct virtio_pci_queue queues[]; /* virtio->queue_count */
};

/* The registers of BAR 0. Device lock held. */
uint64_t virtio_pci_read(void *ctx, uint64_t offset, unsigned size);
void virtio_pci_write(void *ctx, uint64_t offset, uint64_t value, unsigned size);
