// SPDX-License-Identifier: GPL-2.0
/*
 * A file system of objects that have names (mount -t cowmem) is as tmpfs is: each row of the
 * table makes the same calls in a fresh mount of both, and all that these give must be the same,
 * but for what `differences` lists. What only it has, reflinks, comes behind that, in cases.
 *
 * names [TYPE]: the file system's type, "cowmem" if none is given. With "tmpfs" nothing may
 * differ, and there are no reflinks.
 */
#include "alike.h"
#include "bus.h"

#include <dirent.h>
#include <grp.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>

#define PAGES(n) ((n) * PAGE)
#define TMPFS "tmpfs"
#define COWMEM "cowmem"
#define LEAVE "leave" /* what a program says that is run out of a mount */
enum { LEFT = 42, NOBODY = 65534, PROCESSES = 4 };

static char folder[] = "/tmp/names-XXXXXX"; /* has what is mounted */
static char here[64], there[64];            /* two mount points in it */
static const char *type;                    /* of the file system that is asked just now */

static void mount_at(const char *where, const char *options)
{
	MUST(!mount("none", where, type, 0, options));
}

/* The row is in the mount; whatever it left open keeps it from going. */
static void enter(const char *options)
{
	mount_at(here, options);
	MUST(!chdir(here));
	umask(022);
}

static void leave(void)
{
	MUST(!chdir("/") && !umount(here));
}

/* --- short names; 0 or -1, if nothing else is said --- */
static int make_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	return fd < 0 ? -1 : close(fd);
}

/* A descriptor of a new file. */
static int new_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	MUST(fd >= 0);
	return fd;
}

static int opens(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC, 0644);

	return fd < 0 ? -1 : close(fd);
}

static struct stat stat_of(const char *name)
{
	struct stat st;

	MUST(!lstat(name, &st));
	return st;
}

static int is_there(const char *name)
{
	struct stat st;

	return lstat(name, &st);
}

static int renames(const char *from, const char *to, unsigned int flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static struct statfs room(void)
{
	struct statfs st;

	MUST(!statfs(".", &st));
	return st;
}

/* How many names a directory has, without . and .. */
static int names_in(const char *name)
{
	DIR *dir = opendir(name);
	int count = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

/* With all that is in it. */
static void remove_all(const char *where)
{
	DIR *dir = opendir(where);
	struct dirent *entry;
	char name[600];

	MUST(dir);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", where, entry->d_name);
		if (!unlink(name))
			continue;
		remove_all(name);
		MUST(!rmdir(name));
	}
	closedir(dir);
}

/* Makes the call as a user who is nobody: 0, or -1. */
static int as_nobody(int (*call)(void))
{
	const pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
		    setresuid(NOBODY, NOBODY, NOBODY) || prctl(PR_SET_DUMPABLE, 1))
			_exit(255);
		_exit(call() < 0 ? errno : 0);
	}
	MUST(waitpid(child, &status, 0) == child && WIFEXITED(status));
	errno = WEXITSTATUS(status);
	MUST(errno != 255);
	return errno ? -1 : 0;
}

#define ASK_STAT(answers, name)                                               \
	do {                                                                  \
		const struct stat st_ = stat_of(name);                        \
		ASK_AS(answers, st_.st_mode, "mode of %s", name);             \
		ASK_AS(answers, st_.st_nlink, "nlink of %s", name);           \
		ASK_AS(answers, st_.st_uid, "uid of %s", name);               \
		ASK_AS(answers, st_.st_gid, "gid of %s", name);               \
		ASK_AS(answers, st_.st_rdev, "rdev of %s", name);             \
		ASK_AS(answers, st_.st_blksize, "blksize of %s", name);       \
		if (!S_ISDIR(st_.st_mode)) {                                  \
			ASK_AS(answers, st_.st_size, "size of %s", name);     \
			ASK_AS(answers, st_.st_blocks, "blocks of %s", name); \
		}                                                             \
	} while (0)

/* --- names --- */
static void has_files_and_directories(struct answers *answers)
{
	char name[300];

	ASK_STAT(answers, ".");
	ASK(answers, make_file("file"));
	ASK(answers, make_file("file"));
	ASK_STAT(answers, "file");
	ASK(answers, mkdir("dir", 0777));
	ASK(answers, mkdir("dir", 0777));
	ASK(answers, mkdir("file/dir", 0777));
	ASK(answers, mkdir("none/dir", 0777));
	ASK_STAT(answers, "dir");
	ASK(answers, make_file("dir/file"));
	ASK(answers, mkdir("dir/dir", 02750));
	ASK(answers, mkdir("dir/dir/dir", 01777));
	ASK_STAT(answers, "dir");
	ASK_STAT(answers, "dir/dir");
	ASK_STAT(answers, "dir/dir/dir");
	ASK(answers, rmdir("dir"));
	ASK(answers, unlink("dir"));
	ASK(answers, rmdir("file"));
	ASK(answers, unlink("none"));
	ASK(answers, rmdir("."));
	ASK(answers, rmdir("dir/dir/.."));
	ASK(answers, unlink("file/"));
	ASK(answers, opens("file/", O_RDONLY));
	ASK(answers, opens("dir", O_RDWR));
	ASK(answers, opens("dir", O_RDONLY | O_CREAT));
	ASK(answers, opens("file", O_DIRECTORY));
	ASK(answers, opens("new", O_RDWR | O_CREAT | O_TRUNC));
	ASK(answers, names_in("."));
	ASK(answers, names_in("dir"));
	ASK(answers, names_in("file"));
	memset(name, 'n', sizeof(name));
	name[256] = 0;
	ASK(answers, make_file(name));
	name[255] = 0;
	ASK(answers, make_file(name));
	ASK(answers, mkdir(name, 0700));
	ASK(answers, make_file("a\nb\xff"));
	ASK(answers, make_file("..x"));
	ASK(answers, names_in("."));
	ASK(answers, unlink(name));
	ASK(answers, rmdir("dir/dir/dir"));
	ASK(answers, rmdir("dir/dir"));
	ASK_STAT(answers, "dir");
	ASK(answers, unlink("dir/file"));
	ASK(answers, rmdir("dir"));
	ASK(answers, is_there("dir"));
	ASK(answers, access("file", R_OK | W_OK));
	ASK(answers, access("file", X_OK));
	umask(077);
	ASK(answers, make_file("mine"));
	ASK_STAT(answers, "mine");
}

static void has_other_kinds(struct answers *answers)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fds[2], fifo, device, connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
				  listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[8] = "";

	ASK(answers, mkfifo("fifo", 0600));
	ASK(answers, mknod("char", S_IFCHR | 0600, 1 << 8 | 5)); /* zeroes */
	ASK(answers, mknod("block", S_IFBLK | 0600, 250 << 8 | 7));
	ASK(answers, mknod("file", S_IFREG | 0640, 0));
	ASK(answers, mknod("dir", S_IFDIR | 0640, 0));
	ASK(answers, bind(listening, (struct sockaddr *)&address, sizeof(address)));
	ASK(answers, bind(connected, (struct sockaddr *)&address, sizeof(address)));
	ASK(answers, listen(listening, 1));
	ASK(answers, connect(connected, (struct sockaddr *)&address, sizeof(address)));
	ASK_STAT(answers, "fifo");
	ASK_STAT(answers, "char");
	ASK_STAT(answers, "block");
	ASK_STAT(answers, "file");
	ASK_STAT(answers, "socket");
	ASK(answers, opens("socket", O_RDWR));
	ASK(answers, opens("fifo", O_WRONLY | O_NONBLOCK));
	fifo = open("fifo", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ASK(answers, write(fifo, "abc", 3));
	ASK(answers, read(fifo, text, 8));
	device = open("char", O_RDONLY | O_CLOEXEC);
	memset(text, 1, sizeof(text));
	ASK(answers, read(device, text, 8));
	ASK(answers, text[7]);
	ASK(answers, pipe(fds));
	ASK(answers, names_in("."));
	ASK(answers, unlink("socket"));
	ASK(answers, unlink("fifo"));
	close(fds[0]), close(fds[1]), close(fifo), close(device), close(connected);
	close(listening);
}

/* Everything that can be renamed, over everything. */
static void renames_all(struct answers *answers, unsigned int flags)
{
	static const char *const names[] = {"file",      "other",   "same", "link",   "dangling",
	                                    "empty",     "bare",    "full", "full/x", "none",
	                                    "empty/new", "full/..", "."};
	static const char *const made[] = {"file",  "other", "same", "link",   "dangling",
	                                   "empty", "bare",  "full", "full/x", "empty/new"};

	const size_t step = debug_kernel() ? 3 : 1;

	for (size_t from = 0; from < ARRAY_LENGTH(names); from++)
		for (size_t to = from % step; to < ARRAY_LENGTH(names); to += step) {
			int is = 0;

			MUST(!mkdir("empty", 0700) && !mkdir("bare", 0700) && !mkdir("full", 0700));
			MUST(!make_file("full/x") && !make_file("file") && !make_file("other"));
			MUST(!link("file", "same") && !symlink("file", "link"));
			MUST(!symlink("nowhere", "dangling"));
			ASK_AS(answers, renames(names[from], names[to], flags), "rename %s to %s",
			       names[from], names[to]);
			/* Which are there, of what kind, and how often linked. */
			for (size_t i = 0; i < ARRAY_LENGTH(made); i++) {
				struct stat st = {0};

				(void)!lstat(made[i], &st);
				is = is * 37 + (int)(st.st_mode >> 12) * 3 + (int)st.st_nlink;
				is &= 0xfffffff;
			}
			ASK_AS(answers, is, "after rename %s to %s", names[from], names[to]);
			remove_all(".");
		}
}

