/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/vm/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"

#define PERIOD_US 100000
#define VALUE_MAX 64
#define LOW_V2    "memory.low"
#define WORDS_MAX 512
#define PATH_SIZE (2 * PATH_MAX)

enum controller { CPU, MEMORY, CONTROLLERS };

static const char *const controller_names[CONTROLLERS] = { "cpu", "memory" };

struct cgroups {
	pthread_mutex_t lock;       /* of what is reserved for all together */
	unsigned version;           /* 2, 1, 0: none */
	char *parents[CONTROLLERS]; /* version 2: the same for all; NULL: it is missing */
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
	{ 2, MEMORY, LOW_V2, memory_low_v2 },
	{ 2, MEMORY, "memory.max", memory_max_v2 },
	{ 1, CPU, "cpu.shares", cpu_shares_v1 },
	{ 1, CPU, "cpu.cfs_quota_us", cpu_quota_v1 },
	{ 1, MEMORY, "memory.soft_limit_in_bytes", memory_soft_v1 },
	{ 1, MEMORY, "memory.limit_in_bytes", memory_max_v1 },
};

/* ---- hierarchies ---- */

/* Where they are mounted, and where this process is. */
struct hierarchies {
	char *points[CONTROLLERS]; /* version 1 */
	char unified[PATH_MAX];    /* version 2; empty: not mounted */
	char self[PATH_MAX];       /* in version 2: "/" or "/a/b" */
};

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
static void take_mount(struct hierarchies *found, char *line)
{
	char *behind = strstr(line, " - "), *point = line;
	char type[32], options[WORDS_MAX];

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
		snprintf(found->unified, sizeof(found->unified), "%s", point);
	for (unsigned c = 0; c < CONTROLLERS && !strcmp(type, "cgroup"); c++) {
		if (has_word(options, controller_names[c], ',') && !found->points[c])
			found->points[c] = strdup(point);
	}
}

/* Spec: cgroups(7): "ID:CONTROLLERS:PATH", where version 2 is "0::PATH". */
static void take_own_group(struct hierarchies *found, char *line)
{
	if (strncmp(line, "0::", 3))
		return;
	line[strcspn(line, "\n")] = '\0';
	snprintf(found->self, sizeof(found->self), "%s", line + 3);
}

static int each_line(const char *proc, const char *name, struct hierarchies *found,
		     void (*take)(struct hierarchies *found, char *line), struct err *err)
{
	char path[PATH_SIZE], line[PATH_SIZE];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", proc, name);
	file = fopen(path, "re");
	if (!file)
		return err_errno(err, errno, "cannot read '%s'", path);
	while (fgets(line, sizeof(line), file))
		take(found, line);
	fclose(file);
	return 0;
}

/* Which of our controllers a group has: a bit each. */
static unsigned controllers_of(const char *group)
{
	char path[PATH_SIZE + 32], words[WORDS_MAX] = "";
	unsigned controllers = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", group);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(words, sizeof(words), file))
		words[0] = '\0';
	fclose(file);
	for (unsigned c = 0; c < CONTROLLERS; c++) {
		if (has_word(words, controller_names[c], ' '))
			controllers |= 1u << c;
	}
	return controllers;
}

/* Gives a group's controllers to those below it, too. */
static unsigned hand_on(const char *group)
{
	unsigned controllers = controllers_of(group);
	char path[PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group);
	for (unsigned c = 0; c < CONTROLLERS; c++) {
		char word[VALUE_MAX];

		snprintf(word, sizeof(word), "+%s", controller_names[c]);
		if (controllers & 1u << c && write_file(path, word))
			controllers &= ~(1u << c);
	}
	return controllers;
}

static bool is_below(const char *group, const char *ancestor)
{
	size_t length = strlen(ancestor);

	return !strncmp(group, ancestor, length) && (!group[length] || group[length] == '/');
}

/* A path without its last part. */
static void go_up(char *path)
{
	char *slash = strrchr(path, '/');

	*(slash ? slash : path) = '\0';
}

/*
 * Who moves a process needs to write not only to where it goes, but also to the group that both are in.
 *
 * Spec: cgroup-v2.rst, "Delegation Containment".
 */
static bool may_move_v2(const struct hierarchies *found, const char *parent)
{
	char path[PATH_SIZE], common[PATH_MAX] = "/";

	snprintf(common + 1, sizeof(common) - 1, "%s", parent);
	while (*common && !is_below(found->self, common))
		go_up(common);
	snprintf(path, sizeof(path), "%s%s/cgroup.procs", found->unified, common);
	return !access(path, W_OK);
}

static void open_v2(struct cgroups *cgroups, const struct hierarchies *found, const char *parent)
{
	char path[PATH_SIZE], above[PATH_SIZE];
	unsigned controllers;

	snprintf(path, sizeof(path), "%s/%s", found->unified, parent);
	snprintf(above, sizeof(above), "%s", path);
	go_up(above);
	if (!controllers_of(above) || (mkdir(path, 0755) && errno != EEXIST) ||
	    !may_move_v2(found, parent))
		return;
	/* Where we may not, somebody did it who made the group for us. */
	hand_on(above);
	controllers = hand_on(path);
	for (unsigned c = 0; c < CONTROLLERS; c++) {
		if (controllers & 1u << c)
			cgroups->parents[c] = strdup(path);
	}
	cgroups->version = controllers ? 2 : 0;
}

static void open_v1(struct cgroups *cgroups, const struct hierarchies *found, const char *parent)
{
	char path[PATH_SIZE];

	for (unsigned c = 0; c < CONTROLLERS; c++) {
		if (!found->points[c])
			continue;
		snprintf(path, sizeof(path), "%s/%s", found->points[c], parent);
		if ((mkdir(path, 0755) && errno != EEXIST) || access(path, W_OK))
			continue;
		cgroups->parents[c] = strdup(path);
		cgroups->version = 1;
	}
}

