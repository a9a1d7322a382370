/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `jit=verify` compares of two runs, and what it says of a difference. See verify_priv.h. */
#include <string.h>

#include "base/log.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/flags_priv.h"
#include "cpu/soft/jit/verify_run_priv.h"

#define SHOWN_BYTES 256u

/* The bytes of an XSAVE image that must be equal: not the header. */
static const struct {
	const char *name;
	unsigned offset, size;
} xsave_parts[] = {
	{ "fcw, fsw, ftw, fop, fip, fdp", 0, XSAVE_MXCSR },
	{ "mxcsr", XSAVE_MXCSR, 4 },
	{ "st", 32, 128 },
	{ "xmm", XSAVE_XMM, 256 },
	{ "upper", XSAVE_YMM_HIGH, VCPU_XSAVE_MAX - XSAVE_YMM_HIGH },
};

static unsigned part_bytes(const struct soft_cpu *cpu, unsigned part)
{
	unsigned size = cpu->engine->xsave_size;

	if (xsave_parts[part].offset >= size)
		return 0;
	return MIN(xsave_parts[part].size, size - xsave_parts[part].offset);
}

static bool vectors_differ(const struct soft_cpu *cpu, unsigned part)
{
	const struct verify *v = cpu->verify;
	unsigned at = xsave_parts[part].offset;

	return memcmp(v->wanted.xsave + at, v->got.xsave + at, part_bytes(cpu, part));
}

static uint64_t flags_live(const struct verify *v)
{
	return FLAGS_ALL & ~v->dead;
}

static bool flags_differ(const struct verify *v)
{
	uint64_t flags = rflags_of_status(v->wanted.status) ^ rflags_of_status(v->got.status);

	return v->wanted.flags != v->got.flags || flags & flags_live(v);
}

static bool write_differs(const struct write *w)
{
	return memcmp(w->host, w->wanted, w->size);
}

/* What translated code came to instead of the block number `i`; NULL: it did not get that far. */
static const struct block *begun(const struct verify *v, unsigned i)
{
	return v->visits.begun[v->length - 1 - i];
}

static bool ways_differ(const struct verify *v)
{
	return memcmp(v->visits.begun, v->visits.wanted, v->length * sizeof(v->visits.begun[0]));
}

bool runs_differ(const struct soft_cpu *cpu)
{
	const struct verify *v = cpu->verify;

	if (v->got.faulted || ways_differ(v) || v->wanted.next != v->got.next ||
	    v->wanted.rip != v->got.rip || memcmp(v->wanted.gpr, v->got.gpr, sizeof(v->got.gpr)) ||
	    flags_differ(v))
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(xsave_parts); i++)
		if (vectors_differ(cpu, i))
			return true;
	for (unsigned i = 0; i < v->count; i++)
		if (write_differs(&v->writes[i]))
			return true;
	return false;
}

static void hex(char *text, const uint8_t *bytes, unsigned count)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < count; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
}

static void show_bytes(const char *name, uint64_t at, const uint8_t *wanted, const uint8_t *got,
		       unsigned count)
{
	char one[2 * WRITE_BYTES + 1], two[2 * WRITE_BYTES + 1];

	for (unsigned i = 0; i < count; i += WRITE_BYTES) {
		unsigned part = MIN(count - i, WRITE_BYTES);

		if (!memcmp(wanted + i, got + i, part))
			continue;
		hex(one, wanted + i, part);
		hex(two, got + i, part);
		log_error("  %s at 0x%llx: %s, translated %s", name, (unsigned long long)(at + i),
			  one, two);
	}
}

/* Of a block that crosses into another page, what is in the first one. */
static void show_block(const char *what, uint64_t rip, const struct block *block)
{
	unsigned rest = (unsigned)(PAGE_SIZE - ((uintptr_t)block->host & PAGE_MASK));
	char bytes[2 * SHOWN_BYTES + 1];

	rest = MIN(rest, SHOWN_BYTES);
	hex(bytes, block->host, MIN(block->bytes, rest));
	log_error("  %s at rip 0x%llx: %s", what, (unsigned long long)rip, bytes);
}

static void show_ways(const struct verify *v)
{
	for (unsigned i = 0; i < v->length; i++) {
		const struct step *step = &v->steps[i];

		show_block("block", step->rip, step->block);
		if (!begun(v, i))
			log_error("  translated code does not get there");
		else if (begun(v, i) != step->block)
			show_block("translated code comes to that", step->rip, begun(v, i));
	}
}

static void show_state(const struct verify *v)
{
	const struct insn *insns = v->steps[v->length - 1].block->insns;

	if (v->got.faulted)
		log_error("  translated code faults");
	if (v->wanted.next != v->got.next)
		log_error("  ends at instruction %d, translated %d",
			  v->wanted.next ? (int)(v->wanted.next - insns) : -1,
			  v->got.next ? (int)(v->got.next - insns) : -1);
	if (v->wanted.rip != v->got.rip)
		log_error("  rip: 0x%llx, translated 0x%llx", (unsigned long long)v->wanted.rip,
			  (unsigned long long)v->got.rip);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		if (v->wanted.gpr[i] != v->got.gpr[i])
			log_error("  register %u: was 0x%llx, now 0x%llx, translated 0x%llx", i,
				  (unsigned long long)v->before.gpr[i],
				  (unsigned long long)v->wanted.gpr[i],
				  (unsigned long long)v->got.gpr[i]);
	if (flags_differ(v))
		log_error(
			"  flags: 0x%llx, translated 0x%llx, live 0x%llx",
			(unsigned long long)(v->wanted.flags | rflags_of_status(v->wanted.status)),
			(unsigned long long)(v->got.flags | rflags_of_status(v->got.status)),
			(unsigned long long)flags_live(v));
}

void difference_log(const struct soft_cpu *cpu)
{
	const struct verify *v = cpu->verify;

	log_error("vCPU %u: translated code differs from rip 0x%llx to 0x%llx", cpu->vcpu.index,
		  (unsigned long long)v->before.rip, (unsigned long long)v->wanted.rip);
	if (!v->length)
		return; /* it did not last */
	show_ways(v);
	show_state(v);
	for (unsigned i = 0; i < ARRAY_SIZE(xsave_parts); i++)
		if (vectors_differ(cpu, i))
			show_bytes(xsave_parts[i].name, xsave_parts[i].offset,
				   v->wanted.xsave + xsave_parts[i].offset,
				   v->got.xsave + xsave_parts[i].offset, part_bytes(cpu, i));
	for (unsigned i = 0; i < v->count; i++) {
		const struct write *w = &v->writes[i];

		show_bytes("memory", w->linear, w->wanted, w->host, w->size);
	}
}
