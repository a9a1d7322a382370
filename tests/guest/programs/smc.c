/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that changes: its own bytes, through another mapping, across pages, by string instructions,
 * under its feet, and by a change of page tables.
 *
 * Spec: Intel SDM volume 3, sections 8.1.3 and 11.6.
 */
#include "guest.h"

#define ALIAS UINT64_C(0x40000000000)

static uint8_t code[2 * 4096] __attribute__((aligned(4096)));

/* mov $imm32, %eax; ret */
static void write_return(uint8_t *at, uint32_t value)
{
	at[0] = 0xb8;
	memcpy(at + 1, &value, 4);
	at[5] = 0xc3;
}

static uint64_t call(const void *at)
{
	uint64_t result = 0;

	__asm__ volatile("call *%1" : "+a"(result) : "b"(at) : "rcx", "rdx", "memory", "cc");
	return result;
}

static void between_calls(void)
{
	uint64_t sum = 0, want = 0;

	for (uint32_t i = 0; i < 200; i++) {
		write_return(code, i);
		sum += call(code);
		want += i;
	}
	check_value("changed-between-calls", sum, want);
	write_return(code + 4093, 0x01020304); /* crosses into the second page */
	check_value("across-pages", call(code + 4093), 0x01020304);
	code[4096] = 0xaa; /* the third byte of the value, in the second page */
	check_value("across-pages-second-half", call(code + 4093), 0x01aa0304);
}

static void one_byte(void)
{
	write_return(code, 0x11223344);
	check_value("before-one-byte", call(code), 0x11223344);
	*(volatile uint8_t *)(code + 2) = 0x99;
	check_value("one-byte-changed", call(code), 0x11229944);
	__asm__ volatile("lock xchgb %0, %1" : "+q"((uint8_t){ 0x77 }), "+m"(code[3]));
	check_value("changed-by-xchg", call(code), 0x11779944);
}

static void ahead_of_itself(void)
{
	/* Writes the operand of the instruction right behind it, then executes that. */
	static const uint8_t text[] = {
		0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x42, /* movb $0x42, 1(%rip): the byte below */
		0xb0, 0x00,                               /* mov $0, %al */
		0xc3,
	};

	memcpy(code, text, sizeof(text));
	check_value("next-instruction", call(code) & 0xff, 0x42);
	memcpy(code, text, sizeof(text));
	code[6] = 0x43;
	check_value("next-instruction-again", call(code) & 0xff, 0x43);
}

static void in_a_loop(void)
{
	/* Adds an operand that it counts up itself: 0 + 1 + … + 9. */
	static const uint8_t text[] = {
		0xb9, 0x0a, 0x00, 0x00, 0x00,       /* mov $10, %ecx */
		0x31, 0xc0,                         /* xor %eax, %eax */
		0x05, 0x00, 0x00, 0x00, 0x00,       /* add $0, %eax */
		0xfe, 0x05, 0xf6, 0xff, 0xff, 0xff, /* incb -10(%rip): the operand */
		0xff, 0xc9,                         /* dec %ecx */
		0x75, 0xf1,                         /* jnz to the add */
		0xc3,
	};

	memcpy(code, text, sizeof(text));
	check_value("loop-changes-itself", call(code), 45);
}

static void through_an_alias(void)
{
	uint8_t *alias = (uint8_t *)ALIAS;

	page_map(ALIAS, (uintptr_t)code, PAGE_P | PAGE_RW);
	write_return(code, 1);
	check_value("before-alias", call(code), 1);
	write_return(alias, 2);
	check_value("written-through-alias", call(code), 2);
	write_return(code, 3);
	check_value("executed-through-alias", call(alias), 3);
}

static void by_string_instruction(void)
{
	uint8_t other[6];
	const void *from = other;
	void *to = code;
	uint64_t count = sizeof(other);

	write_return(code, 10);
	check_value("before-movs", call(code), 10);
	write_return(other, 20);
	__asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
	check_value("written-by-movs", call(code), 20);
}

static void by_page_tables(void)
{
	uint8_t *a = page_alloc(), *b = page_alloc();

	write_return(a, 100);
	write_return(b, 200);
	page_map(ALIAS, (uintptr_t)a, PAGE_P | PAGE_RW);
	check_value("first-page", call((void *)ALIAS), 100);
	page_map(ALIAS, (uintptr_t)b, PAGE_P | PAGE_RW);
	check_value("remapped-page", call((void *)ALIAS), 200);
	write_return(a, 300);
	check_value("other-page-untouched", call((void *)ALIAS), 200);
	page_map(ALIAS, (uintptr_t)a, PAGE_P | PAGE_RW);
	check_value("mapped-back", call((void *)ALIAS), 300);
}

static uint64_t call_with(const void *at, const void *target)
{
	uint64_t result = 0;

	__asm__ volatile("call *%1" : "+a"(result) : "b"(at), "c"(target) : "rdx", "memory", "cc");
	return result;
}

/* As procedure linkage tables of two programs at one address do. */
static void by_page_tables_under_indirect_jumps(void)
{
	static const uint8_t jump[] = { 0xff, 0xe1 }; /* jmp *%rcx */
	const uint8_t *alias = (const uint8_t *)ALIAS;
	uint8_t *pages[] = { page_alloc(), page_alloc() };

	for (uint32_t i = 0; i < ARRAY_SIZE(pages); i++) {
		memcpy(pages[i], jump, sizeof(jump));
		write_return(pages[i] + 32, 500 + i);
	}
	for (uint32_t i = 0; i < 4; i++) {
		page_map(ALIAS, (uintptr_t)pages[i % 2], PAGE_P | PAGE_RW);
		check_value("jump-within-remapped-page", call_with(alias, alias + 32), 500 + i % 2);
	}
}

int main(void)
{
	between_calls();
	one_byte();
	ahead_of_itself();
	in_a_loop();
	through_an_alias();
	by_string_instruction();
	by_page_tables();
	by_page_tables_under_indirect_jumps();
	return 0;
}
