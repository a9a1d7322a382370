/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checksum CRC-32C (Castagnoli). Spec: RFC 3720, appendix B.4. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Of the bytes behind those that gave `crc`; 0 for the first ones. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t count);
