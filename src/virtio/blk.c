/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block device: requests of the guest become requests of a block node.
 *
 * A kick queues all there is and then starts it at once; what ended by then is shown to the driver with
 * it, other completions come back on the node's loop and are shown a batch at a time. A chain's memory goes to the node as it is. Errors
 * of the host are the request's status and never more.
 *
 * Invariant: a place of `places` is in use for each chain in flight, and a queue has as many as its
 * ring descriptors.
 *
 * Spec: Virtio 1.2, section 5.2.
 */
#include "virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/thread.h"

#define QUEUE_SIZE        256
#define SECTOR_BYTES      512
#define PHYSICAL_BYTES    4096 /* what storage and page cache work in, told as topology */
#define RANGES_MAX        32   /* of one discard or write zeroes request */
#define RANGE_SECTORS_MAX (UINT32_C(1) << 22)
#define CLASS_STORAGE     0x018000

enum counter {
	READS,
	WRITES,
	FLUSHES,
	DISCARDS,
	WRITE_ZEROES,
	READ_BYTES,
	WRITTEN_BYTES,
	ERRORS,
	COUNTERS,
};

static const char *const counter_names[COUNTERS] = {
	[READS] = "reads",
	[WRITES] = "writes",
	[FLUSHES] = "flushes",
	[DISCARDS] = "discards",
	[WRITE_ZEROES] = "write-zeroes",
	[READ_BYTES] = "read-bytes",
	[WRITTEN_BYTES] = "written-bytes",
	[ERRORS] = "errors",
};

struct blk;

/* Where a chain is while the node works for it. */
struct place {
	struct block_request request;
	struct blk *blk;
	struct virtqueue_chain *chain;
	uint8_t *status; /* the guest's byte */
	struct place *next_free;
};

struct blk_queue {
	struct place *places; /* QUEUE_SIZE of them */
	struct place *free;
	unsigned fresh; /* places that were never used begin here */
	bool unpublished;
};

struct blk {
	struct virtio_device virtio; /* first */
	struct block_node *node;
	struct virtio_blk_config config;
	char serial[VIRTIO_BLK_ID_BYTES];
	bool paused;
	struct log_once failure_said;
	uint64_t counters[COUNTERS];
	struct blk_queue queues[VIRTIO_BLK_QUEUES_MAX];
};

static struct blk *blk_of(struct virtio_device *virtio)
{
	return container_of(virtio, struct blk, virtio);
}

static struct place *place_get(struct blk_queue *queue)
{
	struct place *place = queue->free;

	if (place)
		queue->free = place->next_free;
	else
		place = &queue->places[queue->fresh++];
	return place;
}

/* Answers and gives the chain back; shown to the driver by a later publish. */
static void finish(struct place *place, uint8_t status)
{
	struct virtqueue_chain *chain = place->chain;
	struct blk *blk = place->blk;
	struct blk_queue *queue = &blk->queues[chain->queue->index];

	if (status != VIRTIO_BLK_S_OK)
		blk->counters[ERRORS]++;
	*place->status = status;
	place->next_free = queue->free;
	queue->free = place;
	queue->unpublished = true;
	/* The status is the last writable byte, so the log of written pages must cover all of them. */
	virtqueue_push(chain, chain->writable_bytes);
}

static void publish(struct blk *blk)
{
	for (unsigned i = 0; i < blk->virtio.queue_count; i++) {
		if (!blk->queues[i].unpublished)
			continue;
		blk->queues[i].unpublished = false;
		virtqueue_publish(&blk->virtio.queues[i]);
	}
}

