/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: a page of code between loading and storing of all registers.
 *
 * The register block is at a fixed address below 2 GiB, so that it can be reached when no register
 * is free. A fault comes as a signal on a stack of its own; the handler takes the registers from
 * the frame and goes on behind the instruction.
 */
#include "sandbox.h"

#include <assert.h>
#include <errno.h>

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/macros.h"
#include "x86/cpuid.h"

#define BLOCK_ADDRESS 0x10020000

/* In the page of code, for 32-bit code: ways in and out. */
#define FAR_JUMP    0x100u
#define FAR_POINTER 0x110u
#define FAR_RETURN  0x120u
#define USER_CS     0x33u
#define USER_CS32   0x23u
#define USER_DS     0x2bu
#define SIGNALS_MAX 32
#define STRING_(x)  #x
#define STRING(x)   STRING_(x)

/* Of XCR0: what is above vector registers (tiles, 8 KiB of them) no instruction here has to do with. */
#define COMPONENTS      0xe7
#define COMPONENT_COUNT 8

/* At BLOCK_ADDRESS. The assembly below knows the offsets. */
struct block {
	uint64_t gpr[GPR_COUNT];                  /* 0 */
	uint64_t rflags;                          /* 128 */
	uint64_t target;                          /* 136 */
	uint64_t exit;                            /* 144 */
	uint64_t host_rsp;                        /* 152 */
	uint32_t host_mxcsr;                      /* 160 */
	uint16_t host_fcw;                        /* 164 */
	alignas(64) uint8_t xsave[SANDBOX_XSAVE]; /* 192 */
	/* Written by the signal handler. */
	uint64_t recover, rip, cr2;
	uint32_t error;
	struct cpuid_regs
		components[COMPONENT_COUNT]; /* of the host's image; eax: bytes, ebx: where */
	uint8_t vector;
	struct sigaction others[SIGNALS_MAX]; /* handlers for faults elsewhere, by signal */
};

static_assert(offsetof(struct block, xsave) == 192, "the assembly knows");

struct sandbox {
	struct block *block;
	uint8_t *code_write; /* the code page, writable */
	void *stack;         /* for signals */
};

void native_sandbox_enter(void);
extern const char sandbox_exit[], sandbox_recover[];

#define B(offset) "(" STRING(BLOCK_ADDRESS) "+" #offset ")"

/* clang-format off */
__asm__(
	".pushsection .text\n"
	".globl native_sandbox_enter, sandbox_exit, sandbox_recover\n"
	"native_sandbox_enter:\n"
	"\tpush %rbx\n"
	"\tpush %rbp\n"
	"\tpush %r12\n"
	"\tpush %r13\n"
	"\tpush %r14\n"
	"\tpush %r15\n"
	"\tmov %rsp, " B(152) "\n"
	"\tstmxcsr " B(160) "\n"
	"\tfnstcw " B(164) "\n"
	"\tmov $" STRING(COMPONENTS) ", %eax\n"
	"\txor %edx, %edx\n"
	"\txrstor64 " B(192) "\n"
	"\tpushq " B(128) "\n"
	"\tpopfq\n"
	"\tmov " B(0) ", %rax\n"
	"\tmov " B(8) ", %rcx\n"
	"\tmov " B(16) ", %rdx\n"
	"\tmov " B(24) ", %rbx\n"
	"\tmov " B(32) ", %rsp\n"
	"\tmov " B(40) ", %rbp\n"
	"\tmov " B(48) ", %rsi\n"
	"\tmov " B(56) ", %rdi\n"
	"\tmov " B(64) ", %r8\n"
	"\tmov " B(72) ", %r9\n"
	"\tmov " B(80) ", %r10\n"
	"\tmov " B(88) ", %r11\n"
	"\tmov " B(96) ", %r12\n"
	"\tmov " B(104) ", %r13\n"
	"\tmov " B(112) ", %r14\n"
	"\tmov " B(120) ", %r15\n"
	"\tjmp *" B(136) "\n"
	"sandbox_exit:\n"
	"\tmov %rax, " B(0) "\n"
	"\tmov %rcx, " B(8) "\n"
	"\tmov %rdx, " B(16) "\n"
	"\tmov %rbx, " B(24) "\n"
	"\tmov %rsp, " B(32) "\n"
	"\tmov %rbp, " B(40) "\n"
	"\tmov %rsi, " B(48) "\n"
	"\tmov %rdi, " B(56) "\n"
	"\tmov %r8, " B(64) "\n"
	"\tmov %r9, " B(72) "\n"
	"\tmov %r10, " B(80) "\n"
	"\tmov %r11, " B(88) "\n"
	"\tmov %r12, " B(96) "\n"
	"\tmov %r13, " B(104) "\n"
	"\tmov %r14, " B(112) "\n"
	"\tmov %r15, " B(120) "\n"
	"\tmov " B(152) ", %rsp\n"
	"\tpushfq\n"
	"\tpopq " B(128) "\n"
	"\tmov $" STRING(COMPONENTS) ", %eax\n"
	"\txor %edx, %edx\n"
	"\txsave64 " B(192) "\n"
	"sandbox_recover:\n"
	"\tmov " B(152) ", %rsp\n"
	"\tcld\n"
	"\tfninit\n"
	"\tfldcw " B(164) "\n"
	"\tldmxcsr " B(160) "\n"
	"\tvzeroupper\n"
	"\tpop %r15\n"
	"\tpop %r14\n"
	"\tpop %r13\n"
	"\tpop %r12\n"
	"\tpop %rbp\n"
	"\tpop %rbx\n"
	"\tret\n"
	".popsection\n");
