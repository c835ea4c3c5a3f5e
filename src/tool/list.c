// SPDX-License-Identifier: GPL-2.0
/* The subcommands that tell about many objects, and about who uses them: ls, who, top. */
#define _GNU_SOURCE
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COUNTERS "/sys/class/misc/cowmem/counters/"

/* --- ls --- */

static int by_name(const void *a, const void *b)
{
	const struct found *first = a, *second = b;

	if (first->pid != second->pid)
		return first->pid < second->pid ? -1 : 1;
	if (first->pid && first->fd != second->fd)
		return first->fd < second->fd ? -1 : 1;
	return strcmp(first->name, second->name);
}

int run_ls(void)
{
	static const struct column columns[] = {
		{"kind", "KIND", TEXT},       {"bytes", "SIZE", BYTES},
		{"pages", "PAGES", PAGES},    {"own_pages", "OWN", PAGES},
		{"own_slots", "OUT", PAGES},  {"id", "ID", NUMBER},
		{"parent", "PARENT", NUMBER}, {"family", "FAMILY", NUMBER},
		{"pinnable", "PIN", TEXT},    {"pid", "PID", NUMBER},
		{"fd", "FD", NUMBER},         {"name", "NAME", TEXT},
	};
	struct findings findings = {0};
	struct sheet sheet;
	int err = 0;

	if (!options.operand_count)
		find_all(&findings);
	for (int i = 0; i < options.operand_count; i++) {
		err = find_in(&findings, options.operands[i]);
		if (err) {
			findings_free(&findings);
			if (err == -ENOTDIR)
				return fail_hint(err, "cowmem stat tells of one object", "%s",
				                 options.operands[i]);
			return fail(err, "%s", options.operands[i]);
		}
	}
	if (findings.count)
		qsort(findings.found, findings.count, sizeof(*findings.found), by_name);
	sheet_begin(&sheet, columns, sizeof(columns) / sizeof(*columns));
	for (size_t i = 0; i < findings.count; i++) {
		const struct found *found = &findings.found[i];
		const bool known = *found->told.kind;

		sheet_text(&sheet, known ? found->told.kind : NULL);
		sheet_number(&sheet, found->bytes);
		sheet_number(&sheet, known ? found->told.pages : NO_LIMIT);
		sheet_number(&sheet, known ? found->told.own_pages : NO_LIMIT);
		sheet_number(&sheet, known ? found->told.own_slots : NO_LIMIT);
		sheet_number(&sheet, found->told.id ? found->told.id : NO_LIMIT);
		sheet_number(&sheet, found->told.parent ? found->told.parent : NO_LIMIT);
		sheet_number(&sheet, found->told.family ? found->told.family : NO_LIMIT);
		sheet_text(&sheet, found->told.pinnable ? "yes" : NULL);
		sheet_number(&sheet, found->pid ? (uint64_t)found->pid : NO_LIMIT);
		sheet_number(&sheet, found->pid ? (uint64_t)found->fd : NO_LIMIT);
		sheet_text(&sheet, found->name);
	}
	out_begin();
	if (findings.count || options.json)
		sheet_print(&sheet, "objects");
	else
		puts("there is no object that you may see");
	out_end();
	findings_free(&findings);
	return DONE;
}

/* --- who --- */

/* What one process maps of an object. */
struct user {
	uint32_t pid;
	uint64_t entries, shared, copies, writable, dirty, locked, lowest;
};

/* The users of the object @fd in @users, which is the caller's to free; how many; or -errno. */
static long find_users(int fd, struct user **users, uint64_t *hidden)
{
	struct cowmem_rmap_iter *iter;
	struct cowmem_mapping mapping;
	int err = cowmem_rmap_iter_new(&iter, fd, options.offset, options.length, 0);
	size_t count = 0;

	*users = NULL;
	while (!err && (err = cowmem_rmap_iter_next(iter, &mapping)) == 1) {
		struct user *user = NULL;

		err = 0;
		for (size_t i = 0; i < count && !user; i++)
			if ((*users)[i].pid == mapping.pid)
				user = &(*users)[i];
		if (!user) {
			*users = realloc(*users, (count + 1) * sizeof(**users));
			if (!*users)
				abort();
			user = &(*users)[count++];
			*user = (struct user){.pid = mapping.pid, .lowest = mapping.address};
		}
		user->entries++;
		user->shared += !!(mapping.flags & COWMEM_MAPPING_SHARED);
		user->copies += !!(mapping.flags & COWMEM_MAPPING_COPY);
		user->writable += !!(mapping.flags & COWMEM_MAPPING_WRITABLE);
		user->dirty += !!(mapping.flags & COWMEM_MAPPING_DIRTY);
		user->locked += !!(mapping.flags & COWMEM_MAPPING_LOCKED);
		if (mapping.address < user->lowest)
			user->lowest = mapping.address;
	}
	*hidden = iter ? cowmem_rmap_iter_hidden(iter) : 0;
	cowmem_rmap_iter_free(iter);
	return err ? err : (long)count;
}

