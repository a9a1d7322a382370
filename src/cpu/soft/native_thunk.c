/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The body of a thunk.
 *
 *	load registers; [load flags]; [ldmxcsr guest]; mark; INSTRUCTION;
 *	[stmxcsr guest; ldmxcsr host]; store registers; [store flags]; [vzeroupper]; xor eax, eax; ret
 *	recovery: [stmxcsr guest; ldmxcsr host]; [vzeroupper]; ret
 *
 * x87 and MMX registers are loaded and stored by FXRSTOR64 and FXSAVE64, which also carry XMM and
 * MXCSR, and FNINIT gives the x87 unit back to the host's C code.
 *
 * The guest's MXCSR is in force with its own exception masks: the processor itself then decides
 * which exceptions are raised and which flags are set in which order. A guest that unmasks them and
 * raises one costs a host signal; nobody else pays anything. The handler finds the mark in front of
 * the instruction and goes on at the recovery with the vector in EAX.
 *
 * The pointer to the state stays in P, the memory operand's address in M: caller-saved registers
 * that the instruction does not use, and never RAX, which carries the flags.
 */
#include <string.h>

#include "cpu/soft/cpu_priv.h"
#include "cpu/soft/flags_priv.h"
#include "cpu/soft/native_thunk_priv.h"

#define RAX 0
#define RSI 6
#define RDI 7

/* What the host's ABI lets a function destroy, RAX last. */
static const uint8_t caller_saved[] = { RDI, RSI, 2, 1, 8, 9, 10, 11, RAX };

struct emitter {
	struct code *code;
	const struct native_host *host;
	uint8_t state, memory; /* P and M */
	uint64_t address, host_mxcsr;
	bool wide; /* upper halves of YMM are in use */
};

static bool is_caller_saved(uint8_t number)
{
	return memchr(caller_saved, number, sizeof(caller_saved)) != NULL;
}

static uint8_t host_take(uint32_t *taken, bool rax)
{
	for (unsigned i = 0; i < ARRAY_SIZE(caller_saved); i++) {
		uint8_t n = caller_saved[i];

		if (*taken & 1u << n || (n == RAX && !rax))
			continue;
		*taken |= 1u << n;
		return n;
	}
	check(!"a register is free"); /* an instruction names four at most */
	return 0;
}

/* Which host register stands in for each general one, and which are P and M. */
static void hosts_choose(struct native_form *form, struct emitter *e)
{
	uint32_t taken = 0;

	for (unsigned i = 0; i < form->use_count; i++) {
		struct use *u = &form->uses[i];

		if (u->kind == USE_GPR && !u->high && is_caller_saved(u->number))
			taken |= 1u << u->number;
	}
	e->state = host_take(&taken, false);
	e->memory = form->operation.memory ? host_take(&taken, false) : RSI;
	for (unsigned i = 0; i < form->use_count; i++) {
		struct use *u = &form->uses[i];

		if (u->kind != USE_GPR || (!u->high && is_caller_saved(u->number)))
			continue;
		u->host = UINT8_MAX;
		for (unsigned j = 0; j < i; j++)
			if (form->uses[j].kind == USE_GPR && form->uses[j].number == u->number &&
			    form->uses[j].high == u->high)
				u->host = form->uses[j].host;
		if (u->host == UINT8_MAX)
			u->host = host_take(&taken, true);
	}
}

