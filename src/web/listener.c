/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "web/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "host/clock.h"
#include "host/listen.h"

#define UNIX_TRIES       50
#define UNIX_PAUSE_US    10000
#define BACKLOG          256
#define ACCEPTS_PER_TURN 16
#define LOCAL_EXTRA      64 /* places that only clients of the Unix socket get */
#define PAUSE_NS         (100 * NS_PER_MS)

/* IPv4 addresses in their IPv6 form. */
static struct in6_addr ip_of(const struct sockaddr_storage *from, uint16_t *ret_port)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	struct in6_addr ip = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (from->ss_family == AF_INET6) {
		*ret_port = ntohs(v6->sin6_port);
		return v6->sin6_addr;
	}
	*ret_port = ntohs(v4->sin_port);
	memcpy(ip.s6_addr + 12, &v4->sin_addr, sizeof(v4->sin_addr));
	return ip;
}

static void write_address(const struct in6_addr *ip, uint16_t port, char *text, size_t size)
{
	char digits[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(ip)) {
		inet_ntop(AF_INET, ip->s6_addr + 12, digits, sizeof(digits));
		snprintf(text, size, "%s:%u", digits, port);
	} else {
		inet_ntop(AF_INET6, ip, digits, sizeof(digits));
		snprintf(text, size, "[%s]:%u", digits, port);
	}
}

void web_peer_fill(int fd, const struct sockaddr_storage *from, struct web_peer *peer,
		   struct in6_addr *ret_ip)
{
	struct ucred who = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t length = sizeof(who);
	uint16_t port = 0;
	int on = 1;

	if (from->ss_family == AF_UNIX) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length);
		peer->unix_socket = true;
		peer->uid = who.uid;
		peer->gid = who.gid;
		peer->pid = who.pid;
		snprintf(peer->address, sizeof(peer->address), "unix");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*ret_ip = ip_of(from, &port);
	peer->uid = (uid_t)-1;
	peer->gid = (gid_t)-1;
	write_address(ret_ip, port, peer->address, sizeof(peer->address));
}

static unsigned count_clients_of(const struct web *web, const struct in6_addr *ip)
{
	const struct web_connection *connection;
	unsigned count = 0;

	list_for_each (connection, &web->connections, link)
		count += !memcmp(&connection->ip, ip, sizeof(*ip));
	return count;
}

/* Ends the connection that has been idle longest; false: all are busy. */
static bool end_an_idle_one(struct web *web)
{
	struct web_connection *connection;

	list_for_each (connection, &web->connections, link) {
		if (connection->state == WEB_STATE_HEAD && !connection->in_count) {
			web_connection_end(connection);
			return true;
		}
	}
	return false;
}

static bool is_welcome(struct web *web, const struct sockaddr_storage *from)
{
	struct in6_addr ip;
	uint16_t port;

	/* Whoever is on the host gets in, however many others there are. */
	if (from->ss_family == AF_UNIX)
		return web->connection_count < web->clients_max + LOCAL_EXTRA ||
		       end_an_idle_one(web);
	ip = ip_of(from, &port);
	if (count_clients_of(web, &ip) >= web->address_clients_max)
		return false;
	return web->connection_count < web->clients_max || end_an_idle_one(web);
}

static void pause_listener(struct web_listener *listener)
{
	loop_fd_remove(listener->web->loop, &listener->source);
	loop_timer_arm(listener->web->loop, &listener->pause, clock_now_ns() + PAUSE_NS);
}

static void go_on(struct loop_timer *timer)
{
	struct web_listener *listener = container_of(timer, struct web_listener, pause);

	loop_fd_add(listener->web->loop, &listener->source, EPOLLIN);
}

static void accept_clients(struct loop_fd *source, uint32_t events)
{
	struct web_listener *listener = container_of(source, struct web_listener, source);

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t length = sizeof(from);
		int fd = accept4(source->fd, (struct sockaddr *)&from, &length,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			log_once(&listener->full, LOG_WARN, "cannot accept a client: %s",
				 strerror(errno));
			pause_listener(listener);
		}
		if (fd < 0)
			return;
		if (is_welcome(listener->web, &from))
			web_connection_new(listener, fd, &from);
		else
			close(fd);
	}
}

