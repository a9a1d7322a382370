/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "img/verbs.h"

#include <errno.h>
#include <string.h>

#include "base/suggest.h"

static const struct img_verb *find_verb(const struct img_verb *verbs, const struct img *img,
					struct err *err)
{
	const char *name = img->operands[0];
	struct suggestion suggestion = suggestion_for(name);

	for (; verbs->name; verbs++) {
		suggestion_offer(&suggestion, verbs->name);
		if (strcmp(verbs->name, name))
			continue;
		if (img->operand_count == verbs->operand_count + 2)
			return verbs;
		err_set(err, EINVAL, "'%s %s' takes FILE%s", img->command->name, name,
			verbs->operands);
		return NULL;
	}
	err_set(err, EINVAL, "'%s' does not know '%.64s'", img->command->name, name);
	if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	else
		err_hint(err, "see 'cella image %s --help'", img->command->name);
	return NULL;
}

int img_run_verb(struct img *img, const struct img_verb *verbs, void (*text)(const json_t *result),
		 struct err *err)
{
	const struct img_verb *verb = find_verb(verbs, img, err);
	struct block_node *node;
	json_t *result = NULL;
	int rc;

	if (!verb || img_open(img, img->operands[1], verb->changes, &node, err))
		return IMG_FAILED;
	rc = img_all_open(img, err);
	if (!rc)
		rc = verb->run(img, node, img->operands + 2, &result, err);
	if (!rc && verb->changes) {
		rc = block_flush(node);
		if (rc)
			err_errno(err, rc, "cannot write image '%s'", img->operands[1]);
	}
	block_close(node);
	if (rc) {
		json_decref(result);
		return IMG_FAILED;
	}
	if (result)
		img_print(img, result, text);
	return IMG_DONE;
}
