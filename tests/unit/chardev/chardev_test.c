/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each kind of port against its other end: a socket, a pty's user side, a file, redirected standard
 * descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "chardev/chardev.h"
#include "host/clock.h"
#include "host/fd.h"

struct port {
	struct loop *loop;
	struct chardev *chardev;
	uint8_t got[4096];
	size_t got_count, room; /* room: how much more the device takes */
	const char *rest;       /* what the device writes when it may again */
	unsigned connects, disconnects, write_readies, escapes, resizes;

	/* The loop runs until this holds. */
	struct loop_timer tick;
	bool (*reached)(struct port *port);
	unsigned turns;
};

static size_t receive(void *ctx, const uint8_t *bytes, size_t count)
{
	struct port *port = ctx;
	size_t n = MIN(count, port->room);

	memcpy(port->got + port->got_count, bytes, n);
	port->got_count += n;
	port->room -= n;
	return n;
}

static void write_ready(void *ctx)
{
	struct port *port = ctx;

	port->write_readies++;
	if (port->rest)
		chardev_write(port->chardev, (const uint8_t *)port->rest, strlen(port->rest));
	port->rest = NULL;
}

static void connected(void *ctx, bool is_connected)
{
	struct port *port = ctx;

	*(is_connected ? &port->connects : &port->disconnects) += 1;
}

static void resized(void *ctx)
{
	((struct port *)ctx)->resizes++;
}

static void escaped(void *ctx)
{
	((struct port *)ctx)->escapes++;
}

static void tick(struct loop_timer *timer)
{
	struct port *port = container_of(timer, struct port, tick);

	if (port->reached(port))
		loop_stop(port->loop);
	else
		loop_timer_arm(port->loop, timer, clock_now_ns() + NS_PER_MS / 20);
}

/* Runs the loop until the condition holds; the test's own time limit ends a wait for ever. */
static void run_until(struct port *port, bool (*reached)(struct port *port))
{
	port->reached = reached;
	port->turns = 0;
	port->tick.expired = tick;
	loop_timer_arm(port->loop, &port->tick, clock_now_ns());
	assert_int_equal(loop_run(port->loop), 0);
}

static void port_open(struct port *port, const char *spec)
{
	struct err err = ERR_INIT;

	*port = (struct port){ .room = sizeof(port->got) };
	assert_int_equal(loop_new(&port->loop, NULL), 0);
	if (chardev_open(spec, port->loop, &port->chardev, &err))
		fail_msg("%s", err.text);
	chardev_attach(port->chardev, (struct chardev_receiver){ .receive = receive,
								 .write_ready = write_ready,
								 .connected = connected,
								 .resized = resized,
								 .ctx = port });
}

static void port_close(struct port *port)
{
	chardev_close(port->chardev);
	loop_free(port->loop);
}

static size_t port_write(struct port *port, const char *text)
{
	return chardev_write(port->chardev, (const uint8_t *)text, strlen(text));
}

static bool got_something(struct port *port)
{
	return port->got_count;
}

static bool got_hello(struct port *port)
{
	return port->got_count >= strlen("hello");
}

static bool was_connected(struct port *port)
{
	return port->connects > port->disconnects;
}

static bool was_connected_twice(struct port *port)
{
	return port->connects == 2;
}

static bool was_disconnected(struct port *port)
{
	return port->connects && port->disconnects == port->connects;
}

static bool was_write_ready(struct port *port)
{
	return port->write_readies;
}

static bool was_escaped(struct port *port)
{
	return port->escapes;
}

/* After one more whole turn of tasks and ready descriptors. */
static bool at_once(struct port *port)
{
	return port->turns++;
}

static int client(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Reads what the port sends, while the loop goes on. */
static void read_all(struct port *port, int fd, char *buffer, size_t count)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	while (count) {
		ssize_t n;

		run_until(port, at_once);
		if (poll(&poll_fd, 1, 0) != 1)
			continue;
		n = read(fd, buffer, count);
		assert_true(n > 0);
		buffer += n;
		count -= (size_t)n;
	}
}

static void expect_read(struct port *port, int fd, const char *text)
{
	char buffer[64] = { 0 };

	assert_true(strlen(text) < sizeof(buffer));
	read_all(port, fd, buffer, strlen(text));
	assert_string_equal(buffer, text);
}

