/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rights: what roles give, what is left of them, and the matrix of every kind, verb, action and role. */
#include "../fixture.h"

#include "node/access/priv.h"

/* Nothing here is done to objects. */
const struct kind_ops *const kind_ops_table[] = { NULL };

const struct kind_ops *kind_ops_of(const struct api_kind *kind)
{
	(void)kind;
	return NULL;
}

/* ---- helpers ---- */

static int rules_of_builtin(void *ctx, const char *role, json_t **ret_rules)
{
	const char *own = ctx;

	*ret_rules =
		own && !strcmp(role, "own") ? json_loads(own, 0, NULL) : role_builtin_rules(role);
	return 0;
}

static json_t *load(const char *text)
{
	json_t *value;

	value = json_loads(text, JSON_DECODE_ANY, NULL);
	assert_non_null(value);
	return value;
}

/* An identity with these bindings; the role "own" has the rules `own`. */
static void identity_init(struct identity *identity, const char *bindings, const char *own)
{
	json_t *list = load(bindings);
	struct grants grants = { 0 };

	*identity = (struct identity){ .user = "alice" };
	assert_int_equal(
		grants_from_bindings(list, rules_of_builtin, (void *)(uintptr_t)own, &grants), 0);
	identity->grants.items = grants.list.items;
	identity->grants.count = grants.list.count;
	identity->grants.capacity = grants.list.capacity;
	json_decref(list);
}

static bool allows(const char *bindings, const char *own, enum api_verb verb,
		   const struct api_kind *kind, const char *project, const char *labels)
{
	json_t *wanted = labels ? load(labels) : NULL;
	struct identity identity;
	bool allowed;

	identity_init(&identity, bindings, own);
	allowed = access_allows(&identity, verb, kind, project, wanted);
	identity_fini(&identity);
	json_decref(wanted);
	return allowed;
}

/* ---- the matrix ---- */

enum role { ADMIN, OPERATOR, USER, VIEWER, NOBODY, ROLES };

static const char *const role_bindings[ROLES] = {
	[ADMIN] = "[{\"role\": \"admin\", \"project\": \"*\"}]",
	[OPERATOR] = "[{\"role\": \"operator\", \"project\": \"*\"}]",
	[USER] = "[{\"role\": \"user\", \"project\": \"*\"}]",
	[VIEWER] = "[{\"role\": \"viewer\", \"project\": \"*\"}]",
	[NOBODY] = "[]",
};

/* Read, Create, cHange, Delete, Operate, consoLe. */
static const char verb_letters[API_VERBS] = {
	[API_READ] = 'r',   [API_CREATE] = 'c',  [API_CHANGE] = 'h',
	[API_DELETE] = 'd', [API_OPERATE] = 'o', [API_CONSOLE] = 'l',
};

/* Everybody makes tokens: of one's own rights. */
static const struct {
	const struct api_kind *kind;
	const char *allowed[ROLES];
} matrix[] = {
	{ &api_project, { "rchdol", "rchdol", "r", "r", "" } },
	{ &api_role, { "rchdol", "", "", "", "" } },
	{ &api_user, { "rchdol", "", "", "", "" } },
	{ &api_token, { "rchdol", "c", "c", "c", "c" } },
	{ &api_node, { "rchdol", "rchdol", "r", "r", "" } },
	{ &api_pool, { "rchdol", "rchdol", "r", "r", "" } },
	{ &api_key, { "rchdol", "rchdol", "rchdol", "r", "" } },
	{ &api_network, { "rchdol", "rchdol", "r", "r", "" } },
	{ &api_security_group, { "rchdol", "rchdol", "r", "r", "" } },
	{ &api_image, { "rchdol", "rchdol", "rchdol", "r", "" } },
	{ &api_template, { "rchdol", "rchdol", "rchdol", "r", "" } },
	{ &api_disk, { "rchdol", "rchdol", "rchdol", "r", "" } },
	{ &api_vm, { "rchdol", "rchdol", "rchdol", "r", "" } },
	{ &api_operation, { "rchdol", "rchdol", "rd", "r", "" } },
};

