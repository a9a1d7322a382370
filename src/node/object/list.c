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
#define SLICE        128   /* items whose status is read together */

const char *const list_queries[] = { "limit", "after", "fields", "filter", "labels", NULL };

struct listing {
	struct asked *asked;
	const struct list_source *source;
	uint64_t limit;
	char fields[1024];
	struct filter *filter;
	bool by_status, by_others; /* it has conditions on the status, on other members */
	bool lines;
	char after[KEY_SIZE]; /* key of the last item that was looked at */
	uint64_t revision;
	size_t count, scanned;
	bool more;
	struct str text;
	/* Of a slice: those that are looked at closely, and their status. */
	bool chosen[SLICE];
	struct store_item statuses[SLICE];
	char keys[SLICE][KEY_SIZE];
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
	if (!rc && listing->filter && listing->source->kind)
		rc = refuse(problem, "filter",
			    filter_check(listing->filter, listing->source->kind, &problem->err));
	if (!rc)
		*problem->field = '\0';
	if (listing->filter && listing->source->status_key) {
		listing->by_status = filter_has(listing->filter, "status", true);
		listing->by_others = filter_has(listing->filter, "status", false);
	}
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
	fits = whole && filter_fits(listing->filter, whole);
	if (!fits || *listing->fields)
		free(take_ptr(&text));
	if (fits && *listing->fields) {
		*ret_rc = filter_fields(whole, listing->fields, &part, &problem->err);
		if (!*ret_rc) {
			text = json_dumps(part, JSON_COMPACT);
			json_decref(part);
		}
	}
	json_decref(whole);
	return text;
}

static int add_item(struct listing *listing, const struct store_item *item,
		    const struct store_item *status, struct problem *problem)
{
	char *text;
	int rc = 0;

	if (listing->by_status &&
	    !filter_may_fit(listing->filter, status->value ? status->value : "{}", "status", true))
		return 0;
	text = listing->source->text(listing->asked, listing->source, item, status);
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

/* By its rights, and by what can be said of it without its status. */
static bool is_worth_a_look(struct listing *listing, const struct store_item *item)
{
	static const struct store_item none = { 0 };
	const struct list_source *source = listing->source;
	char *text;
	bool may;

	if (source->allows && !source->allows(listing->asked, source, item))
		return false;
	if (!listing->by_others)
		return true;
	text = source->text(listing->asked, source, item, &none);
	may = text && filter_may_fit(listing->filter, text, "status", false);
	free(text);
	return may;
}

static int choose(struct listing *listing, const struct store_item *items, size_t count,
		  struct problem *problem)
{
	const struct list_source *source = listing->source;
	const char *keys[SLICE];
	int rc;

	for (size_t i = 0; i < count; i++) {
		keys[i] = NULL;
		listing->chosen[i] = is_worth_a_look(listing, &items[i]);
		if (!listing->chosen[i] || !source->status_key)
			continue;
		listing->chosen[i] = source->status_key(source, &items[i], listing->keys[i]);
		keys[i] = listing->chosen[i] ? listing->keys[i] : NULL;
	}
	rc = store_get_many(listing->asked->node->store, keys, count, listing->statuses,
			    &problem->err);
	return rc ? problem_from_err(problem, rc) : 0;
}

/* 1: the page is full. */
static int add_slice(struct listing *listing, const struct store_item *items, size_t count,
		     struct problem *problem)
{
	size_t done = 0;
	int rc = choose(listing, items, count, problem);

	if (rc)
		return rc;
	for (; done < count && !rc; done++) {
		if (listing->count == listing->limit || listing->scanned == SCANNED_MAX) {
			rc = 1;
			break;
		}
		if (listing->chosen[done])
			rc = add_item(listing, &items[done], &listing->statuses[done], problem);
		listing->scanned++;
	}
	if (done)
		snprintf(listing->after, sizeof(listing->after), "%s", items[done - 1].key);
	for (size_t i = 0; i < count; i++)
		store_item_fini(&listing->statuses[i]);
	return rc;
}

static int add_page(struct listing *listing, const struct store_page *page, struct problem *problem)
{
	int rc = 0;

	listing->more = page->more;
	for (size_t at = 0; at < page->items.count && !rc; at += SLICE)
		rc = add_slice(listing, page->items.items + at,
			       MIN((size_t)SLICE, page->items.count - at), problem);
	listing->more |= rc == 1;
	return rc == 1 ? 0 : rc;
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

/* Labels are only looked at for those whose rights go by them. */
static bool object_allows(struct asked *asked, const struct list_source *source,
			  const struct store_item *item)
{
	char project[API_NAME_MAX + 1], name[API_NAME_MAX + 1];
	const char *place;
	struct object object;
	json_t *none;
	bool allowed;

	if (asked->who.root)
		return true;
	if (!object_parse_key(source->kind, item->key, project, name))
		return false;
	place = access_place(source->kind, project, name);
	none = json_object();
	allowed = none && access_allows(&asked->who, API_READ, source->kind, place, none);
	json_decref(none);
	if (allowed || !access_allows(&asked->who, API_READ, source->kind, place, NULL) ||
	    object_from_item(source->kind, item, &object, NULL))
		return allowed;
	allowed = access_allows(&asked->who, API_READ, source->kind, place, object_labels(&object));
	object_fini(&object);
	return allowed;
}

static bool object_status_of(const struct list_source *source, const struct store_item *item,
			     char ret_key[KEY_SIZE])
{
	char uid[UID_SIZE];

	if (!object_text_uid(item, uid))
		return false;
	object_status_key(source->kind, uid, ret_key);
	return true;
}

static char *object_item_text(struct asked *asked, const struct list_source *source,
			      const struct store_item *item, const struct store_item *status)
{
	return object_text(source->kind, item, status);
}

int list_objects(struct asked *asked, struct problem *problem)
{
	struct list_source source = { .kind = asked->kind,
				      .allows = object_allows,
				      .status_key = object_status_of,
				      .text = object_item_text };
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
