/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FXSAVE, XSAVE and their kin: extended state between the vCPU and guest memory.
 *
 * The vCPU's own image is in the standard form with the host's offsets, and the guest's CPUID names
 * the same, so components are copied. Which of them are in their initial configuration (XINUSE) is
 * seen by looking at the bytes: nothing has to be tracked while instructions run.
 *
 * Spec: Intel SDM volume 1, chapter 13 "Managing State Using the XSAVE Feature Set"; volume 2,
 * FXSAVE, FXRSTOR.
 */
#include <errno.h>
#include <string.h>

#include "cpu/soft/native_exec_priv.h"

#define LEGACY_BYTES 512u
#define X87_BYTES    160u /* with MXCSR in between */
#define X87_REGS     32u  /* offset of ST0, 16 bytes a register */
#define AREA_MAX     VCPU_XSAVE_MAX
#define COMPACTED    BIT(63)
#define MXCSR_RESET  UINT32_C(0x1f80)
#define FCW_RESET    UINT16_C(0x037f)

enum save_flags {
	SAVE_COMPACTED = 1u << 0,
	SAVE_SKIPS_INITIAL = 1u << 1,
	SAVE_SUPERVISOR = 1u << 2,
};

/* A component beyond the legacy region. */
struct component {
	uint64_t bit;
	uint32_t offset;      /* in the standard form */
	uint32_t size;        /* bytes of the component in memory */
	uint32_t in_reach_32; /* bytes of it that are saved outside 64-bit mode */
};

#define COMPONENTS 5

static unsigned components_list(const struct soft_cpu *cpu, struct component *list)
{
	const struct native_host *host = native_host(cpu->native);
	const struct component all[COMPONENTS] = {
		{ XCR0_AVX, host->avx ? XSAVE_YMM_HIGH : 0, 256, 128 },
		{ XCR0_OPMASK, host->opmask, 64, 64 },
		{ XCR0_ZMM_HI256, host->zmm_high, 512, 256 },
		{ XCR0_HI16_ZMM, host->zmm_16, 1024, 0 },
		{ XCR0_PKRU, host->pkru, 8, 8 },
	};
	unsigned count = 0;

	for (unsigned i = 0; i < COMPONENTS; i++)
		if (all[i].offset)
			list[count++] = all[i];
	return count;
}

static unsigned component_bytes(const struct soft_cpu *cpu, const struct component *c)
{
	return cpu_code64(cpu) ? c->size : c->in_reach_32;
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
	return !count || (!bytes[0] && !memcmp(bytes, bytes + 1, count - 1));
}

static uint32_t mxcsr_get(const struct soft_cpu *cpu)
{
	uint32_t value;

	memcpy(&value, cpu->xsave + XSAVE_MXCSR, sizeof(value));
	return value;
}

static void mxcsr_set(struct soft_cpu *cpu, uint32_t value)
{
	memcpy(cpu->xsave + XSAVE_MXCSR, &value, sizeof(value));
}

/* The components that are not in their initial configuration. */
static uint64_t state_in_use(const struct soft_cpu *cpu)
{
	static const uint16_t fcw = FCW_RESET;
	struct component list[COMPONENTS];
	unsigned count = components_list(cpu, list);
	uint64_t in_use = 0;

	if (memcmp(cpu->xsave, &fcw, sizeof(fcw)) || !is_zero(cpu->xsave + 2, XSAVE_MXCSR - 2) ||
	    !is_zero(cpu->xsave + X87_REGS, 128))
		in_use |= XCR0_X87;
	if (!is_zero(cpu->xsave + XSAVE_XMM, 256))
		in_use |= XCR0_SSE;
	for (unsigned i = 0; i < count; i++) {
		/* What is out of reach in this mode is in use to AMD's processors alone. */
		bool counts = component_bytes(cpu, &list[i]) || cpu->engine->vendor_amd;

		if (counts && !is_zero(cpu->xsave + list[i].offset, list[i].size))
			in_use |= list[i].bit;
	}
	return in_use;
}

static void x87_init(uint8_t *image)
{
	static const uint16_t fcw = FCW_RESET;

	memset(image, 0, XSAVE_MXCSR);
	memset(image + X87_REGS, 0, 128);
	memcpy(image, &fcw, sizeof(fcw));
}

/* What the unit makes of a loaded image: reserved bits, and the error summary. */
static void x87_settle(uint8_t *image)
{
	uint16_t fcw, fsw, fop;

	memcpy(&fcw, image, 2);
	memcpy(&fsw, image + 2, 2);
	memcpy(&fop, image + 6, 2);
	fcw = (fcw & 0x1f3f) | 0x40;
	fsw &= 0x7f7f;
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	fop &= 0x7ff;
	memcpy(image, &fcw, 2);
	memcpy(image + 2, &fsw, 2);
	memcpy(image + 6, &fop, 2);
	image[5] = 0;
	for (unsigned i = 0; i < 8; i++)
		memset(image + X87_REGS + 16 * i + 10, 0, 6);
}

