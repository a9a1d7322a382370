/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM engine alone, without a board: needs real KVM, so test_kvm.py runs it in the KVM box.
 *
 * The guest is 32-bit flat code at CODE; a fake device on ports 0x80 to 0x8f and at MMIO_BASE
 * writes down what it is told. Every interrupt vector has a stub that writes its number to port
 * 0x80, ends the interrupt at the local APIC and returns.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/macros.h"
#include "cpu/kvm/kvm.h"
#include "host/thread.h"
#include "vm/bus.h"
#include "vm/processors.h"
#include "x86/model.h"
#include "x86/msr.h"
#include "x86/registers.h"
#include "x86/segment.h"

#define GDT       0x1000
#define IDT       0x2000
#define STUBS     0x4000
#define STUB_SIZE 32
#define CODE      0x10000
#define STACK     0x20000
#define MMIO_BASE UINT64_C(0xd0000000)
#define RAM_BYTES (32 * MIB)

#define SELECTOR_CODE 8
#define SELECTOR_DATA 16

#define PORT_VECTOR 0x80
#define PORT_DONE   0x81

#define WAIT_SECONDS 20

/* Guest programs: position-independent 32-bit code between two labels. */
#define PROGRAM(name, text)                                                                        \
	__asm__(".pushsection .rodata\n.code32\n" #name "_start:\n" text #name                     \
		"_end:\n.code64\n.popsection\n");                                                  \
	extern const uint8_t name##_start[], name##_end[]

#define DONE "mov $1, %al\nout %al, $0x81\n0: hlt\njmp 0b\n"

PROGRAM(program_idle, "movl $0x1ff, 0xfee000f0\n" /* APIC on */
		      "movl $0x700, 0xfee00350\n" /* LINT0: external interrupts */
		      "mov $1, %al\nout %al, $0x81\n"
		      "sti\n0: hlt\njmp 0b\n");
PROGRAM(program_ports, "mov $0x11, %al\nout %al, $0x82\n"
		       "mov $0x2233, %ax\nout %ax, $0x82\n"
		       "mov $0x44556677, %eax\nout %eax, $0x84\n"
		       "in $0x83, %al\nout %al, $0x82\n"
		       "mov $0x82, %edx\nmov $0x10000, %esi\nmov $5, %ecx\ncld\nrep outsb\n" DONE);
PROGRAM(program_mmio, "mov $0xd0000000, %ebx\n"
		      "movb $0x11, (%ebx)\nmovw $0x2233, 2(%ebx)\nmovl $0x44556677, 4(%ebx)\n"
		      "mov 8(%ebx), %eax\nmov %eax, 12(%ebx)\n" DONE);
PROGRAM(program_write_pages, "movb $1, 0x100000\nmovb $1, 0x100fff\nmovb $1, 0x105000\n"
			     "movb $1, 0x1ff0000\n" DONE);
PROGRAM(program_fault, "ud2\n");
PROGRAM(program_spin, "mov $1, %al\nout %al, $0x81\n0: inc %eax\njmp 0b\n");
PROGRAM(program_msr, "mov $0x6e0, %ecx\nrdmsr\n" DONE);

struct note {
	uint64_t address, value;
	unsigned size;
};

struct fixture {
	struct memory *memory;
	struct bus *ports, *mmio;
	struct bus_region port_region, mmio_region;
	struct engine_platform platform;
	struct engine *engine;
	struct processors *processors;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct note notes[64];
	unsigned note_count;
	unsigned done; /* writes to PORT_DONE */
	unsigned vectors[256];
	unsigned eois[256];
	int pic_vector;
	unsigned stopped, stop_reason;
};

static void note(struct fixture *f, uint64_t address, uint64_t value, unsigned size)
{
	LOCK_SCOPE(&f->lock);
	if (address == PORT_VECTOR)
		f->vectors[value & 0xff]++;
	else if (address == PORT_DONE)
		f->done++;
	else if (f->note_count < ARRAY_SIZE(f->notes))
		f->notes[f->note_count++] = (struct note){ address, value, size };
	pthread_cond_broadcast(&f->changed);
}

