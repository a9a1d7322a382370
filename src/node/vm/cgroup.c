/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/vm/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"

#define PERIOD_US 100000
#define PARENT    "cella"
#define VALUE_MAX 64

enum controller { CPU, MEMORY, CONTROLLERS };

static const char *const controller_names[CONTROLLERS] = { "cpu", "memory" };

struct cgroups {
	unsigned version;         /* 2, 1, 0: none */
	char *roots[CONTROLLERS]; /* version 2: the same for all; NULL: the controller is missing */
};

/* ---- limits as files ---- */

static void cpu_weight_v2(const struct cgroup_limits *limits, char text[VALUE_MAX])
{
	snprintf(text, VALUE_MAX, "%u", limits->cpu_weight);
}

/* Shares are 1024 where the weight is 100. */
static void cpu_shares_v1(const struct cgroup_limits *limits, char text[VALUE_MAX])
{
	snprintf(text, VALUE_MAX, "%u", MAX(2u, limits->cpu_weight * 1024u / 100u));
}

static void cpu_max_v2(const struct cgroup_limits *limits, char text[VALUE_MAX])
{
	if (limits->cpu_percent)
		snprintf(text, VALUE_MAX, "%u %u", limits->cpu_percent * (PERIOD_US / 100),
			 PERIOD_US);
	else
		snprintf(text, VALUE_MAX, "max %u", PERIOD_US);
}

static void cpu_quota_v1(const struct cgroup_limits *limits, char text[VALUE_MAX])
{
	if (limits->cpu_percent)
		snprintf(text, VALUE_MAX, "%u", limits->cpu_percent * (PERIOD_US / 100));
	else
		snprintf(text, VALUE_MAX, "-1");
}

static void bytes_or(char text[VALUE_MAX], uint64_t bytes, const char *none)
{
	if (bytes)
		snprintf(text, VALUE_MAX, "%llu", (unsigned long long)bytes);
	else
		snprintf(text, VALUE_MAX, "%s", none);
}

static void memory_max_v2(const struct cgroup_limits *limits, char text[VALUE_MAX])
{
	bytes_or(text, limits->memory_max, "max");
}

static void memory_max_v1(const struct cgroup_limits *limits, char text[VALUE_MAX])
{
	bytes_or(text, limits->memory_max, "-1");
}

static void memory_low_v2(const struct cgroup_limits *limits, char text[VALUE_MAX])
{
	bytes_or(text, limits->memory_reserved, "0");
}

static void memory_soft_v1(const struct cgroup_limits *limits, char text[VALUE_MAX])
{
	bytes_or(text, limits->memory_reserved, "-1");
}

static const struct {
	unsigned version;
	enum controller controller;
	const char *file;
	void (*value)(const struct cgroup_limits *limits, char text[VALUE_MAX]);
} rows[] = {
	{ 2, CPU, "cpu.weight", cpu_weight_v2 },
	{ 2, CPU, "cpu.max", cpu_max_v2 },
	{ 2, MEMORY, "memory.low", memory_low_v2 },
	{ 2, MEMORY, "memory.max", memory_max_v2 },
	{ 1, CPU, "cpu.shares", cpu_shares_v1 },
	{ 1, CPU, "cpu.cfs_quota_us", cpu_quota_v1 },
	{ 1, MEMORY, "memory.soft_limit_in_bytes", memory_soft_v1 },
	{ 1, MEMORY, "memory.limit_in_bytes", memory_max_v1 },
};

/* ---- hierarchies ---- */

static int write_file(const char *path, const char *text)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t length = (ssize_t)strlen(text);

	if (fd < 0)
		return -errno;
	return write(fd, text, (size_t)length) == length ? 0 : -errno;
}

static bool has_word(const char *words, const char *word, char separator)
{
	size_t length = strlen(word);

	for (const char *at = words; at; at = strchr(at, separator)) {
		at += *at == separator;
		if (!strncmp(at, word, length) &&
		    (!at[length] || at[length] == separator || at[length] == '\n'))
			return true;
	}
	return false;
}

/* Spec: proc_pid_mountinfo(5): "ID PARENT DEVICE ROOT POINT OPTIONS … - TYPE SOURCE OPTIONS". */
static void take_mount(struct cgroups *cgroups, char *line, char *ret_unified)
{
	char *behind = strstr(line, " - "), *point = line;
	char type[32], options[512];

	if (!behind || sscanf(behind, " - %31s %*s %511s", type, options) != 2)
		return;
	for (unsigned i = 0; i < 4 && point; i++) {
		point = strchr(point, ' ');
		point = point ? point + 1 : NULL;
	}
	if (!point)
		return;
	point[strcspn(point, " ")] = '\0';
	if (!strcmp(type, "cgroup2"))
		snprintf(ret_unified, PATH_MAX, "%s", point);
	for (unsigned c = 0; c < CONTROLLERS && !strcmp(type, "cgroup"); c++) {
		if (has_word(options, controller_names[c], ',') && !cgroups->roots[c])
			cgroups->roots[c] = strdup(point);
	}
}

