/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging: every combination of permission bits at two levels, against what the architecture says;
 * accessed and dirty bits, reserved bits, large pages, and when a changed entry counts.
 *
 * Spec: Intel SDM volume 3, sections 4.6 to 4.10.
 */
#include "guest.h"

#define BASE  UINT64_C(0x20000000000)
#define PAGE  BASE
#define CODE  (BASE + 0x40000000)
#define STACK (BASE + 0x40001000)
#define OTHER (BASE + 0x80000000)
#define LARGE (BASE + 0xc0000000)

#define PF_PRESENT  1
#define PF_WRITE    2
#define PF_USER     4
#define PF_RESERVED 8
#define PF_FETCH    16

enum access { READ, WRITE, FETCH };

/* In the tested page: `ret` for ring 0, `int $0x80` for ring 3. */
#define OFFSET_RET 0
#define OFFSET_INT 16

struct setting {
	const char *name;
	enum access access;
	bool user, wp, smep, smap, ac;
};

static const struct setting settings[] = {
	{ "supervisor-read", READ, .wp = true },
	{ "supervisor-write", WRITE, .wp = true },
	{ "supervisor-write-without-wp", WRITE },
	{ "supervisor-fetch", FETCH, .wp = true },
	{ "supervisor-fetch-smep", FETCH, .wp = true, .smep = true },
	{ "supervisor-read-smap", READ, .wp = true, .smap = true },
	{ "supervisor-read-smap-ac", READ, .wp = true, .smap = true, .ac = true },
	{ "supervisor-write-smap", WRITE, .wp = true, .smap = true },
	{ "supervisor-write-smap-ac", WRITE, .wp = true, .smap = true, .ac = true },
	{ "supervisor-write-smap-ac-without-wp", WRITE, .smap = true, .ac = true },
	{ "user-read", READ, .user = true, .wp = true },
	{ "user-write", WRITE, .user = true, .wp = true },
	{ "user-write-without-wp", WRITE, .user = true },
	{ "user-fetch", FETCH, .user = true, .wp = true },
	{ "user-read-smap", READ, .user = true, .wp = true, .smap = true, .smep = true },
};

/* The error code of the fault, or NO_TRAP. */
static uint64_t expected(const struct setting *s, uint64_t leaf, uint64_t middle)
{
	bool user = leaf & middle & PAGE_US, writable = leaf & middle & PAGE_RW;
	bool no_execute = (leaf | middle) & PAGE_NX;
	uint64_t error = PF_PRESENT | (s->access == WRITE ? PF_WRITE : 0) |
			 (s->access == FETCH ? PF_FETCH : 0) | (s->user ? PF_USER : 0);
	bool fault = s->access == FETCH && no_execute;

	if (s->user)
		fault |= !user || (s->access == WRITE && !writable);
	else {
		fault |= s->access == WRITE && !writable && s->wp;
		fault |= user && s->access == FETCH && s->smep;
		fault |= user && s->access != FETCH && s->smap && !s->ac;
	}
	return fault ? error : NO_TRAP;
}

static void access_as_supervisor(const struct setting *s)
{
	if (s->ac)
		__asm__ volatile("pushfq\norq $0x40000, (%%rsp)\npopfq" : : : "memory", "cc");
	switch (s->access) {
	case READ:
		TRY("movl (%%rbx), %%eax", "b"(PAGE));
		break;
	case WRITE:
		TRY("movb $0, 0x100(%%rbx)", "b"(PAGE));
		break;
	case FETCH:
		/* The fault is at the target, with the return address pushed. */
		TRY("mov %%rsp, %%r11\ncall *%%rbx\n66: mov %%r11, %%rsp\njmp 67f\n67:",
		    "b"(PAGE + OFFSET_RET));
		break;
	}
	__asm__ volatile("pushfq\nandq $~0x40000, (%%rsp)\npopfq" : : : "memory", "cc");
}

