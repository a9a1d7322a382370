/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images: what disks are made from, with the files that boot them; imported, fetched, or built from
 * a distribution's packages.
 */
#pragma once

#include "node/object/kind_ops.h"

/* By what people call it: "NAME" in `project`, "PROJECT/NAME", and with a tag "debian:12" for the
 * image debian-12. */
int image_resolve(struct node *node, const char *project, const char *ref, struct object *ret_image,
		  struct problem *problem);

/*
 * For a machine with a spec.image (vm_ops.prepare). A new one (`before` NULL): the change gets a disk that
 * is a linked clone of the image, called as the machine, of spec.disk-size, and spec.disks begins with it.
 * One that is changed: that disk stays in spec.disks, also if the document does not name it. Does
 * nothing without spec.image.
 */
int image_prepare_vm(struct change *change, const struct object *before, struct object *vm,
		     struct problem *problem);

/*
 * Sets "kernel", "initrd" and "append" of a machine's configuration: its spec.boot, else its image's.
 * API_CODE_CONFLICT: it has nothing to boot, or the image is not ready.
 */
int image_boot_config(struct node *node, const struct object *vm, json_t *config,
		      struct problem *problem);