static void port_write(void *ctx, uint64_t offset, uint64_t value, unsigned size)
{
	note(ctx, 0x80 + offset, value, size);
}

static uint64_t port_read(void *ctx, uint64_t offset, unsigned size)
{
	(void)ctx;
	(void)size;
	return 0xa0 + offset;
}

static void mmio_write(void *ctx, uint64_t offset, uint64_t value, unsigned size)
{
	note(ctx, MMIO_BASE + offset, value, size);
}

static uint64_t mmio_read(void *ctx, uint64_t offset, unsigned size)
{
	(void)ctx;
	(void)size;
	return 0x0badcafe00 + offset;
}

static const struct bus_ops port_ops = { .read = port_read, .write = port_write };
static const struct bus_ops mmio_ops = { .read = mmio_read, .write = mmio_write };

static int pic_acknowledge(void *ctx)
{
	struct fixture *f = ctx;
	int vector = f->pic_vector;

	f->pic_vector = -1;
	kvm_engine_ops.pic_line(f->engine, false);
	return vector;
}

static void eoi(void *ctx, uint8_t vector)
{
	struct fixture *f = ctx;

	LOCK_SCOPE(&f->lock);
	f->eois[vector]++;
	pthread_cond_broadcast(&f->changed);
}

static void stopped(void *ctx, unsigned vcpu, enum vcpu_exit reason)
{
	struct fixture *f = ctx;

	(void)vcpu;
	LOCK_SCOPE(&f->lock);
	f->stopped++;
	f->stop_reason = reason;
	pthread_cond_broadcast(&f->changed);
}

/* Waits until the counter is at least `target`. */
static void wait_for_counter(struct fixture *f, const unsigned *counter, unsigned target, int line)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += WAIT_SECONDS;
	LOCK_SCOPE(&f->lock);
	while (*counter < target) {
		if (pthread_cond_timedwait(&f->changed, &f->lock, &deadline))
			fail_msg("line %d: the guest did not get there in %d s", line,
				 WAIT_SECONDS);
	}
}

#define wait_for(f, counter, target) wait_for_counter(f, counter, target, __LINE__)

static void check_ok(int rc, const struct err *err)
{
	if (rc)
		fail_msg("%s", err->text);
}

static void write_tables(struct fixture *f)
{
	static const uint8_t eoi_and_return[] = { 0xc7, 0x05, 0xb0, 0x00, 0xe0, 0xfe,
						  0,    0,    0,    0,    0x61, 0xcf };
	uint8_t *ram = memory_map(f->memory, GPA(0), CODE);

	le64_put(ram + GDT + SELECTOR_CODE, descriptor_make(0, UINT32_MAX, SEGMENT_CODE32));
	le64_put(ram + GDT + SELECTOR_DATA, descriptor_make(0, UINT32_MAX, SEGMENT_DATA32));
	for (unsigned vector = 0; vector < 256; vector++) {
		uint32_t stub = STUBS + vector * STUB_SIZE;
		uint8_t *code = ram + stub;
		const uint8_t report[] = { 0x60, 0xb0, (uint8_t)vector, 0xe6, PORT_VECTOR };

		le64_put(ram + IDT + 8 * vector,
			 (stub & 0xffff) | SELECTOR_CODE << 16 | UINT64_C(0x8e00) << 32);
		memcpy(code, report, sizeof(report));
		memcpy(code + sizeof(report), eoi_and_return, sizeof(eoi_and_return));
	}
}

static void open_engine(struct fixture *f, const char *model, const char *options)
{
	struct err err = ERR_INIT;
	struct cpuid_table supported, cpuid;
	const struct cpu_host host = { .brand = "test" };

	check_ok(kvm_engine_ops.supported_cpuid(&supported, &err), &err);
	check_ok(cpu_model_resolve(&cpuid, model, &supported, &host, 1, &err), &err);
	const struct engine_config config = {
		.memory = f->memory,
		.platform = &f->platform,
		.vcpus = 1,
		.cpuid = &cpuid,
		.options = options,
	};

	check_ok(kvm_engine_ops.open(&f->engine, &config, &err), &err);
	check_ok(kvm_engine_ops.map_memory(f->engine, &err), &err);
	check_ok(processors_new(&f->processors, f->engine, 1,
				(struct processors_listener){ .stopped = stopped, .ctx = f }, &err),
		 &err);
}

