/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions of nftables, by nft(8): all of the text, or nothing. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* The path of a program of the system, which may be where only administrators look for it; -ENOENT.
 * Caller frees. */
int program_find(const char *name, char **ret_path, struct err *err);

/*
 * Makes a transaction, or (`check`) finds out whether it could be made. The first line of what nft
 * says is the error's. Waits for it, ten seconds at the most. Any thread.
 */
int nft_run(const char *text, bool check, struct err *err);

/* The same for a question: all that nft says; caller frees. */
int nft_ask(const char *text, char **ret_answer, struct err *err);
