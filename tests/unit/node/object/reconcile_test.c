/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "../fixture.h"

/* What the kind's function does is in the object's notes: how often it fails first. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned calls, running, most, fail, again_ms;
	bool hold;
} world = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER };

static int reconcile(struct node *node, const struct object *object, struct problem *problem)
{
	int rc = 0;

	(void)node;
	LOCK_SCOPE(&world.lock);
	world.calls++;
	world.running++;
	world.most = MAX(world.most, world.running);
	pthread_cond_broadcast(&world.changed);
	while (world.hold)
		pthread_cond_wait(&world.changed, &world.lock);
	world.running--;
	if (world.fail) {
		world.fail--;
		rc = problem_set(problem, API_CODE_CONFLICT, "'%s' is not ready", object->name);
		problem_hint(problem, "wait");
	} else if (world.again_ms) {
		rc = (int)world.again_ms;
		world.again_ms = 0;
	}
	return rc;
}

static const struct kind_ops network_test_ops = { .kind = &api_network, .reconcile = reconcile };
static const struct kind_ops pool_test_ops = { .kind = &api_pool };

const struct kind_ops *const kind_ops_table[] = { &network_test_ops, &pool_test_ops, NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	return kind == &api_network ? &network_test_ops : kind == &api_pool ? &pool_test_ops : NULL;
}

static int world_init(void **state)
{
	world.calls = world.running = world.most = world.fail = world.again_ms = 0;
	world.hold = false;
	return rig_init(state);
}

static void wait_for_calls(unsigned calls)
{
	LOCK_SCOPE(&world.lock);
	while (world.calls < calls)
		pthread_cond_wait(&world.changed, &world.lock);
}

static void set_hold(bool hold)
{
	LOCK_SCOPE(&world.lock);
	world.hold = hold;
	pthread_cond_broadcast(&world.changed);
}

/* Until status.problem is there, or is not. */
static void wait_for_problem(struct rig *rig, const struct object *object, const char *text)
{
	for (;;) {
		json_t *status = object_status(&rig->node, object);
		const char *problem = schema_string(status, "problem");
		bool is = text ? problem && !strcmp(problem, text) : !problem;

		json_decref(status);
		if (is)
			return;
		usleep(1000);
	}
}

static void reconcile_changed_object_is_worked_on(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", NULL, NULL), 0);
	wait_for_calls(1);
}

static void reconcile_pokes_meanwhile_one_more_call(void **state)
{
	struct rig *rig = *state;
	struct object object;

	set_hold(true);
	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", &object, NULL), 0);
	wait_for_calls(1);
	for (unsigned i = 0; i < 50; i++)
		reconcile_poke(&rig->node, &api_network, object.uid);
	set_hold(false);
	wait_for_calls(2);
	rig_reopen(rig);
	assert_int_equal(world.most, 1);
	assert_int_equal(world.calls, 2);
	object_fini(&object);
}

static void reconcile_failed_is_shown_and_repeated(void **state)
{
	struct rig *rig = *state;
	struct object object;

	world.fail = 1;
	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", &object, NULL), 0);
	wait_for_problem(rig, &object, "'lan' is not ready; wait");
	wait_for_calls(2);
	wait_for_problem(rig, &object, NULL);
	object_fini(&object);
}

static void reconcile_asked_for_again_is_called_again(void **state)
{
	struct rig *rig = *state;

	world.again_ms = 5;
	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", NULL, NULL), 0);
	wait_for_calls(2);
}

/* While a timer would call it in an hour, a poke does now. */
static void reconcile_poked_while_waiting_is_called_now(void **state)
{
	struct rig *rig = *state;
	struct object object;

	world.again_ms = 3600000;
	assert_int_equal(rig_create(rig, &api_network, "lan", "{}", &object, NULL), 0);
	wait_for_calls(1);
	while (world.calls < 2) {
		reconcile_poke(&rig->node, &api_network, object.uid);
		usleep(1000);
	}
	object_fini(&object);
}

static void reconcile_pass_calls_for_all_of_kinds_that_can(void **state)
{
	struct rig *rig = *state;
	struct err err = ERR_INIT;

	for (unsigned i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		assert_int_equal(rig_create(rig, &api_network, name, "{}", NULL, NULL), 0);
		assert_int_equal(rig_create(rig, &api_pool, name, "{}", NULL, NULL), 0);
	}
	wait_for_calls(20);
	rig_reopen(rig);
	world.calls = 0;
	assert_int_equal(reconciler_pass(&rig->node, &err), 0);
	wait_for_calls(20);
	rig_reopen(rig);
	assert_int_equal(world.calls, 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_init, rig_fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reconcile_changed_object_is_worked_on),
		TEST(reconcile_pokes_meanwhile_one_more_call),
		TEST(reconcile_failed_is_shown_and_repeated),
		TEST(reconcile_asked_for_again_is_called_again),
		TEST(reconcile_poked_while_waiting_is_called_now),
		TEST(reconcile_pass_calls_for_all_of_kinds_that_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
