/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI Express capability that all functions on links and their ports have.
 *
 * The link is as slow as they come, which nobody waits for: 2.5 GT/s, one lane, always trained.
 * Spec: PCI Express Base 4.0 section 7.5.3.
 */
#include "pci/pci_priv.h"

#include "base/bytes.h"

#define CAPABILITY_VERSION 2
#define LINK_SPEED         1 /* 2.5 GT/s */
#define LINK_WIDTH         (1 << 4)
#define CAPABILITY_BYTES   60

unsigned pci_express_add(struct pci_function *function, unsigned type)
{
	unsigned at = pci_capability_add(function, PCI_CAP_ID_EXP, CAPABILITY_BYTES);
	uint8_t *config = function->config + at, *writable = function->writable + at;

	le16_put(config + PCI_EXP_FLAGS, (uint16_t)(CAPABILITY_VERSION | type << 4));
	le32_put(config + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER);
	le16_put(writable + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE |
						    PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE);
	le32_put(config + PCI_EXP_LNKCAP, LINK_SPEED | LINK_WIDTH);
	le16_put(config + PCI_EXP_LNKSTA, LINK_SPEED | LINK_WIDTH);
	le16_put(writable + PCI_EXP_LNKCTL, PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC);
	return at;
}
