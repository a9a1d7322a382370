/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/object/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/filter.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "node/object/text.h"

#define LIMIT_PRESET 100
#define SCANNED_MAX  20000 /* items looked at for a page */

const char *const list_queries[] = { "limit", "after", "fields", "filter", "labels", NULL };

struct listing {
	struct asked *asked;
	const struct list_source *source;
	uint64_t limit;
	char fields[1024];
	struct filter *filter;
	bool lines;
	char after[KEY_SIZE]; /* key of the last item that was looked at */
	uint64_t revision;
	size_t count, scanned;
	bool more;
	struct str text;
};

/* ---- what is asked for ---- */

static int refuse(struct problem *problem, const char *field, int rc)
{
	problem_field(problem, "%s", field);
	return problem_from_err(problem, rc);
}

char *list_label_filter(const char *labels)
{
	struct str filter = { 0 };

	while (*labels) {
		size_t length = strcspn(labels, ",");
		size_t skip = *labels == '!';

		str_printf(&filter, "%s%slabels.%.*s", filter.length ? "," : "", skip ? "!" : "",
			   (int)(length - skip), labels + skip);
		labels += length;
		labels += *labels == ',';
	}
	return str_take(&filter);
}

static int read_filter(struct listing *listing, struct problem *problem)
{
	const struct web_request *web = listing->asked->web;
	struct str filter = { 0 };
	char text[2048];
	int rc = 0;

	if (web_query(web, "filter", text, sizeof(text)))
		str_add(&filter, text);
	if (web_query(web, "labels", text, sizeof(text))) {
		AUTO_FREE char *labels = list_label_filter(text);

		str_add(&filter, filter.length ? "," : "");
		str_add(&filter, labels ? labels : "");
	}
	if (filter.failed)
		rc = problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	else if (filter.length)
		rc = refuse(problem, "filter",
			    filter_parse(&listing->filter, filter.text, &problem->err));
	if (!rc)
		*problem->field = '\0';
	str_fini(&filter);
	return rc;
}

static bool is_cursor(const char *text)
{
	for (; *text; text++) {
		if (*text <= ' ' || *text >= 0x7f)
			return false;
	}
	return true;
}

static int read_query(struct listing *listing, struct problem *problem)
{
	const struct web_request *web = listing->asked->web;
	const char *accept = web_header(web, "accept");
	char text[KEY_SIZE];

	listing->limit = LIMIT_PRESET;
	if (web_query(web, "limit", text, sizeof(text)) &&
	    parse_u64(text, 1, STORE_LIST_MAX, &listing->limit)) {
		problem_set(problem, API_CODE_INVALID, "'limit' must be 1 to %d", STORE_LIST_MAX);
		return problem_field(problem, "limit");
	}
	if (web_query(web, "after", text, sizeof(text))) {
		if (strlen(text) + strlen(listing->source->prefix) > STORE_KEY_MAX ||
		    !is_cursor(text)) {
			problem_set(problem, API_CODE_INVALID, "'after' is no cursor of a list");
			return problem_field(problem, "after");
		}
		snprintf(listing->after, sizeof(listing->after), "%s%.*s", listing->source->prefix,
			 (int)(STORE_KEY_MAX - strlen(listing->source->prefix)), text);
	}
	if (web_query(web, "fields", listing->fields, sizeof(listing->fields)) &&
	    !*listing->fields) {
		problem_set(problem, API_CODE_INVALID, "'fields' is empty");
		return problem_field(problem, "fields");
	}
	listing->lines = accept && strstr(accept, "application/x-ndjson");
	return read_filter(listing, problem);
}

/* ---- the page ---- */

/* The text without what is not wanted, or NULL: it is not in the list. Takes it. */
static char *sift(struct listing *listing, char *text, int *ret_rc, struct problem *problem)
{
	json_t *whole, *part;
	bool fits;

	*ret_rc = 0;
	if (!listing->filter && !*listing->fields)
		return text;
	whole = json_loads(text, 0, NULL);
	free(text);
	text = NULL;
	fits = whole && filter_fits(listing->filter, whole);
	if (fits && *listing->fields) {
		*ret_rc = filter_fields(whole, listing->fields, &part, &problem->err);
		if (!*ret_rc) {
			text = json_dumps(part, JSON_COMPACT);
			json_decref(part);
		}
	} else if (fits) {
		text = json_dumps(whole, JSON_COMPACT);
	}
	json_decref(whole);
	return text;
}