/* A kind that is in no row, or a row that is no kind's, fails. */
static void matrix_every_kind_verb_and_role_as_written(void **state)
{
	size_t kinds = 0;

	(void)state;
	while (api_kinds[kinds])
		kinds++;
	assert_int_equal(kinds, ARRAY_SIZE(matrix));
	for (size_t i = 0; i < kinds; i++) {
		size_t row = 0;

		while (row < ARRAY_SIZE(matrix) && matrix[row].kind != api_kinds[i])
			row++;
		if (row == ARRAY_SIZE(matrix))
			fail_msg("the matrix has no row for kind '%s'", api_kinds[i]->name);
		for (enum role role = 0; role < ROLES; role++) {
			for (enum api_verb verb = 0; verb < API_VERBS; verb++) {
				bool wanted = strchr(matrix[row].allowed[role], verb_letters[verb]);
				const char *project =
					api_kinds[i]->scope == API_SCOPE_PROJECT ? "p" : "";

				if (allows(role_bindings[role], NULL, verb, api_kinds[i], project,
					   "{}") != wanted)
					fail_msg("role %u: '%s' of '%s' is %s", role,
						 api_verb_names[verb], api_kinds[i]->name,
						 wanted ? "refused" : "allowed");
			}
		}
	}
}

/* Bound to one project, no role has anything in another one, or of the server but its pools. */
static void matrix_bound_to_a_project_ends_there(void **state)
{
	static const char *const bindings[] = {
		"[{\"role\": \"admin\", \"project\": \"p\"}]",
		"[{\"role\": \"operator\", \"project\": \"p\"}]",
		"[{\"role\": \"user\", \"project\": \"p\"}]",
		"[{\"role\": \"viewer\", \"project\": \"p\"}]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bindings); i++) {
		for (size_t k = 0; api_kinds[k]; k++) {
			bool own_token = api_kinds[k] == &api_token;

			for (enum api_verb verb = 0; verb < API_VERBS; verb++) {
				bool of_project = api_kinds[k]->scope == API_SCOPE_PROJECT;
				bool in_role = strchr(matrix[k].allowed[i], verb_letters[verb]);

				assert_ptr_equal(matrix[k].kind, api_kinds[k]);
				assert_false(
					allows(bindings[i], NULL, verb, api_kinds[k], "q", "{}") &&
					!own_token);
				if (of_project)
					assert_int_equal(allows(bindings[i], NULL, verb,
								api_kinds[k], "p", "{}"),
							 in_role);
				else if (!own_token && api_kinds[k] != &api_project)
					assert_false(allows(bindings[i], NULL, verb, api_kinds[k],
							    "", "{}"));
			}
		}
		/* The project itself is seen, and no more. */
		assert_true(allows(bindings[i], NULL, API_READ, &api_project, "p", "{}"));
		assert_false(allows(bindings[i], NULL, API_CHANGE, &api_project, "p", "{}"));
		assert_false(allows(bindings[i], NULL, API_DELETE, &api_project, "p", "{}"));
		assert_false(allows(bindings[i], NULL, API_READ, &api_project, "q", "{}"));
	}
}

static const struct {
	const struct api_kind *kind;
	const char *action;
	enum api_verb verb;
} actions[] = {
	{ &api_image, "create", API_CREATE },   { &api_template, "instantiate", API_CREATE },
	{ &api_disk, "create", API_CREATE },    { &api_disk, "clone", API_CREATE },
	{ &api_vm, "start", API_OPERATE },      { &api_vm, "stop", API_OPERATE },
	{ &api_vm, "restart", API_OPERATE },    { &api_vm, "pause", API_OPERATE },
	{ &api_vm, "resume", API_OPERATE },     { &api_vm, "reset", API_OPERATE },
	{ &api_vm, "nmi", API_OPERATE },        { &api_vm, "limits", API_CHANGE },
	{ &api_vm, "clone", API_CREATE },       { &api_vm, "rename", API_CHANGE },
	{ &api_vm, "logs", API_READ },          { &api_vm, "cloud-init", API_READ },
	{ &api_node, "configure", API_CHANGE },
};

static void matrix_every_action_asks_for_its_verb(void **state)
{
	size_t found = 0;

	(void)state;
	for (size_t k = 0; api_kinds[k]; k++) {
		for (const struct api_action *action = api_kinds[k]->actions;
		     action && action->name; action++) {
			size_t row = 0;

			while (row < ARRAY_SIZE(actions) &&
			       (actions[row].kind != api_kinds[k] ||
				strcmp(actions[row].action, action->name)))
				row++;
			if (row == ARRAY_SIZE(actions))
				fail_msg("nobody said what right '%s' of '%s' takes", action->name,
					 api_kinds[k]->name);
			assert_int_equal(actions[row].verb, action->verb);
			found++;
		}
	}
	assert_int_equal(found, ARRAY_SIZE(actions));
}

