/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cellad`: options and folders of the daemon; docs/man/cellad.8. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/openapi.h"
#include "api/paths.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "node/access/access.h"
#include "node/daemon.h"
#include "node/ready.h"

#define LISTEN_PRESET "127.0.0.1:8443"
#define LISTEN_ANY    "127.0.0.1:0"
#define CGROUP_PRESET "cella"
#define PATH_SIZE     PATH_MAX

struct options {
	const char *data, *socket, *ui, *log, *log_file, *log_format, *certificate, *key, *libexec,
		*cgroup;
	VEC(const char *) listen;
	bool help, version, openapi;
};

static const struct option_row {
	const char *name, *value, *help;
	size_t text; /* offset in the options of a text; 0: another kind */
	size_t flag;
} rows[] = {
	{ "data", "DIR", "folder of everything the daemon keeps", offsetof(struct options, data) },
	{ "socket", "PATH", "Unix socket of the API (preset: see cellad(8))",
	  offsetof(struct options, socket) },
	{ "listen", "ADDR:PORT",
	  "listen there with TLS too (repeatable; preset: " LISTEN_PRESET "; none: nowhere)" },
	{ "certificate", "FILE", "TLS certificate (PEM) instead of one of our own",
	  offsetof(struct options, certificate) },
	{ "key", "FILE", "its private key (PEM)", offsetof(struct options, key) },
	{ "ui", "DIR", "files of the web console", offsetof(struct options, ui) },
	{ "libexec", "DIR", "folder of cella-vmm and cella-img",
	  offsetof(struct options, libexec) },
	{ "cgroup", "PATH",
	  "control group below which machines have theirs (preset: " CGROUP_PRESET ")",
	  offsetof(struct options, cgroup) },
	{ "log", "LEVEL", "error, warn, info (preset), debug or trace",
	  offsetof(struct options, log) },
	{ "log-file", "FILE", "append the log to a file, opened again at SIGHUP; else stderr",
	  offsetof(struct options, log_file) },
	{ "log-format", "FORM", "text (preset), json, or journal (preset under systemd)",
	  offsetof(struct options, log_format) },
	{ "openapi", NULL, "print the description of the API and exit", 0,
	  offsetof(struct options, openapi) },
	{ "version", NULL, "print the version and exit", 0, offsetof(struct options, version) },
	{ "help", NULL, "print this and exit", 0, offsetof(struct options, help) },
};

/* ---- the command line ---- */

static int unknown(const char *argument, struct err *err)
{
	struct suggestion suggestion = suggestion_for(argument + 2);

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		suggestion_offer(&suggestion, rows[i].name);
	err_set(err, EINVAL, "unknown option '%.64s'", argument);
	if (suggestion.best)
		err_hint(err, "did you mean '--%s'?", suggestion.best);
	else
		err_hint(err, "see 'cellad --help'");
	return -EINVAL;
}

static const struct option_row *find_row(const char *name, size_t length)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strlen(rows[i].name) == length && !memcmp(rows[i].name, name, length))
			return &rows[i];
	}
	return NULL;
}

static int set_value(struct options *options, const struct option_row *row, const char *value)
{
	/* The first text is at offset 0. */
	if (!strcmp(row->name, "listen"))
		return vec_push(&options->listen, value);
	*(const char **)((char *)options + row->text) = value;
	return 0;
}

/* "--name value", "--name=value". */
static int parse(int argc, char **argv, struct options *options, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + 2;
		size_t length = strcspn(name, "=");
		const struct option_row *row;

		if (strncmp(argv[i], "--", 2) || !(row = find_row(name, length)))
			return !strncmp(argv[i], "--", 2)
				       ? unknown(argv[i], err)
				       : err_set(err, EINVAL, "unexpected argument '%.64s'",
						 argv[i]);
		if (!row->value && !name[length]) {
			*(bool *)((char *)options + row->flag) = true;
			continue;
		}
		if (!row->value)
			return err_set(err, EINVAL, "option '--%s' takes no value", row->name);
		if (!name[length] && i + 1 == argc)
			return err_set(err, EINVAL, "option '--%s' needs a value: %s", row->name,
				       row->value);
		if (set_value(options, row, name[length] ? name + length + 1 : argv[++i]))
			return err_errno(err, ENOMEM, "cannot read the options");
	}
	return 0;
}

static void print_help(void)
{
	puts("Usage: cellad --data DIR [OPTION]...\n"
	     "Make this host a place for virtual machines: HTTP API, web console, supervision.\n");
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char option[64];

		snprintf(option, sizeof(option), "--%s%s%s", rows[i].name, rows[i].value ? " " : "",
			 rows[i].value ? rows[i].value : "");
		printf("  %-20s  %s\n", option, rows[i].help);
	}
}

static int print_openapi(struct err *err)
{
	json_t *document = openapi_document();
	int rc = document ? json_dumpf(document, stdout, JSON_INDENT(2)) : -1;

	json_decref(document);
	if (rc)
		return err_errno(err, ENOMEM, "cannot print the description");
	putchar('\n');
	return err_flush_stdout(err);
}

/* ---- presets ---- */

struct places {
	char data[PATH_SIZE], run[PATH_SIZE], socket[PATH_SIZE], ui[PATH_SIZE], libexec[PATH_SIZE];
};

static void folder_of_program(char *ret_path, size_t size)
{
	ssize_t count = readlink("/proc/self/exe", ret_path, size - 1);

	ret_path[count > 0 ? count : 0] = '\0';
	if (strrchr(ret_path, '/'))
		*strrchr(ret_path, '/') = '\0';
}

/* The first that has the file, below the program's folder. */
static bool find_folder(const char *program, const char *const *folders, const char *file,
			char *ret_path, size_t size)
{
	for (; *folders; folders++) {
		char path[PATH_SIZE + 64];

		snprintf(ret_path, size, "%s%s", program, *folders);
		snprintf(path, sizeof(path), "%s/%s", ret_path, file);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

/* The folder that the socket is in. */
static int make_parent(const char *path, struct err *err)
{
	char folder[PATH_SIZE];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	/* All users of the host come to root's daemon; it knows who they are. */
	if (mkdir(folder, geteuid() ? 0700 : 0755) && errno != EEXIST)
		return err_errno(err, errno, "cannot make the folder '%s'", folder);
	return 0;
}

static int find_places(const struct options *options, struct places *places,
		       struct node_config *config, struct err *err)
{
	static const char *const programs[] = { "", "/../libexec/cella", NULL };
	static const char *const consoles[] = { "/ui", "/../share/cella/ui", NULL };
	char program[PATH_SIZE];

	/* Paths stay what they are wherever a child works. */
	if (mkdir(options->data, 0700) && errno != EEXIST)
		return err_errno(err, errno, "cannot make the folder '%s'", options->data);
	if (!realpath(options->data, places->data))
		return err_errno(err, errno, "cannot open the folder '%s'", options->data);
	if (strlen(places->data) > PATH_SIZE - 64)
		return err_set(err, ENAMETOOLONG, "the folder's path is too long");
	snprintf(places->run, sizeof(places->run), "%s/run", places->data);
	if (options->socket)
		snprintf(places->socket, sizeof(places->socket), "%s", options->socket);
	else
		api_socket_path(places->socket, sizeof(places->socket));
	folder_of_program(program, sizeof(program));
	config->data = places->data;
	config->run = places->run;
	config->socket = places->socket;
	config->ui = options->ui;
	if (!config->ui &&
	    find_folder(program, consoles, "index.html", places->ui, sizeof(places->ui)))
		config->ui = places->ui;
	config->libexec = options->libexec;
	if (!config->libexec) {
		find_folder(program, programs, "cella-vmm", places->libexec,
			    sizeof(places->libexec));
		config->libexec = places->libexec;
	}
	return options->socket ? 0 : make_parent(places->socket, err);
}

/* ---- running ---- */

/* What people need now, on stdout: where the console is, and how to get in the first time. */
static void greet(struct node *node)
{
	struct err err = ERR_INIT;
	const char *address = web_address(node->web, 0);
	char *link = address ? access_sign_in_link(node, &err) : NULL;

	printf("socket   %s\n", node->config.socket);
	if (address)
		printf("console  %s\n", address);
	if (link)
		printf("sign in  %s%s   (once, within 15 minutes)\n", address, link);
	else if (address)
		log_warn("no link to sign in: %s", err.text);
	fflush(stdout);
	free(link);
}

static int serve(const struct node_config *config, struct err *err)
{
	struct node node;
	sigset_t set;
	int rc;

	/* Of all threads: the loop takes them. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	umask(0077);
	rc = daemon_open(&node, config, err);
	if (!rc) {
		log_info("cellad " CELLA_VERSION " serves '%s'", config->data);
		greet(&node);
		ready_notify();
		rc = daemon_run(&node, err);
	}
	daemon_close(&node);
	return rc;
}

static int run(const struct options *options, struct err *err)
{
	static const char *const preset[] = { LISTEN_PRESET, NULL };
	static const char *const any[] = { LISTEN_ANY, NULL };
	struct node_config config = {
		.listen = options->listen.items,
		.certificate = options->certificate,
		.key = options->key,
		.cgroup = options->cgroup ? options->cgroup : CGROUP_PRESET,
		.log = options->log_file,
	};
	struct places places;
	int rc = find_places(options, &places, &config, err);

	if (rc)
		return rc;
	if (options->listen.count && !strcmp(*options->listen.items, "none"))
		config.listen = NULL;
	if (options->listen.count)
		return serve(&config, err);
	/* Nobody asked for this port: another one is as good. */
	config.listen = preset;
	rc = serve(&config, err);
	if (rc == -EADDRINUSE) {
		config.listen = any;
		rc = serve(&config, err);
	}
	return rc;
}

static int set_log_format(const char *name, struct err *err)
{
	static const char *const names[] = {
		[LOG_FORM_TEXT] = "text", [LOG_FORM_JSON] = "json", [LOG_FORM_JOURNAL] = "journal"
	};

	if (!name)
		name = names[getenv("JOURNAL_STREAM") ? LOG_FORM_JOURNAL : LOG_FORM_TEXT];
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]))
			continue;
		log_set_form((enum log_form)i);
		return 0;
	}
	return err_set(err, EINVAL, "there is no log format '%.32s'", name);
}

/* Relative to where the hierarchies are mounted, and staying in them. */
static bool check_cgroup(const char *path)
{
	return *path && *path != '/' && path[strlen(path) - 1] != '/' && !strstr(path, "..") &&
	       strlen(path) < PATH_SIZE / 2;
}

static int check_options(const struct options *options, struct err *err)
{
	enum log_level level = LOG_INFO;

	if (!options->data) {
		err_set(err, EINVAL, "no folder given");
		return err_hint(err, "say where to keep everything: --data DIR");
	}
	if (options->log && !log_level_parse(options->log, &level))
		return err_set(err, EINVAL, "there is no log level '%.32s'", options->log);
	if (options->cgroup && !check_cgroup(options->cgroup))
		return err_set(err, EINVAL, "'%.64s' is no path of a control group",
			       options->cgroup);
	if (!options->certificate != !options->key)
		return err_set(err, EINVAL, "--certificate and --key need each other");
	log_threshold = level;
	return set_log_format(
		options->log_file && !options->log_format ? "text" : options->log_format, err);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct err err = ERR_INIT;
	int rc = parse(argc, argv, &options, &err);

	if (!rc)
		rc = vec_push(&options.listen, NULL);
	if (!rc)
		options.listen.count--;
	if (rc) {
		/* Said already. */
	} else if (options.help) {
		print_help();
		rc = err_flush_stdout(&err);
	} else if (options.version) {
		puts("cellad " CELLA_VERSION);
		rc = err_flush_stdout(&err);
	} else if (options.openapi) {
		rc = print_openapi(&err);
	} else {
		rc = check_options(&options, &err);
		if (!rc)
			rc = run(&options, &err);
	}
	if (rc)
		err_print(&err, stderr);
	vec_fini(&options.listen);
	return rc == -EINVAL ? 2 : rc ? 1 : 0;
}
