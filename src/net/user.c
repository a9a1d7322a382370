/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User-mode network on libslirp, which lives on the loop's thread alone.
 *
 * Frames of the guest wait in a bounded queue for the loop; frames for a guest that has no room
 * wait in another, and what does not fit there is dropped, as a wire would. Slirp asks for its
 * sockets to be watched anew after every activity: they are in an epoll set of our own, which is
 * one source for the loop.
 */
#include "net/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/vec.h"
#include "host/clock.h"
#include "host/thread.h"

#define FRAME_BYTES_MAX 1522 /* Ethernet with a VLAN tag: no offloads are offered */
#define QUEUE_FRAMES    128
#define EVENTS_PER_POLL 64

struct frame {
	uint32_t bytes;
	uint8_t data[FRAME_BYTES_MAX];
};

struct frame_queue {
	struct frame frames[QUEUE_FRAMES];
	unsigned first, count;
};

/* A socket of slirp's, by its descriptor. */
struct watch {
	uint32_t wanted;     /* EPOLL* that slirp asks for */
	uint32_t registered; /* what the epoll set has; 0: not in it */
	uint32_t happened;
};

struct user {
	struct net_backend net; /* first */
	Slirp *slirp;
	struct loop_fd sockets; /* our epoll set */
	struct loop_timer timeout;
	struct loop_task task;
	VEC(struct watch) watches; /* index: descriptor */
	VEC(struct net_hostfwd) forwards;
	struct frame_queue to_guest;
	uint64_t frames_in, frames_out, frames_dropped;

	pthread_mutex_t lock;
	struct frame_queue
		from_guest; /* guarded by lock; the first frame stays put while slirp reads it */
	bool refused;       /* guarded by lock: net_send() said -EAGAIN */
};

struct user_timer {
	struct loop_timer timer;
	struct user *user;
	SlirpTimerCb expired;
	void *ctx;
};

static const struct event_name {
	int slirp;
	uint32_t epoll;
} event_names[] = {
	{ SLIRP_POLL_IN, EPOLLIN },   { SLIRP_POLL_OUT, EPOLLOUT }, { SLIRP_POLL_PRI, EPOLLPRI },
	{ SLIRP_POLL_ERR, EPOLLERR }, { SLIRP_POLL_HUP, EPOLLHUP },
};

static struct user *user_of(struct net_backend *net)
{
	return container_of(net, struct user, net);
}

/* The free place at the end, or NULL. It is in the queue once `count` is raised. */
static struct frame *queue_end(struct frame_queue *queue)
{
	if (queue->count == QUEUE_FRAMES)
		return NULL;
	return &queue->frames[(queue->first + queue->count) % QUEUE_FRAMES];
}

static struct frame *queue_first(struct frame_queue *queue)
{
	return queue->count ? &queue->frames[queue->first] : NULL;
}

static void queue_remove_first(struct frame_queue *queue)
{
	queue->first = (queue->first + 1) % QUEUE_FRAMES;
	queue->count--;
}

/* To the guest. */

static bool give_to_guest(struct user *user, const void *bytes, size_t count)
{
	struct virtio_net_hdr_v1 header = { 0 };
	struct iovec iov[2] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)bytes, count },
	};
	const struct net_receiver *receiver = &user->net.receiver;

	if (!receiver->receive || !receiver->receive(receiver->ctx, 0, iov, ARRAY_SIZE(iov)))
		return false;
	user->frames_in++;
	return true;
}

static ssize_t send_packet(const void *bytes, size_t count, void *ctx)
{
	struct user *user = ctx;
	struct frame *frame;

	if (!user->to_guest.count && give_to_guest(user, bytes, count))
		return (ssize_t)count;
	frame = count <= FRAME_BYTES_MAX ? queue_end(&user->to_guest) : NULL;
	if (!frame) {
		user->frames_dropped++;
		return (ssize_t)count;
	}
	frame->bytes = (uint32_t)count;
	memcpy(frame->data, bytes, count);
	user->to_guest.count++;
	return (ssize_t)count;
}

static void deliver(struct user *user)
{
	struct frame *frame;

	while ((frame = queue_first(&user->to_guest)) &&
	       give_to_guest(user, frame->data, frame->bytes))
		queue_remove_first(&user->to_guest);
}

/* Slirp's sockets. */

static struct watch *watch_of(struct user *user, int fd)
{
	size_t needed = (size_t)fd + 1;

