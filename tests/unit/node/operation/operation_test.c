/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/stat.h>

#include "../fixture.h"

#include "node/access/priv.h"

/* ---- what the operations of the tests do ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned begun, again;
	char lines[256];
} world = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER };

static void note_begin(const struct operation *operation)
{
	LOCK_SCOPE(&world.lock);
	world.begun++;
	world.again += operation->again;
	pthread_cond_broadcast(&world.changed);
}

static void wait_for_begun(unsigned count)
{
	LOCK_SCOPE(&world.lock);
	while (world.begun < count)
		pthread_cond_wait(&world.changed, &world.lock);
}

static int run_quick(struct operation *operation, struct problem *problem)
{
	(void)problem;
	note_begin(operation);
	operation_progress(operation, "count", 5, 10);
	operation->result = json_pack("{s:O}", "given", operation->params);
	return 0;
}

static int run_failing(struct operation *operation, struct problem *problem)
{
	note_begin(operation);
	problem_set(problem, API_CODE_NO_SPACE, "pool 'fast' is full");
	problem_field(problem, "spec.size");
	return problem_hint(problem, "delete something");
}

/* Until it is cancelled, or the object's notes say "go". */
static int run_waiting(struct operation *operation, struct problem *problem)
{
	note_begin(operation);
	while (!operation_cancelled(operation)) {
		struct object object;
		bool go;
		int rc = operation_object(operation, &object, problem);

		if (rc)
			return rc;
		go = !strcmp(schema_string(object.document, "notes"), "go");
		object_fini(&object);
		if (go)
			return 0;
		operation_wait(operation, 3600000);
	}
	return -ECANCELED;
}

