/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap interface, one descriptor a queue, opened by name or handed down by who may. The kernel
 * speaks the same header as the guest, so frames pass unchanged.
 *
 * Sending is a write on the caller's thread. A received frame that the guest has no room for stays
 * in the queue's buffer, and the queue is not watched until the guest has room again; the kernel's
 * own queue then fills and drops.
 */
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/fd.h"

#define TUN_PATH "/dev/net/tun"

/* Frames a queue may receive before the loop looks at its other sources. */
#define FRAMES_PER_TURN 64

/* Kernel headers before 6.2 do not have these. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tap_queue {
	struct tap *tap;
	unsigned index;
	struct loop_fd source;
	struct loop_task task;
	atomic_bool send_blocked; /* net_send() said -EAGAIN */
	uint8_t *frame;           /* NET_HEADER_BYTES + NET_FRAME_MAX */
	size_t frame_bytes;       /* a frame the guest has not taken yet; 0: none */
	bool lost;                /* the interface is gone */
	bool detached;            /* the kernel gives this queue no frames */
};

struct tap {
	struct net_backend net; /* first */
	char name[IFNAMSIZ];
	int claim_fd; /* see claim() */
	unsigned offloads;
	unsigned queue_count;
	struct tap_queue queues[];
};

static struct tap *tap_of(struct net_backend *net)
{
	return container_of(net, struct tap, net);
}

static const struct offload_bits {
	unsigned offload;
	unsigned tun;
} offload_bits[] = {
	{ NET_OFFLOAD_CSUM, TUN_F_CSUM },
	{ NET_OFFLOAD_TSO4, TUN_F_TSO4 },
	{ NET_OFFLOAD_TSO6, TUN_F_TSO6 },
	{ NET_OFFLOAD_USO, TUN_F_USO4 | TUN_F_USO6 },
};

static int set_tun_offloads(struct tap *tap, unsigned offloads)
{
	unsigned long bits = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(offload_bits); i++) {
		if (offloads & offload_bits[i].offload)
			bits |= offload_bits[i].tun;
	}
	return ioctl(tap->queues[0].source.fd, TUNSETOFFLOAD, bits) ? -errno : 0;
}

static void watch(struct tap_queue *queue)
{
	struct loop *loop = queue->tap->net.loop;
	uint32_t events = queue->frame_bytes ? 0 : EPOLLIN;

	if (atomic_load(&queue->send_blocked))
		events |= EPOLLOUT;
	if (queue->lost)
		events = 0;
	if (!events)
		loop_fd_remove(loop, &queue->source);
	else if (queue->source.added)
		loop_fd_change(loop, &queue->source, events);
	else
		loop_fd_add(loop, &queue->source, events);
}

static void lose(struct tap_queue *queue, int code)
{
	if (!queue->lost)
		log_error("tap '%s': lost: %s", queue->tap->name, strerrordesc_np(code));
	queue->lost = true;
	queue->frame_bytes = 0;
}

/* False if the guest has no room. */
static bool deliver(struct tap_queue *queue)
{
	const struct net_receiver *receiver = &queue->tap->net.receiver;
	struct iovec iov = { queue->frame, queue->frame_bytes };

	if (!receiver->receive || !receiver->receive(receiver->ctx, queue->index, &iov, 1))
		return false;
	queue->frame_bytes = 0;
	return true;
}

/* One frame from the kernel; false if there is none. */
static bool read_frame(struct tap_queue *queue)
{
	ssize_t n = read(queue->source.fd, queue->frame, NET_HEADER_BYTES + NET_FRAME_MAX);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			lose(queue, errno);
		return false;
	}
	/* Shorter than a header cannot be, from this kernel; there is nothing to give, then. */
	queue->frame_bytes = (size_t)n > NET_HEADER_BYTES ? (size_t)n : 0;
	return queue->frame_bytes;
}

static void receive(struct tap_queue *queue)
{
	if (queue->frame_bytes && !deliver(queue))
		return;
	for (unsigned i = 0; i < FRAMES_PER_TURN && !queue->lost; i++) {
		if (!read_frame(queue) || !deliver(queue))
			return;
	}
}

static void ready(struct loop_fd *source, uint32_t events)
{
	struct tap_queue *queue = container_of(source, struct tap_queue, source);
	const struct net_receiver *receiver = &queue->tap->net.receiver;

	if (events & EPOLLOUT && atomic_exchange(&queue->send_blocked, false) &&
	    receiver->send_ready)
		receiver->send_ready(receiver->ctx, queue->index);
	if (events & ~(uint32_t)EPOLLOUT)
		receive(queue);
	watch(queue);
}

static void run(struct loop_task *task)
{
	struct tap_queue *queue = container_of(task, struct tap_queue, task);

	if (queue->frame_bytes)
		receive(queue);
	watch(queue);
}

static int tap_send(struct net_backend *net, unsigned queue_index, const struct iovec *iov,
		    unsigned iov_count)
{
	struct tap_queue *queue = &tap_of(net)->queues[queue_index];
	ssize_t n;

	do
		n = writev(queue->source.fd, iov, (int)iov_count);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	if (errno != EAGAIN)
		return -EIO;
	atomic_store(&queue->send_blocked, true);
	loop_post(net->loop, &queue->task);
	return -EAGAIN;
}