static struct fixture *fixture_new(const char *model, const char *options)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = ERR_INIT;

	assert_non_null(f);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	check_ok(memory_new(&f->memory, &(struct memory_config){ .size = RAM_BYTES }, &err), &err);
	check_ok(bus_new(&f->ports, "ports", 16, &err), &err);
	check_ok(bus_new(&f->mmio, "mmio", 52, &err), &err);
	f->port_region =
		(struct bus_region){ .name = "test", .ops = &port_ops, .device = f, .size = 16 };
	f->mmio_region = (struct bus_region){
		.name = "test", .ops = &mmio_ops, .device = f, .size = 0x1000
	};
	check_ok(bus_map(f->ports, &f->port_region, 0x80, &err), &err);
	check_ok(bus_map(f->mmio, &f->mmio_region, MMIO_BASE, &err), &err);
	f->pic_vector = -1;
	f->platform = (struct engine_platform){ f->ports, f->mmio, f, pic_acknowledge, eoi };
	write_tables(f);
	open_engine(f, model, options);
	return f;
}

static void fixture_free(struct fixture *f)
{
	processors_free(f->processors);
	kvm_engine_ops.free(f->engine);
	bus_unmap(&f->port_region);
	bus_unmap(&f->mmio_region);
	bus_free(f->ports);
	bus_free(f->mmio);
	memory_free(f->memory);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void get_state(struct fixture *f, struct vcpu_state *state)
{
	struct err err = ERR_INIT;

	check_ok(kvm_engine_ops.vcpu_get(processors_vcpu(f->processors, 0), state, &err), &err);
}

static void set_state(struct fixture *f, const struct vcpu_state *state)
{
	struct err err = ERR_INIT;

	check_ok(kvm_engine_ops.vcpu_set(processors_vcpu(f->processors, 0), state, &err), &err);
}

static const struct vcpu_segment flat_data = { 0, UINT32_MAX, SELECTOR_DATA, SEGMENT_DATA32 };

static void start(struct fixture *f, const uint8_t *code, const uint8_t *end)
{
	struct vcpu_state *state = calloc(1, sizeof(*state));

	assert_non_null(state);
	assert_int_equal(memory_write(f->memory, GPA(CODE), code, (size_t)(end - code)), 0);
	get_state(f, state);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		state->segments[i] = flat_data;
	state->segments[SEG_CS] =
		(struct vcpu_segment){ 0, UINT32_MAX, SELECTOR_CODE, SEGMENT_CODE32 };
	state->gdtr = (struct vcpu_table_register){ GDT, 3 * 8 - 1 };
	state->idtr = (struct vcpu_table_register){ IDT, 256 * 8 - 1 };
	state->cr0 = CR0_PE | CR0_ET;
	state->activity = VCPU_RUNNING;
	state->rip = CODE;
	state->gpr[GPR_RSP] = STACK;
	set_state(f, state);
	free(state);
	processors_resume(f->processors);
}

#define START(f, program) start(f, program##_start, program##_end)

static void probe_in_the_box_finds_kvm(void **ctx)
{
	struct err err = ERR_INIT;

	(void)ctx;
	check_ok(kvm_engine_ops.probe(&err), &err);
	assert_true(kvm_engine_ops.msr_supported(MSR_STAR));
	assert_false(kvm_engine_ops.msr_supported(0x12345678));
}

static void models_low_ones_resolve_high_one_is_refused(void **ctx)
{
	static const char *const names[] = { "host", "x86-64-v1", "x86-64-v2", "x86-64-v3" };
	const struct cpu_host host = { .brand = "test" };
	struct cpuid_table supported, cpuid;
	struct err err = ERR_INIT;

	(void)ctx;
	check_ok(kvm_engine_ops.supported_cpuid(&supported, &err), &err);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		check_ok(cpu_model_resolve(&cpuid, names[i], &supported, &host, 2, &err), &err);
	/* The emulated processor of the box has no AVX-512. */
	assert_int_equal(cpu_model_resolve(&cpuid, "x86-64-v4", &supported, &host, 2, &err),
			 -ENOTSUP);
	assert_non_null(strstr(err.text, "avx512f"));
}

static void open_unknown_option_is_refused(void **ctx)
{
	const struct engine_config config = { .vcpus = 1,
					      .cpuid = &(struct cpuid_table){ 0 },
					      .options = "speed=9" };
	struct engine *engine = NULL;
	struct err err = ERR_INIT;

	(void)ctx;
	assert_int_equal(kvm_engine_ops.open(&engine, &config, &err), -EINVAL);
	assert_non_null(strstr(err.text, "speed=9"));
}

static void expect_notes(struct fixture *f, const struct note *expected, unsigned count)
{
	assert_int_equal(f->note_count, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(f->notes[i].address, expected[i].address);
		assert_int_equal(f->notes[i].value, expected[i].value);
		assert_int_equal(f->notes[i].size, expected[i].size);
	}
}

static void run_port_accesses_reach_the_bus(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	/* Then the first bytes of the program itself: mov $0x11, %al; out … */
	static const struct note expected[] = {
		{ 0x82, 0x11, 1 }, { 0x82, 0x2233, 2 }, { 0x84, 0x44556677, 4 },
		{ 0x82, 0xa3, 1 }, { 0x82, 0xb0, 1 },   { 0x82, 0x11, 1 },
		{ 0x82, 0xe6, 1 }, { 0x82, 0x82, 1 },   { 0x82, 0x66, 1 },
	};

	(void)ctx;
	START(f, program_ports);
	wait_for(f, &f->done, 1);
	expect_notes(f, expected, ARRAY_SIZE(expected));
	fixture_free(f);
}

static void run_mmio_accesses_reach_the_bus(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	static const struct note expected[] = {
		{ MMIO_BASE, 0x11, 1 },
		{ MMIO_BASE + 2, 0x2233, 2 },
		{ MMIO_BASE + 4, 0x44556677, 4 },
		{ MMIO_BASE + 12, 0xadcafe08, 4 },
	};

	(void)ctx;
	START(f, program_mmio);
	wait_for(f, &f->done, 1);
	expect_notes(f, expected, ARRAY_SIZE(expected));
	fixture_free(f);
}

static void run_triple_fault_ends_in_shutdown(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	uint8_t no_gates[256 * 8] = { 0 };

	(void)ctx;
	memory_write(f->memory, GPA(IDT), no_gates, sizeof(no_gates));
	START(f, program_fault);
	wait_for(f, &f->stopped, 1);
	assert_int_equal(f->stop_reason, VCPU_EXIT_SHUTDOWN);
	fixture_free(f);
}

static void kick_stops_a_busy_guest_and_state_goes_on(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	struct vcpu_state *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	(void)ctx;
	START(f, program_spin);
	wait_for(f, &f->done, 1);
	for (unsigned i = 0; i < 20; i++) {
		processors_pause(f->processors);
		get_state(f, a);
		assert_in_range(a->rip, CODE, CODE + 16);
		get_state(f, b);
		assert_int_equal(a->gpr[GPR_RAX], b->gpr[GPR_RAX]);
		processors_resume(f->processors);
	}
	free(a);
	free(b);
	fixture_free(f);
}

static void interrupts_reach_a_halted_vcpu(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);

	(void)ctx;
	START(f, program_idle);
	wait_for(f, &f->done, 1);
	kvm_engine_ops.msi(f->engine, (struct msi_message){ 0xfee00000, 0x41 });
	wait_for(f, &f->vectors[0x41], 1);
	kvm_engine_ops.nmi(f->engine, 0);
	wait_for(f, &f->vectors[2], 1);
	f->pic_vector = 0x61;
	kvm_engine_ops.pic_line(f->engine, true);
	wait_for(f, &f->vectors[0x61], 1);
	assert_int_equal(f->vectors[0x61], 1);
	assert_int_equal(f->eois[0x41], 0);
	/* A level-triggered one: the machine hears of its end. */
	for (unsigned i = 1; i <= 3; i++) {
		kvm_engine_ops.msi(f->engine, (struct msi_message){ 0xfee00000, 0x8052 });
		wait_for(f, &f->vectors[0x52], i);
		wait_for(f, &f->eois[0x52], i);
	}
	/* Nonsense is lost without harm. */
	kvm_engine_ops.msi(f->engine, (struct msi_message){ UINT64_MAX, UINT32_MAX });
	kvm_engine_ops.msi(f->engine, (struct msi_message){ 0xfeeff000 | 0xfe0, 0x43 });
	kvm_engine_ops.msi(f->engine, (struct msi_message){ 0xfee00000, 0x44 });
	wait_for(f, &f->vectors[0x44], 1);
	assert_int_equal(f->vectors[0x43], 0);
	fixture_free(f);
}

