/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that changes the host's network: it does what it is asked for in order, and puts the plan
 * in force when something has changed. What it starts (nft, dnsmasq) has the same few capabilities,
 * whoever the daemon runs as.
 */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "host/thread.h"
#include "node/network/priv.h"

/* Interfaces and rules; DHCP before there are addresses; ports below 1024. */
static const unsigned rights[] = { CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE };

static bool is_right(unsigned capability)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rights); i++) {
		if (rights[i] == capability)
			return true;
	}
	return false;
}

/* Children get what is in the bounding set as root, and what is ambient as another user. What this
 * thread had not anyway cannot be kept. */
static void keep_rights(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

	for (unsigned i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
		if (!is_right(i))
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	}
	if (syscall(SYS_capget, &header, sets))
		return;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t mask = 0;

		for (unsigned j = 0; j < ARRAY_SIZE(rights); j++)
			mask |= CAP_TO_INDEX(rights[j]) == i ? CAP_TO_MASK(rights[j]) : 0;
		sets[i].permitted &= mask;
		sets[i].effective = sets[i].inheritable = sets[i].permitted;
	}
	if (syscall(SYS_capset, &header, sets))
		log_warn("networks: the thread keeps more rights than it needs");
	for (unsigned i = 0; i < ARRAY_SIZE(rights); i++)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, rights[i], 0, 0);
}

/* Waits; NULL: the plan is to be put in force, or (`ending`) there is no more to do. */
static struct network_call *next_call(struct networks *networks, bool *ret_apply)
{
	struct network_call *call;

	LOCK_SCOPE(&networks->lock);
	while (!networks->first && !networks->apply_wanted && !networks->ending)
		pthread_cond_wait(&networks->changed, &networks->lock);
	call = networks->first;
	*ret_apply = !call && networks->apply_wanted;
	if (*ret_apply)
		networks->apply_wanted = false;
	if (!call)
		return NULL;
	networks->first = call->next;
	if (!networks->first)
		networks->last = &networks->first;
	return call;
}

static void finish(struct networks *networks, struct network_call *call)
{
	LOCK_SCOPE(&networks->lock);
	call->done = true;
	pthread_cond_broadcast(&networks->changed);
}

static void *run(void *ctx)
{
	struct networks *networks = ctx;
	struct network_call *call;
	bool apply;

	keep_rights();
	while ((call = next_call(networks, &apply)) || apply) {
		struct problem problem = PROBLEM_INIT;

		if (call) {
			call->run(call);
			finish(networks, call);
		} else if (networks_apply_there(networks, &problem)) {
			log_error("networks: %s", problem.err.text);
		}
	}
	return NULL;
}

int networks_start_thread(struct networks *networks, struct err *err)
{
	int rc = thread_start_with_rights(&networks->thread, "networks", run, networks, err);

	networks->started = !rc;
	return rc;
}

void networks_stop_thread(struct networks *networks)
{
	if (!networks->started)
		return;
	pthread_mutex_lock(&networks->lock);
	networks->ending = true;
	pthread_cond_broadcast(&networks->changed);
	pthread_mutex_unlock(&networks->lock);
	pthread_join(networks->thread, NULL);
	networks->started = false;
}

void networks_call(struct networks *networks, struct network_call *call)
{
	LOCK_SCOPE(&networks->lock);
	call->next = NULL;
	call->done = false;
	*networks->last = call;
	networks->last = &call->next;
	pthread_cond_broadcast(&networks->changed);
	while (!call->done)
		pthread_cond_wait(&networks->changed, &networks->lock);
}

void networks_touch(struct networks *networks)
{
	LOCK_SCOPE(&networks->lock);
	networks->apply_wanted = true;
	pthread_cond_broadcast(&networks->changed);
}

struct apply_call {
	struct network_call call;
	struct networks *networks;
	struct problem *problem;
	int rc;
};

static void run_apply(struct network_call *call)
{
	struct apply_call *apply = container_of(call, struct apply_call, call);

	apply->rc = networks_apply_there(apply->networks, apply->problem);
}

int networks_apply(struct networks *networks, struct problem *problem)
{
	struct apply_call apply = { { .run = run_apply }, networks, problem, 0 };

	networks_call(networks, &apply.call);
	return apply.rc;
}
