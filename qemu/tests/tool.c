// SPDX-License-Identifier: GPL-2.0
/* The tool /bin/cowmem: each of its subcommands, as root and as a user who is nobody. */
#include "as_user.h"
#include "json.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>

#define TOOL "/bin/cowmem"
#define PAGES(n) ((n) * PAGE)

static char folder[64]; /* of the case, in a mount */
static char mount_point[] = "/tmp/tool-XXXXXX";

/* What the tool said last. */
static char said[1 << 16], complained[1 << 14];

static void read_all(int fd, char *text, size_t room)
{
	size_t have = 0;
	ssize_t got;

	while (have < room - 1 && (got = read(fd, text + have, room - 1 - have)) > 0)
		have += (size_t)got;
	text[have] = '\0';
	close(fd);
}

/* Starts the tool with words that blanks are between; what stdin, stdout and stderr are. */
static pid_t start_tool(int in, int out, int err, const char *words)
{
	const pid_t child = fork();

	MUST(child >= 0);
	if (!child) {
		char text[512], *rest = text, *argv[32] = {TOOL};
		int count = 1;

		snprintf(text, sizeof(text), "%s", words);
		while (rest && count < 31)
			argv[count++] = strsep(&rest, " ");
		dup2(in, STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		if (chdir(folder))
			_exit(126);
		execv(TOOL, argv);
		_exit(127);
	}
	return child;
}

static int end_of(pid_t child)
{
	int status;

	MUST(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int scratch(void)
{
	const int fd = memfd_create("scratch", 0);

	MUST(fd >= 0);
	return fd;
}

/* Runs the tool, with @in as stdin and @out as stdout, unless they are -1. Its exit code. */
static int run_between(int in, int out, const char *words)
{
	const int to = out < 0 ? scratch() : out, err = scratch();
	const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const int status = end_of(start_tool(in < 0 ? null : in, to, err, words));

	close(null);
	lseek(err, 0, SEEK_SET);
	read_all(err, complained, sizeof(complained));
	*said = '\0';
	if (out < 0) {
		lseek(to, 0, SEEK_SET);
		read_all(to, said, sizeof(said));
		/* Whatever came of it. */
		if (strstr(words, " --json"))
			CHECK(json_is_object(said));
	}
	return status;
}

__attribute__((format(printf, 1, 2))) static int tool(const char *format, ...)
{
	char words[512];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return run_between(-1, -1, words);
}

/* The tool ends with @expected; what it said is told if not. */
#define CHECK_TOOL(expected, ...)                                           \
	do {                                                                \
		const int e_ = tool(__VA_ARGS__);                           \
		CHECK_EQ(e_, expected);                                     \
		if (e_ != (expected))                                       \
			ksft_print_msg("of \"" __VA_ARGS__), tell_output(); \
	} while (0)

static void tell_output(void)
{
	ksft_print_msg("stdout: %.600s\n", said);
	ksft_print_msg("stderr: %.600s\n", complained);
}

#define CHECK_JSON(path, expected)                                                              \
	do {                                                                                    \
		const char *g_ = json_get(said, path);                                          \
		if (!json_is_object(said) || strcmp(g_, expected)) {                            \
			test_failed = true;                                                     \
			ksft_print_msg("%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, \
			               path, g_, expected);                                     \
			tell_output();                                                          \
		}                                                                               \
	} while (0)

#define CHECK_SAYS(text, part)                                                                    \
	do {                                                                                      \
		if (!strstr(text, part)) {                                                        \
			test_failed = true;                                                       \
			ksft_print_msg("%s:%d: does not say \"%s\"\n", __FILE__, __LINE__, part); \
			tell_output();                                                            \
		}                                                                                 \
	} while (0)

/* A file of the case's folder, with so many pages that have their numbers in them. */
static int make_file(const char *name, uint64_t pages)
{
	unsigned char page[PAGE];
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	for (uint64_t i = 0; i < pages; i++) {
		fill_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, (off_t)PAGES(i)) == (ssize_t)PAGE);
	}
	return fd;
}

static int open_file(const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return open(path, flags | O_CLOEXEC);
}

static void write_page(int fd, uint64_t number, uint64_t generation)
{
	unsigned char page[PAGE];

	fill_page(page, number, generation);
	MUST(pwrite(fd, page, PAGE, (off_t)PAGES(number)) == (ssize_t)PAGE);
}

/* Whether page @number of the file @name is as fill_page() made it. */
static bool has_page(const char *name, uint64_t number, uint64_t generation)
{
	unsigned char page[PAGE] = {0};
	const int fd = open_file(name, O_RDONLY);
	const bool is = fd >= 0 && pread(fd, page, PAGE, (off_t)PAGES(number)) == (ssize_t)PAGE &&
	                page_is(page, number, generation);

	close(fd);
	return is;
}

/* How many names the folder has. */
static int names(void)
{
	DIR *dir = opendir(folder);
	int count = -2;

	MUST(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void begin(void)
{
	snprintf(folder, sizeof(folder), "%s/case-XXXXXX", mount_point);
	MUST(mkdtemp(folder));
}

static void end(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	MUST(!rmdir(folder));
	strcpy(folder, "/");
}

/* --- the cases --- */
static const char *const commands[] = {
	"create",   "ls",       "stat", "snapshot", "clone",   "restore",    "diff",   "who",
	"page-out", "prefetch", "top",  "send",     "receive", "mount-info", "doctor", "collapse"};

static void helps(void)
{
	CHECK_TOOL(0, "help");
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		char usage[64];

		CHECK_TOOL(0, "help");
		CHECK_SAYS(said, commands[i]);
		CHECK_TOOL(0, "%s --help", commands[i]);
		snprintf(usage, sizeof(usage), "usage: cowmem %s", commands[i]);
		CHECK_SAYS(said, usage);
		CHECK(!!strstr(said, "--json") == !!strcmp(commands[i], "send"));
		CHECK_TOOL(2, "%s --no-such", commands[i]);
		CHECK_SAYS(complained, "--help");
	}
	CHECK_TOOL(0, "--version");
	CHECK_TOOL(2, "fly");
	CHECK_SAYS(complained, "there is no command fly");
	CHECK_TOOL(2, "stat");
	CHECK_SAYS(complained, "stat needs OBJECT");
	CHECK_TOOL(2, "stat a b");
	CHECK_TOOL(2, "create --size ten a");
	CHECK_TOOL(2, "create --tree a");
	CHECK_TOOL(2, "create --size 99999999t a");
	CHECK_TOOL(2, "stat --pid 1");
	CHECK_TOOL(2, "who --offset 1 --length 4096 a");
	CHECK_TOOL(2, "who --offset 4096 a");
	CHECK_TOOL(2, "who --json --offset 4096 a");
	CHECK_TOOL(1, "send --json a");
	CHECK_JSON("error", "what send prints is the stream");
}

static void makes_and_tells(void)
{
	char path[128];
	int fd;

	begin();
	CHECK_TOOL(0, "create --json --size 1m a");
	CHECK_JSON("path", "a");
	CHECK_TOOL(0, "stat --json a");
	CHECK_JSON("kind", "object");
	CHECK_JSON("bytes", "1048576");
	CHECK_JSON("resident_pages", "0");
	CHECK_JSON("state.0", "grows-by-write");
	CHECK_JSON("max_copies", "null");
	CHECK_JSON("slots", "0");
	fd = open_file("a", O_RDWR);
	write_page(fd, 1, 1);
	close(fd);
	CHECK_TOOL(0, "stat a");
	CHECK_SAYS(said, "1.0 MiB");
	CHECK_SAYS(said, "1 (4.0 KiB)");
	CHECK_TOOL(1, "create a");
	CHECK_SAYS(complained, "there is something of that name already");
	CHECK_TOOL(1, "create --json none/a");
	CHECK_JSON("errno", "ENOENT");
	/* What its files are, the mount says. */
	CHECK_TOOL(1, "create --pinnable b");
	CHECK_SAYS(complained, "-o pinnable");
	if (!geteuid()) {
		MUST(!mount(NULL, mount_point, NULL, MS_REMOUNT, "pinnable,huge=never"));
		CHECK_TOOL(0, "create --pinnable b");
		CHECK_TOOL(0, "stat --json b");
		CHECK_JSON("state.1", "pinnable");
		CHECK_TOOL(0, "ls --json .");
		CHECK_JSON("objects.0.pinnable", "null");
		CHECK_JSON("objects.1.pinnable", "yes");
		MUST(!mount(NULL, mount_point, NULL, MS_REMOUNT, "nopinnable"));
		snprintf(path, sizeof(path), "%s/b", folder);
		MUST(!unlink(path));
	}
	/* Where there are no objects. */
	CHECK_TOOL(1, "create --json /dev/shm/cowmem-no-object");
	CHECK_JSON("errno", "ENOTTY");
	CHECK(access("/dev/shm/cowmem-no-object", F_OK));
	CHECK_TOOL(1, "stat /bin/cowmem");
	CHECK_SAYS(complained, "it is no object of cowmem's");
	CHECK_TOOL(1, "stat /dev/cowmem");
	CHECK_SAYS(complained, "--pid P --fd N");
	CHECK_TOOL(1, "stat none");
	CHECK_TOOL(1, "stat .");
	CHECK_EQ(names(), 1);
	end();
}

static void keeps_and_restores(void)
{
	int fd;

	begin();
	fd = make_file("a", 8);
	CHECK_TOOL(0, "snapshot --json a s");
	CHECK_JSON("kind", "snapshot");
	write_page(fd, 3, 2);
	CHECK(has_page("s", 3, 1) && has_page("a", 3, 2));
	CHECK_TOOL(0, "stat --json s");
	CHECK_JSON("state.1", "frozen");
	CHECK_TOOL(0, "clone --json s c");
	CHECK_JSON("kind", "clone");
	CHECK(has_page("c", 3, 1));
	CHECK_TOOL(0, "clone --offset 4096 --length 8192 a part");
	CHECK(!has_page("part", 3, 2) && has_page("part", 2, 1));
	CHECK_TOOL(0, "clone --json --pid %d --fd %d of-mine", getpid(), fd);
	CHECK_JSON("path", "of-mine");
	CHECK(has_page("of-mine", 3, 2) && has_page("of-mine", 2, 1));
	CHECK_TOOL(0, "restore --offset 4096 --length 4096 a s");
	CHECK(has_page("a", 3, 2));
	CHECK_TOOL(0, "restore --json a s");
	CHECK_JSON("to", "s");
	CHECK(has_page("a", 3, 1));
	CHECK_TOOL(1, "restore s s");
	CHECK_SAYS(complained, "clone it");
	CHECK_TOOL(1, "restore a c");
	CHECK_SAYS(complained, "no snapshot of the same family");
	CHECK_TOOL(1, "snapshot a s");
	CHECK_TOOL(1, "snapshot --json a /dev/shm/s");
	CHECK_JSON("errno", "EXDEV");
	CHECK_TOOL(2, "snapshot a");
	CHECK_TOOL(1, "snapshot --drop a t");

	/* A limit. */
	CHECK_TOOL(0, "snapshot --max-copies 1 a limited");
	write_page(fd, 0, 2);
	CHECK_ERRNO(pwrite(fd, "x", 1, PAGE), EDQUOT);
	CHECK_TOOL(0, "stat --json limited");
	CHECK_JSON("copies", "1");
	CHECK_JSON("max_copies", "1");
	CHECK_EQ(names(), 6);
	close(fd);
	end();
}

static void tells_what_differs(void)
{
	int fd;

	begin();
	fd = make_file("a", 16);
	CHECK_TOOL(0, "snapshot a s");
	CHECK_TOOL(0, "diff --json a s");
	CHECK_JSON("pages", "0");
	write_page(fd, 2, 2);
	write_page(fd, 3, 2);
	MUST(!object_punch(fd, PAGES(8), PAGE));
	CHECK_TOOL(0, "diff --json --ranges a s");
	CHECK_JSON("pages", "3");
	CHECK_JSON("holes", "1");
	CHECK_JSON("range_count", "2");
	CHECK_JSON("ranges.0.offset", "8192");
	CHECK_JSON("ranges.0.length", "8192");
	CHECK_JSON("ranges.0.hole", "false");
	CHECK_JSON("ranges.1.hole", "true");
	CHECK_JSON("ranges.2.hole", "");
	CHECK_TOOL(0, "diff --ranges --offset 8192 --length 4096 a s");
	CHECK_SAYS(said, "pages that differ    1 (4.0 KiB)");
	close(make_file("b", 1));
	CHECK_TOOL(1, "diff a b");
	CHECK_SAYS(complained, "not of one family");
	close(fd);
	end();
}

static void tells_who(void)
{
	unsigned char *shared, *private;
	char mine[32];
	int fd;

	begin();
	fd = make_file("a", 8);
	shared = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED);
	private = object_map(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (unsigned int i = 0; i < 4; i++)
		shared[PAGES(i)]++;
	private[PAGES(6)]++;
	snprintf(mine, sizeof(mine), "%d", getpid());
	CHECK_TOOL(0, "who --json --offset 0 --length 16384 a");
	CHECK_JSON("processes.0.pid", mine);
	CHECK_JSON("processes.0.command", "tool");
	CHECK_JSON("processes.0.shared", "4");
	CHECK_JSON("processes.1.pid", "");
	CHECK_JSON("hidden", "0");
	CHECK_TOOL(0, "who --json --offset 24576 --length 4096 a");
	CHECK_JSON("processes.0.copies", "1");
	CHECK_TOOL(0, "who a");
	CHECK_SAYS(said, "tool");

	CHECK_TOOL(0, "snapshot a s");
	CHECK_TOOL(0, "who s");
	CHECK_SAYS(said, "no process that you may look into maps it");
	CHECK_TOOL(0, "clone s c");
	CHECK_TOOL(0, "who --tree a");
	CHECK_SAYS(said, "└─ snapshot");
	CHECK_SAYS(said, "   └─ clone");
	CHECK_TOOL(0, "who --tree --json s");
	CHECK(json_is_object(said));
	CHECK_SAYS(said, "\"kind\":\"clone\"");
	CHECK_SAYS(said, folder);
	munmap(shared, PAGES(4));
	munmap(private, PAGES(8));
	close(fd);
	end();
}

static void pages_out(void)
{
	int fd;

	begin();
	close(make_file("a", 32));
	CHECK_TOOL(0, "page-out --json --accessed a");
	CHECK_JSON("out", "32");
	CHECK_JSON("locked", "0");
	CHECK_TOOL(0, "stat --json a");
	CHECK_JSON("slots", "32");
	CHECK_JSON("resident_pages", "0");
	CHECK_TOOL(0, "prefetch --json --offset 0 --length 8192 a");
	CHECK_JSON("brought_in", "2");
	CHECK_TOOL(0, "prefetch a");
	CHECK_SAYS(said, "30 (120.0 KiB)");
	CHECK(has_page("a", 31, 1));
	CHECK_TOOL(0, "snapshot a s");
	CHECK_TOOL(0, "page-out --json --accessed s");
	CHECK_JSON("out", "32");
	CHECK_TOOL(0, "prefetch --json --to-write --length 8192 a");
	CHECK_JSON("brought_in", "2");
	CHECK_TOOL(0, "prefetch --to-write a");
	CHECK_SAYS(said, "30 (120.0 KiB)");
	CHECK(has_page("a", 31, 1) && has_page("s", 31, 1));
	CHECK_TOOL(1, "prefetch --to-write s");
	fd = make_file("b", 8);
	CHECK_TOOL(0, "page-out --json --accessed --offset 8192 --length 4096 b");
	CHECK_JSON("out", "1");
	CHECK_TOOL(0, "page-out --json --accessed --pid %d --fd %d", getpid(), fd);
	CHECK_JSON("out", "7");
	CHECK_TOOL(0, "prefetch --json --pid %d --fd %d", getpid(), fd);
	CHECK_JSON("brought_in", "8");
	CHECK_TOOL(0, "page-out --json --unused 0 b");
	CHECK_JSON("out", "8");
	CHECK_TOOL(2, "page-out --unused 0 --accessed b");
	CHECK_TOOL(2, "page-out --unused 4g b");
	close(fd);
	CHECK_TOOL(0, "create empty");
	CHECK_TOOL(0, "page-out empty");
	CHECK_TOOL(0, "prefetch empty");
	end();
}

/* As the kernel has them, or not; then all is refused alike. */
static void collapses(void)
{
	int fd, exit_code = 0;

	begin();
	fd = make_file("a", 1024);
	if (!(object_features(fd) & COWMEM_FEATURE_COLLAPSE))
		exit_code = 1;
	CHECK_TOOL(exit_code, "collapse --json --offset 4096 --length 2097152 a");
	if (!exit_code)
		CHECK_JSON("collapsed", "0");
	CHECK_TOOL(exit_code, "collapse --json --offset 0 --length 2097152 a");
	if (!exit_code)
		CHECK_JSON("collapsed", "1");
	CHECK_TOOL(exit_code, "collapse --json --pid %d --fd %d", getpid(), fd);
	if (!exit_code) {
		CHECK_JSON("collapsed", "1");
		CHECK_JSON("huge", "1");
	}
	CHECK(has_page("a", 1023, 1));
	close(fd);
	CHECK_TOOL(0, "create empty");
	CHECK_TOOL(0, "collapse empty"); /* nothing is asked of the kernel */
	end();
}

/* Starts a tool that holds something; the path that it printed is in @path. */
static pid_t start_holder(char *path, size_t room, const char *words)
{
	FILE *from;
	int ends[2];
	pid_t child;

	MUST(!pipe2(ends, O_CLOEXEC));
	child = start_tool(STDIN_FILENO, ends[1], STDERR_FILENO, words);
	close(ends[1]);
	from = fdopen(ends[0], "re");
	MUST(from && fgets(path, (int)room, from));
	path[strcspn(path, "\n")] = '\0';
	fclose(from);
	return child;
}

static void holds_and_reaches_in(void)
{
	char path[64], snapshot[64], kept[64], words[128];
	int device = object_open(), number = 0;
	pid_t holder, second, third;
	unsigned char *memory;

	begin();
	holder = start_holder(path, sizeof(path), "create --hold --pinnable --name vm --size 64k");
	CHECK_TOOL(0, "stat --json %s", path);
	CHECK_JSON("state.0", "pinnable");
	CHECK_JSON("bytes", "65536");
	MUST(sscanf(strrchr(path, '/'), "/%d", &number) == 1);
	CHECK_TOOL(0, "stat --json --pid %d --fd %d", holder, number);
	CHECK_JSON("kind", "object");
	CHECK_JSON("bytes", "65536");

	/* Of a device's descriptor, which no path names, as a VM may have it. */
	memory = object_map(device, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED);
	fill_page(memory, 0, 5);
	CHECK_TOOL(1, "stat /proc/%d/fd/%d", getpid(), device);
	CHECK_TOOL(0, "stat --json --pid %d --fd %d", getpid(), device);
	CHECK_JSON("bytes", "16384");
	snprintf(words, sizeof(words), "snapshot --hold --pid %d --fd %d", getpid(), device);
	second = start_holder(snapshot, sizeof(snapshot), words);
	fill_page(memory, 0, 6);
	CHECK_TOOL(0, "diff --json --pid %d --fd %d %s", getpid(), device, snapshot);
	CHECK_JSON("pages", "1");
	snprintf(words, sizeof(words), "clone --json --hold %s", snapshot);
	third = start_holder(kept, sizeof(kept), words);
	strcat(kept, "\n");
	CHECK(json_is_object(kept));
	CHECK_TOOL(0, "ls --json");
	CHECK_SAYS(said, "\"name\":\"/dev/cowmem\"");
	CHECK_SAYS(said, "cowmem:vm");
	CHECK_TOOL(0, "who --tree --pid %d --fd %d", getpid(), device);
	CHECK_SAYS(said, "└─ snapshot");
	CHECK_SAYS(said, "   └─ clone");
	CHECK_TOOL(0, "restore --pid %d --fd %d %s", getpid(), device, snapshot);
	CHECK(page_is(memory, 0, 5));
	/* It has no name to be had. */
	CHECK_TOOL(1, "snapshot --pid %d --fd %d s", getpid(), device);
	CHECK_SAYS(complained, "--hold");
	CHECK_TOOL(1, "stat --json --pid %d --fd 999", getpid());
	CHECK_SAYS(complained, "has no descriptor 999");
	CHECK_TOOL(1, "stat --pid 999999 --fd 1");
	CHECK_TOOL(2, "create --hold a");
	for (int i = 0; i < 3; i++) {
		const pid_t one[] = {holder, second, third};

		MUST(!kill(one[i], SIGTERM));
		CHECK_EQ(end_of(one[i]), 0);
	}
	CHECK_TOOL(1, "stat %s", path);
	munmap(memory, PAGES(4));
	close(device);
	end();
}

static void lists(void)
{
	char mine[32];
	int fd;

	begin();
	CHECK_TOOL(0, "ls .");
	CHECK_SAYS(said, "no object that you may see");
	fd = make_file("a", 3);
	CHECK_TOOL(0, "snapshot a s");
	CHECK_TOOL(0, "ls --json .");
	CHECK_JSON("objects.0.name", "./a");
	CHECK_JSON("objects.0.kind", "object");
	CHECK_JSON("objects.0.bytes", "12288");
	CHECK_JSON("objects.0.pages", "3");
	CHECK_JSON("objects.0.pid", "null");
	CHECK_JSON("objects.1.kind", "snapshot");
	CHECK_JSON("objects.2.kind", "");
	CHECK_TOOL(0, "ls");
	CHECK_SAYS(said, "snapshot");
	CHECK_SAYS(said, folder);
	snprintf(mine, sizeof(mine), "\"pid\":%d,\"fd\":%d", getpid(), fd);
	CHECK_TOOL(0, "ls --json");
	CHECK_SAYS(said, mine);
	CHECK_TOOL(1, "ls a");
	CHECK_SAYS(complained, "cowmem stat");
	CHECK_TOOL(1, "ls none");
	close(fd);

	/* Names that would be commands to a terminal, or are no text. */
	close(make_file("\033[31m\"\\\377", 1));
	CHECK_TOOL(0, "ls --json .");
	CHECK_JSON("objects.0.name", "./\\u001b[31m\\\"\\\\\\udcff");
	CHECK_TOOL(0, "ls .");
	CHECK_SAYS(said, "./\\x1b[31m\"\\\\xff");
	CHECK(!strchr(said, '\033'));
	end();
}

static void watches(void)
{
	char mine[32];
	int fd;

	begin();
	fd = make_file("a", 3);
	CHECK_TOOL(0, "top --once --json");
	CHECK_JSON("counters.0.what", "read_faults");
	CHECK_JSON("counters.0.per_second", "null");
	CHECK(strcmp(json_get(said, "pool_bytes"), "null"));
	snprintf(mine, sizeof(mine), "\"pid\":%d,\"command\":\"tool\"", getpid());
	CHECK_SAYS(said, mine);
	CHECK_TOOL(0, "top --count 2 --delay 1");
	CHECK_SAYS(said, "faults that read");
	CHECK_SAYS(said, "A SECOND");
	CHECK(strstr(said, "objects of mounts") != strrchr(said, 'o'));
	close(fd);
	end();
}

/* What the tool, with @in as stdin, writes to a terminal, which is its stdout, or its stderr. */
static void run_on_terminal(bool is_stdout, int in, int out, const char *words)
{
	const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct pollfd ready = {.fd = terminal, .events = POLLIN};
	size_t have = 0;
	ssize_t got = 1;
	pid_t child;
	int end;

	MUST(terminal >= 0 && !unlockpt(terminal));
	end = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	MUST(end >= 0);
	child = start_tool(in, is_stdout ? end : out, is_stdout ? out : end, words);
	close(end);
	while (have < sizeof(said) - 1 && poll(&ready, 1, -1) > 0 && got > 0) {
		got = read(terminal, said + have, sizeof(said) - 1 - have);
		have += got > 0 ? (size_t)got : 0;
	}
	said[have] = '\0';
	CHECK_EQ(end_of(child), 0);
	close(terminal);
}

static void knows_terminals(void)
{
	const int out = scratch(), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	begin();
	close(make_file("a", 3));
	run_on_terminal(true, STDIN_FILENO, out, "doctor");
	CHECK_SAYS(said, "\033[1mCHECK");
	run_on_terminal(true, STDIN_FILENO, out, "doctor --json");
	CHECK(!strchr(said, '\033'));
	CHECK_TOOL(0, "doctor");
	CHECK(!strchr(said, '\033'));
	run_on_terminal(false, STDIN_FILENO, out, "send a");
	CHECK_SAYS(said, "\r\033[K");
	CHECK_SAYS(said, "12.0 KiB of 12.0 KiB, 100 %");
	CHECK_SAYS(said, "/s");
	MUST(!ftruncate(out, 0) && !lseek(out, 0, SEEK_SET));
	CHECK_EQ(run_between(-1, out, "send a"), 0);
	CHECK(!*complained);
	lseek(out, 0, SEEK_SET);
	run_on_terminal(false, out, null, "receive came");
	CHECK_SAYS(said, "\r\033[K12.0 KiB");
	CHECK_SAYS(said, "/s");
	CHECK(has_page("came", 2, 1));
	lseek(out, 0, SEEK_SET);
	run_on_terminal(false, out, null, "receive --no-progress again");
	CHECK(!*said);
	CHECK(has_page("again", 2, 1));
	run_on_terminal(false, STDIN_FILENO, out, "send --no-progress a");
	CHECK(!*said);
	close(null);
	close(out);
	end();
}

static void tells_of_mounts(void)
{
	begin();
	CHECK_TOOL(0, "mount-info --json .");
	CHECK_JSON("mounts.0.mount", mount_point);
	CHECK_JSON("mounts.0.size", "67108864");
	CHECK_JSON("mounts.0.mode", "1777");
	CHECK_JSON("mounts.1.mount", "");
	CHECK_TOOL(0, "mount-info");
	CHECK_SAYS(said, "64.0 MiB");
	CHECK_TOOL(1, "mount-info /dev/shm");
	CHECK_TOOL(1, "mount-info none");
	end();
}

static void diagnoses(void)
{
	begin();
	CHECK_TOOL(0, "doctor --json");
	CHECK_JSON("checks.0.check", "kernel");
	CHECK_JSON("checks.0.verdict", "ok");
	CHECK_JSON("checks.2.check", "module");
	CHECK_JSON("checks.2.verdict", "ok");
	CHECK_SAYS(said, "\"snapshot\"");
	CHECK(strcmp(json_get(said, "verdict"), "fail"));
	CHECK_TOOL(0, "doctor");
	CHECK_SAYS(said, mount_point);
	end();
}

/* --- streams --- */

/* A stream that the tool makes; its length. */
static int send_stream(const char *words, off_t *length)
{
	const int stream = scratch();

	CHECK_EQ(run_between(-1, stream, words), 0);
	*length = lseek(stream, 0, SEEK_END);
	lseek(stream, 0, SEEK_SET);
	return stream;
}

static void check_received(int expected, int stream, const char *words)
{
	lseek(stream, 0, SEEK_SET);
	const int status = run_between(stream, -1, words);

	CHECK_EQ(status, expected);
	if (status != expected)
		tell_output();
}

static void sends_and_receives(void)
{
	char words[64];
	off_t length, of_change, of_other;
	int fd, full, change, other;

	begin();
	fd = make_file("a", 300);
	MUST(!object_punch(fd, PAGES(100), PAGES(100)));
	MUST(!ftruncate(fd, PAGES(299) + 17));
	CHECK_TOOL(0, "snapshot a s1");
	full = send_stream("send s1", &length);
	write_page(fd, 5, 2);
	write_page(fd, 150, 2);
	MUST(!object_punch(fd, PAGES(10), PAGES(4)));
	MUST(!ftruncate(fd, PAGES(298)));
	CHECK_TOOL(0, "snapshot a s2");
	change = send_stream("send --from s1 s2", &of_change);
	CHECK(of_change < length / 10);
	CHECK(length < (off_t)PAGES(200) / 2);

	check_received(0, full, "receive --json r1");
	CHECK_JSON("path", "r1");
	CHECK_JSON("bytes", "1224721");
	CHECK_TOOL(0, "stat --json r1");
	CHECK_JSON("kind", "snapshot");
	CHECK_JSON("bytes", "1224721");
	CHECK_JSON("pages", "200"); /* holes stay holes */
	CHECK(has_page("r1", 99, 1) && has_page("r1", 298, 1) && !has_page("r1", 150, 1));
	check_received(0, change, "receive --from r1 r2");
	CHECK(has_page("r2", 5, 2) && has_page("r2", 150, 2) && has_page("r2", 9, 1) &&
	      !has_page("r2", 10, 1) && has_page("r1", 5, 1));
	CHECK_TOOL(0, "stat --json r2");
	CHECK_JSON("bytes", "1220608");
	CHECK_JSON("pages", "195");
	CHECK_TOOL(0, "who --json --tree r1");
	CHECK_SAYS(said, "/r2\"");
	/* An object is sent as it is when that begins; and can be received to be written. */
	close(full);
	full = send_stream("send a", &length);
	check_received(0, full, "receive --writable w");
	CHECK_TOOL(0, "stat --json w");
	CHECK_JSON("kind", "object");
	CHECK_EQ(names(), 6);
	/* One of a process' own descriptors is the same object, with no name. */
	snprintf(words, sizeof(words), "send --pid %d --fd %d", getpid(), fd);
	other = send_stream(words, &of_other);
	CHECK_EQ(of_other, length);
	check_received(0, other, "receive p");
	CHECK(has_page("p", 5, 2) && has_page("p", 297, 1));
	close(other);

	/* What cannot be, and changes nothing. */
	check_received(1, full, "receive w");
	CHECK_SAYS(complained, "there is something of that name");
	check_received(1, full, "receive --from r1 x");
	CHECK_SAYS(complained, "leave --from out");
	check_received(1, change, "receive x");
	CHECK_SAYS(complained, "only what changed");
	CHECK_TOOL(0, "clone r1 other");
	other = open_file("other", O_RDWR);
	write_page(other, 50, 2);
	close(other);
	check_received(1, change, "receive --from other x");
	CHECK_SAYS(complained, "not what it was sent with");
	check_received(1, full, "receive /dev/shm/x");
	CHECK_SAYS(complained, "no object of cowmem's");
	CHECK_EQ(run_between(fd, -1, "receive x"), 1);
	CHECK_SAYS(complained, "no stream");
	CHECK_EQ(run_between(-1, -1, "receive x"), 1);
	CHECK_SAYS(complained, "the stream is empty");
	CHECK_EQ(run_between(-1, -1, "send --level 77 a"), 1);
	CHECK_EQ(run_between(-1, -1, "send --from w s1"), 1);
	CHECK_SAYS(complained, "same family");
	CHECK_EQ(run_between(-1, -1, "send --at 123 s1"), 1);
	MUST(!ftruncate(full, length - 1));
	check_received(1, full, "receive --json x");
	CHECK_SAYS(complained, "ends too early");
	CHECK_EQ(names(), 8);
	close(full);
	close(change);
	close(fd);
	end();
}

/* After a break: what was kept is hidden, and the rest comes. */
static void resumes(void)
{
	char words[128];
	off_t length, of_rest;
	int fd, full, rest;

	begin();
	fd = make_file("a", 1000); /* four records */
	CHECK_TOOL(0, "snapshot a s");
	full = send_stream("send s", &length);
	MUST(!ftruncate(full, length - 100));
	CHECK_TOOL(0, "receive --how-far r");
	CHECK_SAYS(said, "0\n");
	check_received(1, full, "receive --keep r");
	CHECK_SAYS(complained, "--how-far");
	CHECK_EQ(names(), 3);
	CHECK(open_file("r", O_RDONLY) < 0);
	CHECK_TOOL(0, "receive --how-far --json r");
	CHECK_JSON("at", "3145728");
	CHECK_TOOL(0, "receive --how-far r");
	CHECK_SAYS(said, "3145728\n");

	/* Another place, and another object, are found out. */
	rest = send_stream("send --at 2097152 s", &of_rest);
	check_received(1, rest, "receive r");
	CHECK_SAYS(complained, "what was kept came to 3145728");
	close(rest);
	snprintf(words, sizeof(words), "send --at 3145728 s");
	rest = send_stream(words, &of_rest);
	CHECK(of_rest < length / 2);
	check_received(1, rest, "receive other");
	CHECK_SAYS(complained, "nothing was kept");
	if (!is_user) {
		snprintf(words, sizeof(words), "%s/.r.partial", folder);
		MUST(!chown(words, NOBODY, NOBODY));
		check_received(1, rest, "receive r");
		CHECK_SAYS(complained, "you may not do that");
		MUST(!chown(words, 0, 0));
	}
	check_received(0, rest, "receive r");
	CHECK(has_page("r", 0, 1) && has_page("r", 767, 1) && has_page("r", 999, 1));
	CHECK_TOOL(0, "stat --json r");
	CHECK_JSON("bytes", "4096000");
	CHECK_JSON("kind", "snapshot");
	CHECK_EQ(names(), 3);
	close(rest);
	close(full);
	close(fd);
	end();
}

/* The same of a difference, over a pipe that breaks. */
static void resumes_differences(void)
{
	off_t length;
	int ends[2], fd, full, change, rest;

	begin();
	fd = make_file("a", 1000);
	CHECK_TOOL(0, "snapshot a s1");
	full = send_stream("send s1", &length);
	check_received(0, full, "receive r1");
	for (uint64_t i = 0; i < 1000; i++)
		write_page(fd, i, 2);
	MUST(!object_punch(fd, PAGES(990), PAGE));
	CHECK_TOOL(0, "snapshot a s2");
	change = send_stream("send --from s1 s2", &length);
	MUST(!ftruncate(change, length - 100));
	check_received(1, change, "receive --keep --from r1 r2");
	CHECK_SAYS(complained, "--how-far");
	CHECK(open_file("r2", O_RDONLY) < 0);
	CHECK_TOOL(0, "receive --how-far --json r2");
	CHECK_JSON("at", "4059136"); /* a hole has a record of its own */
	rest = send_stream("send --at 4059136 --from s1 s2", &length);
	check_received(1, rest, "receive r2");
	CHECK_SAYS(complained, "only what changed");
	check_received(0, rest, "receive --from r1 r2");
	CHECK(has_page("r2", 0, 2) && has_page("r2", 999, 2) && !has_page("r2", 990, 1) &&
	      !has_page("r2", 990, 2) && has_page("r1", 0, 1) && has_page("r1", 990, 1));
	CHECK_TOOL(0, "diff --json r2 r1");
	CHECK_JSON("pages", "1000");
	CHECK_JSON("holes", "1");
	CHECK_EQ(names(), 5);

	MUST(!pipe2(ends, O_CLOEXEC));
	close(ends[0]);
	CHECK_EQ(run_between(-1, ends[1], "send s1"), 1);
	CHECK_SAYS(complained, "the stream cannot be written");
	close(ends[1]);
	close(rest);
	close(change);
	close(full);
	close(fd);
	end();
}

/* --- what a user may not --- */
static void ask_for_permission(void)
{
	CHECK_TOOL(1, "stat --json secret");
	CHECK_JSON("errno", "EACCES");
	CHECK_SAYS(complained, "ask its owner");
	CHECK_TOOL(0, "ls --json .");
	CHECK_JSON("objects.0.name", "./secret");
	CHECK_JSON("objects.0.kind", "null");
	CHECK_TOOL(1, "create --hold");
	CHECK_SAYS(complained, "group cowmem");
	CHECK_TOOL(1, "stat --pid 1 --fd 0");
	CHECK_SAYS(complained, "process of your own");
	CHECK_TOOL(0, "doctor --json");
	CHECK_SAYS(said, "/dev/cowmem is not for you");
	CHECK_JSON("verdict", "note");
}

static void refuses_what_is_not_permitted(void)
{
	begin();
	MUST(!chmod(folder, 0755));
	close(make_file("secret", 1));
	MUST(!chmod(COWMEM_DEVICE, 0600));
	as_user(ask_for_permission);
	MUST(!chmod(COWMEM_DEVICE, 0666));
	end();
}

#define CASES(X)                                                     \
	X(helps, "each subcommand has help, and knows wrong use")    \
	X(makes_and_tells, "create, stat")                           \
	X(keeps_and_restores, "snapshot, clone, restore")            \
	X(tells_what_differs, "diff")                                \
	X(tells_who, "who")                                          \
	X(pages_out, "page-out, prefetch")                           \
	X(collapses, "collapse")                                     \
	X(holds_and_reaches_in, "--hold, --pid and --fd")            \
	X(lists, "ls")                                               \
	X(watches, "top")                                            \
	X(knows_terminals, "colours and progress are for terminals") \
	X(tells_of_mounts, "mount-info")                             \
	X(diagnoses, "doctor")                                       \
	X(sends_and_receives, "send, receive")                       \
	X(resumes, "send and receive go on after a break")           \
	X(resumes_differences, "and so does what changed; a pipe breaks")

CASES(AS_USER)

static const struct test_case cases[] = {
	CASES(BOTH){"what a user may not is refused, and said", "", refuses_what_is_not_permitted}};

static void unmount(void)
{
	umount("/dev/pts");
	umount(mount_point);
	rmdir(mount_point);
}

int main(void)
{
	strcpy(folder, "/");
	open_device_to_all();
	MUST(mkdtemp(mount_point));
	MUST(!mount("none", mount_point, "cowmem", 0, "size=64m,mode=1777"));
	atexit(unmount);
	MUST(!mkdir("/dev/pts", 0755) || errno == EEXIST);
	MUST(!mount("none", "/dev/pts", "devpts", 0, "ptmxmode=0666"));
	return run_tests(cases, ARRAY_LENGTH(cases));
}
