/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process's own stdin and stdout, terminal or not.
 *
 * O_NONBLOCK belongs to the open file description, which the shell and others share. Terminals and
 * FIFOs are therefore opened anew for output; of anything else the flag is set and later put back.
 * Input is read only when the loop says that some is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "chardev/stream_priv.h"
#include "chardev/terminal.h"
#include "host/clock.h"
#include "host/fd.h"

#define ESCAPE_BYTE      0x1d /* Ctrl-] */
#define ESCAPE_TIMES     3
#define ESCAPE_WITHIN_NS NS_PER_SEC

struct stdio {
	struct stream stream;   /* first */
	int own_out_fd;         /* stdout opened anew; -1: stdout itself is used */
	int flags_before;       /* of stdout itself; -1: unchanged */
	struct loop_fd resizes; /* SIGWINCH; fd -1: stdout is no terminal */

	void (*escape)(void *ctx);
	void *escape_ctx;
	unsigned presses; /* in a row, the first of them at first_press_ns */
	uint64_t first_press_ns;
};

static struct stdio *stdio_of(struct chardev *chardev)
{
	return container_of(chardev, struct stdio, stream.chardev);
}

/* Fewer presses than it takes reach the guest like any other key. */
static void watch_escape(struct stream *stream, const uint8_t *bytes, size_t count)
{
	struct stdio *stdio = stdio_of(&stream->chardev);
	uint64_t now = clock_now_ns();

	for (size_t i = 0; i < count; i++) {
		if (bytes[i] != ESCAPE_BYTE) {
			stdio->presses = 0;
			continue;
		}
		if (!stdio->presses || now - stdio->first_press_ns > ESCAPE_WITHIN_NS) {
			stdio->presses = 0;
			stdio->first_press_ns = now;
		}
		if (++stdio->presses < ESCAPE_TIMES)
			continue;
		stdio->presses = 0;
		if (stdio->escape)
			stdio->escape(stdio->escape_ctx);
	}
}

/* The end of a script on stdin is no reason to stop the machine. */
static void stdio_input_ended(struct stream *stream, int rc)
{
	(void)stream;
	if (rc)
		log_debug("stdin: %s", strerrordesc_np(-rc));
}

static void stdio_output_failed(struct stream *stream, int rc)
{
	log_warn("cannot write to stdout, its output is dropped: %s", strerrordesc_np(-rc));
	stream_disconnect(stream);
}

static void terminal_resized(struct loop_fd *source, uint32_t events)
{
	const struct stdio *stdio = container_of(source, struct stdio, resizes);
	const struct chardev_receiver *receiver = &stdio->stream.chardev.receiver;
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) == sizeof(info) && receiver->resized)
		receiver->resized(receiver->ctx);
}

/* The signal goes to whoever does not block it, which is nobody from here on; by default it is
 * ignored. */
static int watch_size(struct stdio *stdio)
{
	sigset_t set;

	if (!isatty(STDOUT_FILENO))
		return 0;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	stdio->resizes.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (stdio->resizes.fd < 0)
		return -errno;
	return loop_fd_add(stdio->stream.chardev.loop, &stdio->resizes, EPOLLIN);
}

static void stdio_close(struct chardev *chardev)
{
	struct stdio *stdio = stdio_of(chardev);

	stream_fini(&stdio->stream);
	loop_fd_remove(chardev->loop, &stdio->resizes);
	if (stdio->resizes.fd >= 0)
		close(stdio->resizes.fd);
	if (stdio->own_out_fd >= 0)
		close(stdio->own_out_fd);
	if (stdio->flags_before >= 0)
		fcntl(STDOUT_FILENO, F_SETFL, stdio->flags_before);
	terminal_release();
	free(stdio);
}

static bool stdio_size(struct chardev *chardev, uint16_t *ret_columns, uint16_t *ret_rows)
{
	struct winsize size;

	(void)chardev;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		return false;
	*ret_columns = size.ws_col;
	*ret_rows = size.ws_row;
	return true;
}

static const struct stream_ops stdio_ops = {
	.chardev = {
		.name = "stdio",
		.write = stream_write,
		.receive_ready = stream_receive_ready,
		.flush = stream_flush,
		.close = stdio_close,
		.size = stdio_size,
	},
	.input_ended = stdio_input_ended,
	.output_failed = stdio_output_failed,
	.input_seen = watch_escape,
};

void stdio_set_escape(struct chardev *chardev, void (*escape)(void *ctx), void *ctx)
{
	struct stdio *stdio = stdio_of(chardev);

	if (chardev->ops != &stdio_ops.chardev)
		return;
	stdio->escape = escape;
	stdio->escape_ctx = ctx;
}

/* The descriptor to write to, which does not block; -1 if stdout is closed. */
static int output_fd(struct stdio *stdio)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st))
		return -1;
	/* A regular file must keep the offset that it shares with stderr. */
	if (S_ISREG(st.st_mode))
		return STDOUT_FILENO;
	if (S_ISFIFO(st.st_mode) || isatty(STDOUT_FILENO))
		stdio->own_out_fd =
			open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (stdio->own_out_fd >= 0)
		return stdio->own_out_fd;
	stdio->flags_before = fcntl(STDOUT_FILENO, F_GETFL);
	fd_set_nonblocking(STDOUT_FILENO, true);
	return STDOUT_FILENO;
}

int stdio_open(struct loop *loop, struct chardev **ret_chardev, struct err *err)
{
	struct stdio *stdio;
	int rc;

	if (!terminal_claim())
		return err_set(err, EBUSY, "cannot open 'stdio': another port has it");
	stdio = calloc(1, sizeof(*stdio));
	if (!stdio) {
		terminal_release();
		return err_errno(err, ENOMEM, "cannot open 'stdio'");
	}
	stdio->own_out_fd = stdio->flags_before = -1;
	stdio->resizes = (struct loop_fd){ .fd = -1, .ready = terminal_resized };
	rc = stream_init(&stdio->stream, &stdio_ops, loop, err);
	if (!rc) {
		rc = terminal_make_raw();
		if (rc)
			err_errno(err, rc, "cannot make the terminal raw");
	}
	if (!rc) {
		rc = watch_size(stdio);
		if (rc)
			err_errno(err, rc, "cannot watch the terminal's size");
	}
	if (rc) {
		stdio_close(&stdio->stream.chardev);
		return rc;
	}
	stream_connect(&stdio->stream, fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO,
		       output_fd(stdio));
	*ret_chardev = &stdio->stream.chardev;
	return 0;
}
