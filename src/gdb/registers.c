/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gdb/registers.h"

#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "x86/msr.h"

/* Places in the XSAVE image. */
#define X87_FCW      0
#define X87_FSW      2
#define X87_FTW      4 /* abridged: a bit a register */
#define X87_FOP      6
#define X87_FIP      8
#define X87_FDP      16
#define MXCSR        24
#define X87_ST       32
#define XMM          160
#define XSTATE_BV    512
#define YMM_HIGH     576
#define YMM_HIGH_END 832

/* Components in XSTATE_BV. */
#define X87 1
#define SSE 2
#define AVX 4

enum where {
	IN_STATE, /* `stored` bytes at `offset` of struct vcpu_state */
	IN_MSR,   /* MSR `offset` */
	IN_TAGS,  /* the x87 tag word, made of the abridged one */
};

struct gdb_register {
	const char *name;
	uint8_t size;      /* bytes, as GDB sees it */
	uint8_t stored;    /* bytes of it in the state; above, zeroes */
	uint8_t component; /* of XSTATE_BV that a write brings to life; 0: none */
	uint8_t where;     /* enum where */
	uint32_t offset;
	const char *type, *group;
};

#define STATE(member) offsetof(struct vcpu_state, member)

#define PLAIN(text, bytes, have, member, kind)                                                     \
	{                                                                                          \
		.name = text, .size = bytes, .stored = have, .offset = STATE(member), .type = kind \
	}
#define GENERAL(text, index)  PLAIN(text, 8, 8, gpr[index], "int64")
#define POINTER(text, index)  PLAIN(text, 8, 8, gpr[index], "data_ptr")
#define SELECTOR(text, index) PLAIN(text, 4, 2, segments[index].selector, "int32")
#define CONTROL(text, member) PLAIN(text, 8, 8, member, "int64")
#define EXTENDED(text, bytes, have, part, at, kind, set)                                           \
	{                                                                                          \
		.name = text, .size = bytes, .stored = have, .component = part,                    \
		.offset = STATE(xsave) + (at), .type = kind, .group = set                          \
	}
#define ST(n)                 EXTENDED("st" #n, 10, 10, X87, X87_ST + 16 * n, "i387_ext", "float")
#define FLOAT(text, have, at) EXTENDED(text, 4, have, X87, at, "int", "float")
#define VECTOR(n)             EXTENDED("xmm" #n, 16, 16, SSE, XMM + 16 * n, "vec128", "vector")
#define HIGH(n)               EXTENDED("ymm" #n "h", 16, 16, AVX, YMM_HIGH + 16 * n, "uint128", "vector")
#define SIXTEEN(of)                                                                                \
	of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7), of(8), of(9), of(10), of(11),      \
		of(12), of(13), of(14), of(15)

static const struct gdb_register core_registers[] = {
	GENERAL("rax", GPR_RAX),
	GENERAL("rbx", GPR_RBX),
	GENERAL("rcx", GPR_RCX),
	GENERAL("rdx", GPR_RDX),
	GENERAL("rsi", GPR_RSI),
	GENERAL("rdi", GPR_RDI),
	POINTER("rbp", GPR_RBP),
	POINTER("rsp", GPR_RSP),
	GENERAL("r8", GPR_R8),
	GENERAL("r9", GPR_R9),
	GENERAL("r10", GPR_R10),
	GENERAL("r11", GPR_R11),
	GENERAL("r12", GPR_R12),
	GENERAL("r13", GPR_R13),
	GENERAL("r14", GPR_R14),
	GENERAL("r15", GPR_R15),
	PLAIN("rip", 8, 8, rip, "code_ptr"),
	PLAIN("eflags", 4, 4, rflags, "i386_eflags"),
	SELECTOR("cs", SEG_CS),
	SELECTOR("ss", SEG_SS),
	SELECTOR("ds", SEG_DS),
	SELECTOR("es", SEG_ES),
	SELECTOR("fs", SEG_FS),
	SELECTOR("gs", SEG_GS),
	ST(0),
	ST(1),
	ST(2),
	ST(3),
	ST(4),
	ST(5),
	ST(6),
	ST(7),
	FLOAT("fctrl", 2, X87_FCW),
	FLOAT("fstat", 2, X87_FSW),
	{ .name = "ftag",
	  .size = 4,
	  .component = X87,
	  .where = IN_TAGS,
	  .type = "int",
	  .group = "float" },
	FLOAT("fiseg", 2, X87_FIP + 4),
	FLOAT("fioff", 4, X87_FIP),
	FLOAT("foseg", 2, X87_FDP + 4),
	FLOAT("fooff", 4, X87_FDP),
	FLOAT("fop", 2, X87_FOP),
};

