/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine shows and saves of itself: dumps, counters, state streams (see machine.h).
 *
 * Stream: "machine" (what must be equal on both sides, and machine time), the devices in the
 * board's order, the vCPUs.
 */
#include "machine/machine_priv.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

struct machine_head {
	uint64_t memory_bytes, time_ns;
	uint32_t vcpus, devices;
};

static const struct state_field head_fields[] = {
	STATE_FIELD(struct machine_head, memory_bytes, .min = PAGE_SIZE, .max = INT64_MAX),
	STATE_FIELD(struct machine_head, time_ns, .max = INT64_MAX),
	STATE_FIELD(struct machine_head, vcpus, .min = 1, .max = MACHINE_VCPUS_MAX),
	STATE_FIELD(struct machine_head, devices),
	{ 0 },
};

static const struct state_desc head_state = {
	.name = "machine",
	.version = 1,
	.fields = head_fields,
};

static struct machine_head head_of(struct machine *machine)
{
	return (struct machine_head){
		.memory_bytes = machine->memory->size,
		.time_ns = machine_clock_now_ns(&machine->clock),
		.vcpus = machine->config->vcpus,
		.devices = (uint32_t)machine->devices.count,
	};
}

static int save_vcpu(struct machine *machine, unsigned index, struct state_stream *stream,
		     struct err *err)
{
	struct vcpu *vcpu = processors_vcpu(machine->processors, index);
	int rc = vcpu->ops->vcpu_get(vcpu, machine->scratch, err);

	return rc ? rc : state_save(stream, &vcpu_state_desc, machine->scratch);
}

static int load_vcpu(struct machine *machine, unsigned index, struct state_stream *stream,
		     struct err *err)
{
	struct vcpu *vcpu = processors_vcpu(machine->processors, index);
	int rc = vcpu->ops->vcpu_get(vcpu, machine->scratch, err);

	if (!rc)
		rc = state_load(stream, &vcpu_state_desc, machine->scratch, err);
	if (!rc)
		rc = vcpu->ops->vcpu_set(vcpu, machine->scratch, err);
	return rc ? err_wrap(err, "vcpu %u", index) : 0;
}

int machine_save(struct machine *machine, struct state_stream *stream, struct err *err)
{
	struct machine_head head = head_of(machine);
	struct device **device;
	int rc;

	if (machine->state == MACHINE_RUNNING)
		return err_set(err, EBUSY, "cannot save a machine that is running");
	rc = state_save(stream, &head_state, &head);
	vec_for_each (device, &machine->devices) {
		if (!rc)
			rc = device_save(*device, stream);
	}
	if (rc)
		return err_errno(err, rc, "cannot save the machine");
	for (unsigned i = 0; i < machine->config->vcpus && !rc; i++)
		rc = save_vcpu(machine, i, stream, err);
	return rc;
}

static int check_head(struct machine *machine, const struct machine_head *head, struct err *err)
{
	struct machine_head own = head_of(machine);

	if (head->memory_bytes == own.memory_bytes && head->vcpus == own.vcpus &&
	    head->devices == own.devices)
		return 0;
	return err_set(err, EINVAL,
		       "the saved machine has %llu bytes of memory, %u vcpus and %u devices, this "
		       "one %llu, %u and %u",
		       (unsigned long long)head->memory_bytes, head->vcpus, head->devices,
		       (unsigned long long)own.memory_bytes, own.vcpus, own.devices);
}

static int load(struct machine *machine, struct state_stream *stream, struct err *err)
{
	struct machine_head head = { 0 };
	struct device **device;
	int rc = state_load(stream, &head_state, &head, err);

	if (!rc)
		rc = check_head(machine, &head, err);
	if (!rc)
		machine_clock_set(&machine->clock, head.time_ns);
	vec_for_each (device, &machine->devices) {
		if (!rc)
			rc = device_load(*device, stream, err);
	}
	for (unsigned i = 0; i < machine->config->vcpus && !rc; i++)
		rc = load_vcpu(machine, i, stream, err);
	return rc;
}

int machine_load(struct machine *machine, struct state_stream *stream, struct err *err)
{
	int rc;

	if (machine->state == MACHINE_RUNNING)
		return err_set(err, EBUSY, "cannot load into a machine that is running");
	rc = load(machine, stream, err);
	if (rc)
		machine->state = MACHINE_ENDED;
	return rc;
}

json_t *machine_devices(struct machine *machine)
{
	json_t *list = json_array();
	struct device **device;

	vec_for_each (device, &machine->devices)
		json_array_append_new(list, json_pack("{s:s, s:s}", "id", (*device)->id, "type",
						      (*device)->ops->type));
	return list;
}

struct device *machine_find_device(struct machine *machine, const char *id)
{
	struct device **device;

	vec_for_each (device, &machine->devices) {
		if (!strcmp((*device)->id, id))
			return *device;
	}
	return NULL;
}

static void describe_region(const struct bus_region *region, void *ctx)
{
	json_array_append_new(ctx, json_pack("{s:s, s:I, s:I}", "name", region->name, "base",
					     (json_int_t)region->base, "size",
					     (json_int_t)region->size));
}

static json_t *dump_map(struct machine *machine)
{
	json_t *ports = json_array(), *memory = json_array();

	bus_for_each(machine->ports, describe_region, ports);
	bus_for_each(machine->mmio, describe_region, memory);
	return json_pack("{s:o, s:o}", "ports", ports, "memory", memory);
}

static int dump_vcpu(struct machine *machine, unsigned index, json_t **ret_json, struct err *err)
{
	struct vcpu *vcpu = processors_vcpu(machine->processors, index);
	int rc;

	if (machine->state == MACHINE_RUNNING) {
		err_set(err, EBUSY, "cannot read the registers of a running processor");
		return err_hint(err, "pause the machine first");
	}
	rc = vcpu->ops->vcpu_get(vcpu, machine->scratch, err);
	if (!rc)
		*ret_json = state_dump(&vcpu_state_desc, machine->scratch);
	return rc;
}

int machine_dump(struct machine *machine, const char *id, json_t **ret_json, struct err *err)
{
	struct device *device = machine_find_device(machine, id);
	uint64_t vcpu;

	if (device) {
		*ret_json = device_dump(device);
		return 0;
	}
	if (!strcmp(id, "memory-map")) {
		*ret_json = dump_map(machine);
		return 0;
	}
	if (!strncmp(id, "cpu", 3) && !parse_u64(id + 3, 0, machine->config->vcpus - 1, &vcpu))
		return dump_vcpu(machine, (unsigned)vcpu, ret_json, err);
	return err_set(err, ENOENT, "there is no device '%s'", id);
}

json_t *machine_stats(struct machine *machine)
{
	const struct engine_ops *ops = machine->engine->ops;
	json_t *devices = json_object();
	json_t *engine = ops->stats ? ops->stats(machine->engine) : NULL;
	struct device **device;

	vec_for_each (device, &machine->devices) {
		json_t *stats = device_stats(*device);

		if (stats)
			json_object_set_new(devices, (*device)->id, stats);
	}
	return json_pack("{s:o, s:o, s:I}", "engine", engine ? engine : json_object(), "devices",
			 devices, "time_ns", (json_int_t)machine_clock_now_ns(&machine->clock));
}
