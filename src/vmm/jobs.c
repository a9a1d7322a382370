/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/jobs.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/control.h"
#include "api/schema.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "block/format.h"
#include "block/job/job.h"
#include "block/job/overlay.h"
#include "block/opener.h"
#include "host/clock.h"
#include "vmm/control.h"
#include "vmm/vmm.h"

#define TELL_NS NS_PER_SEC /* how often it is told how far jobs are */

struct disk_job {
	struct list node;
	struct vmm *vmm;
	const struct machine_disk *disk;
	struct block_job *job;
};

/* ---- what is told ---- */

static json_t *job_json(const struct disk_job *disk_job)
{
	struct block_job_progress progress = block_job_progress(disk_job->job);

	return json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I}", "id", disk_job->disk->id,
			 "kind", progress.kind, "state", block_job_state_name(progress.state),
			 "paused", progress.paused, "done", (json_int_t)progress.done_bytes,
			 "total", (json_int_t)progress.total_bytes, "rate",
			 (json_int_t)progress.rate, "speed", (json_int_t)progress.speed);
}

json_t *jobs_list(struct vmm *vmm)
{
	json_t *list = json_array();
	struct disk_job *disk_job;

	list_for_each (disk_job, &vmm->jobs.list, node)
		json_array_append_new(list, job_json(disk_job));
	return list;
}

static void tell_progress(struct loop_timer *timer)
{
	struct vmm *vmm = container_of(timer, struct vmm, jobs.timer);
	struct disk_job *disk_job;

	list_for_each (disk_job, &vmm->jobs.list, node)
		control_tell(vmm->control, CONTROL_EVENT_JOB_PROGRESS, job_json(disk_job));
	if (!list_empty(&vmm->jobs.list))
		loop_timer_arm(vmm->loop, timer, clock_now_ns() + TELL_NS);
}

static void told(void *ctx, struct block_job *job)
{
	struct disk_job *disk_job = ctx;
	struct vmm *vmm = disk_job->vmm;
	struct err err = ERR_INIT;
	json_t *facts = job_json(disk_job);

	if (block_job_progress(job).state != BLOCK_JOB_ENDED) {
		control_tell(vmm->control, CONTROL_EVENT_JOB_READY, facts);
		return;
	}
	list_remove(&disk_job->node);
	if (block_job_free(job, &err)) {
		log_warn("disk '%s': a job ended: %s", disk_job->disk->id, err.text);
		json_object_set_new(facts, "error", json_string(err.text));
	}
	control_tell(vmm->control, CONTROL_EVENT_JOB_ENDED, facts);
	free(disk_job);
}

/* ---- the life of jobs ---- */

void jobs_init(struct jobs *jobs)
{
	list_init(&jobs->list);
	jobs->timer = (struct loop_timer){ .expired = tell_progress };
}

void jobs_fini(struct vmm *vmm)
{
	struct disk_job *disk_job, *next;

	list_for_each_safe (disk_job, next, &vmm->jobs.list, node) {
		list_remove(&disk_job->node);
		block_job_free(disk_job->job, NULL);
		free(disk_job);
	}
	if (vmm->loop)
		loop_timer_cancel(vmm->loop, &vmm->jobs.timer);
}

int jobs_allow_folders(struct vmm *vmm, struct err *err)
{
	json_t *folders = json_object_get(vmm->config, "job-folders"), *folder;
	size_t index;
	int rc = json_array_size(folders) ? sandbox_allow_opening(vmm->sandbox, err) : 0;

	json_array_foreach(folders, index, folder)
	{
		const char *name = json_string_value(folder);

		if (rc)
			break;
		rc = block_protocol_of_path(name)
			     ? block_connector_allow(vmm->backends.connector, name, err)
			     : sandbox_allow(vmm->sandbox, name,
					     SANDBOX_READ | SANDBOX_WRITE | SANDBOX_CREATE |
						     SANDBOX_REMOVE,
					     err);
	}
	return rc;
}

int jobs_find_disk(struct vmm *vmm, const json_t *params, const struct machine_disk **ret_disk,
		   struct err *err)
{
	const char *id = schema_string(params, "id");

