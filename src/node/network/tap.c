/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taps for machines: the daemon has the right to make them, the machine's process only gets what is
 * open. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "node/network/priv.h"

#define TUN_PATH "/dev/net/tun"

static int explain(const char *name, int code, struct err *err)
{
	err_errno(err, code, "cannot make the tap '%s'", name);
	if (code == EBUSY || code == EINVAL)
		err_hint(err, "another process has it");
	else if (code == ENOENT || code == ENODEV)
		err_hint(err, "load the kernel module: modprobe tun");
	else if (code == EPERM || code == EACCES)
		err_hint(err, "the daemon needs CAP_NET_ADMIN and '" TUN_PATH "'");
	return -code;
}

static int open_queue(const char *name, short flags)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, name, strlen(name) + 1);
	if (ioctl(fd, TUNSETIFF, &request)) {
		int code = errno;

		close(fd);
		return -code;
	}
	return fd;
}

int network_make_tap(const char *name, unsigned count, int *ret_fds, struct err *err)
{
	short flags = count > 1 ? IFF_MULTI_QUEUE : 0;

	/* The first is to make it, and not to join what somebody else has. */
	if (if_nametoindex(name))
		return explain(name, EBUSY, err);
	for (unsigned i = 0; i < count; i++) {
		int fd = open_queue(name, flags);

		if (fd < 0) {
			while (i-- > 0)
				close(ret_fds[i]);
			return explain(name, -fd, err);
		}
		ret_fds[i] = fd;
	}
	return 0;
}