static void irqfd_sends_its_message_until_taken_away(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)ctx;
	START(f, program_idle);
	wait_for(f, &f->done, 1);
	for (unsigned vector = 0x70; vector < 0x73; vector++) {
		assert_int_equal(kvm_engine_ops.irqfd(f->engine, fd,
						      &(struct msi_message){ 0xfee00000, vector }),
				 0);
		assert_int_equal(eventfd_write(fd, 1), 0);
		wait_for(f, &f->vectors[vector], 1);
	}
	assert_int_equal(kvm_engine_ops.irqfd(f->engine, fd, NULL), 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
	kvm_engine_ops.msi(f->engine, (struct msi_message){ 0xfee00000, 0x44 });
	wait_for(f, &f->vectors[0x44], 1);
	assert_int_equal(f->vectors[0x72], 1);
	close(fd);
	fixture_free(f);
}

static void ioeventfd_takes_the_write_from_the_bus(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	int port = eventfd(0, EFD_NONBLOCK), mmio = eventfd(0, EFD_NONBLOCK);
	eventfd_t count = 0;

	(void)ctx;
	assert_int_equal(
		kvm_engine_ops.ioeventfd(f->engine, ENGINE_MMIO, MMIO_BASE + 2, 2, mmio, true), 0);
	assert_int_equal(kvm_engine_ops.ioeventfd(f->engine, ENGINE_PORTS, 0x84, 4, port, true), 0);
	START(f, program_mmio);
	wait_for(f, &f->done, 1);
	assert_int_equal(f->note_count, 3);
	assert_int_equal(eventfd_read(mmio, &count), 0);
	assert_int_equal(count, 1);
	processors_pause(f->processors);
	assert_int_equal(
		kvm_engine_ops.ioeventfd(f->engine, ENGINE_MMIO, MMIO_BASE + 2, 2, mmio, false), 0);
	START(f, program_ports);
	wait_for(f, &f->done, 2);
	assert_int_equal(eventfd_read(port, &count), 0);
	assert_int_equal(f->note_count, 3 + 8);
	processors_pause(f->processors);
	START(f, program_mmio);
	wait_for(f, &f->done, 3);
	assert_int_equal(f->note_count, 3 + 8 + 4);
	assert_int_equal(eventfd_read(mmio, &count), -1);
	close(port);
	close(mmio);
	fixture_free(f);
}

