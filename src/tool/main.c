// SPDX-License-Identifier: GPL-2.0
/* The tool `cowmem`: the table of its subcommands, what their options are, and its errors. */
#define _GNU_SOURCE
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {.fd = -1, .delay = 1, .level = 3};

static const struct command commands[] = {
	{"create", "PATH", "make an empty object", 1, 1, false, "size hold name pinnable",
         run_create},
	{"ls", "[DIRECTORY]...", "list the objects of mounts, and of processes", 0, 64, false, "",
         run_ls},
	{"stat", "OBJECT", "how large an object is, in memory and in the store", 1, 1, true, "",
         run_stat},
	{"snapshot", "OBJECT [PATH]", "keep an object as it is now", 2, 2, true,
         "hold max-copies drop", run_snapshot},
	{"clone", "OBJECT [PATH]", "make a copy, which shares memory until one of both is written",
         2, 2, true, "hold offset length", run_clone},
	{"restore", "OBJECT SNAPSHOT", "take an object back to a snapshot", 2, 2, true,
         "offset length", run_restore},
	{"diff", "OBJECT OTHER", "which pages of two relatives differ", 2, 2, true,
         "ranges offset length", run_diff},
	{"who", "OBJECT", "which processes map an object; with --tree, its family", 1, 1, true,
         "tree offset length", run_who},
	{"page-out", "OBJECT", "move an object out of memory, into the compressed store", 1, 1,
         true, "accessed unused offset length", run_page_out},
	{"prefetch", "OBJECT", "bring an object back into memory", 1, 1, true,
         "to-write offset length", run_prefetch},
	{"collapse", "OBJECT", "have pages of 2 MiB in place of 4 KiB", 1, 1, true, "offset length",
         run_collapse},
	{"top", "", "watch faults, the store, and the processes that have objects", 0, 0, false,
         "once delay count", run_top},
	{"send", "OBJECT", "write an object, or what changed in it, to stdout as a stream", 1, 1,
         true, "from at level no-progress", run_send},
	{"receive", "PATH", "make an object of such a stream from stdin", 1, 1, false,
         "from keep how-far writable no-progress", run_receive},
	{"mount-info", "[PATH]...", "the mounts of cowmem, and what is left of them", 0, 64, false,
         "", run_mount_info},
	{"doctor", "", "check kernel, module and permissions, and say what to do", 0, 0, false, "",
         run_doctor},
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

enum option_kind { SET, NUMBER_OF, SIZE_OF, WORD };

/* The options that some subcommand has. */
static const struct option_row {
	const char *name;
	enum option_kind kind;
	void *value;
	bool *given;
	const char *operand, *about;
} rows[] = {
	{"json", SET, &options.json, NULL, NULL, "print JSON"},
	{"pid", NUMBER_OF, &options.pid, NULL, "P", "the process whose descriptor --fd is meant"},
	{"fd", NUMBER_OF, &options.fd, NULL, "N", "in place of OBJECT: that descriptor"},
	{"size", SIZE_OF, &options.size, &options.has_size, "BYTES",
         "how large it is to be; with k, m, g or t"},
	{"hold", SET, &options.hold, NULL, NULL,
         "give it no name: print a path, and keep it until stopped"},
	{"name", WORD, &options.name, NULL, "NAME", "with --hold: what /proc/PID/maps shows"},
	{"pinnable", SET, &options.pinnable, NULL, NULL,
         "devices may write its memory for long: io_uring's buffers, RDMA, VFIO"},
	{"max-copies", SIZE_OF, &options.max_copies, &options.has_max_copies, "PAGES",
         "keep no more pages than that for it alone"},
	{"drop", SET, &options.drop, NULL, NULL, "beyond that give it up, rather than fail writes"},
	{"offset", SIZE_OF, &options.offset, &options.has_range, "BYTES",
         "where in the object to begin"},
	{"length", SIZE_OF, &options.length, &options.has_range, "BYTES", "how many from there"},
	{"ranges", SET, &options.ranges, NULL, NULL, "list the ranges that differ"},
	{"tree", SET, &options.tree, NULL, NULL, "draw the family: what came of what"},
	{"accessed", SET, &options.accessed, NULL, NULL, "also what was used lately"},
	{"to-write", SET, &options.to_write, NULL, NULL,
         "fill holes and copy what relatives see, too"},
	{"unused", SIZE_OF, &options.unused, &options.has_unused, "SECONDS",
         "wait so long, and take what nobody used meanwhile"},
	{"once", SET, &options.once, NULL, NULL, "print once, and end"},
	{"delay", SIZE_OF, &options.delay, NULL, "SECONDS", "from one print to the next"},
	{"count", SIZE_OF, &options.count, NULL, "N", "print so many times, and end"},
	{"from", WORD, &options.from, NULL, "SNAPSHOT", "only what changed since that one"},
	{"at", SIZE_OF, &options.at, NULL, "BYTES",
         "after a break, go on there: at what receive --how-far prints"},
	{"level", SIZE_OF, &options.level, NULL, "N", "zstd's level of compression, 1 to 19 (3)"},
	{"keep", SET, &options.keep, NULL, NULL, "if the stream breaks, keep what came, to go on"},
	{"how-far", SET, &options.how_far, NULL, NULL, "print how far what was kept came"},
	{"writable", SET, &options.writable, NULL, NULL,
         "make an object that can be written, not a snapshot"},
	{"no-progress", SET, &options.no_progress, NULL, NULL,
         "show no progress, not even on a terminal"},
};
#define ROWS (sizeof(rows) / sizeof(*rows))

static const struct command *running;

/* --- errors --- */

/* What the errno means here, and what to do; the library's errors as the interface has them. */
static const struct {
	int error;
	const char *means, *hint;
} errors[] = {
	{ENODEV, "the module cowmem is not loaded", "load it, as root: modprobe cowmem"},
	{EACCES, "it is not for you",
         "ask its owner, or root, for permission; for /dev/cowmem, to be put in the group cowmem"},
	{EPERM, "you may not do that", "it takes root, or a process of your own"},
	{ENOENT, "there is no such file or process", NULL},
	{EEXIST, "there is something of that name already",
         "remove it first, or take another name"},
	{ENOTTY, "it is no object of cowmem's",
         "objects are the files of a mount of cowmem (cowmem mount-info lists those), and "
         "descriptors "
         "of processes (cowmem ls)"},
	{EXDEV, "it is not in the object's own mount",
         "choose a path in the mount that the object is of"},
	{EROFS, "it is a snapshot, which nobody can write", "clone it, and write the clone"},
	{EBADF, "it is not open for that; a snapshot cannot be written",
         "clone it, and write the clone"},
	{ESTALE, "the snapshot was given up, as its limit was reached",
         "take another, with a higher --max-copies or none"},
	{ENOSPC, "the mount has no more room, or no more inodes",
         "remove files, or have root remount it with a larger size= or nr_inodes="},
	{EDQUOT, "a snapshot with a limit (--max-copies) does not permit it",
         "remove that snapshot, or restore to it"},
	{EMLINK, "65536 objects came from that one already", "remove some snapshots and clones"},
	{EINVAL, "that cannot be asked of it", NULL},
	{ENOMEM, "there is not enough memory", NULL},
	{EOPNOTSUPP, "this module, or a memfd, cannot do that",
         "cowmem doctor says what can be had"},
	{EFBIG, "it would be larger than an object can be", NULL},
	{ESRCH, "there is no such process", NULL},
	{EIO, "its memory is damaged, or the store cannot give it back", NULL},
};

/* Says "cowmem: WHAT: MEANS", and the hint. */
static int say_failure(int err, const char *hint, const char *format, va_list args)
{
	const char *means = NULL, *name = err ? strerrorname_np(-err) : NULL;
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (errors[i].error == -err) {
			means = errors[i].means;
			hint = hint ? hint : errors[i].hint;
		}
	if (err && !means)
		means = strerror(-err);
	fprintf(stderr, "cowmem: %s%s%s\n", visible(text), means ? ": " : "", means ? means : "");
	if (hint)
		fprintf(stderr, "        %s\n", hint);
	if (options.json) {
		out_begin();
		out_fact("error", NULL, text);
		out_fact("means", NULL, means);
		out_fact("errno", NULL, name);
		out_fact("hint", NULL, hint);
		out_end();
	}
	return FAILED;
}

int fail(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_failure(err, NULL, format, args);
	va_end(args);
	return FAILED;
}

int fail_hint(int err, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_failure(err, hint, format, args);
	va_end(args);
	return FAILED;
}

/* --- the command line --- */

static bool has_flag(const struct command *command, const char *name)
{
	const size_t length = strlen(name);

	if (!strcmp(name, "json"))
		return true;
	if (!strcmp(name, "pid") || !strcmp(name, "fd"))
		return command->takes_descriptor;
	for (const char *at = command->flags; *at; at += strspn(at, " ")) {
		if (strcspn(at, " ") == length && !strncmp(at, name, length))
			return true;
		at += strcspn(at, " ");
	}
	return false;
}

static void print_usage(void)
{
	puts("cowmem: memory as objects, to be snapshotted, cloned, compared, paged out and "
	     "sent\n\n"
	     "usage: cowmem COMMAND [OPTION]... [OPERAND]...\n\n"
	     "An OBJECT is a file of a mount of cowmem, /proc/PID/fd/N of a process that holds "
	     "one,\n"
	     "or, by --pid P --fd N in its place, any descriptor of a process.\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-10s  %-16s %s\n", commands[i].name, commands[i].operands,
		       commands[i].about);
	puts("\n`cowmem COMMAND --help` lists the options; `man cowmem` has it all. To begin, as "
	     "root:\n\n"
	     "    modprobe cowmem && mount -t cowmem none /mnt -o size=1g\n"
	     "    cp FILE /mnt/image && cowmem snapshot /mnt/image /mnt/before");
}

static void print_help(const struct command *command)
{
	printf("usage: cowmem %s [OPTION]... %s\n\n%s\n\n", command->name, command->operands,
	       command->about);
	for (size_t i = 0; i < ROWS; i++) {
		char text[40];

		snprintf(text, sizeof(text), "--%s %s", rows[i].name,
		         rows[i].operand ? rows[i].operand : "");
		/* What send prints is the stream, of which run_send() tells. */
		if (has_flag(command, rows[i].name) &&
		    !(command->run == run_send && !strcmp(rows[i].name, "json")))
			printf("  %-22s %s\n", text, rows[i].about);
	}
}

static int wrong_use(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int wrong_use(const char *format, ...)
{
	char hint[80];
	va_list args;

	snprintf(hint, sizeof(hint), "see: cowmem %s%s--help", running ? running->name : "",
	         running ? " " : "");
	va_start(args, format);
	say_failure(0, hint, format, args);
	va_end(args);
	return WRONG_USE;
}

bool parse_size(const char *text, uint64_t *number)
{
	static const char units[] = "kmgt";
	char *rest;
	const char *unit;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &rest, 0);
	if (errno)
		return false;
	unit = *rest ? strchr(units, *rest | 0x20) : NULL;
	if (unit) {
		const int shift = 10 * (int)(unit - units + 1);

		if (*number > UINT64_MAX >> shift)
			return false;
		*number <<= shift;
		rest++;
	}
	return !*rest;
}

/* Takes one option; DONE or WRONG_USE. */
static int take_option(const struct option_row *row, const char *text)
{
	uint64_t number = 0;

	if (!has_flag(running, row->name))
		return wrong_use("%s has no option --%s", running->name, row->name);
	if (row->given)
		*row->given = true;
	switch (row->kind) {
	case SET:
		*(bool *)row->value = true;
		return DONE;
	case WORD:
		*(const char **)row->value = text;
		return DONE;
	case NUMBER_OF:
		if (!parse_size(text, &number) || number > INT32_MAX)
			return wrong_use("--%s takes a number, and %s is none", row->name, text);
		*(int *)row->value = (int)number;
		return DONE;
	case SIZE_OF:
		if (!parse_size(text, (uint64_t *)row->value))
			return wrong_use("--%s takes a number, with k, m, g or t, and %s is none",
			                 row->name, text);
		return DONE;
	}
	return WRONG_USE;
}

static int parse(int argc, char **argv)
{
	struct option long_options[ROWS + 2] = {{0}};
	int index = 0, given, status;

	for (size_t i = 0; i < ROWS; i++)
		long_options[i] = (struct option){
			rows[i].name, rows[i].kind == SET ? no_argument : required_argument, NULL,
			0};
	long_options[ROWS] = (struct option){"help", no_argument, NULL, 'h'};
	opterr = 0;
	while ((given = getopt_long(argc, argv, ":hj", long_options, &index)) != -1) {
		if (given == 'h') {
			print_help(running);
			exit(DONE);
		}
		if (given == 'j')
			options.json = true;
		else if (given == ':')
			return wrong_use("%s takes a value", argv[optind - 1]);
		else if (given)
			return wrong_use("%s has no option %s", running->name, argv[optind - 1]);
		else if ((status = take_option(&rows[index], optarg)))
			return status;
	}
	options.operands = argv + optind;
	options.operand_count = argc - optind;
	return DONE;
}

static int check_operands(void)
{
	const bool by_descriptor = options.pid || options.fd >= 0;
	const int named = by_descriptor + options.operand_count;
	/* What --hold keeps has no path. */
	const int fewer = options.hold ? 1 : 0;

	if (by_descriptor && (!options.pid || options.fd < 0))
		return wrong_use("--pid and --fd go together");
	if (named < running->least - fewer)
		return wrong_use("%s needs %s%s", running->name, running->operands,
		                 has_flag(running, "hold") ? ", or --hold for one without a PATH"
		                                           : "");
	if (named > running->most - fewer)
		return wrong_use("%s takes %s, and no more%s", running->name,
		                 *running->operands ? running->operands : "no operand",
		                 options.hold ? "; with --hold, no PATH" : "");
	if (options.has_range && (options.offset | options.length) % PAGE_SIZE)
		return wrong_use("--offset and --length are multiples of %llu", PAGE_SIZE);
	if (options.has_range && !options.length)
		return wrong_use("--offset needs a --length");
	if (options.has_unused && options.accessed)
		return wrong_use("--accessed and --unused do not go together");
	if (options.unused > INT32_MAX)
		return wrong_use("--unused is at most %d seconds", INT32_MAX);
	return DONE;
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") ||
	    !strcmp(argv[1], "-h")) {
		print_usage();
		return argc < 2 ? WRONG_USE : DONE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("cowmem %s\n", cowmem_version());
		return DONE;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			running = &commands[i];
	if (!running)
		return wrong_use("there is no command %s", argv[1]);
	status = parse(argc - 1, argv + 1);
	if (!status)
		status = check_operands();
	if (!status)
		status = running->run();
	if (fflush(stdout) || ferror(stdout))
		return fail(-errno, "could not write the output");
	return status;
}
