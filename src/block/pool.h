/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools of images: folders. An image of one is named FOLDER/NAME, with or without the extension that
 * says its format.
 */
#pragma once

#include "base/err.h"

/*
 * The file that a name stands for; caller frees. It is the name itself, also if nothing is there or it
 * is one of a protocol: who opens it will say so. Else the only file that has an extension of a format
 * besides. Looks at names alone, not into files. -EISDIR: it names a folder; -ENOTUNIQ: several files.
 */
int block_pool_find(const char *name, char **ret_path, struct err *err);
