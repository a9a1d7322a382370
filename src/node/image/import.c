/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images from somewhere else: an upload, a web server, a file of the host. They are hostile until they were
 * converted: what comes from outside lies alone in a folder, its format is what somebody said or its
 * header says (never raw by itself, since a guest can write any header), and nothing that it names is
 * followed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "node/image/priv.h"
#include "node/image/tool.h"
#include "node/disk/pool_clean.h"
#include "node/image/upload.h"

#define DOWNLOAD "download"

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
}

static int take_hash(struct image_work *work, const json_t *result, struct problem *problem)
{
	const char *hash = json_string_value(json_object_get(result, "sha256"));
	const char *wanted = schema_string(object_spec(&work->image), "sha256");

	if (!hash || strlen(hash) >= sizeof(work->result.sha256))
		return problem_set(problem, API_CODE_INTERNAL, "its hash could not be computed");
	snprintf(work->result.sha256, sizeof(work->result.sha256), "%s", hash);
	if (!wanted || !strcmp(wanted, hash))
		return 0;
	problem_set(problem, API_CODE_INVALID, "its SHA-256 is %s, not the one that was said",
		    hash);
	problem_field(problem, "spec.sha256");
	return -EINVAL;
}

/* ---- where it comes from ---- */

static int fetch(struct image_work *work, const char *url, char **ret_path, struct problem *problem)
{
	const char *hash = schema_string(object_spec(&work->image), "sha256");
	bool public_only = schema_boolean(work->operation->params, "public");
	const char *words[12] = { "fetch", "--progress", url };
	unsigned count = 3;
	json_t *result;
	int rc;

	if (mkdir(work->import, 0700) && errno != EEXIST)
		return problem_from_err(problem, -errno);
	if (asprintf(ret_path, "%s/" DOWNLOAD, work->import) < 0)
		return no_memory(problem);
	words[count++] = *ret_path;
	if (public_only)
		words[count++] = "--public";
	if (hash) {
		words[count++] = "--sha256";
		words[count++] = hash;
	}
	rc = image_tool(work->operation, "download", words, &result, problem);
	if (!rc) {
		rc = take_hash(work, result, problem);
		json_decref(result);
	}
	return rc;
}

static int check_hash(struct image_work *work, const char *path, struct problem *problem)
{
	const char *const words[] = { "checksum", "--progress", path, NULL };
	json_t *result;
	int rc = image_tool(work->operation, "check", words, &result, problem);

	if (!rc) {
		rc = take_hash(work, result, problem);
		json_decref(result);
	}
	return rc;
}

static int require_plain(const char *path, struct problem *problem)
{
	struct stat st;

	if (lstat(path, &st)) {
		err_errno(&problem->err, errno, "cannot open file '%s'", path);
		return problem_from_err(problem, problem->err.code);
	}
	if (S_ISREG(st.st_mode))
		return 0;
	return problem_set(problem, API_CODE_INVALID, "'%s' is no plain file", path);
}

static int find_file(struct image_work *work, char **ret_path, struct problem *problem)
{
	const json_t *spec = object_spec(&work->image);
	const char *url = schema_string(spec, "url"), *file = schema_string(spec, "file");
	int rc;

	if (url)
		return fetch(work, url, ret_path, problem);
	*ret_path = file ? strdup(file) : upload_path(work->import);
	if (!*ret_path)
		return no_memory(problem);
	rc = require_plain(*ret_path, problem);
	return rc ? rc : check_hash(work, *ret_path, problem);
}

/* ---- what it is ---- */

static int refuse(struct problem *problem, const char *words, const char *hint)
{
	problem_set(problem, API_CODE_INVALID, "%s", words);
	problem_hint(problem, "%s", hint);
	return -EINVAL;
}

static int judge(const json_t *facts, const char *wanted, struct problem *problem)
{
	const char *format = json_string_value(json_object_get(facts, "format"));
	const json_t *details = json_object_get(facts, "details");

	if (!format)
		return problem_set(problem, API_CODE_INTERNAL, "its format could not be found out");
	if (!strcmp(wanted, "auto") && !strcmp(format, "raw"))
		return refuse(problem, "it has the header of no format",
			      "if it is a raw disk, say so: format=raw");
	if (!strcmp(format, "luks") || json_is_true(json_object_get(details, "encrypted")))
		return refuse(problem, "it is encrypted", "import what is in it");
	if (json_is_string(json_object_get(details, "backing-file")))
		return refuse(problem, "it stands on another image, which is not in it",
			      "convert it first: cella image convert");
	if (json_is_string(json_object_get(details, "data-file")))
		return refuse(problem, "its content is in another file, which is not in it",
			      "convert it first: cella image convert");
	return 0;
}

static int convert(struct image_work *work, const char *path, struct problem *problem)
{
	const char *wanted = schema_string(object_spec(&work->image), "format");
	bool given = strcmp(wanted, "auto") != 0;
	const char *const words[] = { "info", path, given ? "--format" : NULL, wanted, NULL };
	char format[32];
	json_t *facts;
	int rc = image_tool(work->operation, "look at it", words, &facts, problem);

	if (rc)
		return rc;
	rc = judge(facts, wanted, problem);
	if (!rc)
		snprintf(format, sizeof(format), "%s",
			 json_string_value(json_object_get(facts, "format")));
	json_decref(facts);
	return rc ? rc : image_convert(work, path, format, problem);
}

int image_import(struct image_work *work, struct problem *problem)
{
	AUTO_FREE char *path = NULL;
	int rc = find_file(work, &path, problem);

	if (!rc)
		rc = convert(work, path, problem);
	if (!rc)
		rc = image_finish(work, problem);
	/* An upload that failed is of no more use either; a download goes on another time. */
	if (!rc || !schema_string(object_spec(&work->image), "url"))
		pool_remove_tree(work->import);
	return rc;
}
