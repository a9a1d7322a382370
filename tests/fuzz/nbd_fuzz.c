/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hostile NBD client: all that it says, from the greeting on, while nobody looks at the answers. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/macros.h"
#include "block/export/nbd.h"
#include "host/fd.h"

#define DISK_BYTES MIB

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct block_node *open_disk(int fd)
{
	char path[32];
	struct block_open_options options = {
		.path = path,
		.format = "raw",
		.cache = BLOCK_CACHE_UNSAFE,
		.no_lock = true,
	};
	struct block_node *node;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check(!ftruncate(fd, DISK_BYTES) && !block_open(&options, NULL, &node, NULL));
	return node;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int disk = memfd_create("disk", MFD_CLOEXEC), in = memfd_create("in", MFD_CLOEXEC);
	int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct nbd_export exports[] = {
		{ .name = "disk", .description = "some", .node = open_disk(disk) },
		{ .name = "other", .node = exports[0].node, .read_only = true },
	};
	struct nbd_server_options options = {
		.exports = exports,
		.export_count = ARRAY_SIZE(exports),
		.threads_max = 1,
	};
	struct nbd_server *server;

	check(in >= 0 && out >= 0 && !fd_write_all(in, data, size) && !lseek(in, 0, SEEK_SET));
	check(!nbd_server_new(&server, &options, NULL));
	nbd_server_attend(server, in, out);
	nbd_server_free(server);
	check(block_size_bytes(exports[0].node) == DISK_BYTES);
	block_close(exports[0].node);
	close(out);
	close(in);
	close(disk);
	return 0;
}
