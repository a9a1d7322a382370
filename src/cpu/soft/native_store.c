/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where thunks are kept: code memory that is written through one mapping and run through another,
 * and a hash table of the forms that are there.
 *
 * Both have a fixed size: a guest that invents forms makes the owner flush, and nothing grows.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "cpu/soft/native_thunk_priv.h"

#define STORE_BYTES (1 * MIB)
#define TABLE_SLOTS 8192u /* three quarters are used at most */
#define CODE_ALIGN  16u

/*
 * What tells forms apart: the instruction with the guest's register numbers, and two facts that its
 * bytes do not show.
 */
struct form_key {
	uint8_t bytes[22];
	uint8_t high; /* a bit a general register use that is AH, CH, DH or BH */
	uint8_t used; /* of bytes; 0: the slot is free */
};

struct slot {
	struct form_key key;
	uint32_t offset; /* of the thunk */
};

struct native {
	struct native_host host; /* first: native_host() */
	uint8_t *write, *run;    /* two views of the same memory */
	uint32_t used;
	uint32_t slots_used;
	struct slot slots[TABLE_SLOTS];
};

static int store_map(struct native *native)
{
	AUTO_CLOSE int fd = memfd_create("cella-thunks", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, STORE_BYTES) < 0)
		return -errno;
	native->write = mmap(NULL, STORE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (native->write == MAP_FAILED)
		return -errno;
	native->run = mmap(NULL, STORE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	return native->run == MAP_FAILED ? -errno : 0;
}

int native_new(struct native **ret_native)
{
	struct native *native = calloc(1, sizeof(*native));
	int r;

	if (!native)
		return -ENOMEM;
	native_host_detect(&native->host);
	native->write = native->run = MAP_FAILED;
	r = store_map(native);
	if (r) {
		native_free(native);
		return r;
	}
	native_flush(native);
	*ret_native = native;
	return 0;
}

void native_free(struct native *native)
{
	if (!native)
		return;
	if (native->write != MAP_FAILED)
		munmap(native->write, STORE_BYTES);
	if (native->run != MAP_FAILED)
		munmap(native->run, STORE_BYTES);
	free(native);
}

uint64_t native_memory(void)
{
	return sizeof(struct native) + STORE_BYTES;
}

bool native_has_room(const struct native *native, unsigned thunks)
{
	return native->slots_used + thunks <= TABLE_SLOTS / 4 * 3 &&
	       native->used + (uint64_t)thunks * THUNK_BYTES_MAX <= STORE_BYTES;
}

void native_flush(struct native *native)
{
	uint32_t mxcsr = __builtin_ia32_stmxcsr() & ~0x3fu;

	memset(native->slots, 0, sizeof(native->slots));
	native->slots_used = 0;
	/* The host's own MXCSR lies in front of the thunks that load it. */
	memcpy(native->write, &mxcsr, sizeof(mxcsr));
	native->used = CODE_ALIGN;
}

static struct form_key key_of(const struct native_form *form)
{
	struct form_key key = { 0 };
	struct code code = { .bytes = key.bytes, .size = sizeof(key.bytes) };

	code_operation(&code, &form->operation);
	key.used = (uint8_t)code.used;
	for (unsigned i = 0; i < form->use_count && i < 8; i++)
		key.high |= (uint8_t)(form->uses[i].high << i);
	return key;
}

static struct slot *slot_find(struct native *native, const struct form_key *key)
{
	const uint8_t *bytes = (const uint8_t *)key;
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
	uint32_t i;

	for (size_t n = 0; n < sizeof(*key); n++)
		hash = (hash ^ bytes[n]) * UINT64_C(0x100000001b3);
	for (i = (uint32_t)hash; native->slots[i % TABLE_SLOTS].key.used; i++)
		if (!memcmp(&native->slots[i % TABLE_SLOTS].key, key, sizeof(*key)))
			break;
	return &native->slots[i % TABLE_SLOTS];
}

int native_thunk_get(struct native *native, const ZydisDecodedInstruction *z,
		     const ZydisDecodedOperand *operands, native_thunk **ret_thunk)
{
	struct native_form form;
	struct form_key key;
	struct slot *slot;
	struct code code;
	int r = native_form_init(&form, z, operands);

	if (r)
		return r;
	key = key_of(&form);
	slot = slot_find(native, &key);
	if (!slot->key.used) {
		if (!native_has_room(native, 1))
			return -ENOSPC;
		code = (struct code){ .bytes = native->write + native->used,
				      .size = THUNK_BYTES_MAX };
		native_form_emit(&form, &native->host, &code,
				 (uint64_t)(uintptr_t)(native->run + native->used),
				 (uint64_t)(uintptr_t)native->run);
		slot->key = key;
		slot->offset = native->used;
		native->slots_used++;
		native->used += (uint32_t)round_up(code.used, CODE_ALIGN);
	}
	*ret_thunk = (native_thunk *)(uintptr_t)(native->run + slot->offset);
	return 0;
}
