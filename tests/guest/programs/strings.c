/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions: widths, directions, repeat counts, comparisons, faults in the middle and
 * restart, ports.
 *
 * Spec: Intel SDM volume 2, MOVS, STOS, LODS, CMPS, SCAS, INS, OUTS, REP; volume 1, 7.3.9.
 */
#include "guest.h"

#define WINDOW UINT64_C(0x30000000000)
#define SIZE   4096

#define TESTDEV_PORT 0xe0

static uint8_t source[SIZE], target[SIZE], model[SIZE];

static void fill(void)
{
	for (unsigned i = 0; i < SIZE; i++) {
		source[i] = (uint8_t)(i * 7 + (i >> 8));
		target[i] = model[i] = (uint8_t)(i * 13 + 5);
	}
}

struct registers {
	uint64_t rsi, rdi, rcx, rax, flags;
};

#define RUN(text, r)                                                                               \
	__asm__ volatile(text "\npushfq\npopq %4\ncld"                                             \
			 : "+S"((r)->rsi), "+D"((r)->rdi), "+c"((r)->rcx), "+a"((r)->rax),         \
			   "=&r"((r)->flags)                                                       \
			 :                                                                         \
			 : "memory", "cc")

static void moves(void)
{
	struct registers r;

	fill();
	r = (struct registers){ (uintptr_t)source, (uintptr_t)target, 100, 0, 0 };
	RUN("rep movsb", &r);
	check_value("movsb-bytes", (uint64_t)memcmp(source, target, 100), 0);
	check_value("movsb-stops", target[100], model[100]);
	check_value("movsb-registers",
		    r.rcx << 32 | (r.rsi - (uintptr_t)source) << 16 | (r.rdi - (uintptr_t)target),
		    100 << 16 | 100);
	r = (struct registers){ (uintptr_t)source, (uintptr_t)target, 33, 0, 0 };
	RUN("rep movsw", &r);
	check_value("movsw",
		    (uint64_t)memcmp(source, target, 66) << 32 | (r.rsi - (uintptr_t)source), 66);
	RUN("rep movsl", (r.rcx = 9, &r));
	check_value("movsl",
		    (uint64_t)memcmp(source, target, 102) << 32 | (r.rsi - (uintptr_t)source), 102);
	RUN("rep movsq", (r.rcx = 300, &r));
	check_value("movsq",
		    (uint64_t)memcmp(source, target, 2502) << 32 | (r.rsi - (uintptr_t)source),
		    2502);
	r = (struct registers){ (uintptr_t)source + 99, (uintptr_t)target + 199, 100, 0, 0 };
	RUN("std\nrep movsb", &r);
	check_value("movsb-backwards",
		    (uint64_t)memcmp(source, target + 100, 100) << 32 |
			    (source - 1 == (uint8_t *)r.rsi),
		    1);
	fill();
	/* Overlapping forwards by one: the first byte fills all. */
	r = (struct registers){ (uintptr_t)target, (uintptr_t)target + 1, 50, 0, 0 };
	RUN("rep movsb", &r);
	check_value("movsb-overlap", target[50] << 8 | target[51],
		    (uint64_t)model[0] << 8 | model[51]);
	r = (struct registers){ (uintptr_t)source, (uintptr_t)target, 0, 0, 0 };
	RUN("rep movsq", &r);
	check_value("count-zero", r.rsi - (uintptr_t)source, 0);
	r = (struct registers){ (uintptr_t)source, (uintptr_t)target, UINT64_C(0x500000003), 0, 0 };
	RUN("addr32 rep movsb", &r);
	check_value("address-size-32-count", r.rcx, 0);
	check_value("address-size-32-moved", r.rsi - (uintptr_t)source, 3);
}

static void stores_and_loads(void)
{
	struct registers r;

	fill();
	r = (struct registers){ 0, (uintptr_t)target, 10, UINT64_C(0x1122334455667788), 0 };
	RUN("rep stosb", &r);
	check_value("stosb", target[9] << 8 | target[10], 0x8800 | model[10]);
	RUN("rep stosq", (r.rcx = 3, &r));
	check_value("stosq", *(uint64_t *)(target + 26), UINT64_C(0x1122334455667788));
	check_value("stosq-stops", target[34], model[34]);
	r = (struct registers){ (uintptr_t)source, 0, 0, UINT64_MAX, 0 };
	RUN("lodsb", &r);
	check_value("lodsb-keeps-rest", r.rax, (UINT64_MAX & ~UINT64_C(0xff)) | source[0]);
	RUN("lodsl", &r);
	check_value("lodsl-clears-upper", r.rax, *(uint32_t *)(source + 1));
}