/* Copies the legacy region's components in `components` to `area`; MXCSR goes with `mxcsr`. */
static void legacy_copy_out(const struct soft_cpu *cpu, uint8_t *area, uint64_t components,
			    bool mxcsr)
{
	static const uint32_t mask = MXCSR_VALID;

	if (components & XCR0_X87) {
		memcpy(area, cpu->xsave, XSAVE_MXCSR);
		memcpy(area + X87_REGS, cpu->xsave + X87_REGS, 128);
	}
	if (mxcsr) {
		memcpy(area + XSAVE_MXCSR, cpu->xsave + XSAVE_MXCSR, 4);
		memcpy(area + XSAVE_MXCSR + 4, &mask, 4);
	}
	if (components & XCR0_SSE)
		memcpy(area + XSAVE_XMM, cpu->xsave + XSAVE_XMM, cpu_code64(cpu) ? 256 : 128);
}

static void legacy_copy_in(struct soft_cpu *cpu, const uint8_t *area, uint64_t components)
{
	if (components & XCR0_X87) {
		memcpy(cpu->xsave, area, XSAVE_MXCSR);
		memcpy(cpu->xsave + X87_REGS, area + X87_REGS, 128);
		x87_settle(cpu->xsave);
	}
	if (components & XCR0_SSE)
		memcpy(cpu->xsave + XSAVE_XMM, area + XSAVE_XMM, cpu_code64(cpu) ? 256 : 128);
}

/* The address of the area, aligned as insn says. */
static uint64_t area_address(struct soft_cpu *cpu, const struct insn *insn, unsigned size,
			     bool write)
{
	uint64_t linear = ea_linear(cpu, insn, size, write);

	if (linear & native_operand(insn)->align)
		raise_gp(cpu, insn);
	return linear;
}

static void fx_check(struct soft_cpu *cpu, const struct insn *insn)
{
	if (cpu->cr0 & (CR0_EM | CR0_TS))
		raise_fault(cpu, insn, EXCEPTION_NM);
}

static unsigned fx_bytes(const struct soft_cpu *cpu)
{
	return XSAVE_XMM + (cpu_code64(cpu) ? 256 : 128);
}

const struct insn *native_fxsave(struct soft_cpu *cpu, const struct insn *insn)
{
	uint8_t area[LEGACY_BYTES] = { 0 };
	uint64_t linear;

	fx_check(cpu, insn);
	linear = area_address(cpu, insn, LEGACY_BYTES, true);
	legacy_copy_out(cpu, area, XCR0_X87 | XCR0_SSE, true);
	store_bytes(cpu, insn, linear, area, fx_bytes(cpu));
	return insn + 1;
}

static void mxcsr_check(struct soft_cpu *cpu, const struct insn *insn, const uint8_t *area)
{
	uint32_t value;

	memcpy(&value, area + XSAVE_MXCSR, sizeof(value));
	if (value & ~MXCSR_VALID)
		raise_gp(cpu, insn);
}

const struct insn *native_fxrstor(struct soft_cpu *cpu, const struct insn *insn)
{
	uint8_t area[LEGACY_BYTES];
	uint64_t linear;

	fx_check(cpu, insn);
	linear = area_address(cpu, insn, LEGACY_BYTES, false);
	load_bytes(cpu, insn, linear, area, fx_bytes(cpu));
	mxcsr_check(cpu, insn, area);
	legacy_copy_in(cpu, area, XCR0_X87 | XCR0_SSE);
	memcpy(cpu->xsave + XSAVE_MXCSR, area + XSAVE_MXCSR, 4);
	return insn + 1;
}

static void xsave_check(struct soft_cpu *cpu, const struct insn *insn, bool supervisor)
{
	if (!(cpu->cr4 & CR4_OSXSAVE))
		raise_ud(cpu, insn);
	if (cpu->cr0 & CR0_TS)
		raise_fault(cpu, insn, EXCEPTION_NM);
	if (supervisor && cpu->cpl)
		raise_gp(cpu, insn);
}

/* The components that EDX:EAX ask for and the system has enabled. */
static uint64_t requested(const struct soft_cpu *cpu)
{
	return cpu->xcr0 & ((uint32_t)cpu->gpr[GPR_RAX] | cpu->gpr[GPR_RDX] << 32);
}

/* Where a component is in an area whose compacted form has `format`; 0 format: standard. */
static uint32_t component_offset(const struct component *list, unsigned index, uint64_t format)
{
	uint32_t offset = LEGACY_BYTES + 64;

	if (!format)
		return list[index].offset;
	/* No component of these asks to be aligned in the compacted form (CPUID.(0DH,i):ECX[1]). */
	for (unsigned i = 0; i < index; i++)
		if (format & list[i].bit)
			offset += list[i].size;
	return offset;
}

