/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory map: 0x1000 page tables, 0x5000 GDT, 0x5800 IDT, 0x6000 exception stubs, stack, code. */
#include "board.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/macros.h"
#include "cpu/soft/native_priv.h"
#include "x86/model.h"
#include "x86/paging.h"

#define TABLES    0x1000u
#define GDT       0x5000u
#define TSS       0x5400u
#define IDT       0x5800u
#define STUBS     0x6000u
#define STUB_SIZE 8u

#define TABLE_FLAGS (PTE_P | PTE_W | PTE_U)

static void stop_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct board *b = device;

	(void)offset;
	(void)size;
	b->stopped = (int)value;
	for (unsigned i = 0; i < b->count; i++)
		soft_engine_ops.vcpu_kick(b->vcpus[i]);
}

static const struct bus_ops stop_ops = { .write = stop_write };

static int pic_acknowledge(void *ctx)
{
	(void)ctx;
	return 0x30;
}

static void eoi(void *ctx, uint8_t vector)
{
	struct board *b = ctx;

	b->eois++;
	b->last_eoi = vector;
}

uint64_t board_peek(struct board *b, uint64_t gpa, unsigned bytes)
{
	return le_get(memory_map(b->memory, GPA(gpa), bytes), bytes);
}

void board_poke(struct board *b, uint64_t gpa, uint64_t value, unsigned bytes)
{
	check(!memory_write(b->memory, GPA(gpa), &value, bytes));
}

static int open_engine(struct board *b, unsigned vcpus, const char *options, struct err *err)
{
	struct memory_config memory = { .size = BOARD_RAM };
	struct engine_config config = { .platform = &b->platform,
					.vcpus = vcpus,
					.options = options };
	struct cpuid_table supported, cpuid;
	struct cpu_host host = { 0 };
	int rc = memory_new(&b->memory, &memory, err);

	if (!rc)
		rc = bus_new(&b->ports, "ports", 16, err);
	if (!rc)
		rc = bus_new(&b->mmio, "mmio", 52, err);
	if (!rc)
		rc = bus_map(b->ports, &b->stop, BOARD_STOP, err);
	if (!rc)
		rc = soft_engine_ops.supported_cpuid(&supported, err);
	if (!rc)
		rc = cpu_model_resolve(&cpuid, "host", &supported, &host, vcpus, err);
	if (rc)
		return rc;
	b->platform = (struct engine_platform){ .ports = b->ports,
						.mmio = b->mmio,
						.ctx = b,
						.pic_acknowledge = pic_acknowledge,
						.eoi = eoi };
	config.memory = b->memory;
	config.cpuid = &cpuid;
	rc = soft_engine_ops.open(&b->engine, &config, err);
	if (!rc)
		rc = soft_engine_ops.map_memory(b->engine, err);
	for (unsigned i = 0; !rc && i < vcpus; i++) {
		rc = soft_engine_ops.vcpu_new(&b->vcpus[i], b->engine, i, err);
		b->count += !rc;
	}
	return rc;
}

int board_new(struct board **ret_board, unsigned vcpus, const char *options)
{
	struct board *b = calloc(1, sizeof(*b));
	struct err err = ERR_INIT;
	int rc;

	if (!b)
		return -ENOMEM;
	b->stopped = -1;
	b->stop = (struct bus_region){ .name = "stop", .ops = &stop_ops, .device = b, .size = 1 };
	rc = open_engine(b, vcpus, options ? options : getenv("BOARD_ENGINE"), &err);
	if (rc) {
		fprintf(stderr, "%s\n", err.text);
		board_free(b);
		return rc;
	}
	*ret_board = b;
	return 0;
}

void board_free(struct board *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->count; i++)
		soft_engine_ops.vcpu_free(b->vcpus[i]);
	if (b->engine)
		soft_engine_ops.free(b->engine);
	bus_unmap(&b->stop);
	bus_free(b->ports);
	bus_free(b->mmio);
	memory_free(b->memory);
	free(b);
}

int board_setup(void **state)
{
	struct board *b = NULL;
	int rc = board_new(&b, 1, NULL);

	*state = b;
	return rc;
}

int board_teardown(void **state)
{
	board_free(*state);
	return 0;
}

void board_map(struct board *b, uint64_t linear, uint64_t gpa)
{
	board_poke(b, TABLES + 0x2000 + (linear >> 21 << 3), gpa | TABLE_FLAGS | PTE_PS, 8);
}

/* The first 1 GiB one to one, in pages of 2 MiB, for user and supervisor. */
static void write_page_tables(struct board *b)
{
	board_poke(b, TABLES, (TABLES + 0x1000) | TABLE_FLAGS, 8);
	board_poke(b, TABLES + 0x1000, (TABLES + 0x2000) | TABLE_FLAGS, 8);
	for (uint64_t linear = 0; linear < UINT64_C(1) << 30; linear += UINT64_C(1) << 21)
		board_map(b, linear, linear);
}

