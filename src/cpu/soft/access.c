/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory accesses that the inline fast path does not take: TLB misses, faults, pages with code,
 * devices, accesses that cross pages, alignment checks and data watchpoints.
 *
 * Spec: Intel SDM volume 3, sections 4.7, 4.10.4 and 6.15 (#AC, #SS, #GP), 17.2.
 */
#include "cpu/soft/access_priv.h"

#include <string.h>

#include "base/bytes.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/debug_priv.h"
#include "cpu/soft/debugger_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/verify_access_priv.h"
#include "cpu/soft/lapic_priv.h"
#include "cpu/soft/mmu_priv.h"

/* What one access is, for the functions below. */
struct access {
	const struct insn *insn;
	uint64_t key;  /* the TLB's, with the rights class in its low bits */
	unsigned kind; /* enum mmu_access */
};

static enum tlb_rights key_rights(const struct soft_cpu *cpu, uint64_t key)
{
	enum tlb_rights rights = key & 3;

	return rights == RIGHTS_SLOW ? mmu_rights(cpu) : rights;
}

/*
 * The host address of `linear` (its page is all that is promised), or NULL for a device and its
 * guest physical address.
 */
static uint8_t *resolve(struct soft_cpu *cpu, const struct access *a, uint64_t linear,
			uint64_t *ret_gpa)
{
	struct mmu_page page;
	uint32_t error;
	uint8_t *host;

	cpu->stats.tlb_misses++;
	if (!mmu_walk(cpu, linear, a->kind, key_rights(cpu, a->key), &page, &error))
		raise_page_fault(cpu, a->insn, linear, error);
	host = memory_map(cpu->memory, GPA(page.gpa), PAGE_SIZE);
	*ret_gpa = page.gpa | (linear & PAGE_MASK);
	if (!host)
		return NULL;
	if (a->kind & MMU_WRITE &&
	    atomic_load_explicit(&cpu->engine->logging, memory_order_relaxed))
		memory_log(cpu->memory, GPA(page.gpa), PAGE_SIZE); /* code: resolve_write() */
	else if (atomic_load_explicit(&cpu->engine->logging, memory_order_relaxed))
		page.dirty = false; /* the first write must come here */
	if ((a->key & 3) != RIGHTS_SLOW)
		tlb_insert(cpu, linear, &page, host, a->key);
	else if (page.shift != PAGE_SHIFT)
		mmu_note_large(cpu, linear, page.shift); /* the code TLB takes it all the same */
	if (unlikely(cpu->verify))
		host = verify_page(cpu, host, a->kind);
	return host + (linear & PAGE_MASK);
}

static uint8_t *resolve_write(struct soft_cpu *cpu, const struct access *a, uint64_t linear,
			      unsigned size, uint64_t *ret_gpa)
{
	uint8_t *host = resolve(cpu, a, linear, ret_gpa);

	if (host)
		code_write_begin(cpu, host, size);
	return host;
}

static void check_canonical(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
			    unsigned size)
{
	if (!cpu_long_mode(cpu))
		return;
	if (linear_is_canonical(cpu, linear) && linear_is_canonical(cpu, linear + size - 1))
		return;
	raise_error(cpu, insn, insn && insn->seg == SEG_SS ? EXCEPTION_SS : EXCEPTION_GP, 0);
}

/* Alignment, watchpoints, verification: only while the rights class is RIGHTS_SLOW. */
static void look_at(struct soft_cpu *cpu, const struct access *a, uint64_t linear, unsigned size)
{
	if (unlikely(debugger_watches(cpu)))
		debugger_watch(cpu, linear, size, a->kind & MMU_WRITE);
	if ((a->key & 3) != RIGHTS_SLOW)
		return;
	if (unlikely(cpu->verify))
		verify_access(cpu, linear, size, a->kind);
	if (cpu->cpl == 3 && cpu->cr0 & CR0_AM && cpu->flags & RFLAGS_AC && size <= 8 &&
	    linear & (size - 1))
		raise_error(cpu, a->insn, EXCEPTION_AC, 0);
	debug_watch(cpu, linear, size, a->kind & MMU_WRITE);
}

static unsigned page_rest(uint64_t linear)
{
	return (unsigned)(PAGE_SIZE - (linear & PAGE_MASK));
}

static uint64_t device_read(struct soft_cpu *cpu, uint64_t gpa, unsigned size)
{
	uint64_t value;

	if (lapic_claims(cpu, gpa))
		return lapic_mmio_read(cpu, gpa & PAGE_MASK);
	cpu->stats.mmio++;
	code_leave_guest(cpu);
	value = bus_read(cpu->engine->platform->mmio, gpa, size);
	code_enter_guest(cpu);
	return value;
}

static void device_write(struct soft_cpu *cpu, uint64_t gpa, uint64_t value, unsigned size)
{
	if (lapic_claims(cpu, gpa)) {
		lapic_mmio_write(cpu, gpa & PAGE_MASK, value, size);
		return;
	}
	cpu->stats.mmio++;
	code_leave_guest(cpu);
	bus_write(cpu->engine->platform->mmio, gpa, value, size);
	code_enter_guest(cpu);
}

/* Bytes between a device and a buffer, in the widest naturally aligned parts. */
static void device_copy(struct soft_cpu *cpu, uint64_t gpa, uint8_t *buffer, unsigned count,
			bool write)
{
	while (count) {
		unsigned size = 8;

		while (size > count || (gpa & (size - 1) && size > 1))
			size /= 2;
		if (write)
			device_write(cpu, gpa, le_get(buffer, size), size);
		else
			le_put(buffer, device_read(cpu, gpa, size), size);
		gpa += size;
		buffer += size;
		count -= size;
	}
}

static uint64_t load_sized(const void *host, unsigned size)
{
	switch (size) {
	case 1:
		return *(const guest8 *)host;
	case 2:
		return *(const guest16 *)host;
	case 4:
		return *(const guest32 *)host;
	default:
		return *(const guest64 *)host;
	}
}

static void store_sized(void *host, uint64_t value, unsigned size)
{
	switch (size) {
	case 1:
		*(guest8 *)host = (uint8_t)value;
		break;
	case 2:
		*(guest16 *)host = (uint16_t)value;
		break;
	case 4:
		*(guest32 *)host = (uint32_t)value;
		break;
	default:
		*(guest64 *)host = value;
	}
}

static void read_part(struct soft_cpu *cpu, const struct access *a, uint64_t linear, void *buffer,
		      unsigned count)
{
	uint64_t gpa;
	const uint8_t *host = resolve(cpu, a, linear, &gpa);

	if (host)
		memcpy(buffer, host, count);
	else
		device_copy(cpu, gpa, buffer, count, false);
}

static void read_bytes(struct soft_cpu *cpu, const struct access *a, uint64_t linear, void *buffer,
		       unsigned count)
{
	uint8_t *to = buffer;

	while (count) {
		unsigned part = MIN(count, page_rest(linear));

		read_part(cpu, a, linear, to, part);
		to += part;
		linear += part;
		count -= part;
	}
}

static void write_bytes(struct soft_cpu *cpu, const struct access *a, uint64_t linear,
			const void *buffer, unsigned count)
{
	uint8_t *from = (uint8_t *)(uintptr_t)buffer;
	uint64_t gpa;

	/* All pages first: the store happens whole or not at all. */
	for (uint64_t at = linear; at - linear < count; at = (at | PAGE_MASK) + 1)
		resolve(cpu, a, at, &gpa);
	while (count) {
		unsigned part = MIN(count, page_rest(linear));
		uint8_t *host = resolve_write(cpu, a, linear, part, &gpa);

		if (host)
			memcpy(host, from, part);
		else
			device_copy(cpu, gpa, from, part, true);
		from += part;
		linear += part;
		count -= part;
	}
}

static uint64_t cut_linear(const struct soft_cpu *cpu, uint64_t linear)
{
	return cpu_long_mode(cpu) ? linear : (uint32_t)linear;
}

static uint64_t load_access(struct soft_cpu *cpu, const struct access *a, uint64_t linear,
			    unsigned size)
{
	uint64_t value = 0, gpa;
	const uint8_t *host;

	linear = cut_linear(cpu, linear);
	check_canonical(cpu, a->insn, linear, size);
	look_at(cpu, a, linear, size);
	if (size > page_rest(linear)) {
		read_bytes(cpu, a, linear, &value, size);
		return value;
	}
	host = resolve(cpu, a, linear, &gpa);
	return host ? load_sized(host, size) : device_read(cpu, gpa, size);
}

static void store_access(struct soft_cpu *cpu, const struct access *a, uint64_t linear,
			 uint64_t value, unsigned size)
{
	uint64_t gpa;
	uint8_t *host;

	linear = cut_linear(cpu, linear);
	check_canonical(cpu, a->insn, linear, size);
	look_at(cpu, a, linear, size);
	if (size > page_rest(linear)) {
		write_bytes(cpu, a, linear, &value, size);
		return;
	}
	host = resolve_write(cpu, a, linear, size, &gpa);
	if (host)
		store_sized(host, value, size);
	else
		device_write(cpu, gpa, value, size);
}

uint64_t load_slow(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned size)
{
	const struct access a = { insn, cpu->tlb_key, 0 };

	return load_access(cpu, &a, linear, size);
}

void store_slow(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, uint64_t value,
		unsigned size)
{
	const struct access a = { insn, cpu->tlb_key, MMU_WRITE };

	store_access(cpu, &a, linear, value, size);
}

void load_bytes(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, void *buffer,
		unsigned count)
{
	const struct access a = { insn, cpu->tlb_key, 0 };

	linear = cut_linear(cpu, linear);
	check_canonical(cpu, insn, linear, count);
	look_at(cpu, &a, linear, count);
	read_bytes(cpu, &a, linear, buffer, count);
}

void store_bytes(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, const void *buffer,
		 unsigned count)
{
	const struct access a = { insn, cpu->tlb_key, MMU_WRITE };

	linear = cut_linear(cpu, linear);
	check_canonical(cpu, insn, linear, count);
	look_at(cpu, &a, linear, count);
	write_bytes(cpu, &a, linear, buffer, count);
}

void store_probe(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned count)
{
	const struct access a = { insn, cpu->tlb_key, MMU_WRITE };
	uint64_t gpa;

	linear = cut_linear(cpu, linear);
	check_canonical(cpu, insn, linear, count);
	for (uint64_t at = linear; at - linear < count; at = (at | PAGE_MASK) + 1)
		resolve(cpu, &a, at, &gpa);
}

const void *load_copy(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned size)
{
	const struct access a = { insn, cpu->tlb_key, 0 };
	uint64_t gpa;
	const uint8_t *host;

	linear = cut_linear(cpu, linear);
	check_canonical(cpu, insn, linear, size);
	look_at(cpu, &a, linear, size);
	if (size <= page_rest(linear)) {
		host = resolve(cpu, &a, linear, &gpa);
		if (host)
			return host;
	}
	read_bytes(cpu, &a, linear, cpu->scratch.bytes, size);
	return cpu->scratch.bytes;
}

void *rmw_begin_slow(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned size,
		     bool locked)
{
	const struct access a = { insn, cpu->tlb_key, MMU_WRITE };
	uint64_t gpa;

	linear = cut_linear(cpu, linear);
	check_canonical(cpu, insn, linear, size);
	look_at(cpu, &a, linear, size);
	if (size <= page_rest(linear)) {
		uint8_t *host = resolve_write(cpu, &a, linear, size, &gpa);

		if (host)
			return host;
	} else {
		uint64_t second;
		unsigned part = page_rest(linear);
		uint8_t *low = resolve(cpu, &a, linear, &gpa);
		uint8_t *high = resolve(cpu, &a, linear + part, &second);

		/* Neighbours on the host as well: the host's own split access does. */
		if (low && high == low + part) {
			code_write_begin(cpu, low, part);
			code_write_begin(cpu, high, size - part);
			return low;
		}
	}
	cpu->scratch.linear = linear;
	cpu->scratch.size = size;
	if (locked) {
		/* The run loop lets go of it if the read below raises. */
		code_alone_begin(cpu);
		cpu->scratch.locked = true;
	}
	read_bytes(cpu, &a, linear, cpu->scratch.bytes, size);
	return cpu->scratch.bytes;
}

void rmw_end_slow(struct soft_cpu *cpu, const struct insn *insn)
{
	const struct access a = { insn, cpu->tlb_key, MMU_WRITE };

	write_bytes(cpu, &a, cpu->scratch.linear, cpu->scratch.bytes, cpu->scratch.size);
	scratch_unlock(cpu);
}

void scratch_unlock(struct soft_cpu *cpu)
{
	if (cpu->scratch.locked) {
		cpu->scratch.locked = false;
		code_alone_end(cpu);
	}
}

static uint64_t system_key(const struct soft_cpu *cpu)
{
	return (cpu->tlb_key & ~UINT64_C(3)) | mmu_system_rights(cpu);
}

uint64_t system_load(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned size)
{
	const struct access a = { insn, system_key(cpu), 0 };
	struct tlb_entry *e;

	linear = cut_linear(cpu, linear);
	e = tlb_slot(cpu, linear);
	if (e->read == (((linear + size - 1) & ~PAGE_MASK) | a.key) && !cpu->debugger)
		return load_sized((void *)(e->host + linear), size);
	return load_access(cpu, &a, linear, size);
}

void system_store(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, uint64_t value,
		  unsigned size)
{
	const struct access a = { insn, system_key(cpu), MMU_WRITE };
	struct tlb_entry *e;

	linear = cut_linear(cpu, linear);
	e = tlb_slot(cpu, linear);
	if (e->write == (((linear + size - 1) & ~PAGE_MASK) | a.key) && !cpu->debugger)
		store_sized((void *)(e->host + linear), value, size);
	else
		store_access(cpu, &a, linear, value, size);
}

const uint8_t *fetch_host(struct soft_cpu *cpu, uint64_t linear)
{
	const struct access a = { NULL, cpu->tlb_key, MMU_FETCH };
	struct code_tlb_entry *e = (struct code_tlb_entry *)code_tlb_slot(cpu, linear);
	bool *global = &cpu->code_tlb_global[e - cpu->code_tlb];
	uint64_t tag = (linear & ~PAGE_MASK) | cpu->fetch_key;
	struct tlb_entry *d = tlb_slot(cpu, linear);
	const uint8_t *host;
	uint64_t gpa;

	if (likely(e->tag == tag))
		return (const uint8_t *)(e->host + linear);
	if (*global && !((e->tag ^ tag) & ~TLB_KEY_ASID)) {
		e->tag = tag;
		return (const uint8_t *)(e->host + linear);
	}
	*global = false;
	if (d->exec == ((linear & ~PAGE_MASK) | cpu->tlb_key)) {
		host = (const uint8_t *)(d->host + linear);
		*global = cpu->tlb_global[d - cpu->tlb];
	} else {
		if (cpu_long_mode(cpu) && !linear_is_canonical(cpu, linear))
			raise_error(cpu, NULL, EXCEPTION_GP, 0);
		host = resolve(cpu, &a, linear, &gpa);
		*global = host && d->exec == ((linear & ~PAGE_MASK) | cpu->tlb_key) &&
			  cpu->tlb_global[d - cpu->tlb];
	}
	if (host)
		*e = (struct code_tlb_entry){ tag, (uintptr_t)host - linear };
	return host;
}

/* Limit and type of a segment. Spec: SDM volume 3, section 5.3. */
static bool segment_allows(const struct vcpu_segment *s, uint64_t offset, unsigned size, bool write,
			   bool protected)
{
	uint16_t type = s->attributes;
	uint64_t last = offset + size - 1;

	if (!(type & SEGMENT_P))
		return false;
	if (protected) {
		if (type & SEGMENT_CODE ? write || !(type & SEGMENT_READABLE)
					: write && !(type & SEGMENT_WRITABLE))
			return false;
	}
	if (!(type & SEGMENT_CODE) && type & SEGMENT_DOWN) {
		uint64_t top = type & SEGMENT_DB ? UINT32_MAX : 0xffff;

		return offset > s->limit && last <= top;
	}
	return last <= s->limit;
}

uint64_t segment_linear(struct soft_cpu *cpu, const struct insn *insn, unsigned seg,
			uint64_t offset, unsigned size, bool write)
{
	const struct vcpu_segment *s = &cpu->segments[seg];
	bool protected = cpu_protected(cpu) && !cpu_vm86(cpu);

	if (cpu_code64(cpu)) {
		uint64_t linear = seg >= SEG_FS ? s->base + offset : offset;

		if (!linear_is_canonical(cpu, linear))
			raise_error(cpu, insn, seg == SEG_SS ? EXCEPTION_SS : EXCEPTION_GP, 0);
		return linear;
	}
	if (!segment_allows(s, offset, size, write, protected))
		raise_error(cpu, insn, seg == SEG_SS ? EXCEPTION_SS : EXCEPTION_GP, 0);
	return (uint32_t)(s->base + offset);
}

/* An offset as the address size has it. */
static uint64_t cut_offset(const struct insn *insn, uint64_t offset)
{
	switch (insn->ea) {
	case EA_RIP_FAR:
		return offset + insn->offset + insn->length;
	case EA_16:
		return (uint16_t)offset;
	case EA_32:
	case EA_LONG32:
		return (uint32_t)offset;
	default:
		return offset;
	}
}

uint64_t ea_cut(struct soft_cpu *cpu, const struct insn *insn)
{
	return cut_offset(insn, ea_offset(cpu, insn));
}

uint64_t ea_legacy(struct soft_cpu *cpu, const struct insn *insn, uint64_t offset, unsigned size,
		   bool write)
{
	offset = cut_offset(insn, offset);
	if (insn->ea == EA_RIP_FAR)
		return offset;
	if (insn->ea == EA_LONG32)
		return insn->seg >= SEG_FS ? cpu->segments[insn->seg].base + offset : offset;
	return segment_linear(cpu, insn, insn->seg, offset, size, write);
}
