/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node/housekeeping.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "host/clock.h"
#include "node/access/audit.h"
#include "node/operation/priv.h"

#define PERIOD_NS (600 * NS_PER_SEC)

struct housekeeping {
	struct node *node;
	struct loop_timer timer;
	struct work work;
};

static void wait_for_next(struct housekeeping *house)
{
	loop_timer_arm(house->node->loop, &house->timer, clock_now_ns() + PERIOD_NS);
}

static void clean(struct work *work)
{
	struct housekeeping *house = container_of(work, struct housekeeping, work);

	audit_prune(house->node);
	operations_prune(house->node);
	wait_for_next(house);
}

static void expired(struct loop_timer *timer)
{
	struct housekeeping *house = container_of(timer, struct housekeeping, timer);

	workers_submit(house->node->workers, &house->work);
}

int housekeeping_open(struct node *node, struct err *err)
{
	struct housekeeping *house = calloc(1, sizeof(*house));

	if (!house)
		return err_errno(err, ENOMEM, "cannot start housekeeping");
	house->node = node;
	house->timer.expired = expired;
	house->work.run = clean;
	node->housekeeping = house;
	wait_for_next(house);
	return 0;
}

void housekeeping_close(struct node *node)
{
	if (!node->housekeeping)
		return;
	loop_timer_cancel(node->loop, &node->housekeeping->timer);
	free(node->housekeeping);
	node->housekeeping = NULL;
}
