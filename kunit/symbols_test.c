// SPDX-License-Identifier: GPL-2.0
/* The table of unexported kernel functions. */
#include <kunit/test.h>
#include <linux/module.h>

#include "kernel/symbols.h"

static void a_known_function_is_found(struct kunit *test)
{
	/* An exported one, so that there is something to compare with. */
	KUNIT_EXPECT_EQ(test, (unsigned long)filemap_fault, cowmem_symbol_find("filemap_fault"));
}

static void an_unknown_function_is_not(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0UL, cowmem_symbol_find("cowmem_no_such_function"));
}

static struct kunit_case symbols_cases[] = {
	KUNIT_CASE(a_known_function_is_found),
	KUNIT_CASE(an_unknown_function_is_not),
	{},
};

static struct kunit_suite symbols_suite = {
	.name = "cowmem_symbols",
	.test_cases = symbols_cases,
};
kunit_test_suite(symbols_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of cowmem");
