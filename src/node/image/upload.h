/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Uploads of images: a client sends the content in one or several parts, one behind the other, and may ask
 * how much has arrived, also after a restart of the daemon.
 *
 *	PUT  …/images/NAME/content   Content-Range: bytes 0-1048575/9437184
 *	HEAD …/images/NAME/content   upload-offset: 1048576, upload-length: 9437184
 *	GET  …/images/NAME/content   the disk of the image, when it is ready (Range: bytes=A-B)
 */
#pragma once

#include "node/object/kind_ops.h"

/* The file of an upload in the image's folder of imports. Caller frees; NULL: no memory. */
char *upload_path(const char *import);

/* Resources of images. */
int upload_begin(struct call *call, uint64_t bytes, const struct web_upload_ops **ret_ops,
		 void **ret_ctx, struct problem *problem);
int upload_show(struct call *call, struct problem *problem);
