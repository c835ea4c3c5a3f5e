// SPDX-License-Identifier: GPL-2.0
/* The fixture of the fault suites (mapping.h). */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>
#include <trace/events/kmem.h>

#include "mapping.h"

/* The one test that runs; KUnit runs them one at a time. */
static struct mapping *running;

/* Slab allocations of the test's thread while a handler runs. */
static bool in_handler;
static unsigned int allocations;

static void count_kmalloc(void *data, unsigned long ip, const void *p, size_t requested,
                          size_t allocated, gfp_t gfp, int node)
{
	if (in_handler && running && current == running->task)
		allocations++;
}

static void count_cache_alloc(void *data, unsigned long ip, const void *p, struct kmem_cache *cache,
                              gfp_t gfp, int node)
{
	if (in_handler && running && current == running->task)
		allocations++;
}

static int held_locks(void)
{
#ifdef CONFIG_LOCKDEP
	return current->lockdep_depth;
#else
	return 0;
#endif
}

static void take_turn(unsigned int step, struct vm_fault *vmf)
{
	struct mapping *m = running;

	if (m && current == m->task && m->turn && m->step == step) {
		void (*turn)(struct mapping *, struct vm_fault *) = m->turn;

		m->turn = NULL;
		turn(m, vmf);
	}
}

static void record(struct vm_fault *vmf, struct answer *answer,
                   vm_fault_t (*handler)(struct vm_fault *))
{
	int held = held_locks();

	answer->had_cow_page = vmf->cow_page;
	allocations = 0;
	in_handler = true;
	answer->code = handler(vmf);
	in_handler = false;
	answer->allocations = allocations;
	answer->locks_held = held_locks() - held;
	answer->page_set = vmf->page;
	answer->page_locked = vmf->page && PageLocked(vmf->page);
	take_turn(STEP_ANSWERED, vmf);
}

static vm_fault_t recording_fault(struct vm_fault *vmf)
{
	bool first;

	if (current != running->task)
		return cowmem_vm_ops.fault(vmf);
	first = !running->faults++;
	if (vmf->cow_page) {
		if (running->cow_page)
			put_page(running->cow_page);
		running->cow_page = vmf->cow_page;
		get_page(vmf->cow_page);
	}
	record(vmf, &running->fault, cowmem_vm_ops.fault);
	if (first)
		running->first = running->fault;
	return running->fault.code;
}

static vm_fault_t recording_page_mkwrite(struct vm_fault *vmf)
{
	if (current != running->task)
		return cowmem_vm_ops.page_mkwrite(vmf);
	running->mkwrites++;
	record(vmf, &running->mkwrite, cowmem_vm_ops.page_mkwrite);
	return running->mkwrite.code;
}

static vm_fault_t recording_map_pages(struct vm_fault *vmf, pgoff_t first, pgoff_t last)
{
	struct answer *answer = &running->around;
	int held = held_locks();

	if (current != running->task)
		return cowmem_vm_ops.map_pages(vmf, first, last);
	running->arounds++;
	allocations = 0;
	in_handler = true;
	answer->code = cowmem_vm_ops.map_pages(vmf, first, last);
	in_handler = false;
	answer->allocations = allocations;
	answer->locks_held = held_locks() - held;
	return answer->code;
}

/* No map_pages: a fault is about its own page here, and comes under mmap_lock. */
static const struct vm_operations_struct recording_ops = {
	.fault = recording_fault,
	.page_mkwrite = recording_page_mkwrite,
};

static const struct vm_operations_struct recording_around_ops = {
	.fault = recording_fault,
	.map_pages = recording_map_pages,
	.page_mkwrite = recording_page_mkwrite,
};

/* The same, as those of a pinnable object. */
static const struct vm_operations_struct pinnable_ops = {
	.fault = recording_fault,
};

static const struct vm_operations_struct pinnable_around_ops = {
	.fault = recording_fault,
	.map_pages = recording_map_pages,
};

static void set_speculation(bool on)
{
	cowmem_parameters.speculate_private = on;
	cowmem_parameters.speculate_read = on;
	cowmem_parameters.speculate_shared_write = on;
}

int mapping_init_speculative(struct kunit *test)
{
	int err = mapping_init(test);

	set_speculation(true);
	return err;
}

/* The files of a test before are closed later, by a work: what it had is not to be freed in this one. */
static void wait_for_the_last_test(void)
{
	for (int i = 0; i < 10000 && cowmem_counter_sum(COWMEM_COUNT_objects_created) !=
	                                     cowmem_counter_sum(COWMEM_COUNT_objects_freed);
	     i++) {
		flush_delayed_fput();
		usleep_range(1000, 2000);
	}
}

int mapping_init(struct kunit *test)
{
	struct mapping *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	wait_for_the_last_test();
	m->test = test;
	m->parameters = cowmem_parameters;
	set_speculation(false);
	m->task = current;
	scoped_with_init_fs() m->file = filp_open(COWMEM_DEVICE, O_RDWR | O_LARGEFILE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(m->file));
	test->priv = m;
	running = m;
	KUNIT_ASSERT_EQ(test, 0, register_trace_kmalloc(count_kmalloc, NULL));
	KUNIT_ASSERT_EQ(test, 0, register_trace_kmem_cache_alloc(count_cache_alloc, NULL));
	cowmem_test_step = take_turn;
	return 0;
}

