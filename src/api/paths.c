/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void api_socket_path(char *ret_path, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (!geteuid())
		snprintf(ret_path, size, "/run/cella/api.sock");
	else if (runtime && *runtime == '/')
		snprintf(ret_path, size, "%s/cella/api.sock", runtime);
	else
		snprintf(ret_path, size, "/tmp/cella-%u/api.sock", (unsigned)geteuid());
}