static void dirty_log_finds_exactly_the_written_pages(void **ctx)
{
	static const char *const kinds[] = { "dirty=bitmap", "dirty=ring" };
	/* The stack is not used, code and tables only read. */
	static const uint64_t pages[] = { 0x100, 0x105, 0x1ff0 };

	(void)ctx;
	for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct fixture *f = fixture_new("host", kinds[k]);
		uint64_t bitmap[RAM_BYTES / PAGE_SIZE / 64] = { 0 },
							expected[ARRAY_SIZE(bitmap)] = { 0 };
		struct err err = ERR_INIT;

		START(f, program_idle);
		wait_for(f, &f->done, 1);
		processors_pause(f->processors);
		check_ok(kvm_engine_ops.dirty_log(f->engine, true, &err), &err);
		START(f, program_write_pages);
		wait_for(f, &f->done, 2);
		processors_pause(f->processors);
		memory_dirty_log_set(f->memory, true);
		check_ok(kvm_engine_ops.dirty_collect(f->engine, &err), &err);
		memory_dirty_log_take(f->memory, 0, bitmap);
		for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
			expected[pages[i] / 64] |= BIT(pages[i] % 64);
		assert_memory_equal(bitmap, expected, sizeof(bitmap));
		/* And they are clean afterwards. */
		memset(bitmap, 0, sizeof(bitmap));
		check_ok(kvm_engine_ops.dirty_collect(f->engine, &err), &err);
		memory_dirty_log_take(f->memory, 0, bitmap);
		for (unsigned i = 0; i < ARRAY_SIZE(bitmap); i++)
			assert_int_equal(bitmap[i], 0);
		check_ok(kvm_engine_ops.dirty_log(f->engine, false, &err), &err);
		fixture_free(f);
	}
}

