/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A board of nothing but memory, one stop port and the software engine, for tests of whole programs.
 *
 * A program is bytes at BOARD_CODE. It ends by writing AL to port BOARD_STOP, which kicks its vCPU;
 * `board.stopped` is AL. Every exception does so as well, with its vector in AL.
 */
#pragma once

#include "cpu/soft/soft.h"
#include "x86/registers.h"
#include "x86/segment.h"

#define BOARD_RAM   (UINT64_C(8) << 20)
#define BOARD_CODE  UINT64_C(0x8000)
#define BOARD_STACK UINT64_C(0x7000) /* grows down from here */
#define BOARD_DATA  UINT64_C(0x100000)
#define BOARD_STOP  0xe0

enum board_mode { BOARD_REAL, BOARD_PROTECTED, BOARD_LONG, BOARD_LONG_USER };

struct board {
	struct memory *memory;
	struct bus *ports, *mmio;
	struct bus_region stop;
	struct engine_platform platform;
	struct engine *engine;
	struct vcpu *vcpus[2];
	unsigned count;
	int stopped; /* what was written to the stop port, or -1 */
	unsigned eois;
	uint8_t last_eoi;
	struct vcpu_state state; /* board_state()'s */
};

/*
 * `options`: of the engine; NULL: those in $BOARD_ENGINE, with which the same tests run on all its
 * forms. 0, or a negative errno after a message on stderr.
 */
int board_new(struct board **ret_board, unsigned vcpus, const char *options);
void board_free(struct board *board);

/* For cmocka: a board with one vCPU as the state. */
int board_setup(void **state);
int board_teardown(void **state);

/* Brings vCPU 0 into the mode, at BOARD_CODE, with flat segments and the tables of the mode. */
void board_reset(struct board *board, enum board_mode mode);

/* Puts a program in place and runs it on vCPU 0 until it stops; what vcpu_run() returned. */
enum vcpu_exit board_run(struct board *board, const void *code, unsigned bytes);

/* vCPU 0's state; it lives as long as the board and is good until the next call. */
struct vcpu_state *board_state(struct board *board);
void board_set(struct board *board, const struct vcpu_state *state);

/* BOARD_LONG: the page of 2 MiB at `linear`, below 1 GiB, is that at `gpa`, from board_set() on. */
void board_map(struct board *board, uint64_t linear, uint64_t gpa);

uint64_t board_peek(struct board *board, uint64_t gpa, unsigned bytes);
void board_poke(struct board *board, uint64_t gpa, uint64_t value, unsigned bytes);

/* One of the statistics of a vCPU, or of an object in them if `object` is not NULL; 0: there is none. */
int64_t board_figure(struct board *board, unsigned vcpu, const char *object, const char *name);