	for (size_t i = 0; i < vmm->backends.disk_count; i++) {
		*ret_disk = &vmm->backends.disks[i];
		if (!strcmp((*ret_disk)->id, id))
			return hotplug_check_stays(vmm, id, err);
	}
	return err_set(err, ENOENT, "there is no disk '%s'", id);
}

const char *jobs_bitmap(struct vmm *vmm, const struct machine_disk *disk)
{
	struct disk_job *disk_job;

	list_for_each (disk_job, &vmm->jobs.list, node) {
		if (disk_job->disk == disk)
			return block_backup_bitmap(disk_job->job);
	}
	return NULL;
}

/* Jobs have threads, and most open images. */
int jobs_check_folders(struct vmm *vmm, struct err *err)
{
	if (json_array_size(json_object_get(vmm->config, "job-folders")))
		return 0;
	err_set(err, EPERM, "the machine runs without folders for further images");
	err_hint(err, "start it with --job-folder FOLDER");
	return -EPERM;
}

/* As the disk was opened. */
static struct block_open_options options_of(struct vmm *vmm, const struct machine_disk *disk)
{
	size_t index = (size_t)(disk - vmm->backends.disks);
	struct disk_lease *lease = &vmm->backends.leases[index];
	const json_t *row = json_array_get(json_object_get(vmm->config, "disks"), index);
	struct block_open_options options = {
		.lease = lease->needed ? &lease->lease : NULL,
		.connector = vmm->backends.connector,
	};

	block_cache_parse(schema_string(row, "cache"), &options.cache);
	return options;
}

/* A job that is to be started; the caller frees it after a failure. */
static int job_new(struct vmm *vmm, const json_t *params, struct disk_job **ret_job,
		   struct block_job_options *options, struct err *err)
{
	struct disk_job *disk_job;
	const struct machine_disk *disk;
	int rc = jobs_check_folders(vmm, err);

	if (!rc)
		rc = jobs_find_disk(vmm, params, &disk, err);
	if (rc)
		return rc;
	disk_job = calloc(1, sizeof(*disk_job));
	if (!disk_job)
		return err_errno(err, ENOMEM, "cannot start a job");
	disk_job->vmm = vmm;
	disk_job->disk = disk;
	*options = (struct block_job_options){
		.root = disk->node,
		.loop = vmm->loop,
		.speed = schema_integer(params, "speed"),
		.lease = options_of(vmm, disk).lease,
		.connector = vmm->backends.connector,
		.told = told,
		.ctx = disk_job,
	};
	*ret_job = disk_job;
	return 0;
}

/* It was started, or not. */
static int job_started(struct disk_job *disk_job, int rc)
{
	struct vmm *vmm = disk_job->vmm;

	if (rc) {
		free(disk_job);
		return rc;
	}
	if (list_empty(&vmm->jobs.list))
		loop_timer_arm(vmm->loop, &vmm->jobs.timer, clock_now_ns() + TELL_NS);
	list_append(&vmm->jobs.list, &disk_job->node);
	return 0;
}

/* ---- images ---- */

struct target {
	struct block_node *node;
	const char *path;
	bool made;
};

/* It is all that the server has, which is there already. */
static bool is_bare_server(const struct block_create_options *create)
{
	return block_protocol_of_path(create->path) && !strcmp(create->format, "raw");
}

static void target_remove(const struct target *target)
{
	if (target->made && !block_protocol_of_path(target->path))
		unlink(target->path);
}

/* The image that "target" and "format" name, made unless "existing" says that it is there; on
 * `backing`, NULL: alone. */
static int target_open(struct target *target, const struct disk_job *disk_job, const json_t *params,
		       const char *backing, struct err *err)
{
	struct block_create_options create = {
		.path = schema_string(params, "target"),
		.format = schema_string(params, "format"),
		.bytes = block_size_bytes(disk_job->disk->node),
		.backing = backing,
		.connector = disk_job->vmm->backends.connector,
	};
	struct block_open_options options = options_of(disk_job->vmm, disk_job->disk);
	int rc = 0;

	options.path = create.path;
	options.format = create.format;
	*target = (struct target){ .path = create.path };
	if (!schema_boolean(params, "existing") && !is_bare_server(&create)) {
		rc = block_create(&create, err);
		target->made = !rc;
	}
	if (!rc)
		rc = block_open(&options, block_loop(disk_job->disk->node), &target->node, err);
	if (rc)
		target_remove(target);
	return rc;
}

