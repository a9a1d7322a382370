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

/* ---- content ---- */

/*
 * PUT …/images/NAME/content, the body being all or the next part of the image (Content-Range). As
 * web_ops.upload: 0 with what takes the body, or `problem` is set and the caller answers.
 */
int image_upload(struct node *node, const struct identity *who, const struct object *image,
		 const struct web_request *request, uint64_t bytes,
		 const struct web_upload_ops **ret_ops, void **ret_ctx, struct problem *problem);

/* GET and HEAD …/images/NAME/content: the image's file, or how much of an upload has arrived. Answers
 * the exchange (call->answered). */
int image_content(struct call *call, struct problem *problem);
