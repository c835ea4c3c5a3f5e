// SPDX-License-Identifier: GPL-2.0
/*
 * A fault goes by one reading of its mapping: what the mapping becomes while the fault is under
 * way is the next one's. The core's locks see to it that it becomes nothing else; here it does.
 */
#include <linux/mman.h>

#include "mapping.h"

#define COUNT(name) cowmem_counter_sum(COWMEM_COUNT_##name)

/* Without the locks, which the fault has. */
static void set_flags(struct vm_area_struct *vma, vm_flags_t flags)
{
	*(vm_flags_t *)&vma->vm_flags = flags;
}

static struct vm_area_struct *vma_of(struct mapping *m, unsigned long address)
{
	struct vm_area_struct *vma;

	mmap_read_lock(m->mm);
	vma = vma_lookup(m->mm, address);
	mmap_read_unlock(m->mm);
	KUNIT_ASSERT_NOT_NULL(m->test, vma);
	return vma;
}

/* Two pages of 0x11; of the mapping the second is touched, so that the page table is there. */
static unsigned long map_beside(struct mapping *m, unsigned long flags)
{
	unsigned long address;

	mapping_source(m, 2, 0x11);
	address = mapping_map(m, 2, flags);
	KUNIT_ASSERT_EQ(m->test, 0x11, peek(address + PAGE_SIZE));
	return address;
}

static void toggle_write(struct mapping *m, struct vm_fault *vmf)
{
	set_flags(vmf->vma, vmf->vma->vm_flags ^ VM_WRITE);
}

/* Whether a read lets the writes that follow through is what the mapping permits at its begin. */
static void the_permission_to_store_is_read_once(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long first, second;

	SHOWS(test, "R34");
	first = map_beside(m, MAP_SHARED);
	mapping_at(m, COWMEM_STEP_COUNT_READ, toggle_write);
	KUNIT_EXPECT_EQ(test, 0x11, peek(first));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_TRUE(test, pte_write(mapping_pte(m, first)));
	set_flags(vma_of(m, first), vma_of(m, first)->vm_flags | VM_WRITE);

	second = map_beside(m, MAP_SHARED);
	set_flags(vma_of(m, second), vma_of(m, second)->vm_flags & ~VM_WRITE);
	mapping_at(m, COWMEM_STEP_COUNT_READ, toggle_write);
	KUNIT_EXPECT_EQ(test, 0x11, peek(second));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_FALSE(test, pte_write(mapping_pte(m, second)));
	KUNIT_EXPECT_TRUE(test, vma_of(m, second)->vm_flags & VM_WRITE);
}

static void make_executable(struct mapping *m, struct vm_fault *vmf)
{
	WRITE_ONCE(vmf->vma->vm_page_prot, vm_get_page_prot(VM_READ | VM_EXEC | VM_SHARED));
}

/* The entry is as its neighbour's, which was made before. */
static void the_protection_is_read_once(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at;
	pgprot_t protection;

	SHOWS(test, "R34");
	at = map_beside(m, MAP_SHARED);
	protection = vma_of(m, at)->vm_page_prot;
	mapping_at(m, COWMEM_STEP_COUNT_READ, make_executable);
	KUNIT_EXPECT_EQ(test, 0x11, peek(at));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_NE(test, pgprot_val(protection), pgprot_val(vma_of(m, at)->vm_page_prot));
	WRITE_ONCE(vma_of(m, at)->vm_page_prot, protection);
	KUNIT_EXPECT_EQ(test, pgprot_val(pte_pgprot(mapping_pte(m, at + PAGE_SIZE))),
	                pgprot_val(pte_pgprot(mapping_pte(m, at))));
}

/* The attempt without locks, which the mode decides about, ends, and the locked path asks again. */
static void leave_it_to_the_core(struct mapping *m, struct vm_fault *vmf)
{
	vmf->vma->vm_private_data = (void *)(unsigned long)COWMEM_COW_CORE;
	cowmem_test_punch(m->file, 0, PAGE_SIZE);
}

static void who_copies_is_read_once(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, retries;

	SHOWS(test, "R34");
	private = map_beside(m, MAP_PRIVATE);
	retries = COUNT(locked_retries);
	m->faults = 0;
	mapping_at(m, COWMEM_STEP_COUNT_READ, leave_it_to_the_core);
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	KUNIT_EXPECT_EQ(test, retries + 1, COUNT(locked_retries));
	EXPECT_CODE(test, VM_FAULT_DONE_COW, m->fault.code);
	KUNIT_EXPECT_EQ(test, 0, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
}

enum { WINDOW = 16, IN_ORDER = 4 };

/* Behind the page of the fault only one is left to the mapping. */
static void cut_the_end_off(struct mapping *m, struct vm_fault *vmf)
{
	vmf->vma->vm_end = vmf->address + 2 * PAGE_SIZE;
}

/*
 * Who reads what is out in order has what follows brought in, and mapped: what lies within the
 * mapping is decided when that is brought in, and holds when it is mapped.
 */
static void the_range_is_read_once(struct kunit *test)
{
	struct mapping *m = test->priv;
	const unsigned long shared = mapping_map(m, 2 * WINDOW, MAP_SHARED);
	const unsigned long at = round_up(shared, WINDOW * PAGE_SIZE);
	const unsigned long index = (at - shared) >> PAGE_SHIFT;
	const unsigned long fault = at + IN_ORDER * PAGE_SIZE;
	struct cowmem_page_out out;
	unsigned long end;

	SHOWS(test, "R34");
	for (unsigned long i = 0; i < WINDOW; i++)
		KUNIT_ASSERT_EQ(test, 0, poke(at + i * PAGE_SIZE, 0x11 + i));
	cowmem_test_page_out(m->file, index, index + WINDOW - 1, true, &out);
	KUNIT_ASSERT_EQ(test, (u64)WINDOW, out.out);
	for (unsigned long i = 0; i < IN_ORDER; i++)
		KUNIT_ASSERT_EQ(test, (int)(0x11 + i), peek(at + i * PAGE_SIZE));

	end = vma_of(m, at)->vm_end;
	mapping_at(m, COWMEM_STEP_PREPARED, cut_the_end_off);
	KUNIT_EXPECT_EQ(test, 0x11 + IN_ORDER, peek(fault));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_EQ(test, fault + 2 * PAGE_SIZE, vma_of(m, at)->vm_end);
	vma_of(m, at)->vm_end = end;
	for (unsigned long i = 1; i <= IN_ORDER; i++)
		KUNIT_EXPECT_TRUE(test, pte_present(mapping_pte(m, fault + i * PAGE_SIZE)));
	KUNIT_EXPECT_FALSE(test, pte_present(mapping_pte(m, fault + 2 * IN_ORDER * PAGE_SIZE)));
}

static struct kunit_case attributes_cases[] = {
	KUNIT_CASE(the_permission_to_store_is_read_once),
	KUNIT_CASE(the_protection_is_read_once),
	KUNIT_CASE(who_copies_is_read_once),
	KUNIT_CASE(the_range_is_read_once),
	{},
};

static struct kunit_suite attributes_suite = {
	.name = "cowmem_attributes",
	.init = mapping_init_speculative,
	.exit = mapping_exit,
	.test_cases = attributes_cases,
};
kunit_test_suite(attributes_suite);
