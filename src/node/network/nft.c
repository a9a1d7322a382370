/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text is nft's standard input, a file without a name. A process for each transaction costs some
 * milliseconds; in return a library that ends the process when memory runs out is not in this one.
 */
#include "node/network/nft.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/fd.h"

#define TIMEOUT_MS 10000
#define WORDS_MAX  400
#define ANSWER_MAX (4 * MIB)

int program_find(const char *name, char **ret_path, struct err *err)
{
	static const char *const folders[] = { "/usr/sbin", "/usr/bin", "/usr/local/sbin",
					       "/sbin" };

	for (unsigned i = 0; i < ARRAY_SIZE(folders); i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%s", folders[i], name);
		if (access(path, X_OK))
			continue;
		*ret_path = strdup(path);
		return *ret_path ? 0 : err_errno(err, ENOMEM, "cannot look for '%s'", name);
	}
	return err_set(err, ENOENT, "there is no '%s' on this host", name);
}

/* The first line that the process wrote. */
static void read_words(int fd, char words[WORDS_MAX])
{
	ssize_t n = pread(fd, words, WORDS_MAX - 1, 0);

	words[n > 0 ? n : 0] = '\0';
	words[strcspn(words, "\n")] = '\0';
	str_make_plain(words);
}

static int await_end(pid_t pid, int words_fd, struct err *err)
{
	AUTO_CLOSE int pidfd = pidfd_open(pid, 0);
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	char words[WORDS_MAX];
	bool late = pidfd < 0;
	int status;

	while (!late) {
		int rc = poll(&end, 1, TIMEOUT_MS);

		if (rc > 0)
			break;
		late = !rc;
	}
	if (late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (late)
		return err_set(err, ETIMEDOUT, "nft did not end");
	if (!status)
		return 0;
	read_words(words_fd, words);
	return err_set(err, strstr(words, "not permitted") ? EPERM : EIO, "nft: %s",
		       *words ? words : "it failed");
}

static int start(const char *path, bool check, int input_fd, int words_fd, pid_t *ret_pid)
{
	const char *const argv[] = { path, "-f", "-", check ? "-c" : NULL, NULL };
	const char *const environment[] = { "LC_ALL=C", "PATH=/usr/sbin:/usr/bin", NULL };
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return rc;
	rc = posix_spawn_file_actions_adddup2(&actions, input_fd, STDIN_FILENO);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, words_fd, STDOUT_FILENO);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, words_fd, STDERR_FILENO);
	if (!rc)
		rc = posix_spawn(ret_pid, path, &actions, NULL, (char *const *)(uintptr_t)argv,
				 (char *const *)(uintptr_t)environment);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int run(const char *text, bool check, int words_fd, struct err *err)
{
	AUTO_CLOSE int input_fd = memfd_create("nft-input", MFD_CLOEXEC);
	AUTO_FREE char *path = NULL;
	pid_t pid;
	int rc;

	if (input_fd < 0 || words_fd < 0)
		return err_errno(err, errno, "cannot run nft");
	rc = program_find("nft", &path, err);
	if (rc)
		return err_hint(err, "install the package nftables");
	rc = fd_write_all(input_fd, text, strlen(text));
	if (!rc && lseek(input_fd, 0, SEEK_SET))
		rc = -errno;
	if (!rc)
		rc = start(path, check, input_fd, words_fd, &pid);
	if (rc)
		return err_errno(err, rc, "cannot run nft");
	return await_end(pid, words_fd, err);
}

int nft_run(const char *text, bool check, struct err *err)
{
	AUTO_CLOSE int words_fd = memfd_create("nft-words", MFD_CLOEXEC);

	return run(text, check, words_fd, err);
}

int nft_ask(const char *text, char **ret_answer, struct err *err)
{
	AUTO_CLOSE int words_fd = memfd_create("nft-words", MFD_CLOEXEC);
	int rc = run(text, false, words_fd, err);
	AUTO_FREE char *answer = NULL;
	struct stat st;

	if (rc)
		return rc;
	if (fstat(words_fd, &st) || st.st_size > (off_t)ANSWER_MAX)
		return err_set(err, EFBIG, "nft says more than anybody reads");
	answer = calloc(1, (size_t)st.st_size + 1);
	if (!answer)
		return err_errno(err, ENOMEM, "cannot ask nft");
	rc = fd_pread_all(words_fd, answer, (size_t)st.st_size, 0);
	if (rc)
		return err_errno(err, rc, "cannot ask nft");
	*ret_answer = take_ptr(&answer);
	return 0;
}