	if (fd < 0)
		return NULL;
	if (needed > user->watches.count) {
		size_t more = needed - user->watches.count;

		if (vec_reserve(&user->watches, more))
			return NULL;
		memset(user->watches.items + user->watches.count, 0, more * sizeof(struct watch));
		user->watches.count = needed;
	}
	return &user->watches.items[fd];
}

static int add_poll(int fd, int events, void *ctx)
{
	struct watch *watch = watch_of(ctx, fd);

	if (!watch)
		return -1;
	for (unsigned i = 0; i < ARRAY_SIZE(event_names); i++) {
		if (events & event_names[i].slirp)
			watch->wanted |= event_names[i].epoll;
	}
	return fd;
}

static int get_revents(int index, void *ctx)
{
	struct user *user = ctx;
	int events = 0;

	if (index < 0 || (size_t)index >= user->watches.count)
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(event_names); i++) {
		if (user->watches.items[index].happened & event_names[i].epoll)
			events |= event_names[i].slirp;
	}
	return events;
}

static void update_watch(struct user *user, int fd, struct watch *watch)
{
	struct epoll_event event = { .events = watch->wanted, .data.fd = fd };
	int operation = EPOLL_CTL_MOD;

	if (watch->wanted == watch->registered)
		return;
	if (!watch->registered)
		operation = EPOLL_CTL_ADD;
	else if (!watch->wanted)
		operation = EPOLL_CTL_DEL;
	if (epoll_ctl(user->sockets.fd, operation, fd, &event))
		log_debug("user network: cannot watch socket %d: %s", fd, strerrordesc_np(errno));
	watch->registered = watch->wanted;
}

/* Slirp changed: what it waits for may have, too. */
static void watch_sockets(struct user *user)
{
	uint32_t timeout_ms = UINT32_MAX;
	struct watch *watch;

	vec_for_each (watch, &user->watches)
		watch->wanted = 0;
	slirp_pollfds_fill(user->slirp, &timeout_ms, add_poll, user);
	vec_for_each (watch, &user->watches)
		update_watch(user, (int)(watch - user->watches.items), watch);
	if (timeout_ms == UINT32_MAX)
		loop_timer_cancel(user->net.loop, &user->timeout);
	else
		loop_timer_arm(user->net.loop, &user->timeout,
			       clock_now_ns() + timeout_ms * NS_PER_MS);
}

static void poll_slirp(struct user *user)
{
	slirp_pollfds_poll(user->slirp, 0, get_revents, user);
	watch_sockets(user);
}

static void sockets_ready(struct loop_fd *source, uint32_t events)
{
	struct user *user = container_of(source, struct user, sockets);
	struct epoll_event ready[EVENTS_PER_POLL];
	int count = epoll_wait(source->fd, ready, EVENTS_PER_POLL, 0);

	(void)events;
	for (int i = 0; i < count; i++)
		user->watches.items[ready[i].data.fd].happened = ready[i].events;
	slirp_pollfds_poll(user->slirp, 0, get_revents, user);
	for (int i = 0; i < count; i++)
		user->watches.items[ready[i].data.fd].happened = 0;
	watch_sockets(user);
}

static void timed_out(struct loop_timer *timer)
{
	poll_slirp(container_of(timer, struct user, timeout));
}

static void register_poll_fd(int fd, void *ctx)
{
	(void)fd;
	(void)ctx;
}

/* Slirp closes it next; its number may come back as another socket at once. */
static void unregister_poll_fd(int fd, void *ctx)
{
	struct user *user = ctx;
	struct watch *watch = watch_of(user, fd);

	if (!watch)
		return;
	watch->wanted = watch->happened = 0;
	update_watch(user, fd, watch);
}

/* From the guest. */

static struct frame *first_from_guest(struct user *user)
{
	LOCK_SCOPE(&user->lock);
	return queue_first(&user->from_guest);
}

/* Returns whether the sender waits for this. */
static bool remove_from_guest(struct user *user)
{
	bool waits;

	LOCK_SCOPE(&user->lock);
	queue_remove_first(&user->from_guest);
	waits = user->refused && user->from_guest.count <= QUEUE_FRAMES / 2;
	if (waits)
		user->refused = false;
	return waits;
}

static void run(struct loop_task *task)
{
	struct user *user = container_of(task, struct user, task);
	const struct net_receiver *receiver = &user->net.receiver;
	struct frame *frame;

	deliver(user);
	/* No lock is held here: slirp answers some frames at once, and the answer takes the
	 * device's lock. */
	while ((frame = first_from_guest(user))) {
		slirp_input(user->slirp, frame->data, (int)frame->bytes);
		user->frames_out++;
		if (remove_from_guest(user) && receiver->send_ready)
			receiver->send_ready(receiver->ctx, 0);
	}
	watch_sockets(user);
}

