/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(HANDOVER_MAX * sizeof(int))];
};

ssize_t handover_send(int socket, const void *bytes, size_t size, int flags, const int *fds,
		      unsigned count)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t fd_bytes = count * sizeof(fds[0]);
	union control control = { 0 };
	ssize_t n;

	check(count <= HANDOVER_MAX);
	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_bytes);
		*CMSG_FIRSTHDR(&message) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(fd_bytes),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), fds, fd_bytes);
	}
	n = sendmsg(socket, &message, flags);
	return n < 0 ? -errno : n;
}

static void take(struct handover *handover, const struct cmsghdr *part)
{
	size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(part) + i * sizeof(fd), sizeof(fd));
		if (handover->count < HANDOVER_MAX)
			handover->fds[handover->count++] = fd;
		else
			close(fd);
	}
}

ssize_t handover_receive(int socket, void *bytes, size_t size, int flags, struct handover *handover)
{
	union control control;
	struct iovec iov = { bytes, size };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
			take(handover, part);
	}
	return n;
}

void handover_close(struct handover *handover)
{
	while (handover->count)
		close(handover->fds[--handover->count]);
}
