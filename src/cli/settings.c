/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/kind.h"
#include "api/paths.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "base/suggest.h"
#include "host/fd.h"

#define FILE_MAX (4u << 20)

static char *file_path(void)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	struct str path = { 0 };

	if (config && *config == '/')
		str_printf(&path, "%s/cella/contexts.json", config);
	else
		str_printf(&path, "%s/.config/cella/contexts.json", home ? home : "");
	return str_take(&path);
}

static int parse(struct settings *settings, const char *text, size_t count, struct err *err)
{
	json_error_t error;

	settings->root = json_loadb(text, count, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(settings->root))
		return 0;
	err_set(err, EINVAL, "contexts '%s' are not understood: line %d: %s", settings->path,
		settings->root ? 1 : error.line, settings->root ? "no object" : error.text);
	return err_hint(err, "mend the file, or remove it and add your contexts anew");
}

int settings_load(struct settings *settings, struct err *err)
{
	AUTO_FREE void *text = NULL;
	struct err failed = ERR_INIT;
	size_t count;
	int rc;

	*settings = (struct settings){ .path = file_path() };
	if (!settings->path)
		return err_errno(err, ENOMEM, "cannot read the contexts");
	rc = fd_read_file(settings->path, FILE_MAX, &text, &count, &failed);
	if (rc && rc != -ENOENT && rc != -ENOTDIR)
		return err_set(err, rc, "%s", failed.text);
	rc = rc ? 0 : parse(settings, text, count, err);
	if (rc)
		return rc;
	if (!settings->root)
		settings->root = json_object();
	if (!json_is_object(json_object_get(settings->root, "contexts")))
		json_object_set_new(settings->root, "contexts", json_object());
	return 0;
}

/* The folders that the file is in. */
static void make_folders(const char *path)
{
	AUTO_FREE char *folder = strdup(path);

	for (char *slash = folder ? strchr(folder + 1, '/') : NULL; slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(folder, 0700);
		*slash = '/';
	}
}

int settings_save(const struct settings *settings, struct err *err)
{
	AUTO_FREE char *text = json_dumps(settings->root, JSON_INDENT(2) | JSON_SORT_KEYS);
	AUTO_CLOSE int fd = -1;
	struct str part = { 0 };
	int rc = 0;

	make_folders(settings->path);
	str_printf(&part, "%s.part", settings->path);
	if (!text || part.failed)
		rc = -ENOMEM;
	if (!rc)
		fd = open(part.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (!rc && fd < 0)
		rc = -errno;
	if (!rc)
		rc = fd_write_all(fd, text, strlen(text));
	if (!rc && (fsync(fd) || rename(part.text, settings->path)))
		rc = -errno;
	str_fini(&part);
	return rc ? err_errno(err, rc, "cannot write '%s'", settings->path) : 0;
}

void settings_fini(struct settings *settings)
{
	json_decref(settings->root);
	free(settings->path);
}

int settings_context(const struct settings *settings, const char *name, json_t **ret_context,
		     struct err *err)
{
	json_t *contexts = json_object_get(settings->root, "contexts");
	json_t *found = json_object_get(contexts, name);
	struct suggestion suggestion = suggestion_for(name);
	const char *other;
	json_t *value;

	if (json_is_object(found)) {
		*ret_context = found;
		return 0;
	}
	json_object_foreach(contexts, other, value) suggestion_offer(&suggestion, other);
	err_set(err, ENOENT, "there is no context '%s'", name);
	if (suggestion.best)
		return err_hint(err, "did you mean '%s'?", suggestion.best);
	return err_hint(err, "'cella context list' shows them, 'cella context add' makes one");
}

static char *copy(const json_t *context, const char *key)
{
	const char *text = json_string_value(json_object_get(context, key));

	return text ? strdup(text) : NULL;
}

static int use_context(const struct settings *settings, const char *name, struct server *server,
		       struct err *err)
{
	json_t *context;
	int rc = settings_context(settings, name, &context, err);

	if (rc)
		return rc;
	server->address = copy(context, "address");
	server->token = copy(context, "token");
	server->certificates = copy(context, "certificates");
	server->project = copy(context, "project");
	return server->address ? 0 : err_set(err, EINVAL, "context '%s' has no address", name);
}

/* By the context of that name, the current one, or this host's socket. */
static int find_in_settings(const char *context, struct server *server, struct err *err)
{
	struct settings settings;
	char path[128];
	int rc = settings_load(&settings, err);

	if (!rc && !(context && *context))
		context = json_string_value(json_object_get(settings.root, "current"));
	if (!rc && context) {
		rc = use_context(&settings, context, server, err);
	} else if (!rc) {
		api_socket_path(path, sizeof(path));
		server->address = strdup(path);
	}
	settings_fini(&settings);
	return rc;
}

int server_find(const char *context, struct server *ret_server, struct err *err)
{
	const char *socket = context ? NULL : getenv("CELLA_SOCKET");
	const char *project = getenv("CELLA_PROJECT");
	struct server server = { 0 };
	int rc = 0;

	if (socket && *socket)
		server.address = strdup(socket);
	else
		rc = find_in_settings(context ? context : getenv("CELLA_CONTEXT"), &server, err);
	if (project && *project) {
		free(server.project);
		server.project = strdup(project);
	}
	if (!server.project)
		server.project = strdup(API_DEFAULT_PROJECT);
	if (!rc && (!server.address || !server.project))
		rc = err_errno(err, ENOMEM, "cannot find the server");
	if (rc)
		server_fini(&server);
	else
		*ret_server = server;
	return rc;
}

void server_fini(struct server *server)
{
	free(server->address);
	free(server->token);
	free(server->project);
	free(server->certificates);
}