/* ---- what is left of them ---- */

static void binding_by_label_reaches_what_has_it(void **state)
{
	static const char bindings[] =
		"[{\"role\": \"user\", \"project\": \"p\", \"labels\": {\"tier\": \"web\"}}]";

	(void)state;
	assert_true(allows(bindings, NULL, API_CHANGE, &api_vm, "p", "{\"tier\": \"web\"}"));
	assert_true(allows(bindings, NULL, API_CHANGE, &api_vm, "p",
			   "{\"tier\": \"web\", \"a\": \"b\"}"));
	assert_false(allows(bindings, NULL, API_CHANGE, &api_vm, "p", "{\"tier\": \"db\"}"));
	assert_false(allows(bindings, NULL, API_CHANGE, &api_vm, "p", "{}"));
	assert_false(allows(bindings, NULL, API_CREATE, &api_vm, "p", "{}"));
	assert_true(allows(bindings, NULL, API_READ, &api_vm, "p", NULL));
}

static void rule_and_binding_both_hold(void **state)
{
	static const char rules[] =
		"[{\"kinds\": [\"vm\", \"disk\"], \"verbs\": [\"read\", \"operate\"],"
		"  \"projects\": [\"p\", \"q\"], \"labels\": {\"a\": \"1\"}}]";
	static const char bindings[] =
		"[{\"role\": \"own\", \"project\": \"q\", \"labels\": {\"b\": \"2\"}}]";
	static const char both[] = "{\"a\": \"1\", \"b\": \"2\"}";

	(void)state;
	assert_true(allows(bindings, rules, API_OPERATE, &api_vm, "q", both));
	assert_true(allows(bindings, rules, API_READ, &api_disk, "q", both));
	assert_false(allows(bindings, rules, API_OPERATE, &api_vm, "p", both));
	assert_false(allows(bindings, rules, API_DELETE, &api_vm, "q", both));
	assert_false(allows(bindings, rules, API_READ, &api_image, "q", both));
	assert_false(allows(bindings, rules, API_OPERATE, &api_vm, "q", "{\"a\": \"1\"}"));
	assert_false(allows(bindings, rules, API_OPERATE, &api_vm, "q", "{\"b\": \"2\"}"));
	/* Labels that exclude each other leave nothing. */
	assert_false(allows("[{\"role\": \"own\", \"project\": \"p\", \"labels\": {\"a\": \"3\"}}]",
			    rules, API_READ, &api_vm, "p", NULL));
}

static void rules_of_unknown_words_give_nothing(void **state)
{
	static const char *const rules[] = {
		"[]",
		"{}",
		"[{}]",
		"[null, 1, \"vm\"]",
		"[{\"kinds\": [\"vms!\"], \"verbs\": [\"read\"]}]",
		"[{\"kinds\": [\"vm\"], \"verbs\": [\"fly\"]}]",
		"[{\"kinds\": \"*\", \"verbs\": \"*\"}]",
		"[{\"kinds\": [1], \"verbs\": [\"*\"]}]",
		"[{\"kinds\": [\"*\"], \"verbs\": [\"*\"], \"projects\": [1, \"\"]}]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		json_t *list = load(rules[i]);
		struct grants grants = { 0 };

		assert_int_equal(grants_from_rules(list, &grants), 0);
		assert_int_equal(grants.list.count, 0);
		grants_fini(&grants);
		json_decref(list);
	}
}