static void comparisons(void)
{
	struct registers r;

	fill();
	memcpy(target, source, SIZE);
	target[77]++;
	r = (struct registers){ (uintptr_t)source, (uintptr_t)target, 200, 0, 0 };
	RUN("repe cmpsb", &r);
	check_value("cmpsb-stops-behind-difference", r.rdi - (uintptr_t)target, 78);
	check_value("cmpsb-count", r.rcx, 200 - 78);
	check_value("cmpsb-flags", r.flags & 0x8d5, 0x95); /* below: CF, SF, AF by value, PF */
	memset(target, 'x', 100);
	target[40] = 0;
	r = (struct registers){ 0, (uintptr_t)target, 1000, 0, 0 };
	RUN("repne scasb", &r);
	check_value("scasb-finds", r.rdi - (uintptr_t)target, 41);
	check_value("scasb-zero-flag", r.flags & 0x40, 0x40);
	r = (struct registers){ 0, (uintptr_t)target, 0, 1, 0 };
	RUN("cmp %%rax, %%rax\nrepne scasb", &r);
	check_value("scasb-count-zero-keeps-flags", r.flags & 0x40, 0x40);
}

static unsigned fault_rcx, faults;
static uint64_t fault_rsi, fault_rdi;

/* Writes down where it stood and maps the page. */
static void on_page_fault(struct trap_frame *frame)
{
	uint64_t page = read_cr2() & ~UINT64_C(0xfff);

	faults++;
	fault_rcx = (unsigned)frame->rcx;
	fault_rsi = frame->rsi;
	fault_rdi = frame->rdi;
	page_map(page, (uintptr_t)page_alloc(), PAGE_P | PAGE_RW);
}

static void faults_in_the_middle(void)
{
	struct registers r;

	fill();
	irq_handler[14] = on_page_fault;
	page_map(WINDOW, (uintptr_t)page_alloc(), PAGE_P | PAGE_RW);
	r = (struct registers){ (uintptr_t)source, WINDOW + SIZE - 100, 1000, 0, 0 };
	RUN("rep movsb", &r);
	check_value("restart-one-fault", faults, 1);
	check_value("restart-count-at-fault", fault_rcx, 900);
	check_value("restart-rsi-at-fault", fault_rsi - (uintptr_t)source, 100);
	check_value("restart-rdi-at-fault", fault_rdi, WINDOW + SIZE);
	check_value("restart-result", (uint64_t)memcmp(source, (void *)(WINDOW + SIZE - 100), 1000),
		    0);
	/* The element that crosses the page is not half done. */
	faults = 0;
	r = (struct registers){ 0, WINDOW + 2 * SIZE - 12, 4, UINT64_C(0x0102030405060708), 0 };
	RUN("rep stosq", &r);
	check_value("crossing-one-fault", faults, 1);
	check_value("crossing-count-at-fault", fault_rcx, 3);
	check_value("crossing-result", *(uint64_t *)(WINDOW + 2 * SIZE + 12),
		    UINT64_C(0x0102030405060708));
	irq_handler[14] = NULL;
}

static void ports(void)
{
	struct registers r;

	outb(TESTDEV_PORT, 0x5a);
	memset(target, 0, 16);
	r = (struct registers){ 0, (uintptr_t)target, 5, 0, 0 };
	__asm__ volatile("rep insb" : "+D"(r.rdi), "+c"(r.rcx) : "d"(TESTDEV_PORT) : "memory");
	check_value("insb", target[0] | (uint64_t)target[4] << 8 | (uint64_t)target[5] << 16,
		    0x5a5a);
	check_value("insb-registers", r.rcx << 8 | (r.rdi - (uintptr_t)target), 5);
	memcpy(target, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
	r = (struct registers){ (uintptr_t)target, 0, 2, 0, 0 };
	__asm__ volatile("rep outsl" : "+S"(r.rsi), "+c"(r.rcx) : "d"(TESTDEV_PORT) : "memory");
	check_value("outsl-last-one-stays", inl(TESTDEV_PORT), 0x88776655);
	check_value("outsl-registers", r.rcx << 8 | (r.rsi - (uintptr_t)target), 8);
}

int main(void)
{
	moves();
	stores_and_loads();
	comparisons();
	faults_in_the_middle();
	ports();
	return 0;
}
