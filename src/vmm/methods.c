/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the methods of the control socket do. Names and parameters are rows of api/control.c. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "codec/jsonrpc.h"
#include "gdb/gdb.h"
#include "machine/machine.h"
#include "vmm/bitmaps.h"
#include "vmm/control_priv.h"
#include "vmm/vmm.h"

/* `params` was checked. 0 with `ret_result` (new reference; stays NULL for none), or a negative
 * errno. */
typedef int method(struct connection *connection, const json_t *params, json_t **ret_result,
		   struct err *err);

static struct vmm *vmm_of(struct connection *connection)
{
	return connection->control->vmm;
}

/* The result, which is NULL only when memory ran out. */
static int give(json_t *result, json_t **ret_result, struct err *err)
{
	*ret_result = result;
	return result ? 0 : err_errno(err, ENOMEM, "cannot answer");
}

static int status(struct connection *connection, const json_t *params, json_t **ret_result,
		  struct err *err)
{
	const struct vmm *vmm = vmm_of(connection);

	return give(json_pack("{s:s, s:s*, s:s, s:i, s:s, s:s*, s:s, s:i, s:I}", "name",
			      vmm->description.name, "uuid", schema_string(vmm->config, "uuid"),
			      "version", CELLA_VERSION, "pid", (int)getpid(), "state",
			      machine_state_name(machine_state(vmm->machine)), "held_by",
			      gdb_holds(vmm->gdb) ? "debugger" : NULL, "engine",
			      vmm->engine.ops->name, "cpus", (int)vmm->description.vcpus, "memory",
			      (json_int_t)vmm->description.memory.size),
		    ret_result, err);
}

static int pause_machine(struct connection *connection, const json_t *params, json_t **ret_result,
			 struct err *err)
{
	return machine_pause(vmm_of(connection)->machine, err);
}

static int resume_machine(struct connection *connection, const json_t *params, json_t **ret_result,
			  struct err *err)
{
	if (gdb_holds(vmm_of(connection)->gdb)) {
		err_set(err, EBUSY, "the debugger holds the machine");
		return err_hint(err, "continue or detach there");
	}
	return machine_resume(vmm_of(connection)->machine, err);
}

static int power_button(struct connection *connection, const json_t *params, json_t **ret_result,
			struct err *err)
{
	vmm_press_power_button(vmm_of(connection));
	return 0;
}

static int nmi(struct connection *connection, const json_t *params, json_t **ret_result,
	       struct err *err)
{
	return machine_nmi(vmm_of(connection)->machine, err);
}

static int reset(struct connection *connection, const json_t *params, json_t **ret_result,
		 struct err *err)
{
	return machine_reset(vmm_of(connection)->machine, err);
}

static int quit(struct connection *connection, const json_t *params, json_t **ret_result,
		struct err *err)
{
	vmm_end(vmm_of(connection), 0, "quit");
	return 0;
}

static int console_list(struct connection *connection, const json_t *params, json_t **ret_result,
			struct err *err)
{
	const struct consoles *consoles = &vmm_of(connection)->backends.attachable;
	json_t *list = json_array();
	struct console *console;

	list_for_each (console, &consoles->list, node)
		json_array_append_new(list, json_string(console->id));
	return give(list, ret_result, err);
}

static int console_attach_to(struct connection *connection, const json_t *params,
			     json_t **ret_result, struct err *err)
{
	const char *id = schema_string(params, "console");
	struct console *console = console_find(&vmm_of(connection)->backends.attachable, id);
	const json_t *from = json_object_get(params, "from");
	uint64_t at;

	if (!console) {
		err_set(err, ENOENT, "there is no console '%s'", id);
		return err_hint(err, "ask console.list");
	}
	if (connection->console)
		return err_set(err, EBUSY, "the connection has a console already");
	connection->console = console;
	at = console_attach(console, &connection->viewer,
			    from ? (uint64_t)json_integer_value(from) : UINT64_MAX);
	/* Without the parameter nothing but the console's bytes comes: people look at it as it is. */
	return from ? give(json_pack("{s:I}", "from", (json_int_t)at), ret_result, err) : 0;
}

static int device_list(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return give(machine_devices(vmm_of(connection)->machine), ret_result, err);
}

static int device_dump(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return machine_dump(vmm_of(connection)->machine, schema_string(params, "id"), ret_result,
			    err);
}

static int bitmap_list(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return bitmaps_list(vmm_of(connection), params, ret_result, err);
}

static int bitmap_add(struct connection *connection, const json_t *params, json_t **ret_result,
		      struct err *err)
{
	return bitmaps_add(vmm_of(connection), params, err);
}

static int bitmap_remove(struct connection *connection, const json_t *params, json_t **ret_result,
			 struct err *err)
{
	return bitmaps_remove(vmm_of(connection), params, err);
}

static int bitmap_clear(struct connection *connection, const json_t *params, json_t **ret_result,
			struct err *err)
{
	return bitmaps_clear(vmm_of(connection), params, err);
}

