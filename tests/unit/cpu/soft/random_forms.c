/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "random_forms.h"

#include <string.h>

#include "base/bits.h"
#include "base/macros.h"
#include "cpu/soft/native_priv.h"
#include "x86/cpuid.h"
#include "x86/registers.h"

const struct form_space form_spaces[] = {
	{ "one byte", SPACE_LEGACY, 0, 0x00, 0xd7, 40 },
	{ "x87", SPACE_LEGACY, 0, 0xd8, 0xdf, 800 },
	{ "groups", SPACE_LEGACY, 0, 0xe0, 0xff, 60 },
	{ "0F", SPACE_LEGACY, 1, 0x00, 0xff, 60 },
	{ "0F 38", SPACE_LEGACY, 2, 0x00, 0xff, 40 },
	{ "0F 3A", SPACE_LEGACY, 3, 0x00, 0xff, 40 },
	{ "VEX 0F", SPACE_VEX, 1, 0x00, 0xff, 60 },
	{ "VEX 0F 38", SPACE_VEX, 2, 0x00, 0xff, 60 },
	{ "VEX 0F 3A", SPACE_VEX, 3, 0x00, 0xff, 60 },
	{ "EVEX 0F", SPACE_EVEX, 1, 0x00, 0xff, 120 },
	{ "EVEX 0F 38", SPACE_EVEX, 2, 0x00, 0xff, 120 },
	{ "EVEX 0F 3A", SPACE_EVEX, 3, 0x00, 0xff, 120 },
};
const unsigned form_space_count = ARRAY_SIZE(form_spaces);