void mapping_wait_until_unmapped(struct file *file)
{
	for (int i = 0; i < 10000 && mapping_mapped(file->f_mapping); i++)
		usleep_range(1000, 2000);
}

void mapping_exit(struct kunit *test)
{
	struct mapping *m = test->priv;

	cowmem_test_step = NULL;
	unregister_trace_kmem_cache_alloc(count_cache_alloc, NULL);
	unregister_trace_kmalloc(count_kmalloc, NULL);
	tracepoint_synchronize_unregister();
	running = NULL;
	if (!m)
		return;
	cowmem_parameters = m->parameters;
	if (m->cow_page)
		put_page(m->cow_page);
	mapping_wait_until_unmapped(m->file);
	KUNIT_EXPECT_STREQ(test, cowmem_test_check(m->file).what ?: "", "");
	KUNIT_EXPECT_EQ(test, cowmem_counter_sum(COWMEM_COUNT_page_locks),
	                cowmem_counter_sum(COWMEM_COUNT_page_unlocks) +
	                        cowmem_counter_sum(COWMEM_COUNT_page_locks_handed_over));
	KUNIT_EXPECT_EQ(test, cowmem_counter_sum(COWMEM_COUNT_speculative_attempts),
	                cowmem_counter_sum(COWMEM_COUNT_speculative_commits) +
	                        cowmem_counter_sum(COWMEM_COUNT_locked_retries));
	/* Even when quiet (R29). */
	KUNIT_EXPECT_EQ(test, 0UL, cowmem_test_count(m->file) % 2);
	filp_close(m->file, NULL);
	/*
	 * KUnit attached the mm with kthread_use_mm() and let the thread die with it:
	 * nobody drops the reference that this took.
	 */
	if (m->mm)
		mmdrop(m->mm);
}

static const struct vm_operations_struct *ops_of(const struct mapping *m, const struct file *file,
                                                 unsigned long flags, bool around)
{
	if (m->pinnable && flags & MAP_SHARED && file->f_mode & FMODE_WRITE)
		return around ? &pinnable_around_ops : &pinnable_ops;
	return around ? &recording_around_ops : &recording_ops;
}

static unsigned long map_with(struct mapping *m, struct file *file, unsigned long pages,
                              unsigned long flags, bool around)
{
	const unsigned long prot = PROT_READ | (file->f_mode & FMODE_WRITE ? PROT_WRITE : 0);
	unsigned long address =
		kunit_vm_mmap(m->test, file, 0, pages << PAGE_SHIFT, prot, flags, 0);
	struct vm_area_struct *vma;

	KUNIT_ASSERT_NE(m->test, address, 0UL);
	KUNIT_ASSERT_FALSE(m->test, IS_ERR_VALUE(address));
	m->mm = current->mm;
	mmap_write_lock(m->mm);
	vma = vma_lookup(m->mm, address);
	if (vma)
		vma->vm_ops = ops_of(m, file, flags, around);
	mmap_write_unlock(m->mm);
	KUNIT_ASSERT_NOT_NULL(m->test, vma);
	return address;
}

void mapping_set_pinnable(struct mapping *m)
{
	m->pinnable = true;
	cowmem_test_set_pinnable(m->file);
}

unsigned long mapping_map(struct mapping *m, unsigned long pages, unsigned long flags)
{
	return mapping_map_of(m, m->file, pages, flags);
}

unsigned long mapping_map_of(struct mapping *m, struct file *file, unsigned long pages,
                             unsigned long flags)
{
	return map_with(m, file, pages, flags, false);
}

unsigned long mapping_map_around(struct mapping *m, unsigned long pages, unsigned long flags)
{
	return map_with(m, m->file, pages, flags, true);
}

unsigned long mapping_source(struct mapping *m, unsigned long pages, u8 value)
{
	unsigned long shared = mapping_map(m, pages, MAP_SHARED);

	for (unsigned long at = 0; at < pages << PAGE_SHIFT; at++)
		KUNIT_ASSERT_EQ(m->test, 0, poke(shared + at, value));
	return shared;
}

void mapping_at(struct mapping *m, int step, void (*turn)(struct mapping *m, struct vm_fault *vmf))
{
	m->step = step;
	m->turn = turn;
}

int peek(unsigned long address)
{
	u8 value;

	return copy_from_user(&value, (void __user *)address, 1) ? -EFAULT : value;
}

int poke(unsigned long address, u8 value)
{
	return copy_to_user((void __user *)address, &value, 1) ? -EFAULT : 0;
}

struct folio *mapping_folio(struct mapping *m, pgoff_t index)
{
	return cowmem_test_seen(m->file, index);
}

