/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's registers between KVM's structures and `struct vcpu_state`.
 *
 * Order matters. Reading: the MP state first, because asking for it makes KVM take pending INIT and
 * SIPI. Writing: control registers before what they give meaning to, the APIC base before the APIC,
 * the APIC before its deadline timer, events last.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst.
 */
#include "cpu/kvm/kvm_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "x86/exception.h"
#include "x86/registers.h"
#include "x86/segment.h"

#define XSAVE_STATE_BV 512
#define XSAVE_COMP_BV  520

static int failed(struct err *err, unsigned long request, const char *what)
{
	return kvm_err(err, errno, request, "cannot %s of a vCPU", what);
}

/* KVM's registers in the order of `enum vcpu_gpr`. */
#define FOR_EACH_GPR(X)                                                                            \
	X(GPR_RAX, rax)                                                                            \
	X(GPR_RCX, rcx)                                                                            \
	X(GPR_RDX, rdx)                                                                            \
	X(GPR_RBX, rbx)                                                                            \
	X(GPR_RSP, rsp)                                                                            \
	X(GPR_RBP, rbp)                                                                            \
	X(GPR_RSI, rsi)                                                                            \
	X(GPR_RDI, rdi)                                                                            \
	X(GPR_R8, r8)                                                                              \
	X(GPR_R9, r9)                                                                              \
	X(GPR_R10, r10)                                                                            \
	X(GPR_R11, r11)                                                                            \
	X(GPR_R12, r12)                                                                            \
	X(GPR_R13, r13)                                                                            \
	X(GPR_R14, r14)                                                                            \
	X(GPR_R15, r15)

static int get_regs(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err)
{
	struct kvm_regs regs;

	if (ioctl(v->fd, KVM_GET_REGS, &regs))
		return failed(err, KVM_GET_REGS, "read the registers");
#define COPY(index, name) s->gpr[index] = regs.name;
	FOR_EACH_GPR(COPY)
#undef COPY
	s->rip = regs.rip;
	s->rflags = regs.rflags;
	return 0;
}

static int set_regs(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err)
{
	struct kvm_regs regs = { .rip = s->rip, .rflags = s->rflags };

#define COPY(index, name) regs.name = s->gpr[index];
	FOR_EACH_GPR(COPY)
#undef COPY
	if (ioctl(v->fd, KVM_SET_REGS, &regs))
		return failed(err, KVM_SET_REGS, "write the registers");
	return 0;
}

static struct vcpu_segment segment_from_kvm(const struct kvm_segment *k)
{
	uint32_t attributes = k->type | (uint32_t)k->s << 4 |
			      (uint32_t)k->dpl << SEGMENT_DPL_SHIFT |
			      (uint32_t)(k->present && !k->unusable) << 7 | (uint32_t)k->avl << 12 |
			      (uint32_t)k->l << 13 | (uint32_t)k->db << 14 | (uint32_t)k->g << 15;

	return (struct vcpu_segment){
		.base = k->base,
		.limit = k->limit,
		.selector = k->selector,
		.attributes = (uint16_t)attributes,
	};
}

static struct kvm_segment segment_to_kvm(const struct vcpu_segment *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attributes & SEGMENT_TYPE,
		.s = !!(s->attributes & SEGMENT_S),
		.dpl = (uint8_t)segment_dpl(s->attributes),
		.present = !!(s->attributes & SEGMENT_P),
		.unusable = !(s->attributes & SEGMENT_P),
		.avl = !!(s->attributes & SEGMENT_AVL),
		.l = !!(s->attributes & SEGMENT_L),
		.db = !!(s->attributes & SEGMENT_DB),
		.g = !!(s->attributes & SEGMENT_G),
	};
}

#define FOR_EACH_SEGMENT(X)                                                                        \
	X(segments[SEG_ES], es)                                                                    \
	X(segments[SEG_CS], cs)                                                                    \
	X(segments[SEG_SS], ss)                                                                    \
	X(segments[SEG_DS], ds)                                                                    \
	X(segments[SEG_FS], fs)                                                                    \
	X(segments[SEG_GS], gs)                                                                    \
	X(tr, tr)                                                                                  \
	X(ldtr, ldt)

