/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket from its outside: a loop with the socket on one thread, clients on the other. */
#include "vmm/control.h"

#include <setjmp.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "host/thread.h"
#include "vmm/control_priv.h"

#include "fake_machine.h"

struct fixture {
	char folder[32], path[64];
	struct machine machine;
	struct vmm vmm;
	struct console *console;
	char typed[64]; /* what the console's device received */
	size_t typed_count;
	pthread_t thread;

	/* A call on the loop's thread. */
	struct loop_task task;
	void (*call)(struct fixture *fixture);
	sem_t done;
};

static size_t device_receive(void *ctx, const uint8_t *bytes, size_t count)
{
	struct fixture *fixture = ctx;

	count = MIN(count, sizeof(fixture->typed) - fixture->typed_count);
	memcpy(fixture->typed + fixture->typed_count, bytes, count);
	fixture->typed_count += count;
	return count;
}

static void *run_loop(void *ctx)
{
	struct fixture *fixture = ctx;

	loop_run(fixture->vmm.loop);
	return NULL;
}

static void run_task(struct loop_task *task)
{
	struct fixture *fixture = container_of(task, struct fixture, task);

	fixture->call(fixture);
	sem_post(&fixture->done);
}

static void on_loop(struct fixture *fixture, void (*call)(struct fixture *fixture))
{
	fixture->call = call;
	loop_post(fixture->vmm.loop, &fixture->task);
	sem_wait(&fixture->done);
}

static const struct engine_ops fake_ops = { .name = "fake" };

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct chardev_receiver receiver = { .receive = device_receive, .ctx = fixture };

	assert_non_null(fixture);
	strcpy(fixture->folder, "/tmp/cella-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/control", fixture->folder);
	fixture->machine.state = MACHINE_RUNNING;
	fixture->vmm.machine = &fixture->machine;
	fixture->vmm.description.name = "test";
	fixture->vmm.end_fd = -1;
	fixture->vmm.description.vcpus = 2;
	fixture->vmm.engine.ops = &fake_ops;
	fixture->task.run = run_task;
	sem_init(&fixture->done, 0, 0);
	assert_int_equal(loop_new(&fixture->vmm.loop, NULL), 0);
	list_init(&fixture->vmm.backends.attachable.list);
	jobs_init(&fixture->vmm.jobs);
	hotplug_init(&fixture->vmm.hotplug);
	assert_int_equal(console_new(&fixture->console, "serial0", NULL, fixture->vmm.loop, NULL),
			 0);
	list_append(&fixture->vmm.backends.attachable.list, &fixture->console->node);
	chardev_attach(&fixture->console->chardev, receiver);
	assert_int_equal(control_open(&fixture->vmm.control, &fixture->vmm, fixture->path, NULL),
			 0);
	assert_int_equal(thread_start(&fixture->thread, "loop", run_loop, fixture, NULL), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	loop_stop(fixture->vmm.loop);
	pthread_join(fixture->thread, NULL);
	control_close(fixture->vmm.control);
	chardev_close(&fixture->console->chardev);
	loop_free(fixture->vmm.loop);
	sem_destroy(&fixture->done);
	assert_int_equal(rmdir(fixture->folder), 0); /* the socket is gone */
	free(fixture);
	return 0;
}

static int client(const struct fixture *fixture)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, fixture->path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* One line, or what came before the end. */
static const char *hear(int fd, char *buffer, size_t size)
{
	size_t count = 0;

	while (count + 1 < size && read(fd, buffer + count, 1) == 1 && buffer[count] != '\n')
		count++;
	buffer[count] = '\0';
	return buffer;
}

#define CALL(method) "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"" method "\"}\n"
#define CALL_WITH(method, p)                                                                       \
	"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"" method "\", \"params\": " p "}\n"