static void access_as_user(const struct setting *s)
{
	static const uint8_t read[] = { 0x8b, 0x01, 0xcd, 0x80 };
	static const uint8_t write[] = { 0xc6, 0x81, 0, 1, 0, 0, 0, 0xcd, 0x80 };
	uint8_t *code = (uint8_t *)(*page_entry(CODE, 1) & PAGE_ADDRESS);

	memcpy(code, s->access == WRITE ? write : read, sizeof(write));
	user_run(s->access == FETCH ? PAGE + OFFSET_INT : CODE, STACK + 0xff0, SELECTOR_USER_CODE,
		 0, PAGE);
	if (trap.vector == 0x80)
		trap.vector = NO_TRAP;
}

static void try_setting(const struct setting *s)
{
	uint64_t *leaf = page_entry(PAGE, 1), *middle = page_entry(PAGE, 2);
	uint64_t leaf_address = *leaf & PAGE_ADDRESS, middle_address = *middle & PAGE_ADDRESS;
	static const uint64_t bits[] = { 0, PAGE_RW, PAGE_US, PAGE_US | PAGE_RW };
	unsigned wrong = 0;
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	write_cr0(s->wp ? cr0 | CR0_WP : cr0 & ~CR0_WP);
	write_cr4(cr4 | (s->smep ? CR4_SMEP : 0) | (s->smap ? CR4_SMAP : 0));
	for (unsigned i = 0; i < 64; i++) {
		uint64_t l = bits[i % 4] | (i & 4 ? PAGE_NX : 0);
		uint64_t m = bits[i / 8 % 4] | (i & 32 ? PAGE_NX : 0);
		uint64_t want, got;

		*leaf = leaf_address | l | PAGE_P;
		*middle = middle_address | m | PAGE_P;
		invlpg(PAGE);
		want = expected(s, l, m);
		if (s->user)
			access_as_user(s);
		else
			access_as_supervisor(s);
		got = trap.vector == NO_TRAP ? NO_TRAP
		      : trap.vector == 14    ? trap.error
					     : 0x1000 + trap.vector;
		if (got == want && (got == NO_TRAP || (trap.cr2 & ~UINT64_C(0xfff)) == PAGE))
			continue;
		if (!wrong++)
			print("# %s: leaf %x middle %x: got %x cr2 %x, want %x\n", s->name, l, m,
			      got, trap.cr2, want);
	}
	write_cr4(cr4);
	write_cr0(cr0);
	*leaf = leaf_address | PAGE_P | PAGE_RW | PAGE_US;
	*middle = middle_address | PAGE_P | PAGE_RW | PAGE_US;
	invlpg(PAGE);
	check_value(s->name, wrong, 0);
}

static void permissions(void)
{
	uint8_t *page = page_alloc();

	page[OFFSET_RET] = 0xc3;
	page[OFFSET_INT] = 0xcd;
	page[OFFSET_INT + 1] = 0x80;
	page_map(PAGE, (uintptr_t)page, PAGE_P | PAGE_RW | PAGE_US);
	page_map(CODE, (uintptr_t)page_alloc(), PAGE_P | PAGE_US);
	page_map(STACK, (uintptr_t)page_alloc(), PAGE_P | PAGE_US | PAGE_RW);
	check("cpu-has-smep", cpuid(7, 0).ebx & BIT(7));
	check("cpu-has-smap", cpuid(7, 0).ebx & BIT(20));
	for (unsigned i = 0; i < ARRAY_SIZE(settings); i++)
		try_setting(&settings[i]);
}

