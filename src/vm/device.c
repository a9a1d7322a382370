/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/device.h"

#include <stdio.h>

#include "base/check.h"
#include "host/thread.h"

void device_init(struct device *device, const struct device_ops *ops, const char *id)
{
	pthread_mutexattr_t recursive;

	check(ops->reset && ops->free);
	*device = (struct device){ .ops = ops };
	snprintf(device->id, sizeof(device->id), "%s", id);
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&device->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
}

void device_fini(struct device *device)
{
	pthread_mutex_destroy(&device->lock);
}

void device_reset(struct device *device)
{
	LOCK_SCOPE(&device->lock);
	device->ops->reset(device);
	atomic_flag_clear(&device->error_said.said);
}

void device_free(struct device *device)
{
	if (device)
		device->ops->free(device);
}

/* Walks the device's described objects: its own table first, then its parts. */
static const struct state_desc *part(struct device *device, unsigned index, void **ret_object)
{
	if (device->ops->state) {
		if (index == 0) {
			*ret_object = device;
			return device->ops->state;
		}
		index--;
	}
	return device->ops->state_part ? device->ops->state_part(device, index, ret_object) : NULL;
}

int device_save(struct device *device, struct state_stream *stream)
{
	const struct state_desc *desc;
	void *object;
	int rc = 0;

	LOCK_SCOPE(&device->lock);
	for (unsigned i = 0; !rc && (desc = part(device, i, &object)); i++)
		rc = state_save(stream, desc, object);
	return rc;
}

int device_load(struct device *device, struct state_stream *stream, struct err *err)
{
	const struct state_desc *desc;
	void *object;
	int rc = 0;

	LOCK_SCOPE(&device->lock);
	for (unsigned i = 0; !rc && (desc = part(device, i, &object)); i++)
		rc = state_load(stream, desc, object, err);
	if (rc)
		err_wrap(err, "device '%s'", device->id);
	return rc;
}

/* Parts of the same kind (queues, vectors) become an array under their common name. */
static void dump_add(json_t *dump, const char *name, json_t *value)
{
	json_t *earlier = json_object_get(dump, name);

	if (json_is_array(earlier))
		json_array_append_new(earlier, value);
	else if (earlier)
		json_object_set_new(dump, name, json_pack("[O, o]", earlier, value));
	else
		json_object_set_new(dump, name, value);
}

json_t *device_dump(struct device *device)
{
	json_t *dump = json_object();
	const struct state_desc *desc;
	void *object;

	LOCK_SCOPE(&device->lock);
	json_object_set_new(dump, "type", json_string(device->ops->type));
	for (unsigned i = 0; (desc = part(device, i, &object)); i++)
		dump_add(dump, desc->name, state_dump(desc, object));
	return dump;
}

json_t *device_stats(struct device *device)
{
	if (!device->ops->stats)
		return NULL;
	LOCK_SCOPE(&device->lock);
	return device->ops->stats(device);
}

bool device_ok(struct device *device)
{
	if (!device->ops->ok)
		return true;
	LOCK_SCOPE(&device->lock);
	return device->ops->ok(device);
}
