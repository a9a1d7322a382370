/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State streams: a hostile vCPU state is refused whole, or what it loads is saved again to the same
 * bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "vm/vcpu_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_stream in = state_stream_reader(data, size);
	struct state_stream out = { 0 };
	struct vcpu_state *state = malloc(sizeof(*state));
	struct vcpu_state *before = malloc(sizeof(*before));
	struct err err = ERR_INIT;

	check(state && before);
	vcpu_state_reset(state, 1, 0, 832);
	*before = *state;
	if (state_load(&in, &vcpu_state_desc, state, &err)) {
		check(err.code < 0 && err.text[0]);
		check(!memcmp(state, before, sizeof(*state)));
	} else {
		check(!state_save(&out, &vcpu_state_desc, state));
		check(out.count == in.at && !memcmp(out.bytes, data, out.count));
	}
	state_stream_fini(&out);
	free(before);
	free(state);
	return 0;
}
