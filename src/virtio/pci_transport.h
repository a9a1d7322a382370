/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI transport: shows a virtio device as a modern ("1.0 and later" only) PCI function.
 *
 * Spec: Virtio 1.2, section 4.1.
 */
#pragma once

#include "host/loop.h"
#include "pci/pci.h"
#include "virtio/device.h"

/*
 * Puts `virtio` on the bus at `devfn` (-1: first free slot). The transport belongs to the device
 * and is freed with it, by the thread of the loop or by another one that has no locks. Kicks are
 * handled on `loop` (borrowed) where the engine offers ioeventfd or `kicks_to_loop` is set, else on
 * the vCPU that kicks. 0, or a negative errno with nothing attached.
 */
int virtio_pci_attach(struct virtio_device *virtio, struct pci_bus *bus, int devfn,
		      struct loop *loop, bool kicks_to_loop, struct err *err);
