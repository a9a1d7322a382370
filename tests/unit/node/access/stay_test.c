/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who was let in for longer than a request: how the stay ends, and what does not end it. */
#include <stdatomic.h>

#include "access_rig.h"

struct guest {
	struct stay stay; /* first */
	atomic_uint overs;
};

static void on_over(struct stay *stay)
{
	atomic_fetch_add(&((struct guest *)stay)->overs, 1);
}

static void wait_over(struct guest *guest)
{
	while (!atomic_load(&guest->overs))
		usleep(1000);
}

static const char key_spec[] = "{\"public-key\": \"ssh-ed25519 "
			       "AAAAC3NzaC1lZDI1NTE5AAAAIGQ4Y2JjYzY0ZjU0NDY0ZjU0NDY0ZjU0NDY0\"}";
static const char night_rules[] = "{\"rules\": [{\"kinds\": [\"key\"], \"verbs\": [\"read\"],"
				  " \"labels\": {\"tier\": \"web\"}}]}";

static void set_label(struct rig *rig, const char *tier)
{
	struct object key;

	assert_int_equal(object_get(&rig->node, &api_key, "default", "door", &key, NULL), 0);
	json_object_set_new(key.document, "labels", json_pack("{ss}", "tier", tier));
	assert_int_equal(rig_put(rig, &key, NULL), 0);
	object_fini(&key);
}

static void remove_door(struct rig *rig)
{
	struct object key;

	assert_int_equal(object_get(&rig->node, &api_key, "default", "door", &key, NULL), 0);
	assert_int_equal(rig_delete(rig, &key, NULL), 0);
	object_fini(&key);
}

/* Alice reads the key "door" by a role that goes by labels, with a session, or with a token. */
static void let_in(struct rig *rig, struct guest *guest, bool token,
		   char ret_cookie[SECRET_HEX + 1])
{
	static const char spec[] = "{\"password\": \"" PASSWORD
				   "\", \"grants\": [{\"role\": \"night\"}, {\"role\": \"user\","
				   " \"project\": \"p\"}]}";
	char secret[256];
	struct ask ask = { 0 };
	struct object door;
	struct identity who;

	assert_int_equal(make(rig, NULL, &api_role, "night", night_rules, NULL), API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_user, "alice", spec, NULL), API_CODE_NONE);
	assert_int_equal(make(rig, NULL, &api_token, "ci", "{\"user\": \"alice\"}", secret),
			 API_CODE_NONE);
	assert_int_equal(rig_create(rig, &api_key, "door", key_spec, &door, NULL), 0);
	object_fini(&door);
	set_label(rig, "web");
	assert_int_equal(sign_in(rig, "alice", PASSWORD, ret_cookie), 200);
	if (token)
		ask.authorization = secret;
	else
		ask.cookie = ret_cookie;
	assert_int_equal(identify_from(rig, &remote, WEB_GET, &ask, &who), API_CODE_NONE);
	assert_int_equal(object_get(&rig->node, &api_key, "default", "door", &door, NULL), 0);
	*guest = (struct guest){ .stay.over = on_over };
	assert_int_equal(stay_begin(&rig->node, &guest->stay, &who, &door, API_READ), 0);
	object_fini(&door);
	identity_fini(&who);
}

static void sign_out(struct rig *rig, const char *cookie)
{
	assert_int_equal(session_from(rig, &remote, WEB_DELETE, "/v1/session",
				      (struct ask){ .cookie = cookie }, NULL, NULL, NULL),
			 200);
}

enum end {
	END_SIGN_OUT,
	END_TOKEN,
	END_DISABLED,
	END_PASSWORD,
	END_DELETED,
	END_GRANTS,
	END_ROLE,
	END_LABEL,
	END_OBJECT,
	ENDS
};

static void end_it(struct rig *rig, enum end end, const char *cookie)
{
	switch (end) {
	case END_SIGN_OUT:
		sign_out(rig, cookie);
		break;
	case END_TOKEN:
		assert_int_equal(remove_object(rig, NULL, &api_token, "ci"), API_CODE_NONE);
		break;
	case END_DISABLED:
		assert_int_equal(patch(rig, NULL, &api_user, "alice", "{\"disabled\": true}"),
				 API_CODE_NONE);
		break;
	case END_PASSWORD:
		assert_int_equal(patch(rig, NULL, &api_user, "alice",
				       "{\"password\": \"another password\"}"),
				 API_CODE_NONE);
		break;
	case END_DELETED:
		assert_int_equal(remove_object(rig, NULL, &api_user, "alice"), API_CODE_NONE);
		break;
	case END_GRANTS:
		assert_int_equal(patch(rig, NULL, &api_user, "alice",
				       "{\"grants\": [{\"role\": \"user\", \"project\": \"p\"}]}"),
				 API_CODE_NONE);
		break;
	case END_ROLE:
		assert_int_equal(patch(rig, NULL, &api_role, "night", "{\"rules\": []}"),
				 API_CODE_NONE);
		break;
	case END_LABEL:
		set_label(rig, "db");
		break;
	default:
		remove_door(rig);
	}
}