static int user_send(struct net_backend *net, unsigned queue, const struct iovec *iov,
		     unsigned iov_count)
{
	struct user *user = user_of(net);
	size_t bytes = iov_bytes(iov, iov_count);
	struct frame *frame;

	(void)queue;
	if (bytes <= NET_HEADER_BYTES || bytes - NET_HEADER_BYTES > FRAME_BYTES_MAX)
		return -EIO;
	LOCK_SCOPE(&user->lock);
	frame = queue_end(&user->from_guest);
	if (!frame) {
		user->refused = true;
		return -EAGAIN;
	}
	frame->bytes = (uint32_t)iov_gather(frame->data, iov, iov_count, NET_HEADER_BYTES,
					    FRAME_BYTES_MAX);
	user->from_guest.count++;
	loop_post(net->loop, &user->task);
	return 0;
}

static void user_receive_ready(struct net_backend *net, unsigned queue)
{
	(void)queue;
	loop_post(net->loop, &user_of(net)->task);
}

/* Time and the log, for slirp. */

static int64_t clock_get_ns(void *ctx)
{
	(void)ctx;
	return (int64_t)clock_now_ns();
}

static void timer_expired(struct loop_timer *timer)
{
	struct user_timer *user_timer = container_of(timer, struct user_timer, timer);

	user_timer->expired(user_timer->ctx);
	watch_sockets(user_timer->user);
}

static void *timer_new(SlirpTimerCb expired, void *timer_ctx, void *ctx)
{
	struct user_timer *timer = calloc(1, sizeof(*timer));

	if (timer)
		*timer = (struct user_timer){
			.timer.expired = timer_expired,
			.user = ctx,
			.expired = expired,
			.ctx = timer_ctx,
		};
	return timer;
}

static void timer_free(void *timer, void *ctx)
{
	struct user *user = ctx;
	struct user_timer *user_timer = timer;

	if (user_timer)
		loop_timer_cancel(user->net.loop, &user_timer->timer);
	free(user_timer);
}

static void timer_mod(void *timer, int64_t expire_ms, void *ctx)
{
	struct user *user = ctx;
	struct user_timer *user_timer = timer;

	if (user_timer)
		loop_timer_arm(user->net.loop, &user_timer->timer,
			       (uint64_t)MAX(expire_ms, INT64_C(0)) * NS_PER_MS);
}

static void notify(void *ctx)
{
	struct user *user = ctx;

	loop_post(user->net.loop, &user->task);
}

static void guest_error(const char *message, void *ctx)
{
	(void)ctx;
	log_debug("user network: %s", message);
}

static const SlirpCb slirp_callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = register_poll_fd,
	.unregister_poll_fd = unregister_poll_fd,
	.notify = notify,
};

static void user_close(struct net_backend *net)
{
	struct user *user = user_of(net);

	if (user->slirp)
		slirp_cleanup(user->slirp);
	loop_task_cancel(net->loop, &user->task);
	loop_timer_cancel(net->loop, &user->timeout);
	loop_fd_remove(net->loop, &user->sockets);
	if (user->sockets.fd >= 0)
		close(user->sockets.fd);
	pthread_mutex_destroy(&user->lock);
	vec_fini(&user->watches);
	vec_fini(&user->forwards);
	free(user);
}

static json_t *user_describe(struct net_backend *net)
{
	struct user *user = user_of(net);

	return json_pack("{s:s, s:I, s:I, s:I}", "type", net->ops->name, "frames-to-guest",
			 (json_int_t)user->frames_in, "frames-from-guest",
			 (json_int_t)user->frames_out, "frames-dropped",
			 (json_int_t)user->frames_dropped);
}

/* ---- forwards ---- */

static int add_forward(struct user *user, const struct net_hostfwd *forward, struct err *err)
{
	char address[INET_ADDRSTRLEN];

	if (vec_reserve(&user->forwards, 1))
		return err_errno(err, ENOMEM, "cannot forward ports");
	if (!slirp_add_hostfwd(user->slirp, forward->udp, forward->host_address, forward->host_port,
			       forward->guest_address, forward->guest_port)) {
		user->forwards.items[user->forwards.count++] = *forward;
		return 0;
	}
	inet_ntop(AF_INET, &forward->host_address, address, sizeof(address));
	err_errno(err, errno, "cannot forward %s port '%s:%u'", forward->udp ? "udp" : "tcp",
		  address, forward->host_port);
	return err_hint(err, "take a port of the host that is free");
}