static void accessed_and_dirty(void)
{
	uint64_t *entry = page_map(OTHER, (uintptr_t)page_alloc(), PAGE_P | PAGE_RW);

	check_value("fresh-entry-is-clean", *entry & (PAGE_A | PAGE_D), 0);
	TRY("movl (%%rbx), %%eax", "b"(OTHER));
	check_value("read-sets-accessed", *entry & (PAGE_A | PAGE_D), PAGE_A);
	check_value("read-sets-accessed-above", *page_entry(OTHER, 2) & PAGE_A, PAGE_A);
	TRY("movl %%ecx, (%%rbx)", "b"(OTHER));
	check_value("write-sets-dirty", *entry & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
	*entry &= ~(PAGE_A | PAGE_D | PAGE_RW);
	invlpg(OTHER);
	TRY("movl %%ecx, (%%rbx)", "b"(OTHER));
	check_value("refused-write-sets-no-dirty", *entry & PAGE_D, 0);
	*entry |= PAGE_RW;
	invlpg(OTHER);
	TRY("lock cmpxchgl %%ecx, (%%rbx)", "b"(OTHER), "c"(1));
	check_value("failed-cmpxchg-sets-dirty", *entry & PAGE_D, PAGE_D);
}

static void reserved_bits(void)
{
	uint64_t *entry = page_entry(OTHER, 1), *above = page_entry(OTHER, 2), old = *entry,
		 old_above = *above;
	unsigned width = cpuid(0x80000008, 0).eax & 0xff;

	*entry = old | BIT(width);
	invlpg(OTHER);
	TRY("movl (%%rbx), %%eax", "b"(OTHER));
	check_trap("reserved-address-bit", 14, PF_PRESENT | PF_RESERVED);
	*entry = old;
	*above = old_above | PAGE_PS | BIT(13);
	invlpg(OTHER);
	TRY("movl %%ecx, (%%rbx)", "b"(OTHER));
	check_trap("reserved-bit-of-large-page", 14, PF_PRESENT | PF_RESERVED | PF_WRITE);
	*above = old_above;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
	*entry = old | PAGE_NX;
	invlpg(OTHER);
	TRY("movl (%%rbx), %%eax", "b"(OTHER));
	check_trap("nx-reserved-without-nxe", 14, PF_PRESENT | PF_RESERVED);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	TRY("movl (%%rbx), %%eax", "b"(OTHER));
	check_no_trap("nx-fine-with-nxe");
	*entry = old;
	invlpg(OTHER);
}

static void large_pages(void)
{
	volatile uint32_t *low = (volatile uint32_t *)0x400000;
	uint64_t *entry = page_entry(LARGE, 2);

	low[0] = 0x11111111;
	low[0x1ff000 / 4] = 0x22222222;
	*entry = 0x400000 | PAGE_PS | PAGE_P | PAGE_RW;
	check_value("large-page-start", *(volatile uint32_t *)LARGE, 0x11111111);
	check_value("large-page-end", *(volatile uint32_t *)(LARGE + 0x1ff000), 0x22222222);
	check_value("large-page-accessed", *entry & (PAGE_A | PAGE_D), PAGE_A);
	*(volatile uint32_t *)(LARGE + 0x1000) = 5;
	check_value("large-page-dirty", *entry & PAGE_D, PAGE_D);
	check_value("large-page-write-lands", low[0x1000 / 4], 5);
}

static void changed_entries(void)
{
	uint32_t *a = page_alloc(), *b = page_alloc();
	volatile uint32_t *seen = (volatile uint32_t *)OTHER;
	uint64_t *entry = page_map(OTHER, (uintptr_t)a, PAGE_P | PAGE_RW);

	*a = 1;
	*b = 2;
	check_value("first-page", *seen, 1);
	*entry = (uintptr_t)b | PAGE_P | PAGE_RW;
	invlpg(OTHER);
	check_value("invlpg-shows-second-page", *seen, 2);
	*entry = (uintptr_t)a | PAGE_P | PAGE_RW;
	write_cr3(read_cr3());
	check_value("cr3-shows-first-page", *seen, 1);
	*entry = 0;
	invlpg(OTHER);
	TRY("movl (%%rbx), %%eax", "b"(OTHER));
	check_trap("taken-away", 14, 0);
	/* An entry that becomes present needs no invalidation: faults are not cached. */
	*entry = (uintptr_t)b | PAGE_P | PAGE_RW;
	check_value("present-again", *seen, 2);
}

int main(void)
{
	permissions();
	accessed_and_dirty();
	reserved_bits();
	large_pages();
	changed_entries();
	return 0;
}