uint64_t random_next(struct random *random)
{
	uint64_t x = random->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	random->state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

static bool chance(struct random *random, uint32_t percent)
{
	return random_below(random, 100) < percent;
}

/* Instructions that leave the sandbox, or whose result depends on more than their state. */
static const uint8_t excluded_categories[] = {
	ZYDIS_CATEGORY_CALL,     ZYDIS_CATEGORY_COND_BR,    ZYDIS_CATEGORY_INTERRUPT,
	ZYDIS_CATEGORY_IO,       ZYDIS_CATEGORY_IOSTRINGOP, ZYDIS_CATEGORY_RET,
	ZYDIS_CATEGORY_SYSCALL,  ZYDIS_CATEGORY_SYSRET,     ZYDIS_CATEGORY_UNCOND_BR,
	ZYDIS_CATEGORY_RDWRFSGS, ZYDIS_CATEGORY_RDRAND,     ZYDIS_CATEGORY_RDSEED,
	ZYDIS_CATEGORY_VTX,
};

static const uint16_t excluded_mnemonics[] = {
	/* Segment registers and descriptor tables differ between host and guest. */
	ZYDIS_MNEMONIC_LAR,
	ZYDIS_MNEMONIC_LSL,
	ZYDIS_MNEMONIC_VERR,
	ZYDIS_MNEMONIC_VERW,
	ZYDIS_MNEMONIC_LDS,
	ZYDIS_MNEMONIC_LES,
	ZYDIS_MNEMONIC_LSS,
	ZYDIS_MNEMONIC_LFS,
	ZYDIS_MNEMONIC_LGS,
	ZYDIS_MNEMONIC_SGDT,
	ZYDIS_MNEMONIC_SIDT,
	ZYDIS_MNEMONIC_SLDT,
	ZYDIS_MNEMONIC_STR,
	ZYDIS_MNEMONIC_SMSW,
	/* May set TF or change the frame of the test itself. */
	ZYDIS_MNEMONIC_POPF,
	ZYDIS_MNEMONIC_POPFD,
	ZYDIS_MNEMONIC_POPFQ,
	ZYDIS_MNEMONIC_PUSHF,
	ZYDIS_MNEMONIC_PUSHFD,
	ZYDIS_MNEMONIC_PUSHFQ,
	/* Time, identity, randomness. */
	ZYDIS_MNEMONIC_CPUID,
	ZYDIS_MNEMONIC_RDTSC,
	ZYDIS_MNEMONIC_RDTSCP,
	ZYDIS_MNEMONIC_RDPMC,
	ZYDIS_MNEMONIC_RDPRU,
	ZYDIS_MNEMONIC_RDPID,
	ZYDIS_MNEMONIC_XGETBV,
	/* What is left to the guest's model or to the host's virtualisation. */
	ZYDIS_MNEMONIC_VMCALL,
	ZYDIS_MNEMONIC_VMMCALL,
	ZYDIS_MNEMONIC_MONITOR,
	ZYDIS_MNEMONIC_MWAIT,
	ZYDIS_MNEMONIC_MONITORX,
	ZYDIS_MNEMONIC_MWAITX,
	ZYDIS_MNEMONIC_SERIALIZE,
	ZYDIS_MNEMONIC_HLT,
	ZYDIS_MNEMONIC_CLZERO,
	ZYDIS_MNEMONIC_RDPKRU,
	ZYDIS_MNEMONIC_MOVDIRI,
	ZYDIS_MNEMONIC_MOVDIR64B,
	ZYDIS_MNEMONIC_WRPKRU,
	ZYDIS_MNEMONIC_SKINIT,
	/* Their environment has the address of the sandbox's last x87 instruction. */
	ZYDIS_MNEMONIC_FNSTENV,
	ZYDIS_MNEMONIC_FNSAVE,
};

/* What a host may have and no guest is offered. */
static bool is_offered(ZydisISASet set)
{
	switch (set) {
	case ZYDIS_ISA_SET_AMX_BF16:
	case ZYDIS_ISA_SET_AMX_INT8:
	case ZYDIS_ISA_SET_AMX_TILE:
	case ZYDIS_ISA_SET_AVX512_FP16_128:
	case ZYDIS_ISA_SET_AVX512_FP16_128N:
	case ZYDIS_ISA_SET_AVX512_FP16_256:
	case ZYDIS_ISA_SET_AVX512_FP16_512:
	case ZYDIS_ISA_SET_AVX512_FP16_SCALAR:
	case ZYDIS_ISA_SET_CET:
	case ZYDIS_ISA_SET_ENQCMD:
	case ZYDIS_ISA_SET_PT:
	case ZYDIS_ISA_SET_RTM:
	case ZYDIS_ISA_SET_TSX_LDTRK:
	case ZYDIS_ISA_SET_UINTR:
	case ZYDIS_ISA_SET_WAITPKG:
		return false;
	default:
		return true;
	}
}

static bool is_excluded(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
	for (size_t i = 0; i < ARRAY_SIZE(excluded_categories); i++)
		if (z->meta.category == excluded_categories[i])
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(excluded_mnemonics); i++)
		if (z->mnemonic == excluded_mnemonics[i])
			return true;
	if (z->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED || z->meta.isa_set == ZYDIS_ISA_SET_SVM)
		return true;
	for (unsigned i = 0; i < z->operand_count; i++) {
		const ZydisDecodedOperand *o = &operands[i];

		/* FS and GS have other bases; selectors other values. */
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_GS))
			return true;
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return true;
	}
	return false;
}

static unsigned put_legacy(struct random *random, const struct form_space *space, bool code32,
			   uint8_t *p)
{
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3 };
	unsigned n = 0;

	if (chance(random, 3))
		p[n++] = 0xf0;
	if (chance(random, 5))
		p[n++] = 0x67;
	if (chance(random, 50))
		p[n++] = prefixes[random_below(random, 3)];
	if (!code32 && chance(random, 50))
		p[n++] = (uint8_t)(0x40 | random_below(random, 16));
	if (space->map)
		p[n++] = 0x0f;
	if (space->map >= 2)
		p[n++] = space->map == 2 ? 0x38 : 0x3a;
	return n;
}

static unsigned put_vex(struct random *random, const struct form_space *space, uint8_t *p)
{
	p[0] = 0xc4;
	p[1] = (uint8_t)((random_below(random, 8) << 5) | space->map);
	p[2] = (uint8_t)random_next(random);
	/* Many take no second source, and say so. */
	if (chance(random, 40))
		p[2] |= 0x78;
	return 3;
}

static unsigned put_evex(struct random *random, const struct form_space *space, uint8_t *p)
{
	p[0] = 0x62;
	p[1] = (uint8_t)((random_below(random, 16) << 4) | space->map);
	p[2] = (uint8_t)(random_next(random) | 4);
	p[3] = (uint8_t)random_next(random);
	if (chance(random, 40)) {
		p[2] |= 0x78;
		p[3] |= 8;
	}
	if (chance(random, 50))
		p[3] &= 0x7f; /* no zeroing */
	if (chance(random, 50))
		p[3] &= 0xef; /* no broadcast */
	return 4;
}