static int add_item(struct listing *listing, const struct store_item *item, struct problem *problem)
{
	char *text = listing->source->text(listing->asked, listing->source, item);
	int rc = 0;

	if (text)
		text = sift(listing, text, &rc, problem);
	if (rc)
		return refuse(problem, "fields", rc);
	if (!text)
		return 0;
	if (!listing->lines && listing->count)
		str_add(&listing->text, ",");
	str_add(&listing->text, text);
	if (listing->lines)
		str_add(&listing->text, "\n");
	listing->count++;
	free(text);
	return 0;
}

static int add_page(struct listing *listing, const struct store_page *page, struct problem *problem)
{
	const struct store_item *item;

	listing->more = page->more;
	vec_for_each (item, &page->items) {
		int rc;

		if (listing->count == listing->limit || listing->scanned == SCANNED_MAX) {
			listing->more = true;
			return 0;
		}
		rc = add_item(listing, item, problem);
		if (rc)
			return rc;
		listing->scanned++;
		snprintf(listing->after, sizeof(listing->after), "%s", item->key);
	}
	return 0;
}

static int fill(struct listing *listing, struct problem *problem)
{
	int rc = 0;

	listing->more = true;
	while (!rc && listing->more && listing->count < listing->limit &&
	       listing->scanned < SCANNED_MAX) {
		struct store_page page;
		/* Without a filter all that is read is shown. */
		unsigned limit = listing->filter ? STORE_LIST_MAX
						 : (unsigned)(listing->limit - listing->count);

		rc = store_list(listing->asked->node->store, listing->source->prefix,
				listing->after, limit, &page, &problem->err);
		if (rc)
			return problem_from_err(problem, rc);
		if (!listing->revision)
			listing->revision = page.revision;
		rc = add_page(listing, &page, problem);
		store_page_fini(&page);
	}
	return rc;
}

/* ---- the answer ---- */

/* Lines have no place for the cursor but a header. Spec: RFC 8288. */
static void link_header(const struct listing *listing, struct web_response *response)
{
	web_response_header(response, "link:", "<%s?after=%s>; rel=\"next\"",
			    listing->asked->web->path,
			    listing->after + strlen(listing->source->prefix));
}

static int answer(struct listing *listing, struct problem *problem)
{
	struct web_response response = { .status = 200 };

	if (listing->more)
		link_header(listing, &response);
	if (listing->lines) {
		response.type = "application/x-ndjson";
	} else {
		response.type = "application/json";
		str_add(&listing->text, "]");
		if (listing->more)
			str_printf(&listing->text, ",\"next\":\"%s\"",
				   listing->after + strlen(listing->source->prefix));
		str_printf(&listing->text, ",\"revision\":%llu}",
			   (unsigned long long)listing->revision);
	}
	response.bytes = listing->text.length;
	response.body = str_take(&listing->text);
	if (!response.body)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	web_answer(listing->asked->web->exchange, &response);
	return 0;
}

int list_answer(struct asked *asked, const struct list_source *source, struct problem *problem)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	int rc;

	if (!listing)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	listing->asked = asked;
	listing->source = source;
	rc = read_query(listing, problem);
	if (!rc && !listing->lines)
		str_add(&listing->text, "{\"items\":[");
	if (!rc)
		rc = fill(listing, problem);
	if (!rc)
		rc = answer(listing, problem);
	filter_free(listing->filter);
	str_fini(&listing->text);
	free(listing);
	return rc;
}

/* ---- of objects ---- */

static char *object_item_text(struct asked *asked, const struct list_source *source,
			      const struct store_item *item)
{
	struct object object;
	uint64_t status;
	bool allowed;

	if (!asked->who.root) {
		if (object_from_item(source->kind, item, &object, NULL))
			return NULL;
		allowed = access_allows(&asked->who, API_READ, source->kind,
					asked_place(source->kind, object.project, object.name),
					object_labels(&object));
		object_fini(&object);
		if (!allowed)
			return NULL;
	}
	return object_read_text(asked->node, source->kind, item, &status);
}

int list_objects(struct asked *asked, struct problem *problem)
{
	struct list_source source = { .kind = asked->kind, .text = object_item_text };
	const char *place = asked->kind == &api_project ? "" : asked->project;
	struct object project;
	int rc = 0;

	/* Whoever sees some projects only sees these in lists of all. */
	if (!asked->everywhere && asked->kind != &api_project)
		rc = access_require(&asked->who, API_READ, asked->kind, place, NULL, problem);
	if (!rc && *asked->project) {
		rc = object_get(asked->node, &api_project, "", asked->project, &project, problem);
		if (!rc)
			object_fini(&project);
	}
	if (rc)
		return rc;
	object_prefix(asked->kind, asked->everywhere ? NULL : asked->project, source.prefix);
	return list_answer(asked, &source, problem);
}
