// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the test VMs: mount the file systems, execute /etc/run line by line,
 * power off. Each line is bracketed by "#VM begin LINE" and "#VM end STATUS LINE"
 * (0, an errno, an exit code, or 128 + signal) for scripts/vm.py to read.
 *
 * Everything said goes through /dev/kmsg: the console then carries only whole
 * lines, in the true order with the kernel's own. What a program printed starts
 * with "| ", so that nothing it says can be taken for the kernel's words. While a
 * program runs that says nothing, "#VM alive" comes now and then.
 *
 *	load FILE [PARAM...]	insert a module
 *	unload NAME		remove it
 *	run PROGRAM [ARG...]	run it to its end, then kill what it left running
 *	limit SECONDS		how long each program after this may take, on a machine that does
 *				nothing else; 0: for ever
 *	write FILE TEXT...	e.g. to /proc or /sys
 *	copy FILE TO		to a file that is there, e.g. a device
 *	direct IMAGE		if no file in /tmp can be opened O_DIRECT, mount this one's ext4 there
 *	echo TEXT...
 *	kmemleak		fail if the kernel has found unreferenced objects
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUN_FILE "/etc/run"
#define KMEMLEAK "/sys/kernel/debug/kmemleak"
#define KMEMLEAK_MIN_AGE 6 /* seconds: it reports nothing younger than 5 */
#define LINE 900           /* bytes; a log record holds some more */
#define MAX_ARGS 64
#define ALIVE 10 /* seconds from one "#VM alive" to the next */

static int kmsg = -1;
static long limit;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char text[LINE + 64];
	va_list args;
	size_t length;

	va_start(args, format);
	vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	/* Without its newline a record is kept back until the next one comes. */
	length = strlen(strcat(text, "\n"));
	if (write(kmsg, text, length) < 0)
		dprintf(STDERR_FILENO, "%s", text);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	int status = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		status = errno;
	close(fd);
	return status;
}

static int copy(const char *from, const char *to)
{
	char buffer[65536];
	ssize_t length = -1;
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY), status = 0;

	while (in >= 0 && out >= 0 && (length = read(in, buffer, sizeof(buffer))) > 0)
		if (write(out, buffer, length) != length)
			break;
	if (length)
		status = errno ? errno : EIO;
	close(in);
	close(out);
	return status;
}

/* Lines on their way to the log; a line too long is cut into several. */
struct lines {
	char text[LINE];
	size_t length;
};

static void flush_line(struct lines *out, const char *prefix)
{
	say("%s%.*s", prefix, (int)out->length, out->text);
	out->length = 0;
}

static void put_text(struct lines *out, const char *prefix, const char *text, size_t length)
{
	for (; length; text++, length--) {
		if (*text != '\n')
			out->text[out->length++] = *text;
		if (*text == '\n' || out->length == sizeof(out->text))
			flush_line(out, prefix);
	}
}

static int load(const char *path, const char *params)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int status = 0;

	if (fd < 0)
		return errno;
	if (syscall(SYS_finit_module, fd, params, 0))
		status = errno;
	close(fd);
	return status;
}

static int unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? errno : 0;
}

