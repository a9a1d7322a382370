/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/engines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "cpu/kvm/kvm.h"
#include "cpu/soft/soft.h"

/* In order of preference; the last one works everywhere. */
static const struct {
	const struct engine_ops *ops;
	enum sandbox_thread vcpu_thread;
} engines[] = {
	{ &kvm_engine_ops, SANDBOX_VCPU_KVM },
	{ &soft_engine_ops, SANDBOX_VCPU_SOFT },
};

int engine_choose(const char *name, struct engine_choice *ret_choice, struct err *err)
{
	bool any = !strcmp(name, "auto");
	struct err why = ERR_INIT;

	for (unsigned i = 0; i < ARRAY_SIZE(engines); i++) {
		struct engine_choice choice = { engines[i].ops, engines[i].vcpu_thread,
						"as asked for" };
		struct err refusal = ERR_INIT;

		if (!any && strcmp(name, choice.ops->name))
			continue;
		if (choice.ops->probe(&refusal)) {
			why = refusal;
			continue;
		}
		if (any && why.code)
			snprintf(choice.reason, sizeof(choice.reason), "%s", why.text);
		else if (any)
			snprintf(choice.reason, sizeof(choice.reason), "it works on this host");
		*ret_choice = choice;
		return 0;
	}
	if (!why.code)
		return err_set(err, ENODEV, "engine '%s' is not known", name);
	err_set(err, ENODEV, "engine '%s': %s", name, why.text);
	return err_hint(err, "%s", *why.hint ? why.hint : "use --engine soft");
}
