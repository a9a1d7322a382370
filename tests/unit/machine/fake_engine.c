/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An engine for tests (see fake_engine.h). */
#include "fake_engine.h"

#include <stdlib.h>
#include <unistd.h>

#include "vm/processors.h"

struct fake_engine *fake_engine;

static int fake_probe(struct err *err)
{
	(void)err;
	return 0;
}

static int fake_supported_cpuid(struct cpuid_table *ret_table, struct err *err)
{
	static const struct cpuid_entry rows[] = {
		{ 0, 0, false, { 0xd, 0x68747541, 0x444d4163, 0x69746e65 } },
		{ 1, 0, false, { 0x00a20f10, 0, 0x01202000, 0x0781abfd } },
		{ 0x80000000, 0, false, { 0x80000008, 0, 0, 0 } },
		{ 0x80000001, 0, false, { 0x00a20f10, 0, 1, 0x2c100800 } },
		{ 0x80000008, 0, false, { 0x3028, 0, 0, 0 } },
	};

	(void)err;
	ret_table->count = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		check(!cpuid_set(ret_table, &rows[i]));
	return 0;
}

static int fake_open(struct engine **ret_engine, const struct engine_config *config,
		     struct err *err)
{
	struct fake_engine *fake = calloc(1, sizeof(*fake));

	(void)err;
	check(fake);
	fake->engine.ops = &fake_engine_ops;
	fake->config = *config;
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->changed, NULL);
	fake_engine = fake;
	*ret_engine = &fake->engine;
	return 0;
}

static void fake_free(struct engine *engine)
{
	free(engine);
	fake_engine = NULL;
}

static int fake_map_memory(struct engine *engine, struct err *err)
{
	(void)engine;
	(void)err;
	return 0;
}

static void fake_pic_line(struct engine *engine, bool level)
{
	(void)engine;
	(void)level;
}

static void fake_msi(struct engine *engine, struct msi_message message)
{
	((struct fake_engine *)engine)->last_msi = message;
}

static void fake_nmi(struct engine *engine, unsigned vcpu)
{
	(void)vcpu;
	((struct fake_engine *)engine)->nmis++;
}

static void fake_clock_paused(struct engine *engine)
{
	((struct fake_engine *)engine)->clock_pauses++;
}

static json_t *fake_stats(struct engine *engine)
{
	(void)engine;
	return json_pack("{s:i}", "exits", 7);
}

static int fake_vcpu_new(struct vcpu **ret_vcpu, struct engine *engine, unsigned index,
			 struct err *err)
{
	struct fake_vcpu *vcpu = calloc(1, sizeof(*vcpu));

	(void)err;
	check(vcpu && index < FAKE_VCPUS_MAX);
	vcpu->vcpu = (struct vcpu){ &fake_engine_ops, index };
	vcpu->engine = (struct fake_engine *)engine;
	vcpu->engine->vcpus[index] = vcpu;
	*ret_vcpu = &vcpu->vcpu;
	return 0;
}

static void fake_vcpu_free(struct vcpu *vcpu)
{
	free(vcpu);
}

static enum vcpu_exit play(struct fake_engine *fake, const struct fake_access *row)
{
	const struct engine_platform *platform = fake->config.platform;

	for (; row->size; row++)
		bus_write(row->mmio ? platform->mmio : platform->ports, row->address, row->value,
			  row->size);
	return row->exit;
}

static enum vcpu_exit fake_vcpu_run(struct vcpu *base)
{
	struct fake_vcpu *vcpu = (struct fake_vcpu *)base;
	struct fake_engine *fake = vcpu->engine;
	enum vcpu_exit reason = VCPU_EXIT_KICKED;

	pthread_mutex_lock(&fake->lock);
	if (fake->deaf_fd && base->index >= fake->deaf_vcpu) {
		check(write(fake->deaf_fd, "", 1) == 1);
		for (;;)
			pthread_cond_wait(&fake->changed, &fake->lock);
	}
	while (!vcpu->kicked && reason == VCPU_EXIT_KICKED) {
		const struct fake_access *script = base->index ? NULL : fake->script;

		if (!script) {
			pthread_cond_wait(&fake->changed, &fake->lock);
			continue;
		}
		fake->script = NULL;
		pthread_mutex_unlock(&fake->lock);
		reason = play(fake, script);
		pthread_mutex_lock(&fake->lock);
	}
	if (reason == VCPU_EXIT_KICKED)
		vcpu->kicked = false;
	pthread_mutex_unlock(&fake->lock);
	return reason;
}

static void fake_vcpu_kick(struct vcpu *base)
{
	struct fake_vcpu *vcpu = (struct fake_vcpu *)base;

	LOCK_SCOPE(&vcpu->engine->lock);
	vcpu->kicked = true;
	pthread_cond_broadcast(&vcpu->engine->changed);
}

static int fake_vcpu_get(struct vcpu *vcpu, struct vcpu_state *ret_state, struct err *err)
{
	(void)err;
	*ret_state = ((struct fake_vcpu *)vcpu)->state;
	return 0;
}

static int fake_vcpu_set(struct vcpu *vcpu, const struct vcpu_state *state, struct err *err)
{
	(void)err;
	((struct fake_vcpu *)vcpu)->state = *state;
	return 0;
}

void fake_engine_play(const struct fake_access *script)
{
	LOCK_SCOPE(&fake_engine->lock);
	fake_engine->script = script;
	pthread_cond_broadcast(&fake_engine->changed);
}

const struct engine_ops fake_engine_ops = {
	.name = "fake",
	.probe = fake_probe,
	.supported_cpuid = fake_supported_cpuid,
	.open = fake_open,
	.free = fake_free,
	.map_memory = fake_map_memory,
	.pic_line = fake_pic_line,
	.msi = fake_msi,
	.nmi = fake_nmi,
	.clock_paused = fake_clock_paused,
	.stats = fake_stats,
	.vcpu_new = fake_vcpu_new,
	.vcpu_free = fake_vcpu_free,
	.vcpu_run = fake_vcpu_run,
	.vcpu_kick = fake_vcpu_kick,
	.vcpu_get = fake_vcpu_get,
	.vcpu_set = fake_vcpu_set,
};