static void renames_over(struct answers *answers)
{
	renames_all(answers, 0);
}

static void renames_to_nothing(struct answers *answers)
{
	renames_all(answers, RENAME_NOREPLACE);
}

static void exchanges(struct answers *answers)
{
	renames_all(answers, RENAME_EXCHANGE);
}

static void keeps_what_it_renames(struct answers *answers)
{
	int one = new_file("one"), two = new_file("two");
	struct stat first, second;
	char text[8] = "";

	MUST(write(one, "one", 3) == 3 && write(two, "two", 3) == 3);
	first = stat_of("one"), second = stat_of("two");
	ASK(answers, renames("one", "two", RENAME_EXCHANGE));
	ASK(answers, stat_of("one").st_ino == second.st_ino);
	ASK(answers, stat_of("two").st_ino == first.st_ino);
	ASK(answers, renames("one", "two", RENAME_EXCHANGE | RENAME_NOREPLACE));
	ASK(answers, renames("one", "two", 77));
	ASK(answers, renames("one", "two", 0));
	ASK(answers, stat_of("two").st_ino == second.st_ino);
	ASK(answers, is_there("one"));
	ASK(answers, pread(one, text, 8, 0)); /* it has no name any more */
	ASK(answers, memcmp(text, "one", 3));
	ASK(answers, mkdir("a", 0700));
	ASK(answers, mkdir("a/b", 0700));
	ASK(answers, mkdir("c", 0700));
	ASK(answers, renames("a/b", "c/b", 0));
	ASK(answers, stat_of("a").st_nlink);
	ASK(answers, stat_of("c").st_nlink);
	ASK(answers, stat_of("c/b/..").st_ino == stat_of("c").st_ino);
	ASK(answers, renames("c", "c/b/c", 0));
	ASK(answers, renames("c/b", "two", RENAME_EXCHANGE));
	ASK(answers, stat_of("c").st_nlink);
	ASK(answers, stat_of(".").st_nlink);
	ASK(answers, S_ISDIR(stat_of("two").st_mode));
	ASK(answers, is_there("two"));
	ASK(answers, names_in("."));
	ASK(answers, renames("two", "white", RENAME_WHITEOUT));
	close(one), close(two);
}