static const struct {
	const char *request, *reply; /* what the reply contains */
} exchanges[] = {
	{ CALL("status"), "\"state\":\"running\"" },
	{ CALL("status"), "\"engine\":\"fake\"" },
	{ CALL("resume"),
	  "{\"code\":-32000,\"message\":\"cannot resume a machine that runs; pause it first\"}" },
	{ CALL("pause"), "\"result\":null" },
	{ CALL("status"), "\"state\":\"paused\"" },
	{ CALL("resume"), "\"result\":null" },
	{ CALL("device.list"), "[{\"id\":\"rtc\",\"type\":\"rtc\"}]" },
	{ CALL_WITH("device.dump", "{\"id\": \"rtc\"}"), "\"result\":{\"index\":3}" },
	{ CALL_WITH("device.dump", "{\"id\": \"fdc\"}"), "there is no device 'fdc'" },
	{ CALL("device.dump"), "-32602" },
	{ CALL_WITH("device.dump", "{\"id\": 7}"), "'id': must be a string" },
	{ CALL_WITH("device.dump", "[\"rtc\"]"), "-32602" },
	{ CALL_WITH("pause", "{\"now\": true}"), "unknown key 'now'" },
	{ CALL("console.list"), "[\"serial0\"]" },
	{ CALL_WITH("console.attach", "{\"console\": \"serial9\"}"),
	  "there is no console 'serial9'" },
	{ CALL("devicelist"), "did you mean 'device.list'?" },
	{ CALL("explode"), "-32601" },
	{ "nonsense\n", "-32700" },
	{ "{}\n", "-32600" },
	{ "["
	  "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"stats\"}, 7]\n",
	  "\"result\":{}},{" },
	/* A notification gets no answer, an empty line neither: what is heard is that of the next
	   request. */
	{ "{\"jsonrpc\": \"2.0\", \"method\": \"nmi\"}\n\n\r\n" CALL("stats"), "\"result\":{}" },
};

static void control_any_request_gets_its_reply(void **state)
{
	struct fixture *fixture = *state;
	int fd = client(fixture);
	char reply[4096];

	for (unsigned i = 0; i < ARRAY_SIZE(exchanges); i++) {
		say(fd, exchanges[i].request);
		if (!strstr(hear(fd, reply, sizeof(reply)), exchanges[i].reply))
			fail_msg("%s: %s", exchanges[i].request, reply);
	}
	assert_int_equal(fixture->machine.nmis, 1);
	close(fd);
}

static void control_actions_reach_the_machine(void **state)
{
	struct fixture *fixture = *state;
	int fd = client(fixture);
	char reply[256];

	fixture->vmm.status = -1;
	say(fd, CALL("reset") CALL("power-button") CALL("quit"));
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(strstr(hear(fd, reply, sizeof(reply)), "\"result\":null"));
	assert_int_equal(fixture->machine.resets, 1);
	assert_int_equal(fixture->vmm.ending_signal, -1);
	assert_int_equal(fixture->vmm.status, 0);
	close(fd);
}

static void control_line_over_the_limit_gets_an_error_and_goes_on(void **state)
{
	struct fixture *fixture = *state;
	static char line[CONTROL_LINE_MAX + 3];
	int fd = client(fixture);
	char reply[256];

	memset(line, 'x', CONTROL_LINE_MAX + 1);
	line[CONTROL_LINE_MAX + 1] = '\n';
	say(fd, line);
	assert_non_null(strstr(hear(fd, reply, sizeof(reply)), "line is too long"));
	say(fd, CALL("stats"));
	assert_non_null(strstr(hear(fd, reply, sizeof(reply)), "\"result\":{}"));
	close(fd);
}

static void control_client_that_closed_its_side_still_gets_the_reply(void **state)
{
	int fd = client(*state);
	char reply[256];

	say(fd, CALL("stats"));
	shutdown(fd, SHUT_WR);
	assert_non_null(strstr(hear(fd, reply, sizeof(reply)), "\"result\":{}"));
	assert_string_equal(hear(fd, reply, sizeof(reply)), "");
	close(fd);
}