static int get_sregs(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err)
{
	struct kvm_sregs2 sregs;

	if (ioctl(v->fd, KVM_GET_SREGS2, &sregs))
		return failed(err, KVM_GET_SREGS2, "read the system registers");
#define COPY(ours, theirs) s->ours = segment_from_kvm(&sregs.theirs);
	FOR_EACH_SEGMENT(COPY)
#undef COPY
	s->gdtr = (struct vcpu_table_register){ sregs.gdt.base, sregs.gdt.limit };
	s->idtr = (struct vcpu_table_register){ sregs.idt.base, sregs.idt.limit };
	s->cr0 = sregs.cr0;
	s->cr2 = sregs.cr2;
	s->cr3 = sregs.cr3;
	s->cr4 = sregs.cr4;
	s->cr8 = sregs.cr8;
	s->efer = sregs.efer;
	s->apic_base = sregs.apic_base;
	if (sregs.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
		memcpy(s->pdptr, sregs.pdptrs, sizeof(s->pdptr));
	return 0;
}

static bool pae_paging(const struct vcpu_state *s)
{
	return s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !(s->efer & EFER_LMA);
}

static int set_sregs(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err)
{
	struct kvm_sregs2 sregs = {
		.gdt = { .base = s->gdtr.base, .limit = s->gdtr.limit },
		.idt = { .base = s->idtr.base, .limit = s->idtr.limit },
		.cr0 = s->cr0,
		.cr2 = s->cr2,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.cr8 = s->cr8,
		.efer = s->efer,
		.apic_base = s->apic_base,
		.flags = pae_paging(s) ? KVM_SREGS2_FLAGS_PDPTRS_VALID : 0,
	};

	memcpy(sregs.pdptrs, s->pdptr, sizeof(s->pdptr));
	if (s->exception_vector == EXCEPTION_PF && s->exception_payload)
		sregs.cr2 = s->exception_payload;
#define COPY(ours, theirs) sregs.theirs = segment_to_kvm(&s->ours);
	FOR_EACH_SEGMENT(COPY)
#undef COPY
	if (ioctl(v->fd, KVM_SET_SREGS2, &sregs))
		return failed(err, KVM_SET_SREGS2, "write the system registers");
	return 0;
}

/* KVM's image has the standard form, and is at least as long as the legacy structure. */
static size_t kvm_image_bytes(const struct kvm_engine *kvm)
{
	return MAX((size_t)kvm->xsave_bytes, sizeof(struct kvm_xsave));
}

static int get_xsave(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err)
{
	const struct kvm_engine *kvm = v->engine;
	size_t bytes = kvm_image_bytes(kvm);
	unsigned long request = kvm->xsave_bytes ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;
	AUTO_FREE struct kvm_xsave *image = calloc(1, bytes);
	struct kvm_xcrs xcrs;

	if (!image)
		return err_errno(err, ENOMEM, "cannot read the vector registers of a vCPU");
	if (ioctl(v->fd, request, image))
		return failed(err, request, "read the vector registers");
	s->xsave_size = cpuid_xsave_size(&kvm->cpuid, cpuid_xcr0_mask(&kvm->cpuid));
	memcpy(s->xsave, image, MIN((size_t)s->xsave_size, bytes));
	if (ioctl(v->fd, KVM_GET_XCRS, &xcrs))
		return failed(err, KVM_GET_XCRS, "read XCR0");
	for (uint32_t i = 0; i < MIN(xcrs.nr_xcrs, (uint32_t)KVM_MAX_XCRS); i++) {
		if (xcrs.xcrs[i].xcr == 0)
			s->xcr0 = xcrs.xcrs[i].value;
	}
	return 0;
}

static int set_xsave(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err)
{
	size_t bytes = kvm_image_bytes(v->engine);
	AUTO_FREE struct kvm_xsave *image = calloc(1, bytes);
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = s->xcr0 } };
	uint64_t components;

	if (!image)
		return err_errno(err, ENOMEM, "cannot write the vector registers of a vCPU");
	if (le64_get(s->xsave + XSAVE_COMP_BV))
		return err_set(err, EINVAL, "the XSAVE image is in compacted form");
	memcpy(image, s->xsave, MIN((size_t)s->xsave_size, bytes));
	/* The legacy region counts even where a processor without XSAVE left no word of it. */
	components = le64_get(s->xsave + XSAVE_STATE_BV) | XCR0_X87 | XCR0_SSE;
	le64_put((uint8_t *)image + XSAVE_STATE_BV, components);
	if (ioctl(v->fd, KVM_SET_XCRS, &xcrs) && s->xcr0 != XCR0_X87)
		return failed(err, KVM_SET_XCRS, "write XCR0");
	if (ioctl(v->fd, KVM_SET_XSAVE, image))
		return failed(err, KVM_SET_XSAVE, "write the vector registers");
	return 0;
}