static void target_drop(struct target *target)
{
	block_close(target->node);
	target_remove(target);
}

/* The first node that is no filter. */
static struct block_node *image_of(const struct machine_disk *disk)
{
	struct block_node *node = disk->node;

	while (block_is_filter(node))
		node = node->next;
	return node;
}

/* The image of that file below the disk's. NULL: none. */
static struct block_node *find_image(const struct machine_disk *disk, const char *path)
{
	AUTO_FREE char *wanted = block_full_name(path);
	struct block_node *node = block_backing(image_of(disk));

	for (; node && wanted; node = block_backing(node)) {
		AUTO_FREE char *file = block_image_path(node);
		AUTO_FREE char *real = file ? block_full_name(file) : NULL;

		if (real && !strcmp(real, wanted))
			break;
	}
	return wanted ? node : NULL;
}

/* The image that "base" names; NULL without it. */
static int base_of(const struct machine_disk *disk, const json_t *params,
		   struct block_node **ret_base, struct err *err)
{
	const char *path = schema_string(params, "base");

	*ret_base = path ? find_image(disk, path) : NULL;
	if (path && !*ret_base)
		return err_set(err, ENOENT, "the disk does not stand on image '%s'", path);
	return 0;
}

/* ---- methods that start ---- */

int jobs_commit(struct vmm *vmm, const json_t *params, struct err *err)
{
	struct block_job_options options;
	struct disk_job *disk_job;
	struct block_node *base;
	int rc = job_new(vmm, params, &disk_job, &options, err);

	if (rc)
		return rc;
	rc = base_of(disk_job->disk, params, &base, err);
	if (!rc)
		rc = block_commit_start(&disk_job->job, &options, base, err);
	return job_started(disk_job, rc);
}

int jobs_stream(struct vmm *vmm, const json_t *params, struct err *err)
{
	const char *path = schema_string(params, "base");
	/* Relative to this process, not to the image that names it. */
	AUTO_FREE char *base_name = path ? block_full_name(path) : NULL;
	struct block_job_options options;
	struct disk_job *disk_job;
	struct block_node *base;
	int rc = job_new(vmm, params, &disk_job, &options, err);

	if (rc)
		return rc;
	rc = base_of(disk_job->disk, params, &base, err);
	if (!rc)
		rc = block_stream_start(&disk_job->job, &options, base, base_name, err);
	return job_started(disk_job, rc);
}

int jobs_mirror(struct vmm *vmm, const json_t *params, struct err *err)
{
	struct block_job_options options;
	struct disk_job *disk_job;
	struct target target;
	int rc = job_new(vmm, params, &disk_job, &options, err);

	if (rc)
		return rc;
	rc = target_open(&target, disk_job, params, NULL, err);
	if (rc)
		return job_started(disk_job, rc);
	rc = block_mirror_start(&disk_job->job, &options, target.node, target.made, err);
	if (rc)
		target_drop(&target);
	return job_started(disk_job, rc);
}

/* The name of an image for one that will stand on it: what lies beside it may move with it. NULL, errno
 * set: it is not there. Caller frees. */
static char *name_for(const char *path, const char *image)
{
	AUTO_FREE char *real = realpath(path, NULL);
	AUTO_FREE char *folder = strdup(image);
	AUTO_FREE char *real_folder = folder ? realpath(dirname(folder), NULL) : NULL;
	size_t length = real_folder ? strlen(real_folder) : 0;

	if (!real || !real_folder)
		return NULL;
	if (!strncmp(real, real_folder, length) && real + length == strrchr(real, '/'))
		return strdup(real + length + 1);
	return take_ptr(&real);
}

