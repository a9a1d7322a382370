/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What arrives is appended to a file in the image's own folder, locked for the time of a request. When the
 * last byte is there, the operation "create" begins, which converts it (image_import.c).
 */
#include "node/image/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/clock.h"
#include "node/access/access.h"
#include "node/image/content_range.h"
#include "node/image/priv.h"
#include "node/operation/priv.h"
#include "node/route/reply.h"

#define UPLOAD  "upload"
#define TOLD_NS NS_PER_SEC /* between two stores of how far it is */
#define ROOM_BYTES                                                                                 \
	(64 * MIB) /* that the pool is asked for at a time, when the total is not known */

struct upload {
	struct node *node;
	struct web_exchange *exchange;
	struct identity who; /* for the audit log: names alone, no grants */
	struct object image;
	struct pool pool;
	int fd;
	uint64_t at;    /* where the next byte goes */
	uint64_t end;   /* of this part */
	uint64_t total; /* of the whole; WEB_BYTES_UNKNOWN, as is `end`: what comes until the end */
	uint64_t room;  /* the pool has room up to there */
	uint64_t told_ns;
	struct problem problem;
	struct stay stay;
	atomic_bool over; /* whoever sends may not any more */
};

char *upload_path(const char *import)
{
	char *path;

	return asprintf(&path, "%s/" UPLOAD, import) < 0 ? NULL : path;
}

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

static void over(struct stay *stay)
{
	atomic_store(&container_of(stay, struct upload, stay)->over, true);
}

/* Another request may go on with it. */
static void let_go(struct upload *upload)
{
	stay_end(upload->node, &upload->stay);
	if (upload->fd >= 0)
		close(upload->fd);
	upload->fd = -1;
}

static void upload_free(struct upload *upload)
{
	let_go(upload);
	object_fini(&upload->image);
	pool_fini(&upload->pool);
	free(upload);
}

/* ---- the body ---- */

static void tell_received(struct upload *upload)
{
	bool known = upload->total != WEB_BYTES_UNKNOWN;

	object_patch_status(upload->node, &upload->image,
			    json_pack("{s:s, s:I, s:o*}", "state", "uploading", "received",
				      (json_int_t)upload->at, "total",
				      known ? json_integer((json_int_t)upload->total) : NULL));
	upload->told_ns = clock_now_ns();
}

static int fail_write(struct upload *upload, int rc)
{
	err_errno(&upload->problem.err, rc, "cannot store what was sent");
	upload->problem.code = rc == -ENOSPC || rc == -EDQUOT ? API_CODE_NO_SPACE : 0;
	if (upload->problem.code)
		problem_hint(&upload->problem, "make space in pool '%s' and go on from byte %llu",
			     upload->pool.name, (unsigned long long)upload->at);
	return problem_from_err(&upload->problem, rc);
}

static int get_room(struct upload *upload, uint64_t bytes, struct problem *problem)
{
	int rc = pool_require_space(upload->node, &upload->pool, bytes, problem);

	if (!rc)
		upload->room = upload->at + bytes;
	return rc;
}

/* For a piece, and some more of them, if there is so much. */
static int get_more_room(struct upload *upload, size_t count)
{
	struct problem ignored = PROBLEM_INIT;

	if (count <= upload->room - upload->at || !get_room(upload, ROOM_BYTES, &ignored))
		return 0;
	return get_room(upload, count, &upload->problem);
}

static int piece(void *ctx, const char *bytes, size_t count)
{
	struct upload *upload = ctx;
	int rc;

	if (count > upload->end - upload->at)
		return problem_set(&upload->problem, API_CODE_RANGE,
				   "more was sent than the range says");
	if (atomic_load(&upload->over))
		return problem_set(&upload->problem, API_CODE_FORBIDDEN,
				   "'%s' has no right to send it any more", upload->who.user);
	rc = get_more_room(upload, count);
	if (rc)
		return rc;
	while (count) {
		ssize_t written = pwrite(upload->fd, bytes, count, (off_t)upload->at);

		if (written < 0)
			return fail_write(upload, -errno);
		upload->at += (uint64_t)written;
		bytes += written;
		count -= (size_t)written;
	}
	if (clock_now_ns() - upload->told_ns > TOLD_NS)
		tell_received(upload);
	return 0;
}

