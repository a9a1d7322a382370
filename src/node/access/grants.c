/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grants: rules of roles, as far as a user's binding to the role lets them reach, as far as a token
 * has them. All three are sets of grants, and one is cut by the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/access/priv.h"

#define ALL_VERBS ((1u << API_VERBS) - 1)

void grant_fini(struct grant *grant)
{
	json_decref(grant->labels);
	grant->labels = NULL;
}

void grants_fini(struct grants *grants)
{
	struct grant *grant;

	vec_for_each (grant, &grants->list)
		grant_fini(grant);
	vec_fini(&grants->list);
}

int grants_add(struct grants *grants, struct grant grant)
{
	int rc = vec_push(&grants->list, grant);

	if (rc)
		grant_fini(&grant);
	return rc;
}

static unsigned kind_index(const struct api_kind *kind)
{
	unsigned i = 0;

	while (api_kinds[i] && api_kinds[i] != kind)
		i++;
	return i;
}

static uint64_t all_kinds(void)
{
	uint64_t kinds = 0;

	for (unsigned i = 0; api_kinds[i]; i++)
		kinds |= UINT64_C(1) << i;
	return kinds;
}

struct grant grant_all(void)
{
	return (struct grant){ .project = "*", .verbs = ALL_VERBS, .kinds = all_kinds() };
}

static unsigned verbs_of(const json_t *names)
{
	unsigned verbs = 0;
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		const char *text = json_string_value(name);

		if (text && !strcmp(text, "*"))
			verbs = ALL_VERBS;
		for (unsigned v = 0; text && v < API_VERBS; v++)
			verbs |= strcmp(text, api_verb_names[v]) ? 0 : 1u << v;
	}
	return verbs;
}

static uint64_t kinds_of(const json_t *names)
{
	uint64_t kinds = 0;
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		const char *text = json_string_value(name);
		const struct api_kind *kind = text ? api_kind_find(text) : NULL;

		if (text && !strcmp(text, "*"))
			kinds = all_kinds();
		else if (kind)
			kinds |= UINT64_C(1) << kind_index(kind);
	}
	return kinds;
}

/* A grant for each of the projects; for all of them where none is named. */
static int add_for_projects(struct grants *grants, const struct grant *model,
			    const json_t *projects, json_t *labels)
{
	size_t count = json_array_size(projects);
	int rc = 0;

	for (size_t i = 0; i < (count ? count : 1) && !rc; i++) {
		const char *name = count ? json_string_value(json_array_get(projects, i)) : "*";
		struct grant grant = *model;

		if (!name || !*name || strlen(name) > API_NAME_MAX)
			continue;
		snprintf(grant.project, sizeof(grant.project), "%s", name);
		grant.labels = json_object_size(labels) ? json_incref(labels) : NULL;
		rc = grants_add(grants, grant);
	}
	return rc;
}

int grants_from_rules(const json_t *rules, struct grants *grants)
{
	const json_t *rule;
	size_t i;
	int rc = 0;

	json_array_foreach(rules, i, rule)
	{
		struct grant grant = { .verbs = verbs_of(json_object_get(rule, "verbs")),
				       .kinds = kinds_of(json_object_get(rule, "kinds")) };

		if (!rc && grant.verbs && grant.kinds)
			rc = add_for_projects(grants, &grant, json_object_get(rule, "projects"),
					      json_object_get(rule, "labels"));
	}
	return rc;
}

/* The labels that an object must have for both: -ENOENT when it cannot have them. */
static int labels_intersect(json_t *some, json_t *other, json_t **ret_labels)
{
	const char *name;
	json_t *value;

	if (!some || !other) {
		*ret_labels = json_incref(some ? some : other);
		return 0;
	}
	json_object_foreach(some, name, value)
	{
		json_t *wanted = json_object_get(other, name);

		if (wanted && !json_equal(wanted, value))
			return -ENOENT;
	}
	*ret_labels = json_copy(some);
	return !*ret_labels || json_object_update(*ret_labels, other) ? -ENOMEM : 0;
}