static void print_users(const struct user *users, size_t count)
{
	static const struct column columns[] = {
		{"pid", "PID", NUMBER},      {"command", "COMMAND", TEXT},
		{"pages", "PAGES", PAGES},   {"shared", "SHARED", PAGES},
		{"copies", "COPIES", PAGES}, {"writable", "WRITABLE", PAGES},
		{"dirty", "DIRTY", PAGES},   {"locked", "LOCKED", PAGES},
		{"address", NULL, NUMBER},
	};
	struct sheet sheet;

	sheet_begin(&sheet, columns, sizeof(columns) / sizeof(*columns));
	for (size_t i = 0; i < count; i++) {
		sheet_number(&sheet, users[i].pid);
		sheet_text(&sheet, command_of((pid_t)users[i].pid));
		sheet_number(&sheet, users[i].entries);
		sheet_number(&sheet, users[i].shared);
		sheet_number(&sheet, users[i].copies);
		sheet_number(&sheet, users[i].writable);
		sheet_number(&sheet, users[i].dirty);
		sheet_number(&sheet, users[i].locked);
		sheet_number(&sheet, users[i].lowest);
	}
	sheet_print(&sheet, "processes");
}

/* Of the same object, the one with a name is shown; others are its holders. */
static bool is_repeated(const struct findings *findings, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (findings->found[i].told.id == findings->found[index].told.id)
			return true;
	return false;
}

static void draw_node(const struct findings *findings, size_t index, uint64_t self)
{
	const struct found *found = &findings->found[index];

	printf("%s%s%s %s  %s%" PRIu64 " own%s, %" PRIu64 " in all",
	       found->told.id == self ? BOLD : "", found->told.kind, PLAIN, visible(found->name),
	       found->told.own_pages ? YELLOW : "", found->told.own_pages, PLAIN,
	       found->told.pages);
	if (found->told.own_slots)
		printf(", %" PRIu64 " paged out", found->told.own_slots);
	for (size_t i = index; i < findings->count; i++)
		if (findings->found[i].told.id == found->told.id && findings->found[i].pid)
			printf("  [%d %s]", findings->found[i].pid,
			       visible(command_of(findings->found[i].pid)));
	putchar('\n');
}

static bool is_child(const struct findings *findings, size_t index, uint64_t parent)
{
	return findings->found[index].told.parent == parent && !is_repeated(findings, index);
}

static void draw_children(const struct findings *findings, uint64_t parent, uint64_t self,
                          const char *indent)
{
	size_t left = 0;

	for (size_t i = 0; i < findings->count; i++)
		left += is_child(findings, i, parent);
	for (size_t i = 0; i < findings->count; i++) {
		char deeper[256];

		if (!is_child(findings, i, parent))
			continue;
		left--;
		printf("%s%s", indent, left ? "├─ " : "└─ ");
		draw_node(findings, i, self);
		snprintf(deeper, sizeof(deeper), "%s%s", indent, left ? "│  " : "   ");
		/* The indentation is all that the depth takes: it ends somewhere. */
		if (strlen(deeper) < sizeof(deeper) - 8)
			draw_children(findings, findings->found[i].told.id, self, deeper);
	}
}

static bool has_parent(const struct findings *findings, size_t index)
{
	for (size_t i = 0; i < findings->count; i++)
		if (findings->found[index].told.parent &&
		    findings->found[i].told.id == findings->found[index].told.parent)
			return true;
	return false;
}

/* Leaves those of one family, or, without one, the object @self alone. */
static void keep_family(struct findings *findings, uint64_t family, uint64_t self)
{
	size_t kept = 0;

	for (size_t i = 0; i < findings->count; i++) {
		struct found *found = &findings->found[i];
		const bool is_of_it =
			*found->told.kind && found->told.id &&
			(family ? found->told.family == family : found->told.id == self);

		if (is_of_it)
			findings->found[kept++] = *found;
		else
			free(found->name);
	}
	findings->count = kept;
	if (kept)
		qsort(findings->found, kept, sizeof(*findings->found), by_name);
}

