/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tier_priv.h. */
#include "cpu/soft/tier_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "cpu/soft/engine_priv.h"
#include "host/clock.h"
#include "host/thread.h"

/* Between samples, at least, and how much more at most. */
#define INTERVAL_NS (7 * NS_PER_MS)
#define SPREAD_NS   (6 * NS_PER_MS)

/* Less than this used in between: the engine is idle, and so should the timer thread be. */
#define BUSY_NS     (500 * NS_PER_US)
#define IDLE_FACTOR 8

static const char *const tier_names[TIER_COUNT] = {
	[TIER_LOOP] = "loop",
	[TIER_INTERPRETER] = "interpreter",
	[TIER_TRANSLATED] = "translated",
	[TIER_HANDLERS] = "handlers",
	[TIER_TRANSLATION] = "translation",
	[TIER_DECODING] = "decoding",
	[TIER_DEVICES] = "devices",
};

struct tier_clock {
	pthread_mutex_t lock; /* guards all below */
	clockid_t thread;     /* while `runs`: the processor time of the vCPU's thread */
	bool runs;
	uint64_t used_ns;    /* by the thread, when it was looked at last */
	uint64_t since_ns;   /* of that, by the monotonic clock */
	uint64_t pending_ns; /* used, and not charged yet */
	uint64_t waited_ns;
	uint64_t spent_ns[TIER_COUNT];
};

int tier_clock_new(struct tier_clock **ret_clock)
{
	struct tier_clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return -ENOMEM;
	pthread_mutex_init(&clock->lock, NULL);
	*ret_clock = clock;
	return 0;
}

void tier_clock_free(struct tier_clock *clock)
{
	if (!clock)
		return;
	pthread_mutex_destroy(&clock->lock);
	free(clock);
}

static uint64_t used_now(const struct tier_clock *clock)
{
	struct timespec ts;

	if (clock_gettime(clock->thread, &ts) < 0)
		return clock->used_ns;
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

void tier_clock_start(struct soft_cpu *cpu)
{
	struct tier_clock *clock = cpu->tiers;
	LOCK_SCOPE(&clock->lock);

	clock->runs = !pthread_getcpuclockid(pthread_self(), &clock->thread);
	clock->used_ns = used_now(clock);
	clock->since_ns = clock_now_ns();
}

/* Notes what was used since the last look, and returns it. */
static uint64_t look(struct tier_clock *clock, uint64_t now_ns)
{
	uint64_t used = used_now(clock), busy = used - clock->used_ns;
	uint64_t passed = now_ns > clock->since_ns ? now_ns - clock->since_ns : 0;

	clock->pending_ns += busy;
	clock->waited_ns += passed > busy ? passed - busy : 0;
	clock->used_ns = used;
	clock->since_ns = now_ns;
	return busy;
}

void tier_clock_stop(struct soft_cpu *cpu)
{
	struct tier_clock *clock = cpu->tiers;
	LOCK_SCOPE(&clock->lock);

	if (clock->runs)
		look(clock, clock_now_ns());
	clock->runs = false;
}

/* Returns what was used since the last look. */
static uint64_t sample(struct soft_cpu *cpu, uint64_t now_ns)
{
	struct tier_clock *clock = cpu->tiers;
	uint64_t busy;
	enum tier tier = __atomic_load_n(&cpu->tier, __ATOMIC_RELAXED);
	LOCK_SCOPE(&clock->lock);

	if (!clock->runs)
		return 0;
	busy = look(clock, now_ns);
	/* One that sleeps does not say what it did. The next sample that finds it awake will. */
	if (atomic_load(&cpu->asleep))
		return busy;
	if (!atomic_load(&cpu->in_guest))
		tier = TIER_DEVICES;
	if (tier == TIER_TRANSLATED && !cpu->verify)
		atomic_fetch_or(&cpu->attention, ATTENTION_SAMPLE);
	clock->spent_ns[tier] += clock->pending_ns;
	clock->pending_ns = 0;
	return busy;
}

uint64_t tier_sample(struct soft_engine *engine, uint64_t now_ns, uint64_t *next_ns)
{
	uint64_t busy = 0, interval = INTERVAL_NS;

	if (now_ns < *next_ns)
		return *next_ns;
	for (unsigned i = 0; i < engine->vcpus; i++) {
		struct soft_cpu *cpu = engine_cpu(engine, i);

		if (cpu)
			busy += sample(cpu, now_ns);
	}
	if (busy < BUSY_NS)
		interval *= IDLE_FACTOR;
	/* The low bits of the time are as good as random. */
	*next_ns = now_ns + interval + now_ns * UINT64_C(0x9e3779b97f4a7c15) % SPREAD_NS;
	return *next_ns;
}

static void set_ms(json_t *all, const char *name, uint64_t ns)
{
	json_object_set_new(all, name, json_integer((json_int_t)(ns / NS_PER_MS)));
}

json_t *tier_stats(struct soft_cpu *cpu)
{
	struct tier_clock *clock = cpu->tiers;
	json_t *all = json_object();
	LOCK_SCOPE(&clock->lock);

	for (unsigned i = 0; i < TIER_COUNT; i++)
		set_ms(all, tier_names[i], clock->spent_ns[i]);
	set_ms(all, "waiting", clock->waited_ns);
	return all;
}
