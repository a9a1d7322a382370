/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GDB stub: any bytes of a debugger get packets with right checksums, and bounded memory. */
#include <stdint.h>

#include "../unit/gdb/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the stub says must be readable by its own rules. */
static void check_output(struct rig *rig)
{
	struct gdb_reader *reader = calloc(1, sizeof(*reader));

	check(reader && !rig->output.failed);
	for (size_t i = 0; i < rig->output.length; i++)
		check(gdb_reader_take(reader, (uint8_t)rig->output.text[i]) != GDB_BAD);
	check(reader->state == READER_IDLE);
	free(reader);
	str_fini(&rig->output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	check(rig);
	rig_init(rig);
	for (size_t at = 0; at < size && !rig->finished; at++) {
		gdb_stub_receive(&rig->stub, data + at, 1);
		check_output(rig);
		/* What runs meets something now and then. */
		if (rig->stub.running && data[at] & 1) {
			rig_vcpu(rig, data[at] >> 1 & 1)->stop =
				(struct debug_stop){ data[at] >> 2 & 1 ? DEBUG_STEPPED
								       : DEBUG_POINT,
						     rig->stub.points[data[at] >> 3 & 3].point };
			gdb_stub_paused(&rig->stub);
			check_output(rig);
		}
	}
	gdb_stub_disconnect(&rig->stub);
	rig_fini(rig);
	free(rig);
	return 0;
}