static void keeps_what_is_unlinked(struct answers *answers)
{
	int fd = new_file("gone"), again, dir;
	char name[64], text[128] = "", *p;
	struct stat st;

	ASK(answers, pwrite(fd, "text", 4, PAGE));
	p = object_map(fd, PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED);
	ASK(answers, unlink("gone"));
	ASK(answers, is_there("gone"));
	ASK(answers, fstat(fd, &st));
	ASK(answers, st.st_nlink);
	ASK(answers, st.st_size);
	ASK(answers, pwrite(fd, "more", 4, PAGES(3)));
	ASK(answers, pread(fd, text, 4, PAGE));
	ASK(answers, memcmp(text, "text", 4));
	ASK(answers, make_file("gone"));
	ASK(answers, stat_of("gone").st_size);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	again = open(name, O_RDWR | O_CLOEXEC);
	ASK(answers, again >= 0);
	ASK(answers, pread(again, text, 4, PAGES(3)));
	ASK(answers, linkat(fd, "", AT_FDCWD, "back", AT_EMPTY_PATH));
	ASK(answers, linkat(AT_FDCWD, name, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	memset(text, 0, sizeof(text));
	ASK(answers, readlink(name, text, sizeof(text) - 1) > 0);
	ASK(answers, strcmp(text + strlen(text) - 15, "/gone (deleted)"));
	close(fd), close(again);
	ASK(answers, p[PAGE]);
	ASK(answers, room().f_blocks - room().f_bfree); /* the mapping keeps it */
	munmap(p, PAGES(2));
	ASK(answers, room().f_blocks - room().f_bfree);

	ASK(answers, mkdir("dir", 0700));
	dir = open("dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASK(answers, rmdir("dir"));
	ASK(answers, fstat(dir, &st));
	ASK(answers, st.st_nlink);
	ASK(answers, openat(dir, "new", O_RDWR | O_CREAT, 0600));
	ASK(answers, mkdirat(dir, "new", 0600));
	ASK(answers, syscall(SYS_getdents64, dir, text, sizeof(text)));
	close(dir);
}

static void has_links(struct answers *answers)
{
	int fd = new_file("one");

	MUST(write(fd, "text", 4) == 4);
	ASK(answers, mkdir("dir", 0700));
	ASK(answers, link("one", "two"));
	ASK(answers, link("one", "dir/three"));
	ASK(answers, link("one", "two"));
	ASK(answers, link("none", "four"));
	ASK(answers, link("dir", "four"));
	ASK(answers, link("one", "one/four"));
	ASK_STAT(answers, "one");
	ASK(answers, stat_of("dir/three").st_ino == stat_of("one").st_ino);
	ASK(answers, unlink("one"));
	ASK_STAT(answers, "two");
	ASK(answers, truncate("two", 100));
	ASK_STAT(answers, "dir/three");
	ASK(answers, rename("two", "dir/three"));
	ASK_STAT(answers, "two");
	ASK(answers, unlink("two"));
	ASK(answers, unlink("dir/three"));
	ASK(answers, names_in("dir"));
	ASK(answers, room().f_files - room().f_ffree);
	close(fd);
	ASK(answers, room().f_files - room().f_ffree);
}

static void has_symbolic_links(struct answers *answers)
{
	static char target[5000], text[5000];

	memset(target, 't', sizeof(target));
	ASK(answers, make_file("file"));
	ASK(answers, symlink("file", "short"));
	ASK(answers, symlink("file", "short"));
	ASK(answers, symlink("", "empty"));
	ASK(answers, symlink("nowhere", "dangling"));
	ASK(answers, symlink("loop", "loop"));
	ASK(answers, symlink("/proc/self", "away"));
	for (size_t length = 100; length < 5000; length += 399) {
		target[length] = 0;
		ASK_AS(answers, symlink(target, "long"), "symlink of %zu", length);
		ASK_AS(answers, readlink("long", text, sizeof(text)), "readlink of %zu", length);
		ASK_AS(answers, memcmp(target, text, length), "text of %zu", length);
		ASK_AS(answers, is_there("long") ? 0 : stat_of("long").st_size, "size of %zu",
		       length);
		ASK_AS(answers, is_there("long") ? 0 : stat_of("long").st_blocks, "blocks of %zu",
		       length);
		(void)!unlink("long");
		target[length] = 't';
	}
	ASK(answers, readlink("short", text, 2));
	ASK(answers, readlink("file", text, 2));
	ASK_STAT(answers, "short");
	ASK(answers, opens("short", O_RDWR));
	ASK(answers, opens("short", O_RDWR | O_NOFOLLOW));
	ASK(answers, opens("short", O_RDWR | O_CREAT | O_EXCL));
	ASK(answers, opens("loop", O_RDONLY));
	ASK(answers, opens("dangling", O_RDONLY));
	ASK(answers, opens("dangling", O_RDWR | O_CREAT));
	ASK(answers, is_there("nowhere"));
	ASK(answers, opens("away/status", O_RDONLY));
	ASK(answers, lchown("short", 5, 6));
	ASK(answers, fchmodat(AT_FDCWD, "short", 0600, AT_SYMLINK_NOFOLLOW));
	ASK_STAT(answers, "short");
	ASK(answers, link("short", "shorter"));
	ASK_STAT(answers, "shorter");
	ASK(answers, mkdir("short", 0700));
	ASK(answers, rmdir("short"));
	ASK(answers, unlink("short"));
	ASK(answers, is_there("file"));
}

static void has_files_without_names(struct answers *answers)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640), other;
	char name[64];
	struct stat st;

	ASK(answers, fd >= 0);
	ASK(answers, fstat(fd, &st));
	ASK(answers, st.st_mode);
	ASK(answers, st.st_nlink);
	ASK(answers, names_in("."));
	ASK(answers, write(fd, "text", 4));
	ASK(answers, linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	ASK_STAT(answers, "named");
	ASK(answers, linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ASK(answers, linkat(AT_FDCWD, name, AT_FDCWD, "again", AT_SYMLINK_FOLLOW));
	ASK_STAT(answers, "again");
	close(fd);
	ASK(answers, unlink("named"));
	ASK(answers, unlink("again"));
	other = open(".", O_TMPFILE | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	ASK(answers, other >= 0);
	ASK(answers, linkat(other, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	ASK(answers, room().f_files - room().f_ffree);
	close(other);
	ASK(answers, room().f_files - room().f_ffree);
	ASK(answers, open(".", O_TMPFILE | O_RDONLY, 0600));
	ASK(answers, open("none", O_TMPFILE | O_RDWR, 0600));
}

static void opens_by_name(struct answers *answers)
{
	char text[16] = "";
	int fd;

	fd = new_file("file");
	ASK(answers, write(fd, "0123456789", 10));
	close(fd);
	fd = open("file", O_WRONLY | O_APPEND | O_CLOEXEC);
	ASK(answers, write(fd, "ab", 2));
	ASK(answers, read(fd, text, 1));
	close(fd);
	ASK_STAT(answers, "file");
	ASK(answers, opens("file", O_RDONLY | O_TRUNC));
	ASK_STAT(answers, "file");
	ASK(answers, truncate("file", PAGES(3)));
	ASK(answers, truncate("none", 1));
	ASK(answers, truncate(".", 1));
	ASK_STAT(answers, "file");
	if (tmpfs_is_direct()) {
		fd = open("file", O_RDWR | O_DIRECT | O_CLOEXEC);
		ASK(answers, fd >= 0);
		ASK(answers, pwrite(fd, "x", 1, 7));
		ASK(answers, fcntl(fd, F_GETFL));
		close(fd);
	}
	fd = open("file", O_PATH | O_CLOEXEC);
	ASK(answers, read(fd, text, 1));
	ASK(answers, fchmod(fd, 0600));
	close(fd);
	ASK_STAT(answers, "file");
}

/* --- how much it can hold --- */
static void is_told_of(struct answers *answers)
{
	struct statfs st = room();
	int fd;

	ASK(answers, st.f_type);
	ASK(answers, st.f_bsize);
	ASK(answers, st.f_frsize);
	ASK(answers, st.f_blocks);
	ASK(answers, st.f_bfree);
	ASK(answers, st.f_bavail);
	ASK(answers, st.f_files);
	ASK(answers, st.f_ffree);
	ASK(answers, st.f_namelen);
	ASK(answers, st.f_flags);
	fd = new_file("file");
	ASK(answers, room().f_ffree);
	ASK(answers, pwrite(fd, "x", 1, PAGES(10)));
	ASK(answers, room().f_bfree);
	ASK(answers, fallocate(fd, 0, 0, PAGES(5)));
	ASK(answers, room().f_bfree);
	ASK(answers, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGES(2)));
	ASK(answers, room().f_bfree);
	ASK(answers, ftruncate(fd, PAGE));
	ASK(answers, room().f_bfree);
	ASK(answers, mkdir("dir", 0700));
	ASK(answers, symlink("x", "y"));
	ASK(answers, mkfifo("fifo", 0700));
	ASK(answers, room().f_ffree);
	ASK(answers, unlink("fifo"));
	ASK(answers, unlink("file"));
	ASK(answers, room().f_ffree);
	ASK(answers, room().f_bfree);
	close(fd);
	ASK(answers, room().f_ffree);
	ASK(answers, room().f_bfree);
}

static void is_full_at_its_size(struct answers *answers)
{
	static char bytes[PAGES(8)];
	int fd = new_file("file"), other = new_file("other");
	const long pages = (long)room().f_blocks;
	ssize_t n, sum = 0;
	char *p;

	memset(bytes, 'b', sizeof(bytes));
	while ((n = write(fd, bytes, PAGES(7))) > 0)
		sum += n;
	ASK(answers, n);
	ASK(answers, sum);
	ASK(answers, room().f_bfree);
	ASK(answers, pwrite(fd, "y", 1, 5)); /* what is there can be written */
	ASK(answers, write(other, "x", 1));
	ASK(answers, stat_of("other").st_size);
	ASK(answers, ftruncate(other, PAGES(100)));
	ASK(answers, stat_of("other").st_blocks);
	ASK(answers, pread(other, bytes, PAGES(2), 0));
	p = object_map(other, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);
	ASK(answers, touch(p, true));
	ASK(answers, fallocate(other, 0, 0, PAGE));
	ASK(answers, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGES(4)));
	ASK(answers, room().f_bfree);
	ASK(answers, touch(p, true));
	ASK(answers, touch(p + PAGE, true));
	ASK(answers, fallocate(other, 0, PAGES(2), PAGES(3))); /* there are two */
	ASK_AS(answers, room().f_bfree, "room after that failed");
	ASK_AS(answers, stat_of("other").st_blocks, "blocks after that failed");
	ASK(answers, fallocate(other, 0, PAGES(2), PAGES(2)));
	ASK(answers, room().f_bfree);
	ASK(answers, touch(p + PAGES(5), true));
	ASK(answers, pwrite(other, bytes, PAGES(4), PAGES(3))); /* the first of them is there */
	ASK(answers, ftruncate(fd, PAGES(pages - 1)));
	ASK(answers, room().f_bfree);
	munmap(p, PAGES(8));
	close(fd), close(other);
	ASK(answers, unlink("file"));
	ASK(answers, room().f_bfree);
	ASK(answers, unlink("other"));
	ASK(answers, room().f_bfree == room().f_blocks);
}

static void has_links_that_count(struct answers *answers)
{
	ASK(answers, make_file("file"));
	ASK(answers, link("file", "linked"));
	ASK(answers, room().f_ffree);
}

static void is_full_at_its_inodes(struct answers *answers)
{
	char name[32];
	int count = 0;

	do
		snprintf(name, sizeof(name), "%d", count);
	while (!make_file(name) && ++count < 10000);
	ASK(answers, errno);
	ASK(answers, count);
	ASK(answers, room().f_ffree);
	ASK(answers, mkdir("dir", 0700));
	ASK(answers, symlink("x", "y"));
	ASK(answers, mkfifo("fifo", 0700));
	ASK(answers, open(".", O_TMPFILE | O_RDWR, 0600));
	ASK(answers, rename("0", "renamed"));
	ASK(answers, unlink("1"));
	ASK(answers, room().f_ffree);
	ASK(answers, mkdir("dir", 0700));
	ASK(answers, mkdir("dir", 0700));
	ASK(answers, mkdir("dir/dir", 0700));
	ASK(answers, room().f_ffree);
	ASK(answers, names_in("."));
}

/* Runs @body in PROCESSES children, and waits for them: how many failed. */
static int in_processes(void (*body)(int n))
{
	pid_t children[PROCESSES];
	int failed = 0, status;

	for (int n = 0; n < PROCESSES; n++) {
		children[n] = fork();
		MUST(children[n] >= 0);
		if (!children[n]) {
			random_state = (uint64_t)n * 77 + 1;
			body(n);
			_exit(0);
		}
	}
	for (int n = 0; n < PROCESSES; n++) {
		MUST(waitpid(children[n], &status, 0) == children[n]);
		failed += !!status;
	}
	return failed;
}

/* Takes pages by any means, of a file of its own, till there are none. */
static void fill_pages(int n)
{
	static char bytes[PAGES(4)];
	char name[16], *p;
	int fd, refused = 0;

	snprintf(name, sizeof(name), "%d", n);
	fd = new_file(name);
	p = object_map(fd, PAGES(1024), PROT_READ | PROT_WRITE, MAP_SHARED);
	MUST(!ftruncate(fd, PAGES(1024)));
	while (refused < 40) {
		const off_t at = PAGES((off_t)random_below(1020));
		bool done;

		errno = 0;
		switch (random_below(4)) {
		case 0:
			done = pwrite(fd, bytes, 1 + random_below(PAGES(4)), at) > 0;
			break;
		case 1:
			done = !touch(p + at, true);
			break;
		case 2:
			done = !fallocate(fd, 0, at, PAGES(3));
			break;
		default: /* and gives some back */
			done = true;
			MUST(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
			                PAGES(2)));
		}
		if (done)
			continue;
		if (errno && errno != ENOSPC)
			_exit(1);
		refused++;
	}
	for (off_t at = 0; at < 1024; at++) /* what is left, to the last page */
		(void)!pwrite(fd, "x", 1, PAGES(at));
	_exit(0);
}

static long blocks_of_all(void)
{
	char name[16];
	long sum = 0;

	for (int n = 0; n < PROCESSES; n++) {
		snprintf(name, sizeof(name), "%d", n);
		sum += stat_of(name).st_blocks;
	}
	return sum;
}

static void is_filled_by_several(struct answers *answers)
{
	char name[16];

	for (unsigned int round = 0; round < fewer_if_debug(4); round++) {
		ASK(answers, in_processes(fill_pages));
		ASK(answers, blocks_of_all());
		ASK(answers, room().f_bfree);
		for (int n = 0; n < PROCESSES; n++) {
			snprintf(name, sizeof(name), "%d", n);
			ASK(answers, unlink(name));
		}
		ASK(answers, room().f_blocks - room().f_bfree);
	}
}

static void fill_inodes(int n)
{
	char name[32], other[32];

	for (int i = 0, refused = 0; refused < 5; i++) {
		snprintf(name, sizeof(name), "%d-%d", n, i);
		snprintf(other, sizeof(other), "%d-%d", n, i / 2);
		switch (random_below(6)) {
		case 0:
			refused += !!mkdir(name, 0700);
			break;
		case 1:
			refused += !!symlink(name, name);
			break;
		case 2:
			if (unlink(other))
				(void)!rmdir(other);
			break;
		case 3:
			opens(".", O_TMPFILE | O_RDWR);
			break;
		default:
			refused += !!make_file(name);
		}
	}
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "%d+%d", n, i);
		make_file(name);
	}
	_exit(0);
}

/* Who makes none of what he is refused may leave it to others: some are left at times. */
static void has_its_inodes_taken_by_several(struct answers *answers)
{
	for (unsigned int round = 0; round < fewer_if_debug(4); round++) {
		ASK(answers, in_processes(fill_inodes));
		ASK(answers, names_in(".") + 1 + (long)room().f_ffree);
		remove_all(".");
		ASK(answers, room().f_files - room().f_ffree);
		ASK(answers, names_in("."));
	}
}

/* --- who may --- */
static int makes_one(void)
{
	return make_file("nobodys");
}

static int makes_dir(void)
{
	return mkdir("nobodys-dir", 0777);
}

static int unlinks_roots(void)
{
	return unlink("roots");
}

static int renames_roots(void)
{
	return rename("roots", "taken");
}

static int renames_over_roots(void)
{
	return make_file("another") ? -1 : rename("another", "roots");
}

static int unlinks_own(void)
{
	return unlink("nobodys");
}

static int reads_roots(void)
{
	return opens("roots", O_RDONLY);
}

static int writes_roots(void)
{
	return opens("roots", O_WRONLY);
}

static int truncates_roots(void)
{
	return truncate("roots", 0);
}

static int chmods_roots(void)
{
	return chmod("roots", 0777);
}

static int links_roots(void)
{
	return link("roots", "linked");
}

static int lists(void)
{
	return names_in(".") < 0 ? -1 : 0;
}

static int makes_device(void)
{
	return mknod("device", S_IFCHR | 0666, 1 << 8 | 5);
}

static int takes_a_tmpfile(void)
{
	return opens(".", O_TMPFILE | O_RDWR);
}

static void permits(struct answers *answers)
{
	static const mode_t modes[] = {0755, 01777, 02777, 0777, 0700, 0711, 0733};
	const size_t count = debug_kernel() ? 3 : ARRAY_LENGTH(modes);

	for (size_t i = 0; i < count; i++) {
		const unsigned int mode = modes[i];

		ASK_AS(answers, chmod(".", mode), "chmod %o", mode);
		ASK_AS(answers, stat_of(".").st_mode, "mode after chmod %o", mode);
		ASK_AS(answers, make_file("roots"), "%o: root's", mode);
		ASK_AS(answers, chmod("roots", 0604), "%o: root's mode", mode);
		ASK_AS(answers, as_nobody(lists), "%o: list", mode);
		ASK_AS(answers, as_nobody(makes_one), "%o: make a file", mode);
		ASK_AS(answers, as_nobody(makes_dir), "%o: make a directory", mode);
		ASK_AS(answers, as_nobody(takes_a_tmpfile), "%o: O_TMPFILE", mode);
		ASK_AS(answers, as_nobody(makes_device), "%o: make a device", mode);
		ASK_AS(answers, as_nobody(reads_roots), "%o: read root's", mode);
		ASK_AS(answers, as_nobody(writes_roots), "%o: write root's", mode);
		ASK_AS(answers, as_nobody(truncates_roots), "%o: truncate root's", mode);
		ASK_AS(answers, as_nobody(chmods_roots), "%o: chmod root's", mode);
		ASK_AS(answers, as_nobody(links_roots), "%o: link root's", mode);
		if (!is_there("nobodys")) {
			ASK_AS(answers, stat_of("nobodys").st_uid, "%o: owner", mode);
			ASK_AS(answers, stat_of("nobodys").st_gid, "%o: group", mode);
		}
		if (!is_there("nobodys-dir"))
			ASK_AS(answers, stat_of("nobodys-dir").st_mode, "%o: mode of dir", mode);
		ASK_AS(answers, as_nobody(renames_roots), "%o: rename root's", mode);
		ASK_AS(answers, as_nobody(renames_over_roots), "%o: rename over root's", mode);
		ASK_AS(answers, as_nobody(unlinks_roots), "%o: unlink root's", mode);
		ASK_AS(answers, as_nobody(unlinks_own), "%o: unlink its own", mode);
		remove_all(".");
	}
}

static void has_owners(struct answers *answers)
{
	ASK_STAT(answers, "."); /* as the options say */
	ASK(answers, make_file("file"));
	ASK_STAT(answers, "file");
	ASK(answers, chown("file", 7, 8));
	ASK(answers, chmod("file", 06755));
	ASK_STAT(answers, "file");
	ASK(answers, chown("file", 7, (gid_t)-1));
	ASK_STAT(answers, "file");
	ASK(answers, chmod(".", 02770)); /* what is made in it is of its group */
	ASK(answers, chown(".", 1, 9));
	ASK(answers, make_file("of-group"));
	ASK(answers, mkdir("dir-of-group", 0700));
	ASK_STAT(answers, "of-group");
	ASK_STAT(answers, "dir-of-group");
}

/* Which of access (1), modification (2) and change (4) of @name have another time. */
static int times_after(const char *name, int (*act)(void))
{
	static const struct timespec old[2] = {{1000, 5}, {2000, 7}};
	struct timespec now;
	struct stat before, after;

	MUST(!utimensat(AT_FDCWD, name, old, AT_SYMLINK_NOFOLLOW));
	before = stat_of(name);
	do { /* till the file system's clock tells another time */
		usleep(1000);
		MUST(!clock_gettime(CLOCK_REALTIME_COARSE, &now));
	} while (now.tv_sec == before.st_ctim.tv_sec && now.tv_nsec <= before.st_ctim.tv_nsec);
	MUST(act() >= 0);
	after = stat_of(name);
	return (after.st_atim.tv_sec != 1000) | (after.st_mtim.tv_sec != 2000) << 1 |
	       (!!memcmp(&after.st_ctim, &before.st_ctim, sizeof(after.st_ctim))) << 2;
}

static int act_make(void)
{
	return make_file("file");
}

static int act_link(void)
{
	return link("file", "linked");
}

static int act_symlink(void)
{
	return symlink("file", "symlink");
}

static int act_mkdir(void)
{
	return mkdir("dir", 0700);
}

static int act_rmdir(void)
{
	return rmdir("dir");
}

static int act_rename(void)
{
	return rename("file", "renamed");
}

static int act_exchange(void)
{
	return renames("renamed", "linked", RENAME_EXCHANGE);
}

static int act_unlink(void)
{
	return unlink("linked");
}

static int act_list(void)
{
	return names_in(".");
}

static int act_follow(void)
{
	return opens("symlink", O_RDONLY) ? 0 : 0;
}

static int act_chmod(void)
{
	return chmod(".", 0750);
}

static int act_tmpfile(void)
{
	return opens(".", O_TMPFILE | O_RDWR);
}

static void has_times(struct answers *answers)
{
	ASK(answers, times_after(".", act_make));
	ASK(answers, times_after("file", act_link));
	ASK(answers, times_after(".", act_symlink));
	ASK(answers, times_after("symlink", act_follow));
	ASK(answers, times_after(".", act_mkdir));
	ASK(answers, times_after(".", act_rmdir));
	ASK(answers, times_after(".", act_list));
	ASK(answers, times_after(".", act_tmpfile));
	ASK(answers, times_after(".", act_rename));
	ASK(answers, times_after("renamed", act_exchange));
	ASK(answers, times_after(".", act_exchange));
	ASK(answers, times_after("renamed", act_unlink));
	ASK(answers, times_after(".", act_chmod));
}

/* --- directories --- */
enum { MANY = 600 };

/* While others come and go, each name that stays is told once. */
static void is_listed_while_it_changes(struct answers *answers)
{
	static unsigned char seen[MANY];
	const int many = (int)fewer_if_debug(MANY);
	struct dirent *entry;
	int twice = 0, missing = 0, number, steps = 0;
	char name[32];
	long place;
	DIR *dir;

	for (int i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "stays-%d", i);
		MUST(!make_file(name));
	}
	memset(seen, 0, sizeof(seen));
	dir = opendir(".");
	MUST(dir);
	while ((entry = readdir(dir))) {
		if (sscanf(entry->d_name, "stays-%d", &number) == 1 && seen[number]++)
			twice++;
		snprintf(name, sizeof(name), "comes-%d", steps++);
		MUST(steps > 5000 || !make_file(name));
		if (steps % 2)
			MUST(!unlink(name));
		/* One that was told of, or not yet, is made anew, too. */
		if (steps % 7 == 0) {
			snprintf(name, sizeof(name), "comes-%d", steps / 2);
			(void)!unlink(name);
		}
	}
	for (int i = 0; i < many; i++)
		missing += !seen[i];
	ASK(answers, twice);
	ASK(answers, missing);
	/* From a place that was told, the same comes again. */
	rewinddir(dir);
	for (int i = 0; i < 100; i++)
		MUST(readdir(dir));
	place = telldir(dir);
	entry = readdir(dir);
	MUST(entry);
	strcpy(name, entry->d_name);
	for (int i = 0; i < 100; i++)
		MUST(readdir(dir));
	seekdir(dir, place);
	entry = readdir(dir);
	ASK(answers, entry && !strcmp(entry->d_name, name));
	rewinddir(dir);
	entry = readdir(dir);
	ASK(answers, entry && !strcmp(entry->d_name, "."));
	ASK(answers, entry && entry->d_type == DT_DIR);
	closedir(dir);
	/* All can be removed as they are told. */
	remove_all(".");
	ASK(answers, names_in("."));
}

