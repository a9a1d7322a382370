/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the process of a machine ends. Each case is a child with the whole process's code and sandbox,
 * on an engine that executes nothing; this program sends signals and requests to it.
 */
#include "vmm/vmm.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/config.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "host/fd.h"

#include "../machine/fake_engine.h"

#define NEVER_NS (3600 * NS_PER_SEC)
#define VCPUS    12

struct fixture {
	char folder[32], control[64], serial[64], log[64];
	pid_t child;
	int client;
};

struct ending {
	const char *name;
	struct vmm_patience patience;
	unsigned deaf; /* how many vCPUs, the last ones, never answer */
	const char *
		steps; /* s: SIGTERM, b: hears of the power button, p: pause, P: the same without a reply, q: quit */
	int status;
	const char *said; /* in the log */
};

static const struct ending endings[] = {
	{ "a guest that does not power off",
	  { 50 * NS_PER_MS, NEVER_NS },
	  0,
	  "s",
	  128 + SIGTERM,
	  "the guest did not power off in 0.05 s" },
	{ "a second signal", { NEVER_NS, NEVER_NS }, 0, "sbs", 128 + SIGTERM, "ends: signal" },
	{ "a paused machine", { NEVER_NS, NEVER_NS }, 0, "ps", 128 + SIGTERM, "ends: signal" },
	{ "a request", { NEVER_NS, NEVER_NS }, 0, "q", 0, "ends: quit" },
	{ "a second signal, a vCPU that never answers",
	  { NEVER_NS, NS_PER_SEC },
	  1,
	  "sbs",
	  128 + SIGTERM,
	  "vCPU 11 does not answer: ending without it" },
	{ "a pause that never returns",
	  { 0, NS_PER_SEC },
	  1,
	  "Ps",
	  128 + SIGTERM,
	  "vCPU 11 does not answer: ending without it" },
	{ "a request, a vCPU that never answers",
	  { NEVER_NS, NS_PER_SEC },
	  1,
	  "q",
	  0,
	  "vCPU 11 does not answer: ending without it" },
	{ "two vCPUs that never answer",
	  { NEVER_NS, NS_PER_SEC },
	  2,
	  "q",
	  0,
	  "vCPUs 10 and 11 do not answer: ending without them" },
	{ "more of them than are named",
	  { NEVER_NS, NS_PER_SEC },
	  10,
	  "q",
	  0,
	  "vCPUs 2, 3, 4, 5, 6, 7, 8, 9 and 2 more do not answer: ending without them" },
};

static json_t *config_of(const struct fixture *f)
{
	char port[80];
	json_t *config;

	snprintf(port, sizeof(port), "unix=%s", f->serial);
	config = json_pack("{s:s, s:[s], s:{s:i}, s:{s:i}}", "control", f->control, "serials", port,
			   "cpu", "count", VCPUS, "memory", "size", 64 * MIB);
	check(config && !config_resolve(config, NULL));
	return config;
}

/* The child's main(); as many bytes in `ready_fd` as vCPUs are deaf, or one, say that it runs. */
static int run_machine(const struct fixture *f, const struct ending *ending, int ready_fd)
{
	const struct engine_choice engine = { .ops = &fake_engine_ops,
					      .vcpu_thread = SANDBOX_VCPU_SOFT };
	json_t *config = config_of(f);
	struct err err = ERR_INIT;
	struct vmm vmm;
	int rc = vmm_init(&vmm, config, &engine, &ending->patience, &err);

	if (!rc && ending->deaf) {
		fake_engine->deaf_vcpu = VCPUS - ending->deaf;
		fake_engine->deaf_fd = ready_fd;
	} else if (!rc) {
		check(write(ready_fd, "", 1) == 1);
	}
	if (!rc)
		rc = vmm_run(&vmm, &err);
	if (rc)
		err_print(&err, stderr);
	vmm_fini(&vmm);
	json_decref(config);
	return rc ? VMM_STATUS_FAILED : vmm.status;
}

static void start(struct fixture *f, const struct ending *ending)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int ready[2];
	char byte;

	strcpy(f->folder, "/tmp/cella-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->control, sizeof(f->control), "%s/control", f->folder);
	snprintf(f->serial, sizeof(f->serial), "%s/serial", f->folder);
	snprintf(f->log, sizeof(f->log), "%s/log", f->folder);
	assert_int_equal(pipe(ready), 0);
	f->child = fork();
	assert_true(f->child >= 0);
	if (!f->child) {
		check(freopen(f->log, "w", stderr));
		atomic_store(&log_threshold, LOG_INFO);
		_exit(run_machine(f, ending, ready[1]));
	}
	close(ready[1]);
	for (unsigned i = 0; i < MAX(ending->deaf, 1u); i++) {
		if (read(ready[0], &byte, 1) != 1)
			fail_msg("%s: it does not start", ending->name);
	}
	close(ready[0]);
	strcpy(address.sun_path, f->control);
	f->client = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(f->client, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void say(const struct fixture *f, const char *method)
{
	char text[80];
	int length = snprintf(text, sizeof(text),
			      "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"%s\"}\n", method);

	assert_int_equal(send(f->client, text, (size_t)length, MSG_NOSIGNAL), length);
}

/* Reads lines until one has the text. */
static void hear(const struct fixture *f, const char *text)
{
	char line[256];
	size_t count;

	do {
		count = 0;
		while (count + 1 < sizeof(line) && read(f->client, line + count, 1) == 1 &&
		       line[count] != '\n')
			count++;
		assert_true(count > 0);
		line[count] = '\0';
	} while (!strstr(line, text));
}

static void take(const struct fixture *f, char step)
{
	switch (step) {
	case 's':
		assert_int_equal(kill(f->child, SIGTERM), 0);
		break;
	case 'b':
		hear(f, "\"power-button\"");
		break;
	case 'p':
	case 'P':
		say(f, "pause");
		if (step == 'p')
			hear(f, "\"paused\"");
		break;
	default:
		say(f, "quit");
	}
}

static void finish(const struct fixture *f, const struct ending *ending)
{
	AUTO_FREE void *text = NULL;
	size_t count;
	int status;

	assert_int_equal(waitpid(f->child, &status, 0), f->child);
	assert_int_equal(fd_read_file(f->log, MIB, &text, &count, NULL), 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != ending->status ||
	    !memmem(text, count, ending->said, strlen(ending->said)))
		fail_msg("%s: wait status %#x, log:\n%.*s", ending->name, (unsigned)status,
			 (int)count, (char *)text);
	close(f->client);
	unlink(f->log);
	assert_int_equal(rmdir(f->folder), 0); /* no socket is left */
}

static void vmm_told_to_end_ends_and_leaves_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		struct fixture f;

		start(&f, &endings[i]);
		say(&f, "subscribe");
		hear(&f, "\"result\"");
		for (const char *step = endings[i].steps; *step; step++)
			take(&f, *step);
		finish(&f, &endings[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vmm_told_to_end_ends_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
