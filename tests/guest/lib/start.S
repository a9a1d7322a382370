/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the loader to long mode: identity map of 4 GiB in large supervisor pages, flat segments, an
 * interrupt stub for each vector, and the ways into user mode, real mode and other processors.
 *
 * Spec: Multiboot Specification 0.6.96, section 3; Intel SDM volume 3, sections 9.8 and 9.9.
 */
#include "asm.h"

#define CR0_PE 0x00000001
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

#define STACK_BYTES 16384

	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002, 0x3, -(0x1badb002 + 0x3)

	.text
	.code32
	.globl start
start:
	cli
	mov $boot_stack + STACK_BYTES, %esp
	/* Page tables: 4 GiB in pages of 2 MiB. */
	mov $pml4, %edi
	movl $pdpt + 3, (%edi)
	mov $pdpt, %edi
	mov $pd + 3, %eax
	mov $4, %ecx
1:	mov %eax, (%edi)
	add $8, %edi
	add $4096, %eax
	loop 1b
	mov $pd, %edi
	mov $0x83, %eax
	mov $2048, %ecx
1:	mov %eax, (%edi)
	add $8, %edi
	add $0x200000, %eax
	loop 1b
	call enter_long_mode
	.code64
	mov $boot_stack + STACK_BYTES, %rsp
	call runtime_init
	call main
	mov %eax, %edi
	call finish

/* From 32-bit flat code without paging; returns in 64-bit code, all registers but eax, ecx, edx as before. */
	.code32
enter_long_mode:
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov %cr0, %eax
	or $CR0_PG | CR0_PE, %eax
	mov %eax, %cr0
	lgdt gdt_pointer
	mov $SELECTOR_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	pop %eax
	ljmp $SELECTOR_CODE, $1f
	.code64
1:	mov %eax, %eax
	jmp *%rax

/* Interrupt stubs: error code (or 0) and vector on the stack, then trap_common. */
#define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21)
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	.if !HAS_ERROR(vector)
	push $0
	.endif
	push $vector
	jmp trap_common
	.set vector, vector + 1
	.endr

trap_common:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	mov %rsp, %rbp
	and $-16, %rsp
	call trap_entry
	mov %rbp, %rsp
	/* Out of user mode there is no way back: user_run() returns. */
	test %eax, %eax
	jnz user_return
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	iretq

/* void user_enter(uint64_t rip, uint64_t rsp, uint64_t cs, uint64_t rflags, uint64_t rcx) */
	.globl user_enter
user_enter:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	pushfq
	mov %rsp, user_kernel_rsp
	pushq $SELECTOR_USER_DATA | 3
	push %rsi
	push %rcx
	push %rdx
	push %rdi
	mov %r8, %rcx
	iretq
user_return:
	mov user_kernel_rsp, %rsp
	mov $SELECTOR_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	popfq
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

/*
 * void real_mode(uint32_t entry): runs 16-bit code below 64 KiB with flat-zero segments and the
 * interrupt table at 0; it ends with `ljmpl $SELECTOR_REAL_EXIT…`, that is: jmp to REAL_EXIT.
 * Interrupts are off. Clobbers like any call. The way down and up is copied to REAL_BASE.
 */
	.globl real_mode
real_mode:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, real_saved_rsp
	mov %edi, %ebx
	sidt real_saved_idt
	ljmp *real_down_pointer
real_down_pointer:
	.long real_down32
	.word SELECTOR_CODE32
	.code32
real_down32:
	mov $SELECTOR_DATA, %eax
	mov %eax, %ss
	mov %cr0, %eax
	and $~CR0_PG, %eax
	mov %eax, %cr0
	mov $MSR_EFER, %ecx
	rdmsr
	and $~EFER_LME, %eax
	wrmsr
	lidt real_idt
	mov $SELECTOR_DATA16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	mov $REAL_STACK, %esp
	ljmp $SELECTOR_CODE16, $REAL_DOWN
	/* Copied to REAL_BASE by runtime_init(). */
	.globl real_code_start, real_code_end
	.code16
real_code_start:
	mov %cr0, %eax
	and $~CR0_PE, %eax
	mov %eax, %cr0
	ljmp $0, $REAL_BASE + (1f - real_code_start)
1:	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %fs
	mov %ax, %gs
	mov %ax, %ss
	jmp *%bx
	.org real_code_start + REAL_EXIT_OFFSET
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl REAL_BASE + (real_gdt_pointer - real_code_start)
	mov %cr0, %eax
	or $CR0_PE, %eax
	mov %eax, %cr0
	ljmpl $SELECTOR_CODE32, $real_up32
real_gdt_pointer:
	.word GDT_BYTES - 1
	.long gdt
	/* Where other processors start, at a page of its own: REAL_BASE + AP_OFFSET. */
	.org real_code_start + AP_OFFSET
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl REAL_BASE + (real_gdt_pointer - real_code_start)
	mov %cr0, %eax
	or $CR0_PE, %eax
	mov %eax, %cr0
	ljmpl $SELECTOR_CODE32, $ap_up32
real_code_end:
	.code32
real_up32:
	mov $SELECTOR_DATA, %eax
	mov %eax, %ds
	mov %eax, %ss
	mov $real_up_stack + 1024, %esp
	call enter_long_mode
	.code64
	lidt real_saved_idt
	mov real_saved_rsp, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.code32
ap_up32:
	mov $SELECTOR_DATA, %eax
	mov %eax, %ds
	mov %eax, %ss
	mov $1, %eax
	lock xadd %eax, ap_count
	inc %eax
	mov %eax, %ebx
	shl $14, %eax
	lea ap_stacks(%eax), %esp
	call enter_long_mode
	.code64
	lidt idt_pointer
	mov %ebx, %edi
	call ap_entry
1:	hlt
	jmp 1b

	.data
	.balign 8
	.globl gdt, gdt_pointer, idt_pointer
gdt_pointer:
	.word GDT_BYTES - 1
	.quad gdt
	.balign 8
idt_pointer:
	.word 256 * 16 - 1
	.quad idt
real_idt:
	.word 0x3ff
	.long 0
	.balign 16
gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* SELECTOR_CODE */
	.quad 0x00cf93000000ffff	/* SELECTOR_DATA */
	.quad 0x00cf9b000000ffff	/* SELECTOR_CODE32 */
	.quad 0x00009b000000ffff	/* SELECTOR_CODE16 */
	.quad 0x000093000000ffff	/* SELECTOR_DATA16 */
	.quad 0x00cffb000000ffff	/* SELECTOR_USER_CODE32 */
	.quad 0x00cff3000000ffff	/* SELECTOR_USER_DATA */
	.quad 0x00affb000000ffff	/* SELECTOR_USER_CODE */
	.quad 0, 0			/* SELECTOR_TSS */
	.fill 16, 8, 0			/* SELECTOR_FREE and on: the tests' own */

	.bss
	.balign 4096
	.globl pml4, idt, ap_count, user_kernel_rsp
pml4:	.skip 4096
pdpt:	.skip 4096
pd:	.skip 4 * 4096
idt:	.skip 4096
boot_stack: .skip STACK_BYTES
ap_stacks: .skip STACK_BYTES * AP_MAX + STACK_BYTES
real_up_stack: .skip 1024
user_kernel_rsp: .skip 8
real_saved_rsp: .skip 8
real_saved_idt: .skip 16
ap_count: .skip 8
	.section .note.GNU-stack, "", @progbits