/* clang-format on */

static void take_registers(struct block *block, const greg_t *regs)
{
	static const uint8_t order[GPR_COUNT] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};

	for (unsigned i = 0; i < GPR_COUNT; i++)
		block->gpr[i] = (uint64_t)regs[order[i]];
	block->rflags = (uint64_t)regs[REG_EFL];
	block->rip = (uint64_t)regs[REG_RIP];
	block->cr2 = (uint64_t)regs[REG_CR2];
	block->error = (uint32_t)regs[REG_ERR];
	block->vector = (uint8_t)regs[REG_TRAPNO];
}

/* What lies between components is whatever was on the signal's stack. */
static void take_components(struct block *block, const uint8_t *frame)
{
	for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
		const struct cpuid_regs *component = &block->components[i];

		memcpy(block->xsave + component->ebx, frame + component->ebx, component->eax);
	}
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	struct block *block = (struct block *)BLOCK_ADDRESS;
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;

	if (regs[REG_RIP] >> 12 != SANDBOX_CODE >> 12 || info->si_code <= 0) {
		/* Not in the sandbox: the interpreter's thunks have their own handler. */
		if (block->others[number].sa_flags & SA_SIGINFO)
			block->others[number].sa_sigaction(number, info, context);
		else
			signal(number, SIG_DFL);
		return;
	}
	take_registers(block, regs);
	take_components(block, (const uint8_t *)uc->uc_mcontext.fpregs);
	regs[REG_RIP] = (greg_t)block->recover;
	regs[REG_CSGSFS] = (greg_t)bits_set((uint64_t)regs[REG_CSGSFS], 0, 16, USER_CS);
	regs[REG_EFL] &= ~(greg_t)0x400;
}

static void *map_fixed(uintptr_t address, size_t size, int protection)
{
	return mmap((void *)address, size, protection,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static int map_all(struct sandbox *s)
{
	int fd = memfd_create("sandbox", MFD_CLOEXEC);
	int protection = PROT_READ | PROT_WRITE;

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		return -errno;
	s->code_write = mmap(NULL, 4096, protection, MAP_SHARED, fd, 0);
	if (s->code_write == MAP_FAILED ||
	    mmap((void *)SANDBOX_CODE, 4096, PROT_READ | PROT_EXEC,
		 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED)
		return -errno;
	close(fd);
	if (map_fixed(SANDBOX_DATA, SANDBOX_DATA_PAGES * 4096, PROT_NONE) == MAP_FAILED)
		return -errno;
	s->block = map_fixed(BLOCK_ADDRESS, (sizeof(struct block) + 4095) & ~4095ul, protection);
	return s->block == MAP_FAILED ? -errno : 0;
}

static int handlers_install(struct sandbox *s)
{
	static const int signals[] = { SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP };
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	const size_t size = 65536; /* frames with AVX-512 are large */
	stack_t stack = { .ss_size = size };

	s->stack = malloc(size);
	stack.ss_sp = s->stack;
	if (!s->stack)
		return -ENOMEM;
	if (sigaltstack(&stack, NULL) < 0)
		return -errno;
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], &action, &s->block->others[signals[i]]) < 0)
			return -errno;
	return 0;
}