static int run_parent(struct operation *operation, struct problem *problem)
{
	struct object object;
	struct change change;
	char id[UID_SIZE];
	int rc = operation_object(operation, &object, problem);

	if (rc)
		return rc;
	change_begin(&change, operation->node, NULL);
	change.parent = operation->id;
	rc = change_add_operation(&change, &object, schema_string(operation->params, "child"), NULL,
				  id, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	object_fini(&object);
	return rc ? rc : operation_join(operation, id, problem);
}

static void keep_line(void *ctx, const char *text)
{
	(void)ctx;
	snprintf(world.lines + strlen(world.lines), sizeof(world.lines) - strlen(world.lines),
		 "%s;", text);
}

static int run_program(struct operation *operation, struct problem *problem)
{
	const char *const argv[] = { "/bin/sh", "-c", schema_string(operation->params, "script"),
				     NULL };

	return operation_spawn(operation, argv, keep_line, NULL, problem);
}

static int run_own_program(struct operation *operation, struct problem *problem)
{
	static const char *const argv[] = { "tool", NULL };

	return operation_spawn(operation, argv, keep_line, NULL, problem);
}

static const struct action_ops actions[] = {
	{ .name = "quick", .run = run_quick },
	{ .name = "fail", .run = run_failing },
	{ .name = "wait", .run = run_waiting },
	{ .name = "parent", .run = run_parent },
	{ .name = "program", .run = run_program },
	{ .name = "tool", .run = run_own_program },
	{ 0 },
};

static const struct kind_ops pool_test_ops = { .kind = &api_pool, .actions = actions };

const struct kind_ops *const kind_ops_table[] = { &pool_test_ops, NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	return kind == &api_pool ? &pool_test_ops : NULL;
}

static int world_init(void **state)
{
	world.begun = world.again = 0;
	*world.lines = '\0';
	return rig_init(state);
}

/* ---- asking ---- */

static void begin(struct rig *rig, const char *action, const char *params, char ret_id[UID_SIZE])
{
	json_t *given = params ? json_loads(params, 0, NULL) : NULL;
	struct object object;
	struct change change;

	if (object_get(&rig->node, &api_pool, "", "fast", &object, NULL))
		assert_int_equal(rig_create(rig, &api_pool, "fast", "{}", &object, NULL), 0);
	change_begin(&change, &rig->node, NULL);
	assert_int_equal(change_add_operation(&change, &object, action, given, ret_id, NULL), 0);
	assert_int_equal(change_commit(&change, NULL), 0);
	change_fini(&change);
	object_fini(&object);
	json_decref(given);
}

static void set_notes(struct rig *rig, const char *notes)
{
	struct object object;

	assert_int_equal(object_get(&rig->node, &api_pool, "", "fast", &object, NULL), 0);
	json_object_set_new(object.document, "notes", json_string(notes));
	assert_int_equal(rig_put(rig, &object, NULL), 0);
	object_fini(&object);
}

static const struct identity root = { .user = ROOT_NAME, .root = true, .way = "u0" };

/* How it is after so long, or at its end. */
static json_t *wait_for(struct rig *rig, const char *id, unsigned ms, unsigned status)
{
	struct web_exchange exchange;
	json_t *shown;

	exchange_init(&exchange);
	operations_answer(&rig->node, &root, id, ms, &exchange);
	shown = exchange_wait(&exchange);
	assert_int_equal(exchange.status, status);
	exchange_fini(&exchange);
	return shown;
}

static void expect_state(const json_t *shown, const char *state)
{
	assert_string_equal(schema_string(json_object_get(shown, "status"), "state"), state);
}

static void expect_end(struct rig *rig, const char *id, const char *state)
{
	json_t *shown = wait_for(rig, id, 60000, 200);

	expect_state(shown, state);
	json_decref(shown);
}

static void expect_error(struct rig *rig, const char *id, const char *text)
{
	json_t *shown = wait_for(rig, id, 60000, 200);
	const json_t *status = json_object_get(shown, "status");

	expect_state(shown, "failed");
	assert_string_equal(schema_string(json_object_get(status, "error"), "message"), text);
	json_decref(shown);
}

/* ---- tests ---- */

static void operation_done_has_its_result(void **state)
{
	struct rig *rig = *state;
	const json_t *status;
	json_t *shown;
	char id[UID_SIZE];

	begin(rig, "quick", "{\"n\": 3}", id);
	shown = wait_for(rig, id, 60000, 200);
	status = json_object_get(shown, "status");
	expect_state(shown, "done");
	assert_int_equal(
		schema_integer(json_object_get(json_object_get(status, "result"), "given"), "n"),
		3);
	assert_int_equal(schema_integer(json_object_get(status, "progress"), "percent"), 50);
	assert_string_equal(schema_string(json_object_get(status, "progress"), "phase"), "count");
	assert_non_null(schema_string(status, "started"));
	assert_non_null(schema_string(status, "ended"));
	assert_false(schema_boolean(status, "cancellable"));
	assert_null(json_object_get(shown, "params"));
	json_decref(shown);
}

static void operation_failed_says_why(void **state)
{
	struct rig *rig = *state;
	const json_t *error;
	json_t *shown;
	char id[UID_SIZE];

	begin(rig, "fail", NULL, id);
	shown = wait_for(rig, id, 60000, 200);
	expect_state(shown, "failed");
	error = json_object_get(json_object_get(shown, "status"), "error");
	assert_string_equal(schema_string(error, "code"), "no-space");
	assert_string_equal(schema_string(error, "message"), "pool 'fast' is full");
	assert_string_equal(schema_string(error, "hint"), "delete something");
	assert_string_equal(schema_string(error, "field"), "spec.size");
	json_decref(shown);
}

static void operation_unknown_action_fails(void **state)
{
	struct rig *rig = *state;
	char id[UID_SIZE];

	begin(rig, "vanish", NULL, id);
	expect_error(rig, id, "nothing does 'vanish' of a pool");
}

static void operation_not_ended_is_shown_after_the_wait(void **state)
{
	struct rig *rig = *state;
	json_t *shown;
	char id[UID_SIZE];

	begin(rig, "wait", NULL, id);
	wait_for_begun(1);
	shown = wait_for(rig, id, 20, 202);
	expect_state(shown, "running");
	json_decref(shown);
	shown = wait_for(rig, id, 0, 202);
	json_decref(shown);
	set_notes(rig, "go");
	expect_end(rig, id, "done");
}

/* More than there can be connections. */
static void requests_of_clients_that_left_do_not_pile_up(void **state)
{
	enum { CLIENTS = 4096 };
	struct web_exchange *clients = calloc(CLIENTS + 1, sizeof(*clients));
	struct rig *rig = *state;
	char id[UID_SIZE];

	begin(rig, "wait", NULL, id);
	wait_for_begun(1);
	for (unsigned i = 0; i <= CLIENTS; i++) {
		exchange_init(&clients[i]);
		clients[i].gone = i < CLIENTS;
		operations_answer(&rig->node, &root, id, 60000, &clients[i]);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		json_decref(exchange_wait(&clients[i]));
		assert_int_equal(clients[i].status, 202);
	}
	assert_int_equal(clients[CLIENTS].answers, 0);
	set_notes(rig, "go");
	json_decref(exchange_wait(&clients[CLIENTS]));
	assert_int_equal(clients[CLIENTS].status, 200);
	for (unsigned i = 0; i <= CLIENTS; i++)
		exchange_fini(&clients[i]);
	free(clients);
}

/* ---- who waits ---- */

#define WEB_RULES                                                                                  \
	"{\"rules\": [{\"kinds\": [\"pool\"], \"verbs\": [\"read\", \"operate\"],"                 \
	" \"labels\": {\"tier\": \"web\"}}]}"

static void make(struct rig *rig, const struct api_kind *kind, const char *name, const char *spec,
		 struct object *ret_object)
{
	assert_int_equal(rig_create(rig, kind, name, spec, ret_object, NULL), 0);
}

/* A user with rights to pools of the web, known by a certificate. */
static void make_alice(struct rig *rig, struct identity *ret_alice)
{
	struct identity known = { .way = "c00" };
	struct store_commit commit = { 0 };
	char key[STORE_KEY_MAX + 1], text[128];
	struct object role, user;

	make(rig, &api_role, "web", WEB_RULES, &role);
	make(rig, &api_user, "alice", "{\"grants\": [{\"role\": \"web\"}]}", &user);
	user_index_key("certificate", "00", key);
	snprintf(text, sizeof(text), "{\"user\": \"alice\", \"uid\": \"%s\"}", user.uid);
	store_put(&commit, key, text, strlen(text));
	assert_int_equal(store_commit(rig->node.store, &commit, NULL, NULL), 0);
	store_commit_fini(&commit);
	assert_int_equal(access_renew(&rig->node, &known, ret_alice), 0);
	object_fini(&role);
	object_fini(&user);
}

/* A member of an object anew, or the object goes. */
static void set(struct rig *rig, const struct api_kind *kind, const char *name, const char *member,
		const char *value)
{
	struct object object;

	assert_int_equal(object_get(&rig->node, kind, "", name, &object, NULL), 0);
	if (member)
		json_object_set_new(object.document, member, json_loads(value, 0, NULL));
	assert_int_equal(member ? rig_put(rig, &object, NULL) : rig_delete(rig, &object, NULL), 0);
	object_fini(&object);
}

static const struct {
	const char *what;
	const struct api_kind *kind; /* that is changed while alice waits; NULL: none */
	const char *name, *member, *value;
	unsigned refused; /* by that status; 0: she gets the answer */
} changes[] = {
	{ "nothing", NULL, NULL, NULL, NULL, 0 },
	{ "more rights", &api_role, "web", "spec",
	  "{\"rules\": [{\"kinds\": [\"*\"], \"verbs\": [\"*\"]}]}", 0 },
	{ "the object has gone", &api_pool, "fast", NULL, NULL, 0 },
	{ "the object is not of the web", &api_pool, "fast", "labels", "{\"tier\": \"db\"}", 403 },
	{ "the role is empty", &api_role, "web", "spec", "{\"rules\": []}", 403 },
	{ "the role has gone", &api_role, "web", NULL, NULL, 403 },
	{ "the role is taken away", &api_user, "alice", "spec", "{}", 403 },
	{ "the user is disabled", &api_user, "alice", "spec", "{\"disabled\": true}", 401 },
	{ "the user has gone", &api_user, "alice", NULL, NULL, 401 },
};

/* Alice waits for an operation of a pool when that row comes to pass. */
static void begin_wait(struct rig *rig, unsigned row, char id[UID_SIZE],
		       struct web_exchange *exchange)
{
	struct identity alice;
	struct object pool;

	make(rig, &api_pool, "fast", "{}", &pool);
	object_fini(&pool);
	set(rig, &api_pool, "fast", "labels", "{\"tier\": \"web\"}");
	make_alice(rig, &alice);
	begin(rig, "wait", NULL, id);
	exchange_init(exchange);
	operations_answer(&rig->node, &alice, id, 60000, exchange);
	identity_fini(&alice);
	if (changes[row].kind)
		set(rig, changes[row].kind, changes[row].name, changes[row].member,
		    changes[row].value);
}

static void expect_answer(struct web_exchange *exchange, unsigned row)
{
	unsigned refused = changes[row].refused;

	json_decref(exchange_wait(exchange));
	if (refused ? exchange->status != refused : exchange->status / 100 != 2)
		fail_msg("%s: %u", changes[row].what, exchange->status);
	exchange_fini(exchange);
}

static void answer_to_a_wait_needs_the_rights_of_its_end(void **state)
{
	for (unsigned row = 0; row < ARRAY_SIZE(changes); row++) {
		struct web_exchange exchange;
		char id[UID_SIZE];

		if (row)
			world_init(state);
		begin_wait(*state, row, id, &exchange);
		operations_cancel(&((struct rig *)*state)->node, id, NULL);
		expect_answer(&exchange, row);
		if (row + 1 < ARRAY_SIZE(changes))
			rig_fini(state);
	}
}

/* The loop runs no more then, as in the daemon. */
static void answer_to_a_wait_comes_before_the_daemon_ends(void **state)
{
	for (unsigned row = 0; row < ARRAY_SIZE(changes); row++) {
		struct web_exchange exchange;
		char id[UID_SIZE];
		struct rig *rig;

		if (row)
			world_init(state);
		rig = *state;
		begin_wait(rig, row, id, &exchange);
		loop_hold(rig->node.loop);
		operations_stop(&rig->node);
		assert_int_equal(exchange.answers, 1);
		loop_release(rig->node.loop);
		expect_answer(&exchange, row);
		if (row + 1 < ARRAY_SIZE(changes))
			rig_fini(state);
	}
}

static void operation_unknown_is_not_found(void **state)
{
	struct rig *rig = *state;
	json_t *shown = wait_for(rig, "00000000-0000-8000-8000-000000000000", 100, 404);

	json_decref(shown);
}

static void operation_cancelled_ends(void **state)
{
	struct rig *rig = *state;
	struct problem problem = PROBLEM_INIT;
	char id[UID_SIZE];

	begin(rig, "wait", NULL, id);
	wait_for_begun(1);
	assert_int_equal(operations_cancel(&rig->node, id, NULL), 0);
	expect_end(rig, id, "cancelled");
	assert_int_equal(operations_cancel(&rig->node, id, &problem), -EALREADY);
	assert_int_equal(problem.code, API_CODE_CONFLICT);
	assert_int_equal(operations_cancel(&rig->node, "none", &problem), -ENOENT);
}

/* By whoever looks without waiting: the run has some lines to go then. */
static void operation_seen_ended_is_not_cancelled(void **state)
{
	struct rig *rig = *state;

	for (unsigned i = 0; i < 200; i++) {
		struct web_exchange exchange;
		char id[UID_SIZE];

		begin(rig, "quick", NULL, id);
		do {
			exchange_init(&exchange);
			operations_answer(&rig->node, NULL, id, 0, &exchange);
			exchange_fini(&exchange);
		} while (exchange.status != 200);
		assert_int_equal(operations_cancel(&rig->node, id, NULL), -EALREADY);
	}
}

struct early_cancel {
	struct node *node;
	const char *id;
	int rc;
};

static void *cancel_early(void *ctx)
{
	struct early_cancel *cancel = ctx;

	cancel->rc = operations_cancel(cancel->node, cancel->id, NULL);
	return NULL;
}

/* Whoever learns of it by the commit can be faster than the one who made the commit. */
static void operation_stored_and_not_begun_is_there(void **state)
{
	struct rig *rig = *state;
	struct early_cancel early = { .node = &rig->node };
	struct web_exchange exchange;
	char id[UID_SIZE];
	struct object object;
	struct change change;
	pthread_t thread;
	json_t *shown;

	assert_int_equal(rig_create(rig, &api_pool, "fast", "{}", &object, NULL), 0);
	change_begin(&change, &rig->node, NULL);
	assert_int_equal(change_add_operation(&change, &object, "wait", NULL, id, NULL), 0);
	assert_int_equal(store_commit(rig->node.store, &change.commit, &change.revision, NULL), 0);
	exchange_init(&exchange);
	operations_answer(&rig->node, &root, id, 60000, &exchange);
	assert_int_equal(exchange.answers, 0);
	early.id = id;
	assert_int_equal(pthread_create(&thread, NULL, cancel_early, &early), 0);
	operations_begin(&rig->node, id, change.revision);
	pthread_join(thread, NULL);
	assert_int_equal(early.rc, 0);
	shown = exchange_wait(&exchange);
	expect_state(shown, "cancelled");
	json_decref(shown);
	assert_int_equal(exchange.status, 200);
	exchange_fini(&exchange);
	change_fini(&change);
	object_fini(&object);
}

static void operation_never_stored_is_not_found(void **state)
{
	struct rig *rig = *state;
	struct object object;
	struct change change;
	char id[UID_SIZE];

	assert_int_equal(rig_create(rig, &api_pool, "fast", "{}", &object, NULL), 0);
	change_begin(&change, &rig->node, NULL);
	assert_int_equal(change_add_operation(&change, &object, "quick", NULL, id, NULL), 0);
	change_fini(&change);
	object_fini(&object);
	assert_int_equal(operations_cancel(&rig->node, id, NULL), -ENOENT);
	assert_true(list_empty(&rig->node.operations->runs));
}

/* More of them than there are places, none of which ends: the last one is done at once. */
static void operations_that_wait_hold_up_nobody(void **state)
{
	struct rig *rig = *state;
	char ids[40][UID_SIZE], id[UID_SIZE];

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		begin(rig, "wait", NULL, ids[i]);
	wait_for_begun(ARRAY_SIZE(ids));
	begin(rig, "quick", NULL, id);
	expect_end(rig, id, "done");
	set_notes(rig, "go");
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		expect_end(rig, ids[i], "done");
}

static void operation_of_before_a_restart_goes_on(void **state)
{
	struct rig *rig = *state;
	struct err err = ERR_INIT;
	char first[UID_SIZE], second[UID_SIZE];
	json_t *shown;

	begin(rig, "wait", NULL, first);
	begin(rig, "quick", NULL, second);
	expect_end(rig, second, "done");
	wait_for_begun(2);
	rig_reopen(rig);
	shown = wait_for(rig, first, 0, 202);
	expect_state(shown, "running");
	json_decref(shown);
	world.begun = 0;
	assert_int_equal(operations_resume(&rig->node, &err), 0);
	wait_for_begun(1);
	set_notes(rig, "go");
	expect_end(rig, first, "done");
	assert_int_equal(world.begun, 1);
	assert_int_equal(world.again, 1);
}

static void operation_cancelled_before_a_restart_is_cancelled(void **state)
{
	struct rig *rig = *state;
	struct err err = ERR_INIT;
	struct store_item item;
	char id[UID_SIZE], key[KEY_SIZE];
	json_t *document;
	char *text;
	struct store_commit commit = { 0 };

	begin(rig, "wait", NULL, id);
	wait_for_begun(1);
	rig_reopen(rig);
	operation_key(id, key);
	assert_int_equal(store_get(rig->node.store, key, &item, NULL), 0);
	document = json_loads(item.value, 0, NULL);
	json_object_set_new(document, "cancel", json_true());
	text = json_dumps(document, 0);
	store_put(&commit, key, text, strlen(text));
	assert_int_equal(store_commit(rig->node.store, &commit, NULL, NULL), 0);
	store_commit_fini(&commit);
	store_item_fini(&item);
	json_decref(document);
	free(text);
	assert_int_equal(operations_resume(&rig->node, &err), 0);
	expect_end(rig, id, "cancelled");
}

static void operation_parts_end_before_the_whole(void **state)
{
	struct rig *rig = *state;
	const json_t *status;
	json_t *shown;
	char id[UID_SIZE];

	begin(rig, "parent", "{\"child\": \"quick\"}", id);
	shown = wait_for(rig, id, 60000, 200);
	status = json_object_get(shown, "status");
	expect_state(shown, "done");
	assert_int_equal(json_array_size(json_object_get(status, "children")), 1);
	expect_end(rig, json_string_value(json_array_get(json_object_get(status, "children"), 0)),
		   "done");
	json_decref(shown);
	begin(rig, "parent", "{\"child\": \"fail\"}", id);
	expect_error(rig, id, "pool 'fast' is full");
}

static void operation_cancelled_cancels_its_parts(void **state)
{
	struct rig *rig = *state;
	const json_t *children;
	json_t *shown;
	char id[UID_SIZE];

	begin(rig, "parent", "{\"child\": \"wait\"}", id);
	wait_for_begun(1);
	assert_int_equal(operations_cancel(&rig->node, id, NULL), 0);
	shown = wait_for(rig, id, 60000, 200);
	expect_state(shown, "cancelled");
	children = json_object_get(json_object_get(shown, "status"), "children");
	expect_end(rig, json_string_value(json_array_get(children, 0)), "cancelled");
	json_decref(shown);
}

static void program_of_operation_tells_lines(void **state)
{
	struct rig *rig = *state;
	char id[UID_SIZE];

	begin(rig, "program", "{\"script\": \"echo one; printf 'two\\\\rthree'; echo no >&2\"}",
	      id);
	expect_end(rig, id, "done");
	assert_string_equal(world.lines, "one;two;three;");
}

static void program_that_fails_has_the_last_word(void **state)
{
	static const char *const rows[][2] = {
		{ "echo first >&2; echo 'sh: the disk is full' >&2; exit 3", "the disk is full" },
		{ "exit 3", "'sh' ended with status 3" },
		{ "kill -SEGV $$", "'sh' was ended by signal 11" },
	};
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char id[UID_SIZE], params[256];

		snprintf(params, sizeof(params), "{\"script\": \"%s\"}", rows[i][0]);
		begin(rig, "program", params, id);
		expect_error(rig, id, rows[i][1]);
	}
}

