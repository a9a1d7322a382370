/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pseudo-terminal. The kernel tells by a hang-up of our side that nobody has the other one open,
 * but not when somebody opens it, so that is looked for at intervals.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/macros.h"
#include "chardev/stream_priv.h"
#include "host/clock.h"
#include "host/fd.h"

#define LOOK_INTERVAL_NS (100 * NS_PER_MS)

struct pty {
	struct stream stream; /* first */
	int fd, out_fd;       /* one description, two descriptors: the loop watches each once */
	struct loop_timer look;
	char path[PATH_MAX];
};

static struct pty *pty_of(struct chardev *chardev)
{
	return container_of(chardev, struct pty, stream.chardev);
}

static void look_later(struct pty *pty)
{
	loop_timer_arm(pty->stream.chardev.loop, &pty->look, clock_now_ns() + LOOK_INTERVAL_NS);
}

static void look(struct loop_timer *timer)
{
	struct pty *pty = container_of(timer, struct pty, look);
	struct pollfd poll_fd = { .fd = pty->fd, .events = POLLIN };

	if (poll(&poll_fd, 1, 0) >= 0 && !(poll_fd.revents & POLLHUP))
		stream_connect(&pty->stream, pty->fd, pty->out_fd);
	else
		look_later(pty);
}

static void pty_ended(struct stream *stream, int rc)
{
	(void)rc;
	stream_disconnect(stream);
	look_later(pty_of(&stream->chardev));
}

static void pty_close(struct chardev *chardev)
{
	struct pty *pty = pty_of(chardev);

	stream_fini(&pty->stream);
	loop_timer_cancel(chardev->loop, &pty->look);
	if (pty->out_fd >= 0)
		close(pty->out_fd);
	if (pty->fd >= 0)
		close(pty->fd);
	free(pty);
}

static const char *pty_path(struct chardev *chardev)
{
	return pty_of(chardev)->path;
}

static const struct stream_ops pty_ops = {
	.chardev = {
		.name = "pty",
		.write = stream_write,
		.receive_ready = stream_receive_ready,
		.flush = stream_flush,
		.close = pty_close,
		.path = pty_path,
	},
	.input_ended = pty_ended,
	.output_failed = pty_ended,
};

static int create(struct pty *pty)
{
	struct termios termios;
	int user_fd, rc;

	pty->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty->fd < 0 || grantpt(pty->fd) || unlockpt(pty->fd))
		return -errno;
	rc = ptsname_r(pty->fd, pty->path, sizeof(pty->path));
	if (rc)
		return -rc;
	rc = fd_set_nonblocking(pty->fd, true);
	if (rc)
		return rc;
	pty->out_fd = fcntl(pty->fd, F_DUPFD_CLOEXEC, 0);
	if (pty->out_fd < 0 || tcgetattr(pty->fd, &termios))
		return -errno;
	cfmakeraw(&termios);
	if (tcsetattr(pty->fd, TCSANOW, &termios))
		return -errno;
	/* Only a side that was open once is reported as hung up. */
	user_fd = open(pty->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (user_fd < 0)
		return -errno;
	close(user_fd);
	return 0;
}

int pty_open(struct loop *loop, struct chardev **ret_chardev, struct err *err)
{
	struct pty *pty = calloc(1, sizeof(*pty));
	int rc;

	if (!pty)
		return err_errno(err, ENOMEM, "cannot create a pseudo-terminal");
	pty->fd = pty->out_fd = -1;
	pty->look.expired = look;
	rc = stream_init(&pty->stream, &pty_ops, loop, err);
	if (!rc) {
		rc = create(pty);
		if (rc)
			err_errno(err, rc, "cannot create a pseudo-terminal");
	}
	if (rc) {
		pty_close(&pty->stream.chardev);
		return rc;
	}
	look_later(pty);
	*ret_chardev = &pty->stream.chardev;
	return 0;
}
