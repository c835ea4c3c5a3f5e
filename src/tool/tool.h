/* SPDX-License-Identifier: GPL-2.0 */
/* The tool `cowmem`: what its subcommands share. */
#ifndef COWMEM_TOOL_H
#define COWMEM_TOOL_H

#include <cowmem/cowmem.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE_SIZE 4096ULL
#define NO_LIMIT UINT64_MAX /* a number that stands for none: null in JSON */

/* What a subcommand gives main() to exit with. */
enum { DONE = 0, FAILED = 1, WRONG_USE = 2 };

/* --- options --- */

/* What was said on the command line, all subcommands together. */
struct options {
	bool json, hold, tree, ranges, accessed, to_write, once, keep, writable, how_far,
		no_progress, pinnable;
	pid_t pid;
	int fd; /* of that process; -1: not said */
	const char *from, *name;
	uint64_t offset, length, size, max_copies, at, delay, count, level, unused;
	bool has_size, has_max_copies, has_range, has_unused, drop;
	char **operands;
	int operand_count;
};

extern struct options options;

/* A subcommand. @operands is how the help shows them. */
struct command {
	const char *name;
	const char *operands;
	const char *about;
	int least,
		most; /* operands, where no process's descriptor is named in place of the first */
	bool takes_descriptor; /* --pid and --fd stand for the first operand */
	const char *flags;     /* the long options that it has, besides --json, --help */
	int (*run)(void);
};

/* --- errors --- */

/*
 * Say on stderr what could not be done, and what to do about it, if anything is known; in JSON
 * on stdout, too. @err: a negative errno, or 0: @format says it all. FAILED.
 */
__attribute__((format(printf, 2, 3))) int fail(int err, const char *format, ...);

/* The same with what to do about it. */
__attribute__((format(printf, 3, 4))) int fail_hint(int err, const char *hint, const char *format,
                                                    ...);

/* --- output: a JSON object, or text (out.c) --- */

enum kind { TEXT, NUMBER, PAGES, BYTES, FLAG };

struct column {
	const char *key;     /* in JSON */
	const char *heading; /* in text; NULL: only in JSON */
	enum kind kind;
};

/* Rows of cells, in the order of the columns. */
struct sheet {
	const struct column *columns;
	size_t column_count, cell_count, room;
	struct cell {
		char *text;
		uint64_t number;
	} *cells;
};

void sheet_begin(struct sheet *sheet, const struct column *columns, size_t count);
void sheet_text(struct sheet *sheet, const char *text);
void sheet_number(struct sheet *sheet, uint64_t number);
/* Print the rows as a table, or as the array @key; and free them. */
void sheet_print(struct sheet *sheet, const char *key);
/* Print the one row as lines, or as members; and free it. */
void sheet_print_facts(struct sheet *sheet);

/* All that is printed is between these. */
void out_begin(void);
void out_end(void);
/* One member, or a line. @heading: NULL: only in JSON. */
void out_fact(const char *key, const char *heading, const char *text);
void out_number(const char *key, const char *heading, enum kind kind, uint64_t number);
/* An array of strings, or a line of words. */
void out_list_begin(const char *key, const char *heading);
void out_list_item(const char *text);
void out_list_end(void);

/* Whether stdout is a terminal, so that colours may be used. */
bool is_terminal(void);
/* The escape sequence, or "". */
const char *colour(const char *sequence);
#define RED colour("\033[31m")
#define GREEN colour("\033[32m")
#define YELLOW colour("\033[33m")
#define BOLD colour("\033[1m")
#define PLAIN colour("\033[0m")

/* @text, with what a terminal would take for commands made visible; in a buffer of its own. */
const char *visible(const char *text);
/* "1.5 MiB", in a buffer of its own. */
const char *size_text(uint64_t bytes);

/* --- operands --- */

/* @text as a number of bytes with k, m, g or t behind it, or a number. false: it is none. */
bool parse_size(const char *text, uint64_t *number);

/* For what an object is opened. IF_POSSIBLE: a snapshot, which nobody writes, is opened all the same. */
enum use { READ, WRITE, WRITE_IF_POSSIBLE };

/*
 * The object that the first operand names, or --pid and --fd. The descriptor; or -1, and why was
 * said. @next: the index of the operand that follows.
 */
int open_first(enum use use, int *next);
/* The object at @path. The same. */
int open_path(const char *path, enum use use);
/* What open_first() opened, to be named in messages. */
const char *first_name(void);
/* Names the object @fd @path in its mount; 0, or it was said why not, FAILED. */
int give_name(int fd, const char *path);
/* Tells who the object @fd belongs to as long as nobody stops the tool. */
int hold(int fd);

/* What /proc/PID/fdinfo/N says of an object, in pages. */
struct told {
	char kind[24];
	bool pinnable;
	uint64_t id, family, parent, pages, own_pages, own_slots;
};
/* Of descriptor @fd of process @pid; 0: the tool's own. false: it is no object of cowmem's, or may not be read. */
bool tell(pid_t pid, int fd, struct told *told);

/* One object that somebody holds, or that has a name. */
struct found {
	struct told told;
	uint64_t bytes;
	pid_t pid; /* of who holds it; 0: it has a name */
	int fd;
	char *name; /* the path in a mount, or what the process's link says */
};

struct findings {
	struct found *found;
	size_t count, room;
};
/* All objects of mounts, and of processes, that the caller may see; findings_free() is his. */
void find_all(struct findings *findings);
/* Those of a directory. 0 or -errno. */
int find_in(struct findings *findings, const char *directory);
void findings_free(struct findings *findings);
/* The name of a process, in a buffer of its own. */
const char *command_of(pid_t pid);

/* One counter, or parameter, of the module's, in @text; false: it cannot be read. */
bool read_line(const char *path, char *text, size_t room);

/* --- subcommands --- */
int run_create(void), run_ls(void), run_stat(void), run_snapshot(void), run_clone(void),
	run_restore(void), run_diff(void), run_who(void), run_page_out(void), run_prefetch(void),
	run_collapse(void), run_top(void), run_send(void), run_receive(void), run_mount_info(void),
	run_doctor(void);

#endif /* COWMEM_TOOL_H */