static void has_watchers(struct answers *answers)
{
	static char bytes[PAGE] __attribute__((aligned(8)));
	int watcher = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	ssize_t length;

	ASK(answers, watcher < 0 ? -1 : 0);
	if (watcher < 0)
		return;
	ASK(answers, inotify_add_watch(watcher, ".", IN_ALL_EVENTS));
	MUST(!make_file("a") && !rename("a", "b") && !link("b", "c") && !mkdir("d", 0700));
	MUST(!chmod("b", 0600) && !truncate("b", 100) && !unlink("b") && !unlink("c"));
	MUST(!rmdir("d"));
	length = read(watcher, bytes, sizeof(bytes));
	ASK(answers, length);
	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (void *)(bytes + at);

		ASK_AS(answers, event->mask, "event at %zd", at);
		at += (ssize_t)sizeof(*event) + event->len;
	}
	close(watcher);
}

static int runs(const char *name)
{
	char *const argv[] = {"names", LEAVE, NULL}, *const env[] = {NULL};
	const pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		execve(name, argv, env);
		_exit(128 + errno);
	}
	MUST(waitpid(child, &status, 0) == child);
	return status;
}

static void executes(struct answers *answers)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), fd = new_file("program");
	struct stat st;
	off_t from = 0;

	MUST(self >= 0 && !fstat(self, &st));
	while (from < st.st_size) {
		char bytes[PAGE];
		ssize_t n = pread(self, bytes, PAGE, from);

		MUST(n > 0 && pwrite(fd, bytes, (size_t)n, from) == n);
		from += n;
	}
	ASK(answers, fchmod(fd, 0755));
	ASK(answers, runs("./program")); /* open for writing */
	close(fd);
	ASK(answers, runs("./program"));
	ASK(answers, chmod("program", 0644));
	ASK(answers, runs("./program"));
	ASK(answers, chmod("program", 0755));
	ASK(answers, mount(NULL, ".", NULL, MS_REMOUNT | MS_NOEXEC, NULL));
	ASK(answers, runs("./program"));
	close(self);
}