/* 0 for "max" as well: we write none. */
static uint64_t number_in(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[VALUE_MAX];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return 0;
	text[n] = '\0';
	return strtoull(text, NULL, 10);
}

static uint64_t reserved_below(const char *parent)
{
	DIR *dir = opendir(parent);
	const struct dirent *entry;
	char path[2 * PATH_SIZE];
	uint64_t sum = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || *entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/" LOW_V2, parent, entry->d_name);
		sum += number_in(path);
	}
	if (dir)
		closedir(dir);
	return sum;
}

/*
 * What is reserved for a group counts only as far as it is for those that it is in: all above that were
 * handed to us get the sum.
 *
 * Spec: cgroup-v2.rst, "memory.low".
 */
static void reserve_above(struct cgroups *cgroups)
{
	const char *parent = cgroups->version == 2 ? cgroups->parents[MEMORY] : NULL;
	char above[PATH_SIZE], path[PATH_SIZE + 32], value[VALUE_MAX];
	struct stat st;

	if (!parent)
		return;
	snprintf(above, sizeof(above), "%s", parent);
	pthread_mutex_lock(&cgroups->lock);
	snprintf(value, sizeof(value), "%" PRIu64, reserved_below(parent));
	do {
		snprintf(path, sizeof(path), "%s/" LOW_V2, above);
		write_file(path, value);
		go_up(above);
		snprintf(path, sizeof(path), "%s/" LOW_V2, above);
	} while (*above && !stat(path, &st) && st.st_uid && st.st_uid == geteuid());
	pthread_mutex_unlock(&cgroups->lock);
}

int cgroups_open(struct cgroups **ret_cgroups, const char *proc, const char *parent,
		 struct err *err)
{
	struct cgroups *cgroups = calloc(1, sizeof(*cgroups));
	struct hierarchies *found = calloc(1, sizeof(*found));
	int rc = cgroups && found ? each_line(proc, "mountinfo", found, take_mount, err)
				  : err_errno(err, ENOMEM, "cannot look for control groups");

	if (!rc)
		rc = each_line(proc, "cgroup", found, take_own_group, err);
	/* Where both versions are, each controller is in one of them only. */
	if (!rc && *found->unified)
		open_v2(cgroups, found, parent);
	if (!rc && !cgroups->version)
		open_v1(cgroups, found, parent);
	for (unsigned c = 0; found && c < CONTROLLERS; c++)
		free(found->points[c]);
	free(found);
	if (rc) {
		free(cgroups);
		return rc;
	}
	pthread_mutex_init(&cgroups->lock, NULL);
	reserve_above(cgroups);
	*ret_cgroups = cgroups;
	return 0;
}

void cgroups_close(struct cgroups *cgroups)
{
	if (!cgroups)
		return;
	for (unsigned c = 0; c < CONTROLLERS; c++)
		free(cgroups->parents[c]);
	pthread_mutex_destroy(&cgroups->lock);
	free(cgroups);
}

const char *cgroups_version(const struct cgroups *cgroups)
{
	static const char *const names[] = { "none", "v1", "v2" };

	return names[cgroups->version];
}

/* ---- groups ---- */

/* The folders of a group: one for all controllers in version 2, else one each.
 * NULL: none here. */
static const char *folder_parent(const struct cgroups *cgroups, unsigned controller)
{
	const char *parent = cgroups->parents[controller];

	for (unsigned c = 0; parent && c < controller; c++) {
		if (cgroups->parents[c] && !strcmp(cgroups->parents[c], parent))
			return NULL;
	}
	return parent;
}

int cgroup_limit(struct cgroups *cgroups, const char *name, const struct cgroup_limits *limits,
		 struct err *err)
{
	char path[PATH_SIZE], value[VALUE_MAX];
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *parent = cgroups->parents[rows[i].controller];
		int one;

		if (rows[i].version != cgroups->version || !parent)
			continue;
		rows[i].value(limits, value);
		snprintf(path, sizeof(path), "%s/%s/%s", parent, name, rows[i].file);
		one = write_file(path, value);
		if (one && !rc)
			rc = err_errno(err, one, "cannot set '%s' of the machine's control group",
				       rows[i].file);
	}
	reserve_above(cgroups);
	return rc;
}

int cgroup_enter(struct cgroups *cgroups, const char *name, const struct cgroup_limits *limits,
		 int ret_fds[CGROUP_FDS_MAX], unsigned *ret_count, struct err *err)
{
	char path[PATH_SIZE];

	*ret_count = 0;
	for (unsigned c = 0; c < CONTROLLERS; c++) {
		const char *parent = folder_parent(cgroups, c);
		int fd;

		if (!parent)
			continue;
		snprintf(path, sizeof(path), "%s/%s", parent, name);
		if (mkdir(path, 0755) && errno != EEXIST)
			return err_errno(err, errno, "cannot make control group '%s'", path);
		snprintf(path, sizeof(path), "%s/%s/cgroup.procs", parent, name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return err_errno(err, errno, "cannot open '%s'", path);
		ret_fds[(*ret_count)++] = fd;
	}
	return cgroup_limit(cgroups, name, limits, err);
}

void cgroup_remove(struct cgroups *cgroups, const char *name)
{
	char path[PATH_SIZE];

	for (unsigned c = 0; c < CONTROLLERS; c++) {
		const char *parent = folder_parent(cgroups, c);

		if (!parent)
			continue;
		snprintf(path, sizeof(path), "%s/%s", parent, name);
		rmdir(path);
	}
	reserve_above(cgroups);
}