static void tap_receive_ready(struct net_backend *net, unsigned queue)
{
	loop_post(net->loop, &tap_of(net)->queues[queue].task);
}

static unsigned tap_offloads(struct net_backend *net)
{
	return tap_of(net)->offloads;
}

static int tap_offloads_set(struct net_backend *net, unsigned from_guest, unsigned to_guest)
{
	/* The kernel takes any offload from us; it only has to know what it may give. */
	(void)from_guest;
	return set_tun_offloads(tap_of(net), to_guest);
}

static unsigned tap_queues(struct net_backend *net)
{
	return tap_of(net)->queue_count;
}

static int tap_queues_set(struct net_backend *net, unsigned pairs)
{
	struct tap *tap = tap_of(net);

	for (unsigned i = 1; i < tap->queue_count; i++) {
		struct tap_queue *queue = &tap->queues[i];
		bool detach = i >= pairs;
		struct ifreq request = {
			.ifr_flags = detach ? IFF_DETACH_QUEUE : IFF_ATTACH_QUEUE,
		};

		if (queue->detached == detach)
			continue;
		if (ioctl(queue->source.fd, TUNSETQUEUE, &request))
			return -errno;
		queue->detached = detach;
	}
	return 0;
}

static json_t *tap_describe(struct net_backend *net)
{
	struct tap *tap = tap_of(net);

	return json_pack("{s:s, s:s, s:i}", "type", net->ops->name, "interface", tap->name,
			 "queues", (int)tap->queue_count);
}

static void tap_close(struct net_backend *net)
{
	struct tap *tap = tap_of(net);

	for (unsigned i = 0; i < tap->queue_count; i++) {
		struct tap_queue *queue = &tap->queues[i];

		loop_fd_remove(net->loop, &queue->source);
		loop_task_cancel(net->loop, &queue->task);
		if (queue->source.fd >= 0)
			close(queue->source.fd);
		free(queue->frame);
	}
	if (tap->claim_fd >= 0)
		close(tap->claim_fd);
	free(tap);
}

static const struct net_ops tap_ops = {
	.name = "tap",
	.send = tap_send,
	.receive_ready = tap_receive_ready,
	.close = tap_close,
	.offloads = tap_offloads,
	.offloads_set = tap_offloads_set,
	.queues = tap_queues,
	.queues_set = tap_queues_set,
	.describe = tap_describe,
};

static int explain(const struct tap *tap, int code, struct err *err)
{
	err_errno(err, code, "cannot open tap '%s'", tap->name);
	if (code == EPERM || code == EACCES)
		err_hint(err, "make it first: sudo ip tuntap add dev %s mode tap user $USER",
			 tap->name);
	else if (code == EBUSY)
		err_hint(err, "another machine uses it");
	else if (code == EINVAL)
		err_hint(err, "the name belongs to an interface of another kind");
	else if (code == ENOENT || code == ENODEV)
		err_hint(err, "load the kernel module: sudo modprobe tun");
	return -code;
}

/*
 * The kernel lets anybody add queues to a multi-queue interface, and would share its frames out
 * between two machines. An abstract socket has a name in the same network namespace as the
 * interface, and ends with the process. 0 or a positive errno.
 */
static int claim(struct tap *tap)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "cella-tap-%s",
			      tap->name);

	tap->claim_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (tap->claim_fd < 0)
		return errno;
	if (!bind(tap->claim_fd, (struct sockaddr *)&address,
		  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)))
		return 0;
	return errno == EADDRINUSE ? EBUSY : errno;
}

/* The queue takes the descriptor, if it can be one. 0 or a positive errno. */
static int set_queue_fd(struct tap_queue *queue, int *fd)
{
	int header_bytes = NET_HEADER_BYTES;

	if (ioctl(*fd, TUNSETVNETHDRSZ, &header_bytes))
		return errno;
	queue->frame = malloc(NET_HEADER_BYTES + NET_FRAME_MAX);
	if (!queue->frame)
		return ENOMEM;
	queue->source.fd = take_fd(fd);
	return 0;
}

/* Opens one queue of the interface; 0 or a positive errno. */
static int open_queue(struct tap *tap, struct tap_queue *queue, short flags)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };
	AUTO_CLOSE int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno;
	memcpy(request.ifr_name, tap->name, sizeof(tap->name));
	if (ioctl(fd, TUNSETIFF, &request))
		return errno;
	memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	return set_queue_fd(queue, &fd);
}

static int open_queues(struct tap *tap, unsigned wanted)
{
	int code = open_queue(tap, &tap->queues[0], wanted > 1 ? IFF_MULTI_QUEUE : 0);

	/* An interface made for one queue refuses the flag, one made for several refuses its
	 * absence. */
	if (code == EINVAL) {
		code = open_queue(tap, &tap->queues[0], wanted > 1 ? 0 : IFF_MULTI_QUEUE);
		wanted = 1;
	}
	if (code)
		return code;
	tap->queue_count = 1;
	while (tap->queue_count < wanted) {
		code = open_queue(tap, &tap->queues[tap->queue_count], IFF_MULTI_QUEUE);
		if (code)
			return code;
		tap->queue_count++;
	}
	return 0;
}