/* --- the mount --- */
static void is_mounted(struct answers *answers)
{
	static const char *const options[] = {
		"size=64k",
		"size=1m",
		"size=5000",
		"size=x",
		"size=-1",
		"size=50%",
		"size",
		"nr_inodes=10",
		"nr_inodes=2k",
		"nr_inodes=x",
		"nr_inodes=-1",
		"mode=0700",
		"mode=1777",
		"mode=9",
		"mode=77777",
		"mode=x",
		"uid=5",
		"uid=-5",
		"uid=x",
		"gid=6",
		"gid=x",
		"uid=4294967295",
		"gid=4294967295",
		"nosuch",
		"nosuch=1",
		"size=1m,mode=0711,uid=3,gid=4,nr_inodes=77",
		"size=1m,size=2m",
		"",
	};

	for (size_t i = 0; i < ARRAY_LENGTH(options); i++) {
		struct statfs st;
		int result = mount("none", there, type, 0, options[i]);

		ASK_AS(answers, result, "mount %s", options[i]);
		if (result)
			continue;
		MUST(!statfs(there, &st));
		ASK_AS(answers, stat_of(there).st_mode, "mode with %s", options[i]);
		ASK_AS(answers, stat_of(there).st_uid, "uid with %s", options[i]);
		ASK_AS(answers, stat_of(there).st_gid, "gid with %s", options[i]);
		/* Half of the memory that there is, if nothing is said. */
		ASK_AS(answers, st.f_blocks, "blocks with %s", options[i]);
		ASK_AS(answers, st.f_files, "files with %s", options[i]);
		ASK_AS(answers, umount(there), "umount %s", options[i]);
	}
}

/* Whether /proc/mounts has @text in the options of what is mounted at @where. */
static int says(const char *where, const char *text)
{
	FILE *file = fopen("/proc/mounts", "re");
	char line[1024], wanted[128];
	int found = 0;

	MUST(file);
	snprintf(wanted, sizeof(wanted), "none %s %s ", where, type);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, wanted, strlen(wanted)))
			found = !!strstr(line, text);
	fclose(file);
	return found;
}

/* 0 is no limit. What is used is counted all the same, so that there can be one later. */
static void is_mounted_without_limit(struct answers *answers)
{
	char name[80];
	int fd;

	snprintf(name, sizeof(name), "%s/file", there);
	ASK(answers, mount("none", there, type, 0, "size="));
	(void)!umount(there);
	ASK(answers, mount("none", there, type, 0, "size=0,nr_inodes=0"));
	ASK(answers, says(there, ",size=0k"));
	ASK(answers, says(there, ",nr_inodes=0"));
	MUST(!chdir(there));
	ASK(answers, room().f_blocks);
	ASK(answers, room().f_bfree);
	ASK(answers, room().f_files);
	ASK(answers, room().f_ffree);
	fd = new_file(name);
	ASK(answers, write(fd, "text", 4));
	ASK(answers, fallocate(fd, 0, 0, PAGES(100)));
	close(fd);
	ASK(answers, stat_of(name).st_blocks);
	ASK(answers, room().f_bfree);
	ASK(answers, mount(NULL, there, NULL, MS_REMOUNT, "size=400k"));
	ASK(answers, mount(NULL, there, NULL, MS_REMOUNT, "nr_inodes=2"));
	ASK(answers, make_file("another"));
	ASK(answers, mount(NULL, there, NULL, MS_REMOUNT, "size=0,nr_inodes=0"));
	ASK(answers, room().f_blocks);
	(void)!unlink("another");
	MUST(!chdir(here) && !umount(there));
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, "size=0"));
	ASK(answers, room().f_blocks);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, "nr_inodes=0"));
	ASK(answers, room().f_files);
}

static void says_how_it_is_mounted(struct answers *answers)
{
	mount_at(there, "size=1m,nr_inodes=77,mode=0711,uid=3,gid=4");
	ASK(answers, says(there, " rw,relatime"));
	ASK(answers, says(there, ",size=1024k"));
	ASK(answers, says(there, ",nr_inodes=77"));
	ASK(answers, says(there, ",mode=711"));
	ASK(answers, says(there, ",uid=3"));
	ASK(answers, says(there, ",gid=4"));
	ASK(answers, mount(NULL, there, NULL, MS_REMOUNT, "size=2m"));
	ASK(answers, says(there, ",size=2048k"));
	ASK(answers, says(there, ",nr_inodes=77"));
	MUST(!umount(there));
}

/* Busy while anything is in use, and not any more right after. */
static void is_unmounted(struct answers *answers)
{
	char name[80], *p;
	int fd;

	snprintf(name, sizeof(name), "%s/file", there);
	for (int round = 0; round < 20; round++) {
		mount_at(there, "size=1m");
		fd = new_file(name);
		MUST(write(fd, "text", 4) == 4);
		ASK(answers, umount(there));
		p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		close(fd);
		ASK(answers, umount(there));
		ASK(answers, *p);
		munmap(p, PAGE);
		MUST(!chdir(there));
		ASK(answers, umount(there));
		MUST(!chdir(here));
		if (round % 2)
			ASK(answers, unlink(name));
		ASK(answers, umount(there));
		ASK(answers, is_there(name));
	}
	/* Taken away lazily it stays for who has it. */
	mount_at(there, "size=1m");
	fd = new_file(name);
	ASK(answers, umount2(there, MNT_DETACH));
	ASK(answers, is_there(name));
	ASK(answers, write(fd, "text", 4));
	p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASK(answers, *p);
	close(fd);
	*p = 'T';
	ASK(answers, *p);
	munmap(p, PAGE);
	ASK(answers, umount(there));
}