static uint8_t status_of(int rc)
{
	if (!rc)
		return VIRTIO_BLK_S_OK;
	return rc == -ENOTSUP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static uint8_t submit_range(struct place *place);

/* With the device's lock. */
static void request_ended(struct block_request *request, int rc)
{
	struct place *place = container_of(request, struct place, request);
	struct blk *blk = place->blk;
	bool ranges = request->op == BLOCK_DISCARD || request->op == BLOCK_WRITE_ZEROES;
	uint8_t status = status_of(rc);

	if (rc)
		log_once(&blk->failure_said, LOG_ERROR, "disk '%s': %s at byte %llu",
			 blk->virtio.device.id, strerrordesc_np(-rc),
			 (unsigned long long)request->offset);
	if (!rc && ranges && place->chain->readable.bytes) {
		status = submit_range(place);
		if (status == VIRTIO_BLK_S_OK) {
			block_kick(blk->node);
			return;
		}
	}
	finish(place, status);
}

static void request_done(struct block_request *request, int rc)
{
	struct blk *blk = container_of(request, struct place, request)->blk;

	LOCK_SCOPE(&blk->virtio.device.lock);
	request_ended(request, rc);
}

static void batch_done(void *ctx)
{
	struct blk *blk = ctx;

	LOCK_SCOPE(&blk->virtio.device.lock);
	publish(blk);
}

/* Neither a flush nor a writeback mode that the driver knows of: it takes an ended write for
 * durable. */
static unsigned durability(const struct blk *blk)
{
	bool writeback = virtio_has_feature(&blk->virtio, VIRTIO_BLK_F_CONFIG_WCE)
				 ? blk->config.wce
				 : virtio_has_feature(&blk->virtio, VIRTIO_BLK_F_FLUSH);

	return writeback ? 0 : BLOCK_FUA;
}

/* Byte offset of a range in `*ret_offset` if the disk has all of it. */
static bool range_inside(const struct blk *blk, uint64_t sector, uint64_t bytes,
			 uint64_t *ret_offset)
{
	uint64_t capacity = le64toh(blk->config.capacity);
	uint64_t unit = le32toh(blk->config.blk_size);
	uint64_t sectors = bytes / SECTOR_BYTES;

	if (sector > capacity || sectors > capacity - sector)
		return false;
	*ret_offset = sector * SECTOR_BYTES;
	return !((*ret_offset | bytes) & (unit - 1));
}

/*
 * The functions below start one kind of request: VIRTIO_BLK_S_OK if the node has it now, else the
 * status that ends it.
 */
static uint8_t submit_transfer(struct place *place, enum block_op op, uint64_t sector)
{
	const struct span *data =
		op == BLOCK_READ ? &place->chain->writable : &place->chain->readable;
	struct block_request *request = &place->request;
	struct blk *blk = place->blk;

	if ((op == BLOCK_WRITE && !block_can_write(blk->node)) ||
	    !range_inside(blk, sector, data->bytes, &request->offset))
		return VIRTIO_BLK_S_IOERR;
	request->op = op;
	request->flags = op == BLOCK_WRITE ? durability(blk) : 0;
	request->bytes = data->bytes;
	request->iov = data->iov;
	request->iov_count = data->count;
	blk->counters[op == BLOCK_READ ? READS : WRITES]++;
	blk->counters[op == BLOCK_READ ? READ_BYTES : WRITTEN_BYTES] += data->bytes;
	block_queue(blk->node, request);
	return VIRTIO_BLK_S_OK;
}

static uint8_t submit_read(struct place *place, uint64_t sector)
{
	return submit_transfer(place, BLOCK_READ, sector);
}

static uint8_t submit_write(struct place *place, uint64_t sector)
{
	return submit_transfer(place, BLOCK_WRITE, sector);
}

static uint8_t submit_flush(struct place *place, uint64_t sector)
{
	(void)sector;
	place->request.op = BLOCK_FLUSH;
	place->blk->counters[FLUSHES]++;
	block_queue(place->blk->node, &place->request);
	return VIRTIO_BLK_S_OK;
}

/* The next range of a discard or write zeroes request; its `op` says which. */
static uint8_t submit_range(struct place *place)
{
	struct block_request *request = &place->request;
	struct virtio_blk_discard_write_zeroes range;
	struct blk *blk = place->blk;
	uint64_t sectors;
	uint32_t flags;

	if (span_read(&place->chain->readable, &range, sizeof(range)) != sizeof(range))
		return VIRTIO_BLK_S_IOERR;
	flags = le32toh(range.flags);
	if (flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP || (flags && request->op == BLOCK_DISCARD))
		return VIRTIO_BLK_S_UNSUPP;
	sectors = le32toh(range.num_sectors);
	request->bytes = sectors * SECTOR_BYTES;
	if (sectors > RANGE_SECTORS_MAX ||
	    !range_inside(blk, le64toh(range.sector), request->bytes, &request->offset))
		return VIRTIO_BLK_S_IOERR;
	if (request->op == BLOCK_WRITE_ZEROES)
		request->flags = durability(blk) | (flags ? BLOCK_MAY_UNMAP : 0);
	block_queue(blk->node, request);
	return VIRTIO_BLK_S_OK;
}

static uint8_t submit_ranges(struct place *place, enum block_op op, unsigned feature,
			     enum counter counter)
{
	uint64_t bytes = place->chain->readable.bytes;

	if (!virtio_has_feature(&place->blk->virtio, feature))
		return VIRTIO_BLK_S_UNSUPP;
	if (bytes > RANGES_MAX * sizeof(struct virtio_blk_discard_write_zeroes))
		return VIRTIO_BLK_S_IOERR;
	place->request.op = op;
	place->blk->counters[counter]++;
	return submit_range(place);
}

static uint8_t submit_discard(struct place *place, uint64_t sector)
{
	(void)sector;
	return submit_ranges(place, BLOCK_DISCARD, VIRTIO_BLK_F_DISCARD, DISCARDS);
}

static uint8_t submit_write_zeroes(struct place *place, uint64_t sector)
{
	(void)sector;
	return submit_ranges(place, BLOCK_WRITE_ZEROES, VIRTIO_BLK_F_WRITE_ZEROES, WRITE_ZEROES);
}

static const struct request_type {
	uint32_t type;
	bool answers_now; /* needs no node: `serial` */
	uint8_t (*submit)(struct place *place, uint64_t sector);
} request_types[] = {
	{ .type = VIRTIO_BLK_T_IN, .submit = submit_read },
	{ .type = VIRTIO_BLK_T_OUT, .submit = submit_write },
	{ .type = VIRTIO_BLK_T_FLUSH, .submit = submit_flush },
	{ .type = VIRTIO_BLK_T_DISCARD, .submit = submit_discard },
	{ .type = VIRTIO_BLK_T_WRITE_ZEROES, .submit = submit_write_zeroes },
	{ .type = VIRTIO_BLK_T_GET_ID, .answers_now = true },
};

static void start(struct place *place, const struct virtio_blk_outhdr *header)
{
	uint32_t type = le32toh(header->type);
	uint8_t status = VIRTIO_BLK_S_UNSUPP;
	bool started = false;

	for (unsigned i = 0; i < ARRAY_SIZE(request_types); i++) {
		if (request_types[i].type != type)
			continue;
		if (request_types[i].answers_now) {
			span_write(&place->chain->writable, place->blk->serial,
				   sizeof(place->blk->serial));
			status = VIRTIO_BLK_S_OK;
		} else {
			status = request_types[i].submit(place, le64toh(header->sector));
			started = status == VIRTIO_BLK_S_OK;
		}
		break;
	}
	if (!started)
		finish(place, status);
}

static void take(struct blk *blk, struct virtqueue_chain *chain)
{
	uint8_t *status = span_take_last(&chain->writable);
	struct virtio_blk_outhdr header;
	struct place *place;

	if (!status || span_read(&chain->readable, &header, sizeof(header)) != sizeof(header)) {
		virtqueue_break(chain->queue, "request without header or status");
		virtqueue_push(chain, 0);
		return;
	}
	place = place_get(&blk->queues[chain->queue->index]);
	*place = (struct place){
		.request.done = request_done,
		.blk = blk,
		.chain = chain,
		.status = status,
	};
	start(place, &header);
}

/* Those that have ended already. */
static void end_requests(struct blk *blk)
{
	struct block_request *request;
	int rc;

	while ((request = block_take_ended(blk->node, &rc)))
		request_ended(request, rc);
}

static void blk_queue_notify(struct virtio_device *virtio, unsigned index)
{
	struct virtqueue *queue = &virtio->queues[index];
	struct blk *blk = blk_of(virtio);

	if (blk->paused)
		return;
	do {
		struct virtqueue_chain *chain;

		virtqueue_kicks_disable(queue);
		while ((chain = virtqueue_pop(queue)))
			take(blk, chain);
		end_requests(blk);
		block_kick(blk->node);
	} while (virtqueue_kicks_enable(queue));
	publish(blk);
}

static void blk_config_write(struct virtio_device *virtio, unsigned offset, const void *bytes,
			     unsigned size)
{
	struct blk *blk = blk_of(virtio);
	uint8_t wce;

	if (offset != offsetof(struct virtio_blk_config, wce) || size != 1 ||
	    !virtio_has_feature(virtio, VIRTIO_BLK_F_CONFIG_WCE))
		return;
	memcpy(&wce, bytes, sizeof(wce));
	blk->config.wce = wce & 1;
}

/* Chains in flight come back by themselves when the node has ended their requests. */
static void blk_reset(struct virtio_device *virtio)
{
	blk_of(virtio)->config.wce = 1;
}

static const struct virtio_ops blk_virtio_ops = {
	.id = VIRTIO_ID_BLOCK,
	.pci_class = CLASS_STORAGE,
	.queue_notify = blk_queue_notify,
	.config_write = blk_config_write,
	.reset = blk_reset,
};

static void blk_free(struct device *device)
{
	struct blk *blk = blk_of(virtio_from_device(device));

	block_drain(blk->node);
	block_set_batch_done(blk->node, NULL, NULL);
	virtio_device_fini(&blk->virtio);
	for (unsigned i = 0; i < VIRTIO_BLK_QUEUES_MAX; i++)
		free(blk->queues[i].places);
	free(blk);
}

static void set_paused(struct blk *blk, bool paused)
{
	LOCK_SCOPE(&blk->virtio.device.lock);
	blk->paused = paused;
}

static void blk_quiesce(struct device *device)
{
	struct blk *blk = blk_of(virtio_from_device(device));

	set_paused(blk, true);
	block_drain(blk->node);
}

static void blk_resume(struct device *device)
{
	set_paused(blk_of(virtio_from_device(device)), false);
	virtio_device_resume(device);
}

static bool set_paused_before(struct blk *blk)
{
	bool before;

	LOCK_SCOPE(&blk->virtio.device.lock);
	before = blk->paused;
	blk->paused = true;
	return before;
}

static void show_capacity(struct blk *blk)
{
	LOCK_SCOPE(&blk->virtio.device.lock);
	blk->config.capacity = htole64(block_size_bytes(blk->node) / SECTOR_BYTES);
	virtio_config_changed(&blk->virtio);
}

int virtio_blk_resize(struct device *device, uint64_t bytes, struct err *err)
{
	struct blk *blk = blk_of(virtio_from_device(device));
	bool was_paused;
	int rc;

	if (bytes < block_size_bytes(blk->node))
		return err_set(err, EINVAL, "disk '%s' would become smaller", device->id);
	was_paused = set_paused_before(blk);
	block_drain(blk->node);
	rc = block_resize_by_worker(blk->node, bytes, err);
	if (!rc)
		show_capacity(blk);
	if (!was_paused)
		blk_resume(device);
	return rc;
}

void virtio_blk_settle(struct device *device)
{
	virtio_device_resume(device);
	block_drain(blk_of(virtio_from_device(device))->node);
}

int virtio_blk_change(struct device *device, bool force, int (*change)(void *ctx, struct err *err),
		      void *ctx, struct err *err)
{
	struct blk *blk = blk_of(virtio_from_device(device));
	bool was_paused;
	int rc;

	if (!force && block_can_write(blk->node) && virtio_device_driven(device)) {
		err_set(err, EBUSY,
			"the guest may write to disk '%s' what is meant for this medium",
			device->id);
		err_hint(err, "unmount it there, then say force=on");
		return -EBUSY;
	}
	was_paused = set_paused_before(blk);
	block_drain(blk->node);
	rc = change(ctx, err);
	if (!rc)
		show_capacity(blk);
	if (!was_paused)
		blk_resume(device);
	return rc;
}

static json_t *blk_stats(struct device *device)
{
	struct blk *blk = blk_of(virtio_from_device(device));
	json_t *stats = json_object();

	for (unsigned i = 0; i < COUNTERS; i++)
		json_object_set_new(stats, counter_names[i],
				    json_integer((json_int_t)blk->counters[i]));
	json_object_set_new(stats, "backend", block_describe(blk->node));
	return stats;
}

static const struct state_field blk_fields[] = {
	STATE_FIELD(struct blk, config.wce, .max = 1),
	{ 0 },
};

static const struct state_desc blk_state = {
	.name = "virtio-blk",
	.version = 1,
	.fields = blk_fields,
};

static const struct device_ops blk_ops = {
	.type = "virtio-blk",
	.reset = virtio_device_reset,
	.free = blk_free,
	.state = &blk_state,
	.state_part = virtio_device_state_part,
	.quiesce = blk_quiesce,
	.resume = blk_resume,
	.stats = blk_stats,
};

static uint64_t features_of(struct block_node *node, const struct virtio_blk_options *options)
{
	uint64_t features = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
			    BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_MQ);

	if (!options->write_through)
		features |= BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE);
	if (!block_can_write(node))
		features |= BIT(VIRTIO_BLK_F_RO);
	if (block_can_discard(node))
		features |= BIT(VIRTIO_BLK_F_DISCARD);
	if (block_can_write_zeroes(node))
		features |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	return features;
}

