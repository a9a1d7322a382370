/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `cella-vmm`: the process of one virtual machine. `cella run` starts it with its configuration in
 * an inherited descriptor; the configuration may name others, of taps:
 *
 *	cella-vmm --config-fd FD [--dry-run]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/config.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"
#include "host/fd.h"
#include "host/sandbox.h"
#include "vmm/engines.h"
#include "vmm/fatal.h"
#include "vmm/vmm.h"

struct arguments {
	int config_fd;
	bool dry_run;
};

/* Fills in what is given. */
static int parse_arguments(int argc, char **argv, struct arguments *arguments, struct err *err)
{
	uint64_t fd;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--dry-run")) {
			arguments->dry_run = true;
		} else if (!strcmp(argv[i], "--config-fd") && i + 1 < argc &&
			   !parse_u64(argv[i + 1], 0, INT32_MAX, &fd)) {
			arguments->config_fd = (int)fd;
			i++;
		} else {
			err_set(err, EINVAL, "unexpected argument '%.64s'", argv[i]);
			return err_hint(err, "use 'cella run', which starts this program");
		}
	}
	if (arguments->config_fd < 0) {
		err_set(err, EINVAL, "no configuration given");
		return err_hint(err, "use 'cella run', which starts this program");
	}
	return 0;
}

/* The configuration from the descriptor, which is closed; new reference. */
static int read_config(int fd, json_t **ret_config, struct err *err)
{
	char path[32];
	AUTO_FREE void *text = NULL;
	json_error_t error;
	json_t *config;
	size_t count;
	int rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = fd_read_file(path, CONFIG_BYTES_MAX, &text, &count, err);
	if (rc)
		return rc;
	close(fd);
	config = json_loadb(text, count, JSON_REJECT_DUPLICATES, &error);
	if (!config)
		return err_set(err, EINVAL, "configuration: %s at character %d", error.text,
			       error.position);
	*ret_config = config;
	return 0;
}

/* Closes all descriptors but those that the configuration names. */
static int close_others(const json_t *config, struct err *err)
{
	VEC(int) keep = { 0 };
	size_t index, place;
	json_t *net, *fd;
	int rc = 0;

	json_array_foreach(json_object_get(config, "nets"), index, net)
	{
		json_array_foreach(json_object_get(net, "fds"), place, fd)
		{
			if (!rc && vec_push(&keep, (int)json_integer_value(fd)))
				rc = err_errno(err, ENOMEM, "cannot start");
		}
	}
	if (!rc)
		sandbox_close_inherited(keep.items, (unsigned)keep.count);
	vec_fini(&keep);
	return rc;
}

/* The configuration as it would be used, with the engine that was chosen and the reason. */
static int print_config(json_t *config, const struct engine_choice *engine, struct err *err)
{
	json_t *row = json_object_get(config, "engine");

	if (json_object_set(row, "requested", json_object_get(row, "name")) ||
	    json_object_set_new(row, "name", json_string(engine->ops->name)) ||
	    json_object_set_new(row, "reason", json_string(engine->reason)) ||
	    json_dumpf(config, stdout, JSON_INDENT(2)) || putchar('\n') == EOF || fflush(stdout))
		return err_set(err, EIO, "cannot print the configuration");
	return 0;
}

static int run(json_t *config, const struct engine_choice *engine, int *ret_status, struct err *err)
{
	struct vmm vmm;
	int rc;

	if (!schema_string(config, "kernel")) {
		err_set(err, EINVAL, "nothing to boot");
		return err_hint(err, "add --kernel FILE");
	}
	rc = vmm_init(&vmm, config, engine, &vmm_patience_usual, err);
	if (!rc) {
		log_info("engine %s: %s", engine->ops->name, engine->reason);
		rc = vmm_run(&vmm, err);
	}
	if (!rc)
		*ret_status = vmm.status;
	vmm_fini(&vmm);
	return rc;
}

static int start(int argc, char **argv, int *ret_status, struct err *err)
{
	struct engine_choice engine;
	struct arguments arguments = { .config_fd = -1 };
	enum log_level level;
	json_t *config = NULL;
	int rc;

	rc = parse_arguments(argc, argv, &arguments, err);
	if (rc)
		return rc;
	rc = read_config(arguments.config_fd, &config, err);
	if (!rc)
		rc = config_resolve(config, err);
	if (!rc)
		rc = close_others(config, err);
	if (!rc && log_level_parse(schema_string(config, "log"), &level))
		atomic_store(&log_threshold, level);
	if (!rc)
		rc = engine_choose(schema_string(json_object_get(config, "engine"), "name"),
				   &engine, err);
	if (!rc && arguments.dry_run)
		rc = print_config(config, &engine, err);
	else if (!rc)
		rc = run(config, &engine, ret_status, err);
	json_decref(config);
	return rc;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int status = 0;

	fatal_install();
	if (start(argc, argv, &status, &err)) {
		err_print(&err, stderr);
		status = VMM_STATUS_FAILED;
	}
	return status;
}