static void fill_state(struct vcpu_state *s)
{
	for (unsigned i = 0; i < GPR_COUNT; i++)
		s->gpr[i] = UINT64_C(0x0101010101010101) * (i + 1);
	s->rip = 0x1234;
	s->rflags = RFLAGS_FIXED | RFLAGS_CF | RFLAGS_OF | RFLAGS_IF;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s->segments[i] =
			(struct vcpu_segment){ 0x1000 * i, 0xfffff, (uint16_t)(8 * (i + 1)),
					       SEGMENT_P | SEGMENT_S | 0x3 | SEGMENT_DB };
	s->segments[SEG_CS] = (struct vcpu_segment){ 0, UINT32_MAX, SELECTOR_CODE, SEGMENT_CODE64 };
	s->tr = (struct vcpu_segment){ 0x5000, 0x67, 0x40, SEGMENT_P | SYSTEM_TSS_BUSY };
	s->ldtr = (struct vcpu_segment){ 0x6000, 0xff, 0x48, SEGMENT_P | SYSTEM_LDT };
	s->gdtr = (struct vcpu_table_register){ GDT, 0x7f };
	s->idtr = (struct vcpu_table_register){ IDT, 0xfff };
	s->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP;
	s->cr2 = 0xdeadb000;
	s->cr3 = 0x7000;
	s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE | CR4_PGE;
	s->cr8 = 3;
	s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	s->dr[0] = 0x1111;
	s->dr[3] = 0x4444;
	s->dr6 = DR6_FIXED | BIT(0);
	s->dr7 = DR7_FIXED | BIT(0);
	s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	for (unsigned i = 160; i < 416; i++) /* XMM */
		s->xsave[i] = (uint8_t)i;
	for (unsigned i = 576; i < 832; i++) /* upper halves of YMM */
		s->xsave[i] = (uint8_t)(3 * i);
	le64_put(s->xsave + 512, s->xcr0);
	vcpu_state_msr(s, MSR_STAR)->value = UINT64_C(0x0023001000000000);
	vcpu_state_msr(s, MSR_LSTAR)->value = UINT64_C(0xffffffff81000000);
	vcpu_state_msr(s, MSR_KERNEL_GS_BASE)->value = 0x7777;
	vcpu_state_msr(s, MSR_PAT)->value = UINT64_C(0x0407050600070106);
	vcpu_state_msr(s, MSR_TSC_AUX)->value = 5;
	s->exception_vector = 14;
	s->exception_has_error = true;
	s->exception_error = 6;
	s->nmi_masked = true;
	/* SVR on, deadline timer masked, priority as CR8, LINT0 external. */
	le32_put(s->lapic + 0xf0, 0x1ff);
	le32_put(s->lapic + 0x80, 0x30);
	le32_put(s->lapic + 0xa0, 0x30);
	le32_put(s->lapic + 0x350, 0x700);
}

