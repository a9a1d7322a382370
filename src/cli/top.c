/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella top`: machines by what they take, from the server's metrics: rates are what counters grew by
 * between two looks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/vec.h"
#include "cli/command.h"
#include "cli/noun.h"
#include "host/clock.h"

#define INTERVAL_SECONDS 10 /* as often as the server looks itself */
#define NAME_BYTES       (2 * API_NAME_MAX + 2)

enum column { CPU, RESIDENT, READ, WRITTEN, RECEIVED, SENT, COLUMNS };

static const struct {
	const char *metric, *title;
	bool counter;
} columns[COLUMNS] = {
	[CPU] = { "cella_vm_cpu_seconds_total", "CPU", true },
	[RESIDENT] = { "cella_vm_resident_memory_bytes", "MEMORY", false },
	[READ] = { "cella_disk_read_bytes_total", "READ/S", true },
	[WRITTEN] = { "cella_disk_written_bytes_total", "WRITTEN/S", true },
	[RECEIVED] = { "cella_nic_received_bytes_total", "RECEIVED/S", true },
	[SENT] = { "cella_nic_sent_bytes_total", "SENT/S", true },
};

struct row {
	char name[NAME_BYTES];
	double values[COLUMNS];
	double rates[COLUMNS];
};

struct sample {
	uint64_t at_ns;
	VEC(struct row) rows;
};

static struct row *find_row(struct sample *sample, const char *name)
{
	struct row *row;

	vec_for_each (row, &sample->rows) {
		if (!strcmp(row->name, name))
			return row;
	}
	return NULL;
}

/* The value of a label in "a=\"b\",c=\"d\"". */
static void find_label(const char *labels, const char *name, char *value, size_t size)
{
	char key[32];
	const char *at;

	snprintf(key, sizeof(key), "%s=\"", name);
	at = strstr(labels, key);
	at = at ? at + strlen(key) : "";
	snprintf(value, size, "%.*s", (int)strcspn(at, "\""), at);
}

/* A line "metric{labels} value". */
static int take_line(struct sample *sample, const char *line)
{
	size_t length = strcspn(line, "{ ");
	char project[API_NAME_MAX + 1];
	char vm[API_NAME_MAX + 1];
	char name[NAME_BYTES];
	const char *end = strchr(line, '}');
	struct row *row;

	if (line[length] != '{' || !end)
		return 0;
	find_label(line + length, "project", project, sizeof(project));
	find_label(line + length, "vm", vm, sizeof(vm));
	if (!*vm)
		return 0;
	snprintf(name, sizeof(name), "%s/%s", project, vm);
	for (unsigned i = 0; i < COLUMNS; i++) {
		if (strncmp(columns[i].metric, line, length) || columns[i].metric[length])
			continue;
		row = find_row(sample, name);
		if (!row) {
			struct row fresh = { 0 };

			snprintf(fresh.name, sizeof(fresh.name), "%s", name);
			if (vec_push(&sample->rows, fresh))
				return -ENOMEM;
			row = &sample->rows.items[sample->rows.count - 1];
		}
		/* Of several disks and cards the sum. */
		row->values[i] += strtod(end + 1, NULL);
	}
	return 0;
}

static int take_sample(struct client *client, struct sample *sample, struct err *err)
{
	const struct call_options options = { .method = "GET" };
	struct answer answer;
	int code = client_call(client, "/metrics", &options, &answer, err);
	char *rest = answer.text.text;
	int rc = 0;

	*sample = (struct sample){ .at_ns = clock_now_ns() };
	while (!code && !rc && rest)
		rc = take_line(sample, strsep(&rest, "\n"));
	answer_fini(&answer);
	if (rc) {
		err_errno(err, rc, "cannot read the metrics");
		return EXIT_FAILED;
	}
	return code;
}

static void find_rates(struct sample *before, struct sample *now)
{
	double seconds = (double)(now->at_ns - before->at_ns) / (double)NS_PER_SEC;
	struct row *row;

	vec_for_each (row, &now->rows) {
		const struct row *old = find_row(before, row->name);

		for (unsigned i = 0; i < COLUMNS; i++) {
			double grown = old ? row->values[i] - old->values[i] : 0;

			row->rates[i] = !columns[i].counter ? row->values[i]
					: grown > 0         ? grown / seconds
							    : 0;
		}
	}
}

static int busier(const void *a, const void *b)
{
	const struct row *first = a;
	const struct row *second = b;

	if (first->rates[CPU] != second->rates[CPU])
		return first->rates[CPU] < second->rates[CPU] ? 1 : -1;
	return strcmp(first->name, second->name);
}

/* As objects of a kind, so that all formats are there. */
static void print_sample(struct sample *sample, enum output_format format)
{
	static const struct api_column shown[] = {
		{ "CPU", "cpu", API_PERCENT },
		{ "MEMORY", "memory", API_BYTES },
		{ "READ/S", "read", API_BYTES },
		{ "WRITTEN/S", "written", API_BYTES },
		{ "RECEIVED/S", "received", API_BYTES },
		{ "SENT/S", "sent", API_BYTES },
		{ 0 },
	};
	static const struct api_kind kind = { .plural = "machines that run", .columns = shown };
	const struct output_list list = { .kind = &kind, .format = format };
	json_t *rows = json_array();
	const struct row *row;

	if (sample->rows.count)
		qsort(sample->rows.items, sample->rows.count, sizeof(*sample->rows.items), busier);
	vec_for_each (row, &sample->rows) {
		json_t *object = json_pack("{s:s}", "name", row->name);

		for (unsigned i = 0; i < COLUMNS; i++) {
			double value = i == CPU ? row->rates[i] * 100 : row->rates[i];

			json_object_set_new(object, shown[i].path,
					    i == CPU ? json_real(value)
						     : json_integer((json_int_t)value));
		}
		json_array_append_new(rows, object);
	}
	output_objects(&list, rows);
	json_decref(rows);
}

static int watch(struct client *client, const struct ask *ask, enum output_format format,
		 struct err *err)
{
	bool once = (ask->given & ASK_ONCE) || !isatty(STDOUT_FILENO);
	struct sample before;
	int code = take_sample(client, &before, err);

	while (!code) {
		struct sample now;

		sleep(INTERVAL_SECONDS);
		code = take_sample(client, &now, err);
		if (!code) {
			find_rates(&before, &now);
			if (!once)
				fputs("\033[H\033[2J", stdout);
			print_sample(&now, format);
			fflush(stdout);
		}
		vec_fini(&before.rows);
		before = now;
		if (once)
			break;
	}
	vec_fini(&before.rows);
	return code;
}

int top_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = ASK_HELP | ASK_CONTEXT | ASK_FORMAT | ASK_ONCE };
	enum output_format format;
	struct client client;
	int code;

	if (ask_parse(&ask, "top", argc - 1, argv + 1, err) ||
	    output_format_parse(ask.format, &format, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		puts("Usage: cella top [OPTION]...\n"
		     "Show machines that run by what they take, again every ten seconds; CPU in percent of\n"
		     "one processor.\n");
		ask_print_options(stdout, &ask);
		return EXIT_DONE;
	}
	code = client_open(&client, ask.context, err);
	if (!code)
		code = watch(&client, &ask, format, err);
	client_close(&client);
	return code;
}