static struct web_listener *add_listener(struct web *web, int fd, bool tls)
{
	struct web_listener *listener = &web->listeners[web->listener_count++];

	*listener = (struct web_listener){
		.web = web,
		.source = { .fd = fd, .ready = accept_clients },
		.pause.expired = go_on,
		.tls = tls,
	};
	return listener;
}

/* "ADDR:PORT", "[ADDR]:PORT", ":PORT" (the loopback's), "*:PORT" (all addresses). */
static int split_address(const char *text, char *host, size_t size, uint16_t *ret_port,
			 struct err *err)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	uint64_t port;

	if (!colon || length >= size || parse_u64(colon + 1, 0, UINT16_MAX, &port)) {
		err_set(err, EINVAL, "cannot listen on '%s': no address and port", text);
		return err_hint(err, "write it like '127.0.0.1:8443' or '[::1]:8443'");
	}
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	snprintf(host, size, "%.*s", (int)length, text);
	if (!strcmp(host, "*"))
		snprintf(host, size, "0.0.0.0");
	*ret_port = (uint16_t)port;
	return 0;
}

/* What a person types into a browser: of all addresses, the host's name. */
static void name_listener(struct web_listener *listener)
{
	struct sockaddr_storage at;
	socklen_t length = sizeof(at);
	char text[80];
	char host[64] = "localhost";
	uint16_t port = 0;
	struct in6_addr ip;

	if (getsockname(listener->source.fd, (struct sockaddr *)&at, &length))
		return;
	ip = ip_of(&at, &port);
	write_address(&ip, port, text, sizeof(text));
	if (IN6_IS_ADDR_UNSPECIFIED(&ip) || !strncmp(text, "0.0.0.0:", 8)) {
		gethostname(host, sizeof(host) - 1);
		snprintf(text, sizeof(text), "%s:%u", host, port);
	}
	snprintf(listener->address, sizeof(listener->address), "https://%s", text);
}

static int open_tcp(struct web *web, const char *address, struct err *err)
{
	char host[128];
	uint16_t port = 0;
	int fd;
	int rc = split_address(address, host, sizeof(host), &port, err);

	if (!rc)
		rc = listen_tcp(host, port, "HTTP", BACKLOG, &fd, err);
	if (!rc)
		name_listener(add_listener(web, fd, true));
	return rc;
}

/* A child that a daemon was just about to start when it was killed has its socket a moment longer. */
static int open_unix(const char *path, int *ret_fd, struct err *err)
{
	int rc = listen_unix(path, "socket", BACKLOG, ret_fd, err);

	for (unsigned i = 0; rc == -EADDRINUSE && i < UNIX_TRIES; i++) {
		usleep(UNIX_PAUSE_US);
		rc = listen_unix(path, "socket", BACKLOG, ret_fd, err);
	}
	return rc;
}

int web_listeners_open(struct web *web, const struct web_config *config, struct err *err)
{
	int rc = 0;

	/* The TCP listeners come first: they are told by their number. */
	for (unsigned i = 0; !rc && config->listen && config->listen[i]; i++) {
		if (web->listener_count == WEB_LISTENERS_MAX - 1)
			return err_set(err, E2BIG, "cannot listen on more than %u addresses",
				       WEB_LISTENERS_MAX - 1);
		rc = open_tcp(web, config->listen[i], err);
	}
	web->tls_listener_count = web->listener_count;
	if (!rc && config->unix_path) {
		int fd;

		rc = open_unix(config->unix_path, &fd, err);
		if (!rc)
			add_listener(web, fd, false);
	}
	for (unsigned i = 0; !rc && i < web->listener_count; i++) {
		rc = loop_fd_add(web->loop, &web->listeners[i].source, EPOLLIN);
		if (rc)
			err_errno(err, rc, "cannot listen");
	}
	return rc;
}

void web_listeners_close(struct web *web)
{
	for (unsigned i = 0; i < web->listener_count; i++) {
		loop_fd_remove(web->loop, &web->listeners[i].source);
		loop_timer_cancel(web->loop, &web->listeners[i].pause);
		close(web->listeners[i].source.fd);
	}
	web->listener_count = 0;
}
