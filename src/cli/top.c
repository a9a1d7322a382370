/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella top`: machines by what they take, from the server's metrics: rates are what counters grew by
 * between two looks of the server, which says when it looked.
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
#define MEASURED         "cella_sample_timestamp_seconds "
#define NAME_BYTES       (2 * API_NAME_MAX + 2)

enum column { CPU, RESIDENT, READ, WRITTEN, RECEIVED, SENT, COLUMNS };

static const struct {
	const char *metric;
	bool counter;
} columns[COLUMNS] = {
	[CPU] = { "cella_vm_cpu_seconds_total", true },
	[RESIDENT] = { "cella_vm_resident_memory_bytes", false },
	[READ] = { "cella_disk_read_bytes_total", true },
	[WRITTEN] = { "cella_disk_written_bytes_total", true },
	[RECEIVED] = { "cella_nic_received_bytes_total", true },
	[SENT] = { "cella_nic_sent_bytes_total", true },
};

struct row {
	char name[NAME_BYTES];
	double values[COLUMNS];
	double rates[COLUMNS]; /* of counters, a second */
};

struct sample {
	double at; /* seconds */
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

/* A line "metric{labels} value", or when all of it was measured. */
static int take_line(struct sample *sample, const char *line)
{
	size_t length = strcspn(line, "{ ");
	char project[API_NAME_MAX + 1];
	char vm[API_NAME_MAX + 1];
	char name[NAME_BYTES];
	const char *end = strchr(line, '}');
	struct row *row;

	if (!strncmp(line, MEASURED, strlen(MEASURED)))
		sample->at = strtod(line + length, NULL);
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

	/* One that does not say when has looked just now. */
	*sample = (struct sample){ .at = (double)clock_now_ns() / (double)NS_PER_SEC };
	while (!code && !rc && rest)
		rc = take_line(sample, strsep(&rest, "\n"));
	answer_fini(&answer);
	if (rc) {
		err_errno(err, rc, "cannot read the metrics");
		return EXIT_FAILED;
	}
	return code;
}

/* Waits for the server's next look. */
static int take_next(struct client *client, const struct sample *before, struct sample *now,
		     struct err *err)
{
	int code;

	sleep(INTERVAL_SECONDS);
	code = take_sample(client, now, err);
	while (!code && now->at == before->at) {
		vec_fini(&now->rows);
		sleep(1);
		code = take_sample(client, now, err);
	}
	return code;
}

static void find_rates(struct sample *before, struct sample *now)
{
	double seconds = now->at - before->at;
	struct row *row;

	vec_for_each (row, &now->rows) {
		const struct row *old = find_row(before, row->name);

		for (unsigned i = 0; i < COLUMNS; i++) {
			double grown = old ? row->values[i] - old->values[i] : 0;

			row->rates[i] = grown > 0 ? grown / seconds : 0;
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

/* As objects of a kind, so that all formats are there. The first look knows no rates. */
static void print_sample(struct sample *sample, bool rates, enum output_format format)
{
	static const struct api_column shown[COLUMNS + 1] = {
		[CPU] = { "CPU", "cpu", API_PERCENT },
		[RESIDENT] = { "MEMORY", "memory", API_BYTES },
		[READ] = { "READ/S", "read", API_BYTES },
		[WRITTEN] = { "WRITTEN/S", "written", API_BYTES },
		[RECEIVED] = { "RECEIVED/S", "received", API_BYTES },
		[SENT] = { "SENT/S", "sent", API_BYTES },
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
			double value = columns[i].counter ? row->rates[i] : row->values[i];

			if (columns[i].counter && !rates)
				continue;
			json_object_set_new(object, shown[i].path,
					    i == CPU ? json_real(100 * value)
						     : json_integer((json_int_t)value));
		}
		json_array_append_new(rows, object);
	}
	output_objects(&list, rows);
	json_decref(rows);
}

/* In the place of what is on the screen. */
static void show(struct sample *sample, bool rates, enum output_format format)
{
	fputs("\033[H\033[2J", stdout);
	fflush(stdout);
	print_sample(sample, rates, format);
	fflush(stdout);
}

static int watch(struct client *client, const struct ask *ask, enum output_format format,
		 struct err *err)
{
	bool once = (ask->given & ASK_ONCE) || !isatty(STDOUT_FILENO);
	struct sample before;
	int code = take_sample(client, &before, err);

	if (!code && !once)
		show(&before, false, format);
	while (!code) {
		struct sample now;

		code = take_next(client, &before, &now, err);
		if (!code) {
			find_rates(&before, &now);
			if (once)
				print_sample(&now, true, format);
			else
				show(&now, true, format);
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
	struct ask ask = { .switches = TOP_SWITCHES };
	enum output_format format;
	struct client client;
	int code;

	if (ask_parse(&ask, "top", argc - 1, argv + 1, err) ||
	    output_format_parse(ask.format, &format, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		puts("Usage: cella top [OPTION]...\n"
		     "Show machines that run by what they take, again every ten seconds; CPU in\n"
		     "percent of one processor.\n");
		ask_print_options(stdout, &ask);
		return EXIT_DONE;
	}
	if (ask_check_end(&ask, 0, err))
		return EXIT_FAILED;
	code = client_open(&client, ask.context, err);
	if (!code)
		code = watch(&client, &ask, format, err);
	client_close(&client);
	return code;
}
