/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Breakpoints and watchpoints: Z0 to Z4. All vCPUs have the same. */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "gdb/stub_priv.h"

#define WATCH_MAX 4096 /* bytes */

static const enum debug_point_kind kinds[] = {
	DEBUG_EXECUTE, DEBUG_EXECUTE, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS,
};

static bool is_same(const struct debug_point *a, const struct debug_point *b)
{
	return a->linear == b->linear && a->size == b->size && a->kind == b->kind &&
	       a->patch == b->patch;
}

int gdb_point_type(const struct gdb_stub *stub, const struct debug_point *point)
{
	for (unsigned i = 0; i < stub->point_count; i++) {
		if (is_same(&stub->points[i].point, point))
			return stub->points[i].type;
	}
	return -1;
}

int gdb_points_apply(struct gdb_stub *stub, bool resuming)
{
	struct debug_point points[GDB_POINTS_MAX];
	int rc = 0;

	for (unsigned i = 0; i < stub->point_count; i++)
		points[i] = stub->points[i].point;
	for (unsigned i = 0; i < gdb_vcpus(stub) && !rc; i++) {
		struct vcpu *vcpu = gdb_vcpu(stub, i);
		enum gdb_action action = stub->threads[i].action;
		const struct vcpu_debug debug = {
			.step = resuming && (action == GDB_STEP || action == GDB_STEP_RANGE),
			.points = points,
			.count = stub->point_count,
		};

		rc = vcpu->ops->vcpu_debug ? vcpu->ops->vcpu_debug(vcpu, &debug) : -ENOTSUP;
	}
	return rc;
}

/* "TYPE,ADDRESS,KIND"; conditions and commands behind it were not offered. */
static int take_point(struct gdb_text text, struct gdb_point *ret_point)
{
	uint64_t type, linear, size;

	if (!gdb_take_hex(&text, &type) || !gdb_take(&text, ',') || !gdb_take_hex(&text, &linear) ||
	    !gdb_take(&text, ',') || !gdb_take_hex(&text, &size))
		return -EINVAL;
	if (type >= ARRAY_SIZE(kinds))
		return -ENOTSUP;
	if (kinds[type] == DEBUG_EXECUTE)
		size = 1;
	if (!size || size > WATCH_MAX)
		return -EINVAL;
	*ret_point = (struct gdb_point){
		.type = (uint8_t)type,
		.point = { linear, size, kinds[type], .patch = type == 0 },
	};
	return 0;
}

static struct gdb_point *find(struct gdb_stub *stub, const struct gdb_point *point)
{
	for (unsigned i = 0; i < stub->point_count; i++) {
		if (stub->points[i].type == point->type &&
		    is_same(&stub->points[i].point, &point->point))
			return &stub->points[i];
	}
	return NULL;
}

int gdb_insert_point(struct gdb_stub *stub, struct gdb_text text)
{
	struct gdb_point point;
	int rc = take_point(text, &point);

	if (rc)
		return rc;
	if (find(stub, &point))
		return gdb_ok(stub);
	if (stub->point_count == GDB_POINTS_MAX)
		return -ENOSPC;
	stub->points[stub->point_count++] = point;
	rc = gdb_points_apply(stub, false);
	if (!rc)
		return gdb_ok(stub);
	stub->point_count--;
	gdb_points_apply(stub, false);
	return rc;
}

int gdb_remove_point(struct gdb_stub *stub, struct gdb_text text)
{
	struct gdb_point point, *found;
	int rc = take_point(text, &point);

	if (rc)
		return rc;
	found = find(stub, &point);
	if (!found)
		return gdb_ok(stub);
	*found = stub->points[--stub->point_count];
	rc = gdb_points_apply(stub, false);
	return rc ? rc : gdb_ok(stub);
}
