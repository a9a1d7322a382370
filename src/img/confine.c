/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walls around the parsing of foreign images: first nothing but the files that the command line
 * names, their folders for what images name, and calls to open them; once all is open, no names at
 * all. The opener (block/opener.h) judges names; this holds also if the code that does so was
 * taken over.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "block/opener.h"
#include "host/sandbox.h"
#include "img/command.h"

char *img_folder_of(const char *path)
{
	AUTO_FREE char *real = realpath(path, NULL);
	const char *name = real ? real : path;
	const char *slash = strrchr(name, '/');

	if (!slash)
		return strdup(".");
	return strndup(name, slash == name ? 1 : (size_t)(slash - name));
}

char *img_beside(const char *file, const char *name)
{
	AUTO_FREE char *folder = img_folder_of(file);
	char *path;

	if (*name == '/')
		return strdup(name);
	return folder && asprintf(&path, "%s/%s", folder, name) >= 0 ? path : NULL;
}

/* Rights to an operand, and to what lies beside it. */
static const struct {
	unsigned file, folder;
} rights[] = {
	[IMG_LISTS] = { SANDBOX_READ, 0 },
	[IMG_READS] = { SANDBOX_READ, SANDBOX_READ },
	[IMG_CHANGES] = { SANDBOX_READ | SANDBOX_WRITE, SANDBOX_READ },
	[IMG_COMMITS] = { SANDBOX_READ | SANDBOX_WRITE, SANDBOX_READ | SANDBOX_WRITE },
	[IMG_MAKES] = { SANDBOX_READ | SANDBOX_WRITE,
			SANDBOX_READ | SANDBOX_WRITE | SANDBOX_CREATE | SANDBOX_REMOVE },
	[IMG_FILLS] = { SANDBOX_READ | SANDBOX_WRITE | SANDBOX_CREATE | SANDBOX_REMOVE },
};

/* ---- the files that an image consists of ---- */

/* A format that was found by content alone opens no further files. */
static const struct block_format *trusted_format(const struct img *img, const char *path)
{
	const char *name = img_value(img, "format");

	return name ? block_format_find(name) : block_format_of_path(path);
}

struct telling {
	const struct img *img;
	const char *path; /* of the image */
	unsigned count;
	struct err *err;
	int rc;
};

/* Those beside the image. What else is refused when the image is opened, or only read. */
static void allow_named(void *ctx, const char *name)
{
	struct telling *telling = ctx;
	AUTO_FREE char *path = img_beside(telling->path, name);
	AUTO_FREE char *real = path ? realpath(path, NULL) : NULL;
	AUTO_FREE char *folder = img_folder_of(telling->path);
	AUTO_FREE char *its_folder = real ? img_folder_of(real) : NULL;

	if (telling->rc || telling->count++ >= BLOCK_FILES_MAX || !its_folder || !folder ||
	    strcmp(folder, its_folder) != 0)
		return;
	telling->rc = sandbox_allow(telling->img->sandbox, real, SANDBOX_READ | SANDBOX_WRITE,
				    telling->err);
}

/* They are written too. */
static int allow_parts(const struct img *img, const char *path, struct err *err)
{
	const struct block_format *format = trusted_format(img, path);
	AUTO_CLOSE int fd = format && format->tell_files
				    ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
				    : -1;
	AUTO_FREE uint8_t *start = fd < 0 ? NULL : malloc(BLOCK_START_MAX + 1);
	struct telling telling = { .img = img, .path = path, .err = err };
	ssize_t bytes = start ? pread(fd, start, BLOCK_START_MAX, 0) : -1;

	/* Why it cannot be read is told when it is opened. */
	if (bytes < 0)
		return 0;
	start[bytes] = '\0';
	format->tell_files(start, (size_t)bytes, allow_named, &telling);
	return telling.rc;
}

static int allow_operand(struct img *img, const char *path, enum img_access access, struct err *err)
{
	AUTO_FREE char *folder = img_folder_of(path);
	int rc = folder ? 0 : err_errno(err, ENOMEM, "cannot enter the sandbox");

	if (!rc)
		rc = sandbox_allow(img->sandbox, path, rights[access].file, err);
	if (!rc && rights[access].folder)
		rc = sandbox_allow(img->sandbox, folder, rights[access].folder, err);
	return rc || access != IMG_CHANGES ? rc : allow_parts(img, path, err);
}

static bool uses_protocol(const struct img *img)
{
	for (unsigned i = 0; i < img->operand_count; i++) {
		if (block_protocol_of_path(img->operands[i]))
			return true;
	}
	for (const char **allowed = img->folders; *allowed; allowed++) {
		if (block_protocol_of_path(*allowed))
			return true;
	}
	return false;
}

static int allow_all(struct img *img, struct err *err)
{
	const enum img_access *access = img->command->access;
	unsigned beside = SANDBOX_READ | (access[0] == IMG_COMMITS ? SANDBOX_WRITE : 0);
	int rc = 0;

	for (unsigned i = 0; i < img->operand_count && !rc; i++) {
		if (access[i] != IMG_NOTHING)
			rc = allow_operand(img, img->operands[i], access[i], err);
	}
	for (const char **folder = img->folders; *folder && !rc; folder++)
		rc = sandbox_allow(img->sandbox, *folder, beside, err);
	for (unsigned i = 0; i < IMG_REMOVES_MAX && !rc; i++) {
		AUTO_FREE char *folder = img->removes[i] ? img_folder_of(img->removes[i]) : NULL;

		if (folder)
			rc = sandbox_allow(img->sandbox, folder, SANDBOX_REMOVE, err);
	}
	if (!rc && img_flag(img, "allow-all"))
		rc = sandbox_allow(img->sandbox, "/", beside, err);
	return rc;
}

static void forbidden(int number, siginfo_t *info, void *context)
{
	static const char start[] = "cella: ", end[] = "\n";
	char text[128];

	(void)number;
	sandbox_describe(info, context, text, sizeof(text));
	(void)!write(STDERR_FILENO, start, strlen(start));
	(void)!write(STDERR_FILENO, text, strlen(text));
	(void)!write(STDERR_FILENO, end, strlen(end));
	_exit(IMG_FAILED);
}

/* All threads allocate from one: for further ones the C library opens files, to count processors and
 * to see whether memory may be given back. */
#define ARENAS 1

static enum sandbox_thread later_thread(const struct img *img)
{
	return img->command->serves ? SANDBOX_SERVER : SANDBOX_TOOL;
}

int img_confine(struct img *img, struct err *err)
{
	struct sigaction action = { .sa_sigaction = forbidden, .sa_flags = SA_SIGINFO };
	int rc;

	/* Storage over the network needs more than any of this: libraries, names, sockets. */
	if (uses_protocol(img) || img->command->unconfined)
		return 0;
	mallopt(M_ARENA_MAX, ARENAS);
	sigaction(SIGSYS, &action, NULL);
	rc = sandbox_new_tool(&img->sandbox, later_thread(img), err);
	if (!rc)
		rc = allow_all(img, err);
	return rc ? rc : sandbox_enter_tool(img->sandbox, err);
}

int img_all_open(struct img *img, struct err *err)
{
	int rc = img->sandbox ? sandbox_enter_thread(img->sandbox, later_thread(img)) : 0;

	return rc ? err_errno(err, rc, "cannot enter the sandbox") : 0;
}