static void program_is_of_the_build(void **state)
{
	struct rig *rig = *state;
	char path[96], id[UID_SIZE];
	FILE *file;

	begin(rig, "tool", NULL, id);
	snprintf(path, sizeof(path), "%s/tool", rig->folder);
	json_t *shown = wait_for(rig, id, 60000, 200);
	expect_state(shown, "failed");
	json_decref(shown);
	file = fopen(path, "w");
	fputs("#!/bin/sh\necho done by $0\n", file);
	fclose(file);
	chmod(path, 0700);
	begin(rig, "tool", NULL, id);
	expect_end(rig, id, "done");
	assert_non_null(strstr(world.lines, path));
	unlink(path);
}

/* With what it started: it would hold the pipe for an hour. */
static void program_of_cancelled_operation_ends(void **state)
{
	struct rig *rig = *state;
	char id[UID_SIZE];

	begin(rig, "program", "{\"script\": \"sleep 3600 & echo up; wait\"}", id);
	while (!strstr(world.lines, "up"))
		usleep(1000);
	assert_int_equal(operations_cancel(&rig->node, id, NULL), 0);
	expect_end(rig, id, "cancelled");
}

/* More programs than may run at once, none of which ends before the file is there. */
static void programs_hold_up_nobody(void **state)
{
	struct rig *rig = *state;
	char ids[20][UID_SIZE], id[UID_SIZE], params[256], path[96];

	snprintf(path, sizeof(path), "%s/go", rig->folder);
	snprintf(params, sizeof(params), "{\"script\": \"until [ -e %s ]; do sleep 0.01; done\"}",
		 path);
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		begin(rig, "program", params, ids[i]);
	begin(rig, "quick", NULL, id);
	expect_end(rig, id, "done");
	/* One of those that still wait for their turn, and one that runs. */
	assert_int_equal(operations_cancel(&rig->node, ids[19], NULL), 0);
	expect_end(rig, ids[19], "cancelled");
	assert_int_equal(operations_cancel(&rig->node, ids[0], NULL), 0);
	expect_end(rig, ids[0], "cancelled");
	fclose(fopen(path, "w"));
	for (unsigned i = 1; i < ARRAY_SIZE(ids) - 1; i++)
		expect_end(rig, ids[i], "done");
	unlink(path);
}

