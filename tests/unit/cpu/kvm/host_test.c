/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the KVM engine works without KVM: the choice of host, options, words. The rest: tests/guest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "cpu/kvm/kvm_priv.h"

static void probe_needs_a_module_of_the_processor(void **state)
{
	bool module =
		!access("/sys/module/kvm_intel", F_OK) || !access("/sys/module/kvm_amd", F_OK);
	struct err err = ERR_INIT;
	int rc = kvm_engine_ops.probe(&err);

	(void)state;
	if (!module)
		assert_true(rc < 0);
	assert_int_equal(rc < 0, err.text[0] != '\0');
}

static void open_unknown_option_is_refused(void **state)
{
	static const struct {
		const char *options, *named;
	} rows[] = {
		{ "speed=9", "'speed=9'" },
		{ "dirty=ring,dirty", "'dirty'" },
		{ "dirty=rings", "'dirty=rings'" },
		{ ",", "''" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct cpuid_table cpuid = { 0 };
		const struct engine_config config = { .vcpus = 1,
						      .cpuid = &cpuid,
						      .options = rows[i].options };
		struct engine *engine = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(kvm_engine_ops.open(&engine, &config, &err), -EINVAL);
		assert_non_null(strstr(err.text, rows[i].named));
		assert_null(engine);
	}
}

static void errors_of_requests_have_hints(void **state)
{
	static const struct {
		int error;
		unsigned long request;
		const char *word;
	} rows[] = {
		{ EBUSY, KVM_CREATE_VM, "hypervisor" },
		{ EINVAL, KVM_CREATE_VCPU, "--cpus" },
		{ ENOMEM, KVM_SET_USER_MEMORY_REGION, "--memory" },
		{ EPERM, KVM_RUN, "group" },
		{ EIO, KVM_RUN, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(
			kvm_err(&err, rows[i].error, rows[i].request, "cannot do %s", "it"),
			-rows[i].error);
		assert_non_null(strstr(err.text, "cannot do it: "));
		assert_non_null(strstr(err.hint, rows[i].word));
	}
}

static void entry_failures_are_told_apart(void **state)
{
	static const uint64_t reasons[] = { UINT64_MAX, 0x80000021, 0x80000022, 0x80000029, 7 };
	char words[ARRAY_SIZE(reasons)][256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		kvm_explain_entry_failure(reasons[i], words[i], sizeof(words[i]));
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(words[i], words[other]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_needs_a_module_of_the_processor),
		cmocka_unit_test(open_unknown_option_is_refused),
		cmocka_unit_test(errors_of_requests_have_hints),
		cmocka_unit_test(entry_failures_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
