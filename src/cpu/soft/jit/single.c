/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions of translated blocks that handlers do: decoded again when they are needed.
 *
 * Those that are needed often are the same ones most of the time: a direct-mapped table keeps them.
 * The bytes in memory are those that were translated, or somebody is about to say that they changed,
 * which is looked at behind the reading as a translation does (see code.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/soft/decode_priv.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/jit/verify_priv.h"

#define SINGLES 2048u

struct single {
	uint64_t key; /* number of the translation and offset, 0: free */
	struct insn insn;
	insn_exec *behind; /* the next insn's, for NEXT() */
	struct link links[2];
};

static_assert(offsetof(struct single, behind) ==
		      offsetof(struct single, insn) + sizeof(struct insn),
	      "as in an array of insns");

int singles_new(struct jit *jit)
{
	jit->singles = calloc(SINGLES, sizeof(*jit->singles));
	return jit->singles ? 0 : -ENOMEM;
}

void singles_free(struct jit *jit)
{
	free(jit->singles);
}

uint64_t singles_memory(void)
{
	return SINGLES * sizeof(struct single);
}

void singles_forget(struct jit *jit)
{
	memset(jit->singles, 0, SINGLES * sizeof(*jit->singles));
}

/* The bytes from there on, of both pages; how many. */
static unsigned read_code(const struct translation *t, unsigned offset,
			  uint8_t bytes[INSN_BYTES_MAX])
{
	unsigned rest = (unsigned)PAGE_SIZE - translation_offset(t) - offset;
	unsigned count = MIN(rest, (unsigned)INSN_BYTES_MAX);

	memcpy(bytes, translation_host(t) + offset, count);
	if (!translation_has_second(t))
		return count;
	memcpy(bytes + count, translation_host(t + 1), INSN_BYTES_MAX - count);
	return INSN_BYTES_MAX;
}

static bool decode(struct soft_cpu *cpu, const struct translation *t, unsigned offset,
		   struct single *s)
{
	uint8_t bytes[INSN_BYTES_MAX] = { 0 };
	unsigned count = read_code(t, offset, bytes), links;

	*s = (struct single){ .behind = jit_stop };
	s->insn.offset = (uint16_t)offset;
	if (decode_insn(cpu, bytes, count, &s->insn, &links) == DECODE_MORE)
		return false;
	if (links)
		s->insn.aux = s->links;
	if (s->insn.flags & INSN_LAST)
		s->insn.op = 1; /* instruction */
	atomic_thread_fence(memory_order_seq_cst);
	return !(atomic_load(&cpu->attention) & ATTENTION_REQUEST);
}

const struct insn *single_find(struct soft_cpu *cpu, const struct translation *t, unsigned offset)
{
	struct jit *jit = cpu->jit;
	uint64_t key = (uint64_t)(t - jit->translations) << 10 | offset;
	struct single *s = &jit->singles[key * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (SINGLES - 1)];

	if (unlikely(cpu->verify) && verify_stop(cpu, t, offset))
		return verify_stop(cpu, t, offset);
	if (likely(s->key == key))
		return &s->insn;
	jit->stats.singles++;
	/* The run loop makes room when it decodes a block. */
	if (!native_has_room(cpu->native, 1) || !decode(cpu, t, offset, s))
		return NULL;
	s->key = key;
	return &s->insn;
}
