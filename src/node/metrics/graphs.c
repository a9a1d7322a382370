/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From counters to graphs: rates between two samples, and levels, as columns of a history. That of a
 * machine lies in its folder, that of the host beside them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"
#include "node/metrics/priv.h"

#define FILE_NAME    "history"
#define RANGE_PRESET 3600
#define RANGE_MAX    (7 * 24 * 3600)

/* Columns of both kinds; those of rates are differences of counters. */
static const struct column {
	const char *name;
	bool rate;
	double factor;
} vm_columns[HISTORY_COLUMNS] = {
	{ "cpu", true, 100 }, /* percent of a core */
	{ "memory", false, 1 },
	{ "disk-read", true, 1 },
	{ "disk-written", true, 1 },
	{ "disk-reads", true, 1 },
	{ "disk-writes", true, 1 },
	{ "net-received", true, 1 },
	{ "net-sent", true, 1 },
}, node_columns[HISTORY_COLUMNS] = {
	{ "cpu", true, 100 }, /* percent of a core */
	{ "memory", false, 1 },
	{ "disk-read", true, 1 },
	{ "disk-written", true, 1 },
	{ "vms-running", false, 1 },
	{ "load", false, 1 },
	{ "net-received", true, 1 },
	{ "net-sent", true, 1 },
};

struct line {
	struct list node;
	char uid[UID_SIZE]; /* "": the host */
	uint64_t time_s;    /* of `last`; 0: there is none */
	double last[HISTORY_COLUMNS];
	struct history history;
	bool seen;
};

struct graphs {
	struct node *node;
	struct list lines;
	struct log_once failure_said;
};

struct graphs *graphs_new(struct node *node)
{
	struct graphs *graphs = calloc(1, sizeof(*graphs));

	if (!graphs)
		return NULL;
	graphs->node = node;
	list_init(&graphs->lines);
	return graphs;
}

void graphs_free(struct graphs *graphs)
{
	struct line *line, *next;

	if (!graphs)
		return;
	list_for_each_safe (line, next, &graphs->lines, node)
		free(line);
	free(graphs);
}

static struct line *line_of(struct graphs *graphs, const char *uid)
{
	struct line *line;

	list_for_each (line, &graphs->lines, node) {
		if (!strcmp(line->uid, uid))
			return line;
	}
	line = calloc(1, sizeof(*line));
	if (!line)
		return NULL;
	snprintf(line->uid, sizeof(line->uid), "%s", uid);
	list_append(&graphs->lines, &line->node);
	return line;
}

/* What a counter grew by; one that is smaller than before began again. */
static double growth(double before, double now)
{
	return now >= before ? now - before : now;
}

static void add_line(struct graphs *graphs, const char *uid, const struct column *columns,
		     uint64_t time_s, const double now[HISTORY_COLUMNS])
{
	struct line *line = line_of(graphs, uid);
	float values[HISTORY_COLUMNS];
	AUTO_CLOSE int folder_fd = -1;
	double seconds;
	bool first;
	int rc;

	if (!line)
		return;
	first = !line->time_s || time_s <= line->time_s;
	seconds = (double)(time_s - line->time_s);
	for (unsigned i = 0; i < HISTORY_COLUMNS; i++) {
		double value = now[i];

		if (columns[i].rate && !first)
			value = growth(line->last[i], now[i]) / seconds;
		values[i] = (float)(value * columns[i].factor);
	}
	memcpy(line->last, now, sizeof(line->last));
	line->time_s = time_s;
	line->seen = true;
	/* A rate needs two samples. */
	if (first)
		return;
	folder_fd = openat(graphs->node->run_fd, *uid ? uid : ".",
			   O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	rc = folder_fd < 0 ? -errno
			   : history_add(&line->history, folder_fd, FILE_NAME, time_s, values);
	if (rc)
		log_once(&graphs->failure_said, LOG_WARN, "cannot keep measurements: %s",
			 strerrordesc_np(-rc));
}

static double number(const json_t *values, const char *name)
{
	return json_number_value(json_object_get(values, name));
}

static double sum(const json_t *list, const char *name)
{
	double all = 0;
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, index, item) all +=
		number(json_object_get(item, "values"), name);
	return all;
}

