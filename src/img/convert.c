/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `convert`: a new image with the content of another. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "block/filter/window.h"
#include "block/job/copy.h"
#include "host/clock.h"
#include "img/command.h"
#include "img/progress.h"
#include "img/resume.h"

#define SPARSE_BYTES 4096
#define SHOW_NS      (200 * NS_PER_MS)
#define SAVE_NS      (5 * NS_PER_SEC)

struct conversion {
	struct img *img;
	const char *target;
	enum block_cache cache, source_cache;
	uint64_t sparse_bytes, threads;
	struct block_node *from, *to;
	bool made; /* the target is ours to remove */
	struct resume resume;
	sigset_t interrupts; /* blocked, and asked for between looks at the progress */
};

static int parse_cache(const struct img *img, const char *name, enum block_cache *cache,
		       struct err *err)
{
	const char *text = img_value(img, name);

	if (!text || !block_cache_parse(text, cache))
		return 0;
	return err_set(err, EINVAL, "argument of '--%s': unknown cache mode '%.64s'", name, text);
}

static int parse(struct conversion *c, struct err *err)
{
	const char *threads = img_value(c->img, "threads");
	int rc = parse_cache(c->img, "cache", &c->cache, err);

	if (!rc)
		rc = parse_cache(c->img, "source-cache", &c->source_cache, err);
	if (!rc)
		rc = img_size(c->img, "sparse", &c->sparse_bytes, err);
	if (!rc && (c->sparse_bytes > MIB || c->sparse_bytes & (c->sparse_bytes - 1) ||
		    (c->sparse_bytes && c->sparse_bytes < BLOCK_SECTOR)))
		rc = err_set(err, EINVAL,
			     "argument of '--sparse' is 0 or a power of two from 512 to 1M");
	if (!rc && threads && parse_u64(threads, 1, 16, &c->threads))
		rc = err_set(err, EINVAL, "argument of '--threads' is a number from 1 to 16");
	return rc;
}

/* Only the part that was asked for; what reaches over the end is cut. */
static int take_part(struct conversion *c, struct err *err)
{
	uint64_t size = block_size_bytes(c->from), start = 0, length = UINT64_MAX;
	int rc = img_size(c->img, "start", &start, err);

	if (!rc)
		rc = img_size(c->img, "length", &length, err);
	if (rc || (!start && length >= size))
		return rc;
	if (img_flag(c->img, "resume"))
		return err_set(err, EINVAL, "'--resume' is for whole disks");
	start = MIN(start, size);
	return window_open(c->from, start, MIN(length, size - start), NULL, &c->from, err);
}

static int open_source(struct conversion *c, struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc = img_open_options(c->img, c->img->operands[0], &options, &settings, err);

	if (rc)
		return rc;
	options.cache = c->source_cache;
	rc = img_open_as(c->img, &options, &c->from, err);
	json_decref(settings);
	return rc ? rc : take_part(c, err);
}

static int create_target(struct conversion *c, struct err *err)
{
	json_t *settings;
	struct block_create_options options = {
		.path = c->target,
		.format = img_value(c->img, "output-format"),
		.bytes = block_size_bytes(c->from),
		.overwrite = img_flag(c->img, "overwrite"),
	};
	struct stat st;
	int rc = img_settings(c->img, "options", &settings, err);

	if (rc)
		return rc;
	options.settings = settings;
	c->made = stat(c->target, &st) != 0;
	rc = block_create(&options, err);
	json_decref(settings);
	c->made &= !rc;
	return rc;
}

/* A checkpoint is worth something only if the target is on the disk by then. */
static int begin_resumable(struct conversion *c, struct err *err)
{
	if (c->cache == BLOCK_CACHE_UNSAFE)
		c->cache = BLOCK_CACHE_WRITEBACK;
	return resume_open(&c->resume, c->img->operands[0], c->target, err);
}

static int open_target(struct conversion *c, struct err *err)
{
	struct block_open_options options = {
		.path = c->target,
		.format = img_value(c->img, "output-format"),
		.probe = BLOCK_PROBE_CONTENT,
		.cache = c->cache,
		.folders = c->img->folders,
		.anywhere = img_flag(c->img, "allow-all"),
	};
	const struct block_format *format = options.format ? NULL : block_format_of_path(c->target);
	json_t *settings;
	int rc;

	/* What was just made is what its name says. */
	if (c->made)
		options.format = options.format ? options.format : format ? format->name : "raw";
	/* What is there already has no other settings than for opening it. */
	rc = img_flag(c->img, "no-create")
		     ? img_settings(c->img, "options", &settings, err)
		     : img_made_settings(c->img, options.format, &settings, err);
	if (rc)
		return rc;
	options.settings = settings;
	rc = block_open(&options, NULL, &c->to, err);
	json_decref(settings);
	if (!rc && block_size_bytes(c->to) < block_size_bytes(c->from))
		rc = err_set(err, ENOSPC, "target '%s' is smaller than the source", c->target);
	return rc;
}

