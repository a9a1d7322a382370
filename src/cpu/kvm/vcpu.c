/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a vCPU and its run loop.
 *
 * Whoever wants a vCPU's attention sets a flag (kicked, pic_line), then run->immediate_exit, then
 * sends its thread a signal whose handler does nothing. The loop clears immediate_exit before it
 * looks at the flags: so a request made at any moment either is seen by the loop, or finds
 * immediate_exit standing at the entry to KVM_RUN, or interrupts it.
 *
 * KVM_RUN must be entered once more after an exit for port or memory access, because only that
 * completes the instruction. With immediate_exit it then stops before the next one; this is how
 * vcpu_run() leaves with complete state.
 */
#include "cpu/kvm/kvm_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"

#define KICK_SIGNAL SIGUSR1

#define TSC_RATE_LEAF 0x40000010 /* EAX in kHz; 0 in a model that does not know the host's */

static void do_nothing(int number)
{
	(void)number;
}

void kvm_vcpu_signal_init(void)
{
	struct sigaction action = { .sa_handler = do_nothing };

	sigaction(KICK_SIGNAL, &action, NULL);
}

static int set_cpuid(struct kvm_vcpu *v, struct err *err)
{
	const struct cpuid_table *table = &v->engine->cpuid;
	const struct cpuid_vcpu self = { .apic_id = v->vcpu.index };
	int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
	AUTO_FREE struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + table->count * sizeof(cpuid->entries[0]));

	if (!cpuid)
		return err_errno(err, ENOMEM, "cannot set the CPUID of vCPU %u", v->vcpu.index);
	for (uint32_t i = 0; i < table->count; i++) {
		const struct cpuid_entry *row = &table->entries[i];
		struct cpuid_regs regs = cpuid_for_vcpu(table, row->leaf, row->subleaf, &self);

		if (row->leaf == TSC_RATE_LEAF && !regs.eax && khz > 0)
			regs.eax = (uint32_t)khz;
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
			.function = row->leaf,
			.index = row->subleaf,
			.flags = row->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = regs.eax,
			.ebx = regs.ebx,
			.ecx = regs.ecx,
			.edx = regs.edx,
		};
	}
	if (ioctl(v->fd, KVM_SET_CPUID2, cpuid))
		return kvm_err(err, errno, KVM_SET_CPUID2, "cannot set the CPUID of vCPU %u",
			       v->vcpu.index);
	return 0;
}

static int map_shared(struct kvm_vcpu *v, struct err *err)
{
	const struct kvm_engine *kvm = v->engine;
	size_t ring_bytes = kvm->dirty_ring_entries * sizeof(*v->dirty_ring);
	void *page = mmap(NULL, kvm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);

	if (page == MAP_FAILED)
		return err_errno(err, errno, "cannot map the pages of vCPU %u", v->vcpu.index);
	v->run = page;
	if (!ring_bytes)
		return 0;
	page = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		    KVM_DIRTY_LOG_PAGE_OFFSET * (off_t)PAGE_SIZE);
	if (page == MAP_FAILED)
		return err_errno(err, errno, "cannot map the dirty ring of vCPU %u", v->vcpu.index);
	v->dirty_ring = page;
	return 0;
}

static int set_tsc_rate(struct kvm_vcpu *v, struct err *err)
{
	uint64_t khz = v->engine->tsc_khz;
	long now;

	if (!khz)
		return 0;
	now = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
	if (now > 0 && (uint64_t)now == khz)
		return 0;
	if (ioctl(v->fd, KVM_SET_TSC_KHZ, khz))
		return kvm_err(err, errno, KVM_SET_TSC_KHZ,
			       "cannot run the time stamp counter at %llu kHz",
			       (unsigned long long)khz);
	return 0;
}

static int reset(struct kvm_vcpu *v, struct err *err)
{
	const struct cpuid_table *cpuid = &v->engine->cpuid;
	AUTO_FREE struct vcpu_state *state = calloc(1, sizeof(*state));

	if (!state)
		return err_errno(err, ENOMEM, "cannot reset vCPU %u", v->vcpu.index);
	vcpu_state_reset(state, v->vcpu.index, cpuid_query(cpuid, 1, 0).eax,
			 cpuid_xsave_size(cpuid, cpuid_xcr0_mask(cpuid)));
	return kvm_vcpu_set(&v->vcpu, state, err);
}

