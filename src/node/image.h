/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images: what disks are made from, with the files that boot them; imported, fetched, or built from
 * a distribution's packages.
 */
#pragma once

#include "node/kind_ops.h"

/* By what people call it: "NAME" in `project`, "PROJECT/NAME", and with a tag "debian:12" for the
 * image debian-12. */
int image_resolve(struct node *node, const char *project, const char *ref, struct object *ret_image,
		  struct problem *problem);

/*
 * For a machine that is made (vm_ops.prepare, before it is stored): with a spec.image, the change gets
 * a disk that is a linked clone of the image, called as the machine, of spec.disk-size; spec.disks
 * begins with it, and spec.image becomes the image's name. Does nothing without spec.image.
 */
int image_prepare_vm(struct change *change, struct object *vm, struct problem *problem);

/*
 * Sets "kernel", "initrd" and "append" of a machine's configuration: its spec.boot, else its image's.
 * API_CODE_CONFLICT: it has nothing to boot, or the image is not ready.
 */
int image_boot_config(struct node *node, const struct object *vm, json_t *config,
		      struct problem *problem);