static int bitmap_enable(struct connection *connection, const json_t *params, json_t **ret_result,
			 struct err *err)
{
	return bitmaps_enable(vmm_of(connection), params, true, err);
}

static int bitmap_disable(struct connection *connection, const json_t *params, json_t **ret_result,
			  struct err *err)
{
	return bitmaps_enable(vmm_of(connection), params, false, err);
}

static int bitmap_merge(struct connection *connection, const json_t *params, json_t **ret_result,
			struct err *err)
{
	return bitmaps_merge(vmm_of(connection), params, err);
}

static int disk_list(struct connection *connection, const json_t *params, json_t **ret_result,
		     struct err *err)
{
	return give(disks_list(vmm_of(connection)), ret_result, err);
}

static int disk_attach(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return disks_attach(vmm_of(connection), params, ret_result, err);
}

static int disk_detach(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return disks_detach(vmm_of(connection), params, err);
}

static int disk_change(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return disks_change(vmm_of(connection), params, err);
}

static int disk_lease(struct connection *connection, const json_t *params, json_t **ret_result,
		      struct err *err)
{
	return backends_set_lease(&vmm_of(connection)->backends, schema_string(params, "id"),
				  schema_integer(params, "ms"), err);
}

static int disk_limits(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return limits_book_change(&vmm_of(connection)->backends.limits, schema_string(params, "id"),
				  schema_boolean(params, "group"), params, ret_result, err);
}

static int net_list(struct connection *connection, const json_t *params, json_t **ret_result,
		    struct err *err)
{
	return give(nets_list(vmm_of(connection)), ret_result, err);
}

static int net_attach_card(struct connection *connection, const json_t *params, json_t **ret_result,
			   struct err *err)
{
	return nets_attach(vmm_of(connection), params, &connection->handover, ret_result, err);
}

static int net_detach_card(struct connection *connection, const json_t *params, json_t **ret_result,
			   struct err *err)
{
	return nets_detach(vmm_of(connection), params, err);
}

static int net_forwards(struct connection *connection, const json_t *params, json_t **ret_result,
			struct err *err)
{
	return nets_forward(vmm_of(connection), params, err);
}

static int net_rules(struct connection *connection, const json_t *params, json_t **ret_result,
		     struct err *err)
{
	return nets_rule(vmm_of(connection), params, err);
}

static int net_limits(struct connection *connection, const json_t *params, json_t **ret_result,
		      struct err *err)
{
	return nets_limit(vmm_of(connection), params, ret_result, err);
}

static int disk_resize(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return machine_resize_disk(vmm_of(connection)->machine, schema_string(params, "id"),
				   schema_integer(params, "size"), err);
}

static int disk_commit(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return jobs_commit(vmm_of(connection), params, err);
}

static int disk_stream(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return jobs_stream(vmm_of(connection), params, err);
}

static int disk_mirror(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return jobs_mirror(vmm_of(connection), params, err);
}

static int disk_backup(struct connection *connection, const json_t *params, json_t **ret_result,
		       struct err *err)
{
	return jobs_backup(vmm_of(connection), params, err);
}

static int disk_snapshot(struct connection *connection, const json_t *params, json_t **ret_result,
			 struct err *err)
{
	return jobs_snapshot(vmm_of(connection), params, err);
}

static int job_list(struct connection *connection, const json_t *params, json_t **ret_result,
		    struct err *err)
{
	return give(jobs_list(vmm_of(connection)), ret_result, err);
}

static int job_pause(struct connection *connection, const json_t *params, json_t **ret_result,
		     struct err *err)
{
	return jobs_pause(vmm_of(connection), params, err);
}

static int job_resume(struct connection *connection, const json_t *params, json_t **ret_result,
		      struct err *err)
{
	return jobs_resume(vmm_of(connection), params, err);
}

static int job_speed(struct connection *connection, const json_t *params, json_t **ret_result,
		     struct err *err)
{
	return jobs_speed(vmm_of(connection), params, err);
}

static int job_cancel(struct connection *connection, const json_t *params, json_t **ret_result,
		      struct err *err)
{
	return jobs_cancel(vmm_of(connection), params, err);
}

static int job_complete(struct connection *connection, const json_t *params, json_t **ret_result,
			struct err *err)
{
	return jobs_complete(vmm_of(connection), params, err);
}

static int stats(struct connection *connection, const json_t *params, json_t **ret_result,
		 struct err *err)
{
	return give(machine_stats(vmm_of(connection)->machine), ret_result, err);
}

static int subscribe(struct connection *connection, const json_t *params, json_t **ret_result,
		     struct err *err)
{
	connection->subscribed = true;
	return 0;
}

