/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM engine's own parts. One file each: host.c (what the kernel can do), vm.c (the machine),
 * irq.c (messages and event descriptors), dirty.c (written pages), vcpu.c (life and run loop of a
 * vCPU), exit.c (why it came back), state.c (registers in and out), debug.c (a debugger's wishes),
 * explain.c (words).
 *
 * Local APICs are in the kernel; IOAPIC and PIC are the machine's ("split irqchip").
 * Spec: Linux Documentation/virt/kvm/api.rst.
 */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "cpu/kvm/kvm.h"
#include "x86/msr.h"

#define KVM_EXIT_REASONS 64 /* counters; reasons above share the last */

/*
 * Interrupt routes. KVM reports the end of an interrupt only for vectors that a route of the first
 * KVM_LEVEL_ROUTES says are level-triggered: two a vector, for both widths of a broadcast address.
 * The kernel counts these routes in a byte.
 */
#define KVM_LEVEL_VECTORS 127
#define KVM_LEVEL_ROUTES  (2 * KVM_LEVEL_VECTORS)
#define KVM_IRQFDS_MAX    2048

/* A memory slot: a part of a region, as large as the kernel takes. */
struct kvm_slot {
	unsigned region;
	uint64_t offset, size; /* bytes in the region */
};

#define KVM_SLOTS_MAX  32
#define KVM_SLOT_BYTES (4 * TIB)

struct kvm_irqfd_route {
	int fd; /* -1: free */
	struct msi_message message;
};

/* A breakpoint instruction in the guest's memory; while no vCPU runs. */
struct kvm_patch {
	uint64_t linear, gpa;
	unsigned users; /* vCPUs that have it; 0: free */
	uint8_t old;    /* the byte in its place */
};

#define KVM_PATCHES_MAX 128

struct kvm_engine {
	struct engine engine; /* first */
	int kvm_fd, vm_fd;
	struct memory *memory;
	const struct engine_platform *platform;
	struct cpuid_table cpuid;
	uint64_t tsc_khz; /* 0: the host's */
	unsigned vcpu_count;
	struct kvm_vcpu **vcpus; /* vcpu_count of them, NULL while not created */
	size_t run_bytes;        /* of the shared page(s) of a vCPU */
	uint32_t xsave_bytes;    /* what KVM_GET_XSAVE2 returns; 0: KVM_GET_XSAVE only */
	bool smm;
	struct kvm_patch patches[KVM_PATCHES_MAX];
	uint32_t debug_block_irq; /* KVM_GUESTDBG_BLOCKIRQ where the kernel has it */

	/* Rows of msr_table that this host saves with this CPUID; fixed by the first vCPU. */
	unsigned msr_count;
	unsigned msr_rows[VCPU_MSRS_MAX];

	struct kvm_slot slots[KVM_SLOTS_MAX];
	unsigned slot_count;

	/* Guards routes and the kernel's copy of them. */
	pthread_mutex_t routes_lock;
	struct kvm_irqfd_route *irqfds;          /* KVM_IRQFDS_MAX of them */
	struct kvm_irq_routing *routing;         /* built anew at each change */
	uint8_t level_routes[KVM_LEVEL_VECTORS]; /* the vector; 0: free */
	unsigned level_next;
	_Atomic uint64_t level_vectors[4]; /* a bit a vector: it has its routes */

	/* Guards the dirty rings' indices and the bitmap buffer. */
	pthread_mutex_t dirty_lock;
	unsigned dirty_ring_entries; /* a power of two; 0: bitmaps */
	bool dirty_logging;
	uint64_t *dirty_bitmap; /* for the largest slot while logging */
};

#define KVM_DEBUG_REGISTERS 4

/* What a debugger outside of the guest wants. */
struct kvm_debug {
	struct kvm_guest_debug control;
	bool step;
	unsigned used;                                  /* debug registers */
	struct debug_point points[KVM_DEBUG_REGISTERS]; /* what each is for */
	bool patched[KVM_PATCHES_MAX];                  /* whose patches of the engine */
	struct debug_stop stop;
};

struct kvm_vcpu {
	struct vcpu vcpu; /* first */
	struct kvm_engine *engine;
	int fd;
	struct kvm_run *run;
	struct kvm_dirty_gfn *dirty_ring; /* NULL: none */
	uint32_t dirty_next;              /* first entry not harvested; guarded by dirty_lock */
	bool thread_ready;                /* its thread takes the kick signal */
	bool shutdown;                    /* after a triple fault, until a state is set */
	atomic_int tid;                   /* of the thread in vcpu_run(); 0: never ran */
	atomic_bool kicked;
	atomic_bool pic_line; /* vCPU 0 only */
	_Atomic uint64_t exits[KVM_EXIT_REASONS];
	struct kvm_debug debug;
};

static inline struct kvm_engine *to_kvm_engine(struct engine *engine)
{
	return (struct kvm_engine *)engine;
}

static inline struct kvm_vcpu *to_kvm_vcpu(struct vcpu *vcpu)
{
	return (struct kvm_vcpu *)vcpu;
}

/* host.c */
int kvm_probe(struct err *err);
int kvm_host_open(int *ret_fd, struct err *err); /* /dev/kvm, checked; caller closes */
int kvm_supported_cpuid(struct cpuid_table *ret_table, struct err *err);
bool kvm_msr_supported(uint32_t index);

/* vm.c */
int kvm_open(struct engine **ret_engine, const struct engine_config *config, struct err *err);
void kvm_free(struct engine *engine);
int kvm_map_memory(struct engine *engine, struct err *err);
void kvm_clock_paused(struct engine *engine);
json_t *kvm_stats(struct engine *engine);

/* irq.c */
int kvm_irq_init(struct kvm_engine *kvm, struct err *err);
void kvm_irq_fini(struct kvm_engine *kvm);
void kvm_pic_line(struct engine *engine, bool level);
void kvm_msi(struct engine *engine, struct msi_message message);
void kvm_nmi(struct engine *engine, unsigned vcpu);
int kvm_ioeventfd(struct engine *engine, enum engine_bus bus, uint64_t address, unsigned size,
		  int fd, bool on);
int kvm_irqfd(struct engine *engine, int fd, const struct msi_message *message);

/* dirty.c */
int kvm_dirty_log(struct engine *engine, bool on, struct err *err);
int kvm_dirty_collect(struct engine *engine, struct err *err);
/* Empties one vCPU's full ring on its own thread. 0 or a negative errno. */
int kvm_dirty_ring_full(struct kvm_vcpu *v);
/* Tells the kernel about one slot, with or without a log of writes. */
int kvm_slot_set(struct kvm_engine *kvm, unsigned slot, bool log, struct err *err);

/* vcpu.c */
int kvm_vcpu_new(struct vcpu **ret_vcpu, struct engine *engine, unsigned index, struct err *err);
void kvm_vcpu_free(struct vcpu *vcpu);
enum vcpu_exit kvm_vcpu_run(struct vcpu *vcpu);
void kvm_vcpu_kick(struct vcpu *vcpu);
/* Makes a KVM_RUN in progress, or the next, come back; without telling the caller of vcpu_run(). */
void kvm_vcpu_interrupt(struct kvm_vcpu *v);
/* The handler that makes the signal of kvm_vcpu_interrupt() harmless; the process needs it once. */
void kvm_vcpu_signal_init(void);

/* exit.c: what vcpu_run() does about run->exit_reason. */
enum kvm_next { KVM_GO_ON, KVM_STOP_SHUTDOWN, KVM_STOP_DEBUG, KVM_STOP_ERROR };
enum kvm_next kvm_exit_handle(struct kvm_vcpu *v);
/* After KVM_RUN failed with this (positive) errno for good: says so in the log. */
void kvm_exit_run_failed(struct kvm_vcpu *v, int error);
const char *kvm_exit_name(unsigned reason); /* NULL: not known */

/* state.c */
int kvm_vcpu_get(struct vcpu *vcpu, struct vcpu_state *ret_state, struct err *err);
int kvm_vcpu_set(struct vcpu *vcpu, const struct vcpu_state *state, struct err *err);
/* Finds out which MSRs can be saved; needs a vCPU with its CPUID set. */
void kvm_state_probe_msrs(struct kvm_vcpu *v);

/* debug.c */
int kvm_vcpu_debug(struct vcpu *vcpu, const struct vcpu_debug *debug);
struct debug_stop kvm_vcpu_debug_stop(struct vcpu *vcpu);
enum kvm_next kvm_debug_exit(struct kvm_vcpu *v);

/* explain.c */
/* As err_errno() about a failed ioctl, with what the errno means for this request as the hint. */
int kvm_err(struct err *err, int error, unsigned long request, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* Why the processor refused to enter the guest; `text` takes the words. */
void kvm_explain_entry_failure(uint64_t reason, char *text, size_t bytes);
const char *kvm_explain_internal_error(uint32_t suberror);
