/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"

static void interrupt(int signal)
{
	(void)signal;
}

/* Whoever ends it by Ctrl-C sees again what is typed. */
static void read_silently(const char *prompt, char line[SECRET_LINE_MAX],
			  const struct termios *before)
{
	const struct sigaction stop = { .sa_handler = interrupt };
	struct termios silent = *before;
	struct sigaction usual;
	bool interrupted;

	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ECHONL;
	sigaction(SIGINT, &stop, &usual);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	fputs(prompt, stderr);
	errno = 0;
	if (!fgets(line, SECRET_LINE_MAX, stdin))
		*line = '\0';
	interrupted = !*line && errno == EINTR;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, before);
	sigaction(SIGINT, &usual, NULL);
	if (interrupted)
		raise(SIGINT);
}

int secret_read_line(const char *prompt, char line[SECRET_LINE_MAX], struct err *err)
{
	struct termios before;

	if (isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &before))
		read_silently(prompt, line, &before);
	else if (!fgets(line, SECRET_LINE_MAX, stdin))
		*line = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return *line ? 0 : err_set(err, EINVAL, "no password was given");
}

/* A slip in what nobody sees is noticed too late. */
static int type_twice(const char *name, char line[SECRET_LINE_MAX], struct err *err)
{
	char again[SECRET_LINE_MAX], prompt[64];
	int rc;

	snprintf(prompt, sizeof(prompt), "New %s: ", name);
	rc = secret_read_line(prompt, line, err);
	if (rc || !isatty(STDIN_FILENO))
		return rc;
	rc = secret_read_line("Once more: ", again, err);
	if (!rc && strcmp(line, again))
		rc = err_set(err, EINVAL, "the two are not the same");
	explicit_bzero(again, sizeof(again));
	return rc;
}

/* The first line of a file; an empty one is a value, too. */
static int read_file(const char *path, char line[SECRET_LINE_MAX], struct err *err)
{
	bool input = !strcmp(path, "-");
	AUTO_CLOSE int fd = input ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t count = 0, got = 1;

	if (!input && fd < 0)
		return err_errno(err, errno, "cannot open '%s'", path);
	while (got > 0 && count < SECRET_LINE_MAX - 1) {
		got = read(input ? STDIN_FILENO : fd, line + count,
			   (size_t)(SECRET_LINE_MAX - 1 - count));
		count += got > 0 ? got : 0;
	}
	if (got < 0)
		return err_errno(err, errno, "cannot read '%s'", path);
	line[count] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return 0;
}

int secrets_take(const struct ask *ask, struct err *err)
{
	for (unsigned i = 0; i < ask->secret_count; i++) {
		const struct ask_secret *secret = &ask->secrets[i];
		char line[SECRET_LINE_MAX];
		int rc = secret->file ? read_file(secret->file, line, err)
				      : type_twice(secret->row->name, line, err);

		if (!rc &&
		    json_object_set_new(secret->object, secret->row->name, json_string(line)))
			rc = err_set(err, EINVAL, "the %s is no text", secret->row->name);
		explicit_bzero(line, sizeof(line));
		if (rc)
			return rc;
	}
	return 0;
}