static void tell_reset(struct fixture *fixture)
{
	control_tell(fixture->vmm.control, CONTROL_EVENT_RESET, NULL);
}

static void control_events_reach_only_who_subscribed(void **state)
{
	struct fixture *fixture = *state;
	int subscribed = client(fixture), other = client(fixture);
	char reply[256];

	say(subscribed, CALL("subscribe"));
	hear(subscribed, reply, sizeof(reply));
	say(other, CALL("stats"));
	hear(other, reply, sizeof(reply));
	on_loop(fixture, tell_reset);
	assert_string_equal(hear(subscribed, reply, sizeof(reply)),
			    "{\"jsonrpc\":\"2.0\",\"method\":\"reset\",\"params\":{}}");
	say(other, CALL("status"));
	assert_non_null(strstr(hear(other, reply, sizeof(reply)), "\"state\""));
	close(other);
	close(subscribed);
}

static void tell_much(struct fixture *fixture)
{
	char text[1001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < 10000; i++)
		control_tell(fixture->vmm.control, CONTROL_EVENT_RESET,
			     json_pack("{s:s}", "text", text));
}

static void control_subscriber_that_does_not_read_is_dropped(void **state)
{
	struct fixture *fixture = *state;
	int slow = client(fixture), other = client(fixture);
	char reply[256];

	say(slow, CALL("subscribe"));
	hear(slow, reply, sizeof(reply));
	say(other, CALL("stats"));
	hear(other, reply, sizeof(reply));
	assert_int_equal(fixture->vmm.control->connection_count, 2);
	on_loop(fixture, tell_much);
	assert_int_equal(fixture->vmm.control->connection_count, 1);
	close(other);
	close(slow);
}

static void guest_writes(struct fixture *fixture)
{
	assert_int_equal(chardev_write(&fixture->console->chardev, (const uint8_t *)"login:\n", 7),
			 7);
}

static void control_attached_connection_is_the_consoles_stream(void **state)
{
	struct fixture *fixture = *state;
	int fd = client(fixture);
	char reply[256];

	/* What follows the request is already input. */
	say(fd, CALL("console.attach") "root\n");
	assert_non_null(strstr(hear(fd, reply, sizeof(reply)), "\"result\":null"));
	on_loop(fixture, guest_writes);
	assert_string_equal(hear(fd, reply, sizeof(reply)), "login:");
	assert_int_equal(fixture->typed_count, 5);
	assert_memory_equal(fixture->typed, "root\n", 5);
	/* Events do not mix with the stream, nor does the end of input end it. */
	on_loop(fixture, tell_reset);
	shutdown(fd, SHUT_WR);
	on_loop(fixture, guest_writes);
	assert_string_equal(hear(fd, reply, sizeof(reply)), "login:");
	close(fd);
}

static void guest_writes_much(struct fixture *fixture)
{
	for (unsigned i = 0; i < CONSOLE_RING_BYTES / 7; i++)
		guest_writes(fixture);
}

static void control_attached_from_a_byte_of_the_past_gets_what_was_kept(void **state)
{
	static const struct {
		void (*before)(struct fixture *fixture);
		const char *request, *reply, *first;
	} rows[] = {
		{ guest_writes, CALL_WITH("console.attach", "{\"from\": 0}"), "{\"from\":0}",
		  "login:" },
		{ guest_writes, CALL_WITH("console.attach", "{\"from\": 10}"), "{\"from\":10}",
		  "in:" },
		/* More than there is: what comes. */
		{ guest_writes, CALL_WITH("console.attach", "{\"from\": 1000}"), "{\"from\":21}",
		  "login:" },
		/* 21 and 7 bytes, and as many lines as the ring holds. */
		{ guest_writes_much, CALL_WITH("console.attach", "{\"from\": 7}"), "{\"from\":26}",
		  ":" },
	};
	struct fixture *fixture = *state;
	char reply[256];

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		int fd = client(fixture);

		on_loop(fixture, rows[i].before);
		say(fd, rows[i].request);
		assert_non_null(strstr(hear(fd, reply, sizeof(reply)), rows[i].reply));
		if (i == 2)
			on_loop(fixture, guest_writes);
		assert_string_equal(hear(fd, reply, sizeof(reply)), rows[i].first);
		close(fd);
	}
}

