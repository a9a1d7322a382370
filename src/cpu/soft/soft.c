/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software engine behind the engine contract: opening, vCPUs, interrupts from outside,
 * statistics.
 *
 * Threads: each vCPU's functions on its own thread; what the contract says "any thread" about only
 * touches atomics and the locks in engine_priv.h.
 */
#include "cpu/soft/soft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "cpu/soft/block_priv.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/debugger_priv.h"
#include "cpu/soft/decode_priv.h"
#include "cpu/soft/jit/jit_priv.h"
#include "cpu/soft/jit/perf_priv.h"
#include "cpu/soft/jit/verify_priv.h"
#include "cpu/soft/lapic_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/run_priv.h"
#include "cpu/soft/state_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/tier_priv.h"
#include "cpu/soft/time_priv.h"

/* Decoded instructions take more room than the code that is made of them: where all of them are
 * kept, while that is compared with them, they get more. */
#define DECODED_SHARE 3
#define DECODED_MIN   (UINT64_C(4) << 20)

static struct soft_engine *soft_engine(struct engine *engine)
{
	return container_of(engine, struct soft_engine, engine);
}

static struct soft_cpu *soft_cpu(struct vcpu *vcpu)
{
	return container_of(vcpu, struct soft_cpu, vcpu);
}

static int probe(struct err *err)
{
	(void)err;
	return 0;
}

static int supported_cpuid(struct cpuid_table *ret_table, struct err *err)
{
	(void)err;
	cpuid_supported(ret_table);
	return 0;
}

/* The masks that say which lines of each page hold code: only pages that do take memory. */
static int map_code_lines(struct soft_engine *e, struct err *err)
{
	for (unsigned i = 0; i < MEMORY_REGIONS; i++) {
		uint64_t size = e->memory->regions[i].size >> PAGE_SHIFT << 3;
		void *lines;

		if (!size)
			continue;
		lines = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (lines == MAP_FAILED)
			return err_errno(err, errno, "cannot map the table of code pages");
		e->code_lines[i] = lines;
	}
	return 0;
}

static void free_engine(struct engine *engine)
{
	struct soft_engine *e;

	if (!engine)
		return;
	e = soft_engine(engine);
	timer_thread_free(e->timers);
	if (e->memory->watch.ctx == e)
		e->memory->watch = (struct memory_watch){ 0 };
	for (unsigned i = 0; i < MEMORY_REGIONS; i++) {
		if (e->code_lines[i])
			munmap(e->code_lines[i], e->memory->regions[i].size >> PAGE_SHIFT << 3);
	}
	pthread_mutex_destroy(&e->code_lock);
	code_cache_free(e->code);
	if (e->perf >= 0)
		close(e->perf);
	free(e->cpus);
	free(e);
}

static void read_cpuid(struct soft_engine *e)
{
	unsigned bits = cpuid_query(&e->cpuid, 0x80000008, 0).eax & 0xff;

	e->vendor_amd = cpuid_vendor_amd(cpuid_query(&e->cpuid, 0, 0));
	e->physical_bits = bits >= 32 && bits <= 52 ? bits : 36;
	e->large_1g = cpuid_query(&e->cpuid, 0x80000001, 0).edx >> 26 & 1;
	e->xcr0_mask = cpuid_xcr0_mask(&e->cpuid);
	e->xsave_size = cpuid_xsave_size(&e->cpuid, e->xcr0_mask);
}

static int open_engine(struct engine **ret_engine, const struct engine_config *config,
		       struct err *err)
{
	struct soft_options options;
	struct soft_engine *e;
	int rc;

	rc = soft_options_parse(&options, config->options, err);
	if (rc)
		return rc;
	if (options.verify && config->vcpus > 1)
		return err_set(err, EINVAL, "engine 'soft' verifies one vCPU, not %u",
			       config->vcpus);
	rc = native_traps_install();
	if (rc)
		return err_errno(err, rc, "cannot install handlers of processor traps");
	e = calloc(1, sizeof(*e));
	if (!e)
		return err_errno(err, ENOMEM, "cannot create engine 'soft'");
	e->engine.ops = &soft_engine_ops;
	e->memory = config->memory;
	e->platform = config->platform;
	e->options = options;
	e->perf = -1;
	e->cpuid = *config->cpuid;
	e->vcpus = config->vcpus;
	pthread_mutex_init(&e->code_lock, NULL);
	read_cpuid(e);
	decode_init(e);
	time_init(e, config->tsc_khz);
	e->cpus = calloc(e->vcpus, sizeof(*e->cpus));
	if (!e->cpus)
		rc = err_errno(err, ENOMEM, "cannot create engine 'soft'");
	if (!rc && options.perf)
		rc = perf_open(&e->perf, err);
	if (!rc && options.jit) {
		rc = code_cache_new(&e->code, e);
		if (rc)
			err_errno(err, rc, "cannot make a code cache");
	}
	if (!rc)
		rc = timer_thread_new(&e->timers, e, err);
	if (rc) {
		free_engine(&e->engine);
		return rc;
	}
	*ret_engine = &e->engine;
	return 0;
}

