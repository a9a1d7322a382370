/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "img/copying.h"

#include <errno.h>
#include <signal.h>

#include "block/job/copy.h"
#include "host/clock.h"
#include "img/progress.h"

#define SPARSE_BYTES 4096
#define SHOW_NS      (200 * NS_PER_MS)

static int watch(const struct img *img, struct block_copy *running, uint64_t bytes,
		 const sigset_t *interrupts, struct err *err)
{
	const struct timespec now = { 0 };
	struct progress progress;
	int rc;

	progress_start(&progress, img, bytes);
	while (!block_copy_wait(running, SHOW_NS)) {
		progress_show(&progress, block_copy_done_bytes(running));
		if (sigtimedwait(interrupts, NULL, &now) > 0)
			block_copy_cancel(running);
	}
	progress_end(&progress, block_copy_done_bytes(running));
	rc = block_copy_end(running, err);
	return rc == -ECANCELED ? err_set(err, rc, "interrupted") : rc;
}

int img_copy_disk(const struct img *img, struct block_node *from, struct block_node *to,
		  bool is_new, struct err *err)
{
	const struct block_copy_options options = {
		.from = from,
		.to = to,
		.bytes = block_size_bytes(from),
		.sparse_bytes = SPARSE_BYTES,
		.target_zero = is_new,
	};
	struct block_copy *running;
	sigset_t interrupts, before;
	int rc;

	sigemptyset(&interrupts);
	sigaddset(&interrupts, SIGINT);
	sigaddset(&interrupts, SIGTERM);
	sigprocmask(SIG_BLOCK, &interrupts, &before);
	rc = block_copy_start(&running, &options, err);
	if (!rc)
		rc = watch(img, running, options.bytes, &interrupts, err);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return rc;
	rc = block_flush(to);
	return rc ? err_errno(err, rc, "cannot write the disk") : 0;
}
