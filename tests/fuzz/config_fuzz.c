/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration of a VM process: refused with words, or complete, and then the same when it is
 * resolved again. */
#include <string.h>

#include "api/config.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *config = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct err err = ERR_INIT;
	json_t *again;

	if (!config)
		return 0;
	if (config_resolve(config, &err)) {
		check(err.code < 0 && err.text[0]);
	} else {
		again = json_deep_copy(config);
		check(!config_resolve(again, &err));
		check(json_equal(config, again));
		json_decref(again);
	}
	json_decref(config);
	return 0;
}
