// SPDX-License-Identifier: GPL-2.0
/* How much of the store a memory cgroup may have (store/owners.h), by what is left at each level. */
#include <kunit/test.h>

#include "testing/testing.h"

enum { LIMIT = 7300, SHARE = 8 };

static unsigned long most(const unsigned long *own, unsigned int levels)
{
	return cowmem_test_most(own, levels, LIMIT, SHARE);
}

#define MOST(...)                                  \
	most((const unsigned long[]){__VA_ARGS__}, \
	     sizeof((const unsigned long[]){__VA_ARGS__}) / sizeof(unsigned long))

/* Eight times what is left, and never more than what it is in has. */
static void a_multiple_of_what_is_left(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, (unsigned long)LIMIT, MOST(0));
	KUNIT_EXPECT_EQ(test, (unsigned long)LIMIT, MOST(0, 0));
	KUNIT_EXPECT_EQ(test, (unsigned long)LIMIT, MOST(6387, 0));
	KUNIT_EXPECT_EQ(test, 7296UL, MOST(6388, 0));
	KUNIT_EXPECT_EQ(test, 8UL, MOST(LIMIT - 1, 0));
	KUNIT_EXPECT_EQ(test, 0UL, MOST(LIMIT, 0));
	KUNIT_EXPECT_EQ(test, 0UL, MOST(2 * LIMIT, 0));
	/* Whoever has it. */
	KUNIT_EXPECT_EQ(test, 7296UL, MOST(0, 6388));
	KUNIT_EXPECT_EQ(test, 7296UL, MOST(388, 6000));
	/* What is left in what one is in counts alike, and of more than is left there is nothing. */
	KUNIT_EXPECT_EQ(test, 8 * (7200UL - 6400), MOST(0, 0, 6400));
	KUNIT_EXPECT_EQ(test, 0UL, MOST(0, 6500, 0));
	KUNIT_EXPECT_EQ(test, 0UL, MOST(0, LIMIT, 0));
	KUNIT_EXPECT_EQ(test, 0UL, MOST(LIMIT, 0, 0, 0));
}

/* A sole group can have 8/9; in another, 64/73: however many there are, more than 7/8. */
static void of_a_sole_one(struct kunit *test)
{
	static const unsigned long parts[] = {6488, 6400, 6388};

	for (unsigned int level = 1; level <= ARRAY_SIZE(parts); level++) {
		unsigned long own[4] = {};

		own[level] = parts[level - 1];
		KUNIT_EXPECT_GE(test, most(own, level + 1), own[level]);
		own[level] += 2;
		KUNIT_EXPECT_LT(test, most(own, level + 1), own[level]);
	}
}

/* With nothing but sevens of eighths in use nobody is asked. */
static void nobody_is_refused_where_an_eighth_is_left(struct kunit *test)
{
	for (unsigned long a = 0; a <= LIMIT * 7 / 8; a += 91)
		for (unsigned long b = 0; a + b <= LIMIT * 7 / 8; b += 89)
			KUNIT_ASSERT_EQ(test, (unsigned long)LIMIT,
			                MOST(0, LIMIT * 7 / 8 - a - b, a, b));
}

/* Who came to his share has some more only when there is more than a little. */
static void not_with_each_page_that_goes(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, cowmem_test_has_share_again(LIMIT, LIMIT, SHARE));
	KUNIT_EXPECT_FALSE(test, cowmem_test_has_share_again(6480, LIMIT, SHARE));
	KUNIT_EXPECT_FALSE(test, cowmem_test_has_share_again(6415, LIMIT, SHARE));
	KUNIT_EXPECT_TRUE(test, cowmem_test_has_share_again(6408, LIMIT, SHARE));
}

static struct kunit_case share_cases[] = {
	KUNIT_CASE(a_multiple_of_what_is_left),
	KUNIT_CASE(of_a_sole_one),
	KUNIT_CASE(nobody_is_refused_where_an_eighth_is_left),
	KUNIT_CASE(not_with_each_page_that_goes),
	{},
};

static struct kunit_suite share_suite = {.name = "cowmem_share", .test_cases = share_cases};
kunit_test_suite(share_suite);
