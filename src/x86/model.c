/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "x86/model.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "base/str.h"
#include "x86/model_priv.h"

#define FEATURE_NAME_MAX 32
#define MODEL_NAME_MAX   16

static const enum cpu_feature v1_features[] = {
	FEATURE_FPU,          FEATURE_DE,   FEATURE_PSE,     FEATURE_TSC,   FEATURE_MSR,
	FEATURE_PAE,          FEATURE_MCE,  FEATURE_CX8,     FEATURE_APIC,  FEATURE_SEP,
	FEATURE_MTRR,         FEATURE_PGE,  FEATURE_MCA,     FEATURE_CMOV,  FEATURE_PAT,
	FEATURE_MMX,          FEATURE_FXSR, FEATURE_SSE,     FEATURE_SSE2,  FEATURE_CLFLUSH,
	FEATURE_NX,           FEATURE_LM,   FEATURE_SYSCALL, FEATURE_PSE36, FEATURE_X2APIC,
	FEATURE_TSC_DEADLINE, FEATURE_NONE,
};

static const enum cpu_feature v2_features[] = {
	FEATURE_CX16,   FEATURE_LAHF,   FEATURE_POPCNT, FEATURE_SSE3,
	FEATURE_SSE4_1, FEATURE_SSE4_2, FEATURE_SSSE3,  FEATURE_NONE,
};

static const enum cpu_feature v3_features[] = {
	FEATURE_AVX,  FEATURE_AVX2,     FEATURE_BMI1,      FEATURE_BMI2,  FEATURE_F16C,
	FEATURE_FMA,  FEATURE_LZCNT,    FEATURE_MOVBE,     FEATURE_XSAVE, FEATURE_AES,
	FEATURE_SMEP, FEATURE_FSGSBASE, FEATURE_PCLMULQDQ, FEATURE_NONE,
};

static const enum cpu_feature v4_features[] = {
	FEATURE_AVX512F,  FEATURE_AVX512BW, FEATURE_AVX512CD,
	FEATURE_AVX512DQ, FEATURE_AVX512VL, FEATURE_NONE,
};

const struct cpu_model cpu_models[] = {
	{ .name = "host" },
	{ .name = "x86-64-v1", .features = v1_features },
	{ .name = "x86-64-v2", .base = &cpu_models[1], .features = v2_features },
	{ .name = "x86-64-v3", .base = &cpu_models[2], .features = v3_features },
	{ .name = "x86-64-v4", .base = &cpu_models[3], .features = v4_features },
	{ 0 },
};

/* The machine makes these true on every engine: timers that never stop, ids in its messages. */
static const enum cpu_feature machine_features[] = {
	FEATURE_HYPERVISOR,
	FEATURE_ARAT,
	FEATURE_KVM_MSI_EXT_DEST_ID,
};

#define KVM_FEATURES_LEAF 0x40000001

struct request {
	struct cpu_feature_set wanted;
	struct cpu_feature_set explicit; /* named one by one: may not get lost */
	bool is_host;
	char model[MODEL_NAME_MAX];
};

void cpu_host_read(struct cpu_host *host)
{
	char brand[CPU_BRAND_MAX + 1] = "";
	const char *text = brand;

	if (cpuid_host(0x80000000, 0).eax >= 0x80000004) {
		for (uint32_t i = 0; i < 3; i++) {
			struct cpuid_regs regs = cpuid_host(0x80000002 + i, 0);

			memcpy(brand + 16 * i, &regs, 16);
		}
	}
	while (*text == ' ')
		text++;
	memmove(host->brand, text, strlen(text) + 1);
}

static const struct cpu_model *find_model(const char *name, size_t length)
{
	for (const struct cpu_model *model = cpu_models; model->name; model++) {
		if (strlen(model->name) == length && !strncmp(model->name, name, length))
			return model;
	}
	return NULL;
}

static int no_such_model(const char *name, size_t length, struct err *err)
{
	struct str names = { 0 };

	for (const struct cpu_model *model = cpu_models; model->name; model++)
		str_printf(&names, "%s%s", names.length ? ", " : "", model->name);
	err_set(err, EINVAL, "no CPU model '%.*s'", (int)MIN(length, (size_t)64), name);
	if (!names.failed)
		err_hint(err, "models: %s", names.text);
	str_fini(&names);
	return -EINVAL;
}