/* Of machines that run; `total` adds up what the host's graph has of them. */
static void add_vm(struct graphs *graphs, const json_t *vm, uint64_t time_s,
		   double total[HISTORY_COLUMNS])
{
	const json_t *values = json_object_get(vm, "values");
	const json_t *disks = json_object_get(vm, "disks"), *nics = json_object_get(vm, "nics");
	const double now[HISTORY_COLUMNS] = {
		number(values, "cpu-seconds"), number(values, "resident"), sum(disks, "read-bytes"),
		sum(disks, "written-bytes"),   sum(disks, "reads"),        sum(disks, "writes"),
		sum(nics, "received-bytes"),   sum(nics, "sent-bytes"),
	};

	if (!json_object_get(values, "cpu-seconds"))
		return;
	for (unsigned i = 0; i < HISTORY_COLUMNS; i++)
		total[i] += now[i];
	add_line(graphs, schema_string(vm, "uid"), vm_columns, time_s, now);
}

static void forget_unseen(struct graphs *graphs)
{
	struct line *line, *next;

	list_for_each_safe (line, next, &graphs->lines, node) {
		if (!line->seen) {
			list_remove(&line->node);
			free(line);
			continue;
		}
		line->seen = false;
	}
}

void graphs_add(struct graphs *graphs, const json_t *sample)
{
	static const char *const busy[] = { "cpu-user", "cpu-nice",    "cpu-system",
					    "cpu-irq",  "cpu-softirq", "cpu-steal" };
	const json_t *values = json_object_get(sample, "node");
	uint64_t time_s = schema_integer(sample, "time");
	double total[HISTORY_COLUMNS] = { 0 };
	size_t index;
	json_t *vm;

	json_array_foreach(json_object_get(sample, "vms"), index, vm)
		add_vm(graphs, vm, time_s, total);
	total[0] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(busy); i++)
		total[0] += number(values, busy[i]);
	total[1] = number(values, "memory") - number(values, "memory-available");
	total[4] = number(values, "vms-running");
	total[5] = number(values, "load");
	add_line(graphs, "", node_columns, time_s, total);
	forget_unseen(graphs);
}

/* ---- for people ---- */

const char *const metrics_queries[] = { "range", NULL };

/* "90", "10m", "1h", "7d". */
static int parse_range(const char *text, uint64_t *ret_seconds)
{
	static const struct {
		char unit;
		unsigned seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 24 * 3600 } };
	char digits[16];
	size_t length = strspn(text, "0123456789");
	unsigned factor = text[length] ? 0 : 1;

	for (unsigned i = 0; i < ARRAY_SIZE(units); i++) {
		if (text[length] == units[i].unit && !text[length + 1])
			factor = units[i].seconds;
	}
	if (!factor || length >= sizeof(digits))
		return -EINVAL;
	snprintf(digits, sizeof(digits), "%.*s", (int)length, text);
	if (parse_u64(digits, 1, RANGE_MAX / factor, ret_seconds))
		return -EINVAL;
	*ret_seconds *= factor;
	return 0;
}

static int show(struct call *call, const char *folder, const struct column *columns,
		struct problem *problem)
{
	const char *names[HISTORY_COLUMNS + 1] = { NULL };
	uint64_t range = RANGE_PRESET;
	AUTO_CLOSE int folder_fd =
		openat(call->node->run_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	char text[16];

	if (web_query(call->request, "range", text, sizeof(text)) && parse_range(text, &range)) {
		problem_set(problem, API_CODE_INVALID,
			    "'range' is a time of up to 7 days, such as 90s, 10m, 1h or 7d");
		return -EINVAL;
	}
	for (unsigned i = 0; i < HISTORY_COLUMNS; i++)
		names[i] = columns[i].name;
	call->result = history_read(folder_fd, FILE_NAME, node_now_ms() / 1000, range, names);
	return call->result ? 0 : problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

int metrics_show_vm(struct call *call, struct problem *problem)
{
	return show(call, call->object->uid, vm_columns, problem);
}

int metrics_show_node(struct call *call, struct problem *problem)
{
	return show(call, ".", node_columns, problem);
}