static const struct gdb_register sse_registers[] = {
	SIXTEEN(VECTOR),
	EXTENDED("mxcsr", 4, 4, SSE, MXCSR, "i386_mxcsr", "vector"),
};

static const struct gdb_register avx_registers[] = { SIXTEEN(HIGH) };

static const struct gdb_register segment_registers[] = {
	PLAIN("fs_base", 8, 8, segments[SEG_FS].base, "int"),
	PLAIN("gs_base", 8, 8, segments[SEG_GS].base, "int"),
};

static const struct gdb_register system_registers[] = {
	{ .name = "k_gs_base",
	  .size = 8,
	  .where = IN_MSR,
	  .offset = MSR_KERNEL_GS_BASE,
	  .type = "int64",
	  .group = "system" },
	CONTROL("cr0", cr0),
	CONTROL("cr2", cr2),
	CONTROL("cr3", cr3),
	CONTROL("cr4", cr4),
	CONTROL("cr8", cr8),
	CONTROL("efer", efer),
};

struct flag {
	const char *name;
	uint8_t bit;
};

static const struct flag eflags[] = {
	{ "CF", 0 },  { "", 1 },    { "PF", 2 },   { "AF", 4 },   { "ZF", 6 },  { "SF", 7 },
	{ "TF", 8 },  { "IF", 9 },  { "DF", 10 },  { "OF", 11 },  { "NT", 14 }, { "RF", 16 },
	{ "VM", 17 }, { "AC", 18 }, { "VIF", 19 }, { "VIP", 20 }, { "ID", 21 }, { 0 },
};

static const struct flag mxcsr_flags[] = {
	{ "IE", 0 },  { "DE", 1 },  { "ZE", 2 },  { "OE", 3 },  { "UE", 4 },
	{ "PE", 5 },  { "DAZ", 6 }, { "IM", 7 },  { "DM", 8 },  { "ZM", 9 },
	{ "OM", 10 }, { "UM", 11 }, { "PM", 12 }, { "FZ", 15 }, { 0 },
};

/* How a vector register can be looked at. */
static const struct {
	const char *id, *field, *type;
	unsigned count;
} views[] = {
	{ "v4f", "v4_float", "ieee_single", 4 }, { "v2d", "v2_double", "ieee_double", 2 },
	{ "v16i8", "v16_int8", "int8", 16 },     { "v8i16", "v8_int16", "int16", 8 },
	{ "v4i32", "v4_int32", "int32", 4 },     { "v2i64", "v2_int64", "int64", 2 },
};

static void describe_flags(struct str *out, const char *id, const struct flag *flags)
{
	str_printf(out, "<flags id=\"%s\" size=\"4\">", id);
	for (; flags->name; flags++)
		str_printf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags->name,
			   flags->bit, flags->bit);
	str_add(out, "</flags>");
}

static void describe_eflags(struct str *out)
{
	describe_flags(out, "i386_eflags", eflags);
}

static void describe_vectors(struct str *out)
{
	for (unsigned i = 0; i < ARRAY_SIZE(views); i++)
		str_printf(out, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>", views[i].id,
			   views[i].type, views[i].count);
	str_add(out, "<union id=\"vec128\">");
	for (unsigned i = 0; i < ARRAY_SIZE(views); i++)
		str_printf(out, "<field name=\"%s\" type=\"%s\"/>", views[i].field, views[i].id);
	str_add(out, "<field name=\"uint128\" type=\"uint128\"/></union>");
	describe_flags(out, "i386_mxcsr", mxcsr_flags);
}

static const struct feature {
	const char *name;
	void (*types)(struct str *out);
	const struct gdb_register *registers;
	unsigned count;
	bool needs_avx;
} features[] = {
	{ "org.gnu.gdb.i386.core", describe_eflags, core_registers, ARRAY_SIZE(core_registers) },
	{ "org.gnu.gdb.i386.sse", describe_vectors, sse_registers, ARRAY_SIZE(sse_registers) },
	{ "org.gnu.gdb.i386.avx", NULL, avx_registers, ARRAY_SIZE(avx_registers), true },
	{ "org.gnu.gdb.i386.segments", NULL, segment_registers, ARRAY_SIZE(segment_registers) },
	{ "org.cella.x86.system", NULL, system_registers, ARRAY_SIZE(system_registers) },
};

