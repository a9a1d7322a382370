/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella doctor`: looks at the host and at the server, and says what to mend. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "cli/certificate.h"
#include "cli/command.h"
#include "cli/noun.h"

#define SPACE_LOW_BYTES      (2 * GIB)
#define CERTIFICATE_DAYS_LOW 14
#define KVM_VERSION          12

enum verdict { FINE, WORSE, WRONG, VERDICTS };

struct finding {
	enum verdict verdict;
	char text[256];
	char mend[256]; /* "": nothing */
};

struct examination {
	struct client client;
	bool server; /* it answers */
};

static void found(struct finding *finding, enum verdict verdict, const char *text, const char *mend)
{
	finding->verdict = verdict;
	snprintf(finding->text, sizeof(finding->text), "%s", text);
	snprintf(finding->mend, sizeof(finding->mend), "%s", mend);
}

static void look_at_kernel(struct examination *examination, struct finding *finding)
{
	struct utsname host;

	(void)examination;
	uname(&host);
	found(finding, FINE, host.release, "");
}

static void look_at_kvm(struct examination *examination, struct finding *finding)
{
	AUTO_CLOSE int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	(void)examination;
	if (fd < 0 && errno == ENOENT)
		found(finding, WORSE, "there is no /dev/kvm: machines run on the software engine",
		      "turn virtualisation on in the firmware, or nested in the host below; modprobe kvm_intel or kvm_amd");
	else if (fd < 0)
		found(finding, WORSE,
		      "/dev/kvm may not be opened: machines run on the software engine",
		      "put the user into the group 'kvm'");
	else if (access("/sys/module/kvm_intel", F_OK) && access("/sys/module/kvm_amd", F_OK))
		found(finding, WORSE,
		      "/dev/kvm is not hardware virtualisation: machines run on the software engine",
		      "modprobe kvm_intel or kvm_amd");
	else if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_VERSION)
		found(finding, WRONG, "/dev/kvm is of another version", "");
	else
		found(finding, FINE, "works", "");
}

static void look_at_landlock(struct examination *examination, struct finding *finding)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	char text[64];

	(void)examination;
	snprintf(text, sizeof(text), "version %ld", version);
	if (version < 1)
		found(finding, WORSE,
		      "not there: processes of machines see more files than they need",
		      "add landlock to the kernel's lsm= parameter (Linux 5.13 and later)");
	else
		found(finding, FINE, text, "");
}

static void look_at_seccomp(struct examination *examination, struct finding *finding)
{
	(void)examination;
	if (prctl(PR_GET_SECCOMP) < 0)
		found(finding, WRONG, "not there: machines do not start",
		      "use a kernel with CONFIG_SECCOMP_FILTER");
	else
		found(finding, FINE, "works", "");
}

static void look_at_cgroups(struct examination *examination, struct finding *finding)
{
	(void)examination;
	if (!access("/sys/fs/cgroup/cgroup.controllers", F_OK))
		found(finding, FINE, "version 2", "");
	else if (!access("/sys/fs/cgroup/memory", F_OK) || !access("/sys/fs/cgroup/cpu", F_OK))
		found(finding, FINE, "version 1", "");
	else
		found(finding, WORSE, "none: shares and limits of machines do not hold",
		      "mount cgroup2 at /sys/fs/cgroup");
}

static bool has_program(const char *name)
{
	static const char *const folders[] = { "/usr/sbin", "/sbin",           "/usr/bin",
					       "/bin",      "/usr/local/sbin", "/usr/local/bin" };

	for (unsigned i = 0; i < ARRAY_SIZE(folders); i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%s", folders[i], name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static void look_for(const char *name, const char *without, const char *package,
		     struct finding *finding)
{
	char mend[64];

	snprintf(mend, sizeof(mend), "apt install %s", package);
	if (has_program(name))
		found(finding, FINE, "installed", "");
	else
		found(finding, WORSE, without, mend);
}

static void look_at_nft(struct examination *examination, struct finding *finding)
{
	(void)examination;
	look_for("nft", "not installed: only networks of the type user work", "nftables", finding);
}

static void look_at_dnsmasq(struct examination *examination, struct finding *finding)
{
	(void)examination;
	look_for("dnsmasq", "not installed: networks give no addresses", "dnsmasq-base", finding);
}

static void look_at_ip(struct examination *examination, struct finding *finding)
{
	(void)examination;
	look_for("ip", "not installed: bridges cannot be looked at", "iproute2", finding);
}

static void look_at_tun(struct examination *examination, struct finding *finding)
{
	AUTO_CLOSE int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	(void)examination;
	if (fd >= 0)
		found(finding, FINE, "works", "");
	else
		found(finding, WORSE,
		      "/dev/net/tun cannot be opened: only networks of the type user work",
		      "modprobe tun; cellad needs CAP_NET_ADMIN");
}

static void look_at_builder(struct examination *examination, struct finding *finding)
{
	(void)examination;
	look_for("mmdebstrap", "not installed: images cannot be built", "mmdebstrap", finding);
}

static void look_at_server(struct examination *examination, struct finding *finding)
{
	struct err err = ERR_INIT;
	json_t *answer = NULL;
	struct str text = { 0 };

	if (client_get(&examination->client, "/v1", &answer, &err)) {
		found(finding, WRONG, err.text, err.hint);
		return;
	}
	examination->server = true;
	str_printf(&text, "%s at '%s'", json_string_value(json_object_get(answer, "version")) ?: "",
		   examination->client.server.address);
	found(finding, FINE, text.text ? text.text : "", "");
	str_fini(&text);
	json_decref(answer);
}

static void look_at_certificate(struct examination *examination, struct finding *finding)
{
	const struct server *server = &examination->client.server;
	char fingerprint[FINGERPRINT_SIZE];
	AUTO_FREE char *pem = NULL;
	struct err err = ERR_INIT;
	char text[64];
	int days;

	if (client_is_local(&examination->client)) {
		found(finding, FINE, "none is needed on the socket", "");
	} else if (certificate_fetch(server->address, &pem, fingerprint, &err) ||
		   certificate_days(pem, &days)) {
		found(finding, WRONG, err.code ? err.text : "the certificate is not understood",
		      "");
	} else {
		snprintf(text, sizeof(text), days < 0 ? "ended %d days ago" : "ends in %d days",
			 days < 0 ? -days : days);
		found(finding,
		      days < 0                      ? WRONG
		      : days < CERTIFICATE_DAYS_LOW ? WORSE
						    : FINE,
		      text,
		      days < CERTIFICATE_DAYS_LOW
			      ? "cellad renews its own when it starts; renew one that was given to it"
			      : "");
	}
}

static void look_at_rights(struct examination *examination, struct finding *finding)
{
	struct err err = ERR_INIT;
	json_t *answer = NULL;
	const char *user;

	if (client_get(&examination->client, "/v1/session", &answer, &err)) {
		found(finding, WRONG, err.text, err.hint);
		return;
	}
	user = json_string_value(json_object_get(answer, "user"));
	found(finding, FINE, user ? user : "known", "");
	json_decref(answer);
}

/* What the server says of its own objects of a kind: states and warnings. */
static void look_at_kind(struct examination *examination, const struct api_kind *kind,
			 struct finding *finding)
{
	struct err err = ERR_INIT;
	json_t *items = NULL;
	size_t i;
	json_t *item;
	char path[64];

	snprintf(path, sizeof(path), "/v1/%s", kind->plural);
	if (noun_list(&examination->client, path, "", &items, &err)) {
		found(finding, WRONG, err.text, err.hint);
		return;
	}
	snprintf(path, sizeof(path), "%zu", json_array_size(items));
	found(finding, FINE, path, "");
	json_array_foreach(items, i, item)
	{
		const json_t *status = json_object_get(item, "status");
		const char *problem = json_string_value(json_object_get(status, "problem"));
		const char *warning = json_string_value(json_object_get(status, "warning"));
		const char *words = problem && *problem ? problem : warning;

		if (!words || !*words)
			continue;
		finding->verdict = problem && *problem ? WRONG : WORSE;
		snprintf(finding->text, sizeof(finding->text), "%s: %s",
			 json_string_value(json_object_get(item, "name")), words);
		snprintf(finding->mend, sizeof(finding->mend), "cella %s show %s", kind->name,
			 json_string_value(json_object_get(item, "name")));
	}
	json_decref(items);
}

static void look_at_pools(struct examination *examination, struct finding *finding)
{
	look_at_kind(examination, &api_pool, finding);
}

static void look_at_networks(struct examination *examination, struct finding *finding)
{
	look_at_kind(examination, &api_network, finding);
}

static void look_at_machines(struct examination *examination, struct finding *finding)
{
	look_at_kind(examination, &api_vm, finding);
}

/* Space where the default pool is. */
static void look_at_space(struct examination *examination, struct finding *finding)
{
	struct err err = ERR_INIT;
	json_t *pool = NULL;
	const json_t *available;
	struct str text = { 0 };

	if (client_get(&examination->client, "/v1/pools/default", &pool, &err)) {
		found(finding, WORSE, err.text, err.hint);
		return;
	}
	available = json_object_get(json_object_get(pool, "status"), "available");
	output_value(&text, available, API_BYTES);
	str_add(&text, " free");
	if (json_is_integer(available) && (uint64_t)json_integer_value(available) < SPACE_LOW_BYTES)
		found(finding, WORSE, text.text ? text.text : "",
		      "delete images and disks that nobody needs, or add a pool");
	else
		found(finding, FINE, text.text ? text.text : "", "");
	str_fini(&text);
	json_decref(pool);
}

static const struct {
	const char *name;
	bool server; /* only if it answers */
	void (*look)(struct examination *examination, struct finding *finding);
} rows[] = {
	{ "kernel", false, look_at_kernel },
	{ "KVM", false, look_at_kvm },
	{ "seccomp", false, look_at_seccomp },
	{ "Landlock", false, look_at_landlock },
	{ "cgroups", false, look_at_cgroups },
	{ "tun", false, look_at_tun },
	{ "nft", false, look_at_nft },
	{ "dnsmasq", false, look_at_dnsmasq },
	{ "ip", false, look_at_ip },
	{ "mmdebstrap", false, look_at_builder },
	{ "server", false, look_at_server },
	{ "certificate", true, look_at_certificate },
	{ "who you are", true, look_at_rights },
	{ "space", true, look_at_space },
	{ "pools", true, look_at_pools },
	{ "networks", true, look_at_networks },
	{ "machines", true, look_at_machines },
};

static void print_finding(const char *name, const struct finding *finding)
{
	static const struct {
		const char *word, *colour;
	} words[VERDICTS] = {
		[FINE] = { "ok", "\033[32m" },
		[WORSE] = { "warning", "\033[33m" },
		[WRONG] = { "wrong", "\033[31m" },
	};
	bool colours = output_has_colour(stdout);

	printf("%-12s %s%-8s%s %s\n", name, colours ? words[finding->verdict].colour : "",
	       words[finding->verdict].word, colours ? "\033[0m" : "", finding->text);
	if (*finding->mend)
		printf("%-12s %-8s -> %s\n", "", "", finding->mend);
}

static int examine(struct examination *examination)
{
	bool wrong = false;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct finding finding = { 0 };

		if (rows[i].server && !examination->server)
			continue;
		rows[i].look(examination, &finding);
		str_make_plain(finding.text);
		str_make_plain(finding.mend);
		print_finding(rows[i].name, &finding);
		wrong |= finding.verdict == WRONG;
	}
	return wrong ? EXIT_FAILED : EXIT_DONE;
}

int doctor_command(int argc, char **argv, struct err *err)
{
	struct ask ask = { .switches = DOCTOR_SWITCHES };
	struct examination examination;
	int code;

	if (ask_parse(&ask, "doctor", argc - 1, argv + 1, err))
		return EXIT_FAILED;
	if (ask.given & ASK_HELP) {
		puts("Usage: cella doctor\n"
		     "Look at this host and at the server, and say what to mend. Exit status 1:\n"
		     "something is wrong; warnings alone are no reason.\n");
		ask_print_options(stdout, &ask);
		return EXIT_DONE;
	}
	if (ask_check_end(&ask, 0, err))
		return EXIT_FAILED;
	code = client_open(&examination.client, ask.context, err);
	examination.server = false;
	if (!code)
		code = examine(&examination);
	client_close(&examination.client);
	return code;
}
