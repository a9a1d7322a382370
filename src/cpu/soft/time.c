/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time of the guest.
 *
 * The TSC runs with the host's, scaled if the machine was given another frequency. kvmclock tells
 * the guest how to make nanoseconds of it; its zero is when the engine was opened.
 *
 * One thread per engine sleeps until the earliest local APIC timer of a vCPU that runs, and raises
 * that vCPU's attention flag; a vCPU that halts waits for its own timer itself. The thread also looks
 * what vCPUs do, for the statistics.
 *
 * Spec: Intel SDM volume 3, section 17.17; Linux Documentation/virt/kvm/x86/msr.rst.
 */
#include "cpu/soft/time_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "base/check.h"
#include "cpu/soft/run_priv.h"
#include "cpu/soft/tier_priv.h"
#include "host/clock.h"
#include "host/sandbox.h"
#include "host/thread.h"

#define RATIO_SHIFT         48
#define CALIBRATE_NS        (10 * NS_PER_MS)
#define CLOCK_TSC_STABLE    1
#define CLOCK_GUEST_STOPPED 2

__extension__ typedef unsigned __int128 u128;

struct timer_thread {
	struct soft_engine *engine;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t sleeps_until;       /* guarded by lock */
	uint64_t next_sample;        /* guarded by lock; see tier_priv.h */
	bool stop;                   /* guarded by lock */
	_Atomic uint64_t *deadlines; /* by vCPU */
};

/* What KVM shares with its guests. Spec: msr.rst, struct pvclock_vcpu_time_info and
 * pvclock_wall_clock. */
struct clock_page {
	uint32_t version, pad;
	uint64_t tsc, system_time_ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
};

struct wall_clock_page {
	uint32_t version, seconds, nanoseconds;
} __attribute__((packed));

static uint64_t measure_khz(void)
{
	uint64_t start_ns = clock_now_ns(), start = __rdtsc(), ns, ticks;

	do {
		ns = clock_now_ns() - start_ns;
		ticks = __rdtsc() - start;
	} while (ns < CALIBRATE_NS);
	return ticks * 1000000 / ns;
}

uint64_t time_host_tsc_khz(void)
{
	struct cpuid_regs r;

	/* Hypervisors tell it in a leaf of their own, processors in 0x15. */
	if (cpuid_host(1, 0).ecx >> 31 && cpuid_host(0x40000000, 0).eax >= 0x40000010) {
		r = cpuid_host(0x40000010, 0);
		if (r.eax)
			return r.eax;
	}
	if (cpuid_host(0, 0).eax >= 0x15) {
		r = cpuid_host(0x15, 0);
		if (r.eax && r.ebx && r.ecx)
			return (uint64_t)r.ecx * r.ebx / r.eax / 1000;
	}
	return measure_khz();
}

void time_init(struct soft_engine *engine, uint64_t guest_tsc_khz)
{
	engine->host_tsc_khz = time_host_tsc_khz();
	engine->tsc_khz = guest_tsc_khz ? guest_tsc_khz : engine->host_tsc_khz;
	engine->tsc_ratio =
		(uint64_t)(((u128)engine->tsc_khz << RATIO_SHIFT) / engine->host_tsc_khz);
	engine->start_tsc = __rdtsc();
	engine->start_ns = clock_now_ns();
}

static uint64_t scaled_tsc(const struct soft_engine *engine, uint64_t tsc)
{
	if (engine->tsc_ratio == BIT(RATIO_SHIFT))
		return tsc;
	return (uint64_t)(((u128)tsc * engine->tsc_ratio) >> RATIO_SHIFT);
}

uint64_t time_tsc(const struct soft_cpu *cpu)
{
	return scaled_tsc(cpu->engine, __rdtsc()) + (uint64_t)cpu->tsc_offset;
}

void time_set_tsc(struct soft_cpu *cpu, uint64_t value)
{
	cpu->tsc_offset = (int64_t)(value - scaled_tsc(cpu->engine, __rdtsc()));
}

uint64_t time_of_tsc_ns(const struct soft_cpu *cpu, uint64_t tsc)
{
	uint64_t now = clock_now_ns(), now_tsc = time_tsc(cpu);
	u128 ns;

	if (tsc <= now_tsc)
		return now;
	ns = (u128)(tsc - now_tsc) * 1000000 / cpu->engine->tsc_khz;
	return ns > UINT64_MAX - now - 1 ? UINT64_MAX : now + (uint64_t)ns;
}

/* ns = ((ticks << shift) * mul) >> 32, with a multiplier of full precision. */
static void clock_scale(uint64_t khz, uint32_t *ret_mul, int8_t *ret_shift)
{
	u128 mul = ((u128)1000000 << 64) / khz;
	int shift = -32;

	while (mul > UINT32_MAX) {
		mul >>= 1;
		shift++;
	}
	*ret_mul = (uint32_t)mul;
	*ret_shift = (int8_t)shift;
}

