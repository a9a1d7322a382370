/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control socket: any bytes of a client get one well-formed reply a line, or none, and bounded
 * memory. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "vmm/control_priv.h"

#include "../unit/vmm/fake_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(const json_t *reply)
{
	size_t index;
	json_t *item;

	json_array_foreach(reply, index, item) check_reply(item);
	if (!reply || json_is_array(reply))
		return;
	check(json_object_get(reply, "id"));
	check(!json_object_get(reply, "result") != !json_object_get(reply, "error"));
}

static void answer_lines(struct connection *connection)
{
	size_t length;
	char *line;

	while ((line = lines_next(&connection->lines, &length))) {
		json_t *reply;

		if (length > CONTROL_LINE_MAX)
			continue;
		reply = control_answer(connection, line, length);
		check_reply(reply);
		json_decref(reply);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct engine_ops engine = { .name = "fake" };
	struct machine machine = { .state = MACHINE_RUNNING };
	struct vmm vmm = {
		.machine = &machine, .engine.ops = &engine, .description.name = "fuzz", .end_fd = -1
	};
	struct control control = { .vmm = &vmm };
	struct connection *connection = calloc(1, sizeof(*connection));

	check(connection);
	connection->control = &control;
	list_init(&vmm.backends.attachable.list);
	jobs_init(&vmm.jobs);
	hotplug_init(&vmm.hotplug);
	lines_init(&connection->lines, CONTROL_LINE_MAX);
	for (size_t at = 0; at < size;) {
		size_t space, count;
		char *room = lines_room(&connection->lines, &space);

		count = MIN(size - at, (size_t)LINES_CHUNK);
		check(room && count <= space);
		memcpy(room, data + at, count);
		lines_fill(&connection->lines, count);
		answer_lines(connection);
		at += count;
		check(connection->lines.capacity < 4 * CONTROL_LINE_MAX);
	}
	lines_fini(&connection->lines);
	free(connection);
	return 0;
}
