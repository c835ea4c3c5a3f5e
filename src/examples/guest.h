/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest of the machines of vm.h: a few instructions, which ring the bell, an exit, and then do
 * what the mailbox in their RAM says; over and over. They use no other memory but what that names.
 */
#ifndef COWMEM_GUEST_H
#define COWMEM_GUEST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Addresses in the guest. */
#define VM_MAILBOX 0x800
#define VM_TABLE 0x1000 /* of pages, for arm64's MMU, without which memory is not cached */
#define VM_DATA 0x10000
#define VM_BELL 0x40000000
#define VM_PAGE 4096UL

/* What the mailbox may ask for, in its first word, with @a and @b in the next two. */
enum vm_command {
	VM_READ,  /* rings with the word at address @a */
	VM_WRITE, /* writes @b to address @a */
	VM_WALK,  /* writes the @b numbers that follow seed @a, each to the page that it says */
	VM_COUNT, /* writes 1 to the first @b pages of the data, then 2, ... and as last @a */
};

static inline size_t vm_bytes(size_t pages)
{
	return VM_DATA + pages * VM_PAGE;
}

/* The number behind @number in a VM_WALK. */
static inline uint32_t vm_next(uint32_t number)
{
	return number * 1664525 + 1013904223;
}

/* Where in its RAM the guest writes @number to. */
static inline size_t vm_place(size_t pages, uint32_t number)
{
	return VM_DATA + (number & (uint32_t)((pages - 1) * VM_PAGE));
}

/* What VM_WALK does, done to @ram: a copy of all of a machine's. */
static inline void vm_walk(unsigned char *ram, size_t pages, uint32_t seed, uint32_t count)
{
	while (count--) {
		seed = vm_next(seed);
		memcpy(ram + vm_place(pages, seed), &seed, sizeof(seed));
	}
}

/*
 * Where the instructions are. Hidden, so that no table is asked for that: on arm64 the linker gives
 * the labels of one file, which are no others', one entry in it, and the guest would have no bytes.
 */
extern const unsigned char vm_guest[] __attribute__((visibility("hidden")));
extern const unsigned char vm_guest_end[] __attribute__((visibility("hidden")));

#ifdef __x86_64__
/* 32 bits, without paging. The bell is at %edi, and %edx is what vm_place() takes of a number. */
asm(".pushsection .rodata\n"
    ".code32\n"
    "vm_guest:\n"
    "1:	mov %eax, (%edi)\n"
    "	mov 0x800, %eax\n"
    "	mov 0x804, %ebx\n"
    "	mov 0x808, %ecx\n"
    "	cmp $1, %eax\n"
    "	jb 2f\n"
    "	je 3f\n"
    "	cmp $2, %eax\n"
    "	je 4f\n"
    "	xor %eax, %eax\n"
    "5:	cmp 0x804, %eax\n"
    "	jae 1b\n"
    "	inc %eax\n"
    "	mov $0x10000, %esi\n"
    "	mov %ecx, %ebx\n"
    "6:	mov %eax, (%esi)\n"
    "	add $4096, %esi\n"
    "	dec %ebx\n"
    "	jnz 6b\n"
    "	jmp 5b\n"
    "2:	mov (%ebx), %eax\n"
    "	jmp 1b\n"
    "3:	mov %ecx, (%ebx)\n"
    "	jmp 1b\n"
    "4:	imul $1664525, %ebx, %ebx\n"
    "	add $1013904223, %ebx\n"
    "	mov %ebx, %esi\n"
    "	and %edx, %esi\n"
    "	mov %ebx, 0x10000(%esi)\n"
    "	dec %ecx\n"
    "	jnz 4b\n"
    "	jmp 1b\n"
    "vm_guest_end:\n"
    ".code64\n"
    ".popsection\n");
#else
/* The bell is at x0, w1 what vm_place() takes of a number, and x2 VM_DATA. */
asm(".pushsection .rodata\n"
    ".balign 4\n"
    "vm_guest:\n"
    "1:	str w3, [x0]\n"
    "	mov x4, #0x800\n"
    "	ldp w5, w6, [x4]\n"
    "	ldr w7, [x4, #8]\n"
    "	cmp w5, #1\n"
    "	b.lo 2f\n"
    "	b.eq 3f\n"
    "	cmp w5, #2\n"
    "	b.eq 4f\n"
    "	mov w3, #0\n"
    "5:	ldr w6, [x4, #4]\n"
    "	cmp w3, w6\n"
    "	b.hs 1b\n"
    "	add w3, w3, #1\n"
    "	mov x8, x2\n"
    "	mov w9, w7\n"
    "6:	str w3, [x8]\n"
    "	dmb ishst\n"
    "	add x8, x8, #4096\n"
    "	subs w9, w9, #1\n"
    "	b.ne 6b\n"
    "	b 5b\n"
    "2:	ldr w3, [x6]\n"
    "	b 1b\n"
    "3:	str w7, [x6]\n"
    "	b 1b\n"
    "4:	mov w10, #0x660d\n"
    "	movk w10, #0x19, lsl #16\n"
    "	mov w11, #0xf35f\n"
    "	movk w11, #0x3c6e, lsl #16\n"
    "7:	madd w6, w6, w10, w11\n"
    "	and w8, w6, w1\n"
    "	str w6, [x2, x8]\n"
    "	subs w7, w7, #1\n"
    "	b.ne 7b\n"
    "	b 1b\n"
    "vm_guest_end:\n"
    ".popsection\n");
#endif

#endif /* COWMEM_GUEST_H */