/* Names the host's registers in the guest's instruction. */
static void hosts_apply(const struct native_form *form, const struct emitter *e,
			struct operation *o)
{
	if (o->memory)
		o->rm = e->memory;
	for (unsigned i = 0; i < form->use_count; i++) {
		const struct use *u = &form->uses[i];

		if (u->kind != USE_GPR)
			continue;
		o->rex |= u->high;
		if (u->field == ZYDIS_OPERAND_ENCODING_MODRM_REG)
			o->reg = u->host;
		else if (u->field == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			o->rm = u->host;
		else if (u->field == ZYDIS_OPERAND_ENCODING_NDSNDD)
			o->vvvv = u->host;
	}
}

/* An instruction between a register and the state at byte `offset`. */
static void state_operation(struct emitter *e, struct operation o, uint8_t reg, size_t offset)
{
	o.has_modrm = true;
	o.memory = true;
	o.reg = reg;
	o.rm = e->state;
	o.disp = (int32_t)offset;
	code_operation(e->code, &o);
}

static void move_gpr(struct emitter *e, const struct use *u, bool store)
{
	struct operation o = { .opcode = store ? 0x89 : 0x8b, .w = true };

	if (u->high) /* movzx: read only */
		o = (struct operation){ .map = MAP_0F, .opcode = 0xb6, .w = true };
	state_operation(e, o, u->host,
			offsetof(struct soft_cpu, gpr) + 8ul * u->number + (u->high ? 1 : 0));
}

static void move_mask(struct emitter *e, const struct use *u, bool store)
{
	struct operation o = { .encoding = OPERATION_VEX, .map = MAP_0F, .w = true };

	o.opcode = store ? 0x91 : 0x90;
	state_operation(e, o, u->number,
			offsetof(struct soft_cpu, xsave) + e->host->opmask + 8ul * u->number);
}

/* VINSERTF128 and VINSERTF64X4 take an upper half from memory, VEXTRACT… put it there. */
static void move_upper(struct emitter *e, uint8_t number, bool zmm, bool store, size_t offset)
{
	struct operation o = {
		.encoding = zmm ? OPERATION_EVEX : OPERATION_VEX,
		.map = MAP_0F3A,
		.prefix = PREFIX_66,
		.opcode = (uint8_t)((zmm ? 0x1a : 0x18) + (store ? 1 : 0)),
		.w = zmm,
		.length = zmm ? 2 : 1,
		.vvvv = store ? 0 : number,
		.imm = { 1 },
		.imm_bytes = 1,
	};

	state_operation(e, o, number, offset);
}

static void move_vector(struct emitter *e, const struct use *u, bool legacy, bool store)
{
	size_t base = offsetof(struct soft_cpu, xsave);
	struct operation move = { .map = MAP_0F, .opcode = store ? 0x11 : 0x10 };
	uint8_t n = u->number;
	/* VEX and EVEX clear what is above their destination. */
	unsigned width = !store ? u->width : legacy ? 16 : e->host->opmask ? 64 : 32;

	if (n >= 16) {
		move.encoding = OPERATION_EVEX;
		move.length = 2;
		state_operation(e, move, n, base + e->host->zmm_16 + 64ul * (n - 16));
		return;
	}
	move.encoding = legacy ? OPERATION_LEGACY : OPERATION_VEX;
	state_operation(e, move, n, base + XSAVE_XMM + 16ul * n);
	if (width >= 32)
		move_upper(e, n, false, store, base + XSAVE_YMM_HIGH + 16ul * n);
	if (width >= 64)
		move_upper(e, n, true, store, base + e->host->zmm_high + 32ul * n);
}

static void move_use(struct emitter *e, const struct native_form *form, const struct use *u,
		     bool store)
{
	if (u->kind == USE_GPR)
		move_gpr(e, u, store);
	else if (u->kind == USE_MASK)
		move_mask(e, u, store);
	else if (!form->fx) /* else FXRSTOR64 and FXSAVE64 do it */
		move_vector(e, u, form->operation.encoding == OPERATION_LEGACY, store);
}

/* Tells VZEROUPPER that it has something to clear. */
static void mark_upper(struct emitter *e, const struct native_form *form, const struct use *u)
{
	struct operation o = { .opcode = 0xc6, .imm = { 1 }, .imm_bytes = 1 }; /* mov byte */

	if (u->kind == USE_VECTOR && u->number < 16 && u->width > 16 &&
	    form->operation.encoding != OPERATION_LEGACY)
		state_operation(e, o, 0, offsetof(struct soft_cpu, upper_in_use) + u->number);
}

/* `extension` of 0F AE: 0 FXSAVE64, 1 FXRSTOR64, 2 LDMXCSR, 3 STMXCSR. */
static void state_0fae(struct emitter *e, uint8_t extension, size_t offset)
{
	struct operation o = { .map = MAP_0F, .opcode = 0xae, .w = extension < 2 };

	state_operation(e, o, extension, offsetof(struct soft_cpu, xsave) + offset);
}

/* Gives MXCSR back to the host's C code. */
static void mxcsr_leave(struct emitter *e, bool save)
{
	static const uint8_t ldmxcsr_rip[] = { 0x0f, 0xae, 0x15 };

	if (save)
		state_0fae(e, 3, XSAVE_MXCSR);
	code_bytes(e->code, ldmxcsr_rip, sizeof(ldmxcsr_rip));
	code_u32(e->code, (uint32_t)(e->host_mxcsr - (e->address + e->code->used + 4)));
}

static void vzeroupper(struct emitter *e)
{
	static const uint8_t bytes[] = { 0xc5, 0xf8, 0x77 };

	if (e->wide)
		code_bytes(e->code, bytes, sizeof(bytes));
}

/* The soft_cpu.status word to flags: as FLAGS_IN. Before any register is loaded. */
static void flags_load(struct emitter *e)
{
	static const uint8_t bytes[] = { 0x04, 0x7f, 0x9e }; /* add al, 127; sahf */
	struct operation movzx = { .map = MAP_0F, .opcode = 0xb7 };

	state_operation(e, movzx, RAX, offsetof(struct soft_cpu, status));
	code_bytes(e->code, bytes, sizeof(bytes));
}

/* As FLAGS_OUT. After RAX is stored. */
static void flags_store(struct emitter *e)
{
	static const uint8_t bytes[] = { 0x9f, 0x0f, 0x90, 0xc0, 0x66 }; /* lahf; seto al; 66 */
	struct operation mov = { .opcode = 0x89 };

	code_bytes(e->code, bytes, sizeof(bytes));
	state_operation(e, mov, RAX, offsetof(struct soft_cpu, status));
}

/* mov `to`, `from` */
static void move_register(struct emitter *e, uint8_t to, uint8_t from)
{
	struct operation mov = { .opcode = 0x89, .w = true, .has_modrm = true };

	mov.reg = from;
	mov.rm = to;
	if (to != from)
		code_operation(e->code, &mov);
}

static unsigned mark_reserve(struct emitter *e)
{
	static const uint8_t nop[] = { 0x0f, 0x1f, 0x84, 0x00 };

	code_bytes(e->code, nop, sizeof(nop));
	code_u32(e->code, THUNK_MARK);
	return e->code->used;
}

/* `at`: where the guest's instruction starts; the recovery starts here. */
static void mark_fill(struct emitter *e, unsigned at)
{
	uint32_t mark = THUNK_MARK | (e->code->used - at) << 16;

	memcpy(e->code->bytes + at - sizeof(mark), &mark, sizeof(mark));
}

static void emit_entry(struct emitter *e, const struct native_form *form)
{
	/* RSI first unless it is about to become P. */
	if (e->state == RSI) {
		move_register(e, e->memory, RSI);
		move_register(e, e->state, RDI);
	} else {
		move_register(e, e->state, RDI);
		move_register(e, e->memory, RSI);
	}
	if (form->flags_in)
		flags_load(e);
	if (form->fx)
		state_0fae(e, 1, 0);
	for (unsigned i = 0; i < form->use_count; i++)
		if (form->uses[i].read)
			move_use(e, form, &form->uses[i], false);
	if (form->mxcsr && !form->fx)
		state_0fae(e, 2, XSAVE_MXCSR);
}

static void emit_exit(struct emitter *e, const struct native_form *form)
{
	static const uint8_t fninit[] = { 0xdb, 0xe3 };
	static const uint8_t done[] = { 0x31, 0xc0, 0xc3 }; /* xor eax, eax; ret */

	if (form->fx) {
		state_0fae(e, 0, 0);
		code_bytes(e->code, fninit, sizeof(fninit));
		mxcsr_leave(e, false);
	} else if (form->mxcsr) {
		mxcsr_leave(e, true);
	}
	for (unsigned i = 0; i < form->use_count; i++) {
		if (!form->uses[i].write)
			continue;
		move_use(e, form, &form->uses[i], true);
		mark_upper(e, form, &form->uses[i]);
	}
	if (form->flags_out)
		flags_store(e);
	vzeroupper(e);
	code_bytes(e->code, done, sizeof(done));
}

static void emit_recovery(struct emitter *e, const struct native_form *form)
{
	static const uint8_t fninit[] = { 0xdb, 0xe3 };

	/* An MMX instruction has entered MMX mode even if it faults. */
	if (form->fx) {
		state_0fae(e, 0, 0);
		code_bytes(e->code, fninit, sizeof(fninit));
		mxcsr_leave(e, false);
	} else if (form->mxcsr) {
		mxcsr_leave(e, true);
	}
	vzeroupper(e);
	code_byte(e->code, 0xc3);
}

void native_form_emit(struct native_form *form, const struct native_host *host, struct code *code,
		      uint64_t address, uint64_t host_mxcsr)
{
	struct emitter e = {
		.code = code,
		.host = host,
		.address = address,
		.host_mxcsr = host_mxcsr,
		.wide = form->operation.encoding != OPERATION_LEGACY,
	};
	struct operation instruction = form->operation;
	unsigned at;

	hosts_choose(form, &e);
	hosts_apply(form, &e, &instruction);
	emit_entry(&e, form);
	at = mark_reserve(&e);
	code_operation(code, &instruction);
	emit_exit(&e, form);
	mark_fill(&e, at);
	emit_recovery(&e, form);
}