static void bring_up(const struct tap *tap)
{
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, tap->name, sizeof(tap->name));
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request))
		return;
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		log_warn("cannot bring up tap '%s': %s", tap->name, strerrordesc_np(errno));
}

static void find_offloads(struct tap *tap)
{
	static const unsigned tries[] = {
		NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO,
		NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6,
		NET_OFFLOAD_CSUM,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(tries) && !tap->offloads; i++) {
		if (!set_tun_offloads(tap, tries[i]))
			tap->offloads = tries[i];
	}
	/* Nothing is agreed on with the guest yet. */
	set_tun_offloads(tap, 0);
}

static int start(struct tap *tap)
{
	find_offloads(tap);
	for (unsigned i = 0; i < tap->queue_count; i++) {
		struct tap_queue *queue = &tap->queues[i];
		int rc = loop_fd_add(tap->net.loop, &queue->source, EPOLLIN);

		if (rc)
			return rc;
	}
	return tap_queues_set(&tap->net, 1);
}

static struct tap *new_tap(unsigned queues, struct loop *loop)
{
	struct tap *tap = calloc(1, sizeof(*tap) + queues * sizeof(tap->queues[0]));

	if (!tap)
		return NULL;
	tap->net = (struct net_backend){ .ops = &tap_ops, .loop = loop };
	tap->claim_fd = -1;
	for (unsigned i = 0; i < queues; i++)
		tap->queues[i] = (struct tap_queue){
			.tap = tap,
			.index = i,
			.source = { .fd = -1, .ready = ready },
			.task.run = run,
		};
	return tap;
}

int net_tap_open(const char *name, unsigned queues, struct loop *loop, struct net_backend **ret_net,
		 struct err *err)
{
	bool exists;
	struct tap *tap;
	int rc;

	if (!*name || strlen(name) >= IFNAMSIZ)
		return err_set(err, EINVAL,
			       "cannot open tap '%s': the name must have 1 to %d characters", name,
			       IFNAMSIZ - 1);
	queues = MIN(MAX(queues, 1u), (unsigned)NET_TAP_QUEUES_MAX);
	tap = new_tap(queues, loop);
	if (!tap)
		return err_errno(err, ENOMEM, "cannot open tap '%s'", name);
	memcpy(tap->name, name, strlen(name) + 1);
	exists = if_nametoindex(name);
	rc = claim(tap);
	if (!rc)
		rc = open_queues(tap, queues);
	if (rc) {
		rc = explain(tap, rc, err);
	} else {
		if (!exists)
			bring_up(tap);
		rc = start(tap);
		if (rc)
			explain(tap, -rc, err);
	}
	if (rc) {
		tap_close(&tap->net);
		return rc;
	}
	*ret_net = &tap->net;
	return 0;
}

/* That the descriptor is a queue of the first one's tap. */
static int check_fd(struct tap *tap, int fd, struct err *err)
{
	struct ifreq request = { 0 };

	if (ioctl(fd, TUNGETIFF, &request)) {
		err_set(err, EINVAL, "descriptor %d is no queue of a tap", fd);
		return err_hint(err, "hand down an open queue of a tap");
	}
	if (!*tap->name)
		memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	if ((request.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) !=
	    (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		return err_set(err, EINVAL,
			       "tap '%s' must be made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR",
			       tap->name);
	if (strncmp(tap->name, request.ifr_name, sizeof(tap->name)))
		return err_set(err, EINVAL, "descriptor %d is of another tap than '%s'", fd,
			       tap->name);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) || fd_set_nonblocking(fd, true))
		return err_errno(err, errno, "cannot open tap '%s'", tap->name);
	return 0;
}

/* The descriptors are the caller's again. */
static void give_back(struct tap *tap)
{
	for (unsigned i = 0; i < tap->queue_count; i++) {
		loop_fd_remove(tap->net.loop, &tap->queues[i].source);
		tap->queues[i].source.fd = -1;
	}
}

int net_tap_open_fds(const int *fds, unsigned count, struct loop *loop,
		     struct net_backend **ret_net, struct err *err)
{
	struct tap *tap = new_tap(count, loop);
	int rc = 0;

	if (!tap)
		return err_errno(err, ENOMEM, "cannot open a tap");
	for (unsigned i = 0; i < count && !rc; i++) {
		int fd = fds[i];

		rc = check_fd(tap, fd, err);
		if (rc)
			break;
		rc = set_queue_fd(&tap->queues[i], &fd);
		if (rc)
			rc = explain(tap, rc, err);
		else
			tap->queue_count++;
	}
	if (!rc) {
		rc = start(tap);
		if (rc)
			explain(tap, -rc, err);
	}
	if (rc) {
		give_back(tap);
		tap_close(&tap->net);
		return rc;
	}
	*ret_net = &tap->net;
	return 0;
}
