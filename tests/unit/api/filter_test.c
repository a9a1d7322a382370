/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static const char web[] =
	"{\"name\": \"Web1\", \"labels\": {\"app.kubernetes.io/name\": \"web\", \"tier\": \"a,b\"}, "
	"\"spec\": {\"memory\": 1073741824, \"cpus\": 2, \"running\": true, \"load\": 0.5, \"odd\": \"say \\\"hi\\\"\", \"nets\": [{\"network\": "
	"\"lan\"}]}, \"status\": {\"state\": \"running\", \"addresses\": [\"10.0.0.1\", "
	"\"fd00::1\"], \"problem\": \"\"}}";

static json_t *object_new(void)
{
	json_t *object = json_loads(web, 0, NULL);

	assert_non_null(object);
	return object;
}

static void conditions_fit_as_they_say(void **state)
{
	static const struct {
		const char *text;
		bool fits;
	} rows[] = {
		{ "", true },
		{ "status.state=running", true },
		{ "status.state=stopped", false },
		{ "status.state!=stopped", true },
		{ "status.state!=running", false },
		{ "name~eb", true },
		{ "name~WEB", true },
		{ "name~db", false },
		{ "spec.memory>=1G", true },
		{ "spec.memory>1G", false },
		{ "spec.memory<=1024M", true },
		{ "spec.memory<1048576K", false },
		{ "spec.memory<2G,spec.cpus>1", true },
		{ "spec.memory<2G,spec.cpus>2", false },
		{ "spec.running", true },
		{ "!spec.running", false },
		{ "status.problem", false },
		{ "!status.problem", true },
		{ "nothing", false },
		{ "!nothing", true },
		{ "nothing=1", false },
		{ "nothing!=1", true },
		{ "labels.app.kubernetes.io/name=web", true },
		{ "labels.tier=a\\,b", true },
		{ "status.addresses=fd00::1", true },
		{ "status.addresses=fd00::2", false },
		{ "status.addresses~10.0", true },
		{ "spec.nets.network=lan", true },
		{ "spec=1", false },
		{ "status", true },
		{ "status.addresses", true },
		{ "!status", false },
		{ "spec.cpus=2", true },
		{ "spec.cpus=two", false },
		{ "spec.cpus~2", true },
		{ "spec.load>0.1", true },
		{ "spec.load=1", false },
		{ "spec.running=true", true },
		{ "spec.odd=say \"hi\"", true },
		{ "spec.odd~HI", true },
		{ "spec.odd=say", false },
	};
	json_t *object = object_new(), *rest = json_copy(object);
	char *text, *status = json_dumps(json_object_get(object, "status"), JSON_COMPACT);
	unsigned sure = 0;

	json_object_del(rest, "status");
	text = json_dumps(rest, JSON_COMPACT);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct filter *filter = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(filter_parse(&filter, rows[i].text, &err), 0);
		if (filter_fits(filter, object) != rows[i].fits)
			fail_msg("'%s'", rows[i].text);
		/* What is said without parsing is true, and most of it is said. */
		if (!filter_may_fit(filter, text, "status", false) ||
		    !filter_may_fit(filter, status, "status", true)) {
			if (rows[i].fits)
				fail_msg("'%s' by its text", rows[i].text);
			sure++;
		}
		filter_free(filter);
	}
	assert_true(sure >= 8);
	assert_true(filter_fits(NULL, object));
	free(text);
	free(status);
	json_decref(rest);
	json_decref(object);
}

static void conditions_are_told_apart_by_their_member(void **state)
{
	static const struct {
		const char *text;
		bool status, others;
	} rows[] = {
		{ "", false, false },
		{ "status.state=x", true, false },
		{ "!status", true, false },
		{ "statuses=x", false, true },
		{ "name=x,status.a.b", true, true },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct filter *filter = NULL;

		assert_int_equal(filter_parse(&filter, rows[i].text, NULL), 0);
		assert_int_equal(filter_has(filter, "status", true), rows[i].status);
		assert_int_equal(filter_has(filter, "status", false), rows[i].others);
		filter_free(filter);
	}
}

