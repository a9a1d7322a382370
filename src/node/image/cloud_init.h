/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine tells cloud-init in its guest: the NoCloud data source, a small read-only disk with
 * the label "cidata". From spec.cloud-init of the machine.
 *
 *	user-data        spec's, byte for byte
 *	meta-data        instance-id (the machine's uid), host name, SSH keys
 *	vendor-data      user and password, which user-data overrides
 *	network-config   spec's, else DHCP on every card
 */
#pragma once

#include "node/object/kind_ops.h"

/* The machine gets a seed disk: it is made from an image, or its spec says something to cloud-init. */
bool cloud_init_wanted(const struct object *vm);

/* Before a machine is stored (vm_ops.prepare): a new password becomes its hash. */
int cloud_init_prepare(struct object *vm, struct problem *problem);

/*
 * Writes the seed disk as the file `name` in the folder `dir_fd`, whole or not at all, mode 0600: format
 * raw, to be attached read-only. API_CODE_NOT_FOUND: a key that is named is not there.
 */
int cloud_init_write(struct node *node, const struct object *vm, int dir_fd, const char *name,
		     struct problem *problem);

/* The action `cloud-init` of machines: what is on it, without secrets. */
int cloud_init_show(struct call *call, struct problem *problem);