struct msr_buffer {
	struct kvm_msrs header;
	struct kvm_msr_entry entries[VCPU_MSRS_MAX + 2];
};

static void add_msr(struct msr_buffer *buffer, uint32_t index, uint64_t value)
{
	buffer->header.entries[buffer->header.nmsrs++] =
		(struct kvm_msr_entry){ .index = index, .data = value };
}

/* What KVM_GET_MSRS fails on is a register that this processor model does not have. */
void kvm_state_probe_msrs(struct kvm_vcpu *v)
{
	struct kvm_engine *kvm = v->engine;

	for (unsigned row = 0; row < msr_table_count && kvm->msr_count < VCPU_MSRS_MAX; row++) {
		struct msr_buffer buffer = { 0 };

		add_msr(&buffer, msr_table[row].index, 0);
		if (ioctl(v->fd, KVM_GET_MSRS, &buffer) == 1)
			kvm->msr_rows[kvm->msr_count++] = row;
	}
}

/* One register apart from the table. */
static int get_msr(struct kvm_vcpu *v, uint32_t index, uint64_t *ret_value)
{
	struct msr_buffer buffer = { 0 };

	add_msr(&buffer, index, 0);
	if (ioctl(v->fd, KVM_GET_MSRS, &buffer) != 1)
		return -EIO;
	*ret_value = buffer.header.entries[0].data;
	return 0;
}

static int set_msr(struct kvm_vcpu *v, uint32_t index, uint64_t value)
{
	struct msr_buffer buffer = { 0 };

	add_msr(&buffer, index, value);
	return ioctl(v->fd, KVM_SET_MSRS, &buffer) == 1 ? 0 : -EINVAL;
}

static int get_msrs(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err)
{
	const struct kvm_engine *kvm = v->engine;
	struct msr_buffer buffer = { 0 };

	for (unsigned i = 0; i < kvm->msr_count; i++)
		add_msr(&buffer, msr_table[kvm->msr_rows[i]].index, 0);
	if (ioctl(v->fd, KVM_GET_MSRS, &buffer) != (int)kvm->msr_count)
		return failed(err, KVM_GET_MSRS, "read the MSRs");
	for (unsigned i = 0; i < kvm->msr_count; i++)
		s->msrs[i] = (struct vcpu_msr){ buffer.header.entries[i].index,
						buffer.header.entries[i].data };
	s->msr_count = kvm->msr_count;
	if (get_msr(v, MSR_TSC, &s->tsc))
		return failed(err, KVM_GET_MSRS, "read the time stamp counter");
	/* Not there when the model has no deadline timer. */
	get_msr(v, MSR_TSC_DEADLINE, &s->tsc_deadline);
	return 0;
}

static const struct vcpu_msr *find_msr(const struct vcpu_state *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->msr_count; i++) {
		if (s->msrs[i].index == index)
			return &s->msrs[i];
	}
	return NULL;
}

static bool saved_here(const struct kvm_engine *kvm, uint32_t index)
{
	for (unsigned i = 0; i < kvm->msr_count; i++) {
		if (msr_table[kvm->msr_rows[i]].index == index)
			return true;
	}
	return false;
}

static uint64_t reset_value(uint32_t index)
{
	for (unsigned row = 0; row < msr_table_count; row++) {
		if (msr_table[row].index == index)
			return msr_table[row].reset;
	}
	return 0;
}

/* A register that is not here may only hold what it would hold after reset. */
static int check_msrs(const struct kvm_engine *kvm, const struct vcpu_state *s, struct err *err)
{
	for (uint32_t i = 0; i < s->msr_count; i++) {
		const struct vcpu_msr *msr = &s->msrs[i];

		if (!saved_here(kvm, msr->index) && msr->value &&
		    msr->value != reset_value(msr->index))
			return err_set(err, EINVAL, "this CPU model has no MSR 0x%x", msr->index);
	}
	return 0;
}

