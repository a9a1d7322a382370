/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wrappers: the only callers of a back-end's slots. */
#include <errno.h>

#include "base/check.h"
#include "net/net.h"

void net_attach(struct net_backend *net, struct net_receiver receiver)
{
	check(net->ops->send && net->ops->receive_ready && net->ops->close);
	net->receiver = receiver;
}

int net_send(struct net_backend *net, unsigned queue, const struct iovec *iov, unsigned iov_count)
{
	return net->ops->send(net, queue, iov, iov_count);
}

void net_receive_ready(struct net_backend *net, unsigned queue)
{
	net->ops->receive_ready(net, queue);
}

unsigned net_offloads(struct net_backend *net)
{
	return net->ops->offloads ? net->ops->offloads(net) : 0;
}

int net_offloads_set(struct net_backend *net, unsigned from_guest, unsigned to_guest)
{
	unsigned offered = net_offloads(net);

	if ((from_guest | to_guest) & ~offered)
		return -EINVAL;
	return net->ops->offloads_set ? net->ops->offloads_set(net, from_guest, to_guest) : 0;
}

unsigned net_queues(struct net_backend *net)
{
	return net->ops->queues ? net->ops->queues(net) : 1;
}

int net_queues_set(struct net_backend *net, unsigned pairs)
{
	if (!pairs || pairs > net_queues(net))
		return -EINVAL;
	return net->ops->queues_set ? net->ops->queues_set(net, pairs) : 0;
}

int net_forwards_set(struct net_backend *net, const struct net_hostfwd *forwards, unsigned count,
		     struct err *err)
{
	if (!net->ops->forwards_set)
		return err_set(err, ENOTSUP, "only user networks forward ports");
	return net->ops->forwards_set(net, forwards, count, err);
}

int net_rules_set(struct net_backend *net, struct net_rules *rules, struct err *err)
{
	if (!net->ops->rules_set)
		return err_set(err, ENOTSUP, "only user networks hold security rules themselves");
	return net->ops->rules_set(net, rules, err);
}

json_t *net_describe(struct net_backend *net)
{
	if (net->ops->describe)
		return net->ops->describe(net);
	return json_pack("{s:s}", "type", net->ops->name);
}

void net_close(struct net_backend *net)
{
	if (net)
		net->ops->close(net);
}