static void temporary(char path[64])
{
	int fd;

	strcpy(path, "/tmp/cella-port-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
}

static void unix_open_socket(struct port *port, char path[64])
{
	char spec[80];

	temporary(path);
	unlink(path);
	snprintf(spec, sizeof(spec), "unix=%s", path);
	port_open(port, spec);
	assert_string_equal(chardev_path(port->chardev), path);
}

static void unix_client_talks_both_ways(void **state)
{
	struct port port;
	char path[64];
	int fd;

	(void)state;
	unix_open_socket(&port, path);
	fd = client(path);
	run_until(&port, was_connected);
	assert_int_equal(port_write(&port, "prompt"), 6);
	assert_int_equal(write(fd, "hello", 5), 5);
	run_until(&port, got_hello);
	expect_read(&port, fd, "prompt");
	assert_memory_equal(port.got, "hello", 5);
	close(fd);
	run_until(&port, was_disconnected);
	port_close(&port);
	assert_int_equal(access(path, F_OK), -1);
}

static void unix_late_client_gets_latest_output(void **state)
{
	enum { LINES = 20000 };
	char path[64], line[16], *output = malloc(65536);
	struct port port;
	int fd;

	(void)state;
	unix_open_socket(&port, path);
	for (unsigned i = 0; i < LINES; i++) {
		snprintf(line, sizeof(line), "%07u\n", i);
		assert_int_equal(port_write(&port, line), 8);
	}
	fd = client(path);
	read_all(&port, fd, output, 65536);
	snprintf(line, sizeof(line), "%07u\n", LINES - 65536 / 8);
	assert_memory_equal(output, line, 8);
	snprintf(line, sizeof(line), "%07u\n", LINES - 1);
	assert_memory_equal(output + 65536 - 8, line, 8);
	close(fd);
	free(output);
	port_close(&port);
}

static void unix_second_client_waits_for_first(void **state)
{
	struct port port;
	char path[64];
	int first, second;

	(void)state;
	unix_open_socket(&port, path);
	first = client(path);
	run_until(&port, was_connected);
	second = client(path);
	port_write(&port, "one");
	expect_read(&port, first, "one");
	close(first);
	run_until(&port, was_connected_twice);
	port_write(&port, "two");
	expect_read(&port, second, "two");
	close(second);
	port_close(&port);
}

/* Writes until ring and descriptor are full: how much. The bytes count up, modulo 251. */
static size_t fill(struct port *port)
{
	size_t written = 0, n;
	uint8_t block[4096];

	do {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (uint8_t)((written + i) % 251);
		n = chardev_write(port->chardev, block, sizeof(block));
		written += n;
		run_until(port, at_once);
	} while (n);
	return written;
}

static void unix_slow_client_stops_writer_and_loses_nothing(void **state)
{
	uint8_t byte, expected = 0;
	struct port port;
	size_t written;
	char path[64];
	int fd;

	(void)state;
	unix_open_socket(&port, path);
	fd = client(path);
	run_until(&port, was_connected);
	written = fill(&port);
	port.write_readies = 0;
	assert_int_equal(fd_set_nonblocking(fd, true), 0);
	for (size_t i = 0; i < written; i++) {
		while (read(fd, &byte, 1) != 1)
			run_until(&port, at_once);
		assert_int_equal(byte, expected);
		expected = (uint8_t)((expected + 1) % 251);
	}
	run_until(&port, was_write_ready);
	close(fd);
	port_close(&port);
}

struct reader {
	int fd;
	size_t count;
	uint8_t bytes[1 << 20];
};

static void *read_to_count(void *ctx)
{
	struct reader *reader = ctx;

	return fd_read_all(reader->fd, reader->bytes, reader->count) ? NULL : reader;
}

static void unix_flushed_to_slow_client_has_all_and_the_devices_rest(void **state)
{
	struct reader *reader = malloc(sizeof(*reader));
	struct port port;
	pthread_t thread;
	char path[64];
	size_t written;
	void *done;

	(void)state;
	unix_open_socket(&port, path);
	reader->fd = client(path);
	run_until(&port, was_connected);
	written = fill(&port);
	port.rest = "goodbye";
	reader->count = written + strlen(port.rest);
	assert_true(reader->count <= sizeof(reader->bytes));
	assert_int_equal(pthread_create(&thread, NULL, read_to_count, reader), 0);
	chardev_flush(port.chardev, UINT64_MAX);
	pthread_join(thread, &done);
	assert_non_null(done);
	for (size_t i = 0; i < written; i++)
		assert_int_equal(reader->bytes[i], i % 251);
	assert_memory_equal(reader->bytes + written, "goodbye", 7);
	close(reader->fd);
	free(reader);
	port_close(&port);
}

static void unix_flushed_to_nobody_or_a_deaf_client_returns(void **state)
{
	struct port port;
	char path[64];
	int fd;

	(void)state;
	unix_open_socket(&port, path);
	port_write(&port, "kept for later");
	chardev_flush(port.chardev, UINT64_MAX);
	fd = client(path);
	run_until(&port, was_connected);
	fill(&port);
	chardev_flush(port.chardev, clock_now_ns() + NS_PER_MS);
	close(fd);
	port_close(&port);
}

static void pty_flushed_to_user_who_left_returns(void **state)
{
	struct port port;
	int fd;

	(void)state;
	port_open(&port, "pty");
	fd = open(chardev_path(port.chardev), O_RDWR | O_NOCTTY);
	assert_true(fd >= 0);
	run_until(&port, was_connected);
	fill(&port);
	close(fd);
	chardev_flush(port.chardev, UINT64_MAX);
	port_close(&port);
}

static void unix_full_device_gets_rest_when_ready(void **state)
{
	struct port port;
	char path[64];
	int fd;

	(void)state;
	unix_open_socket(&port, path);
	port.room = 2;
	fd = client(path);
	assert_int_equal(write(fd, "hello", 5), 5);
	run_until(&port, got_something);
	run_until(&port, at_once);
	assert_int_equal(port.got_count, 2);
	port.room = 100;
	chardev_receive_ready(port.chardev);
	run_until(&port, got_hello);
	assert_memory_equal(port.got, "hello", 5);
	close(fd);
	port_close(&port);
}

static void unix_stale_socket_file_is_replaced_live_one_refused(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct chardev *other = NULL;
	struct err err = ERR_INIT;
	char path[64], spec[80];
	struct port port;
	int stale = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	temporary(path);
	unlink(path);
	memcpy(address.sun_path, path, sizeof(path));
	assert_int_equal(bind(stale, (struct sockaddr *)&address, sizeof(address)), 0);
	close(stale);
	snprintf(spec, sizeof(spec), "unix=%s", path);
	port_open(&port, spec);
	assert_int_equal(chardev_open(spec, port.loop, &other, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, path));
	port_close(&port);
}

static void pty_user_talks_both_ways_and_comes_back(void **state)
{
	struct port port;
	int fd;

	(void)state;
	port_open(&port, "pty");
	/* With nobody there, output goes on. */
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(port_write(&port, "x"), 1);
	for (unsigned round = 0; round < 2; round++) {
		fd = open(chardev_path(port.chardev), O_RDWR | O_NOCTTY);
		assert_true(fd >= 0);
		run_until(&port, was_connected);
		port.got_count = 0;
		assert_int_equal(write(fd, "hello", 5), 5);
		run_until(&port, got_hello);
		assert_memory_equal(port.got, "hello", 5);
		expect_read(&port, fd, "xxx");
		close(fd);
		run_until(&port, was_disconnected);
	}
	port_close(&port);
}

static void file_written_holds_output(void **state)
{
	char path[64], spec[80];
	struct port port;
	size_t count;
	void *bytes;

	(void)state;
	temporary(path);
	snprintf(spec, sizeof(spec), "file=%s", path);
	port_open(&port, spec);
	for (unsigned i = 0; i < 10000; i++)
		while (!port_write(&port, "abc"))
			run_until(&port, at_once);
	port_close(&port);
	assert_int_equal(fd_read_file(path, MIB, &bytes, &count, NULL), 0);
	assert_int_equal(count, 30000);
	assert_memory_equal((char *)bytes + count - 3, "abc", 3);
	free(bytes);
	unlink(path);
}

static void file_on_full_disk_swallows_output(void **state)
{
	struct port port;

	(void)state;
	port_open(&port, "file=/dev/full");
	assert_int_equal(port_write(&port, "lost"), 4);
	run_until(&port, at_once);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(port_write(&port, "x"), 1);
	port_close(&port);
}

/* Puts other descriptors in the place of stdin and stdout. */
struct redirection {
	int saved_in, saved_out;
};

static struct redirection redirect(int in, int out)
{
	struct redirection saved = { dup(0), dup(1) };

	fflush(stdout);
	dup2(in, 0);
	dup2(out, 1);
	return saved;
}

static void redirect_back(struct redirection *saved)
{
	dup2(saved->saved_in, 0);
	dup2(saved->saved_out, 1);
	close(saved->saved_in);
	close(saved->saved_out);
}

static void stdio_on_pipes_talks_and_survives_end_of_input(void **state)
{
	struct redirection saved;
	int in[2], out[2];
	struct port port;
	char output[13];

	(void)state;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	saved = redirect(in[0], out[1]);
	port_open(&port, "stdio");
	assert_int_equal(write(in[1], "hello", 5), 5);
	close(in[1]);
	run_until(&port, got_hello);
	port_write(&port, "after the end");
	port_close(&port);
	redirect_back(&saved);
	assert_int_equal(fd_read_all(out[0], output, 13), 0);
	assert_memory_equal(output, "after the end", 13);
	/* What others share was not made non-blocking. */
	assert_false(fcntl(out[1], F_GETFL) & O_NONBLOCK);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

static void stdio_on_files_reads_all_and_appends(void **state)
{
	struct redirection saved;
	char in[64], out[64];
	int in_fd, out_fd;
	struct port port;
	size_t count;
	void *bytes;

	(void)state;
	temporary(in);
	temporary(out);
	in_fd = open(in, O_RDWR);
	out_fd = open(out, O_RDWR);
	assert_int_equal(pwrite(in_fd, "hello", 5, 0), 5);
	assert_int_equal(write(out_fd, "first,", 6), 6);
	saved = redirect(in_fd, out_fd);
	port_open(&port, "stdio");
	run_until(&port, got_hello);
	port_write(&port, "second");
	port_close(&port);
	redirect_back(&saved);
	assert_int_equal(fd_read_file(out, 100, &bytes, &count, NULL), 0);
	assert_string_equal(bytes, "first,second");
	free(bytes);
	close(in_fd);
	close(out_fd);
	unlink(in);
	unlink(out);
}

static void stdio_on_null_swallows(void **state)
{
	int fd = open("/dev/null", O_RDWR);
	struct redirection saved = redirect(fd, fd);
	struct port port;
	size_t written;

	(void)state;
	port_open(&port, "stdio");
	written = port_write(&port, "x");
	run_until(&port, at_once);
	port_close(&port);
	redirect_back(&saved);
	assert_int_equal(written, 1);
	assert_int_equal(port.got_count, 0);
	close(fd);
}

static void stdio_twice_is_refused(void **state)
{
	int fd = open("/dev/null", O_RDWR);
	struct redirection saved = redirect(fd, fd);
	struct chardev *second = NULL;
	struct err err = ERR_INIT;
	struct port port;
	int rc;

	(void)state;
	port_open(&port, "stdio");
	rc = chardev_open("stdio", port.loop, &second, &err);
	port_close(&port);
	/* And is free again afterwards. */
	port_open(&port, "stdio");
	port_close(&port);
	redirect_back(&saved);
	assert_int_equal(rc, -EBUSY);
	close(fd);
}

static void stdio_on_terminal_is_raw_escapes_and_restores(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), user;
	struct termios before, during, after;
	struct redirection saved;
	struct port port;

	(void)state;
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	user = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_int_equal(tcgetattr(user, &before), 0);
	saved = redirect(user, user);
	port_open(&port, "stdio");
	chardev_set_escape(port.chardev, escaped, &port);
	tcgetattr(user, &during);
	/* Two presses are the guest's, a third in a row is ours. */
	(void)!write(master,
		     "\x1d\x1d"
		     "a",
		     3);
	run_until(&port, got_something);
	(void)!write(master, "\x1d\x1d\x1d", 3);
	run_until(&port, was_escaped);
	chardev_restore_terminal();
	tcgetattr(user, &after);
	port_close(&port);
	redirect_back(&saved);
	assert_false(during.c_lflag & (ICANON | ECHO | ISIG));
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_oflag, before.c_oflag);
	assert_int_equal(port.escapes, 1);
	close(user);
	close(master);
}