static void operation_ids_newest_first(void **state)
{
	char first[UID_SIZE], second[UID_SIZE];

	(void)state;
	operation_new_id(first);
	usleep(3000);
	operation_new_id(second);
	assert_int_equal(strlen(first), UID_SIZE - 1);
	assert_true(strcmp(second, first) < 0);
	assert_int_equal(first[14], '8');
}

static void operations_old_are_forgotten(void **state)
{
	static const struct {
		const char *ended;
		bool kept;
	} rows[] = { { "2020-01-01T00:00:00Z", false },
		     { "2990-01-01T00:00:00Z", true },
		     { NULL, true } };
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct store_commit commit = { 0 };
		char key[64], *text;
		json_t *document = json_pack("{s:{s:s*}}", "status", "ended", rows[i].ended);

		text = json_dumps(document, 0);
		snprintf(key, sizeof(key), "/operations/%u", i);
		store_put(&commit, key, text, strlen(text));
		assert_int_equal(store_commit(rig->node.store, &commit, NULL, NULL), 0);
		store_commit_fini(&commit);
		json_decref(document);
		free(text);
	}
	operations_prune(&rig->node);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char key[64];

		snprintf(key, sizeof(key), "/operations/%u", i);
		assert_int_equal(rig_count(rig, key), rows[i].kept);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_init, rig_fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(operation_done_has_its_result),
		TEST(operation_failed_says_why),
		TEST(operation_unknown_action_fails),
		TEST(operation_not_ended_is_shown_after_the_wait),
		TEST(requests_of_clients_that_left_do_not_pile_up),
		TEST(answer_to_a_wait_needs_the_rights_of_its_end),
		TEST(answer_to_a_wait_comes_before_the_daemon_ends),
		TEST(operation_unknown_is_not_found),
		TEST(operation_cancelled_ends),
		TEST(operation_seen_ended_is_not_cancelled),
		TEST(operation_stored_and_not_begun_is_there),
		TEST(operation_never_stored_is_not_found),
		TEST(operations_that_wait_hold_up_nobody),
		TEST(operation_of_before_a_restart_goes_on),
		TEST(operation_cancelled_before_a_restart_is_cancelled),
		TEST(operation_parts_end_before_the_whole),
		TEST(operation_cancelled_cancels_its_parts),
		TEST(program_of_operation_tells_lines),
		TEST(program_that_fails_has_the_last_word),
		TEST(program_is_of_the_build),
		TEST(program_of_cancelled_operation_ends),
		TEST(programs_hold_up_nobody),
		TEST(operation_ids_newest_first),
		TEST(operations_old_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
