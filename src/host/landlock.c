/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc has no wrappers for these system calls.
 *
 * Spec: Linux Documentation/userspace-api/landlock.rst, ABI 1, and ABI 4 for ports.
 */
#include "host/landlock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/sandbox.h"

/* All that the first version knows; what later ones add is not open()ing or removing. */
#define HANDLED ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

/* As the kernel has it since ABI 4; headers may be older. */
#define ABI_OF_PORTS 4
#define BIND_TCP     (UINT64_C(1) << 0)
#define CONNECT_TCP  (UINT64_C(1) << 1)
#define RULE_PORT    2

struct ruleset {
	uint64_t files, ports;
};

struct port_rule {
	uint64_t access, port;
};

static bool has_ports(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >=
	       ABI_OF_PORTS;
}

int landlock_new(bool ports)
{
	struct ruleset ruleset = { .files = HANDLED };
	size_t bytes = sizeof(ruleset.files);
	long fd;

	if (ports && has_ports()) {
		ruleset.ports = BIND_TCP | CONNECT_TCP;
		bytes = sizeof(ruleset);
	}
	fd = syscall(SYS_landlock_create_ruleset, &ruleset, bytes, 0);
	return fd < 0 ? -errno : (int)fd;
}

int landlock_allow_port(int rules, uint16_t port)
{
	struct port_rule rule = { .access = CONNECT_TCP, .port = port };

	if (!has_ports())
		return 0;
	return syscall(SYS_landlock_add_rule, rules, RULE_PORT, &rule, 0) ? -errno : 0;
}

static const struct {
	unsigned access;
	uint64_t file, folder; /* what it means for a file, and for a folder besides */
} accesses[] = {
	{ SANDBOX_READ, LANDLOCK_ACCESS_FS_READ_FILE, 0 },
	{ SANDBOX_WRITE, LANDLOCK_ACCESS_FS_WRITE_FILE, 0 },
	{ SANDBOX_CREATE, 0, LANDLOCK_ACCESS_FS_MAKE_REG },
	{ SANDBOX_REMOVE, 0, LANDLOCK_ACCESS_FS_REMOVE_FILE },
};

int landlock_allow(int rules, const char *path, unsigned access)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .parent_fd = fd };
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
		if (!(access & accesses[i].access))
			continue;
		rule.allowed_access |= accesses[i].file;
		if (S_ISDIR(st.st_mode))
			rule.allowed_access |= accesses[i].folder;
	}
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) ? -errno
											   : 0;
}

int landlock_enter(int rules)
{
	return syscall(SYS_landlock_restrict_self, rules, 0) ? -errno : 0;
}