/* All is there. */
static int begin_import(struct upload *upload, char ret_id[UID_SIZE])
{
	struct problem *problem = &upload->problem;
	struct change change;
	int rc = fsync(upload->fd) ? fail_write(upload, -errno) : 0;

	if (rc)
		return rc;
	change_begin(&change, upload->node, &upload->who);
	rc = change_expect(&change, &upload->image, problem);
	if (!rc)
		rc = change_add_operation(&change, &upload->image, "create", NULL, ret_id, problem);
	if (!rc)
		rc = change_set_status(&change, &upload->image,
				       json_pack("{s:s}", "state", "importing"), problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	return rc;
}

static void answer_part(struct upload *upload)
{
	struct web_response response = { .status = 200 };

	web_response_header(&response, "upload-offset:", "%llu", (unsigned long long)upload->at);
	reply_json_with(upload->exchange, &response,
			json_pack("{s:I, s:I}", "received", (json_int_t)upload->at, "total",
				  (json_int_t)upload->total));
}

static void end(void *ctx, int rc)
{
	struct upload *upload = ctx;
	char id[UID_SIZE];

	if (rc && !upload->problem.err.code) {
		err_errno(&upload->problem.err, rc, "the upload broke off");
		problem_from_err(&upload->problem, rc);
	}
	if (!rc && upload->total == WEB_BYTES_UNKNOWN) {
		upload->total = upload->end = upload->at;
		if (!upload->at)
			rc = problem_set(&upload->problem, API_CODE_INVALID,
					 "there is nothing to store");
	}
	if (!rc && upload->at != upload->end)
		rc = problem_set(&upload->problem, API_CODE_RANGE,
				 "less was sent than the range says");
	if (!rc && upload->at == upload->total)
		rc = begin_import(upload, id);
	else
		tell_received(upload);
	/* Before the answer, behind which the next part may come at once. */
	let_go(upload);
	if (rc)
		reply_problem(upload->exchange, &upload->problem);
	else if (upload->at == upload->total)
		operations_answer(upload->node, NULL, id, 0, upload->exchange);
	else
		answer_part(upload);
	upload_free(upload);
}

static const struct web_upload_ops upload_ops = { .piece = piece, .end = end };

/* ---- before the body ---- */

static int require_state(struct node *node, const struct object *image, struct problem *problem)
{
	static const char *const names[] = { "build", "url", "file" };
	static const char *const open_states[] = { "empty", "uploading", "failed" };
	json_t *status = object_status(node, image);
	const char *state = schema_string(status, "state");
	bool open = false;
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(open_states); i++)
		open |= state && !strcmp(state, open_states[i]);
	if (image->deleting || !open)
		rc = problem_set(problem, API_CODE_CONFLICT,
				 "image '%s' takes no content: it is %s", image->name,
				 image->deleting ? "being deleted"
				 : state         ? state
						 : "not known");
	for (unsigned i = 0; i < ARRAY_SIZE(names) && !rc; i++) {
		if (schema_string(object_spec(image), names[i]))
			rc = problem_set(problem, API_CODE_CONFLICT,
					 "image '%s' gets its content by its spec.%s", image->name,
					 names[i]);
	}
	json_decref(status);
	return rc;
}

static int take_range(struct upload *upload, const struct web_request *request, uint64_t bytes,
		      struct problem *problem)
{
	const char *header = web_header(request, "content-range");
	uint64_t size = schema_integer(object_spec(&upload->image), "size");
	struct content_range range = { 0, bytes, bytes };

	if (header && content_range_parse(header, &range))
		return problem_set(problem, API_CODE_INVALID,
				   "'Content-Range' must be 'bytes FIRST-LAST/TOTAL'");
	if (range.total == UINT64_MAX && size)
		range.total = size;
	if (range.total == UINT64_MAX && header)
		return problem_set(problem, API_CODE_INVALID,
				   "'Content-Range' must have the total, or the image a size");
	if (!header && bytes == WEB_BYTES_UNKNOWN)
		range.count = range.total;
	else if (range.count != bytes && bytes != WEB_BYTES_UNKNOWN)
		return problem_set(problem, API_CODE_INVALID,
				   "the body has another length than 'Content-Range' says");
	if (size && range.total != size)
		return problem_set(problem, API_CODE_INVALID,
				   "the image is to be %llu bytes by its spec.size, not %llu",
				   (unsigned long long)size, (unsigned long long)range.total);
	upload->at = range.first;
	upload->end = range.first + range.count;
	upload->total = range.total;
	if (!range.total || upload->end > upload->total)
		return problem_set(problem, API_CODE_INVALID, "there is nothing to store");
	return 0;
}

static int open_file(struct upload *upload, struct problem *problem)
{
	AUTO_FREE char *folder = pool_path(&upload->pool, upload->image.uid, IMAGE_IMPORT);
	AUTO_FREE char *path = folder ? upload_path(folder) : NULL;
	struct stat st;
	int rc;

	if (!path)
		return no_memory(problem);
	if (mkdir(folder, 0700) && errno != EEXIST)
		goto failed;
	upload->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (upload->fd < 0)
		goto failed;
	if (flock(upload->fd, LOCK_EX | LOCK_NB))
		return problem_set(problem, API_CODE_CONFLICT,
				   "another client is sending image '%s'", upload->image.name);
	/* Whoever had the lock may have sent the last byte. */
	rc = require_state(upload->node, &upload->image, problem);
	if (rc)
		return rc;
	if (fstat(upload->fd, &st))
		goto failed;
	if (upload->at > (uint64_t)st.st_size) {
		problem_set(problem, API_CODE_RANGE, "%llu bytes have arrived, go on from there",
			    (unsigned long long)st.st_size);
		return -ERANGE;
	}
	if (!ftruncate(upload->fd, (off_t)upload->at))
		return 0;
failed:
	err_errno(&problem->err, errno, "cannot store image '%s'", upload->image.name);
	return problem_from_err(problem, problem->err.code);
}