static void bytes_make(struct random *random, const struct form_space *space, uint8_t opcode,
		       bool code32, uint8_t *p)
{
	unsigned n = space->encoding == SPACE_LEGACY ? put_legacy(random, space, code32, p)
		     : space->encoding == SPACE_VEX  ? put_vex(random, space, p)
						     : put_evex(random, space, p);

	/* Else they are LDS, LES and BOUND. */
	if (code32 && space->encoding != SPACE_LEGACY)
		p[1] |= 0xc0;
	p[n++] = opcode;
	while (n < 16) {
		p[n] = (uint8_t)random_next(random);
		n++;
	}
}

static const uint64_t interesting[] = {
	0,
	1,
	2,
	31,
	32,
	63,
	64,
	127,
	128,
	255,
	256,
	32767,
	32768,
	65535,
	INT32_MAX,
	1u << 31,
	UINT32_MAX,
	1ull << 32,
	INT64_MAX,
	1ull << 63,
	UINT64_MAX,
	UINT64_MAX - 1,
	0x5555555555555555,
};

static uint64_t random_integer(struct random *random)
{
	switch (random_below(random, 4)) {
	case 0:
		return interesting[random_below(random, ARRAY_SIZE(interesting))];
	case 1:
		return random_below(random, 256);
	case 2:
		return (uint64_t)(int64_t)(int32_t)random_next(random);
	default:
		return random_next(random);
	}
}

/* Doubles, pairs of floats, and other patterns that meet special cases. */
static uint64_t random_element(struct random *random)
{
	static const uint64_t patterns[] = {
		0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000,
		0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001,
		0x0000000000000001, 0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff,
		0x4340000000000000, 0x43e0000000000000, 0x3f8000003f800000, 0xbf80000040490fdb,
		0x7f8000007fc00000, 0xff8000007f800001, 0x0000000180000001, 0x007fffff00800000,
		0x7f7fffff4f000000, 0x5f0000003f000000, 0x3fe0000000000000, 0x4024000000000000,
	};

	switch (random_below(random, 4)) {
	case 0:
		return patterns[random_below(random, ARRAY_SIZE(patterns))];
	case 1:
		return random_integer(random);
	case 2: /* moderate floats */
		return (random_next(random) & 0x87ffffff87ffffff) | 0x3c0000003c000000;
	default:
		return random_next(random);
	}
}

static void random_x87(struct random *random, uint8_t *image)
{
	uint16_t fcw = 0x37f, fsw = (uint16_t)(random_next(random) & 0x7f3f);

	if (chance(random, 30))
		fcw = (uint16_t)((random_next(random) & 0xf00) | 0x7f);
	if (chance(random, 5))
		fcw = (uint16_t)((random_next(random) & 0xf3f) | 0x40);
	if (chance(random, 80))
		fsw &= 0x7f00;
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	memset(image, 0, 24);
	memcpy(image, &fcw, 2);
	memcpy(image + 2, &fsw, 2);
	image[4] = chance(random, 60) ? 0xff : (uint8_t)random_next(random);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t mantissa = random_next(random) | BIT(63);
		uint16_t exponent = (uint16_t)(0x3fff + random_below(random, 70) - 35);

		if (chance(random, 25))
			exponent = (uint16_t)random_next(random);
		if (chance(random, 20))
			exponent &= 0x8000;
		if (chance(random, 20))
			mantissa = random_element(random);
		exponent |= (uint16_t)(random_next(random) & 0x8000);
		memset(image + 32 + 16 * i, 0, 16);
		memcpy(image + 32 + 16 * i, &mantissa, 8);
		memcpy(image + 40 + 16 * i, &exponent, 2);
	}
}

static uint32_t random_mxcsr(struct random *random)
{
	uint32_t mxcsr = 0x1f80;

	if (chance(random, 40))
		mxcsr |= random_next(random) & 0xe07f; /* rounding, flushing, flags, DAZ */
	if (chance(random, 5))
		mxcsr &= ~(uint32_t)(random_next(random) & 0x1f80);
	return mxcsr;
}

