// SPDX-License-Identifier: GPL-2.0
/* An object's relatives (relatives.h). */
#include <linux/file.h>
#include <linux/pagemap.h>

#include "relatives.h"

struct file *snapshot, *made;

int relatives_init(struct kunit *test)
{
	snapshot = made = NULL;
	return mapping_init_speculative(test);
}

void relatives_exit(struct kunit *test)
{
	struct mapping *m = test->priv;

	if (m)
		mapping_wait_until_unmapped(m->file);
	if (snapshot)
		mapping_wait_until_unmapped(snapshot);
	if (made)
		mapping_wait_until_unmapped(made);
	close_now(&made);
	close_now(&snapshot);
	mapping_exit(test);
}

struct file *snapshot_of(struct mapping *m, unsigned long max_copies)
{
	struct file *file = cowmem_test_snapshot(m->file, max_copies);

	KUNIT_ASSERT_NOT_NULL(m->test, file);
	return file;
}

struct file *clone_of(struct mapping *m)
{
	struct file *file = cowmem_test_clone(m->file);

	KUNIT_ASSERT_NOT_NULL(m->test, file);
	return file;
}

void close_now(struct file **file)
{
	struct file *closed = *file;

	WRITE_ONCE(*file, NULL);
	if (closed)
		__fput_sync(closed);
}

struct folio *own_of(struct file *file, pgoff_t index)
{
	struct folio *folio = cowmem_test_seen(file, index);

	return folio && folio->mapping == file->f_mapping ? folio : NULL;
}

static bool is_at_home_with(struct folio *folio, struct file *file)
{
	return file && folio->mapping == file->f_mapping;
}

struct folio *shared_of(struct mapping *m, struct file *file, pgoff_t index)
{
	struct folio *folio = cowmem_test_seen(file, index);

	if (!folio || !folio->mapping || is_at_home_with(folio, m->file) ||
	    is_at_home_with(folio, snapshot) || is_at_home_with(folio, made))
		return NULL;
	return folio;
}

long names(struct folio *folio)
{
	return folio ? atomic_long_read((atomic_long_t *)&folio->private) : -1;
}

int byte_of(struct folio *folio, unsigned int offset)
{
	return folio ? READ_ONCE(((u8 *)folio_address(folio))[offset]) : -1;
}

bool maps(struct mapping *m, unsigned long address, struct folio *folio)
{
	const pte_t pte = mapping_pte(m, address);

	return folio && pte_present(pte) && pte_pfn(pte) == folio_pfn(folio);
}

int write_byte(struct file *file, loff_t position, u8 byte)
{
	const ssize_t written = kernel_write(file, &byte, 1, &position);

	return written == 1 ? 0 : written;
}

/* What is to be written, and what is seen there before. */
static struct {
	struct file *file;
	pgoff_t index;
	unsigned int offset;
	struct folio *old;
} writes;

void will_write(struct file *file, pgoff_t index, unsigned int offset)
{
	writes.file = file;
	writes.index = index;
	writes.offset = offset;
	writes.old = cowmem_test_seen(file, index);
}

void other_write(struct other *other)
{
	other->result = write_byte(writes.file, writes.index * PAGE_SIZE + writes.offset, 0xee);
}

bool is_written(struct other *other)
{
	struct folio *folio = cowmem_test_seen(writes.file, writes.index);

	const unsigned long *word;

	if (folio != writes.old)
		return true;
	if (!folio)
		return false;
	/* It may just be freed; then it is another that is seen the next time. */
	word = folio_address(folio) + ALIGN_DOWN(writes.offset, sizeof(*word));
	return (u8)(READ_ONCE_NOCHECK(*word) >> writes.offset % sizeof(*word) * 8) == 0xee;
}