static void exec_program(char **argv, int output)
{
	static char *const environment[] = {"PATH=/bin", "HOME=/tmp", NULL};
	int null = open("/dev/null", O_RDONLY);

	setsid();
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execve(argv[0], argv, environment);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* PID 1 gets everybody's orphans: reap them too, and note how @child ended. */
static int reap(pid_t child, int flags, int *status)
{
	int found = 0, how;
	pid_t pid;

	while ((pid = waitpid(-1, &how, flags)) > 0) {
		if (pid != child)
			continue;
		*status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
		found = 1;
	}
	return found;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/*
 * How many times longer than undisturbed a piece of work takes of late. Its parts are so short
 * that some of them are not disturbed even on a busy machine, where the whole is now and then.
 */
static double slowness(void)
{
	enum { PARTS = 20, LOOPS = 2000, LATE = 8 };
	static double undisturbed = 1e9; /* seconds, of one part */
	static double average = 1;
	const double start = seconds();
	double before = start, now = start;

	for (int part = 0; part < PARTS; part++) {
		for (volatile int i = 0; i < LOOPS; i++)
			;
		now = seconds();
		if (now - before < undisturbed)
			undisturbed = now - before;
		before = now;
	}
	average += ((now - start) / (PARTS * undisturbed) - average) / LATE;
	return average;
}

/* A clock that runs as fast as the machine does, to tell what is slow from what hangs. */
struct patience {
	double looked; /* when, in seconds */
	double spent;  /* seconds of a machine that does nothing else */
	double alive;  /* when that was last said */
};

/* Looks once a second. Whether @limit has been spent. */
static int is_spent(struct patience *clock)
{
	const double now = seconds();

	if (now - clock->looked < 1)
		return 0;
	if (limit)
		clock->spent += (now - clock->looked) / slowness();
	clock->looked = now;
	if (now - clock->alive >= ALIVE) {
		clock->alive = now;
		say("#VM alive");
	}
	return limit && clock->spent > (double)limit;
}

static int run(char **argv)
{
	const double start = seconds();
	struct patience clock = {.looked = start, .alive = start};
	struct lines out = {.length = 0};
	struct pollfd poll_fd;
	int status = EIO, output[2];
	char buffer[4096];
	ssize_t length;
	pid_t child;

	if (pipe2(output, O_CLOEXEC))
		return errno;
	child = fork();
	if (child < 0)
		return errno;
	if (!child)
		exec_program(argv, output[1]);
	close(output[1]);

	poll_fd = (struct pollfd){.fd = output[0], .events = POLLIN};
	while (!reap(child, WNOHANG, &status)) {
		if (is_spent(&clock)) {
			say("| # %s: no end after %.0f s, which are %ld of an idle machine: killed",
			    argv[0], seconds() - start, limit);
			break;
		}
		if (poll(&poll_fd, 1, 20) != 1)
			continue;
		length = read(output[0], buffer, sizeof(buffer));
		if (length > 0)
			put_text(&out, "| ", buffer, length);
		else
			usleep(20000); /* closed its output, lives on */
	}
	kill(-1, SIGKILL);
	while ((length = read(output[0], buffer, sizeof(buffer))) > 0)
		put_text(&out, "| ", buffer, length);
	if (out.length)
		flush_line(&out, "| ");
	close(output[0]);
	reap(child, 0, &status);
	return status;
}

static int kmemleak(void)
{
	struct lines out = {.length = 0};
	char buffer[4096];
	ssize_t length;
	int fd, leaks = 0, status;

	if (access(KMEMLEAK, F_OK)) {
		say("no kmemleak in this kernel");
		return 0;
	}
	/* Twice: what a first scan takes for a leak may only have been on its way. Only the second one's age counts. */
	for (int scan = 0; scan < 2; scan++) {
		if (scan)
			sleep(KMEMLEAK_MIN_AGE);
		status = write_file(KMEMLEAK, "scan");
		if (status)
			return status;
	}
	fd = open(KMEMLEAK, O_RDONLY);
	if (fd < 0)
		return errno;
	while ((length = read(fd, buffer, sizeof(buffer))) > 0) {
		leaks = 1;
		put_text(&out, "", buffer, length);
	}
	close(fd);
	return leaks;
}

/*
 * Has files in /tmp that can be opened O_DIRECT, if need be by mounting @image there, which has
 * a file system; not every kernel's tmpfs has them.
 */
static int make_direct(const char *image)
{
	int probe = open("/tmp/probe", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	int control, file, loop, number;
	char path[32];

	unlink("/tmp/probe");
	if (probe >= 0) {
		close(probe);
		return 0;
	}
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	file = open(image, O_RDWR | O_CLOEXEC);
	number = ioctl(control, LOOP_CTL_GET_FREE);
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	loop = open(path, O_RDWR | O_CLOEXEC);
	if (ioctl(loop, LOOP_SET_FD, file) || mount(path, "/tmp", "ext4", 0, NULL) ||
	    chmod("/tmp", 01777))
		return errno;
	close(loop);
	close(file);
	close(control);
	return 0;
}

static int execute(char *line)
{
	char *rest = line, *command = strsep(&rest, " ");

	if (!rest)
		rest = "";
	if (!strcmp(command, "load")) {
		char *path = strsep(&rest, " ");

		return load(path, rest ? rest : "");
	}
	if (!strcmp(command, "unload"))
		return unload(rest);
	if (!strcmp(command, "run")) {
		char *argv[MAX_ARGS + 1] = {NULL};

		for (int i = 0; i < MAX_ARGS && rest; i++)
			argv[i] = strsep(&rest, " ");
		return run(argv);
	}
	if (!strcmp(command, "limit")) {
		limit = atol(rest);
		return 0;
	}
	if (!strcmp(command, "write")) {
		char *path = strsep(&rest, " ");

		return write_file(path, rest ? rest : "");
	}
	if (!strcmp(command, "copy")) {
		char *from = strsep(&rest, " ");

		return copy(from, rest ? rest : "");
	}
	if (!strcmp(command, "echo")) {
		say("%s", rest);
		return 0;
	}
	if (!strcmp(command, "direct"))
		return make_direct(rest);
	if (!strcmp(command, "kmemleak"))
		return kmemleak();
	return ENOSYS;
}

static void mount_all(void)
{
	static const struct {
		const char *type, *where, *options;
	} mounts[] = {
		{"proc", "/proc", NULL},
		{"sysfs", "/sys", NULL},
		{"devtmpfs", "/dev", NULL},
		{"debugfs", "/sys/kernel/debug", NULL},
		{"tracefs", "/sys/kernel/tracing", NULL},
		{"cgroup2", "/sys/fs/cgroup", NULL},
		{"tmpfs", "/tmp", NULL},
		{"tmpfs", "/dev/shm", NULL},
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		mkdir(mounts[i].where, 0755);
		/* A kernel may lack some; what needs it will tell. */
		mount(mounts[i].type, mounts[i].where, mounts[i].type, 0, mounts[i].options);
	}
}

/*
 * With the first cpuset, and behind the last, the kernel patches its page allocator, of which
 * QEMU may run on what is not there any more (scripts/vm.py). So one stays.
 */
static void keep_cpuset(void)
{
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset");
	mkdir("/sys/fs/cgroup/stays", 0755);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	FILE *script;

	mount_all();
	keep_cpuset();
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	write_file("/proc/sys/kernel/printk", "8");

	script = fopen(RUN_FILE, "re");
	if (!script)
		say("#VM end %d %s", errno, RUN_FILE);
	while (script && getline(&line, &size, script) > 0) {
		char *shown;
		int status;

		line[strcspn(line, "\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		shown = strdup(line);
		say("#VM begin %s", shown);
		status = execute(line);
		say("#VM end %d %s", status, shown);
		free(shown);
	}
	sync();
	say("#VM done");
	reboot(RB_POWER_OFF);
	return 1;
}