/* Version 2 counts if it has a controller of ours: else those are in version 1. */
static void take_unified(struct cgroups *cgroups, const char *point)
{
	char path[PATH_MAX + 64], words[512] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", point);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(words, sizeof(words), file))
		words[0] = '\0';
	fclose(file);
	for (unsigned c = 0; c < CONTROLLERS; c++) {
		if (!has_word(words, controller_names[c], ' '))
			continue;
		cgroups->version = 2;
		free(cgroups->roots[c]);
		cgroups->roots[c] = strdup(point);
	}
}

/* Controllers that are handed on to the groups below. */
static int enable_v2(const struct cgroups *cgroups, const char *root)
{
	char path[PATH_MAX], words[VALUE_MAX] = "";
	int rc;

	for (unsigned c = 0; c < CONTROLLERS; c++) {
		if (cgroups->roots[c])
			snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s+%s",
				 *words ? " " : "", controller_names[c]);
	}
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", root);
	rc = write_file(path, words);
	snprintf(path, sizeof(path), "%s/" PARENT "/cgroup.subtree_control", root);
	return rc ? rc : write_file(path, words);
}

/* Makes the parent of all groups; without the right to, the hierarchy is of no use. */
static int make_parent(struct cgroups *cgroups, const char *root)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" PARENT, root);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	return cgroups->version == 2 ? enable_v2(cgroups, root) : 0;
}

static void forget(struct cgroups *cgroups, unsigned controller)
{
	free(cgroups->roots[controller]);
	cgroups->roots[controller] = NULL;
}

int cgroups_open(struct cgroups **ret_cgroups, const char *mounts, struct err *err)
{
	struct cgroups *cgroups = calloc(1, sizeof(*cgroups));
	char unified[PATH_MAX] = "", line[2 * PATH_MAX];
	FILE *file = fopen(mounts, "re");
	bool any = false;

	if (!cgroups || !file) {
		free(cgroups);
		if (file)
			fclose(file);
		return err_errno(err, cgroups ? errno : ENOMEM, "cannot read '%s'", mounts);
	}
	cgroups->version = 1;
	while (fgets(line, sizeof(line), file))
		take_mount(cgroups, line, unified);
	fclose(file);
	if (*unified)
		take_unified(cgroups, unified);
	for (unsigned c = 0; c < CONTROLLERS; c++) {
		if (cgroups->roots[c] && make_parent(cgroups, cgroups->roots[c]))
			forget(cgroups, c);
		any |= cgroups->roots[c] != NULL;
	}
	if (!any)
		cgroups->version = 0;
	*ret_cgroups = cgroups;
	return 0;
}

void cgroups_close(struct cgroups *cgroups)
{
	if (!cgroups)
		return;
	for (unsigned c = 0; c < CONTROLLERS; c++)
		forget(cgroups, c);
	free(cgroups);
}

const char *cgroups_version(const struct cgroups *cgroups)
{
	static const char *const names[] = { "none", "v1", "v2" };

	return names[cgroups->version];
}

/* ---- groups ---- */

/* The folders of a group: one for all controllers in version 2, else one each. NULL: none here. */
static const char *folder_root(const struct cgroups *cgroups, unsigned controller)
{
	const char *root = cgroups->roots[controller];

	for (unsigned c = 0; root && c < controller; c++) {
		if (cgroups->roots[c] && !strcmp(cgroups->roots[c], root))
			return NULL;
	}
	return root;
}

int cgroup_limit(struct cgroups *cgroups, const char *name, const struct cgroup_limits *limits,
		 struct err *err)
{
	char path[PATH_MAX], value[VALUE_MAX];
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *root = cgroups->roots[rows[i].controller];
		int one;

		if (rows[i].version != cgroups->version || !root)
			continue;
		rows[i].value(limits, value);
		snprintf(path, sizeof(path), "%s/" PARENT "/%s/%s", root, name, rows[i].file);
		one = write_file(path, value);
		if (one && !rc)
			rc = err_errno(err, one, "cannot set '%s' of the machine's control group",
				       rows[i].file);
	}
	return rc;
}

int cgroup_enter(struct cgroups *cgroups, const char *name, const struct cgroup_limits *limits,
		 int ret_fds[CGROUP_FDS_MAX], unsigned *ret_count, struct err *err)
{
	char path[PATH_MAX];

	*ret_count = 0;
	for (unsigned c = 0; c < CONTROLLERS; c++) {
		const char *root = folder_root(cgroups, c);
		int fd;

		if (!root)
			continue;
		snprintf(path, sizeof(path), "%s/" PARENT "/%s", root, name);
		if (mkdir(path, 0755) && errno != EEXIST)
			return err_errno(err, errno, "cannot make control group '%s'", path);
		snprintf(path, sizeof(path), "%s/" PARENT "/%s/cgroup.procs", root, name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return err_errno(err, errno, "cannot open '%s'", path);
		ret_fds[(*ret_count)++] = fd;
	}
	return cgroup_limit(cgroups, name, limits, err);
}

void cgroup_remove(struct cgroups *cgroups, const char *name)
{
	char path[PATH_MAX];

	for (unsigned c = 0; c < CONTROLLERS; c++) {
		const char *root = folder_root(cgroups, c);

		if (!root)
			continue;
		snprintf(path, sizeof(path), "%s/" PARENT "/%s", root, name);
		rmdir(path);
	}
}