static bool was_resized(struct port *port)
{
	return port->resizes > 0;
}

static void stdio_on_terminal_tells_its_size(void **state)
{
	const struct winsize small = { .ws_col = 80, .ws_row = 24 };
	const struct winsize large = { .ws_col = 200, .ws_row = 50 };
	int master = posix_openpt(O_RDWR | O_NOCTTY), user;
	struct redirection saved;
	uint16_t columns[2], rows[2];
	struct port port;

	(void)state;
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	user = open(ptsname(master), O_RDWR | O_NOCTTY);
	ioctl(master, TIOCSWINSZ, &small);
	saved = redirect(user, user);
	port_open(&port, "stdio");
	chardev_size(port.chardev, &columns[0], &rows[0]);
	ioctl(master, TIOCSWINSZ, &large);
	/* As the kernel does to the terminal's foreground processes. */
	kill(getpid(), SIGWINCH);
	run_until(&port, was_resized);
	chardev_size(port.chardev, &columns[1], &rows[1]);
	port_close(&port);
	redirect_back(&saved);
	assert_int_equal(columns[0], 80);
	assert_int_equal(rows[0], 24);
	assert_int_equal(columns[1], 200);
	assert_int_equal(rows[1], 50);
	close(user);
	close(master);
}

static void none_swallows_and_gives_nothing(void **state)
{
	struct port port;

	(void)state;
	port_open(&port, "none");
	assert_null(port.chardev);
	assert_int_equal(port_write(&port, "x"), 1);
	assert_null(chardev_path(port.chardev));
	port_close(&port);
}