static void check_end(void **state, enum end end, bool token)
{
	char cookie[SECRET_HEX + 1];
	struct guest guest;

	let_in(*state, &guest, token, cookie);
	end_it(*state, end, cookie);
	wait_over(&guest);
	stay_end(&((struct rig *)*state)->node, &guest.stay);
}

static void stay_ends_with_the_right(void **state)
{
	for (enum end end = 0; end < ENDS; end++) {
		if (end)
			access_init(state);
		check_end(state, end, end == END_TOKEN);
		if (end + 1 < ENDS)
			access_fini(state);
	}
}

/* It ended between the request and the stay: nothing would tell of it later. */
static void stay_that_begins_too_late_ends_at_once(void **state)
{
	char cookie[SECRET_HEX + 1];
	struct rig *rig = *state;
	struct guest early, late;
	struct object door;

	let_in(rig, &early, false, cookie);
	sign_out(rig, cookie);
	wait_over(&early);
	late = (struct guest){ .stay.over = on_over };
	assert_int_equal(object_get(&rig->node, &api_key, "default", "door", &door, NULL), 0);
	assert_int_equal(stay_begin(&rig->node, &late.stay, &early.stay.who, &door, API_READ), 0);
	wait_over(&late);
	object_fini(&door);
	stay_end(&rig->node, &early.stay);
	stay_end(&rig->node, &late.stay);
	stay_end(&rig->node, &late.stay);
}

static void stay_of_others_goes_on(void **state)
{
	char cookie[SECRET_HEX + 1], other[SECRET_HEX + 1];
	struct rig *rig = *state;
	struct guest guest, last;
	struct object door;

	let_in(rig, &guest, false, cookie);
	assert_int_equal(sign_in(rig, "alice", PASSWORD, other), 200);
	sign_out(rig, other);
	assert_int_equal(remove_object(rig, NULL, &api_token, "ci"), API_CODE_NONE);
	assert_int_equal(patch(rig, NULL, &api_role, "night",
			       "{\"rules\": [{\"kinds\": [\"key\"], \"verbs\": [\"read\"]}]}"),
			 API_CODE_NONE);
	set_label(rig, "db");
	/* What was done before the last one came was seen when that one is over. */
	last = (struct guest){ .stay.over = on_over };
	assert_int_equal(object_get(&rig->node, &api_key, "default", "door", &door, NULL), 0);
	assert_int_equal(stay_begin(&rig->node, &last.stay, &guest.stay.who, &door, API_CHANGE), 0);
	wait_over(&last);
	assert_int_equal(atomic_load(&guest.overs), 0);
	object_fini(&door);
	stay_end(&rig->node, &guest.stay);
	stay_end(&rig->node, &last.stay);
}

static void stay_ends_with_its_time(void **state)
{
	struct guest guest = { .stay.over = on_over };
	char secret[256], spec[128], ends[TIME_SIZE];
	struct rig *rig = *state;
	struct identity who;
	struct object door;

	/* To the second: the next but one is less than two away. */
	node_time_text(node_now_ms() + 2000, ends);
	snprintf(spec, sizeof(spec), "{\"user\": \"root\", \"expires\": \"%s\"}", ends);
	assert_int_equal(make(rig, NULL, &api_token, "brief", spec, secret), API_CODE_NONE);
	assert_int_equal(rig_create(rig, &api_key, "door", key_spec, &door, NULL), 0);
	assert_int_equal(identify_from(rig, &remote, WEB_GET,
				       &(struct ask){ .authorization = secret }, &who),
			 API_CODE_NONE);
	assert_int_equal(stay_begin(&rig->node, &guest.stay, &who, &door, API_READ), 0);
	wait_over(&guest);
	assert_true(node_now_ms() >= who.ends_ms);
	object_fini(&door);
	identity_fini(&who);
	stay_end(&rig->node, &guest.stay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stay_ends_with_the_right),
		TEST(stay_that_begins_too_late_ends_at_once),
		TEST(stay_of_others_goes_on),
		TEST(stay_ends_with_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