static method *const methods[CONTROL_METHODS] = {
	[CONTROL_STATUS] = status,
	[CONTROL_PAUSE] = pause_machine,
	[CONTROL_RESUME] = resume_machine,
	[CONTROL_POWER_BUTTON] = power_button,
	[CONTROL_NMI] = nmi,
	[CONTROL_RESET] = reset,
	[CONTROL_QUIT] = quit,
	[CONTROL_CONSOLE_LIST] = console_list,
	[CONTROL_CONSOLE_ATTACH] = console_attach_to,
	[CONTROL_DEVICE_LIST] = device_list,
	[CONTROL_DEVICE_DUMP] = device_dump,
	[CONTROL_BITMAP_LIST] = bitmap_list,
	[CONTROL_BITMAP_ADD] = bitmap_add,
	[CONTROL_BITMAP_REMOVE] = bitmap_remove,
	[CONTROL_BITMAP_CLEAR] = bitmap_clear,
	[CONTROL_BITMAP_ENABLE] = bitmap_enable,
	[CONTROL_BITMAP_DISABLE] = bitmap_disable,
	[CONTROL_BITMAP_MERGE] = bitmap_merge,
	[CONTROL_DISK_LIST] = disk_list,
	[CONTROL_DISK_ATTACH] = disk_attach,
	[CONTROL_DISK_DETACH] = disk_detach,
	[CONTROL_DISK_CHANGE] = disk_change,
	[CONTROL_DISK_LEASE] = disk_lease,
	[CONTROL_DISK_LIMITS] = disk_limits,
	[CONTROL_NET_LIST] = net_list,
	[CONTROL_NET_ATTACH] = net_attach_card,
	[CONTROL_NET_DETACH] = net_detach_card,
	[CONTROL_NET_FORWARDS] = net_forwards,
	[CONTROL_NET_LIMITS] = net_limits,
	[CONTROL_NET_RULES] = net_rules,
	[CONTROL_DISK_RESIZE] = disk_resize,
	[CONTROL_DISK_BACKUP] = disk_backup,
	[CONTROL_DISK_COMMIT] = disk_commit,
	[CONTROL_DISK_MIRROR] = disk_mirror,
	[CONTROL_DISK_SNAPSHOT] = disk_snapshot,
	[CONTROL_DISK_STREAM] = disk_stream,
	[CONTROL_JOB_LIST] = job_list,
	[CONTROL_JOB_PAUSE] = job_pause,
	[CONTROL_JOB_RESUME] = job_resume,
	[CONTROL_JOB_SPEED] = job_speed,
	[CONTROL_JOB_CANCEL] = job_cancel,
	[CONTROL_JOB_COMPLETE] = job_complete,
	[CONTROL_STATS] = stats,
	[CONTROL_SUBSCRIBE] = subscribe,
};

static json_t *fail(const struct jsonrpc_call *call, enum jsonrpc_code code, const struct err *err)
{
	char text[2 * ERR_TEXT_MAX + 8];

	snprintf(text, sizeof(text), "%s%s%s", err->text, *err->hint ? "; " : "", err->hint);
	return jsonrpc_error(call->id, code, text);
}

/* `params` by the method's rows; new reference. */
static json_t *check_params(int method_index, json_t *given, struct err *err)
{
	static const struct schema_field none[] = { { 0 } };
	const struct schema_field *rows = control_methods[method_index].params;
	json_t *params = given ? json_copy(given) : json_object();

	if (!schema_check(rows ? rows : none, params, "parameters", err))
		return params;
	json_decref(params);
	return NULL;
}

static json_t *answer_call(struct connection *connection, const struct jsonrpc_call *call)
{
	struct err err = ERR_INIT;
	int index = control_find_method(call->method, &err);
	json_t *params, *result = NULL;
	int rc;

	if (index < 0)
		return fail(call, JSONRPC_METHOD_NOT_FOUND, &err);
	params = check_params(index, call->params, &err);
	if (!params)
		return fail(call, JSONRPC_INVALID_PARAMS, &err);
	rc = methods[index](connection, params, &result, &err);
	json_decref(params);
	if (rc)
		return fail(call, JSONRPC_FAILED, &err);
	return jsonrpc_result(call->id, result ? result : json_null());
}

static json_t *answer_request(struct connection *connection, json_t *request)
{
	struct jsonrpc_call call;
	json_t *reply;

	if (jsonrpc_parse(request, &call, &reply))
		return reply;
	reply = answer_call(connection, &call);
	if (call.id)
		return reply;
	json_decref(reply);
	return NULL;
}

json_t *control_answer(struct connection *connection, const char *text, size_t length)
{
	json_t *reply = NULL, *replies, *request;
	json_t *message = jsonrpc_load(text, length, &reply);
	size_t index;

	if (!message)
		return reply;
	if (json_is_object(message)) {
		reply = answer_request(connection, message);
		json_decref(message);
		return reply;
	}
	replies = json_array();
	json_array_foreach(message, index, request)
	{
		reply = answer_request(connection, request);
		if (reply)
			json_array_append_new(replies, reply);
	}
	json_decref(message);
	if (json_array_size(replies))
		return replies;
	json_decref(replies);
	return NULL;
}