static bool has(const struct vcpu_state *state, const struct feature *feature)
{
	return !feature->needs_avx || state->xsave_size >= YMM_HIGH_END;
}

static const struct gdb_register *find(const struct vcpu_state *state, unsigned n)
{
	for (const struct feature *f = features; f < features + ARRAY_SIZE(features); f++) {
		if (!has(state, f))
			continue;
		if (n < f->count)
			return &f->registers[n];
		n -= f->count;
	}
	return NULL;
}

unsigned gdb_register_count(const struct vcpu_state *state)
{
	unsigned count = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
		count += has(state, &features[i]) ? features[i].count : 0;
	return count;
}

unsigned gdb_register_size(const struct vcpu_state *state, unsigned n)
{
	return find(state, n)->size;
}

/* The tag of an x87 register: valid, zero, special, empty. Spec: SDM volume 1, section 8.1.7. */
static unsigned tag_of(const uint8_t *x87, unsigned physical)
{
	unsigned top = le16_get(x87 + X87_FSW) >> 11 & 7;
	const uint8_t *st = x87 + X87_ST + 16 * ((physical - top) & 7);
	unsigned exponent = le16_get(st + 8) & 0x7fff;
	uint64_t fraction = le64_get(st);

	if (!(x87[X87_FTW] >> physical & 1))
		return 3;
	if (!exponent && !fraction)
		return 1;
	return exponent && exponent != 0x7fff && fraction >> 63 ? 0 : 2;
}

static uint16_t tags_get(const uint8_t *x87)
{
	uint16_t tags = 0;

	for (unsigned i = 0; i < 8; i++)
		tags |= (uint16_t)(tag_of(x87, i) << (2 * i));
	return tags;
}

static void tags_set(uint8_t *x87, uint16_t tags)
{
	x87[X87_FTW] = 0;
	for (unsigned i = 0; i < 8; i++)
		x87[X87_FTW] |= (uint8_t)(((tags >> (2 * i) & 3) != 3) << i);
}

void gdb_register_get(const struct vcpu_state *state, unsigned n, void *buffer)
{
	const struct gdb_register *r = find(state, n);
	const struct vcpu_msr *msr;

	memset(buffer, 0, r->size);
	switch ((enum where)r->where) {
	case IN_STATE:
		memcpy(buffer, (const uint8_t *)state + r->offset, r->stored);
		break;
	case IN_MSR:
		msr = vcpu_state_msr((struct vcpu_state *)state, r->offset);
		if (msr)
			memcpy(buffer, &msr->value, r->size);
		break;
	case IN_TAGS:
		le16_put(buffer, tags_get(state->xsave));
		break;
	}
}

void gdb_register_set(struct vcpu_state *state, unsigned n, const void *buffer)
{
	const struct gdb_register *r = find(state, n);
	struct vcpu_msr *msr;

	state->xsave[XSTATE_BV] |= r->component;
	switch ((enum where)r->where) {
	case IN_STATE:
		memcpy((uint8_t *)state + r->offset, buffer, r->stored);
		break;
	case IN_MSR:
		msr = vcpu_state_msr(state, r->offset);
		if (msr)
			memcpy(&msr->value, buffer, r->size);
		break;
	case IN_TAGS:
		tags_set(state->xsave, le16_get(buffer));
		break;
	}
}

void gdb_registers_describe(const struct vcpu_state *state, struct str *out)
{
	str_add(out, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
		     "<target><architecture>i386:x86-64</architecture>");
	for (const struct feature *f = features; f < features + ARRAY_SIZE(features); f++) {
		if (!has(state, f))
			continue;
		str_printf(out, "<feature name=\"%s\">", f->name);
		if (f->types)
			f->types(out);
		for (unsigned i = 0; i < f->count; i++) {
			const struct gdb_register *r = &f->registers[i];

			str_printf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"", r->name,
				   8u * r->size, r->type);
			if (r->group)
				str_printf(out, " group=\"%s\"", r->group);
			str_add(out, "/>");
		}
		str_add(out, "</feature>");
	}
	str_add(out, "</target>");
}