static int set_msrs(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err)
{
	const struct kvm_engine *kvm = v->engine;
	struct msr_buffer buffer = { 0 };
	int done;

	add_msr(&buffer, MSR_TSC, s->tsc);
	for (unsigned i = 0; i < kvm->msr_count; i++) {
		const struct msr_row *row = &msr_table[kvm->msr_rows[i]];
		const struct vcpu_msr *msr = find_msr(s, row->index);

		add_msr(&buffer, row->index, msr ? msr->value : row->reset);
	}
	done = ioctl(v->fd, KVM_SET_MSRS, &buffer);
	if (done < 0)
		return failed(err, KVM_SET_MSRS, "write the MSRs");
	if ((uint32_t)done < buffer.header.nmsrs)
		return err_set(err, EINVAL, "MSR 0x%x of a vCPU does not take the value 0x%llx",
			       buffer.header.entries[done].index,
			       (unsigned long long)buffer.header.entries[done].data);
	return 0;
}

static int get_events(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err)
{
	struct kvm_vcpu_events events;

	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events))
		return failed(err, KVM_GET_VCPU_EVENTS, "read the events");
	/* Without KVM_CAP_EXCEPTION_PAYLOAD, CR2 and DR6 already hold what goes with it. */
	s->exception_vector = events.exception.injected ? events.exception.nr : VCPU_NO_VECTOR;
	s->exception_has_error = events.exception.injected && events.exception.has_error_code;
	s->exception_error = s->exception_has_error ? events.exception.error_code : 0;
	s->interrupt_vector = events.interrupt.injected ? events.interrupt.nr : VCPU_NO_VECTOR;
	s->interrupt_soft = events.interrupt.injected && events.interrupt.soft;
	s->interrupt_shadow = events.interrupt.shadow;
	s->nmi_injected = events.nmi.injected;
	s->nmi_pending = events.nmi.pending;
	s->nmi_masked = events.nmi.masked;
	s->smm = events.smi.smm;
	s->smi_pending = events.smi.pending;
	s->sipi_vector = (uint8_t)events.sipi_vector;
	return 0;
}

static int set_events(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err)
{
	bool exception = s->exception_vector != VCPU_NO_VECTOR;
	bool interrupt = s->interrupt_vector != VCPU_NO_VECTOR;
	struct kvm_vcpu_events events = {
		.exception = {
			.injected = exception,
			.nr = exception ? s->exception_vector : 0,
			.has_error_code = exception && s->exception_has_error,
			.error_code = exception ? s->exception_error : 0,
		},
		.interrupt = {
			.injected = interrupt,
			.nr = interrupt ? s->interrupt_vector : 0,
			.soft = interrupt && s->interrupt_soft,
			.shadow = s->interrupt_shadow ? KVM_X86_SHADOW_INT_STI : 0,
		},
		.nmi = {
			.injected = s->nmi_injected,
			.pending = s->nmi_pending,
			.masked = s->nmi_masked,
		},
		.sipi_vector = s->sipi_vector,
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
			 KVM_VCPUEVENT_VALID_SIPI_VECTOR,
		.smi = { .smm = s->smm, .pending = s->smi_pending },
	};

	if (v->engine->smm)
		events.flags |= KVM_VCPUEVENT_VALID_SMM;
	else if (s->smm || s->smi_pending)
		return err_set(err, ENOTSUP, "the kernel's KVM has no system management mode");
	if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events))
		return failed(err, KVM_SET_VCPU_EVENTS, "write the events");
	return 0;
}

static int get_debug(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err)
{
	struct kvm_debugregs regs;

	if (ioctl(v->fd, KVM_GET_DEBUGREGS, &regs))
		return failed(err, KVM_GET_DEBUGREGS, "read the debug registers");
	memcpy(s->dr, regs.db, sizeof(s->dr));
	s->dr6 = regs.dr6;
	s->dr7 = regs.dr7;
	return 0;
}

static int set_debug(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err)
{
	struct kvm_debugregs regs = { .dr6 = s->dr6, .dr7 = s->dr7 };

	if (s->exception_vector == EXCEPTION_DB)
		regs.dr6 |= s->exception_payload;
	memcpy(regs.db, s->dr, sizeof(s->dr));
	if (ioctl(v->fd, KVM_SET_DEBUGREGS, &regs))
		return failed(err, KVM_SET_DEBUGREGS, "write the debug registers");
	return 0;
}

static int get_lapic(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err)
{
	struct kvm_lapic_state lapic;

	_Static_assert(sizeof(lapic.regs) == sizeof(s->lapic), "KVM_APIC_REG_SIZE");
	if (ioctl(v->fd, KVM_GET_LAPIC, &lapic))
		return failed(err, KVM_GET_LAPIC, "read the local APIC");
	memcpy(s->lapic, lapic.regs, sizeof(s->lapic));
	return 0;
}

