/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The formats and protocols by name: rows of the tables in formats.c. */
#pragma once

#include "block/format.h"

extern const struct block_format luks_format;
extern const struct block_format ova_format;
extern const struct block_format qcow2_format;
extern const struct block_format raw_format;
extern const struct block_format vdi_format;
extern const struct block_format vhd_format;
extern const struct block_format vhdx_format;
extern const struct block_format vmdk_format;