static void write_clock_page(struct soft_cpu *cpu, uint8_t flags)
{
	uint64_t address = cpu->msr.kvm_system_time;
	struct clock_page page = { .flags = CLOCK_TSC_STABLE | flags };
	uint8_t *shared;
	uint32_t *version, mul;
	int8_t shift;

	if (!(address & 1))
		return;
	shared = memory_map(cpu->memory, GPA(address & ~UINT64_C(1)), sizeof(page));
	if (!shared)
		return;
	/* One reference for all vCPUs, so that their clocks agree. */
	page.tsc = scaled_tsc(cpu->engine, cpu->engine->start_tsc) + (uint64_t)cpu->tsc_offset;
	page.system_time_ns = 0;
	clock_scale(cpu->engine->tsc_khz, &mul, &shift);
	page.mul = mul;
	page.shift = shift;
	version = (uint32_t *)shared; /* the first field; the guest rereads while it is odd */
	page.version = (*version | 1) + 1;
	__atomic_store_n(version, page.version - 1, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_release);
	memcpy(shared + 8, (uint8_t *)&page + 8, sizeof(page) - 8);
	__atomic_store_n(version, page.version, __ATOMIC_RELEASE);
	memory_dirty(cpu->memory, GPA(address & ~UINT64_C(1)), sizeof(page));
}

void time_write_system_time(struct soft_cpu *cpu)
{
	write_clock_page(cpu, 0);
}

void time_clock_paused(struct soft_cpu *cpu)
{
	write_clock_page(cpu, CLOCK_GUEST_STOPPED);
}

void time_write_wall_clock(struct soft_cpu *cpu)
{
	struct timespec now;
	uint64_t boot_ns;
	struct wall_clock_page page = { .version = 2 };

	clock_gettime(CLOCK_REALTIME, &now);
	boot_ns = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec -
		  (clock_now_ns() - cpu->engine->start_ns);
	page.seconds = (uint32_t)(boot_ns / NS_PER_SEC);
	page.nanoseconds = (uint32_t)(boot_ns % NS_PER_SEC);
	memory_write(cpu->memory, GPA(cpu->msr.kvm_wall_clock), &page, sizeof(page));
}

static uint64_t fire_due(struct timer_thread *t, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < t->engine->vcpus; i++) {
		uint64_t deadline = atomic_load(&t->deadlines[i]);

		if (deadline <= now) {
			struct soft_cpu *cpu = engine_cpu(t->engine, i);

			if (atomic_compare_exchange_strong(&t->deadlines[i], &deadline,
							   UINT64_MAX) &&
			    cpu)
				cpu_attention(cpu, ATTENTION_INTERRUPT);
			deadline = atomic_load(&t->deadlines[i]);
		}
		next = MIN(next, deadline);
	}
	return next;
}

static void *timer_loop(void *ctx)
{
	struct timer_thread *t = ctx;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		uint64_t now = clock_now_ns(), due = fire_due(t, now);
		uint64_t sample = tier_sample(t->engine, now, &t->next_sample);
		uint64_t next = MIN(due, sample);
		struct timespec at = { .tv_sec = (time_t)(next / NS_PER_SEC),
				       .tv_nsec = (long)(next % NS_PER_SEC) };

		sandbox_confine_worker();
		t->sleeps_until = next;
		pthread_cond_timedwait(&t->changed, &t->lock, &at);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int timer_thread_new(struct timer_thread **ret_timers, struct soft_engine *engine, struct err *err)
{
	struct timer_thread *t = calloc(1, sizeof(*t));
	pthread_condattr_t attributes;
	int rc;

	if (t)
		t->deadlines = calloc(engine->vcpus, sizeof(*t->deadlines));
	if (!t || !t->deadlines) {
		free(t);
		return err_errno(err, ENOMEM, "cannot create timers");
	}
	t->engine = engine;
	for (unsigned i = 0; i < engine->vcpus; i++)
		atomic_init(&t->deadlines[i], UINT64_MAX);
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	rc = thread_start(&t->thread, "soft-timer", timer_loop, t, err);
	if (rc) {
		pthread_cond_destroy(&t->changed);
		pthread_mutex_destroy(&t->lock);
		free(t->deadlines);
		free(t);
		return rc;
	}
	*ret_timers = t;
	return 0;
}

void timer_thread_free(struct timer_thread *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t->deadlines);
	free(t);
}

void timer_thread_forget(struct timer_thread *t, const struct soft_cpu *cpu)
{
	LOCK_SCOPE(&t->lock);
	atomic_store(&t->deadlines[cpu->vcpu.index], UINT64_MAX);
}

void timer_thread_arm(struct timer_thread *t, struct soft_cpu *cpu, uint64_t deadline_ns)
{
	atomic_store(&t->deadlines[cpu->vcpu.index], deadline_ns);
	if (deadline_ns == UINT64_MAX)
		return;
	LOCK_SCOPE(&t->lock);
	/* A later deadline than the one slept for is seen when that one is over. */
	if (deadline_ns < t->sleeps_until) {
		t->sleeps_until = deadline_ns;
		pthread_cond_signal(&t->changed);
	}
}