/* -ENOENT: nothing is in both. */
static int intersect(const struct grant *some, const struct grant *other, struct grant *ret_grant)
{
	const struct grant *narrow = strcmp(some->project, "*") ? some : other;
	struct grant grant = { .verbs = some->verbs & other->verbs,
			       .kinds = some->kinds & other->kinds };
	int rc;

	if (!grant.verbs || !grant.kinds)
		return -ENOENT;
	if (strcmp(some->project, "*") && strcmp(other->project, "*") &&
	    strcmp(some->project, other->project))
		return -ENOENT;
	memcpy(grant.project, narrow->project, sizeof(grant.project));
	rc = labels_intersect(some->labels, other->labels, &grant.labels);
	if (rc)
		grant_fini(&grant);
	else
		*ret_grant = grant;
	return rc;
}

int grants_intersect(const struct grant *some, size_t some_count, const struct grant *other,
		     size_t other_count, struct grants *grants)
{
	int rc = 0;

	for (size_t i = 0; i < some_count && !rc; i++) {
		for (size_t k = 0; k < other_count && !rc; k++) {
			struct grant grant;

			rc = intersect(&some[i], &other[k], &grant);
			rc = rc == -ENOENT ? 0 : rc ? rc : grants_add(grants, grant);
		}
	}
	return rc;
}

/* What one binding gives: the role's rules where the binding is for. */
static int add_binding(const json_t *binding, const json_t *rules, struct grants *grants)
{
	const struct grant all = grant_all();
	struct grants of_role = { 0 }, reach = { 0 };
	json_t *projects = json_pack("[O*]", json_object_get(binding, "project"));
	int rc = projects ? grants_from_rules(rules, &of_role) : -ENOMEM;

	if (!rc)
		rc = add_for_projects(&reach, &all, projects, json_object_get(binding, "labels"));
	if (!rc)
		rc = grants_intersect(of_role.list.items, of_role.list.count, reach.list.items,
				      reach.list.count, grants);
	json_decref(projects);
	grants_fini(&of_role);
	grants_fini(&reach);
	return rc;
}

int grants_from_bindings(const json_t *bindings,
			 int (*rules_of)(void *ctx, const char *role, json_t **ret_rules),
			 void *ctx, struct grants *grants)
{
	const json_t *binding;
	size_t i;
	int rc = 0;

	json_array_foreach(bindings, i, binding)
	{
		const char *role = json_string_value(json_object_get(binding, "role"));
		json_t *rules = NULL;

		if (!rc && role)
			rc = rules_of(ctx, role, &rules);
		if (!rc && rules)
			rc = add_binding(binding, rules, grants);
		json_decref(rules);
	}
	return rc;
}

/* `labels` has all of `wanted`. */
static bool labels_match(const json_t *wanted, const json_t *labels)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)wanted, name, value)
	{
		if (!json_equal(value, json_object_get(labels, name)))
			return false;
	}
	return true;
}

bool grants_cover(const struct grant *grants, size_t count, const struct grant *grant)
{
	uint64_t missing[API_VERBS];
	uint64_t left = 0;

	for (unsigned verb = 0; verb < API_VERBS; verb++)
		missing[verb] = grant->verbs & 1u << verb ? grant->kinds : 0;
	for (size_t i = 0; i < count; i++) {
		const struct grant *own = &grants[i];

		if (strcmp(own->project, "*") && strcmp(own->project, grant->project))
			continue;
		if (!labels_match(own->labels, grant->labels))
			continue;
		for (unsigned verb = 0; verb < API_VERBS; verb++)
			missing[verb] &= own->verbs & 1u << verb ? ~own->kinds : UINT64_MAX;
	}
	for (unsigned verb = 0; verb < API_VERBS; verb++)
		left |= missing[verb];
	return !left;
}

bool identity_covers(const struct identity *identity, const struct grants *grants)
{
	const struct grant *grant;

	if (identity->root)
		return true;
	vec_for_each (grant, &grants->list) {
		if (!grants_cover(identity->grants.items, identity->grants.count, grant))
			return false;
	}
	return true;
}

void identity_fini(struct identity *identity)
{
	struct grant *grant;

	vec_for_each (grant, &identity->grants)
		grant_fini(grant);
	vec_fini(&identity->grants);
}