/* 0x08 code, 0x10 data, 0x18 user data, 0x20 user code, 0x28 TSS. */
static void write_descriptors(struct board *b, uint16_t code)
{
	const uint16_t user = 3 << SEGMENT_DPL_SHIFT;

	board_poke(b, GDT, 0, 8);
	board_poke(b, GDT + 8, descriptor_make(0, UINT32_MAX, code), 8);
	board_poke(b, GDT + 16, descriptor_make(0, UINT32_MAX, SEGMENT_DATA32), 8);
	board_poke(b, GDT + 24, descriptor_make(0, UINT32_MAX, SEGMENT_DATA32 | user), 8);
	board_poke(b, GDT + 32, descriptor_make(0, UINT32_MAX, (uint16_t)(code | user)), 8);
	board_poke(b, GDT + 40, descriptor_make(TSS, 0x67, SEGMENT_P | SYSTEM_TSS_BUSY), 8);
	board_poke(b, GDT + 48, 0, 8);
	board_poke(b, TSS + 4, BOARD_STACK, 8);
}

/* mov $vector, %al; out %al, $BOARD_STOP */
static void write_stub(struct board *b, unsigned vector)
{
	const uint8_t code[] = { 0xb0, (uint8_t)vector, 0xe6, BOARD_STOP, 0xf4 };

	check(!memory_write(b->memory, GPA(STUBS + STUB_SIZE * vector), code, sizeof(code)));
}

static void write_vectors(struct board *b, enum board_mode mode)
{
	for (unsigned i = 0; i < 64; i++) {
		uint64_t stub = STUBS + STUB_SIZE * i;
		uint64_t gate = (stub & 0xffff) | UINT64_C(8) << 16 | UINT64_C(0x8e00) << 32;

		write_stub(b, i);
		if (mode == BOARD_REAL)
			board_poke(b, IDT + 4 * i, stub, 4);
		else if (mode == BOARD_PROTECTED)
			board_poke(b, IDT + 8 * i, gate, 8);
		else
			board_poke(b, IDT + 16 * i, gate, 8);
		if (mode >= BOARD_LONG)
			board_poke(b, IDT + 16 * i + 8, 0, 8);
	}
}

static struct vcpu_segment flat(uint16_t selector, uint16_t attributes)
{
	return (struct vcpu_segment){ .limit = UINT32_MAX,
				      .selector = selector,
				      .attributes = attributes };
}

static void set_segments(struct vcpu_state *s, enum board_mode mode)
{
	bool user = mode == BOARD_LONG_USER;
	uint16_t dpl = user ? 3 << SEGMENT_DPL_SHIFT : 0;
	uint16_t code = mode >= BOARD_LONG ? SEGMENT_CODE64 : SEGMENT_CODE32;

	for (unsigned i = 0; i < SEG_COUNT; i++)
		s->segments[i] = flat(user ? 0x1b : 0x10, SEGMENT_DATA32 | dpl);
	s->segments[SEG_CS] = flat(user ? 0x23 : 0x08, code | dpl);
	s->tr = (struct vcpu_segment){ .base = TSS,
				       .limit = 0x67,
				       .selector = 0x28,
				       .attributes = SEGMENT_P | SYSTEM_TSS_BUSY };
}

void board_reset(struct board *b, enum board_mode mode)
{
	struct vcpu_state *s = board_state(b);

	/* cmocka takes the signals for itself before each test. */
	check(!native_traps_install());
	write_page_tables(b);
	write_descriptors(b, mode >= BOARD_LONG ? SEGMENT_CODE64 : SEGMENT_CODE32);
	write_vectors(b, mode);
	vcpu_state_reset(s, 0, 0, s->xsave_size);
	s->cr0 = CR0_ET;
	s->gdtr = (struct vcpu_table_register){ .base = GDT, .limit = 0x3f };
	s->idtr = (struct vcpu_table_register){ .base = IDT, .limit = 0x3ff };
	s->rip = BOARD_CODE;
	s->gpr[GPR_RSP] = BOARD_STACK;
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		s->segments[i].selector = 0;
		s->segments[i].base = 0;
	}
	if (mode >= BOARD_PROTECTED) {
		s->cr0 |= CR0_PE | CR0_NE | CR0_WP;
		set_segments(s, mode);
	}
	if (mode >= BOARD_LONG) {
		s->cr0 |= CR0_PG;
		s->cr3 = TABLES;
		s->cr4 = CR4_PAE | CR4_OSFXSR;
		s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
		s->rflags |= mode == BOARD_LONG_USER ? RFLAGS_IOPL : 0;
	}
	board_set(b, s);
}

enum vcpu_exit board_run(struct board *b, const void *code, unsigned bytes)
{
	check(!memory_write(b->memory, GPA(BOARD_CODE), code, bytes));
	b->stopped = -1;
	return soft_engine_ops.vcpu_run(b->vcpus[0]);
}

struct vcpu_state *board_state(struct board *b)
{
	check(!soft_engine_ops.vcpu_get(b->vcpus[0], &b->state, NULL));
	return &b->state;
}

void board_set(struct board *b, const struct vcpu_state *state)
{
	struct err err = ERR_INIT;

	if (soft_engine_ops.vcpu_set(b->vcpus[0], state, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

int64_t board_figure(struct board *b, unsigned vcpu, const char *object, const char *name)
{
	json_t *all = soft_engine_ops.stats(b->engine);
	const json_t *from = json_array_get(json_object_get(all, "vcpus"), vcpu);
	int64_t value;

	if (object)
		from = json_object_get(from, object);
	value = json_integer_value(json_object_get(from, name));
	json_decref(all);
	return value;
}
