/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `edit`: options become a merge patch; without any, what can be changed is shown in an editor, and what
 * comes back replaces the object, unless somebody else changed it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "cli/noun.h"
#include "cli/units.h"
#include "cli/yaml.h"
#include "host/fd.h"

#define TEXT_MAX (4u << 20)

static int patch(struct noun *noun, const char *path, struct err *err)
{
	const struct call_options options = { .method = "PATCH", .body = noun->ask.object };
	struct answer answer;
	int code = client_call(&noun->client, path, &options, &answer, err);

	if (!code)
		code = noun_follow(noun, &answer, err);
	answer_fini(&answer);
	return code;
}

/* What a client may write of an object. */
static json_t *writable(const json_t *object)
{
	static const char *const members[] = { "kind",  "project",   "name", "labels",
					       "notes", "protected", "spec" };
	json_t *copy = json_object();

	for (unsigned i = 0; i < ARRAY_SIZE(members); i++) {
		json_t *value = json_object_get(object, members[i]);

		if (value)
			json_object_set(copy, members[i], value);
	}
	return copy;
}

static int run_editor(const char *path, struct err *err)
{
	const char *editor = getenv("VISUAL");
	pid_t pid;
	int status;

	if (!editor || !*editor)
		editor = getenv("EDITOR");
	if (!editor || !*editor)
		editor = "vi";
	pid = fork();
	if (pid < 0)
		return err_errno(err, errno, "cannot start '%s'", editor);
	if (!pid) {
		/* An editor's name may have arguments, as git and others take it. */
		execl("/bin/sh", "sh", "-c", "exec $0 \"$1\"", editor, path, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_set(err, ECANCELED, "the editor '%s' failed: nothing was changed",
			       editor);
	return 0;
}

static int write_file(const char *path, const json_t *value, struct err *err)
{
	FILE *file = fopen(path, "we");
	bool fine = file && yaml_print(file, value);

	if (file && fclose(file))
		fine = false;
	return fine ? 0 : err_errno(err, errno, "cannot write '%s'", path);
}

/* A file of its own for the editor; NULL: none could be made. */
static char *make_file(struct err *err)
{
	const char *folder = getenv("TMPDIR");
	char *path;
	int fd;

	if (asprintf(&path, "%s/cella-edit-XXXXXX", folder && *folder ? folder : "/tmp") < 0)
		path = NULL;
	fd = path ? mkostemp(path, O_CLOEXEC) : -1;
	if (fd >= 0) {
		close(fd);
		return path;
	}
	err_errno(err, errno, "cannot make a file to edit");
	free(path);
	return NULL;
}

/* What came back in the file; 0 with NULL: nothing was changed. */
static int edit_text(const char *path, const json_t *before, json_t **ret_after, struct err *err)
{
	AUTO_FREE void *text = NULL;
	json_t *documents = NULL;
	size_t count;
	int rc = write_file(path, before, err);

	*ret_after = NULL;
	if (!rc)
		rc = run_editor(path, err);
	/* Whoever has the editor fail wants nothing of it. */
	if (rc)
		unlink(path);
	else
		rc = fd_read_file(path, TEXT_MAX, &text, &count, err);
	if (!rc)
		rc = yaml_parse(text, count, "the edited text", &documents, err);
	if (!rc && json_array_size(documents) != 1)
		rc = err_set(err, EINVAL, "the edited text has no object: nothing was changed");
	if (!rc && !json_equal(json_array_get(documents, 0), before))
		*ret_after = json_incref(json_array_get(documents, 0));
	json_decref(documents);
	return rc;
}

static int replace(struct noun *noun, const char *path, const char *etag, const json_t *after,
		   struct err *err)
{
	const struct call_options options = { .method = "PUT", .body = after, .if_match = etag };
	struct answer answer;
	int code = client_call(&noun->client, path, &options, &answer, err);

	if (!code)
		code = noun_follow(noun, &answer, err);
	answer_fini(&answer);
	return code;
}

static int edit_by_hand(struct noun *noun, const char *path, struct err *err)
{
	const struct call_options options = { .method = "GET" };
	AUTO_FREE char *file = NULL;
	struct answer answer;
	json_t *before = NULL;
	json_t *after = NULL;
	int code = client_call(&noun->client, path, &options, &answer, err);

	if (!code && !(file = make_file(err)))
		code = EXIT_FAILED;
	if (!code) {
		json_t *object = writable(answer.json);

		before = units_copy(noun->kind, object);
		json_decref(object);
		code = edit_text(file, before, &after, err) ? EXIT_FAILED : EXIT_DONE;
	}
	if (!code && after)
		code = replace(noun, path, answer.etag, after, err);
	else if (!code)
		fputs("cella: nothing was changed\n", stderr);
	/* Nobody types it twice for a slip, or because the server refuses it. */
	if (file && !code)
		unlink(file);
	else if (file && !access(file, F_OK))
		fprintf(stderr, "cella: what was typed is in '%s'\n", file);
	json_decref(before);
	json_decref(after);
	answer_fini(&answer);
	return code;
}

int noun_edit(struct noun *noun, struct err *err)
{
	AUTO_FREE char *path = noun_path(noun, noun->ask.words[0], err);

	if (!path)
		return EXIT_FAILED;
	return json_object_size(noun->ask.object) ? patch(noun, path, err)
						  : edit_by_hand(noun, path, err);
}
