// SPDX-License-Identifier: GPL-2.0
/*
 * The LRU of all objects' pages, by node and memory cgroup, and the shrinker through
 * which memory reclaim has some of them paged out (src/reclaim/shrink.cc).
 */
#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/shrinker.h>

#include "kernel/kapi.h"
#include "kernel/module.h"

struct list_lru cowmem_lru;

static struct shrinker *shrinker;

static unsigned long count_pages(struct shrinker *s, struct shrink_control *sc)
{
	return list_lru_shrink_count(&cowmem_lru, sc) ?: SHRINK_EMPTY;
}

/* Whether both are of one cluster: a hint, as nobody keeps them where they are. */
static bool are_neighbours(const struct folio *a, const struct folio *b)
{
	return READ_ONCE(a->mapping) == READ_ONCE(b->mapping) &&
	       READ_ONCE(a->index) / KAPI_MAX_ISOLATED == READ_ONCE(b->index) / KAPI_MAX_ISOLATED;
}

/*
 * With the list locked: a page that is on it is no longer free, unless it is just being removed.
 * One cluster is taken at a time: what would follow stays where it is, if no more is wanted.
 */
static enum lru_status isolate(struct list_head *item, struct list_lru_one *list, void *arg)
{
	struct folio *folio = container_of(item, struct folio, lru);
	struct kapi_isolated *isolated = arg;

	if (isolated->count == isolated->most)
		return LRU_STOP;
	if (!folio_try_get(folio))
		return LRU_SKIP;
	if (isolated->count && !are_neighbours(folio, isolated->folio[0])) {
		folio_put(folio);
		return LRU_STOP;
	}
	list_lru_isolate(list, item);
	isolated->folio[isolated->count++] = folio;
	return LRU_REMOVED;
}

static unsigned long scan_pages(struct shrinker *s, struct shrink_control *sc)
{
	struct kapi_isolated isolated = {
		.most = min(cowmem_reclaim_wants(sc->memcg), KAPI_MAX_ISOLATED),
	};
	unsigned long freed;

	if (!(sc->gfp_mask & __GFP_FS) || !isolated.most)
		return SHRINK_STOP;
	list_lru_shrink_walk(&cowmem_lru, sc, isolate, &isolated);
	if (!isolated.count)
		return SHRINK_STOP;
	freed = cowmem_shrink(&isolated);
	sc->nr_scanned = isolated.scanned;
	cowmem_reclaim_account(freed);
	return freed;
}

int cowmem_shrinker_init(void)
{
	int err;

	shrinker = shrinker_alloc(SHRINKER_MEMCG_AWARE | SHRINKER_NUMA_AWARE | SHRINKER_NONSLAB,
	                          "cowmem");
	if (!shrinker)
		return -ENOMEM;
	err = list_lru_init_memcg(&cowmem_lru, shrinker);
	if (err) {
		shrinker_free(shrinker);
		return err;
	}
	shrinker->count_objects = count_pages;
	shrinker->scan_objects = scan_pages;
	shrinker->batch = KAPI_MAX_ISOLATED;
	shrinker_register(shrinker);
	return 0;
}

void cowmem_shrinker_exit(void)
{
	shrinker_free(shrinker);
	list_lru_destroy(&cowmem_lru);
}
