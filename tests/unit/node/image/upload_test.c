/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Uploads of several parts, in the order in which a quick client and a second one may send them. */
#include "../fixture.h"

#include "base/cleanup.h"
#include "node/access/priv.h"
#include "node/disk/pool_clean.h"
#include "node/disk/pool_lock.h"
#include "node/image/upload.h"

#define TOTAL 3000

static int run_create(struct operation *operation, struct problem *problem)
{
	(void)problem;
	while (!operation_cancelled(operation))
		operation_wait(operation, 3600000);
	return -ECANCELED;
}

static const struct action_ops actions[] = { { .name = "create", .run = run_create }, { 0 } };

static const struct kind_ops image_test_ops = { .kind = &api_image, .actions = actions };

const struct kind_ops *const kind_ops_table[] = { &image_test_ops, NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	return kind == &api_image ? &image_test_ops : NULL;
}

/* ---- a part, as a client sends it ---- */

struct part {
	struct web_exchange exchange;
	struct rig *rig;
	char range[64];
	struct part *next; /* is sent when this one is answered, or its head is read */
	bool next_at_head;
	const struct web_upload_ops *ops;
	void *upload;
	enum api_code refused;
};

static void begin(struct part *part);
static void end(struct part *part);

const char *web_header(const struct web_request *request, const char *name)
{
	struct part *part = container_of(request->exchange, struct part, exchange);
	struct part *next = part->next_at_head ? take_ptr(&part->next) : NULL;

	if (next)
		end(next);
	return strcmp(name, "content-range") ? NULL : part->range;
}

bool web_query(const struct web_request *request, const char *name, char *ret_value, size_t size)
{
	return false;
}

bool web_cookie(const struct web_request *request, const char *name, char *ret_value, size_t size)
{
	return false;
}

static void on_answer(struct web_exchange *exchange)
{
	struct part *part = container_of(exchange, struct part, exchange);

	if (part->next && !part->next_at_head)
		begin(part->next);
}

static void part_init(struct part *part, struct rig *rig, unsigned first, unsigned last)
{
	*part = (struct part){ .rig = rig };
	exchange_init(&part->exchange);
	part->exchange.answered = on_answer;
	snprintf(part->range, sizeof(part->range), "bytes %u-%u/%u", first, last, TOTAL);
}

static void begin(struct part *part)
{
	struct node *node = &part->rig->node;
	struct identity root = { .user = ROOT_NAME, .root = true, .way = "u0" };
	struct web_request request = { .exchange = &part->exchange };
	struct problem problem = PROBLEM_INIT;
	struct object image;
	struct call call = { .node = node, .who = &root, .request = &request, .object = &image };

	assert_int_equal(object_get(node, &api_image, "default", "a", &image, NULL), 0);
	upload_begin(&call, 1000, &part->ops, &part->upload, &problem);
	part->refused = problem.code;
	object_fini(&image);
}

static void end(struct part *part)
{
	static const char bytes[1000];

	assert_int_equal(part->refused, API_CODE_NONE);
	assert_int_equal(part->ops->piece(part->upload, bytes, sizeof(bytes)), 0);
	part->ops->end(part->upload, 0);
}

static void expect_status(struct part *part, unsigned status)
{
	json_decref(exchange_wait(&part->exchange));
	assert_int_equal(part->exchange.status, status);
	exchange_fini(&part->exchange);
}

/* ---- an image that waits for its content ---- */

struct place {
	struct rig *rig;
	char folder[64];
	struct object image;
};

static void place_init(struct place *place, struct rig *rig)
{
	struct err err = ERR_INIT;
	char spec[128];
	struct object pool;

	*place = (struct place){ .rig = rig, .folder = "/var/tmp/cella-pool-XXXXXX" };
	assert_non_null(mkdtemp(place->folder));
	assert_int_equal(access_open(&rig->node, &err), 0);
	assert_int_equal(pool_locks_open(&rig->node, &err), 0);
	snprintf(spec, sizeof(spec), "{\"path\": \"%s\"}", place->folder);
	assert_int_equal(rig_create(rig, &api_pool, "default", spec, &pool, NULL), 0);
	object_fini(&pool);
	assert_int_equal(rig_create(rig, &api_image, "a", "{}", &place->image, NULL), 0);
	assert_int_equal(object_patch_status(&rig->node, &place->image,
					     json_pack("{s:s}", "state", "empty")),
			 0);
}

static void place_fini(struct place *place)
{
	struct node rest = { .access = place->rig->node.access };
	void *rig = place->rig;

	loop_hold(rest.loop = place->rig->node.loop);
	stays_fini(&rest.access->stays);
	loop_release(rest.loop);
	object_fini(&place->image);
	pool_locks_close(&place->rig->node);
	rig_fini(&rig);
	access_close(&rest);
	assert_int_equal(pool_remove_tree(place->folder), 0);
}

/* ---- tests ---- */

static void upload_part_answered_makes_way_for_the_next(void **state)
{
	struct part parts[3];
	struct place place;

	place_init(&place, *state);
	for (unsigned i = 0; i < 3; i++) {
		part_init(&parts[i], *state, i * 1000, i * 1000 + 999);
		parts[i].next = i < 2 ? &parts[i + 1] : NULL;
	}
	begin(&parts[0]);
	for (unsigned i = 0; i < 3; i++) {
		end(&parts[i]);
		expect_status(&parts[i], i < 2 ? 200 : 202);
	}
	place_fini(&place);
}

static void upload_at_the_same_time_is_refused(void **state)
{
	struct part first, second;
	struct place place;

	place_init(&place, *state);
	part_init(&first, *state, 0, 999);
	part_init(&second, *state, 0, 999);
	begin(&first);
	begin(&second);
	assert_int_equal(second.refused, API_CODE_CONFLICT);
	exchange_fini(&second.exchange);
	end(&first);
	expect_status(&first, 200);
	place_fini(&place);
}

/* What is being imported is not cut short by who asked before it was whole. */
static void upload_behind_the_last_part_is_refused(void **state)
{
	struct part first, second;
	struct place place;

	place_init(&place, *state);
	part_init(&first, *state, 0, 999);
	snprintf(first.range, sizeof(first.range), "bytes 0-999/1000");
	part_init(&second, *state, 0, 999);
	second.next = &first;
	second.next_at_head = true;
	begin(&first);
	begin(&second);
	assert_int_equal(second.refused, API_CODE_CONFLICT);
	exchange_fini(&second.exchange);
	expect_status(&first, 202);
	place_fini(&place);
}

#define TEST(name) cmocka_unit_test_setup(name, rig_init)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(upload_part_answered_makes_way_for_the_next),
		TEST(upload_at_the_same_time_is_refused),
		TEST(upload_behind_the_last_part_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