static bool same_forward(const struct net_hostfwd *one, const struct net_hostfwd *other)
{
	return one->udp == other->udp && one->host_port == other->host_port &&
	       one->guest_port == other->guest_port &&
	       one->host_address.s_addr == other->host_address.s_addr &&
	       one->guest_address.s_addr == other->guest_address.s_addr;
}

static bool has_forward(const struct net_hostfwd *forwards, size_t count,
			const struct net_hostfwd *wanted)
{
	for (size_t i = 0; i < count; i++) {
		if (same_forward(&forwards[i], wanted))
			return true;
	}
	return false;
}

/* Connections that came by a port which goes live on. */
static int user_forwards_set(struct net_backend *net, const struct net_hostfwd *forwards,
			     unsigned count, struct err *err)
{
	struct user *user = user_of(net);
	int rc = 0;

	for (size_t i = user->forwards.count; i-- > 0;) {
		struct net_hostfwd *old = &user->forwards.items[i];

		if (has_forward(forwards, count, old))
			continue;
		slirp_remove_hostfwd(user->slirp, old->udp, old->host_address, old->host_port);
		*old = user->forwards.items[--user->forwards.count];
	}
	for (unsigned i = 0; i < count && !rc; i++) {
		if (!has_forward(user->forwards.items, user->forwards.count, &forwards[i]))
			rc = add_forward(user, &forwards[i], err);
	}
	watch_sockets(user);
	return rc;
}

static const struct net_ops user_ops = {
	.name = "user",
	.send = user_send,
	.receive_ready = user_receive_ready,
	.close = user_close,
	.forwards_set = user_forwards_set,
	.describe = user_describe,
};

#define ADDRESS(a, b, c, d)                                                                        \
	{                                                                                          \
		htonl((a) << 24 | (b) << 16 | (c) << 8 | (d))                                      \
	}

static Slirp *start_slirp(struct user *user, const struct net_user_options *options)
{
	const SlirpConfig config = {
		.version = SLIRP_CONFIG_VERSION_MAX,
		.restricted = options->restricted,
		.in_enabled = true,
		.vnetwork = ADDRESS(10, 0, 2, 0),
		.vnetmask = ADDRESS(255u, 255, 255, 0),
		.vhost = ADDRESS(10, 0, 2, 2),
		.vdhcp_start = ADDRESS(10, 0, 2, 15),
		.vnameserver = ADDRESS(10, 0, 2, 3),
		.in6_enabled = true,
		.vprefix_addr6 = { .s6_addr = { 0xfe, 0xc0 } },
		.vprefix_len = 64,
		.vhost6 = { .s6_addr = { 0xfe, 0xc0, [15] = 2 } },
		.vnameserver6 = { .s6_addr = { 0xfe, 0xc0, [15] = 3 } },
		.vhostname = options->hostname,
	};

	return slirp_new(&config, &slirp_callbacks, user);
}

int net_user_open(const struct net_user_options *options, struct loop *loop,
		  struct net_backend **ret_net, struct err *err)
{
	struct user *user = calloc(1, sizeof(*user));
	int rc = 0;

	if (!user)
		return err_errno(err, ENOMEM, "cannot open the user network");
	user->net = (struct net_backend){ .ops = &user_ops, .loop = loop };
	user->sockets =
		(struct loop_fd){ .fd = epoll_create1(EPOLL_CLOEXEC), .ready = sockets_ready };
	user->timeout.expired = timed_out;
	user->task.run = run;
	pthread_mutex_init(&user->lock, NULL);
	if (user->sockets.fd < 0)
		rc = -errno;
	if (!rc)
		rc = loop_fd_add(loop, &user->sockets, EPOLLIN);
	if (!rc) {
		user->slirp = start_slirp(user, options);
		rc = user->slirp ? 0 : -ENOMEM;
	}
	if (rc)
		err_errno(err, rc, "cannot open the user network");
	for (unsigned i = 0; i < options->forward_count && !rc; i++)
		rc = add_forward(user, &options->forwards[i], err);
	if (rc) {
		user_close(&user->net);
		return rc;
	}
	loop_post(loop, &user->task);
	*ret_net = &user->net;
	return 0;
}
