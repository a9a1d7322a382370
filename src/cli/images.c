/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images of a server: built there, or sent from here. Uploads go on where they broke off. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/noun.h"
#include "cli/progress.h"
#include "host/clock.h"

#define SHOW_NS (200 * NS_PER_MS)

/* "debian:12" is kept as "debian-12". */
static char *image_name(const char *system)
{
	char *name = strdup(system);

	for (char *c = name; c && *c; c++)
		*c = *c == ':' ? '-' : *c;
	return name;
}

int noun_build(struct noun *noun, struct err *err)
{
	AUTO_FREE char *name = image_name(noun->ask.name ? noun->ask.name : noun->ask.words[0]);
	json_t *object;
	int code;

	json_object_set_new(noun->ask.object, "build", json_string(noun->ask.words[0]));
	object = json_pack("{s:s, s:O}", "name", name ? name : "", "spec", noun->ask.object);
	code = noun_create(noun, object, err);
	json_decref(object);
	return code;
}

struct sending {
	uint64_t from, total;
	uint64_t started_ns, shown_ns;
};

static void show_sent(void *ctx, uint64_t done)
{
	struct sending *sending = ctx;
	uint64_t now = clock_now_ns();

	if (now - sending->shown_ns < SHOW_NS)
		return;
	sending->shown_ns = now;
	progress_show("upload", (int)((sending->from + done) * 100 / sending->total),
		      done / ((now - sending->started_ns) / NS_PER_MS + 1) * 1000);
}

/* The image, which may be there already, with a part of its bytes. */
static int find_or_create(struct noun *noun, const char *path, uint64_t size, uint64_t *ret_from,
			  struct err *err)
{
	struct err missing = ERR_INIT;
	json_t *spec = json_object_get(noun->ask.object, "spec");
	json_t *image;
	int code = client_get(&noun->client, path, &image, &missing);

	*ret_from = 0;
	if (!code) {
		*ret_from = (uint64_t)json_integer_value(
			json_object_get(json_object_get(image, "status"), "received"));
		json_decref(image);
		return EXIT_DONE;
	}
	if (code != EXIT_NOT_FOUND) {
		*err = missing;
		return code;
	}
	if (!spec) {
		spec = json_object();
		json_object_set_new(noun->ask.object, "spec", spec);
	}
	json_object_set_new(noun->ask.object, "name", json_string(noun->ask.words[0]));
	json_object_set_new(spec, "size", json_integer((json_int_t)size));
	return noun_create(noun, noun->ask.object, err);
}

static int send_file(struct noun *noun, const char *path, int fd, struct sending *sending,
		     struct err *err)
{
	struct str url = { 0 };
	struct str range = { 0 };
	struct call_options options = { .method = "PUT",
					.upload_fd = fd,
					.upload_bytes = sending->total - sending->from,
					.uploaded = show_sent,
					.ctx = sending };
	struct answer answer;
	int code;

	str_printf(&url, "%s/content", path);
	if (sending->from) {
		str_printf(&range, "bytes %llu-%llu/%llu", (unsigned long long)sending->from,
			   (unsigned long long)sending->total - 1,
			   (unsigned long long)sending->total);
		options.content_range = range.text;
	}
	code = client_call(&noun->client, url.text, &options, &answer, err);
	progress_end();
	if (!code)
		code = noun_follow(noun, &answer, err);
	answer_fini(&answer);
	str_fini(&url);
	str_fini(&range);
	return code;
}

int noun_upload(struct noun *noun, struct err *err)
{
	const char *name = noun->ask.words[1];
	AUTO_FREE char *path = noun_path(noun, noun->ask.words[0], err);
	AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct sending sending = { .started_ns = clock_now_ns() };
	struct stat st;
	int code;

	if (!path)
		return EXIT_FAILED;
	if (fd < 0 || fstat(fd, &st)) {
		err_errno(err, errno, "cannot open '%s'", name);
		return EXIT_FAILED;
	}
	if (!S_ISREG(st.st_mode) || !st.st_size) {
		err_set(err, EINVAL, "'%s' is no file with content", name);
		return EXIT_FAILED;
	}
	sending.total = (uint64_t)st.st_size;
	code = find_or_create(noun, path, sending.total, &sending.from, err);
	if (!code && sending.from >= sending.total)
		sending.from = 0;
	if (!code && lseek(fd, (off_t)sending.from, SEEK_SET) < 0) {
		err_errno(err, errno, "cannot read '%s'", name);
		code = EXIT_FAILED;
	}
	return code ? code : send_file(noun, path, fd, &sending, err);
}