/* What is not copied must come from somewhere. */
static int check_backup(const json_t *params, struct err *err)
{
	bool existing = schema_boolean(params, "existing");
	const char *backing = schema_string(params, "backing");

	if (existing && backing)
		return err_set(err, EINVAL, "an existing target has the backing file that it has");
	if (schema_string(params, "bitmap") && !schema_boolean(params, "full") && !existing &&
	    !backing) {
		err_set(err, EINVAL, "an incremental backup alone is no disk");
		return err_hint(err, "name the backup before with backing=PATH, or an existing "
				     "image, or say full=on");
	}
	return 0;
}

int jobs_backup(struct vmm *vmm, const json_t *params, struct err *err)
{
	const char *path = schema_string(params, "backing");
	AUTO_FREE char *backing = path ? name_for(path, schema_string(params, "target")) : NULL;
	struct block_backup_options backup = {
		.bitmap = schema_string(params, "bitmap"),
		.all = schema_boolean(params, "full"),
	};
	struct block_job_options options;
	struct disk_job *disk_job;
	struct target target;
	int rc = check_backup(params, err);

	if (!rc && path && !backing)
		rc = err_errno(err, errno, "cannot find '%s'", path);
	if (!rc)
		rc = job_new(vmm, params, &disk_job, &options, err);
	if (rc)
		return rc;
	rc = target_open(&target, disk_job, params, backing, err);
	if (rc)
		return job_started(disk_job, rc);
	backup.target_zero = target.made && !backing;
	rc = block_backup_start(&disk_job->job, &options, target.node, &backup, err);
	if (rc)
		target_drop(&target);
	return job_started(disk_job, rc);
}

int jobs_snapshot(struct vmm *vmm, const json_t *params, struct err *err)
{
	struct block_create_options create = {
		.path = schema_string(params, "target"),
		.format = "qcow2",
	};
	struct block_open_options options;
	const struct machine_disk *disk;
	int rc = jobs_check_folders(vmm, err);

	if (!rc)
		rc = jobs_find_disk(vmm, params, &disk, err);
	if (rc)
		return rc;
	options = options_of(vmm, disk);
	return block_overlay_put(disk->node, block_loop(disk->node), &create, &options, err);
}

bool jobs_has(const struct vmm *vmm, const char *id)
{
	struct disk_job *disk_job;

	list_for_each (disk_job, &vmm->jobs.list, node) {
		if (!strcmp(disk_job->disk->id, id))
			return true;
	}
	return false;
}

/* ---- methods that steer ---- */

static struct block_job *find_job(struct vmm *vmm, const json_t *params, struct err *err)
{
	const char *id = schema_string(params, "id");
	struct disk_job *disk_job;

	list_for_each (disk_job, &vmm->jobs.list, node) {
		if (!strcmp(disk_job->disk->id, id))
			return disk_job->job;
	}
	err_set(err, ENOENT, "disk '%s' has no job", id);
	err_hint(err, "ask job.list");
	return NULL;
}

static int set_paused(struct vmm *vmm, const json_t *params, bool paused, struct err *err)
{
	struct block_job *job = find_job(vmm, params, err);

	if (!job)
		return -ENOENT;
	block_job_pause(job, paused);
	return 0;
}

int jobs_pause(struct vmm *vmm, const json_t *params, struct err *err)
{
	return set_paused(vmm, params, true, err);
}

int jobs_resume(struct vmm *vmm, const json_t *params, struct err *err)
{
	return set_paused(vmm, params, false, err);
}

int jobs_speed(struct vmm *vmm, const json_t *params, struct err *err)
{
	struct block_job *job = find_job(vmm, params, err);

	if (!job)
		return -ENOENT;
	block_job_set_speed(job, schema_integer(params, "speed"));
	return 0;
}

int jobs_cancel(struct vmm *vmm, const json_t *params, struct err *err)
{
	struct block_job *job = find_job(vmm, params, err);

	if (!job)
		return -ENOENT;
	block_job_cancel(job);
	return 0;
}

int jobs_complete(struct vmm *vmm, const json_t *params, struct err *err)
{
	struct block_job *job = find_job(vmm, params, err);

	return job ? block_job_complete(job, err) : -ENOENT;
}