static void device_has_room(struct fixture *fixture)
{
	fixture->typed_count = 0;
	chardev_receive_ready(&fixture->console->chardev);
}

static void control_input_that_the_device_refuses_waits(void **state)
{
	struct fixture *fixture = *state;
	int fd = client(fixture);
	char reply[256], input[101] = "";

	memset(input, 'a', 60);
	memset(input + 60, 'b', 40);
	say(fd, CALL("console.attach"));
	hear(fd, reply, sizeof(reply));
	say(fd, input);
	/* The first write of the guest behind the input shows that the input has been seen. */
	do {
		on_loop(fixture, guest_writes);
		hear(fd, reply, sizeof(reply));
	} while (__atomic_load_n(&fixture->typed_count, __ATOMIC_RELAXED) < 64);
	on_loop(fixture, device_has_room);
	do {
		on_loop(fixture, guest_writes);
		hear(fd, reply, sizeof(reply));
	} while (__atomic_load_n(&fixture->typed_count, __ATOMIC_RELAXED) < 36);
	assert_memory_equal(fixture->typed, input + 64, 36);
	close(fd);
}

static void control_connections_over_the_limit_are_closed(void **state)
{
	struct fixture *fixture = *state;
	int fds[CONTROL_CONNECTIONS_MAX + 1];
	char reply[256];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = client(fixture);
	assert_string_equal(hear(fds[CONTROL_CONNECTIONS_MAX], reply, sizeof(reply)), "");
	say(fds[0], CALL("stats"));
	assert_non_null(strstr(hear(fds[0], reply, sizeof(reply)), "\"result\":{}"));
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void control_open_socket_is_the_owners_alone(void **state)
{
	struct fixture *fixture = *state;
	struct stat st;

	assert_int_equal(stat(fixture->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void control_open_path_in_use_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct control *second = NULL;
	struct err err = ERR_INIT;
	char file[96];

	assert_int_equal(control_open(&second, &fixture->vmm, fixture->path, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "exists and is in use"));
	/* A file that is no socket is never replaced. */
	snprintf(file, sizeof(file), "%s/file", fixture->folder);
	fclose(fopen(file, "w"));
	assert_int_equal(control_open(&second, &fixture->vmm, file, &err), -EADDRINUSE);
	assert_int_equal(unlink(file), 0);
	close(client(fixture)); /* the first still listens */
}

static void control_open_stale_socket_is_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct control *second = NULL;
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/stale", fixture->folder);
	assert_int_equal(bind(dead, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(dead);
	assert_int_equal(control_open(&second, &fixture->vmm, address.sun_path, NULL), 0);
	control_close(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(control_any_request_gets_its_reply),
		TEST(control_actions_reach_the_machine),
		TEST(control_line_over_the_limit_gets_an_error_and_goes_on),
		TEST(control_client_that_closed_its_side_still_gets_the_reply),
		TEST(control_events_reach_only_who_subscribed),
		TEST(control_subscriber_that_does_not_read_is_dropped),
		TEST(control_attached_connection_is_the_consoles_stream),
		TEST(control_attached_from_a_byte_of_the_past_gets_what_was_kept),
		TEST(control_input_that_the_device_refuses_waits),
		TEST(control_connections_over_the_limit_are_closed),
		TEST(control_open_socket_is_the_owners_alone),
		TEST(control_open_path_in_use_is_refused),
		TEST(control_open_stale_socket_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