/* Objects whose parent is gone, or cannot be seen, begin a tree. */
static void draw_tree(const struct findings *findings, uint64_t self)
{
	for (size_t i = 0; i < findings->count; i++) {
		if (has_parent(findings, i) || is_repeated(findings, i))
			continue;
		if (findings->found[i].told.parent)
			printf("(%" PRIu64 ", which is gone or not for you)\n└─ ",
			       findings->found[i].told.parent);
		draw_node(findings, i, self);
		draw_children(findings, findings->found[i].told.id, self,
		              findings->found[i].told.parent ? "   " : "");
	}
}

static void print_family(const struct findings *findings)
{
	static const struct column columns[] = {
		{"kind", "KIND", TEXT},      {"name", "NAME", TEXT},
		{"id", "ID", NUMBER},        {"parent", "PARENT", NUMBER},
		{"pages", "PAGES", PAGES},   {"own_pages", "OWN", PAGES},
		{"own_slots", "OUT", PAGES}, {"pid", "PID", NUMBER},
	};
	struct sheet sheet;

	sheet_begin(&sheet, columns, sizeof(columns) / sizeof(*columns));
	for (size_t i = 0; i < findings->count; i++) {
		const struct found *found = &findings->found[i];

		sheet_text(&sheet, found->told.kind);
		sheet_text(&sheet, found->name);
		sheet_number(&sheet, found->told.id);
		sheet_number(&sheet, found->told.parent ? found->told.parent : NO_LIMIT);
		sheet_number(&sheet, found->told.pages);
		sheet_number(&sheet, found->told.own_pages);
		sheet_number(&sheet, found->told.own_slots);
		sheet_number(&sheet, found->pid ? (uint64_t)found->pid : NO_LIMIT);
	}
	sheet_print(&sheet, "family");
}

int run_who(void)
{
	int next, fd = open_first(READ, &next);
	struct findings findings = {0};
	struct user *users;
	uint64_t hidden, id = 0;
	struct told told;
	long count;

	if (fd < 0)
		return FAILED;
	count = find_users(fd, &users, &hidden);
	if (count < 0) {
		free(users);
		close(fd);
		return fail((int)count, "%s", first_name());
	}
	tell(0, fd, &told);
	cowmem_object_id(fd, &id);
	close(fd);
	out_begin();
	if (count || options.json)
		print_users(users, (size_t)count);
	else
		puts("no process that you may look into maps it");
	if (hidden || options.json)
		out_number("hidden", "\nof others", PAGES, hidden);
	if (options.tree) {
		find_all(&findings);
		keep_family(&findings, told.family, id);
		if (options.json) {
			print_family(&findings);
		} else {
			putchar('\n');
			draw_tree(&findings, id);
		}
		findings_free(&findings);
	}
	out_end();
	free(users);
	return DONE;
}

/* --- top --- */

static uint64_t counter(const char *name)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), COUNTERS "%s", name);
	return read_line(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* What is counted for all: the number since the module was loaded, and how fast it goes. */
static const struct {
	const char *name, *key, *heading;
} rates[] = {
	{"fault_read", "read_faults", "faults that read"},
	{"fault_shared_write", "shared_write_faults", "faults that write"},
	{"fault_private_write", "private_write_faults", "private writes"},
	{"major_faults", "major_faults", "major faults"},
	{"pages_paged_out", "paged_out", "pages out"},
	{"pages_brought_in", "brought_in", "pages in"},
	{"pages_allocated", "allocated", "pages taken"},
	{"pages_freed", "freed", "pages given back"},
};
#define RATES (sizeof(rates) / sizeof(*rates))

struct process {
	pid_t pid;
	uint64_t objects, pages, own_pages, own_slots, minor, major;
};

/* The faults of a process, since it began. */
static void count_faults(struct process *process)
{
	char path[40], text[1024];
	const char *rest;

	snprintf(path, sizeof(path), "/proc/%d/stat", process->pid);
	if (!read_line(path, text, sizeof(text)) || !(rest = strrchr(text, ')')))
		return;
	sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %" SCNu64 " %*u %" SCNu64, &process->minor,
	       &process->major);
}

static int by_own(const void *a, const void *b)
{
	const struct process *first = a, *second = b;

	return first->own_pages < second->own_pages   ? 1
	       : first->own_pages > second->own_pages ? -1
	                                              : 0;
}