/* One "+name" or "-name". */
static int apply_word(struct request *request, const char *word, size_t length, struct err *err)
{
	char name[FEATURE_NAME_MAX];
	enum cpu_feature feature = FEATURE_NONE;

	if (length >= 2 && length <= sizeof(name) && (word[0] == '+' || word[0] == '-')) {
		memcpy(name, word + 1, length - 1);
		name[length - 1] = '\0';
		feature = cpu_feature_find(name);
	}
	if (feature == FEATURE_NONE) {
		err_set(err, EINVAL, "no CPU feature '%.*s'", (int)MIN(length, (size_t)64), word);
		return err_hint(err, "write '+name' or '-name', as in 'x86-64-v2,+aes'");
	}
	if (word[0] == '+') {
		cpu_features_add(&request->wanted, feature);
		cpu_features_add(&request->explicit, feature);
	} else {
		cpu_features_remove(&request->wanted, feature);
		cpu_features_remove(&request->explicit, feature);
	}
	return 0;
}

static int parse(struct request *request, const char *text, const struct cpu_feature_set *offered,
		 struct err *err)
{
	size_t length = strcspn(text, ",");
	const struct cpu_model *model = find_model(text, length);

	if (!model)
		return no_such_model(text, length, err);
	memcpy(request->model, model->name, strlen(model->name) + 1);
	request->is_host = !model->features;
	if (request->is_host)
		request->wanted = *offered;
	for (; model; model = model->base) {
		for (const enum cpu_feature *f = model->features; f && *f != FEATURE_NONE; f++)
			cpu_features_add(&request->wanted, *f);
	}
	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
		if (cpu_feature_table[f].leaf == KVM_FEATURES_LEAF && cpu_features_have(offered, f))
			cpu_features_add(&request->wanted, f);
	}
	for (size_t i = 0; i < ARRAY_SIZE(machine_features); i++)
		cpu_features_add(&request->wanted, machine_features[i]);
	for (text += length; *text; text += length) {
		text++;
		length = strcspn(text, ",");
		int rc = apply_word(request, text, length, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Names what is in `a` and not in `b`, separated by commas. */
static void list_difference(struct str *list, const struct cpu_feature_set *a,
			    const struct cpu_feature_set *b)
{
	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
		if (cpu_features_have(a, f) && !cpu_features_have(b, f))
			str_printf(list, "%s%s", list->length ? ", " : "",
				   cpu_feature_table[f].name);
	}
}

static int check_request(const struct request *request, const struct cpu_feature_set *offered,
			 struct err *err)
{
	struct cpu_feature_set closed = request->wanted;
	struct str list = { 0 };
	int rc = 0;

	list_difference(&list, &request->wanted, offered);
	if (list.failed)
		rc = err_errno(err, ENOMEM, "cannot check CPU model '%s'", request->model);
	else if (list.length) {
		err_set(err, ENOTSUP, "CPU model '%s' needs what this engine or host lacks: %s",
			request->model, list.text);
		rc = err_hint(err, "choose a lower model, or 'host' for all that there is");
	}
	str_fini(&list);
	if (rc)
		return rc;
	cpu_features_close(&closed);
	list_difference(&list, &request->explicit, &closed);
	if (list.failed)
		rc = err_errno(err, ENOMEM, "cannot check CPU model '%s'", request->model);
	else if (list.length)
		rc = err_set(err, EINVAL,
			     "CPU features need others that CPU model '%s' does not have: %s",
			     request->model, list.text);
	str_fini(&list);
	return rc;
}

int cpu_model_resolve(struct cpuid_table *ret_table, const char *name,
		      const struct cpuid_table *supported, const struct cpu_host *host,
		      unsigned vcpus, struct err *err)
{
	struct cpu_feature_set offered = cpu_features_of(supported);
	struct request request = { 0 };
	struct cpuid_table table = { 0 };
	char brand[CPU_BRAND_MAX + 1] = "Cella ";
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(machine_features); i++)
		cpu_features_add(&offered, machine_features[i]);
	cpu_features_close(&offered);
	rc = parse(&request, name, &offered, err);
	if (!rc)
		rc = check_request(&request, &offered, err);
	if (rc)
		return rc;
	cpu_features_close(&request.wanted);
	if (!request.is_host || !host->brand[0])
		strncat(brand, request.model, sizeof(brand) - strlen(brand) - 1);
	rc = cpuid_build(&table,
			 &(struct cpuid_plan){
				 .features = &request.wanted,
				 .supported = supported,
				 .brand = request.is_host && host->brand[0] ? host->brand : brand,
				 .tsc_khz = host->tsc_khz,
				 .vcpus = vcpus,
			 });
	if (rc)
		return err_errno(err, rc, "cannot build the CPUID table of '%s'", request.model);
	*ret_table = table;
	return 0;
}
