/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of `serve`: a Unix socket, a TCP port, or those that a service manager hands over.
 *
 * Spec: sd_listen_fds(3); NetworkBlockDevice/nbd doc/uri.md.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/export/nbd_proto.h"
#include "host/listen.h"
#include "img/serve.h"

#define BACKLOG  64
#define FIRST_FD 3

/* Sockets opened by the service manager; 0: it has opened none for this process. */
static unsigned count_handed_over(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t number, count;

	if (!pid || !fds || parse_u64(pid, 1, INT32_MAX, &number) || number != (uint64_t)getpid() ||
	    parse_u64(fds, 1, SERVE_SOCKETS_MAX, &count))
		return 0;
	return (unsigned)count;
}

static int take_handed_over(struct serve_listeners *listeners, unsigned count, struct err *err)
{
	for (unsigned i = 0; i < count; i++) {
		int fd = FIRST_FD + (int)i, listening = 0;
		socklen_t length = sizeof(listening);

		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) || !listening)
			return err_set(err, EINVAL,
				       "descriptor %d of the service manager does not listen", fd);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		listeners->fds[listeners->count++] = fd;
	}
	listeners->port = listen_port(listeners->fds[0]);
	return 0;
}

/* Connections inherit it: answers go out at once, and hosts that vanish are noticed. */
static void set_tcp_options(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static int listen_at_port(const struct img *img, int *ret_fd, struct err *err)
{
	const char *address = img_value(img, "address"), *port = img_value(img, "port");
	uint64_t number = NBD_PORT;
	int rc;

	if (port && parse_u64(port, 0, UINT16_MAX, &number))
		return err_set(err, EINVAL, "argument of '--port': '%.64s' is not a port", port);
	rc = listen_tcp(address ? address : "", (uint16_t)number, "NBD clients", BACKLOG, ret_fd,
			err);
	if (!rc)
		set_tcp_options(*ret_fd);
	return rc;
}

int serve_listen(const struct img *img, struct serve_listeners *listeners, struct err *err)
{
	const char *path = img_value(img, "socket");
	bool tcp = img_value(img, "port") || img_value(img, "address");
	unsigned count = count_handed_over();
	int rc;

	*listeners = (struct serve_listeners){ 0 };
	if (!!path + tcp + !!count > 1)
		return err_set(err, EINVAL,
			       "one place to listen at is enough: a socket, a port, or what the "
			       "service manager hands over");
	if (count)
		return take_handed_over(listeners, count, err);
	rc = path ? listen_unix(path, "socket", BACKLOG, &listeners->fds[0], err)
		  : listen_at_port(img, &listeners->fds[0], err);
	if (rc)
		return rc;
	listeners->count = 1;
	listeners->socket_path = path;
	listeners->port = listen_port(listeners->fds[0]);
	return 0;
}

static void add_escaped(struct str *uri, const char *text, const char *plain)
{
	for (; *text; text++) {
		if (isalnum((unsigned char)*text) || strchr(plain, *text))
			str_add_bytes(uri, text, 1);
		else
			str_printf(uri, "%%%02X", (unsigned char)*text);
	}
}

void serve_uri(const struct img *img, const struct serve_listeners *listeners, struct str *uri)
{
	const char *address = img_value(img, "address"), *name = img_value(img, "export-name");
	bool tls = img_value(img, "tls-certificates") || img_value(img, "tls-keys");
	uint16_t port = listeners->port;

	str_printf(uri, "nbd%s%s://", tls ? "s" : "", port ? "" : "+unix");
	if (port && address && strchr(address, ':'))
		str_printf(uri, "[%s]:%u", address, port);
	else if (port)
		str_printf(uri, "%s:%u", address && *address ? address : "127.0.0.1", port);
	str_add(uri, "/");
	add_escaped(uri, name ? name : "", "-._~");
	if (listeners->socket_path) {
		str_add(uri, "?socket=");
		add_escaped(uri, listeners->socket_path, "-._~/");
	}
}