int kvm_vcpu_new(struct vcpu **ret_vcpu, struct engine *engine, unsigned index, struct err *err)
{
	struct kvm_engine *kvm = to_kvm_engine(engine);
	struct kvm_vcpu *v = calloc(1, sizeof(*v));
	int rc = 0;

	if (!v)
		return err_errno(err, ENOMEM, "cannot create vCPU %u", index);
	v->vcpu.ops = &kvm_engine_ops;
	v->vcpu.index = index;
	v->engine = kvm;
	v->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (v->fd < 0)
		rc = kvm_err(err, errno, KVM_CREATE_VCPU, "cannot create vCPU %u", index);
	if (!rc)
		rc = map_shared(v, err);
	if (!rc)
		rc = set_tsc_rate(v, err);
	if (!rc)
		rc = set_cpuid(v, err);
	if (!rc && !kvm->msr_count)
		kvm_state_probe_msrs(v);
	if (!rc)
		rc = reset(v, err);
	if (rc) {
		kvm_vcpu_free(&v->vcpu);
		return rc;
	}
	kvm->vcpus[index] = v;
	*ret_vcpu = &v->vcpu;
	return 0;
}

void kvm_vcpu_free(struct vcpu *vcpu)
{
	struct kvm_vcpu *v = vcpu ? to_kvm_vcpu(vcpu) : NULL;

	if (!v)
		return;
	v->engine->vcpus[vcpu->index] = NULL;
	if (v->dirty_ring)
		munmap(v->dirty_ring, v->engine->dirty_ring_entries * sizeof(*v->dirty_ring));
	if (v->run)
		munmap(v->run, v->engine->run_bytes);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

void kvm_vcpu_interrupt(struct kvm_vcpu *v)
{
	int tid;

	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	tid = atomic_load(&v->tid);
	if (tid)
		syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

void kvm_vcpu_kick(struct vcpu *vcpu)
{
	struct kvm_vcpu *v = to_kvm_vcpu(vcpu);

	atomic_store(&v->kicked, true);
	kvm_vcpu_interrupt(v);
}

/* Once, on the thread that runs the vCPU. */
static void prepare_thread(struct kvm_vcpu *v)
{
	sigset_t set;

	atomic_store(&v->tid, gettid());
	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	v->thread_ready = true;
}

/* Takes the PIC's interrupt if the guest takes it now, or else asks to be told when it would. */
static void inject_pic(struct kvm_vcpu *v)
{
	const struct engine_platform *platform = v->engine->platform;

	if (atomic_load(&v->pic_line) && v->run->ready_for_interrupt_injection) {
		int vector = platform->pic_acknowledge(platform->ctx);
		struct kvm_interrupt interrupt = { .irq = (uint32_t)vector };

		if (vector >= 0)
			ioctl(v->fd, KVM_INTERRUPT, &interrupt);
	}
	v->run->request_interrupt_window = atomic_load(&v->pic_line);
}

static void count_exit(struct kvm_vcpu *v)
{
	unsigned reason = MIN(v->run->exit_reason, KVM_EXIT_REASONS - 1u);

	/* This thread alone writes it. */
	atomic_store_explicit(&v->exits[reason],
			      atomic_load_explicit(&v->exits[reason], memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

enum vcpu_exit kvm_vcpu_run(struct vcpu *vcpu)
{
	struct kvm_vcpu *v = to_kvm_vcpu(vcpu);
	bool leaving = false;

	if (!v->thread_ready)
		prepare_thread(v);
	v->debug.stop = (struct debug_stop){ 0 };
	while (!v->shutdown) {
		__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		leaving |= atomic_exchange(&v->kicked, false);
		if (leaving)
			v->run->immediate_exit = 1;
		else if (vcpu->index == 0)
			inject_pic(v);
		if (ioctl(v->fd, KVM_RUN, 0) < 0) {
			int error = errno;

			/* EAGAIN: an AP saw its INIT or SIPI. */
			if (error != EINTR && error != EAGAIN) {
				kvm_exit_run_failed(v, error);
				return VCPU_EXIT_ERROR;
			}
			if (leaving && error == EINTR)
				return VCPU_EXIT_KICKED;
			continue;
		}
		count_exit(v);
		switch (kvm_exit_handle(v)) {
		case KVM_GO_ON:
			break;
		case KVM_STOP_SHUTDOWN:
			v->shutdown = true;
			break;
		case KVM_STOP_DEBUG:
			return VCPU_EXIT_DEBUG;
		case KVM_STOP_ERROR:
			return VCPU_EXIT_ERROR;
		}
	}
	return VCPU_EXIT_SHUTDOWN;
}
