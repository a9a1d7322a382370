/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as code in the translator; see soft_fuzz.h. Everything is translated when it is first met;
 * with the first byte's upper bit, each run is compared with the interpreter's.
 */
#include "soft_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool verify = size && data[0] & 0x80;

	soft_fuzz(verify ? "jit=verify,heat=1,cache=1M" : "heat=1,cache=1M", data, size);
	return 0;
}