static int set_lapic(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err)
{
	struct kvm_lapic_state lapic;

	memcpy(lapic.regs, s->lapic, sizeof(s->lapic));
	if (ioctl(v->fd, KVM_SET_LAPIC, &lapic))
		return failed(err, KVM_SET_LAPIC, "write the local APIC");
	if (s->tsc_deadline && set_msr(v, MSR_TSC_DEADLINE, s->tsc_deadline))
		return err_set(err, EINVAL, "this CPU model has no deadline timer");
	return 0;
}

static const struct {
	uint32_t kvm;
	enum vcpu_activity ours;
} activities[] = {
	{ KVM_MP_STATE_RUNNABLE, VCPU_RUNNING },
	{ KVM_MP_STATE_UNINITIALIZED, VCPU_UNINITIALIZED },
	{ KVM_MP_STATE_INIT_RECEIVED, VCPU_WAIT_FOR_SIPI },
	{ KVM_MP_STATE_HALTED, VCPU_HALTED },
	{ KVM_MP_STATE_SIPI_RECEIVED, VCPU_SIPI_RECEIVED },
};

static int get_activity(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err)
{
	struct kvm_mp_state mp;

	if (ioctl(v->fd, KVM_GET_MP_STATE, &mp))
		return failed(err, KVM_GET_MP_STATE, "read the activity");
	s->activity = VCPU_RUNNING;
	for (size_t i = 0; i < ARRAY_SIZE(activities); i++) {
		if (activities[i].kvm == mp.mp_state)
			s->activity = (uint8_t)activities[i].ours;
	}
	/* KVM knows no such state: this engine keeps the vCPU from running again. */
	if (v->shutdown)
		s->activity = VCPU_SHUTDOWN_STATE;
	return 0;
}

static int set_activity(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	for (size_t i = 0; i < ARRAY_SIZE(activities); i++) {
		if (activities[i].ours == s->activity)
			mp.mp_state = activities[i].kvm;
	}
	if (ioctl(v->fd, KVM_SET_MP_STATE, &mp))
		return failed(err, KVM_SET_MP_STATE, "write the activity");
	v->shutdown = s->activity == VCPU_SHUTDOWN_STATE;
	return 0;
}

typedef int (*get_fn)(struct kvm_vcpu *v, struct vcpu_state *s, struct err *err);
typedef int (*set_fn)(struct kvm_vcpu *v, const struct vcpu_state *s, struct err *err);

static const get_fn getters[] = {
	get_activity, get_regs, get_sregs, get_xsave, get_msrs, get_events, get_debug, get_lapic,
};

static const set_fn setters[] = {
	set_sregs, set_regs, set_xsave, set_msrs, set_lapic, set_debug, set_activity, set_events,
};

int kvm_vcpu_get(struct vcpu *vcpu, struct vcpu_state *ret_state, struct err *err)
{
	AUTO_FREE struct vcpu_state *state = calloc(1, sizeof(*state));
	int rc = 0;

	if (!state)
		return err_errno(err, ENOMEM, "cannot read the state of vCPU %u", vcpu->index);
	for (size_t i = 0; i < ARRAY_SIZE(getters) && !rc; i++)
		rc = getters[i](to_kvm_vcpu(vcpu), state, err);
	if (rc)
		return rc;
	*ret_state = *state;
	return 0;
}

static int check_state(const struct vcpu_state *s, struct err *err)
{
	if (s->msr_count > VCPU_MSRS_MAX)
		return err_set(err, EINVAL, "state has %u MSRs", s->msr_count);
	if (s->xsave_size > VCPU_XSAVE_MAX)
		return err_set(err, EINVAL, "state has an XSAVE image of %u bytes", s->xsave_size);
	if (s->activity > VCPU_SHUTDOWN_STATE)
		return err_set(err, EINVAL, "state has the activity %u", s->activity);
	if (s->exception_vector != VCPU_NO_VECTOR && s->exception_vector > 31)
		return err_set(err, EINVAL, "state has the exception %u", s->exception_vector);
	return 0;
}

int kvm_vcpu_set(struct vcpu *vcpu, const struct vcpu_state *state, struct err *err)
{
	struct kvm_vcpu *v = to_kvm_vcpu(vcpu);
	int rc = check_state(state, err);

	if (!rc)
		rc = check_msrs(v->engine, state, err);
	for (size_t i = 0; i < ARRAY_SIZE(setters) && !rc; i++)
		rc = setters[i](v, state, err);
	return rc;
}
