/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `commit`: what an image holds goes into its backing file, and the image becomes empty. */
#include <errno.h>

#include "base/cleanup.h"
#include "block/job/job.h"
#include "host/clock.h"
#include "img/command.h"

struct commit {
	struct block_node *image;   /* without its backing file at first */
	struct block_node *backing; /* NULL: the image has it */
	uint64_t copied;
};

/* The header names the file that will be written, so a name that was only guessed to be one does
 * not count. */
static int open_image(struct img *img, struct commit *commit, struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc = img_open_options(img, img->operands[0], &options, &settings, err);

	if (rc)
		return rc;
	options.probe = BLOCK_PROBE_STRICT;
	options.read_only = false;
	options.no_backing = true;
	rc = block_open(&options, NULL, &commit->image, err);
	json_decref(settings);
	return rc;
}

/* What was said of the image that the first one stands on. */
static int settings_below(struct img *img, json_t **ret_settings, struct err *err)
{
	json_t *settings;
	int rc = img_settings(img, "image-options", &settings, err);

	if (rc)
		return rc;
	*ret_settings = block_settings_below(settings);
	json_decref(settings);
	return *ret_settings ? 0 : err_errno(err, ENOMEM, "cannot read arguments");
}

static int open_backing(struct img *img, struct commit *commit, struct err *err)
{
	json_t *facts = block_describe(commit->image), *settings = NULL;
	const char *name = json_string_value(json_object_get(facts, "backing-file"));
	struct block_open_options options = {
		.path = img->operands[0],
		.format = json_string_value(json_object_get(facts, "backing-format")),
		.folders = img->folders,
		.anywhere = img_flag(img, "allow-all"),
	};
	AUTO_FREE char *path = NULL;
	int rc;

	if (!name)
		rc = err_set(err, EINVAL, "image '%s' has no backing file", img->operands[0]);
	else
		rc = block_resolve(&options, name, &path, err);
	options.path = path;
	if (!rc)
		rc = settings_below(img, &settings, err);
	options.settings = settings;
	if (!rc)
		rc = block_open(&options, NULL, &commit->backing, err);
	json_decref(settings);
	json_decref(facts);
	return rc;
}

/* The image stands on what is written, and takes it along when it is closed. */
static int copy_content(struct commit *commit, struct err *err)
{
	struct block_job_options options = { .root = commit->image };
	struct block_node *backing = commit->backing;
	struct block_job *job;
	int rc = block_node_set_backing(commit->image, backing);

	if (rc)
		return err_errno(err, rc, "cannot commit");
	commit->backing = NULL;
	rc = block_commit_start(&job, &options, backing, err);
	if (rc)
		return rc;
	while (!block_job_wait(job, NS_PER_SEC))
		;
	commit->copied = block_job_progress(job).done_bytes;
	return block_job_free(job, err);
}

static int empty_image(struct img *img, struct commit *commit, struct err *err)
{
	const struct block_format *format = commit->image->format;
	int rc = 0;

	if (img_flag(img, "keep") || !format->empty)
		return 0;
	rc = format->empty(commit->image, err);
	if (rc)
		return rc;
	rc = block_flush(commit->image);
	return rc ? err_errno(err, rc, "cannot write image '%s'", img->operands[0]) : 0;
}

/* What identified the backing file is not so any more. */
static int relink(struct commit *commit, struct err *err)
{
	const struct block_format *format = commit->image->format;
	json_t *facts;
	int rc;

	if (!format->identity_changes)
		return 0;
	facts = block_describe(commit->image);
	rc = format->set_backing(commit->image,
				 json_string_value(json_object_get(facts, "backing-file")),
				 block_backing(commit->image), err);
	json_decref(facts);
	return rc;
}

static int run(struct img *img, struct commit *commit, struct err *err)
{
	int rc = copy_content(commit, err);

	if (!rc)
		rc = relink(commit, err);
	return rc ? rc : empty_image(img, commit, err);
}

static void print_text(const json_t *result)
{
	char text[IMG_SIZE_TEXT];

	printf("committed %s\n",
	       img_size_text((uint64_t)json_integer_value(json_object_get(result, "committed")),
			     text));
}

int img_commit(struct img *img, struct err *err)
{
	struct commit commit = { 0 };
	int rc = open_image(img, &commit, err);

	if (!rc)
		rc = open_backing(img, &commit, err);
	if (!rc)
		rc = img_all_open(img, err);
	if (!rc)
		rc = run(img, &commit, err);
	block_close(commit.image);
	block_close(commit.backing);
	if (rc)
		return IMG_FAILED;
	img_print(img, json_pack("{s:I}", "committed", (json_int_t)commit.copied), print_text);
	return IMG_DONE;
}
