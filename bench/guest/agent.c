/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs commands for the host, in a guest by its serial console or natively by pipes: the same program and protocol.
 *
 * The host writes one line a command:  TIMEOUT SECONDS COMMAND  (whole seconds, then words for /bin/sh). The command is
 * run again until SECONDS have passed (0: once). The answer is
 *
 *	bench: begin
 *	bench: end STATUS RUNS NANOSECONDS
 *	the output of the last run, at most OUTPUT_MAX bytes of its end
 *	bench: next
 *
 * STATUS is the exit status, 128 plus the signal that ended the command, or 'timeout'; the time is the monotonic clock's.
 * Nothing is written between begin and end, so the host's clock can check this one. End of input ends the program.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MAX = 16384, STATUS_TIMEOUT = -1 };

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void run_child(const char *command, int output)
{
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* Waits until the child ends or the deadline passes; SIGCHLD is blocked, so that it is waited for and not lost. */
static int wait_child(pid_t child, uint64_t deadline)
{
	sigset_t chld;
	int status;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	while (waitpid(child, &status, WNOHANG) == 0) {
		uint64_t time = now();
		uint64_t left = deadline > time ? deadline - time : 0;
		struct timespec wait = { (time_t)(left / 1000000000), (long)(left % 1000000000) };

		if (!left) {
			kill(-child, SIGKILL);
			waitpid(child, &status, 0);
			return STATUS_TIMEOUT;
		}
		sigtimedwait(&chld, NULL, &wait);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_once(const char *command, int output, uint64_t deadline)
{
	pid_t child;

	if (ftruncate(output, 0) || lseek(output, 0, SEEK_SET))
		return 126;
	child = fork();
	if (child < 0)
		return 126;
	if (!child)
		run_child(command, output);
	setpgid(child, child);
	return wait_child(child, deadline);
}

static void show(int output)
{
	static char text[OUTPUT_MAX];
	off_t size = lseek(output, 0, SEEK_END);
	ssize_t got = pread(output, text, sizeof(text), size > OUTPUT_MAX ? size - OUTPUT_MAX : 0);

	if (got > 0) {
		fwrite(text, 1, (size_t)got, stdout);
		if (text[got - 1] != '\n')
			putchar('\n');
	}
}

static void serve(char *line, int output)
{
	unsigned long timeout = strtoul(line, &line, 10), seconds = strtoul(line, &line, 10),
		      runs = 0;
	uint64_t start;
	int status;

	line[strcspn(line, "\n")] = '\0';
	puts("bench: begin");
	fflush(stdout);
	start = now();
	do {
		status = run_once(line, output, start + (timeout + 0ull) * 1000000000);
		runs++;
	} while (!status && now() - start < (seconds + 0ull) * 1000000000);

	if (status == STATUS_TIMEOUT)
		printf("bench: end timeout %lu %llu\n", runs, (unsigned long long)(now() - start));
	else
		printf("bench: end %d %lu %llu\n", status, runs,
		       (unsigned long long)(now() - start));
	show(output);
	puts("bench: next");
	fflush(stdout);
}

int main(void)
{
	char name[] = "/tmp/agent-XXXXXX", *line = NULL;
	struct termios terminal;
	size_t size = 0;
	sigset_t chld;
	int output = mkostemp(name, O_CLOEXEC | O_APPEND);

	if (output < 0) {
		perror(name);
		return 1;
	}
	unlink(name);
	/* Input is not echoed: the host would take it for output. */
	if (!tcgetattr(STDIN_FILENO, &terminal)) {
		terminal.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
	}
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);

	puts("bench: next");
	fflush(stdout);
	while (getline(&line, &size, stdin) > 0)
		serve(line, output);
	free(line);
	return 0;
}
