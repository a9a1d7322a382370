/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder with a qcow2 image, the disk's contents in memory beside it, and the peer's tools. */
#pragma once

#include "fixture.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "block/format.h"
#include "host/fd.h"

struct disk {
	char folder[64], path[96], backing[96];
	struct loop *loop;
	struct block_node *node;
	uint64_t bytes; /* of the disk */
	uint8_t *model;
	uint32_t random;
};

extern char **environ;

/* Runs a program in a folder to its end; its exit status. Output goes to `output` (NULL: nowhere). */
static inline int run_program(const char *folder, const char *output, const char *const *arguments)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, folder);
	posix_spawn_file_actions_addopen(&actions, 1, output ? output : "/dev/null",
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	assert_int_equal(posix_spawnp(&pid, arguments[0], &actions, NULL,
				      (char *const *)(uintptr_t)arguments, environ),
			 0);
	posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}
/* In the disk's folder: the peer starts there with the names of data files. */
#define RUN(disk, output, ...)                                                                     \
	run_program((disk)->folder, output, (const char *const[]){ __VA_ARGS__, NULL })

/* A pseudo-random number below `below` that is the same in every run. */
static inline uint32_t disk_random(struct disk *disk, uint32_t below)
{
	disk->random = disk->random * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)disk->random >> 8) * below >> 24);
}

static inline void disk_file_name(const struct disk *disk, const char *name, char *path,
				  size_t bytes)
{
	snprintf(path, bytes, "%s/%s", disk->folder, name);
}

static inline void disk_write_file(const char *path, const void *content, uint64_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, content, bytes), 0);
	close(fd);
}

static inline void disk_open(struct disk *disk, struct block_open_options options)
{
	struct err err = ERR_INIT;

	options.path = disk->path;
	options.format = "qcow2";
	if (block_open(&options, disk->loop, &disk->node, &err))
		fail_msg("%s", err.text);
}

static inline void disk_close(struct disk *disk)
{
	if (disk->node && block_can_write(disk->node))
		assert_int_equal(block_flush(disk->node), 0);
	block_close(disk->node);
	disk->node = NULL;
}

/* A new image; with a backing file if it is to have that many bytes. */
static inline void disk_init(struct disk *disk, const char *settings, uint64_t bytes,
			     uint64_t backing_bytes)
{
	struct block_create_options create = { .format = "qcow2", .bytes = bytes };
	struct err err = ERR_INIT;
	json_t *given = json_object();

	*disk = (struct disk){ .bytes = bytes, .random = 1 };
	strcpy(disk->folder, "/var/tmp/cella-qcow2-XXXXXX");
	assert_non_null(mkdtemp(disk->folder));
	disk_file_name(disk, "disk.qcow2", disk->path, sizeof(disk->path));
	disk_file_name(disk, "base.raw", disk->backing, sizeof(disk->backing));
	assert_int_equal(loop_new(&disk->loop, NULL), 0);
	disk->model = calloc(1, MAX(bytes, backing_bytes) + 1);
	if (backing_bytes) {
		for (uint64_t i = 0; i < backing_bytes; i++)
			disk->model[i] = image_byte(i);
		disk_write_file(disk->backing, disk->model, backing_bytes);
		memset(disk->model + bytes, 0, MAX(bytes, backing_bytes) - bytes);
		create.backing = "base.raw";
		create.backing_format = "raw";
	}
	assert_int_equal(block_settings_parse(given, settings, &err), 0);
	create.path = disk->path;
	create.settings = given;
	if (block_create(&create, &err))
		fail_msg("%s: %s", settings, err.text);
	json_decref(given);
}

static inline void disk_fini(struct disk *disk)
{
	block_close(disk->node);
	loop_free(disk->loop);
	free(disk->model);
	assert_int_equal(RUN(disk, NULL, "rm", "-r", disk->folder), 0);
}

static inline void disk_expect(struct disk *disk, uint64_t offset, uint64_t bytes)
{
	uint8_t *buffer = malloc(bytes + 1);
	struct iovec iov = { buffer, bytes };
	struct block_buffer to = { .iov = &iov, .iov_count = 1 };

	assert_int_equal(block_readv(disk->node, offset, bytes, to), 0);
	for (uint64_t i = 0; i < bytes; i++) {
		if (buffer[i] != disk->model[offset + i])
			fail_msg("byte %llu is %#x, not %#x", (unsigned long long)(offset + i),
				 buffer[i], disk->model[offset + i]);
	}
	free(buffer);
}

static inline void disk_tell(void *ctx, enum block_finding finding, bool repaired, const char *text)
{
	(void)ctx;
	print_message("%s%s: %s\n", repaired ? "repaired " : "",
		      finding == BLOCK_FINDING_LEAK ? "leak" : "error", text);
}

/* What the check finds. The image is closed. */
static inline struct block_check disk_check(struct disk *disk, enum block_repair repair, bool tell)
{
	struct block_check check = { .repair = repair, .told = tell ? disk_tell : NULL };
	struct err err = ERR_INIT;

	disk_open(disk, (struct block_open_options){
				.check = true,
				.read_only = repair == BLOCK_REPAIR_NOTHING,
				.cache = BLOCK_CACHE_UNSAFE,
			});
	if (disk->node->format->check(disk->node, &check, &err))
		fail_msg("%s", err.text);
	block_close(disk->node);
	disk->node = NULL;
	return check;
}

static inline void disk_expect_clean(struct disk *disk)
{
	struct block_check check = disk_check(disk, BLOCK_REPAIR_NOTHING, true);

	assert_int_equal(check.found[BLOCK_FINDING_ERROR], 0);
	assert_int_equal(check.found[BLOCK_FINDING_LEAK], 0);
}

/* The peer finds nothing wrong, and reads the same bytes. The image is closed. */
static inline void disk_expect_peer_agrees(struct disk *disk)
{
	char log[128], raw[128], model[128];

	disk_file_name(disk, "log", log, sizeof(log));
	disk_file_name(disk, "peer.raw", raw, sizeof(raw));
	disk_file_name(disk, "model.raw", model, sizeof(model));
	if (RUN(disk, log, "qemu-img", "check", disk->path)) {
		RUN(disk, "/dev/stderr", "cat", log);
		fail_msg("qemu-img check");
	}
	disk_expect_clean(disk);
	disk_write_file(model, disk->model, disk->bytes);
	if (RUN(disk, log, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", model, disk->path)) {
		RUN(disk, "/dev/stderr", "cat", log);
		fail_msg("qemu-img compare");
	}
}