pte_t mapping_pte(struct mapping *m, unsigned long address)
{
	pte_t pte = __pte(0);
	pgd_t *pgd = pgd_offset(m->mm, address);
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	mmap_read_lock(m->mm);
	if (!pgd_none(*pgd)) {
		p4d = p4d_offset(pgd, address);
		if (!p4d_none(*p4d)) {
			pud = pud_offset(p4d, address);
			if (!pud_none(*pud)) {
				pmd = pmd_offset(pud, address);
				if (!pmd_none(*pmd))
					pte = ptep_get(pte_offset_kernel(pmd, address));
			}
		}
	}
	mmap_read_unlock(m->mm);
	return pte;
}

long mapping_rss(struct mapping *m)
{
	return percpu_counter_sum(&m->mm->rss_stat[MM_FILEPAGES]) +
	       percpu_counter_sum(&m->mm->rss_stat[MM_ANONPAGES]);
}

static int other_thread(void *data)
{
	struct other *other = data;

	while (READ_ONCE(other->parked))
		cond_resched();
	if (other->mapping->mm)
		kthread_use_mm(other->mapping->mm);
	other->run(other);
	if (other->mapping->mm)
		kthread_unuse_mm(other->mapping->mm);
	complete(&other->done);
	return 0;
}

static void create(struct other *other, struct mapping *m, void (*run)(struct other *))
{
	other->mapping = m;
	other->run = run;
	init_completion(&other->done);
	other->task = kthread_create(other_thread, other, "cowmem-other");
	KUNIT_ASSERT_FALSE(m->test, IS_ERR(other->task));
}

void other_start(struct other *other, struct mapping *m, void (*run)(struct other *))
{
	other->parked = false;
	create(other, m, run);
	wake_up_process(other->task);
}

/*
 * Has it wait, busily, for other_let_go(), on a CPU of its own, the test's thread keeping to
 * another.
 */
static void other_park(struct other *other, struct mapping *m, void (*run)(struct other *))
{
	const unsigned int first = cpumask_first(cpu_online_mask);
	const unsigned int second = cpumask_next(first, cpu_online_mask);

	if (second >= nr_cpu_ids)
		kunit_skip(m->test, "one CPU");
	KUNIT_ASSERT_EQ(m->test, 0, set_cpus_allowed_ptr(current, cpumask_of(first)));
	other->parked = true;
	create(other, m, run);
	kthread_bind(other->task, second);
	wake_up_process(other->task);
}

static bool count_has_changed(struct other *other)
{
	return cowmem_test_count(other->mapping->file) != other->count;
}

/* Lets it go, and waits, busily, until it has begun; it may be over, too, before this CPU looks. */
static void other_let_go(struct other *other)
{
	const unsigned long late = jiffies + 30 * HZ;

	other->count = cowmem_test_count(other->mapping->file);
	WRITE_ONCE(other->parked, false);
	while (!other->has_begun(other) && time_before(jiffies, late))
		cpu_relax();
	KUNIT_EXPECT_TRUE(other->mapping->test, other->has_begun(other));
}

static void start_and_watch(struct mapping *m, struct vm_fault *vmf)
{
	struct other *other = m->cookie;

	other_start(other, m, other->run);
	other_is_blocked(other);
}

static void let_go(struct mapping *m, struct vm_fault *vmf)
{
	other_let_go(m->cookie);
}

static bool is_atomic(int step)
{
	return step >= COWMEM_STEP_TABLE_LOCKED && step < COWMEM_NR_STEPS;
}

void other_at_until(struct other *other, struct mapping *m, int step, void (*run)(struct other *),
                    bool (*has_begun)(struct other *))
{
	m->cookie = other;
	other->has_begun = has_begun;
	if (is_atomic(step)) {
		other_park(other, m, run);
		mapping_at(m, step, let_go);
	} else {
		other->run = run;
		mapping_at(m, step, start_and_watch);
	}
}

void other_at(struct other *other, struct mapping *m, int step, void (*run)(struct other *))
{
	other_at_until(other, m, step, run, count_has_changed);
}

void other_finish(struct other *other)
{
	KUNIT_ASSERT_NE(other->mapping->test, 0UL,
	                wait_for_completion_timeout(&other->done, 60 * HZ));
}

bool other_ends(struct other *other)
{
	const unsigned long late = jiffies + 30 * HZ;

	while (!completion_done(&other->done) && time_before(jiffies, late))
		usleep_range(500, 1000);
	return completion_done(&other->done);
}

bool other_is_blocked(struct other *other)
{
	for (int i = 0; i < 60 * 1000; i++) {
		if (completion_done(&other->done))
			return false;
		if (READ_ONCE(other->task->__state) & TASK_UNINTERRUPTIBLE)
			return true;
		usleep_range(500, 1000);
	}
	return false;
}

void other_poke(struct other *other)
{
	other->result = poke(other->address, 0xee);
}

void other_peek(struct other *other)
{
	other->result = peek(other->address);
}

void other_resize(struct other *other)
{
	cowmem_test_resize(other->mapping->file, other->bytes);
}

void other_punch(struct other *other)
{
	cowmem_test_punch(other->mapping->file, 0, PAGE_SIZE);
}
