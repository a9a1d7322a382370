/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/object/kind_ops.h"

/* Those that others need start first. */
const struct kind_ops *const kind_ops_table[] = {
	&project_ops,  &role_ops,  &user_ops, &token_ops,   &key_ops,
	&pool_ops,     &image_ops, &disk_ops, &network_ops, &security_group_ops,
	&template_ops, &vm_ops,    &node_ops, NULL,
};

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	for (const struct kind_ops *const *ops = kind_ops_table; *ops; ops++) {
		if ((*ops)->kind == kind)
			return *ops;
	}
	return NULL;
}