static struct virtio_blk_config config_of(struct block_node *node, unsigned queues)
{
	uint32_t unit = block_unit_bytes(node);

	return (struct virtio_blk_config){
		.capacity = htole64(block_size_bytes(node) / SECTOR_BYTES),
		/* Header and status take two descriptors of a chain. */
		.seg_max = htole32(QUEUE_SIZE - 2),
		.blk_size = htole32(unit),
		.physical_block_exp = (uint8_t)__builtin_ctz(PHYSICAL_BYTES / unit),
		.min_io_size = htole16((uint16_t)(PHYSICAL_BYTES / unit)),
		.wce = 1,
		.num_queues = htole16((uint16_t)queues),
		.max_discard_sectors = htole32(RANGE_SECTORS_MAX),
		.max_discard_seg = htole32(RANGES_MAX),
		.discard_sector_alignment = htole32(unit / SECTOR_BYTES),
		.max_write_zeroes_sectors = htole32(RANGE_SECTORS_MAX),
		.max_write_zeroes_seg = htole32(RANGES_MAX),
		.write_zeroes_may_unmap = 1,
	};
}

int virtio_blk_new(struct virtio_device **ret_virtio, const char *id, struct memory *memory,
		   const struct virtio_blk_options *options, struct err *err)
{
	unsigned queues = MIN(MAX(options->queues, 1u), (unsigned)VIRTIO_BLK_QUEUES_MAX);
	struct blk *blk = calloc(1, sizeof(*blk));
	struct virtio_config config;
	int rc;

	if (!blk)
		return err_errno(err, ENOMEM, "cannot make device '%s'", id);
	blk->node = options->node;
	blk->config = config_of(blk->node, queues);
	if (options->serial)
		memcpy(blk->serial, options->serial, strnlen(options->serial, sizeof(blk->serial)));
	config = (struct virtio_config){
		.features = features_of(blk->node, options),
		.config = &blk->config,
		.config_bytes = sizeof(blk->config),
		.queues = queues,
		.queue_size = QUEUE_SIZE,
	};
	rc = virtio_device_init(&blk->virtio, &blk_ops, &blk_virtio_ops, id, memory, &config, err);
	for (unsigned i = 0; i < queues && !rc; i++) {
		blk->queues[i].places = calloc(QUEUE_SIZE, sizeof(struct place));
		if (!blk->queues[i].places)
			rc = err_errno(err, ENOMEM, "cannot make device '%s'", id);
	}
	if (rc) {
		blk_free(&blk->virtio.device);
		return rc;
	}
	block_set_batch_done(blk->node, batch_done, blk);
	*ret_virtio = &blk->virtio;
	return 0;
}