static void text_that_is_no_filter_is_refused(void **state)
{
	static const char *const rows[] = { "=1", "a..b=1", ".a", "a.", "!", "!a=1", ",", "!=" };
	char many[4 * FILTER_CONDITIONS_MAX + 8] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct filter *filter = NULL;
		struct err err = ERR_INIT;

		if (filter_parse(&filter, rows[i], &err) != -EINVAL)
			fail_msg("'%s'", rows[i]);
		assert_true(*err.text);
	}
	for (unsigned i = 0; i <= FILTER_CONDITIONS_MAX; i++)
		strcat(many, "a=1,");
	assert_int_equal(filter_parse(&(struct filter *){ NULL }, many, NULL), -EINVAL);
}

static void fields_copy_what_is_asked_for(void **state)
{
	static const struct {
		const char *paths, *copy;
	} rows[] = {
		{ "", "{}" },
		{ "name", "{\"name\": \"Web1\"}" },
		{ "spec.cpus,status.state,spec.running",
		  "{\"spec\": {\"cpus\": 2, \"running\": true}, \"status\": {\"state\": \"running\"}}" },
		{ "nothing,spec.nothing", "{\"spec\": {}}" },
		{ "labels.app.kubernetes.io/name",
		  "{\"labels\": {\"app.kubernetes.io/name\": \"web\"}}" },
		{ "spec.nets.network", "{\"spec\": {\"nets\": [{\"network\": \"lan\"}]}}" },
	};
	json_t *object = object_new();

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *expected = json_loads(rows[i].copy, 0, NULL), *copy = NULL;

		assert_int_equal(filter_fields(object, rows[i].paths, &copy, NULL), 0);
		if (!json_equal(copy, expected))
			fail_msg("'%s'", rows[i].paths);
		json_decref(copy);
		json_decref(expected);
	}
	assert_int_equal(filter_fields(object, "a..b", &(json_t *){ NULL }, NULL), -EINVAL);
	json_decref(object);
}

/* A whole member and a part of it: the object itself stays what it is. */
static void fields_that_overlap_change_nothing(void **state)
{
	json_t *object = object_new(), *before = object_new(), *copy = NULL;

	assert_int_equal(filter_fields(object, "spec,spec.cpus", &copy, NULL), 0);
	assert_true(json_equal(json_object_get(copy, "spec"), json_object_get(before, "spec")));
	assert_true(json_equal(object, before));
	json_decref(copy);
	json_decref(before);
	json_decref(object);
}

static void conditions_on_what_no_object_has_are_refused(void **state)
{
	static const struct {
		const char *filter;
		const char *text, *hint; /* NULL: it is taken */
	} cases[] = {
		{ "name~web,labels.any.thing=1,!protected,labels", NULL, NULL },
		{ "status.state=running,spec.memory>=1G,spec.boot.kernel,spec", NULL, NULL },
		{ "spec.disks.disk=a,status.nets.mac=b,created>2026", NULL, NULL },
		{ "state=running", "no vm has 'state'", "did you mean 'status.state'?" },
		{ "name,memory>1G", "no vm has 'memory'", "did you mean 'spec.memory'?" },
		{ "status.stat=running", "no vm has 'status.stat'", "write conditions as" },
		{ "name.first=a", "no vm has 'name.first'", "write conditions as" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;
		struct filter *filter;
		int rc;

		assert_int_equal(filter_parse(&filter, cases[i].filter, &err), 0);
		rc = filter_check(filter, &api_vm, &err);
		if (rc != (cases[i].text ? -EINVAL : 0) ||
		    (rc && (!strstr(err.text, cases[i].text) || !strstr(err.hint, cases[i].hint))))
			fail_msg("%s: %d '%s' '%s'", cases[i].filter, rc, err.text, err.hint);
		filter_free(filter);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_fit_as_they_say),
		cmocka_unit_test(conditions_are_told_apart_by_their_member),
		cmocka_unit_test(text_that_is_no_filter_is_refused),
		cmocka_unit_test(conditions_on_what_no_object_has_are_refused),
		cmocka_unit_test(fields_copy_what_is_asked_for),
		cmocka_unit_test(fields_that_overlap_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