static int copy_object(struct node *node, const struct object *from, struct object *ret_copy,
		       struct problem *problem)
{
	return object_get_by_uid(node, from->kind, from->uid, ret_copy, problem);
}

int upload_begin(struct call *call, uint64_t bytes, const struct web_upload_ops **ret_ops,
		 void **ret_ctx, struct problem *problem)
{
	struct upload *upload = calloc(1, sizeof(*upload));
	int rc;

	if (!upload)
		return no_memory(problem);
	*upload = (struct upload){
		.node = call->node,
		.exchange = call->request->exchange,
		.fd = -1,
		.told_ns = clock_now_ns(),
		.stay.over = over,
	};
	snprintf(upload->who.user, sizeof(upload->who.user), "%s", call->who->user);
	snprintf(upload->who.token, sizeof(upload->who.token), "%s", call->who->token);
	snprintf(upload->who.origin, sizeof(upload->who.origin), "%s", call->who->origin);
	rc = copy_object(call->node, call->object, &upload->image, problem);
	if (!rc)
		rc = require_state(call->node, &upload->image, problem);
	if (!rc)
		rc = take_range(upload, call->request, bytes, problem);
	if (!rc)
		rc = pool_use(call->node, schema_string(object_spec(&upload->image), "pool"),
			      &upload->pool, problem);
	if (!rc)
		rc = get_room(upload,
			      upload->total == WEB_BYTES_UNKNOWN ? 0 : upload->total - upload->at,
			      problem);
	if (!rc)
		rc = open_file(upload, problem);
	if (!rc && stay_begin(call->node, &upload->stay, call->who, call->object, API_CREATE))
		rc = no_memory(problem);
	if (rc) {
		upload_free(upload);
		return rc;
	}
	*ret_ops = &upload_ops;
	*ret_ctx = upload;
	return 0;
}

/* ---- GET and HEAD ---- */

static int show_progress(struct call *call, const json_t *status)
{
	struct web_response response = { .status = 204 };
	uint64_t total = schema_integer(status, "total");

	web_response_header(&response, "upload-offset:", "%llu",
			    (unsigned long long)schema_integer(status, "received"));
	if (total)
		web_response_header(&response, "upload-length:", "%llu", (unsigned long long)total);
	web_response_header(&response, "cache-control:", "no-store");
	web_answer(call->request->exchange, &response);
	call->answered = true;
	return 0;
}

/* "bytes=A-B", "bytes=A-", one range alone; anything else is left out, as the specification allows. */
static bool take_asked_range(const char *text, uint64_t size, uint64_t *ret_first,
			     uint64_t *ret_count)
{
	unsigned long long first, last = size - 1;
	int used = 0;

	if (sscanf(text, "bytes=%llu-%n", &first, &used) != 1 || !used)
		return false;
	if (text[used] && (sscanf(text + used, "%llu%n", &last, &used) != 1 || last < first))
		return false;
	if (first >= size)
		return false;
	*ret_first = first;
	*ret_count = MIN(last, size - 1) - first + 1;
	return true;
}

static int send_file(struct call *call, const char *path, struct problem *problem)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct web_response response = { .status = 200, .type = "application/octet-stream" };
	const char *range = web_header(call->request, "range");
	uint64_t first = 0, count, size;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		err_errno(&problem->err, errno, "cannot open image '%s'", call->object->name);
		return problem_from_err(problem, problem->err.code);
	}
	size = count = (uint64_t)st.st_size;
	if (range && take_asked_range(range, size, &first, &count)) {
		response.status = 206;
		web_response_header(&response, "content-range:", "bytes %llu-%llu/%llu",
				    (unsigned long long)first,
				    (unsigned long long)(first + count - 1),
				    (unsigned long long)size);
	}
	if (lseek(fd, (off_t)first, SEEK_SET) < 0)
		return problem_from_err(problem, -errno);
	web_response_header(&response, "accept-ranges:", "bytes");
	web_response_header(&response, "content-disposition:", "attachment; filename=\"%s.qcow2\"",
			    call->object->name);
	response.fd = take_fd(&fd);
	response.bytes = count;
	web_answer(call->request->exchange, &response);
	call->answered = true;
	return 0;
}

int upload_show(struct call *call, struct problem *problem)
{
	json_t *status = object_status(call->node, call->object);
	const char *state = schema_string(status, "state");
	int rc;

	if (state && !strcmp(state, "ready") && schema_string(status, "path"))
		rc = send_file(call, schema_string(status, "path"), problem);
	else if (call->request->method == WEB_HEAD)
		rc = show_progress(call, status);
	else
		rc = problem_set(problem, API_CODE_CONFLICT, "image '%s' is not ready",
				 call->object->name);
	json_decref(status);
	return rc;
}

const struct resource_ops image_resources[] = {
	{ "content", WEB_GET, API_READ, NULL, .answer = upload_show },
	{ "content", WEB_PUT, API_CREATE, NULL, .upload = upload_begin },
	{ 0 },
};
