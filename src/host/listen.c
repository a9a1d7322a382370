/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/fd.h"

/* Whether `address` is a socket file that nobody listens on. */
static bool is_stale(const struct sockaddr_un *address)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0 || lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	return connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	       errno == ECONNREFUSED;
}

int listen_unix(const char *path, const char *what, int backlog, int *ret_fd, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct sockaddr *any = (const struct sockaddr *)&address;
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s '%s'", what, path);
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ENAMETOOLONG, "%s '%s': path is longer than %zu bytes", what,
			       path, sizeof(address.sun_path) - 1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	rc = bind(fd, any, sizeof(address)) ? -errno : 0;
	if (rc == -EADDRINUSE && is_stale(&address)) {
		unlink(path);
		rc = bind(fd, any, sizeof(address)) ? -errno : 0;
	}
	if (rc == -EADDRINUSE) {
		err_set(err, EADDRINUSE, "%s '%s' exists and is in use", what, path);
		return err_hint(err, "choose another path");
	}
	if (rc)
		return err_errno(err, rc, "cannot listen on %s '%s'", what, path);
	/* Nobody can connect before listen(). */
	if (chmod(address.sun_path, 0600) || listen(fd, backlog)) {
		rc = err_errno(err, errno, "cannot listen on %s '%s'", what, path);
		unlink(path);
		return rc;
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

/* 0, or what failed. */
static int listen_at(const struct addrinfo *at, int backlog, int *ret_fd)
{
	AUTO_CLOSE int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, at->ai_addr, at->ai_addrlen) || listen(fd, backlog))
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int listen_tcp(const char *host, uint16_t port, const char *what, int backlog, int *ret_fd,
	       struct err *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICSERV };
	struct addrinfo *list;
	char digits[8];
	int rc;

	snprintf(digits, sizeof(digits), "%u", port);
	rc = getaddrinfo(*host ? host : "127.0.0.1", digits, &hints, &list);
	if (rc)
		return err_set(err, EINVAL, "%s: host '%s': %s", what, host, gai_strerror(rc));
	rc = listen_at(list, backlog, ret_fd);
	freeaddrinfo(list);
	if (rc)
		err_errno(err, rc, "cannot listen for %s on '%s:%u'", what, host, port);
	if (rc == -EADDRINUSE)
		err_hint(err, "choose another port");
	return rc;
}

uint16_t listen_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length))
		return 0;
	if (address.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&address)->sin_port);
	return address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&address)->sin6_port)
					     : 0;
}
