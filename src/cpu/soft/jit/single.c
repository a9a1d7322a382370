/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions of translated blocks that handlers do: decoded again when they are needed.
 *
 * Those that are needed often are the same ones most of the time: a direct-mapped table keeps them.
 * The bytes in memory are those that were translated, or somebody says that they changed, which is looked
 * at behind the reading as a translation does (see code.c), or has said so, and then what is done is the
 * last instruction of the block, which was dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/soft/decode_priv.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/jit/verify_priv.h"

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

static const uint8_t *base_of(const struct translation *t)
{
	return translation_host(t) - translation_offset(t) + translation_base(t);
}

/* The bytes from there on, of both pages; how many. */
static unsigned read_code(const struct translation *t, unsigned offset,
			  uint8_t bytes[INSN_BYTES_MAX])
{
	unsigned rest = (unsigned)PAGE_SIZE - translation_base(t) - offset;
	unsigned count = MIN(rest, (unsigned)INSN_BYTES_MAX);

	memcpy(bytes, base_of(t) + offset, count);
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
		s->insn.aux = cpu->jit->links;
	if (s->insn.flags & INSN_LAST)
		s->insn.op = 1; /* instruction */
	atomic_thread_fence(memory_order_seq_cst);
	return !(atomic_load(&cpu->attention) & ATTENTION_REQUEST);
}

const struct insn *single_decode(struct soft_cpu *cpu, const struct translation *t, unsigned offset)
{
	struct jit *jit = cpu->jit;
	uint64_t key = single_key(jit, t, offset);
	struct single *s = single_slot(jit, key);

	if (unlikely(cpu->verify)) {
		const struct insn *stop = verify_stop(cpu, base_of(t) + offset);

		if (stop)
			return stop;
	}
	jit->stats.singles++;
	/* The run loop makes room when it decodes a block. */
	if (!native_has_room(cpu->native, 1) || !decode(cpu, t, offset, s))
		return NULL;
	/* Each one is looked at anew while runs are compared. */
	s->key = cpu->verify ? 0 : key;
	return &s->insn;
}
