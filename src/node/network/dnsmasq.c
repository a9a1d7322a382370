/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who gets which address and name is in files that the process reads again when told to; another
 * configuration needs another process, which takes over the leases from their file. Files are put in
 * place whole, so that one that stands there is what the process has, or is about to read.
 */
#include "node/network/dnsmasq.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/clock.h"
#include "host/fd.h"
#include "node/network/nft.h"

#define PATIENCE_MS  3000
#define YOUNG_NS     (5 * NS_PER_SEC)
#define WORDS_MAX    300
#define FILE_MAX     (16u << 20)
#define LOG_FILE     "log"
#define READY_FILE   "dnsmasq.pid"
#define LOG_FILE_MAX (256u << 10)

/* ---- the process ---- */

/* Before it listens to signals they would end it: it says that it does by its own file. */
static bool is_ready(const struct dnsmasq *dnsmasq)
{
	uint64_t deadline_ns = clock_now_ns() + PATIENCE_MS * NS_PER_MS;

	while (faccessat(dnsmasq->folder_fd, READY_FILE, F_OK, 0)) {
		if (atomic_load(&dnsmasq->gone) || clock_now_ns() > deadline_ns)
			return false;
		usleep(1000);
	}
	return true;
}

static void stop_watching(struct dnsmasq *dnsmasq)
{
	LOOP_HOLD_SCOPE(dnsmasq->loop);
	loop_fd_remove(dnsmasq->loop, &dnsmasq->source);
	if (dnsmasq->source.fd >= 0)
		close(dnsmasq->source.fd);
	dnsmasq->source.fd = -1;
	dnsmasq->running = false;
}

static bool is_young(const struct dnsmasq *dnsmasq)
{
	return clock_now_ns() - dnsmasq->started_ns < YOUNG_NS;
}

static void process_ended(struct loop_fd *source, uint32_t events)
{
	struct dnsmasq *dnsmasq = container_of(source, struct dnsmasq, source);

	loop_fd_remove(dnsmasq->loop, source);
	atomic_store(&dnsmasq->gone, true);
	/* One that cannot run is not started again at once. */
	if (!is_young(dnsmasq))
		dnsmasq->ended(dnsmasq->ctx);
}

/* Deals with an end. A child is reaped; another one's is init's. */
static void collect(struct dnsmasq *dnsmasq)
{
	siginfo_t info;

	waitid(P_PIDFD, (id_t)dnsmasq->source.fd, &info, WEXITED | WNOHANG);
	stop_watching(dnsmasq);
	vm_pid_remove(dnsmasq->folder_fd);
}

static int watch(struct dnsmasq *dnsmasq, int pidfd, struct err *err)
{
	int rc;

	dnsmasq->source = (struct loop_fd){ .fd = pidfd, .ready = process_ended };
	atomic_store(&dnsmasq->gone, false);
	dnsmasq->running = true;
	rc = loop_fd_add(dnsmasq->loop, &dnsmasq->source, EPOLLIN);
	return rc ? err_errno(err, rc, "cannot watch dnsmasq") : 0;
}

static int find_process(struct dnsmasq *dnsmasq, struct err *err)
{
	struct vm_pid pid;
	int pidfd;

	if (vm_pid_read(dnsmasq->folder_fd, &pid) || vm_pid_open(&pid, &pidfd))
		return 0;
	log_info("dnsmasq %d in '%s' is found again", (int)pid.pid, dnsmasq->folder);
	return watch(dnsmasq, pidfd, err);
}

