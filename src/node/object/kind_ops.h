/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the node does with each kind of object: one table a kind, in a file of its own. */
#pragma once

#include "node/object/object.h"
#include "node/operation/operation.h"

/* A short action on an object. */
struct call {
	struct node *node;
	const struct identity *who;
	const struct web_request *request;
	struct object *object;
	const json_t *params;
	json_t *result; /* new reference, or NULL */
	bool answered;  /* the function gave (or will give) the answer to the exchange itself */
};

struct action_ops {
	const char *name; /* as in the kind's table; "create" and "delete" for long ones of these */
	int (*answer)(struct call *call, struct problem *problem); /* a short one, on a worker */
	operation_run *run;                                        /* a long one */
};

/*
 * What is below an object and is no action: …/vms/web1/console, …/images/debian/content. The table of
 * the kind's documentation is docs/api.md.
 */
struct resource_ops {
	const char *name;
	enum web_method method; /* WEB_GET stands for HEAD as well */
	enum api_verb verb;
	const char *const
		*queries; /* parameters of the query it takes, NULL at the end; NULL: none */
	int (*answer)(struct call *call, struct problem *problem);
	/* Instead of it, for a body in pieces (application/octet-stream) of so many `bytes`: who takes
	 * it. The call ends with the function; the exchange is answered by the upload's end(). */
	int (*upload)(struct call *call, uint64_t bytes, const struct web_upload_ops **ret_ops,
		      void **ret_ctx, struct problem *problem);
};

/* Everything but `kind` is optional. */
struct kind_ops {
	const struct api_kind *kind;

	/* At the daemon's start, after the store was opened and before requests are taken; in the
	 * order of the table, and back at the end. Loop's thread, may wait. */
	int (*start)(struct node *node, struct err *err);
	void (*stop)(struct node *node);

	/*
	 * Before an object is stored: completes what presets cannot, refuses what cannot be, and adds to
	 * the change what belongs to it (an operation, other objects). `before` NULL: it is new.
	 */
	int (*prepare)(struct change *change, const struct object *before, struct object *after,
		       struct problem *problem);
	/* Before it is deleted: refuses while others need it (API_CODE_IN_USE). */
	int (*release)(struct change *change, const struct object *object, struct problem *problem);

	/*
	 * Makes the world more like what the object wants, or lets go of everything when it is deleting
	 * (then object_gone()). After each change of it, at the start of the daemon and when poked; on a
	 * worker, never two at once for one object. > 0: call again after so many ms; negative errno: the
	 * same with growing pauses, and the words go to status.problem.
	 */
	int (*reconcile)(struct node *node, const struct object *object, struct problem *problem);

	const struct action_ops *actions;     /* NULL name at the end */
	const struct resource_ops *resources; /* NULL name at the end */
};

extern const struct kind_ops project_ops, vm_ops, disk_ops, image_ops, template_ops, pool_ops,
	network_ops, security_group_ops, key_ops, user_ops, role_ops, token_ops, node_ops;

/* In the order in which they start. NULL at the end. */
extern const struct kind_ops *const kind_ops_table[];
const struct kind_ops *kind_ops_of(const struct api_kind *kind);

/* Reconciles the object soon. Any thread, never fails. */
void reconcile_poke(struct node *node, const struct api_kind *kind, const char *uid);
/* The same after so many ms at the latest: many of these until then are one. */
void reconcile_later(struct node *node, const struct api_kind *kind, const char *uid, unsigned ms);
