/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `check`: findings as they come, then the sums. */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "img/command.h"

static const char *const finding_names[BLOCK_FINDINGS] = {
	[BLOCK_FINDING_ERROR] = "error",
	[BLOCK_FINDING_LEAK] = "leak",
	[BLOCK_FINDING_UNKNOWN] = "unchecked",
};

static void told(void *ctx, enum block_finding finding, bool repaired, const char *text)
{
	json_t *list = ctx;

	json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "kind", finding_names[finding],
					      "repaired", repaired, "text", text));
}

static void print_text(const json_t *result)
{
	const json_t *sums = json_object_get(result, "found");
	const json_t *repaired = json_object_get(result, "repaired");
	bool clean = true;
	size_t index;
	json_t *row;

	json_array_foreach(json_object_get(result, "findings"), index, row)
	{
		printf("%s%s: %s\n", json_string_value(json_object_get(row, "kind")),
		       json_is_true(json_object_get(row, "repaired")) ? " (repaired)" : "",
		       json_string_value(json_object_get(row, "text")));
	}
	for (unsigned i = 0; i < BLOCK_FINDINGS; i++) {
		json_int_t found = json_integer_value(json_object_get(sums, finding_names[i]));

		clean &= !found;
		if (found)
			printf("%s: %lld found, %lld repaired\n", finding_names[i],
			       (long long)found,
			       (long long)json_integer_value(
				       json_object_get(repaired, finding_names[i])));
	}
	if (clean)
		puts("no errors were found");
}

static json_t *sums(const uint64_t *counts)
{
	json_t *json = json_object();

	for (unsigned i = 0; i < BLOCK_FINDINGS; i++)
		json_object_set_new(json, finding_names[i], json_integer((json_int_t)counts[i]));
	return json;
}

static int status_of(const struct block_check *check)
{
	if (check->found[BLOCK_FINDING_ERROR] > check->repaired[BLOCK_FINDING_ERROR])
		return IMG_DIFFERENT;
	if (check->found[BLOCK_FINDING_UNKNOWN])
		return IMG_UNCHECKED;
	if (check->found[BLOCK_FINDING_LEAK] > check->repaired[BLOCK_FINDING_LEAK])
		return IMG_LEAKS;
	return IMG_DONE;
}

static int parse_repair(const struct img *img, enum block_repair *ret_repair, struct err *err)
{
	const char *text = img_value(img, "repair");

	*ret_repair = BLOCK_REPAIR_NOTHING;
	if (!text)
		return 0;
	if (!strcmp(text, "leaks"))
		*ret_repair = BLOCK_REPAIR_LEAKS;
	else if (!strcmp(text, "all"))
		*ret_repair = BLOCK_REPAIR_ALL;
	else
		return err_set(err, EINVAL, "argument of '--repair' is '%.64s', not leaks or all",
			       text);
	return 0;
}

static int run_check(struct block_node *node, struct block_check *check, struct err *err)
{
	int rc = node->format->check(node, check, err);

	if (!rc && check->repair != BLOCK_REPAIR_NOTHING) {
		rc = block_flush(node);
		if (rc)
			err_errno(err, rc, "cannot write the repaired image");
	}
	return rc;
}

static int check_node(const struct img *img, struct block_node *node, enum block_repair repair,
		      struct err *err)
{
	json_t *findings = json_array();
	struct block_check check = { .repair = repair, .told = told, .ctx = findings };

	if (!node->format->check) {
		json_decref(findings);
		err_set(err, ENOTSUP, "images of format '%s' hold nothing that could be checked",
			node->format->name);
		return IMG_UNCHECKED;
	}
	if (run_check(node, &check, err)) {
		json_decref(findings);
		return IMG_FAILED;
	}
	img_print(img,
		  json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "format",
			    node->format->name, "findings", findings, "found", sums(check.found),
			    "repaired", sums(check.repaired), "granules",
			    (json_int_t)check.granules, "allocated", (json_int_t)check.allocated,
			    "compressed", (json_int_t)check.compressed, "file-end",
			    (json_int_t)check.file_end),
		  print_text);
	return status_of(&check);
}

int img_check(struct img *img, struct err *err)
{
	struct block_open_options options;
	struct block_node *node;
	enum block_repair repair;
	json_t *settings;
	int rc = parse_repair(img, &repair, err);

	if (!rc)
		rc = img_open_options(img, img->operands[0], &options, &settings, err);
	if (rc)
		return IMG_FAILED;
	options.check = true;
	options.no_backing = true;
	options.read_only = repair == BLOCK_REPAIR_NOTHING;
	rc = img_open_as(img, &options, &node, err);
	json_decref(settings);
	if (rc)
		return IMG_FAILED;
	rc = img_all_open(img, err) ? IMG_FAILED : check_node(img, node, repair, err);
	block_close(node);
	return rc;
}
