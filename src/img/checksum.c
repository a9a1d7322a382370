/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `checksum`: SHA-256 of a file as it is, whatever is in it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/clock.h"
#include "img/command.h"
#include "img/digest.h"
#include "img/progress.h"

#define PIECE   MIB
#define SHOW_NS (200 * NS_PER_MS)

static void print_text(const json_t *result)
{
	printf("%s  %s\n", json_string_value(json_object_get(result, "sha256")),
	       json_string_value(json_object_get(result, "path")));
}

static int hash_file(int fd, struct digest *digest, struct progress *progress, uint64_t *ret_bytes)
{
	AUTO_FREE char *piece = malloc(PIECE);
	uint64_t shown_ns = 0;
	ssize_t count = 1;
	int rc = piece ? digest_start(digest) : -ENOMEM;

	*ret_bytes = 0;
	while (!rc && count) {
		count = read(fd, piece, PIECE);
		rc = count < 0 ? -errno : digest_add(digest, piece, (size_t)count);
		if (rc)
			break;
		*ret_bytes += (uint64_t)count;
		if (clock_now_ns() - shown_ns >= SHOW_NS) {
			progress_show(progress, *ret_bytes);
			shown_ns = clock_now_ns();
		}
	}
	progress_end(progress, *ret_bytes);
	return rc;
}

int img_checksum(struct img *img, struct err *err)
{
	const char *path = img->operands[0];
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct digest digest = { 0 };
	struct progress progress;
	char text[DIGEST_TEXT];
	uint64_t bytes;
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st)) {
		err_errno(err, errno, "cannot open file '%s'", path);
		return IMG_FAILED;
	}
	progress_start(&progress, img, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
	rc = hash_file(fd, &digest, &progress, &bytes);
	if (!rc)
		rc = digest_end(&digest, text);
	digest_fini(&digest);
	if (rc) {
		err_errno(err, rc, "cannot read file '%s'", path);
		return IMG_FAILED;
	}
	img_print(img,
		  json_pack("{s:s, s:I, s:s}", "path", path, "bytes", (json_int_t)bytes, "sha256",
			    text),
		  print_text);
	return IMG_DONE;
}
