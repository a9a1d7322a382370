/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network cards: opened with the machine, and those that come, go and are limited while it runs, as the
 * control socket asks for them. Loop thread.
 *
 * The configuration's "nets" follows: a row for each place of struct backends, null where none is.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "host/handover.h"
#include "host/loop.h"

struct backends;
struct vmm;

/* Opens those of `config` (resolved), whose strings are borrowed; nets_close() is due also after a failure. */
int nets_open(struct backends *backends, const json_t *config, struct loop *loop, struct err *err);
void nets_close(struct backends *backends);

/* Whether the machine has user networks, or may get one while it runs. */
bool nets_may_open(const struct vmm *vmm);

/* The device of that card is gone: closes the rest. -ENOENT: there is no such card. */
int nets_close_card(struct vmm *vmm, const char *id);

/* Methods, `params` by the rows of api/control.c. A result is a new reference. What is taken of `handover`
 * leaves it. */
int nets_attach(struct vmm *vmm, const json_t *params, struct handover *handover,
		json_t **ret_result, struct err *err);
int nets_detach(struct vmm *vmm, const json_t *params, struct err *err);
int nets_forward(struct vmm *vmm, const json_t *params, struct err *err);
int nets_rule(struct vmm *vmm, const json_t *params, struct err *err);
int nets_limit(struct vmm *vmm, const json_t *params, json_t **ret_result, struct err *err);
json_t *nets_list(struct vmm *vmm);
