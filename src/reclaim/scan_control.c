// SPDX-License-Identifier: GPL-2.0
/*
 * What a round of memory reclaim wants, and how much it has, for the shrinker.
 *
 * vmscan counts what shrinkers free in reclaim of the whole machine only, since what a slab gives
 * back may be anybody's. Pages are charged each by itself, and those that are taken here are all
 * the cgroup's that is reclaimed: without a word of them its reclaim would go on until nothing
 * is left, and call itself failed. So they are counted where vmscan counts its own, in its
 * struct scan_control. No header has that; the kernel's own description of its types (BTF) says
 * where its members are. A kernel that has no such description is told as any shrinker tells it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/memcontrol.h>
#include <linux/sched.h>
#include <linux/swap.h>

#include "kernel/module.h"
#include "kernel/symbols.h"

static void __init say_unknown(void)
{
	pr_info("this kernel does not say what reclaim wants: that of a cgroup takes more\n");
}

#if defined(CONFIG_MEMCG) && defined(CONFIG_DEBUG_INFO_BTF)
/* Bytes from a scan_control to a member, and whether all are known. */
static struct {
	bool known;
	unsigned int nr_to_reclaim, target_mem_cgroup, nr_reclaimed, reclaim_state;
} offset __ro_after_init;

/* Of a member's @kind and @size, if it is no pointer, nothing else is taken for it. */
static bool is_such(const struct btf *btf, const struct btf_member *member, int kind, size_t size)
{
	const struct btf_type *type = btf_type_by_id(btf, member->type);

	return type && btf_kind(type) == kind && (kind == BTF_KIND_PTR || type->size == size);
}

static bool find_member(const struct btf *btf, const struct btf_type *type, const char *name,
                        int kind, size_t size, unsigned int *bytes)
{
	const struct btf_member *member = btf_members(type);

	for (int i = 0; i < btf_type_vlen(type); i++, member++) {
		const char *found = cowmem_symbol_call(btf_name_by_offset)(btf, member->name_off);

		if (strcmp(found, name))
			continue;
		*bytes = __btf_member_bit_offset(type, member) / BITS_PER_BYTE;
		return is_such(btf, member, kind, size) &&
		       !(__btf_member_bit_offset(type, member) % BITS_PER_BYTE) &&
		       !__btf_member_bitfield_size(type, member);
	}
	return false;
}

static bool __init find_all(void)
{
	const struct btf *btf = cowmem_symbol_call(bpf_get_btf_vmlinux)();
	const struct btf_type *type;
	int id;

	if (IS_ERR_OR_NULL(btf))
		return false;
	id = cowmem_symbol_call(btf_find_by_name_kind)(btf, "scan_control", BTF_KIND_STRUCT);
	type = id < 0 ? NULL : btf_type_by_id(btf, id);
#define FIND(kind, size, name) find_member(btf, type, #name, BTF_KIND_##kind, size, &offset.name)
	return type && FIND(INT, sizeof(long), nr_to_reclaim) &&
	       FIND(PTR, sizeof(void *), target_mem_cgroup) &&
	       FIND(INT, sizeof(long), nr_reclaimed) &&
	       FIND(STRUCT, sizeof(struct reclaim_state), reclaim_state);
#undef FIND
}

int __init cowmem_scan_control_init(void)
{
	offset.known = find_all();
	if (!offset.known)
		say_unknown();
	return 0;
}

/* The round's scan_control, if it is one of a cgroup, or NULL. */
static void *round_of_cgroup(void)
{
	void *sc = (void *)current->reclaim_state;
	struct mem_cgroup *target;

	if (!offset.known || !sc)
		return NULL;
	sc -= offset.reclaim_state;
	target = *(struct mem_cgroup **)(sc + offset.target_mem_cgroup);
	return target && target->css.parent ? sc : NULL;
}

/*
 * How many pages of @memcg this round still wants of the shrinker: as many as of all the rest.
 * Others' slab pages that it frees count, too: vmscan resets their number between rounds of the
 * whole machine only. Where it counts what shrinkers free at the end of all its cgroups, each has
 * its share only if it is the only one.
 */
unsigned long cowmem_reclaim_wants(const struct mem_cgroup *memcg)
{
	const void *sc = round_of_cgroup();
	unsigned long wanted;

	if (!sc)
		return ULONG_MAX;
	if (compat_shrinkers_count_for_cgroups &&
	    *(struct mem_cgroup *const *)(sc + offset.target_mem_cgroup) != memcg)
		return ULONG_MAX;
	wanted = *(const unsigned long *)(sc + offset.nr_to_reclaim);
	return wanted - min(wanted, compat_reclaimed(current->reclaim_state));
}

/* So many pages, charged to the cgroup that is reclaimed, are free. */
void cowmem_reclaim_account(unsigned long pages)
{
	void *sc = round_of_cgroup();

	if (sc && !compat_shrinkers_count_for_cgroups)
		*(unsigned long *)(sc + offset.nr_reclaimed) += pages;
	mm_account_reclaimed_pages(pages);
}
#else
int __init cowmem_scan_control_init(void)
{
	say_unknown();
	return 0;
}

unsigned long cowmem_reclaim_wants(const struct mem_cgroup *memcg)
{
	return ULONG_MAX;
}

void cowmem_reclaim_account(unsigned long pages)
{
	mm_account_reclaimed_pages(pages);
}
#endif
