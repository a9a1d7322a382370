/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella run`: turns its options into a configuration and becomes `cella-vmm`, which reads it from
 * an inherited memfd. So the terminal, signals and the exit status are the VMM's own, with nobody
 * in between.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/options.h"
#include "host/fd.h"

static void print_help(void)
{
	fputs("Usage: cella run [OPTION]...\n"
	      "       cella run -d [OPTION]... IMAGE\n"
	      "Run a virtual machine in the foreground. Ctrl-] three times leaves its terminal.\n"
	      "With -d the server runs it: see 'cella run -d --help'.\n\n",
	      stdout);
	options_print(stdout, run_options);
	fputs("\nExit status: 0 the guest powered off, 1 wrong use or failed start, 2 the guest\n"
	      "crashed; isa-debug-exit gives (value << 1) | 1.\n",
	      stdout);
}

/* The configuration in a memfd that a program run by this one inherits, read from its start. */
static int write_config(const json_t *config, int *ret_fd, struct err *err)
{
	AUTO_FREE char *text = json_dumps(config, JSON_COMPACT);
	AUTO_CLOSE int fd = memfd_create("cella-config", 0);
	int rc;

	if (!text)
		return err_errno(err, ENOMEM, "cannot write the configuration");
	if (fd < 0)
		return err_errno(err, errno, "cannot write the configuration");
	rc = fd_write_all(fd, text, strlen(text));
	if (!rc && lseek(fd, 0, SEEK_SET))
		rc = -errno;
	if (rc)
		return err_errno(err, rc, "cannot write the configuration");
	*ret_fd = take_fd(&fd);
	return 0;
}

static int become_vmm(const struct request *request, struct err *err)
{
	char fd_text[16];
	char *argv[] = { (char *)"cella-vmm", (char *)"--config-fd", fd_text,
			 request->dry_run ? (char *)"--dry-run" : NULL, NULL };
	int fd = -1;
	int rc;

	rc = write_config(request->config, &fd, err);
	if (rc)
		return rc;
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	return helper_exec("cella-vmm", argv, err);
}

int run_command(int argc, char **argv, struct err *err)
{
	struct request request = { 0 };
	int status = 0;

	if (launch_is_meant(argc, argv))
		return launch_command(argc, argv, err);
	request.config = json_object();
	if (options_parse(run_options, argc - 1, argv + 1, &request, err))
		status = EXIT_WRONG;
	else if (request.help)
		print_help();
	else if (become_vmm(&request, err))
		status = EXIT_WRONG;
	json_decref(request.config);
	return status;
}
