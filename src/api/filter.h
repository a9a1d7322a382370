/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters of lists: conditions on members of objects, all of which must hold.
 *
 *	status.state=running,spec.memory>=1G,labels.tier!=web,name~web
 *
 * A path, an operator, a value: '=' and '!=' compare as text, '~' looks for a part of it in any case,
 * '<' '<=' '>' '>=' compare numbers (with units) or else text, "path" alone asks whether it is there
 * and not false or empty, "!path" the opposite. Of a list one item must fit. A ',' in a value is
 * written "\,".
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "api/kind.h"

#define FILTER_CONDITIONS_MAX 32

struct filter;

/* -EINVAL says what is wrong with the text. */
int filter_parse(struct filter **ret_filter, const char *text, struct err *err);
void filter_free(struct filter *filter);

/* -EINVAL if a condition is about what no object of the kind has: it would silently fit none. */
int filter_check(const struct filter *filter, const struct api_kind *kind, struct err *err);

/* NULL: everything fits. */
bool filter_fits(const struct filter *filter, const json_t *object);

/* Whether there are conditions on the member `member` (`of_it`), or on others. */
bool filter_has(const struct filter *filter, const char *member, bool of_it);

/*
 * filter_fits() by a look at compact JSON, which takes a tenth of the time: false is sure, true is not.
 * Of the conditions only those on the member `member` (`of_it`: `text` is that member's), or only the
 * others (`text` is of an object, maybe without that member).
 */
bool filter_may_fit(const struct filter *filter, const char *text, const char *member, bool of_it);

/* The member at a path such as "spec.memory" or "labels.tier", borrowed; NULL: there is none. Of
 * objects in lists the first one's. */
const json_t *filter_member(const json_t *object, const char *path);

/* A copy with these members alone ("name,status.state"); new reference. -EINVAL: a path is empty. */
int filter_fields(const json_t *object, const char *paths, json_t **ret_copy, struct err *err);
