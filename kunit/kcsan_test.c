// SPDX-License-Identifier: GPL-2.0
/*
 * A data race in the module's C++ code, for the race detector: it has to report this
 * one, or its silence about the others means nothing (scripts/test.py).
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>

#include "testing/testing.h"

static DECLARE_COMPLETION(racers_done);

static int race(void *data)
{
	const unsigned long end = jiffies + HZ;

	while (time_before(jiffies, end)) {
		cowmem_test_race();
		cond_resched();
	}
	kthread_complete_and_exit(&racers_done, 0);
}

static void a_race_in_the_module_is_reported(struct kunit *test)
{
	const unsigned long before = cowmem_test_race();

	if (!IS_ENABLED(CONFIG_KCSAN))
		kunit_skip(test, "the kernel has no race detector");
	for (int racers = 0; racers < 2; racers++)
		KUNIT_ASSERT_FALSE(test, IS_ERR(kthread_run(race, NULL, "race")));
	for (int racers = 0; racers < 2; racers++)
		wait_for_completion(&racers_done);
	KUNIT_EXPECT_GT(test, cowmem_test_race(), before + 2);
}

static struct kunit_case kcsan_cases[] = {
	KUNIT_CASE(a_race_in_the_module_is_reported),
	{},
};

static struct kunit_suite kcsan_suite = {
	.name = "cowmem_kcsan",
	.test_cases = kcsan_cases,
};
kunit_test_suite(kcsan_suite);