/* What is stored: pieces of the area. */
struct piece {
	uint32_t offset, size;
	const uint8_t *bytes;
};

struct pieces {
	struct piece list[4 + COMPONENTS];
	unsigned count;
};

static void piece_add(struct pieces *pieces, uint32_t offset, const void *bytes, uint32_t size)
{
	if (size)
		pieces->list[pieces->count++] = (struct piece){ offset, size, bytes };
}

static void pieces_store(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
			 const struct pieces *pieces)
{
	for (unsigned i = 0; i < pieces->count; i++)
		store_probe(cpu, insn, linear + pieces->list[i].offset, pieces->list[i].size);
	for (unsigned i = 0; i < pieces->count; i++)
		store_bytes(cpu, insn, linear + pieces->list[i].offset, pieces->list[i].bytes,
			    pieces->list[i].size);
}

static void pieces_legacy(const struct soft_cpu *cpu, const uint8_t *legacy, uint64_t components,
			  bool mxcsr, struct pieces *pieces)
{
	if (components & XCR0_X87)
		piece_add(pieces, 0, legacy, XSAVE_MXCSR);
	if (mxcsr)
		piece_add(pieces, XSAVE_MXCSR, legacy + XSAVE_MXCSR, 8);
	if (components & XCR0_X87)
		piece_add(pieces, X87_REGS, legacy + X87_REGS, 128);
	if (components & XCR0_SSE)
		piece_add(pieces, XSAVE_XMM, legacy + XSAVE_XMM, cpu_code64(cpu) ? 256 : 128);
}

static const struct insn *save(struct soft_cpu *cpu, const struct insn *insn, unsigned flags)
{
	struct component list[COMPONENTS];
	unsigned count = components_list(cpu, list);
	uint64_t wanted, in_use, written, format = 0;
	uint8_t legacy[LEGACY_BYTES];
	struct pieces pieces = { 0 };
	uint64_t header[2] = { 0 };
	uint64_t linear;
	bool mxcsr;

	xsave_check(cpu, insn, flags & SAVE_SUPERVISOR);
	linear = area_address(cpu, insn, LEGACY_BYTES + 64, true);
	wanted = requested(cpu);
	in_use = state_in_use(cpu);
	mxcsr = wanted & (XCR0_SSE | XCR0_AVX);
	if (flags & SAVE_COMPACTED) {
		if (mxcsr_get(cpu) != MXCSR_RESET)
			in_use |= XCR0_SSE;
		format = header[1] = wanted | COMPACTED;
		mxcsr = wanted & in_use & XCR0_SSE;
	} else {
		load_bytes(cpu, insn, linear + LEGACY_BYTES, header, sizeof(header[0]));
	}
	header[0] = ((flags & SAVE_COMPACTED ? 0 : header[0]) & ~wanted) | (wanted & in_use);
	written = flags & SAVE_SKIPS_INITIAL ? wanted & in_use : wanted;
	legacy_copy_out(cpu, legacy, written, mxcsr);
	pieces_legacy(cpu, legacy, written, mxcsr, &pieces);
	piece_add(&pieces, LEGACY_BYTES, header, flags & SAVE_COMPACTED ? 16 : 8);
	for (unsigned i = 0; i < count; i++)
		if (written & list[i].bit)
			piece_add(&pieces, component_offset(list, i, format),
				  cpu->xsave + list[i].offset, component_bytes(cpu, &list[i]));
	pieces_store(cpu, insn, linear, &pieces);
	return insn + 1;
}

const struct insn *native_xsave(struct soft_cpu *cpu, const struct insn *insn)
{
	return save(cpu, insn, 0);
}

const struct insn *native_xsaveopt(struct soft_cpu *cpu, const struct insn *insn)
{
	return save(cpu, insn, SAVE_SKIPS_INITIAL);
}

const struct insn *native_xsavec(struct soft_cpu *cpu, const struct insn *insn)
{
	return save(cpu, insn, SAVE_COMPACTED | SAVE_SKIPS_INITIAL);
}

const struct insn *native_xsaves(struct soft_cpu *cpu, const struct insn *insn)
{
	return save(cpu, insn, SAVE_COMPACTED | SAVE_SKIPS_INITIAL | SAVE_SUPERVISOR);
}

/* XSTATE_BV, XCOMP_BV and the reserved bytes of a header that is to be loaded. */
static bool header_valid(const struct soft_cpu *cpu, const uint64_t *header, bool supervisor)
{
	if (header[0] & ~cpu->xcr0)
		return false;
	if (!(header[1] & COMPACTED))
		return !supervisor && !header[1] && !header[2];
	return !(header[1] & ~COMPACTED & ~cpu->xcr0) && !(header[0] & ~header[1]) &&
	       is_zero((const uint8_t *)&header[2], 48);
}

