/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spec: QEMU docs/specs/fw_cfg. */
#include "device_test.h"

#include "base/bytes.h"

#define SELECTOR 0x510
#define DATA     0x511
#define DMA      0x514

#define DESCRIPTOR 0x1000
#define BUFFER     0x2000

static void read_item(struct board *board, uint16_t selector, void *buffer, unsigned count)
{
	bus_write(board->ports, SELECTOR, selector, 2);
	for (unsigned i = 0; i < count; i++)
		((uint8_t *)buffer)[i] = board_in(board, DATA);
}

/* Runs a descriptor; its control word afterwards. */
static uint32_t run_dma(struct board *board, uint32_t control, uint32_t count, uint64_t address)
{
	uint8_t bytes[16];

	be32_put(bytes, control);
	be32_put(bytes + 4, count);
	be64_put(bytes + 8, address);
	assert_int_equal(memory_write(board->memory, GPA(DESCRIPTOR), bytes, sizeof(bytes)), 0);
	bus_write(board->ports, DMA, htobe32(0), 4);
	bus_write(board->ports, DMA + 4, htobe32(DESCRIPTOR), 4);
	assert_int_equal(memory_read(board->memory, GPA(DESCRIPTOR), bytes, 4), 0);
	return be32_get(bytes);
}

static void fw_cfg_tells_who_it_is(void **unused)
{
	struct board board;
	uint8_t bytes[8];

	(void)unused;
	board_init_named(&board, "fw-cfg");
	read_item(&board, 0, bytes, 6);
	assert_memory_equal(bytes, "QEMU\0\0", 6);
	read_item(&board, 1, bytes, 4);
	assert_int_equal(le32_get(bytes), 3);
	be32_put(bytes, (uint32_t)be32toh((uint32_t)bus_read(board.ports, DMA, 4)));
	be32_put(bytes + 4, (uint32_t)be32toh((uint32_t)bus_read(board.ports, DMA + 4, 4)));
	assert_memory_equal(bytes, "QEMU CFG", 8);
	read_item(&board, 0x8000, bytes, 4);
	assert_memory_equal(bytes, "arch", 4);
	board_fini(&board);
}

static void fw_cfg_directory_leads_to_the_files(void **unused)
{
	struct board board;
	uint8_t directory[4 + 2 * 64], file[6];

	(void)unused;
	board_init_named(&board, "fw-cfg");
	assert_int_equal(fw_cfg_add_file(board.fw_cfg, "etc/second", "22", 2, NULL), 0);
	read_item(&board, 0x19, directory, sizeof(directory));
	assert_int_equal(be32_get(directory), 2);
	assert_int_equal(be32_get(directory + 4), 5);
	assert_string_equal((char *)directory + 4 + 8, "etc/example");
	read_item(&board, be16_get(directory + 4 + 4), file, sizeof(file));
	assert_memory_equal(file, "hello", 6);
	assert_int_equal(be32_get(directory + 4 + 64), 2);
	assert_string_equal((char *)directory + 4 + 64 + 8, "etc/second");
	read_item(&board, be16_get(directory + 4 + 64 + 4), file, 2);
	assert_memory_equal(file, "22", 2);
	board_fini(&board);
}

static void fw_cfg_dma_reads_items(void **unused)
{
	struct board board;
	uint8_t bytes[8];

	(void)unused;
	board_init_named(&board, "fw-cfg");
	memory_fill(board.memory, GPA(BUFFER), 0xff, 16);
	/* Select and read; behind the end come zeros. */
	assert_int_equal(run_dma(&board, 0x20 << 16 | 0x0a, 7, BUFFER), 0);
	memory_read(board.memory, GPA(BUFFER), bytes, 8);
	assert_memory_equal(bytes, "hello\0\0\xff", 8);
	/* Select and skip, then read the rest. */
	assert_int_equal(run_dma(&board, 0x20 << 16 | 0x0c, 3, 0), 0);
	assert_int_equal(run_dma(&board, 0x02, 2, BUFFER), 0);
	memory_read(board.memory, GPA(BUFFER), bytes, 2);
	assert_memory_equal(bytes, "lo", 2);
	board_fini(&board);
}

static void fw_cfg_dma_outside_of_ram_is_an_error(void **unused)
{
	struct board board;

	(void)unused;
	board_init_named(&board, "fw-cfg");
	assert_int_equal(run_dma(&board, 0x20 << 16 | 0x0a, 5, MIB - 4), 1);
	assert_int_equal(run_dma(&board, 0x20 << 16 | 0x0a, UINT32_MAX, BUFFER), 1);
	assert_int_equal(run_dma(&board, 0x20 << 16 | 0x0a, 5, UINT64_MAX - 1), 1);
	/* Nothing is writable. */
	assert_int_equal(run_dma(&board, 0x20 << 16 | 0x18, 5, BUFFER), 1);
	/* A descriptor nowhere changes nothing. */
	bus_write(board.ports, DMA, htobe64(UINT64_MAX - 7), 8);
	board_check(&board);
	board_fini(&board);
}

static void fw_cfg_bad_files_are_refused(void **unused)
{
	static const char long_name[] = "etc/this-name-is-one-character-longer-than-an-entry-has-";
	struct board board;
	struct err err = ERR_INIT;

	(void)unused;
	board_init_named(&board, "fw-cfg");
	assert_int_equal(strlen(long_name), 56);
	assert_int_equal(fw_cfg_add_file(board.fw_cfg, long_name, "", 0, &err), -ENAMETOOLONG);
	assert_int_equal(fw_cfg_add_file(board.fw_cfg, "etc/example", "", 0, &err), -EEXIST);
	assert_int_equal(fw_cfg_add_item(board.fw_cfg, 0x8000, "", 0, &err), -EEXIST);
	board_fini(&board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fw_cfg_tells_who_it_is),
		cmocka_unit_test(fw_cfg_directory_leads_to_the_files),
		cmocka_unit_test(fw_cfg_dma_reads_items),
		cmocka_unit_test(fw_cfg_dma_outside_of_ram_is_an_error),
		cmocka_unit_test(fw_cfg_bad_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