static int map_memory(struct engine *engine, struct err *err)
{
	struct soft_engine *e = soft_engine(engine);
	int rc = map_code_lines(e, err);

	if (rc)
		return rc;
	e->memory->watch = (struct memory_watch){ code_written_by_device, e };
	return 0;
}

static void pic_line(struct engine *engine, bool level)
{
	lapic_pic_line(soft_engine(engine), level);
}

static void msi(struct engine *engine, struct msi_message message)
{
	lapic_message(soft_engine(engine), message);
}

static void nmi(struct engine *engine, unsigned vcpu)
{
	struct soft_cpu *cpu = engine_cpu(soft_engine(engine), vcpu);

	if (!cpu)
		return;
	atomic_fetch_or(&cpu->events.pending, PENDING_NMI);
	cpu_attention(cpu, ATTENTION_INTERRUPT);
}

static int dirty_log(struct engine *engine, bool on, struct err *err)
{
	struct soft_engine *e = soft_engine(engine);

	(void)err;
	atomic_store(&e->logging, on);
	if (on)
		code_flush_writes(e);
	return 0;
}

/* Pages are logged when a vCPU first writes them: from now on it must ask again. */
static int dirty_collect(struct engine *engine, struct err *err)
{
	(void)err;
	code_flush_writes(soft_engine(engine));
	return 0;
}

static void clock_paused(struct engine *engine)
{
	struct soft_engine *e = soft_engine(engine);

	for (unsigned i = 0; i < e->vcpus; i++) {
		struct soft_cpu *cpu = engine_cpu(e, i);

		if (cpu)
			time_clock_paused(cpu);
	}
}

struct counter {
	const char *name;
	size_t offset; /* of an atomic_uint_fast64_t in struct soft_stats */
};

#define COUNTER(member)                                                                            \
	{                                                                                          \
#member, offsetof(struct soft_stats, member)                                       \
	}

static const struct counter counters[] = {
	COUNTER(blocks),
	COUNTER(cache_flushes),
	COUNTER(tlb_misses),
	COUNTER(exceptions),
	COUNTER(interrupts),
	COUNTER(halts),
	COUNTER(io),
	COUNTER(mmio),
	COUNTER(code_writes),
	COUNTER(decoded_flushes),
	COUNTER(cache_flush_longest_ns),
};

/* Bytes that a vCPU takes at most, with the tables of the code cache. */
static uint64_t cpu_memory(const struct soft_cpu *cpu)
{
	return sizeof(*cpu) + block_cache_memory(cpu->blocks) + native_memory() +
	       (cpu->jit ? jit_memory(cpu->jit) : 0);
}

/* "instructions" are those that the interpreter did as part of its own blocks. */
static json_t *cpu_stats(struct soft_cpu *cpu)
{
	json_t *all = json_object();

	json_object_set_new(
		all, "instructions",
		json_integer((json_int_t)__atomic_load_n(&cpu->instructions, __ATOMIC_RELAXED)));
	for (unsigned c = 0; c < ARRAY_SIZE(counters); c++) {
		atomic_uint_fast64_t *value = (void *)((uint8_t *)&cpu->stats + counters[c].offset);

		json_object_set_new(all, counters[c].name,
				    json_integer((json_int_t)atomic_load_explicit(
					    value, memory_order_relaxed)));
	}
	json_object_set_new(all, "memory_bytes", json_integer((json_int_t)cpu_memory(cpu)));
	if (cpu->jit)
		json_object_set_new(all, "translator", jit_stats(cpu));
	json_object_set_new(all, "milliseconds", tier_stats(cpu));
	return all;
}

static json_t *stats(struct engine *engine)
{
	struct soft_engine *e = soft_engine(engine);
	json_t *all = json_array();

	for (unsigned i = 0; i < e->vcpus; i++) {
		struct soft_cpu *cpu = engine_cpu(e, i);

		if (cpu)
			json_array_append_new(all, cpu_stats(cpu));
	}
	return json_pack("{s:o}", "vcpus", all);
}

static void log_stats(struct soft_cpu *cpu)
{
	json_t *all;
	char *text;

	if (atomic_load(&log_threshold) < LOG_DEBUG)
		return;
	all = cpu_stats(cpu);
	text = json_dumps(all, JSON_COMPACT);
	if (text)
		log_debug("vCPU %u: %s", cpu->vcpu.index, text);
	free(text);
	json_decref(all);
}

static size_t cpu_bytes(const struct soft_engine *e)
{
	return sizeof(struct soft_cpu) +
	       (e->code ? code_cache_ways(e->code) * sizeof(uint64_t) : 0);
}

