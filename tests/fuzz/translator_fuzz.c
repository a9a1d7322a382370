/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as code in the translator; see soft_fuzz.h. Everything is translated when it is first met, and
 * gets a trace then with the first byte's second bit from above; with the uppermost one, each run is
 * compared with the interpreter's.
 */
#include "soft_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const options[] = {
		"heat=1,cache=1M",
		"heat=1,cache=1M,trace=0",
		"jit=verify,heat=1,cache=1M",
		"jit=verify,heat=1,cache=1M,trace=0",
	};

	if (size)
		soft_fuzz(options[data[0] >> 6], data, size);
	return 0;
}