int identity_copy(const struct identity *identity, struct identity *ret_copy)
{
	struct identity copy = *identity;
	const struct grant *grant;
	int rc;

	memset(&copy.grants, 0, sizeof(copy.grants));
	rc = vec_reserve(&copy.grants, identity->grants.count);
	if (rc)
		return rc;
	vec_for_each (grant, &identity->grants) {
		json_incref(grant->labels);
		copy.grants.items[copy.grants.count++] = *grant;
	}
	*ret_copy = copy;
	return 0;
}

static bool grants_equal(const struct grant *some, const struct grant *other)
{
	return !strcmp(some->project, other->project) && some->verbs == other->verbs &&
	       some->kinds == other->kinds && !some->labels == !other->labels &&
	       (!some->labels || json_equal(some->labels, other->labels));
}

bool identity_has_same_rights(const struct identity *some, const struct identity *other)
{
	if (some->root != other->root || some->grants.count != other->grants.count)
		return false;
	for (size_t i = 0; i < some->grants.count; i++) {
		if (!grants_equal(&some->grants.items[i], &other->grants.items[i]))
			return false;
	}
	return true;
}

/* Whether the grant is about objects of the kind in the project (or the project itself). */
static bool grant_reaches(const struct grant *grant, enum api_verb verb,
			  const struct api_kind *kind, const char *project)
{
	bool all = !strcmp(grant->project, "*");

	if (!(grant->kinds & UINT64_C(1) << kind_index(kind)) || !(grant->verbs & 1u << verb))
		return false;
	/* Who has a right in a project sees it; what the project is allowed others say. */
	if (kind == &api_project && !all)
		return verb == API_READ &&
		       (!project || !*project || !strcmp(grant->project, project));
	return all || !project || !strcmp(grant->project, project);
}

const char *access_place(const struct api_kind *kind, const char *project, const char *name)
{
	return kind == &api_project ? name : project;
}

bool access_allows(const struct identity *identity, enum api_verb verb, const struct api_kind *kind,
		   const char *project, const json_t *labels)
{
	const struct grant *grant;

	if (identity->root)
		return true;
	/* Everybody makes tokens of one's own: token.c looks at what they may. */
	if (kind == &api_token && verb == API_CREATE)
		return true;
	vec_for_each (grant, &identity->grants) {
		if (grant_reaches(grant, verb, kind, project) &&
		    (!labels || labels_match(grant->labels, labels)))
			return true;
	}
	return false;
}

int access_require(const struct identity *identity, enum api_verb verb, const struct api_kind *kind,
		   const char *project, const json_t *labels, struct problem *problem)
{
	if (access_allows(identity, verb, kind, project, labels))
		return 0;
	if (project && *project)
		problem_set(problem, API_CODE_FORBIDDEN,
			    "'%s' has no right to %s a %s in project '%s'", identity->user,
			    api_verb_names[verb], kind->name, project);
	else
		problem_set(problem, API_CODE_FORBIDDEN, "'%s' has no right to %s a %s",
			    identity->user, api_verb_names[verb], kind->name);
	problem_hint(problem,
		     *identity->token ? "the token '%s' may have fewer rights than its owner"
				      : "who may change users can bind '%s' to a role",
		     *identity->token ? identity->token : identity->user);
	return -EPERM;
}

static json_t *names_of_verbs(unsigned verbs)
{
	json_t *names = json_array();

	for (unsigned verb = 0; verb < API_VERBS; verb++) {
		if (verbs & 1u << verb)
			json_array_append_new(names, json_string(api_verb_names[verb]));
	}
	return names;
}

static json_t *names_of_kinds(uint64_t kinds)
{
	json_t *names = json_array();

	for (unsigned i = 0; api_kinds[i]; i++) {
		if (kinds & UINT64_C(1) << i)
			json_array_append_new(names, json_string(api_kinds[i]->name));
	}
	return names;
}

json_t *grants_json(const struct identity *identity)
{
	const struct grant all = grant_all();
	const struct grant *items = identity->root ? &all : identity->grants.items;
	size_t count = identity->root ? 1 : identity->grants.count;
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:o, s:o, s:O?}", "project", items[i].project,
					"kinds", names_of_kinds(items[i].kinds), "verbs",
					names_of_verbs(items[i].verbs), "labels", items[i].labels));
	return list;
}
