/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entropy device: one queue of buffers that come back full of random bytes.
 *
 * It has no state of its own and answers while it is kicked. A buffer may be as large as guest
 * memory, so one request yields at most REQUEST_MAX bytes; the driver asks again.
 *
 * Spec: Virtio 1.2, section 5.4.
 */
#include "virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define QUEUE_SIZE   64
#define REQUEST_MAX  4096
#define CLASS_OTHERS 0x00ff00

struct rng {
	struct virtio_device virtio; /* first */
};

static void answer(struct virtqueue_chain *chain)
{
	uint8_t bytes[REQUEST_MAX];
	ssize_t got = getrandom(bytes, MIN(sizeof(bytes), chain->writable.bytes), 0);

	virtqueue_push(chain, got > 0 ? span_write(&chain->writable, bytes, (uint64_t)got) : 0);
}

static void rng_queue_notify(struct virtio_device *virtio, unsigned index)
{
	struct virtqueue *queue = &virtio->queues[index];

	do {
		struct virtqueue_chain *chain;

		virtqueue_kicks_disable(queue);
		while ((chain = virtqueue_pop(queue)))
			answer(chain);
		virtqueue_publish(queue);
	} while (virtqueue_kicks_enable(queue));
}

static const struct virtio_ops rng_virtio_ops = {
	.id = VIRTIO_ID_RNG,
	.pci_class = CLASS_OTHERS,
	.queue_notify = rng_queue_notify,
};

static void rng_free(struct device *device)
{
	struct rng *rng = container_of(virtio_from_device(device), struct rng, virtio);

	virtio_device_fini(&rng->virtio);
	free(rng);
}

static const struct device_ops rng_ops = {
	.type = "virtio-rng",
	.reset = virtio_device_reset,
	.free = rng_free,
	.state_part = virtio_device_state_part,
	.resume = virtio_device_resume,
	.stats = virtio_device_stats,
	.ok = virtio_device_ok,
};

int virtio_rng_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		   struct err *err)
{
	const struct virtio_config config = { .queues = 1, .queue_size = QUEUE_SIZE };
	struct rng *rng = calloc(1, sizeof(*rng));
	int rc;

	if (!rng)
		return err_errno(err, ENOMEM, "cannot make device '%s'", id);
	rc = virtio_device_init(&rng->virtio, &rng_ops, &rng_virtio_ops, id, memory, &config, err);
	if (rc) {
		rng_free(&rng->virtio.device);
		return rc;
	}
	*ret_virtio = &rng->virtio;
	return 0;
}