static void find_components(struct block *block)
{
	uint32_t components = cpuid_host(0xd, 0).eax & COMPONENTS;

	block->components[0] = (struct cpuid_regs){ .eax = 576 }; /* legacy region and header */
	for (unsigned i = 2; i < COMPONENT_COUNT; i++) {
		if (components >> i & 1)
			block->components[i] = cpuid_host(0xd, i);
		check(block->components[i].ebx + block->components[i].eax <= SANDBOX_XSAVE);
	}
}

int native_sandbox_new(struct sandbox **ret_sandbox)
{
	struct sandbox *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = map_all(s);
	if (!r)
		r = handlers_install(s);
	if (r) {
		native_sandbox_free(s);
		return r;
	}
	find_components(s->block);
	s->block->exit = (uintptr_t)sandbox_exit;
	s->block->recover = (uintptr_t)sandbox_recover;
	/* 64-bit programs have none, and need none. */
	__asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(USER_DS));
	*ret_sandbox = s;
	return 0;
}

void native_sandbox_free(struct sandbox *s)
{
	stack_t off = { .ss_flags = SS_DISABLE };

	if (!s)
		return;
	sigaltstack(&off, NULL);
	free(s->stack);
	if (s->code_write != MAP_FAILED)
		munmap(s->code_write, 4096);
	munmap((void *)SANDBOX_CODE, 4096);
	munmap((void *)SANDBOX_DATA, SANDBOX_DATA_PAGES * 4096);
	munmap((void *)BLOCK_ADDRESS, (sizeof(struct block) + 4095) & ~4095ul);
	free(s);
}

static void jump_write(uint8_t *at, unsigned extension, uint32_t through)
{
	const uint8_t jump[] = { 0xff, (uint8_t)(extension << 3 | 4), 0x25 }; /* jmp *disp32 */

	memcpy(at, jump, sizeof(jump));
	memcpy(at + sizeof(jump), &through, sizeof(through));
}

static void pointer_write(uint8_t *at, uint32_t offset, uint16_t selector)
{
	memcpy(at, &offset, sizeof(offset));
	memcpy(at + sizeof(offset), &selector, sizeof(selector));
}

static void code_write(struct sandbox *s, const uint8_t *code, unsigned length, bool code32)
{
	uint8_t *exit = s->code_write + length;

	memset(s->code_write, 0xcc, 64);
	memcpy(s->code_write, code, length);
	if (code32) {
		*exit = 0xea; /* far jmp */
		pointer_write(exit + 1, SANDBOX_CODE + FAR_RETURN, USER_CS);
		exit = s->code_write + FAR_RETURN;
		jump_write(s->code_write + FAR_JUMP, 5, SANDBOX_CODE + FAR_POINTER);
		pointer_write(s->code_write + FAR_POINTER, SANDBOX_CODE, USER_CS32);
	}
	jump_write(exit, 4, BLOCK_ADDRESS + offsetof(struct block, exit));
}

void native_sandbox_run(struct sandbox *s, const uint8_t *code, unsigned length,
			struct sandbox_state *state)
{
	void *writable = (void *)SANDBOX_WRITABLE, *readable = (void *)SANDBOX_READABLE;
	struct block *block = s->block;

	code_write(s, code, length, state->code32);
	mprotect(writable, SANDBOX_DATA_BYTES, PROT_READ | PROT_WRITE);
	memcpy(writable, state->data, SANDBOX_DATA_BYTES);
	mprotect(readable, 4096, PROT_READ);
	memcpy(block->gpr, state->gpr, sizeof(block->gpr));
	block->rflags = state->rflags;
	block->target = SANDBOX_CODE + (state->code32 ? FAR_JUMP : 0);
	memcpy(block->xsave, state->xsave, SANDBOX_XSAVE);
	block->vector = SANDBOX_NO_FAULT;
	block->rip = SANDBOX_CODE + length;
	native_sandbox_enter();
	memcpy(state->gpr, block->gpr, sizeof(block->gpr));
	memcpy(state->xsave, block->xsave, SANDBOX_XSAVE);
	memcpy(state->data, writable, SANDBOX_DATA_BYTES);
	state->rflags = block->rflags;
	state->rip = block->rip;
	state->vector = block->vector;
	state->error = block->error;
	state->cr2 = block->cr2;
}

bool native_sandbox_is_mapped(uint64_t address)
{
	unsigned char resident;

	return !mincore((void *)(uintptr_t)(address & ~UINT64_C(4095)), 4096, &resident);
}
