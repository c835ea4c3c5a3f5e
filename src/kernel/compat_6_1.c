// SPDX-License-Identifier: GPL-2.0
/* What of kernel/compat_6_1.h is more than a name. */
#include "kernel/compat.h"
#include "kernel/symbols.h"

#if IS_BEFORE(6, 12)
void compat_kfree(struct rcu_head *head)
{
	kfree(head);
}

static unsigned long count_nothing(struct shrinker *shrinker, struct shrink_control *sc)
{
	return 0;
}

static unsigned long scan_nothing(struct shrinker *shrinker, struct shrink_control *sc)
{
	return SHRINK_STOP;
}

/*
 * A shrinker that finds nothing until it is told how. It is registered from the beginning,
 * since the lists for cgroups want to know its number.
 */
struct shrinker *compat_shrinker_alloc(unsigned int flags, const char *name)
{
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count_nothing;
	shrinker->scan_objects = scan_nothing;
	shrinker->seeks = DEFAULT_SEEKS;
	shrinker->flags = flags;
	if (!register_shrinker(shrinker, "%s", name))
		return shrinker;
	kfree(shrinker);
	return NULL;
}

void compat_shrinker_free(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
	kfree(shrinker);
}

/*
 * The list of @memcg, with the lock of @lru's @node held. A cgroup that goes has its parent's
 * number first, then its list is none of @lru's any more, and then, under the lock, what is on
 * it becomes the parent's.
 */
static struct list_lru_one *list_of(struct list_lru *lru, int node, struct mem_cgroup *memcg)
{
#ifdef CONFIG_MEMCG_KMEM
	struct list_lru_memcg *lists;

	while (memcg_kmem_id(memcg) >= 0) {
		lists = xa_load(&lru->xa, memcg_kmem_id(memcg));
		if (lists)
			return &lists->node[node];
	}
#endif
	return &lru->node[node].lru;
}

/* list_lru_add() as it is for what is not in a slab. Under RCU. */
bool compat_lru_add(struct list_lru *lru, struct list_head *item, int node,
                    struct mem_cgroup *memcg)
{
	struct list_lru_node *of_node = &lru->node[node];
	bool fresh;

	spin_lock(&of_node->lock);
	fresh = list_empty(item);
	if (fresh) {
		struct list_lru_one *list = list_of(lru, node, memcg);

		list_add_tail(item, &list->list);
#ifdef CONFIG_MEMCG
		if (!list->nr_items++)
			cowmem_symbol_call(set_shrinker_bit)(memcg, node, lru->shrinker_id);
#endif
		of_node->nr_items++;
	}
	spin_unlock(&of_node->lock);
	return fresh;
}

/* The same for list_lru_del(). */
bool compat_lru_del(struct list_lru *lru, struct list_head *item, int node,
                    struct mem_cgroup *memcg)
{
	struct list_lru_node *of_node = &lru->node[node];
	bool was_there;

	spin_lock(&of_node->lock);
	was_there = !list_empty(item);
	if (was_there) {
		list_del_init(item);
		list_of(lru, node, memcg)->nr_items--;
		of_node->nr_items--;
	}
	spin_unlock(&of_node->lock);
	return was_there;
}
#endif