static void random_extended(struct random *random, const struct native_host *host, uint8_t *xsave)
{
	uint64_t present = 7;
	uint32_t mxcsr = random_mxcsr(random);

	memset(xsave, 0, SANDBOX_XSAVE);
	random_x87(random, xsave);
	memcpy(xsave + XSAVE_MXCSR, &mxcsr, 4);
	for (unsigned i = 0; i < 64; i++) {
		uint64_t low = random_element(random), high = random_element(random);

		memcpy(xsave + (i < 32 ? XSAVE_XMM + 8 * i : XSAVE_YMM_HIGH + 8 * (i - 32)), &low,
		       8);
		if (!host->opmask)
			continue;
		memcpy(xsave + host->zmm_high + 8 * i, &high, 8);
		high = random_element(random);
		memcpy(xsave + host->zmm_16 + 8 * i, &high, 8);
		high = random_element(random);
		memcpy(xsave + host->zmm_16 + 512 + 8 * i, &high, 8);
		high = random_integer(random);
		if (i < 8)
			memcpy(xsave + host->opmask + 8 * i, &high, 8);
	}
	if (host->opmask)
		present |= XCR0_AVX512;
	memcpy(xsave + XSAVE_HEADER, &present, 8);
}

/* Where a memory operand shall be: mostly well inside, sometimes at an edge or nowhere. */
static uint64_t random_address(struct random *random)
{
	uint64_t address = SANDBOX_WRITABLE + 0x100 + random_below(random, 0x1d00);

	if (chance(random, 60))
		address &= ~UINT64_C(63);
	if (chance(random, 5)) /* across the two, into the readable page, off the ends */
		address = SANDBOX_DATA + 0x1000 * (1 + random_below(random, 4)) +
			  random_below(random, 64) - 32;
	if (chance(random, 1))
		address |= BIT(47 + random_below(random, 16));
	return address;
}

static void patch(struct random_case *c, unsigned offset, uint64_t value, unsigned bits)
{
	memcpy(c->code + offset, &value, bits / 8);
}

/* Points general register `r` so that operand `m` is at `address`. */
static void aim(const struct random_case *c, const ZydisDecodedOperandMem *m, uint64_t address,
		struct sandbox_state *state)
{
	unsigned base = (unsigned)ZydisRegisterGetId(m->base);
	uint64_t rest = address - (uint64_t)m->disp.value;

	if (m->index != ZYDIS_REGISTER_NONE && m->type != ZYDIS_MEMOP_TYPE_VSIB) {
		unsigned index = (unsigned)ZydisRegisterGetId(m->index);

		if (index == base) {
			state->gpr[base] = rest / (1u + m->scale);
			return;
		}
		state->gpr[index] = (uint64_t)((int64_t)(state->gpr[index] % 256) - 128);
		rest -= state->gpr[index] * m->scale;
	}
	state->gpr[base] = rest;
	if (c->z.address_width == 32)
		state->gpr[base] = (uint32_t)rest;
}

static void aim_vector_index(struct random *random, const struct native_host *host,
			     const ZydisDecodedOperandMem *m, bool wide,
			     struct sandbox_state *state)
{
	unsigned n = (unsigned)ZydisRegisterGetId(m->index);

	for (unsigned i = 0; i < 16; i++) {
		uint64_t v = random_below(random, 256);
		unsigned at = 4 * i, offset;

		if (wide && i & 1)
			v = 0;
		offset = n >= 16   ? host->zmm_16 + 64 * (n - 16) + at
			 : at < 16 ? XSAVE_XMM + 16 * n + at
			 : at < 32 ? XSAVE_YMM_HIGH + 16 * n + at - 16
				   : host->zmm_high + 32 * n + at - 32;
		if (n < 16 && at >= 32 && !host->opmask)
			break;
		memcpy(state->xsave + offset, &v, 4);
	}
}

static void aim_absolute(struct random_case *c, const ZydisDecodedOperandMem *m, uint64_t address,
			 struct sandbox_state *state)
{
	if (c->z.raw.disp.size >= 32)
		patch(c, c->z.raw.disp.offset, address & INT32_MAX, c->z.raw.disp.size);
	if (m->index != ZYDIS_REGISTER_NONE && m->type != ZYDIS_MEMOP_TYPE_VSIB)
		state->gpr[ZydisRegisterGetId(m->index)] %= 64;
}