static void free_cpu(struct vcpu *vcpu)
{
	struct soft_cpu *cpu;

	if (!vcpu)
		return;
	cpu = soft_cpu(vcpu);
	if (engine_cpu(cpu->engine, vcpu->index) == cpu) {
		atomic_store(&cpu->engine->cpus[vcpu->index], NULL);
		timer_thread_forget(cpu->engine->timers, cpu);
		log_stats(cpu);
	}
	jit_free(cpu->jit);
	verify_free(cpu->verify);
	native_free(cpu->native);
	block_cache_free(cpu->blocks);
	tier_clock_free(cpu->tiers);
	lapic_free(cpu->lapic);
	free(cpu->debugger);
	pthread_cond_destroy(&cpu->wake);
	pthread_mutex_destroy(&cpu->sleep_lock);
	pthread_mutex_destroy(&cpu->requests.lock);
	munmap(cpu, cpu_bytes(cpu->engine));
}

static void init_locks(struct soft_cpu *cpu)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&cpu->requests.lock, NULL);
	pthread_mutex_init(&cpu->sleep_lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&cpu->wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* What decoded blocks of a vCPU may take; 0: what the translator can spare. */
static uint64_t decoded_bytes(const struct soft_engine *e)
{
	uint64_t share = e->options.cache / e->vcpus;

	if (e->options.verify)
		return MAX(share * DECODED_SHARE, DECODED_MIN);
	return e->options.jit ? 0 : MAX(share, DECODED_MIN);
}

static int new_cpu(struct vcpu **ret_vcpu, struct engine *engine, unsigned index, struct err *err)
{
	struct soft_engine *e = soft_engine(engine);
	struct vcpu_state *fresh = calloc(1, sizeof(*fresh));
	struct soft_cpu *cpu = mmap(NULL, cpu_bytes(e), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (!fresh || cpu == MAP_FAILED || index >= e->vcpus) {
		free(fresh);
		if (cpu != MAP_FAILED)
			munmap(cpu, cpu_bytes(e));
		return err_errno(err, index >= e->vcpus ? EINVAL : ENOMEM, "cannot create vCPU %u",
				 index);
	}
	cpu->vcpu = (struct vcpu){ .ops = &soft_engine_ops, .index = index };
	cpu->engine = e;
	cpu->memory = e->memory;
	init_locks(cpu);
	rc = block_cache_new(cpu, decoded_bytes(e));
	if (!rc)
		rc = tier_clock_new(&cpu->tiers);
	if (!rc)
		rc = lapic_new(&cpu->lapic, cpu);
	if (!rc)
		rc = native_new(&cpu->native);
	if (!rc && e->options.jit)
		rc = jit_new(&cpu->jit, cpu);
	if (rc)
		rc = err_errno(err, rc, "cannot create vCPU %u", index);
	if (!rc) {
		vcpu_state_reset(fresh, index, cpuid_query(&e->cpuid, 1, 0).eax, e->xsave_size);
		rc = state_set(cpu, fresh, err);
	}
	free(fresh);
	if (rc) {
		free_cpu(&cpu->vcpu);
		return rc;
	}
	atomic_store(&e->cpus[index], cpu);
	*ret_vcpu = &cpu->vcpu;
	return 0;
}

static enum vcpu_exit run(struct vcpu *vcpu)
{
	return cpu_run(soft_cpu(vcpu));
}

static void kick(struct vcpu *vcpu)
{
	cpu_attention(soft_cpu(vcpu), ATTENTION_KICK);
}

static int get(struct vcpu *vcpu, struct vcpu_state *ret_state, struct err *err)
{
	(void)err;
	state_get(soft_cpu(vcpu), ret_state);
	return 0;
}

static int set(struct vcpu *vcpu, const struct vcpu_state *state, struct err *err)
{
	return state_set(soft_cpu(vcpu), state, err);
}

static int debug(struct vcpu *vcpu, const struct vcpu_debug *wanted)
{
	return debugger_set(soft_cpu(vcpu), wanted);
}

static struct debug_stop debug_stop(struct vcpu *vcpu)
{
	return debugger_stop(soft_cpu(vcpu));
}

const struct engine_ops soft_engine_ops = {
	.name = "soft",
	.probe = probe,
	.supported_cpuid = supported_cpuid,
	.msr_supported = msr_is_supported,
	.open = open_engine,
	.free = free_engine,
	.map_memory = map_memory,
	.pic_line = pic_line,
	.msi = msi,
	.nmi = nmi,
	.dirty_log = dirty_log,
	.dirty_collect = dirty_collect,
	.clock_paused = clock_paused,
	.stats = stats,
	.vcpu_new = new_cpu,
	.vcpu_free = free_cpu,
	.vcpu_run = run,
	.vcpu_kick = kick,
	.vcpu_get = get,
	.vcpu_set = set,
	.vcpu_debug = debug,
	.vcpu_debug_stop = debug_stop,
};
