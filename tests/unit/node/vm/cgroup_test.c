/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control groups in folders that look like them. */
#include "node/vm/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

struct fixture {
	char folder[32];
	struct cgroups *cgroups;
};

static void put(const struct fixture *f, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void put_folder(const struct fixture *f, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static const char *get(const struct fixture *f, const char *name, char text[64])
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	file = fopen(path, "re");
	assert_non_null(file);
	text[fread(text, 1, 63, file)] = '\0';
	fclose(file);
	return text;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->folder, "/tmp/cella-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cgroups_close(f->cgroups);
	assert_int_equal(nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(f);
	return 0;
}

static void open_mounts(struct fixture *f, const char *format, const char *parent)
{
	char text[1024];

	snprintf(text, sizeof(text), format, f->folder, f->folder, f->folder);
	put(f, "mountinfo", text);
	put(f, "cgroup", "4:memory:/x\n0::/slice/daemon\n");
	assert_int_equal(cgroups_open(&f->cgroups, f->folder, parent, NULL), 0);
}

static void enter(struct fixture *f, const struct cgroup_limits *limits, unsigned fds_expected)
{
	int fds[CGROUP_FDS_MAX];
	unsigned count;
	struct err err = ERR_INIT;

	if (cgroup_enter(f->cgroups, "machine", limits, fds, &count, &err))
		fail_msg("%s", err.text);
	assert_int_equal(count, fds_expected);
	while (count)
		close(fds[--count]);
}

#define MOUNT(point, rest) "31 23 0:28 / %s/" point " rw,relatime - " rest "\n"

static const struct cgroup_limits limits = {
	.cpu_weight = 200,
	.cpu_percent = 150,
	.memory_max = 1 << 20,
	.memory_reserved = 4096,
};

static void cgroup_of_version_1_has_a_group_in_each_hierarchy(void **state)
{
	static const struct {
		const char *file, *text, *unlimited;
	} rows[] = {
		{ "cpu/cella/machine/cpu.shares", "2048", "1024" },
		{ "cpu/cella/machine/cpu.cfs_quota_us", "150000", "-1" },
		{ "memory/cella/machine/memory.limit_in_bytes", "1048576", "-1" },
		{ "memory/cella/machine/memory.soft_limit_in_bytes", "4096", "-1" },
	};
	static const char *const folders[] = { "cpu",    "cpu/cella",    "cpu/cella/machine",
					       "memory", "memory/cella", "memory/cella/machine",
					       "unified" };
	static const struct cgroup_limits none = { .cpu_weight = 100 };
	struct fixture *f = *state;
	char text[64];

	for (unsigned i = 0; i < ARRAY_SIZE(folders); i++)
		put_folder(f, folders[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		put(f, rows[i].file, "");
	put(f, "cpu/cella/machine/cgroup.procs", "");
	put(f, "memory/cella/machine/cgroup.procs", "");
	put(f, "unified/cgroup.controllers", "\n");
	open_mounts(f,
		    MOUNT("cpu", "cgroup cgroup rw,cpu,cpuacct")
			    MOUNT("memory", "cgroup cgroup rw,memory")
				    MOUNT("unified", "cgroup2 cgroup2 rw"),
		    "cella");
	assert_string_equal(cgroups_version(f->cgroups), "v1");
	enter(f, &limits, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(get(f, rows[i].file, text), rows[i].text);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		put(f, rows[i].file, "");
	assert_int_equal(cgroup_limit(f->cgroups, "machine", &none, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(get(f, rows[i].file, text), rows[i].unlimited);
}

/* A hierarchy of version 2 that has the parent, and a machine's group in it. */
static void make_v2(const struct fixture *f, const char *parent)
{
	static const char *const files[] = { "cgroup.procs", "cpu.weight", "cpu.max", "memory.low",
					     "memory.max" };
	char path[128];

	put_folder(f, "unified");
	put_folder(f, "unified/slice");
	for (unsigned i = 0; i < 3; i++) {
		static const char *const above[] = { "", "slice/", "slice/ours/" };

		if (i == 2)
			put_folder(f, "unified/slice/ours");
		snprintf(path, sizeof(path), "unified/%scgroup.controllers", above[i]);
		put(f, path, "cpuset cpu io memory pids\n");
		snprintf(path, sizeof(path), "unified/%scgroup.subtree_control", above[i]);
		put(f, path, "");
		snprintf(path, sizeof(path), "unified/%scgroup.procs", above[i]);
		put(f, path, "");
	}
	snprintf(path, sizeof(path), "unified/%s/machine", parent);
	put_folder(f, path);
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "unified/%s/machine/%s", parent, files[i]);
		put(f, path, "");
	}
}

static void cgroup_of_version_2_is_one_group(void **state)
{
	static const struct {
		const char *file, *text;
	} rows[] = {
		{ "unified/slice/ours/machine/cpu.weight", "200" },
		{ "unified/slice/ours/machine/cpu.max", "150000 100000" },
		{ "unified/slice/ours/machine/memory.low", "4096" },
		{ "unified/slice/ours/machine/memory.max", "1048576" },
		/* The last word: the kernel takes one after the other. */
		{ "unified/slice/cgroup.subtree_control", "+memory" },
		{ "unified/slice/ours/cgroup.subtree_control", "+memory" },
		{ "unified/cgroup.subtree_control", "" },
		/* For all machines together. */
		{ "unified/slice/ours/memory.low", "5096" },
	};
	struct fixture *f = *state;
	char text[64];

	make_v2(f, "slice/ours");
	put_folder(f, "unified/slice/ours/other");
	put(f, "unified/slice/ours/other/memory.low", "1000\n");
	put(f, "unified/slice/ours/memory.low", "0\n");
	open_mounts(f, MOUNT("unified", "cgroup2 cgroup2 rw"), "slice/ours");
	assert_string_equal(cgroups_version(f->cgroups), "v2");
	assert_string_equal(get(f, "unified/slice/ours/memory.low", text), "1000");
	enter(f, &limits, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(get(f, rows[i].file, text), rows[i].text);
}

/* Moving a process takes the group that both have in common: here /slice, as we are in /slice/daemon. */
static void cgroup_that_nothing_can_be_moved_to_is_none(void **state)
{
	struct fixture *f = *state;
	char path[128];

	make_v2(f, "slice/ours");
	snprintf(path, sizeof(path), "%s/unified/slice/cgroup.procs", f->folder);
	assert_int_equal(unlink(path), 0);
	open_mounts(f, MOUNT("unified", "cgroup2 cgroup2 rw"), "slice/ours");
	assert_string_equal(cgroups_version(f->cgroups), "none");
	enter(f, &limits, 0);
}

static void cgroup_without_hierarchies_does_nothing(void **state)
{
	struct fixture *f = *state;

	/* Mounted where nothing can be made. */
	open_mounts(f, MOUNT("missing", "cgroup cgroup rw,memory"), "cella");
	assert_string_equal(cgroups_version(f->cgroups), "none");
	enter(f, &limits, 0);
	cgroup_remove(f->cgroups, "machine");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cgroup_of_version_1_has_a_group_in_each_hierarchy),
		TEST(cgroup_of_version_2_is_one_group),
		TEST(cgroup_that_nothing_can_be_moved_to_is_none),
		TEST(cgroup_without_hierarchies_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
