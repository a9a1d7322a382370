/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects in the store: what is wanted under /objects/KIND/PROJECT/NAME (PROJECT "-" for kinds of the
 * server), what was observed under /observed/KIND/UID. Functions are for workers and operations.
 */
#pragma once

#include "node/node.h"

struct object {
	const struct api_kind *kind;
	char project[API_NAME_MAX + 1]; /* "": a kind of the server */
	char name[API_NAME_MAX + 1];
	char uid[UID_SIZE];
	uint64_t revision; /* of the last change of what is wanted; 0: not stored yet */
	bool deleting; /* asked to go; its reconcile lets go of what it has and then says object_gone() */
	json_t *document; /* owned: uid, created, labels, notes, protected, spec */
};

void object_fini(struct object *object);
const json_t *object_spec(const struct object *object);   /* borrowed */
const json_t *object_labels(const struct object *object); /* borrowed */

/* API_CODE_NOT_FOUND: there is none. */
int object_get(struct node *node, const struct api_kind *kind, const char *project,
	       const char *name, struct object *ret_object, struct problem *problem);
/* A reference in a spec: "NAME" in `project` (kinds of the server: anywhere), or "PROJECT/NAME". */
int object_resolve(struct node *node, const struct api_kind *kind, const char *project,
		   const char *ref, struct object *ret_object, struct problem *problem);
int object_get_by_uid(struct node *node, const struct api_kind *kind, const char *uid,
		      struct object *ret_object, struct problem *problem);

/* Calls `visit` for every object of the kind, in the order of keys (`project` NULL: all); not 0 from
 * it ends the walk and is returned. */
int object_each(struct node *node, const struct api_kind *kind, const char *project,
		int (*visit)(void *ctx, const struct object *object), void *ctx);

/* What was observed, new reference; an empty object when nothing was. */
json_t *object_status(struct node *node, const struct object *object);
/* Stores it (takes the reference) if it is something else than before. Events come from it. */
int object_set_status(struct node *node, const struct object *object, json_t *status);
/* The same for some members of it, by merge patch. */
int object_patch_status(struct node *node, const struct object *object, json_t *patch);

/* As the API shows it: with status, without secrets. New reference; NULL: out of memory. */
json_t *object_json(struct node *node, const struct object *object);

/* What was asked to be deleted has let go of everything: it goes, with what was observed. */
int object_gone(struct node *node, const struct object *object);

/* ---- changes ---- */

struct identity;

/*
 * One commit: any objects and operations together with the lines of the audit. Expects that nothing it
 * read was changed meanwhile; -ESTALE then (API_CODE_STALE), and the caller reads and tries again or
 * tells the client.
 */
struct change {
	struct node *node;
	const struct identity *who; /* NULL: the server itself */
	const char *parent; /* operation that those of this change are a part of; NULL: none */
	struct store_commit commit;
	VEC(char *) texts;      /* that the commit points to */
	VEC(char *) operations; /* ids that begin when it is done */
	VEC(char *) pokes;
	VEC(char *) projects; /* whose usage it may change */
	VEC(char *) created;  /* keys that must not exist yet */
	uint64_t revision;    /* of the commit, when it is done */
	/* Owned, or NULL: members that the answer to the client has beside the object's, this once (a
	 * token's secret). They are in no log, event or audit, nor kept for an Idempotency-Key. */
	json_t *once;
};

void change_begin(struct change *change, struct node *node, const struct identity *who);
void change_fini(struct change *change);
/* The object as it is in memory; revision 0: it must not exist yet. */
int change_put(struct change *change, const struct object *object, struct problem *problem);
/* Marks it as deleting, or removes it if its kind has nothing to let go of. */
int change_delete(struct change *change, const struct object *object, struct problem *problem);
/* What is known of it from the start; takes the reference. */
int change_set_status(struct change *change, const struct object *object, json_t *status,
		      struct problem *problem);
/* The same object under another name; otherwise as change_put(). */
int change_rename(struct change *change, const struct object *object, const char *name,
		  struct problem *problem);
/* What the change relies on: the object is still as it was read. */
int change_expect(struct change *change, const struct object *object, struct problem *problem);
/* An operation on the object that begins with the commit. `params` borrowed. */
int change_add_operation(struct change *change, const struct object *object, const char *action,
			 const json_t *params, char ret_id[UID_SIZE], struct problem *problem);
int change_commit(struct change *change, struct problem *problem);

/*
 * A new object of the server's own, such as the default pool: `object` has kind, project and name, and
 * gets uid and document; `spec` is taken, checked and completed. The change is begun, whatever comes
 * of it, and still has to be committed. API_CODE_EXISTS may come then.
 */
int object_create(struct node *node, struct object *object, json_t *spec, struct change *change,
		  struct problem *problem);
/* The same in a change that was begun, of whom it was begun for. */
int object_add(struct change *change, struct object *object, json_t *spec, struct problem *problem);