static void aim_operand(struct random *random, const struct native_host *host,
			struct random_case *c, const ZydisDecodedOperand *o, uint64_t address,
			struct sandbox_state *state)
{
	const ZydisDecodedOperandMem *m = &o->mem;

	if (m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP)
		patch(c, c->z.raw.disp.offset, address - SANDBOX_CODE - c->z.length, 32);
	else if (m->base == ZYDIS_REGISTER_NONE)
		aim_absolute(c, m, address, state);
	else
		aim(c, m, address, state);
	if (m->type == ZYDIS_MEMOP_TYPE_VSIB)
		aim_vector_index(random, host, m, o->element_size == 64 || chance(random, 50),
				 state);
}

/* FXSAVE, XSAVE and kin: their area is aligned and larger than other operands. */
static bool is_state_save(const ZydisDecodedInstruction *z)
{
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
		return true;
	default:
		return z->meta.isa_set == ZYDIS_ISA_SET_FXSAVE ||
		       z->meta.isa_set == ZYDIS_ISA_SET_FXSAVE64;
	}
}

/* What the host would save and no guest has. */
static uint32_t unknown_components(const struct native_host *host)
{
	return cpuid_host(0xd, 0).eax & ~(1 | (uint32_t)host->mask);
}

/* Puts something there that can be restored, mostly. */
static uint64_t random_area(struct random *random, const struct native_host *host,
			    struct sandbox_state *state)
{
	uint32_t offset = random_below(random, 8) * 64;
	uint64_t header[8] = { random_next(random) & 0xe7 };
	uint16_t fcw, fsw;

	random_extended(random, host, state->data + offset);
	if (chance(random, 30)) {
		fcw = (uint16_t)random_next(random);
		fsw = (uint16_t)random_next(random);
		memcpy(state->data + offset, &fcw, 2);
		memcpy(state->data + offset + 2, &fsw, 2);
	}
	if (chance(random, 30))
		header[1] = BIT(63) | header[0] | (random_next(random) & 0xe7);
	if (chance(random, 5))
		header[random_below(random, 8)] |= BIT(random_below(random, 64));
	memcpy(state->data + offset + XSAVE_HEADER, header, sizeof(header));
	state->gpr[GPR_RDX] = 0;
	if (chance(random, 5))
		offset += random_below(random, 64);
	return SANDBOX_WRITABLE + offset;
}

bool random_case_make(struct random *random, const struct form_space *space, uint8_t opcode,
		      const ZydisDecoder *decoder, const struct native_host *host,
		      struct random_case *c, struct sandbox_state *state)
{
	bool code32 = decoder->machine_mode != ZYDIS_MACHINE_MODE_LONG_64;

	bytes_make(random, space, opcode, code32, c->code);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, c->code, 15, &c->z, c->operands)) ||
	    is_excluded(&c->z, c->operands))
		return false;
	memset(state, 0, sizeof(*state));
	state->code32 = code32;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		state->gpr[i] = random_integer(random);
	if (c->z.attributes &
	    (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		state->gpr[GPR_RCX] = random_below(random, 20);
	state->rflags = RFLAGS_FIXED | RFLAGS_IF | (random_next(random) & RFLAGS_ARITHMETIC);
	if (chance(random, 20))
		state->rflags |= RFLAGS_DF;
	random_extended(random, host, state->xsave);
	for (unsigned i = 0; i < sizeof(state->data); i += 8) {
		uint64_t v = random_element(random);

		memcpy(state->data + i, &v, 8);
	}
	for (unsigned i = 0; i < c->z.operand_count; i++)
		if (c->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			aim_operand(random, host, c, &c->operands[i],
				    is_state_save(&c->z) ? random_area(random, host, state)
							 : random_address(random),
				    state);
	for (unsigned i = 0; code32 && i < 8; i++)
		state->gpr[i] = bits_set(state->gpr[i], 32, 32, random_next(random));
	/* Only now: so the same seed makes the same cases on all hosts. */
	if (!is_offered(c->z.meta.isa_set) ||
	    (is_state_save(&c->z) && state->gpr[GPR_RAX] & unknown_components(host)))
		return false;
	c->length = c->z.length;
	return ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(decoder, c->code, c->length, &c->z, c->operands));
}
