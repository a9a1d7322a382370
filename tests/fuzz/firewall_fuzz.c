/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames both ways through the firewall of a user network. Input: way, bytes of the frame, the frame; … */
#include <string.h>

#include "base/check.h"
#include "net/firewall.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int next_send(struct net_backend *net, unsigned queue, const struct iovec *iov,
		     unsigned iov_count)
{
	return 0;
}

static void next_ready(struct net_backend *net, unsigned queue)
{
}

static void next_close(struct net_backend *net)
{
}

static const struct net_ops next_ops = {
	.name = "next",
	.send = next_send,
	.receive_ready = next_ready,
	.close = next_close,
};

static bool nic_receive(void *ctx, unsigned queue, const struct iovec *iov, unsigned iov_count)
{
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_rules rules = { .restricted = { true, true } };
	struct net_rule web = { .side = NET_SIDE_OUT,
				.protocol = NET_RULE_TCP,
				.ports = { { 80, 80 } },
				.port_count = 1 };
	struct net_backend next = { .ops = &next_ops }, *net;
	struct virtio_net_hdr_v1 header = { 0 };

	check(!vec_push(&rules.list, web));
	check(!net_firewall_open(&next, &rules, NULL, &net, NULL));
	net_attach(net, (struct net_receiver){ .receive = nic_receive });
	while (size >= 2) {
		size_t bytes = data[1] < size - 2 ? data[1] : size - 2;
		struct iovec iov[] = { { &header, sizeof(header) },
				       { (void *)(uintptr_t)(data + 2), bytes } };

		if (*data & 1)
			net_send(net, 0, iov, 2);
		else
			check(next.receiver.receive(next.receiver.ctx, 0, iov, 2));
		data += 2 + bytes;
		size -= 2 + bytes;
	}
	net_close(net);
	return 0;
}
