/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a kernel is asked for most, one thing at a time:  kernel NAME SECONDS  prints 'rate: N' (calls a second of the
 * monotonic clock). Every call's result is checked; a wrong one ends the program with status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 1024, BLOCK = 65536 };

/* One thing: start is called once, turn does `calls` of the thing and says whether each was right. */
struct thing {
	const char *name;
	unsigned calls;
	bool (*start)(void);
	bool (*turn)(unsigned calls);
};

static struct {
	pid_t parent;
	int file, to, from;
	uint8_t *block;
} the;

static bool start_parent(void)
{
	the.parent = getppid();
	return true;
}

static bool turn_getppid(unsigned calls)
{
	/* Not by the library: the call itself is measured. */
	for (unsigned i = 0; i < calls; i++)
		if (syscall(SYS_getppid) != the.parent)
			return false;
	return true;
}

static bool turn_fault(unsigned calls)
{
	volatile uint8_t *pages = mmap(NULL, (size_t)calls * PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool right = pages != MAP_FAILED;

	/* Huge pages would make one fault of 512. */
	if (right)
		madvise((void *)pages, (size_t)calls * PAGE, MADV_NOHUGEPAGE);
	for (unsigned i = 0; right && i < calls; i++) {
		right = pages[(size_t)i * PAGE] == 0;
		pages[(size_t)i * PAGE] = 1;
	}
	return right && !munmap((void *)pages, (size_t)calls * PAGE);
}

static bool turn_mmap(unsigned calls)
{
	for (unsigned i = 0; i < calls; i++) {
		void *page = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED || munmap(page, 16 * PAGE))
			return false;
	}
	return true;
}

static bool wait_for(pid_t child, int expected)
{
	int status;

	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == expected;
}

static bool turn_fork(unsigned calls)
{
	for (unsigned i = 0; i < calls; i++) {
		pid_t child = fork();

		if (!child)
			_exit((int)(i & 127));
		if (!wait_for(child, (int)(i & 127)))
			return false;
	}
	return true;
}

static bool turn_exec(unsigned calls)
{
	for (unsigned i = 0; i < calls; i++) {
		pid_t child = fork();

		if (!child) {
			execl("/proc/self/exe", "kernel", "leave", (char *)NULL);
			_exit(1);
		}
		if (!wait_for(child, 42))
			return false;
	}
	return true;
}

/* The other process: adds one to what it reads, until its input ends. */
static void answer(int from, int to)
{
	uint32_t value;

	while (read(from, &value, sizeof(value)) == sizeof(value)) {
		value++;
		if (write(to, &value, sizeof(value)) != sizeof(value))
			break;
	}
	_exit(0);
}

static bool start_pipe(void)
{
	int there[2], back[2];
	pid_t child;

	if (pipe(there) || pipe(back))
		return false;
	child = fork();
	if (!child) {
		close(there[1]);
		close(back[0]);
		answer(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	the.to = there[1];
	the.from = back[0];
	return child > 0;
}

static bool turn_pipe(unsigned calls)
{
	/* A call is a switch from one process to the other, so two make a round. */
	for (uint32_t i = 0; i < calls / 2; i++) {
		uint32_t value = i;

		if (write(the.to, &value, sizeof(value)) != sizeof(value) ||
		    read(the.from, &value, sizeof(value)) != sizeof(value) || value != i + 1)
			return false;
	}
	return true;
}

static bool start_file(void)
{
	char name[] = "/tmp/kernel-XXXXXX";

	the.block = malloc(BLOCK);
	the.file = mkstemp(name);
	if (!the.block || the.file < 0 || unlink(name))
		return false;
	for (unsigned i = 0; i < BLOCK; i++)
		the.block[i] = (uint8_t)(i * 7 + (i >> 8));
	return write(the.file, the.block, BLOCK) == BLOCK;
}

static bool turn_read(unsigned calls)
{
	for (unsigned i = 0; i < calls; i++) {
		memset(the.block, 0, 8);
		if (pread(the.file, the.block, BLOCK, 0) != BLOCK || the.block[7] != 49 ||
		    the.block[BLOCK - 1] != (uint8_t)((BLOCK - 1) * 7 + 255))
			return false;
	}
	return true;
}

static bool turn_stat(unsigned calls)
{
	struct stat status;

	for (unsigned i = 0; i < calls; i++)
		if (stat("/usr/lib/os-release", &status) || !S_ISREG(status.st_mode) ||
		    status.st_size < 100)
			return false;
	return true;
}

static const struct thing things[] = {
	{ "getppid", 1000, start_parent, turn_getppid },
	{ "fault", PAGES, start_parent, turn_fault },
	{ "mmap", 200, start_parent, turn_mmap },
	{ "fork", 10, start_parent, turn_fork },
	{ "exec", 5, start_parent, turn_exec },
	{ "pipe", 200, start_pipe, turn_pipe },
	{ "read", 20, start_file, turn_read },
	{ "stat", 200, start_parent, turn_stat },
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int measure(const struct thing *thing, double seconds)
{
	uint64_t calls = 0;
	double start, passed;

	/* One turn before the clock runs: what is done once is not what is measured. */
	if (!thing->start() || !thing->turn(thing->calls))
		goto wrong;
	start = now();
	do {
		if (!thing->turn(thing->calls))
			goto wrong;
		calls += thing->calls;
		passed = now() - start;
	} while (passed < seconds);
	printf("rate: %.1f\n", (double)calls / passed);
	return 0;

wrong:
	fprintf(stderr, "kernel: '%s' went wrong: %s\n", thing->name, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "leave"))
		return 42;
	for (size_t i = 0; argc == 3 && i < sizeof(things) / sizeof(things[0]); i++)
		if (!strcmp(argv[1], things[i].name))
			return measure(&things[i], strtod(argv[2], NULL));
	fprintf(stderr, "usage: kernel getppid|fault|mmap|fork|exec|pipe|read|stat SECONDS\n");
	return 1;
}