/* There is nothing to write to, so that nothing has to be held still. */
static void is_synced(struct answers *answers)
{
	int root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = new_file("file");
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	MUST(root >= 0 && !ftruncate(fd, PAGE));
	ASK(answers, ioctl(root, FIFREEZE, 0));
	*p = 'x';
	ASK(answers, *p);
	ASK(answers, write(fd, "text", 4));
	ASK(answers, make_file("another"));
	ASK(answers, ioctl(fd, FIFREEZE, 0));
	ASK(answers, ioctl(root, FITHAW, 0));
	ASK(answers, ioctl(root, FITRIM, &(struct fstrim_range){.len = PAGE}));
	ASK(answers, syncfs(root));
	ASK(answers, syncfs(fd));
	ASK(answers, fsync(root));
	ASK(answers, fdatasync(root));
	ASK(answers, fsync(fd));
	ASK(answers, msync(p, PAGE, MS_SYNC));
	ASK(answers, msync(p, PAGE, MS_SYNC | MS_INVALIDATE));
	sync();
	ASK(answers, *p);
	close(fd);
	/* Read-only in one place, and in another it is not. */
	MUST(!mount(here, there, NULL, MS_BIND, NULL));
	ASK(answers, mount(NULL, there, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	MUST(!chdir(there));
	ASK(answers, opens("file", O_RDWR));
	ASK(answers, opens("file", O_RDONLY));
	MUST(!chdir(here));
	ASK(answers, opens("file", O_RDWR));
	ASK(answers, umount(here)); /* we are in it */
	ASK(answers, umount2(there, MNT_FORCE));
	ASK(answers, umount2(here, MNT_FORCE));
	ASK(answers, *p);
	munmap(p, PAGE);
	close(root);
}

static void is_remounted(struct answers *answers)
{
	int fd = new_file("file");
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	ASK(answers, write(fd, "text", 4));
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	close(fd);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	munmap(p, PAGE);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	ASK(answers, room().f_flags & ST_RDONLY);
	ASK(answers, opens("file", O_RDWR));
	ASK(answers, opens("file", O_RDONLY | O_TRUNC));
	ASK(answers, opens("new", O_RDWR | O_CREAT));
	ASK(answers, opens("file", O_RDONLY));
	ASK(answers, mkdir("dir", 0700));
	ASK(answers, unlink("file"));
	ASK(answers, rename("file", "new"));
	ASK(answers, chmod("file", 0600));
	ASK(answers, truncate("file", 0));
	ASK(answers, utimensat(AT_FDCWD, "file", NULL, 0));
	ASK(answers, link("file", "link"));
	ASK(answers, opens(".", O_TMPFILE | O_RDWR));
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, NULL));
	ASK(answers, opens("file", O_RDWR));
	ASK(answers, unlink("file"));

	/* Other sizes: not less than is used. */
	fd = new_file("file");
	ASK(answers, fallocate(fd, 0, 0, PAGES(64)));
	close(fd);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, "size=128k"));
	ASK(answers, room().f_blocks);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, "size=256k"));
	ASK(answers, room().f_blocks);
	ASK(answers, room().f_bfree);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, "size=4m"));
	ASK(answers, room().f_blocks);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, "nr_inodes=1"));
	ASK(answers, room().f_files);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, "nr_inodes=500"));
	ASK(answers, room().f_files);
	ASK(answers, mount(NULL, here, NULL, MS_REMOUNT, "nosuch"));
	ASK(answers, room().f_blocks);
	ASK(answers, stat_of("file").st_blocks);
}

static void is_apart_from_another(struct answers *answers)
{
	char name[80], bound[80];
	int fd, other;

	mount_at(there, "size=1m");
	snprintf(name, sizeof(name), "%s/file", there);
	fd = new_file("file"), other = new_file(name);
	ASK(answers, write(fd, "text", 4));
	ASK(answers, stat_of("file").st_dev != stat_of(name).st_dev);
	ASK(answers, stat_of(name).st_size);
	ASK(answers, rename("file", name));
	ASK(answers, link("file", name));
	ASK(answers, copy_file_range(fd, &(loff_t){0}, other, &(loff_t){0}, 4, 0));
	close(fd), close(other);
	ASK(answers, umount(there));
	/* The same in another place, and something mounted in it. */
	ASK(answers, mkdir("dir", 0700));
	ASK(answers, mount(here, there, NULL, MS_BIND, NULL));
	ASK(answers, stat_of("file").st_ino == stat_of(name).st_ino);
	ASK(answers, rename("file", name));
	snprintf(bound, sizeof(bound), "%s/dir", here);
	ASK(answers, mount("none", bound, type, 0, "size=1m"));
	ASK(answers, rmdir("dir"));
	ASK(answers, umount(bound));
	ASK(answers, umount(there));
	ASK(answers, rmdir("dir"));
}

static const struct row {
	const char *name, *options;
	void (*ask)(struct answers *answers);
} rows[] = {
	{"files and directories", "size=1m,nr_inodes=100", has_files_and_directories},
	{"fifos, sockets, devices", "size=1m,nr_inodes=100", has_other_kinds},
	{"rename", "size=1m,nr_inodes=100", renames_over},
	{"rename, NOREPLACE", "size=1m,nr_inodes=100", renames_to_nothing},
	{"rename, EXCHANGE", "size=1m,nr_inodes=100", exchanges},
	{"rename, what stays", "size=1m,nr_inodes=100", keeps_what_it_renames},
	{"unlink while open", "size=1m,nr_inodes=100", keeps_what_is_unlinked},
	{"hard links", "size=1m,nr_inodes=100", has_links},
	{"symbolic links", "size=1m,nr_inodes=100", has_symbolic_links},
	{"O_TMPFILE, linkat", "size=1m,nr_inodes=100", has_files_without_names},
	{"open, truncate", "size=1m,nr_inodes=100", opens_by_name},
	{"statfs", "size=1m,nr_inodes=100", is_told_of},
	{"statfs, hard links", "size=1m,nr_inodes=100", has_links_that_count},
	{"size=", "size=1m,nr_inodes=100", is_full_at_its_size},
	{"size=, not of whole pages", "size=70001,nr_inodes=100", is_full_at_its_size},
	{"nr_inodes=", "size=1m,nr_inodes=100", is_full_at_its_inodes},
	{"size=, several processes", "size=4m,nr_inodes=100", is_filled_by_several},
	{"nr_inodes=, several processes", "size=1m,nr_inodes=200", has_its_inodes_taken_by_several},
	{"permissions", "size=1m,nr_inodes=100", permits},
	{"mode=, uid=, gid=", "size=1m,mode=0750,uid=3,gid=4", has_owners},
	{"times", "size=1m,nr_inodes=100", has_times},
	{"readdir while it changes", "size=1m,nr_inodes=3000", is_listed_while_it_changes},
	{"inotify", "size=1m,nr_inodes=100", has_watchers},
	{"execve", "size=8m,nr_inodes=100", executes},
	{"mount options", "size=1m,nr_inodes=100", is_mounted},
	{"mount options, no limit", "size=1m,nr_inodes=100", is_mounted_without_limit},
	{"/proc/mounts", "size=1m,nr_inodes=100", says_how_it_is_mounted},
	{"umount", "size=1m,nr_inodes=100", is_unmounted},
	{"freeze, sync", "size=1m,nr_inodes=100", is_synced},
	{"remount", "size=1m,nr_inodes=100", is_remounted},
	{"two mounts", "size=1m,nr_inodes=100", is_apart_from_another},
};

/* --- what differs, and is meant to --- */
#define COUNTED "what is used is counted, limit or not"

static const struct difference differences[] = {
	{"statfs", "st.f_type", "it is a file system of its own"},
	{"rename, what stays", "renames(\"two\", \"white\", RENAME_WHITEOUT)", "nobody stacks it"},
	{"symbolic links", "blocks of *", "only files take of size="},
	{"statfs, hard links", "room().f_ffree", "a link is no inode"},
	{"mount options, no limit", "mount(NULL, there, NULL, MS_REMOUNT, \"size=400k\")", COUNTED},
	{"mount options, no limit", "mount(NULL, there, NULL, MS_REMOUNT, \"nr_inodes=2\")",
         COUNTED},
	{"mount options, no limit", "make_file(\"another\")", COUNTED},
};

static bool is_here(const struct difference *listed)
{
	(void)listed;
	return true;
}

static struct alike alike = {
	.reference = TMPFS,
	.other = COWMEM,
	.differences = differences,
	.count = ARRAY_LENGTH(differences),
	.is_here = is_here,
};

static void ask_row(struct answers *answers, const struct row *row, const char *of)
{
	type = of;
	answers->count = 0;
	enter(row->options);
	row->ask(answers);
	leave();
}

/* --- reflinks --- */

/* Data in the pages 0, 1, 4 and 5, a hole between, and 10 bytes more. */
static int image_of(const char *name, uint64_t generation)
{
	char page[PAGE];
	int fd = new_file(name);

	for (int i = 0; i < 6; i++) {
		fill_page(page, i, generation);
		if (i != 2 && i != 3)
			MUST(pwrite(fd, page, PAGE, PAGES(i)) == (ssize_t)PAGE);
	}
	MUST(pwrite(fd, "0123456789", 10, PAGES(6)) == 10);
	return fd;
}

struct content {
	ssize_t size;
	char bytes[PAGES(12)];
};

static void get(int fd, struct content *to)
{
	memset(to, 0, sizeof(*to));
	to->size = pread(fd, to->bytes, sizeof(to->bytes), 0);
	MUST(to->size >= 0);
}

static bool is_as(int fd, const struct content *wanted)
{
	static struct content found;

	get(fd, &found);
	return found.size == wanted->size && !memcmp(found.bytes, wanted->bytes, PAGES(12));
}

static int clone_range(int from, uint64_t offset, uint64_t length, int to, uint64_t at)
{
	struct file_clone_range range = {from, offset, length, at};

	return ioctl(to, FICLONERANGE, &range);
}