static void component_set(struct soft_cpu *cpu, const struct component *c, const uint8_t *from)
{
	unsigned size = component_bytes(cpu, c);

	if (from)
		memcpy(cpu->xsave + c->offset, from, size);
	else
		memset(cpu->xsave + c->offset, 0, size);
}

/* Reads what of the area is needed to `area`, at standard offsets, before anything changes. */
static void area_load(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
		      uint64_t components, uint64_t format, uint8_t *area)
{
	struct component list[COMPONENTS];
	unsigned count = components_list(cpu, list);

	load_bytes(cpu, insn, linear, area, LEGACY_BYTES);
	for (unsigned i = 0; i < count; i++)
		if (components & list[i].bit)
			load_bytes(cpu, insn, linear + component_offset(list, i, format),
				   area + list[i].offset, component_bytes(cpu, &list[i]));
}

static void restore_legacy(struct soft_cpu *cpu, const uint8_t *area, uint64_t wanted,
			   uint64_t present, bool compacted)
{
	uint64_t initial = wanted & ~present;

	if (initial & XCR0_X87)
		x87_init(cpu->xsave);
	if (initial & XCR0_SSE)
		memset(cpu->xsave + XSAVE_XMM, 0, cpu_code64(cpu) ? 256 : 128);
	if (compacted && initial & XCR0_SSE)
		mxcsr_set(cpu, MXCSR_RESET);
	else if (wanted & (compacted ? XCR0_SSE : XCR0_SSE | XCR0_AVX))
		memcpy(cpu->xsave + XSAVE_MXCSR, area + XSAVE_MXCSR, 4);
	legacy_copy_in(cpu, area, wanted & present);
}

static const struct insn *restore(struct soft_cpu *cpu, const struct insn *insn, bool supervisor)
{
	struct component list[COMPONENTS];
	unsigned count = components_list(cpu, list);
	uint8_t area[AREA_MAX];
	uint64_t header[8], linear, wanted, format;
	bool compacted;

	xsave_check(cpu, insn, supervisor);
	linear = area_address(cpu, insn, LEGACY_BYTES + 64, false);
	load_bytes(cpu, insn, linear + LEGACY_BYTES, header, sizeof(header));
	if (!header_valid(cpu, header, supervisor))
		raise_gp(cpu, insn);
	compacted = header[1] & COMPACTED;
	format = compacted ? header[1] : 0;
	wanted = requested(cpu);
	area_load(cpu, insn, linear, wanted & header[0], format, area);
	if (compacted ? wanted & header[0] & XCR0_SSE : wanted & (XCR0_SSE | XCR0_AVX))
		mxcsr_check(cpu, insn, area);
	restore_legacy(cpu, area, wanted, header[0], compacted);
	memset(cpu->upper_in_use, 1, sizeof(cpu->upper_in_use));
	for (unsigned i = 0; i < count; i++)
		if (wanted & list[i].bit)
			component_set(cpu, &list[i],
				      header[0] & list[i].bit ? area + list[i].offset : NULL);
	return insn + 1;
}

const struct insn *native_xrstor(struct soft_cpu *cpu, const struct insn *insn)
{
	return restore(cpu, insn, false);
}

const struct insn *native_xrstors(struct soft_cpu *cpu, const struct insn *insn)
{
	return restore(cpu, insn, true);
}

void native_state_save(struct soft_cpu *cpu)
{
	uint64_t header[2] = { state_in_use(cpu) | XCR0_X87 | XCR0_SSE, 0 };

	memset(cpu->xsave + LEGACY_BYTES, 0, 64);
	memcpy(cpu->xsave + LEGACY_BYTES, header, sizeof(header));
}

int native_state_load(struct soft_cpu *cpu)
{
	struct component list[COMPONENTS];
	unsigned count = components_list(cpu, list);
	uint64_t present;
	uint32_t mxcsr;

	memset(cpu->upper_in_use, 1, sizeof(cpu->upper_in_use));
	memcpy(&present, cpu->xsave + LEGACY_BYTES, sizeof(present));
	if (!is_zero(cpu->xsave + LEGACY_BYTES + 8, 16))
		return -EINVAL;
	if (!(present & XCR0_X87))
		x87_init(cpu->xsave);
	x87_settle(cpu->xsave);
	mxcsr = mxcsr_get(cpu);
	if (mxcsr & ~MXCSR_VALID)
		return -EINVAL;
	mxcsr_set(cpu, mxcsr);
	if (!(present & XCR0_SSE))
		memset(cpu->xsave + XSAVE_XMM, 0, 256);
	for (unsigned i = 0; i < count; i++)
		if (!(present & list[i].bit))
			memset(cpu->xsave + list[i].offset, 0, list[i].size);
	return 0;
}
