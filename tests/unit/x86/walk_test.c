/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translation in every paging mode, over a few pages of tables. */
#include "x86/walk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "x86/paging.h"
#include "x86/registers.h"

#define TABLES 0x6000u /* bytes of memory; behind it there is none */

static int read_memory(void *ctx, uint64_t gpa, void *buffer, unsigned bytes)
{
	if (gpa + bytes > TABLES)
		return -EFAULT;
	memcpy(buffer, (uint8_t *)ctx + gpa, bytes);
	return 0;
}

/* 0x1000 to 0x4000: a chain of 64-bit tables; 0x5000: 32-bit ones. */
static void fill(uint8_t *memory)
{
	memset(memory, 0, TABLES);
	le64_put(memory + 0x1000, 0x2000 | PTE_P);
	le64_put(memory + 0x1008, 0x1000000 | PTE_P); /* a table that is not memory */
	le64_put(memory + 0x1ff8, 0x2000 | PTE_P | PTE_NX);
	le64_put(memory + 0x2000, 0x3000 | PTE_P);
	le64_put(memory + 0x2008, UINT64_C(0x1c0000000) | PTE_PS | PTE_P);
	le64_put(memory + 0x3000, 0x4000 | PTE_P);
	le64_put(memory + 0x3008, 0x7e00000 | PTE_PS | BIT(12) | PTE_P); /* bit 12 is PAT */
	le64_put(memory + 0x4010, 0xabcd000 | PTE_P | PTE_NX);
	le64_put(memory + 0x4018, 0xabcd000);
	le32_put(memory + 0x5000, 0x5000 | PTE_P);                     /* its own page table */
	le32_put(memory + 0x5004, 0xc00000 | 0x6000 | PTE_PS | PTE_P); /* address bits 32 and 33 */
	le32_put(memory + 0x5008, 0x123000 | PTE_P);
}

#define LONG                                                                                       \
	((struct walk_registers){ CR0_PG | CR0_PE, 0x1000, CR4_PAE, EFER_LMA | EFER_LME, { 0 } })
#define PAE                                                                                        \
	((struct walk_registers){                                                                  \
		CR0_PG | CR0_PE, 0, CR4_PAE, 0, { 0x3000 | PTE_P, 0, 0, 0x3000 | PTE_P } })
#define LEGACY(cr4) ((struct walk_registers){ CR0_PG | CR0_PE, 0x5000, cr4, 0, { 0 } })

#define NONE UINT64_MAX

static void address_leads_to_its_page(void **state)
{
	static uint8_t memory[TABLES];
	const struct {
		const char *what;
		struct walk_registers registers;
		uint64_t linear, gpa;
	} rows[] = {
		{ "no paging", { 0 }, 0x123456789, 0x123456789 },
		{ "4 KiB", LONG, 0x2345, 0xabcd345 },
		{ "4 KiB, upper half", LONG, 0xffffff8000002345, 0xabcd345 },
		{ "2 MiB", LONG, 0x2a5432, 0x7ea5432 },
		{ "1 GiB", LONG, 0x55555555, 0x1d5555555 },
		{ "absent page", LONG, 0x3000, NONE },
		{ "absent directory", LONG, 0x400000, NONE },
		{ "table that is no memory", LONG, UINT64_C(1) << 39, NONE },
		{ "not canonical", LONG, UINT64_C(1) << 47, NONE },
		{ "PAE, 4 KiB", PAE, 0x2345, 0xabcd345 },
		{ "PAE, 2 MiB by the last pointer", PAE, 0xc02a5432, 0x7ea5432 },
		{ "PAE, absent pointer", PAE, 0x40002345, NONE },
		{ "PAE, above 4 GiB", PAE, UINT64_C(1) << 32, NONE },
		{ "32-bit, 4 KiB", LEGACY(0), 0x2678, 0x123678 },
		{ "32-bit, 4 MiB", LEGACY(CR4_PSE), 0x7f1234, 0x300ff1234 },
		{ "32-bit, 4 MiB without PSE", LEGACY(0), 0x7f1234, NONE },
		{ "32-bit, absent", LEGACY(CR4_PSE), 0xc00000, NONE },
	};

	fill(memory);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t gpa = NONE;
		int rc = walk_linear(&rows[i].registers, rows[i].linear, read_memory, memory, &gpa);

		if (gpa != rows[i].gpa || rc != (rows[i].gpa == NONE ? -EFAULT : 0))
			fail_msg("%s: 0x%llx", rows[i].what, (unsigned long long)gpa);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_leads_to_its_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