static int start(struct dnsmasq *dnsmasq, struct err *err)
{
	AUTO_CLOSE int log_fd = openat(dnsmasq->folder_fd, LOG_FILE,
				       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	AUTO_FREE char *program = NULL, *option = NULL;
	const char *argv[] = { "dnsmasq", "--keep-in-foreground", "--log-facility=-", NULL, NULL };
	struct vm_spawn spawn = { .argv = argv, .folder_fd = dnsmasq->folder_fd, .log_fd = log_fd };
	struct vm_pid pid;
	struct stat stat;
	int pidfd, rc;

	if (log_fd < 0)
		return err_errno(err, errno, "cannot write '%s/" LOG_FILE "'", dnsmasq->folder);
	if (!fstat(log_fd, &stat) && stat.st_size > LOG_FILE_MAX && ftruncate(log_fd, 0))
		return err_errno(err, errno, "cannot empty '%s/" LOG_FILE "'", dnsmasq->folder);
	rc = program_find("dnsmasq", &program, err);
	if (rc)
		return err_hint(err, "install the package dnsmasq-base");
	if (asprintf(&option, "--conf-file=%s/" DNSMASQ_CONFIG, dnsmasq->folder) < 0)
		return err_errno(err, ENOMEM, "cannot start dnsmasq");
	argv[3] = option;
	spawn.program = program;
	unlinkat(dnsmasq->folder_fd, READY_FILE, 0);
	dnsmasq->started_ns = clock_now_ns();
	rc = vm_spawn(&spawn, &pid, &pidfd, err);
	return rc ? rc : watch(dnsmasq, pidfd, err);
}

void dnsmasq_stop(struct dnsmasq *dnsmasq)
{
	struct pollfd end = { .fd = dnsmasq->source.fd, .events = POLLIN };

	if (!dnsmasq->running)
		return;
	pidfd_send_signal(dnsmasq->source.fd, SIGTERM, NULL, 0);
	if (poll(&end, 1, PATIENCE_MS) <= 0) {
		pidfd_send_signal(dnsmasq->source.fd, SIGKILL, NULL, 0);
		poll(&end, 1, PATIENCE_MS);
	}
	collect(dnsmasq);
}

/* ---- its files ---- */

static bool has(const struct dnsmasq *dnsmasq, const char *name, const char *text)
{
	AUTO_FREE void *now = NULL;
	char path[64];
	size_t count;
	AUTO_CLOSE int fd = openat(dnsmasq->folder_fd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return !fd_read_file(path, FILE_MAX, &now, &count, NULL) && count == strlen(text) &&
	       !memcmp(now, text, count);
}

static int put(struct dnsmasq *dnsmasq, const char *name, const char *text, struct err *err)
{
	char part[64];
	int rc;

	snprintf(part, sizeof(part), "%s.part", name);
	{
		AUTO_CLOSE int fd = openat(dnsmasq->folder_fd, part,
					   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		rc = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	}
	if (!rc && renameat(dnsmasq->folder_fd, part, dnsmasq->folder_fd, name))
		rc = -errno;
	return rc ? err_errno(err, rc, "cannot write '%s/%s'", dnsmasq->folder, name) : 0;
}

/* Why the one before has ended. */
static int tell_last_words(struct dnsmasq *dnsmasq, struct err *err)
{
	AUTO_CLOSE int fd = openat(dnsmasq->folder_fd, LOG_FILE, O_RDONLY | O_CLOEXEC);
	char text[WORDS_MAX + 1], *line;
	struct stat stat;
	ssize_t n;

	if (fd < 0 || fstat(fd, &stat))
		return err_set(err, EIO, "dnsmasq has ended");
	n = pread(fd, text, WORDS_MAX, stat.st_size > WORDS_MAX ? stat.st_size - WORDS_MAX : 0);
	text[n > 0 ? n : 0] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	str_make_plain(line);
	return err_set(err, EIO, "dnsmasq has ended: %s", *line ? line : "it said nothing");
}

int dnsmasq_apply(struct dnsmasq *dnsmasq, const char *config, const char *hosts, const char *names,
		  struct err *err)
{
	const struct {
		const char *name, *text;
	} files[] = { { DNSMASQ_CONFIG, config },
		      { DNSMASQ_HOSTS, hosts },
		      { DNSMASQ_NAMES, names } };
	bool same_config = has(dnsmasq, DNSMASQ_CONFIG, config);
	bool changed = false, failed = false;
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(files) && !rc; i++) {
		if (has(dnsmasq, files[i].name, files[i].text))
			continue;
		changed = true;
		rc = put(dnsmasq, files[i].name, files[i].text, err);
	}
	if (rc)
		return rc;
	if (dnsmasq->running && atomic_load(&dnsmasq->gone)) {
		failed = is_young(dnsmasq) && same_config;
		collect(dnsmasq);
	}
	if (dnsmasq->running && !same_config)
		dnsmasq_stop(dnsmasq);
	if (!dnsmasq->running) {
		rc = start(dnsmasq, err);
		return rc || !failed ? rc : tell_last_words(dnsmasq, err);
	}
	if (changed && is_ready(dnsmasq))
		pidfd_send_signal(dnsmasq->source.fd, SIGHUP, NULL, 0);
	return 0;
}

char *dnsmasq_leases(const struct dnsmasq *dnsmasq)
{
	AUTO_CLOSE int fd = openat(dnsmasq->folder_fd, DNSMASQ_LEASES, O_RDONLY | O_CLOEXEC);
	char path[64];
	void *text;
	size_t count;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || fd_read_file(path, FILE_MAX, &text, &count, NULL))
		return strdup("");
	return text;
}

/* ---- the folder ---- */

int dnsmasq_open(struct dnsmasq *dnsmasq, char *folder, struct loop *loop, void (*ended)(void *ctx),
		 void *ctx, struct err *err)
{
	*dnsmasq = (struct dnsmasq){
		.folder_fd = -1,
		.folder = folder,
		.loop = loop,
		.source.fd = -1,
		.ended = ended,
		.ctx = ctx,
	};
	if (mkdir(folder, 0700) && errno != EEXIST)
		return err_errno(err, errno, "cannot make the folder '%s'", folder);
	dnsmasq->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dnsmasq->folder_fd < 0)
		return err_errno(err, errno, "cannot open the folder '%s'", folder);
	return find_process(dnsmasq, err);
}

void dnsmasq_close(struct dnsmasq *dnsmasq)
{
	if (dnsmasq->running)
		stop_watching(dnsmasq);
	if (dnsmasq->folder_fd >= 0)
		close(dnsmasq->folder_fd);
	free(dnsmasq->folder);
	*dnsmasq = (struct dnsmasq){ .folder_fd = -1, .source.fd = -1 };
}

void dnsmasq_remove(struct dnsmasq *dnsmasq)
{
	int fd = dup(dnsmasq->folder_fd);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	dnsmasq_stop(dnsmasq);
	if (!folder) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(folder)))
		unlinkat(dnsmasq->folder_fd, entry->d_name, 0);
	closedir(folder);
	rmdir(dnsmasq->folder);
}