static void print_processes(const struct findings *findings)
{
	static const struct column columns[] = {
		{"pid", "PID", NUMBER},
		{"command", "COMMAND", TEXT},
		{"objects", "OBJECTS", NUMBER},
		{"pages", "PAGES", PAGES},
		{"own_pages", "OWN", PAGES},
		{"own_slots", "OUT", PAGES},
		{"minor_faults", "MINFLT", NUMBER},
		{"major_faults", "MAJFLT", NUMBER},
	};
	struct process *processes = calloc(findings->count + 1, sizeof(*processes));
	size_t count = 0;
	struct sheet sheet;

	if (!processes)
		abort();
	for (size_t i = 0; i < findings->count; i++) {
		const struct found *found = &findings->found[i];
		struct process *process = NULL;

		if (!found->pid)
			continue;
		for (size_t p = 0; p < count && !process; p++)
			if (processes[p].pid == found->pid)
				process = &processes[p];
		if (!process) {
			process = &processes[count++];
			process->pid = found->pid;
			count_faults(process);
		}
		process->objects++;
		process->pages += found->told.pages;
		process->own_pages += found->told.own_pages;
		process->own_slots += found->told.own_slots;
	}
	qsort(processes, count, sizeof(*processes), by_own);
	sheet_begin(&sheet, columns, sizeof(columns) / sizeof(*columns));
	for (size_t p = 0; p < count; p++) {
		sheet_number(&sheet, (uint64_t)processes[p].pid);
		sheet_text(&sheet, command_of(processes[p].pid));
		sheet_number(&sheet, processes[p].objects);
		sheet_number(&sheet, processes[p].pages);
		sheet_number(&sheet, processes[p].own_pages);
		sheet_number(&sheet, processes[p].own_slots);
		sheet_number(&sheet, processes[p].minor);
		sheet_number(&sheet, processes[p].major);
	}
	free(processes);
	sheet_print(&sheet, "processes");
}

/* Memory that the store has, for all; NO_LIMIT: the device is not for the caller. */
static uint64_t pool_bytes(void)
{
	const int fd = cowmem_object_open_device();
	struct cowmem_store_stat stat;
	const int err = fd < 0 ? fd : cowmem_object_store_stat(fd, &stat);

	if (fd >= 0)
		close(fd);
	return err ? NO_LIMIT : stat.pool_bytes;
}

/* One print; @before has what was counted at the last one, @seconds ago, or that is 0. */
static void print_top(uint64_t before[RATES], double seconds)
{
	static const struct column columns[] = {{"what", "COUNTED", TEXT},
	                                        {"total", "TOTAL", NUMBER},
	                                        {"per_second", "A SECOND", NUMBER}};
	struct findings findings = {0};
	struct sheet sheet;
	uint64_t named = 0;

	find_all(&findings);
	for (size_t i = 0; i < findings.count; i++)
		named += !findings.found[i].pid;
	out_begin();
	out_number("named_objects", "objects of mounts", NUMBER, named);
	out_number("held_objects", "descriptors", NUMBER, findings.count - named);
	out_number("pages", "pages of all", PAGES,
	           counter("pages_allocated") - counter("pages_freed"));
	out_number("pool_bytes", "memory of the store", BYTES, pool_bytes());
	sheet_begin(&sheet, columns, 3);
	for (size_t i = 0; i < RATES; i++) {
		const uint64_t now = counter(rates[i].name);

		sheet_text(&sheet, options.json ? rates[i].key : rates[i].heading);
		sheet_number(&sheet, now);
		sheet_number(&sheet, seconds > 0 ? (uint64_t)((double)(now - before[i]) / seconds)
		                                 : NO_LIMIT);
		before[i] = now;
	}
	if (!options.json)
		putchar('\n');
	sheet_print(&sheet, "counters");
	if (!options.json)
		putchar('\n');
	print_processes(&findings);
	out_end();
	fflush(stdout);
	findings_free(&findings);
}

int run_top(void)
{
	uint64_t before[RATES], prints = 0;
	const uint64_t most = options.once ? 1 : options.count;
	struct timespec last = {0}, now;

	if (access(COUNTERS, F_OK))
		return fail(-ENODEV, "there is nothing to count");
	for (;;) {
		double seconds;

		clock_gettime(CLOCK_MONOTONIC, &now);
		seconds = (double)(now.tv_sec - last.tv_sec) +
		          1e-9 * (double)(now.tv_nsec - last.tv_nsec);
		if (is_terminal())
			fputs("\033[H\033[2J", stdout);
		print_top(before, prints ? seconds : 0);
		last = now;
		if (++prints == most || ferror(stdout))
			return DONE;
		sleep(options.delay ? (unsigned int)options.delay : 1);
	}
}