static void cover_is_no_more_than_one_has(void **state)
{
	static const struct {
		const char *has, *gives;
		bool covered;
	} cases[] = {
		{ "[{\"role\": \"admin\"}]", "[{\"role\": \"admin\"}]", true },
		{ "[{\"role\": \"admin\"}]", "[{\"role\": \"user\", \"project\": \"p\"}]", true },
		{ "[{\"role\": \"operator\"}]", "[{\"role\": \"user\"}]", true },
		{ "[{\"role\": \"operator\"}]", "[{\"role\": \"admin\"}]", false },
		{ "[{\"role\": \"user\"}]", "[{\"role\": \"operator\"}]", false },
		{ "[{\"role\": \"viewer\"}]", "[{\"role\": \"user\"}]", false },
		{ "[{\"role\": \"user\", \"project\": \"p\"}]", "[{\"role\": \"user\"}]", false },
		{ "[{\"role\": \"user\", \"project\": \"p\"}]",
		  "[{\"role\": \"user\", \"project\": \"q\"}]", false },
		{ "[{\"role\": \"user\", \"project\": \"p\"}]",
		  "[{\"role\": \"viewer\", \"project\": \"p\"}]", true },
		{ "[{\"role\": \"operator\", \"project\": \"p\"}]",
		  "[{\"role\": \"viewer\", \"project\": \"p\"}]", true },
		{ "[{\"role\": \"user\", \"labels\": {\"a\": \"1\"}}]", "[{\"role\": \"user\"}]",
		  false },
		{ "[{\"role\": \"user\"}]", "[{\"role\": \"user\", \"labels\": {\"a\": \"1\"}}]",
		  true },
		{ "[{\"role\": \"user\", \"labels\": {\"a\": \"1\"}}]",
		  "[{\"role\": \"user\", \"labels\": {\"a\": \"1\", \"b\": \"2\"}}]", true },
		{ "[{\"role\": \"user\", \"labels\": {\"a\": \"1\"}}]",
		  "[{\"role\": \"user\", \"labels\": {\"a\": \"2\"}}]", false },
		{ "[]", "[{\"role\": \"viewer\"}]", false },
		{ "[]", "[]", true },
		/* Two halves make a whole. */
		{ "[{\"role\": \"viewer\"}, {\"role\": \"own\"}]",
		  "[{\"role\": \"viewer\"}, {\"role\": \"own\", \"project\": \"p\"}]", true },
	};
	static const char own[] = "[{\"kinds\": [\"vm\"], \"verbs\": [\"operate\"]}]";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct identity has, gives;
		struct grants grants = { 0 };

		identity_init(&has, cases[i].has, own);
		identity_init(&gives, cases[i].gives, own);
		grants.list.items = gives.grants.items;
		grants.list.count = gives.grants.count;
		if (identity_covers(&has, &grants) != cases[i].covered)
			fail_msg("%s gives %s", cases[i].has, cases[i].gives);
		identity_fini(&has);
		identity_fini(&gives);
	}
}

static void copy_outlives_its_original(void **state)
{
	struct identity identity, copy;

	(void)state;
	identity_init(&identity, "[{\"role\": \"user\", \"labels\": {\"a\": \"1\"}}]", NULL);
	assert_int_equal(identity_copy(&identity, &copy), 0);
	identity_fini(&identity);
	assert_string_equal(copy.user, "alice");
	assert_true(copy.grants.count > 0);
	assert_string_equal(schema_string(copy.grants.items[0].labels, "a"), "1");
	identity_fini(&copy);
}

static void require_says_what_is_missing(void **state)
{
	struct problem problem = PROBLEM_INIT;
	struct identity identity;

	(void)state;
	identity_init(&identity, role_bindings[VIEWER], NULL);
	assert_int_equal(access_require(&identity, API_DELETE, &api_vm, "p", NULL, &problem),
			 -EPERM);
	assert_int_equal(problem.code, API_CODE_FORBIDDEN);
	assert_non_null(strstr(problem.err.text, "alice"));
	assert_non_null(strstr(problem.err.text, "delete"));
	assert_non_null(strstr(problem.err.text, "'p'"));
	assert_int_equal(access_require(&identity, API_READ, &api_vm, "p", NULL, &problem), 0);
	identity_fini(&identity);
	identity = (struct identity){ .user = "root", .root = true };
	assert_int_equal(access_require(&identity, API_DELETE, &api_user, "", NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matrix_every_kind_verb_and_role_as_written),
		cmocka_unit_test(matrix_bound_to_a_project_ends_there),
		cmocka_unit_test(matrix_every_action_asks_for_its_verb),
		cmocka_unit_test(binding_by_label_reaches_what_has_it),
		cmocka_unit_test(rule_and_binding_both_hold),
		cmocka_unit_test(rules_of_unknown_words_give_nothing),
		cmocka_unit_test(cover_is_no_more_than_one_has),
		cmocka_unit_test(copy_outlives_its_original),
		cmocka_unit_test(require_says_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