static const char *const bad_specs[] = {
	"",
	"tty",
	"stdio=1",
	"none=",
	"file",
	"file=",
	"unix",
	"unix=",
	"pty=x",
	"std",
	"file=/nonexistent/port",
	"unix=/nonexistent/port",
};

static void chardev_open_bad_spec_says_why(void **state)
{
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad_specs); i++) {
		struct chardev *chardev = NULL;
		struct err err = ERR_INIT;

		assert_true(chardev_open(bad_specs[i], loop, &chardev, &err) < 0);
		assert_true(*err.text);
		assert_null(chardev);
	}
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unix_client_talks_both_ways),
		cmocka_unit_test(unix_late_client_gets_latest_output),
		cmocka_unit_test(unix_second_client_waits_for_first),
		cmocka_unit_test(unix_slow_client_stops_writer_and_loses_nothing),
		cmocka_unit_test(unix_full_device_gets_rest_when_ready),
		cmocka_unit_test(unix_flushed_to_slow_client_has_all_and_the_devices_rest),
		cmocka_unit_test(unix_flushed_to_nobody_or_a_deaf_client_returns),
		cmocka_unit_test(pty_flushed_to_user_who_left_returns),
		cmocka_unit_test(unix_stale_socket_file_is_replaced_live_one_refused),
		cmocka_unit_test(pty_user_talks_both_ways_and_comes_back),
		cmocka_unit_test(file_written_holds_output),
		cmocka_unit_test(file_on_full_disk_swallows_output),
		cmocka_unit_test(stdio_on_pipes_talks_and_survives_end_of_input),
		cmocka_unit_test(stdio_on_files_reads_all_and_appends),
		cmocka_unit_test(stdio_on_null_swallows),
		cmocka_unit_test(stdio_twice_is_refused),
		cmocka_unit_test(stdio_on_terminal_is_raw_escapes_and_restores),
		cmocka_unit_test(stdio_on_terminal_tells_its_size),
		cmocka_unit_test(none_swallows_and_gives_nothing),
		cmocka_unit_test(chardev_open_bad_spec_says_why),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