static void state_set_and_get_give_the_same(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	struct vcpu_state *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b)),
			  *c = calloc(1, sizeof(*c));
	struct err err = ERR_INIT;

	(void)ctx;
	get_state(f, a);
	fill_state(a);
	check_ok(vcpu_state_desc.validate(a, &err), &err);
	set_state(f, a);
	get_state(f, b);
	assert_memory_equal(a->gpr, b->gpr, sizeof(a->gpr));
	assert_memory_equal(a->segments, b->segments, sizeof(a->segments));
	assert_memory_equal(a->xsave + 160, b->xsave + 160, 256);
	assert_memory_equal(a->xsave + 576, b->xsave + 576, 256);
	assert_memory_equal(a->msrs, b->msrs, sizeof(a->msrs));
	assert_memory_equal(a->lapic, b->lapic, sizeof(a->lapic));
	set_state(f, b);
	get_state(f, c);
	/* The counter runs on; everything else is equal to the last byte. */
	assert_true(c->tsc >= a->tsc);
	a->tsc = b->tsc = c->tsc = 0;
	assert_memory_equal(b, c, sizeof(*b));
	memcpy(a->xsave, b->xsave, 160); /* x87: KVM fills what the test left zero */
	memcpy(a->xsave + 416, b->xsave + 416, 160);
	assert_memory_equal(a, b, sizeof(*a));
	free(a);
	free(b);
	free(c);
	fixture_free(f);
}

static void state_hostile_is_refused(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	struct vcpu *vcpu = processors_vcpu(f->processors, 0);
	struct vcpu_state *good = calloc(1, sizeof(*good)), *bad = calloc(1, sizeof(*bad));

	(void)ctx;
	get_state(f, good);
	for (unsigned i = 0; i < 7; i++) {
		struct err err = ERR_INIT;

		*bad = *good;
		switch (i) {
		case 0:
			bad->msr_count = UINT32_MAX;
			break;
		case 1:
			bad->xsave_size = UINT32_MAX;
			break;
		case 2:
			bad->activity = 200;
			break;
		case 3:
			bad->exception_vector = 99;
			break;
		case 4:
			bad->cr4 = BIT(31);
			break;
		case 5:
			vcpu_state_msr(bad, MSR_PAT)->value = UINT64_MAX;
			break;
		case 6:
			bad->msrs[0] = (struct vcpu_msr){ 0x12345678, 1 };
			break;
		}
		assert_true(kvm_engine_ops.vcpu_set(vcpu, bad, &err) < 0);
		assert_true(err.text[0]);
		set_state(f, good);
	}
	free(good);
	free(bad);
	fixture_free(f);
}

static void msr_of_a_missing_feature_faults(void **ctx)
{
	struct fixture *f = fixture_new("host,-tsc-deadline", NULL);

	(void)ctx;
	START(f, program_msr);
	/* The stub for #GP does not know of the error code, so the return faults again. */
	wait_for(f, &f->vectors[13], 1);
	assert_int_equal(f->done, 0);
	fixture_free(f);
}

static void stats_count_exits(void **ctx)
{
	struct fixture *f = fixture_new("host", NULL);
	json_t *stats;

	(void)ctx;
	START(f, program_mmio);
	wait_for(f, &f->done, 1);
	stats = kvm_engine_ops.stats(f->engine);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(stats, "exits"), "mmio")), 5);
	json_decref(stats);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_in_the_box_finds_kvm),
		cmocka_unit_test(models_low_ones_resolve_high_one_is_refused),
		cmocka_unit_test(open_unknown_option_is_refused),
		cmocka_unit_test(run_port_accesses_reach_the_bus),
		cmocka_unit_test(run_mmio_accesses_reach_the_bus),
		cmocka_unit_test(run_triple_fault_ends_in_shutdown),
		cmocka_unit_test(kick_stops_a_busy_guest_and_state_goes_on),
		cmocka_unit_test(interrupts_reach_a_halted_vcpu),
		cmocka_unit_test(irqfd_sends_its_message_until_taken_away),
		cmocka_unit_test(ioeventfd_takes_the_write_from_the_bus),
		cmocka_unit_test(dirty_log_finds_exactly_the_written_pages),
		cmocka_unit_test(state_set_and_get_give_the_same),
		cmocka_unit_test(state_hostile_is_refused),
		cmocka_unit_test(msr_of_a_missing_feature_faults),
		cmocka_unit_test(stats_count_exits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