/* Whether all of the target reads as zeroes, as new images do, and devices do not. */
static bool is_all_zero(struct block_node *node)
{
	uint64_t size = block_size_bytes(node);
	struct block_extent extent;

	return !size || (!block_extent_joined(node, 0, size, &extent) && extent.bytes == size &&
			 extent.flags & BLOCK_EXTENT_ZERO);
}

/* Until the end of the copy, whatever it is. */
static int watch(struct conversion *c, struct block_copy *running, struct progress *progress,
		 struct err *err)
{
	const struct timespec now = { 0 };
	uint64_t saved_ns = clock_now_ns();
	int rc = 0;

	while (!block_copy_wait(running, SHOW_NS)) {
		progress_show(progress, block_copy_done_bytes(running));
		if (sigtimedwait(&c->interrupts, NULL, &now) > 0)
			block_copy_cancel(running);
		if (!rc && c->resume.path && clock_now_ns() - saved_ns >= SAVE_NS) {
			rc = resume_save(&c->resume, c->to, block_copy_complete_bytes(running),
					 err);
			saved_ns = clock_now_ns();
		}
	}
	progress_end(progress, block_copy_done_bytes(running));
	return rc;
}

static int run_copy(struct conversion *c, const struct block_copy_options *options,
		    uint64_t *ret_complete, struct err *err)
{
	struct progress progress;
	struct block_copy *running;
	int ended, rc;

	rc = block_copy_start(&running, options, err);
	if (rc)
		return rc;
	progress_start(&progress, c->img, options->bytes);
	rc = watch(c, running, &progress, err);
	*ret_complete = block_copy_complete_bytes(running);
	ended = block_copy_end(running, rc ? NULL : err);
	return rc ? rc : ended;
}

static int copy(struct conversion *c, struct err *err)
{
	struct block_copy_options options = {
		.from = c->from,
		.to = c->to,
		.start = c->resume.position,
		.bytes = block_size_bytes(c->from),
		.threads = (unsigned)c->threads,
		.sparse_bytes = (uint32_t)c->sparse_bytes,
		.target_zero = !c->resume.continues && is_all_zero(c->to),
		.write_flags = img_flag(c->img, "compress") ? BLOCK_COMPRESS : 0,
	};
	uint64_t complete = 0;
	int rc = run_copy(c, &options, &complete, err);

	if (!rc) {
		rc = block_flush(c->to);
		return rc ? err_errno(err, rc, "cannot write image '%s'", c->target) : 0;
	}
	if (rc == -ECANCELED)
		err_set(err, ECANCELED, "interrupted");
	if (c->resume.path && !resume_save(&c->resume, c->to, complete, NULL))
		err_hint(err, "continue with the same command");
	return rc;
}

static void print_text(const json_t *result)
{
	(void)result;
}

int img_convert(struct img *img, struct err *err)
{
	struct conversion c = {
		.img = img,
		.target = img->operands[1],
		.cache = BLOCK_CACHE_UNSAFE,
		.sparse_bytes = SPARSE_BYTES,
	};
	json_t *result = NULL;
	int rc = parse(&c, err);

	sigemptyset(&c.interrupts);
	sigaddset(&c.interrupts, SIGINT);
	sigaddset(&c.interrupts, SIGTERM);
	sigprocmask(SIG_BLOCK, &c.interrupts, NULL);
	if (!rc)
		rc = open_source(&c, err);
	if (!rc && img_flag(img, "resume"))
		rc = begin_resumable(&c, err);
	if (!rc && !c.resume.continues && !img_flag(img, "no-create"))
		rc = create_target(&c, err);
	if (!rc)
		rc = open_target(&c, err);
	if (!rc)
		rc = img_all_open(img, err);
	if (!rc)
		rc = copy(&c, err);
	if (!rc)
		result = json_pack("{s:s, s:s, s:I}", "path", c.target, "format",
				   c.to->format->name, "size", (json_int_t)block_size_bytes(c.to));
	block_close(c.from);
	block_close(c.to);
	if (rc && c.made && !c.resume.path)
		unlink(c.target);
	if (!rc)
		resume_forget(&c.resume);
	resume_fini(&c.resume);
	if (rc)
		return IMG_FAILED;
	img_print(img, result, print_text);
	return IMG_DONE;
}