static void clones_whole_files(void)
{
	static struct content whole, mine, longer;
	int from, to, fifo;
	char *p, *q;

	type = alike.other;
	enter("size=4m,nr_inodes=100");
	from = image_of("from", 1), to = new_file("to");
	get(from, &whole);
	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	CHECK(is_as(to, &whole) && is_as(from, &whole));
	CHECK_EQ(stat_of("to").st_size, IMAGE);
	CHECK_EQ(stat_of("to").st_blocks, stat_of("from").st_blocks);
	CHECK_EQ(lseek(to, 0, SEEK_HOLE), PAGES(2));
	CHECK_EQ(lseek(to, PAGES(2), SEEK_DATA), PAGES(4));
	/* Each goes its own way, by every road. */
	mine = whole;
	memcpy(mine.bytes + PAGE, "mine", 4);
	CHECK_EQ(pwrite(to, "mine", 4, PAGE), 4);
	CHECK(is_as(to, &mine) && is_as(from, &whole));
	p = object_map(to, PAGES(7), PROT_READ | PROT_WRITE, MAP_SHARED);
	q = object_map(from, PAGES(7), PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(!memcmp(p, mine.bytes, PAGES(6)) && !memcmp(q, whole.bytes, PAGES(6)));
	p[PAGES(2)] = mine.bytes[PAGES(2)] = 'm';
	q[PAGES(5)] = whole.bytes[PAGES(5)] = 'q';
	CHECK(is_as(to, &mine) && is_as(from, &whole));
	CHECK_EQ(fallocate(from, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGES(2)), 0);
	memset(whole.bytes, 0, PAGES(2));
	CHECK(is_as(to, &mine) && is_as(from, &whole));
	/* Over what is mapped, and was not empty: the mapping sees it. */
	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	CHECK(is_as(to, &whole) && !memcmp(p, whole.bytes, PAGES(6)));
	q[PAGES(4)] = 'z';
	CHECK(is_as(to, &whole));
	munmap(p, PAGES(7)), munmap(q, PAGES(7));
	get(from, &whole);
	/* What is longer keeps its tail, if the other ends with a page. */
	CHECK_EQ(ftruncate(to, PAGES(9)), 0);
	CHECK_EQ(pwrite(to, "tail", 4, PAGES(8)), 4);
	get(to, &longer);
	CHECK_ERRNO(ioctl(to, FICLONE, from), EINVAL);
	CHECK(is_as(to, &longer));
	CHECK_EQ(ftruncate(from, PAGES(6)), 0);
	get(from, &whole);
	memcpy(longer.bytes, whole.bytes, PAGES(6));
	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	CHECK(is_as(to, &longer));
	/* An empty one has nothing to give. */
	CHECK_EQ(ftruncate(from, 0), 0);
	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	CHECK(is_as(to, &longer));
	CHECK_EQ(mkfifo("fifo", 0600), 0);
	fifo = open("fifo", O_RDWR | O_CLOEXEC);
	CHECK_ERRNO(ioctl(to, FICLONE, fifo), EINVAL);
	close(fifo), close(from), close(to);
	CHECK_EQ(unlink("from") | unlink("to"), 0);
	CHECK_EQ(room().f_bfree, room().f_blocks);
	leave();
}

static void refuses_to_clone(void)
{
	static struct content whole;
	int from, to, read_only, write_only, append, dir, other, stranger;
	char name[80];
	struct rlimit was, limit;

	type = alike.other;
	enter("size=4m,nr_inodes=100");
	mount_at(there, "size=4m");
	snprintf(name, sizeof(name), "%s/other", there);
	from = image_of("from", 1), to = image_of("to", 2), other = image_of(name, 3);
	get(to, &whole);
	read_only = open("to", O_RDONLY | O_CLOEXEC);
	write_only = open("from", O_WRONLY | O_CLOEXEC);
	append = open("to", O_RDWR | O_APPEND | O_CLOEXEC);
	dir = open(".", O_RDONLY | O_CLOEXEC);
	stranger = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	MUST(read_only >= 0 && write_only >= 0 && append >= 0 && dir >= 0 && stranger >= 0);
	CHECK_ERRNO(ioctl(read_only, FICLONE, from), EBADF);
	CHECK_ERRNO(ioctl(to, FICLONE, write_only), EBADF);
	CHECK_ERRNO(ioctl(append, FICLONE, from), EBADF);
	CHECK_ERRNO(ioctl(to, FICLONE, -1), EBADF);
	CHECK_ERRNO(ioctl(to, FICLONE, dir), EISDIR);
	CHECK_ERRNO(ioctl(to, FICLONE, other), EXDEV);
	CHECK_ERRNO(ioctl(to, FICLONE, stranger), EXDEV);
	CHECK_ERRNO(ioctl(stranger, FICLONE, to), EXDEV);
	CHECK_ERRNO(ioctl(to, FICLONE, to), EINVAL);
	CHECK_ERRNO(ioctl(to, FICLONERANGE, (void *)8), EFAULT);
	MUST(!getrlimit(RLIMIT_FSIZE, &was));
	limit = (struct rlimit){PAGE, was.rlim_max};
	MUST(!setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_EQ(ftruncate(to, 0), 0);
	CHECK_ERRNO(ioctl(to, FICLONE, from), EINVAL); /* as any part of a range */
	MUST(!setrlimit(RLIMIT_FSIZE, &was));
	CHECK_EQ(lseek(to, 0, SEEK_END), 0);
	close(from), close(to), close(other), close(read_only), close(write_only);
	close(append), close(dir), close(stranger);
	MUST(!umount(there));
	leave();
}

/* What generic_remap_checks() of the kernel says; and here, first, only to the same place. */
static int wanted_of_range(uint64_t offset, uint64_t length, uint64_t at, uint64_t in, uint64_t out)
{
	if (offset % PAGE || at != offset)
		return EINVAL;
	if (!length && offset == in)
		return 0;
	if (offset >= in || offset + length > in)
		return EINVAL;
	if (!length)
		length = in - offset;
	/* The rest of a page can only be the rest of both. */
	return length % PAGE && (offset + length != in || at + length < out) ? EINVAL : 0;
}

static void clones_ranges(void)
{
	static const uint64_t offsets[] = {0,         1,        512,      PAGE,
	                                   PAGE + 1,  PAGES(2), PAGES(4), PAGES(6),
	                                   IMAGE - 1, IMAGE,    PAGES(7), PAGES(9)};
	static const uint64_t lengths[] = {0,        1,         10,        512,
	                                   PAGE,     PAGE + 10, PAGES(2),  PAGES(5) + 10,
	                                   PAGES(6), IMAGE,     IMAGE + 1, PAGES(7)};
	static const uint64_t outs[] = {0, PAGE, PAGES(3), IMAGE, PAGES(9) + 5};
	static struct content was, mine;
	const size_t step = debug_kernel() ? 4 : 1;
	const size_t length_step = debug_kernel() ? 2 : 1;
	unsigned int done = 0, asked = 0;
	int from;

	type = alike.other;
	enter("size=4m,nr_inodes=100");
	from = image_of("from", 1);
	get(from, &was);
	for (size_t o = 0; o < ARRAY_LENGTH(offsets); o++)
		for (size_t l = 0; l < ARRAY_LENGTH(lengths); l += length_step)
			for (size_t s = 0; s < ARRAY_LENGTH(outs); s += step)
				for (int shift = -1; shift < 2; shift++) {
					const uint64_t offset = offsets[o], length = lengths[l];
					const uint64_t at =
						shift < 0 ? offset + 1
							  : offset + PAGES((uint64_t)shift);
					const int error =
						wanted_of_range(offset, length, at, IMAGE, outs[s]);
					const uint64_t n = length ? length : IMAGE - offset;
					int to = image_of("to", 2), result;

					asked++;
					MUST(!ftruncate(to, (off_t)outs[s]));
					get(to, &mine);
					errno = 0;
					result = clone_range(from, offset, length, to, at);
					if (result != (error ? -1 : 0) ||
					    (error && errno != error)) {
						test_failed = true;
						ksft_print_msg(
							"from %lu, %lu bytes, to %lu of %lu: %d, "
							"errno %d, not %d\n",
							offset, length, at, outs[s], result, errno,
							error);
					}
					if (!error && n && offset < IMAGE) {
						memcpy(mine.bytes + at, was.bytes + offset, n);
						if (mine.size < (ssize_t)(at + n))
							mine.size = (ssize_t)(at + n);
						done++;
					}
					if (!is_as(to, &mine) || !is_as(from, &was)) {
						test_failed = true;
						ksft_print_msg(
							"from %lu, %lu bytes, to %lu of %lu: other "
							"bytes, or another size\n",
							offset, length, at, outs[s]);
					}
					close(to);
					MUST(!unlink("to"));
				}
	ksft_print_msg("%u ranges cloned, of %u\n", done, asked);
	CHECK(done > fewer_if_debug(50));
	close(from);
	leave();
}

struct dedupe {
	struct file_dedupe_range is;
	struct file_dedupe_range_info info[3];
};

static int dedupe_to(int from, uint64_t offset, uint64_t length, int to, uint64_t at,
                     struct dedupe *dedupe)
{
	*dedupe = (struct dedupe){
		.is = {.src_offset = offset, .src_length = length, .dest_count = 1},
		.info = {{.dest_fd = to, .dest_offset = at}},
	};
	return ioctl(from, FIDEDUPERANGE, dedupe);
}

/* One that has the same bytes as @from, and came of it, and shares nothing with it any more. */
static int relative_with(const char *name, int from)
{
	static struct content bytes;
	int fd = new_file(name);

	get(from, &bytes);
	MUST(!ioctl(fd, FICLONE, from));
	for (uint64_t i = 0; i < 6; i++)
		if (i != 2 && i != 3)
			MUST(pwrite(fd, bytes.bytes + PAGES(i), PAGE, (off_t)PAGES(i)) == PAGE);
	return fd;
}

static void dedupes(void)
{
	static struct content was, other;
	struct dedupe dedupe;
	int from, to, differs, read_only, stranger, other_family;

	type = alike.other;
	enter("size=4m,nr_inodes=100");
	from = image_of("from", 1), to = relative_with("to", from);
	differs = relative_with("differs", from);
	stranger = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK_EQ(pwrite(differs, "x", 1, PAGE + 7), 1);
	get(from, &was);
	get(differs, &other);
	CHECK_EQ(dedupe_to(from, 0, PAGES(6), to, 0, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, FILE_DEDUPE_RANGE_SAME);
	CHECK_EQ(dedupe.info[0].bytes_deduped, PAGES(6));
	CHECK(is_as(from, &was) && is_as(to, &was));
	CHECK_EQ(dedupe_to(from, 0, PAGES(2), differs, 0, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, FILE_DEDUPE_RANGE_DIFFERS);
	CHECK_EQ(dedupe_to(from, PAGES(2), PAGES(4), differs, PAGES(2), &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, FILE_DEDUPE_RANGE_SAME);
	CHECK(is_as(differs, &other));
	/* To the end of both, with the rest of a page. */
	CHECK_EQ(dedupe_to(from, PAGES(4), PAGES(2) + 10, to, PAGES(4), &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, FILE_DEDUPE_RANGE_SAME);
	CHECK_EQ(dedupe.info[0].bytes_deduped, PAGES(2) + 10);
	/* Several at once, each with its answer. */
	dedupe = (struct dedupe){
		.is = {.src_offset = PAGE, .src_length = PAGE, .dest_count = 3},
		.info = {{.dest_fd = to, .dest_offset = PAGE},
	                 {.dest_fd = differs, .dest_offset = PAGE},
	                 {.dest_fd = stranger, .dest_offset = PAGE}},
	};
	CHECK_EQ(ioctl(from, FIDEDUPERANGE, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, FILE_DEDUPE_RANGE_SAME);
	CHECK_EQ(dedupe.info[1].status, FILE_DEDUPE_RANGE_DIFFERS);
	CHECK_EQ(dedupe.info[2].status, -EXDEV);
	/* Only what came of one another. */
	other_family = image_of("other", 1);
	CHECK_EQ(dedupe_to(from, 0, PAGES(6), other_family, 0, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, -EOPNOTSUPP);
	close(other_family);
	/* What is not so: of no whole pages, behind the end, in another place, no descriptor. */
	CHECK_EQ(dedupe_to(from, 1, PAGE, to, 1, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, -EINVAL);
	CHECK_EQ(dedupe_to(from, 0, PAGE, to, 1, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, -EINVAL);
	CHECK_ERRNO(dedupe_to(from, PAGES(6), PAGES(2), to, PAGES(6), &dedupe), EINVAL);
	CHECK_EQ(dedupe_to(from, 0, PAGE, to, PAGE, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, -EINVAL);
	CHECK_EQ(dedupe_to(from, 0, PAGE, -1, 0, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, -EBADF);
	dedupe = (struct dedupe){.is = {.src_length = PAGE, .dest_count = 1},
	                         .info = {{.dest_fd = to, .reserved = 1}}};
	CHECK_EQ(ioctl(from, FIDEDUPERANGE, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, -EINVAL);
	dedupe = (struct dedupe){.is = {.src_length = PAGE, .dest_count = 1, .reserved1 = 1}};
	CHECK_ERRNO(ioctl(from, FIDEDUPERANGE, &dedupe), EINVAL);
	CHECK(is_as(from, &was) && is_as(to, &was) && is_as(differs, &other));
	/* Who owns it may, with a descriptor for reading. */
	read_only = open("to", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(dedupe_to(from, 0, PAGE, read_only, 0, &dedupe), 0);
	CHECK_EQ(dedupe.info[0].status, FILE_DEDUPE_RANGE_SAME);
	/* Each goes its own way again. */
	CHECK_EQ(pwrite(to, "mine", 4, PAGES(4)), 4);
	CHECK(is_as(from, &was));
	CHECK_EQ(pwrite(from, "his", 3, 0), 3);
	CHECK(!is_as(to, &was));
	close(from), close(to), close(differs), close(read_only), close(stranger);
	leave();
}

/* Files that come and go, and are made of one another, whosever they are. */
static void link_and_write(int n)
{
	enum { FILES = 8, STEPS = 400 };
	static const char bytes[PAGES(3)] = "written";
	char name[16], of[16];

	for (unsigned int step = 0; step < fewer_if_debug(STEPS); step++) {
		int fd, from;

		snprintf(name, sizeof(name), "%d-%u", n, random_below(FILES));
		snprintf(of, sizeof(of), "%u-%u", random_below(PROCESSES), random_below(FILES));
		fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		from = open(of, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			_exit(1);
		errno = 0;
		switch (random_below(6)) {
		case 0:
			(void)!unlink(name);
			(void)!pwrite(fd, bytes, PAGES(3), PAGES(5)); /* it has no name */
			break;
		case 1:
			(void)!ftruncate(fd, (off_t)random_below(PAGES(30)));
			break;
		case 2:
			(void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			                 random_below(PAGES(30)), PAGES(4));
			break;
		case 3:
			if (from >= 0)
				(void)!ioctl(fd, FICLONE, from);
			break;
		default:
			(void)!pwrite(fd, bytes, sizeof(bytes), random_below(PAGES(30)));
		}
		/* One that has relatives elsewhere, an end within a page, or itself. */
		if (errno && errno != ENOSPC && errno != EOPNOTSUPP && errno != EINVAL)
			_exit(1);
		if (room().f_bfree > room().f_blocks)
			_exit(2);
		close(fd);
		if (from >= 0)
			close(from);
	}
}

/* However pages were shared, all are given back, and there is never less than nothing left. */
static void gives_all_back(void)
{
	type = alike.other;
	enter("size=1m,nr_inodes=100");
	for (int round = 0; round < 3; round++) {
		CHECK_EQ(in_processes(link_and_write), 0);
		CHECK(room().f_bfree < room().f_blocks);
		remove_all(".");
		CHECK_EQ(room().f_bfree, room().f_blocks);
		CHECK_EQ(room().f_files - room().f_ffree, 1);
	}
	leave();
}

/* As cp --reflink=always does it, for each of many files, and as cp does that has no choice. */
static void copies_as_cp(void)
{
	static struct content was;
	int from, to;
	char name[32];

	type = alike.other;
	enter("size=8m,nr_inodes=200");
	from = image_of("from", 1);
	get(from, &was);
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "copy-%d", i);
		close(from);
		from = open(i ? "copy" : "from", O_RDONLY | O_CLOEXEC);
		MUST(from >= 0);
		to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		CHECK_EQ(ioctl(to, FICLONE, from), 0);
		CHECK_EQ(fchmod(to, 0644), 0);
		close(to);
		CHECK_EQ(stat_of(name).st_size, IMAGE);
		/* The next is a copy of this copy; that of before goes. */
		CHECK_EQ(rename(name, "copy"), 0);
		to = open("copy", O_RDWR | O_CLOEXEC);
		CHECK(is_as(to, &was));
		was.bytes[PAGE + i] = 'c';
		CHECK_EQ(pwrite(to, "c", 1, PAGE + i), 1);
		close(to);
	}
	CHECK_EQ(names_in("."), 2);
	/* What has no reflinks is copied, byte by byte, by the same call of cp's. */
	to = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	close(from);
	from = open("copy", O_RDONLY | O_CLOEXEC);
	CHECK_ERRNO(ioctl(to, FICLONE, from), EXDEV);
	close(from), close(to);
	CHECK_EQ(unlink("copy") | unlink("from"), 0);
	CHECK_EQ(room().f_bfree, room().f_blocks);
	leave();
}

static const struct test_case cases[] = {
	{"FICLONE", "", clones_whole_files},
	{"FICLONE, what is refused", "", refuses_to_clone},
	{"FICLONERANGE", "", clones_ranges},
	{"FIDEDUPERANGE", "", dedupes},
	{"several processes make reflinks of each other's files", "", gives_all_back},
	{"cp --reflink=always", "", copies_as_cp},
};

int main(int argc, char **argv)
{
	static struct answers reference, other;
	bool reflinks;

	if (argc > 1 && !strcmp(argv[1], LEAVE))
		return LEFT;
	if (argc > 1) {
		alike.other = argv[1];
		alike.count = 0; /* what is listed is about cowmem */
	}
	reflinks = strcmp(alike.other, TMPFS);
	signal(SIGXFSZ, SIG_IGN);
	/* What is mounted is of nobody else's concern. */
	MUST(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mkdtemp(folder));
	snprintf(here, sizeof(here), "%s/here", folder);
	snprintf(there, sizeof(there), "%s/there", folder);
	MUST(!mkdir(here, 0700) && !mkdir(there, 0700));
	ksft_print_header();
	ksft_set_plan(ARRAY_LENGTH(rows) + 1 + (reflinks ? ARRAY_LENGTH(cases) : 0));
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		test_failed = false;
		ask_row(&reference, &rows[i], alike.reference);
		ask_row(&other, &rows[i], alike.other);
		compare_row(&alike, rows[i].name, &reference, &other);
		ksft_test_result(!test_failed, "%s\n", rows[i].name);
	}
	say_what_differs(&alike);
	for (size_t i = 0; reflinks && i < ARRAY_LENGTH(cases); i++) {
		test_failed = false;
		cases[i].run();
		ksft_test_result(!test_failed, "%s\n", cases[i].name);
	}
	rmdir(here), rmdir(there), rmdir(folder);
	ksft_finished();
}
