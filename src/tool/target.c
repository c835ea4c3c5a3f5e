// SPDX-License-Identifier: GPL-2.0
/* What the tool's operands name, and what there is to be named: files of mounts, and descriptors. */
#define _GNU_SOURCE
#include "tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool read_line(const char *path, char *text, size_t room)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t length = fd < 0 ? -1 : read(fd, text, room - 1);

	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return length >= 0;
}

const char *command_of(pid_t pid)
{
	static char text[64];
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (!read_line(path, text, sizeof(text)))
		snprintf(text, sizeof(text), "?");
	return text;
}

/* --- one object --- */

/* Descriptor @fd of process @pid, as one of our own; or -errno. */
static int take_descriptor(pid_t pid, int fd)
{
	const int process = (int)syscall(SYS_pidfd_open, pid, 0);
	int taken;

	if (process < 0)
		return -errno;
	taken = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	if (taken < 0)
		taken = -errno;
	close(process);
	return taken;
}

/* @fd is open: it stays so if it is an object. */
static int check_object(int fd, const char *name)
{
	const int module = cowmem_object_is_module(fd);

	if (module >= 0)
		return fd;
	fail(module, "%s", name);
	close(fd);
	return -1;
}

int open_path(const char *path, enum use use)
{
	struct stat stat_of;
	int fd;

	if (stat(path, &stat_of)) {
		fail(-errno, "%s", path);
		return -1;
	}
	if (S_ISCHR(stat_of.st_mode)) {
		fail_hint(0, "of a process that has it open, name it by --pid P --fd N",
		          "%s is a device: to open it would make a new object", path);
		return -1;
	}
	if (!S_ISREG(stat_of.st_mode)) {
		fail(-ENOTTY, "%s", path);
		return -1;
	}
	fd = open(path, (use == READ ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0 && errno == EROFS && use == WRITE_IF_POSSIBLE)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fail(-errno, "%s", path);
		return -1;
	}
	return check_object(fd, path);
}

const char *first_name(void)
{
	static char name[64];

	if (!options.pid)
		return options.operands[0];
	snprintf(name, sizeof(name), "descriptor %d of process %d", options.fd, options.pid);
	return name;
}

int open_first(enum use use, int *next)
{
	int fd;

	*next = options.pid ? 0 : 1;
	if (!options.pid)
		return open_path(options.operands[0], use);
	fd = take_descriptor(options.pid, options.fd);
	if (fd >= 0)
		return check_object(fd, first_name());
	if (fd == -EPERM)
		fail_hint(fd, "it takes root, or a process of your own", "%s", first_name());
	else if (fd == -EBADF)
		fail(0, "process %d has no descriptor %d", options.pid, options.fd);
	else
		fail(fd, "%s", first_name());
	return -1;
}

int give_name(int fd, const char *path)
{
	char link[40];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (!linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
		return DONE;
	/* An object without a mount has no link that could be another's. */
	if (errno == EXDEV)
		return fail_hint(
			-EXDEV,
			"choose a path in the mount that the object is of; of an object that "
			"is in none, --hold",
			"%s", path);
	return fail(-errno, "%s", path);
}

int hold(int fd)
{
	sigset_t signals;
	char path[40];
	int which;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	out_begin();
	if (options.json)
		out_fact("path", NULL, path);
	else
		puts(path);
	out_number("pid", NULL, NUMBER, (uint64_t)getpid());
	out_number("fd", NULL, NUMBER, (uint64_t)fd);
	out_end();
	fflush(stdout);
	while (sigwait(&signals, &which))
		;
	return DONE;
}

bool tell(pid_t pid, int fd, struct told *told)
{
	char path[48], line[128];
	FILE *file;

	*told = (struct told){.id = 0};
	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	else
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		sscanf(line, "ino:\t%" SCNu64, &told->id);
		sscanf(line, "cowmem-kind:\t%23[a-z ]", told->kind);
		told->pinnable |= !strncmp(line, "cowmem-pinnable:", 16);
		sscanf(line, "cowmem-family:\t%" SCNu64, &told->family);
		sscanf(line, "cowmem-parent:\t%" SCNu64, &told->parent);
		sscanf(line, "cowmem-pages:\t%" SCNu64, &told->pages);
		sscanf(line, "cowmem-own-pages:\t%" SCNu64, &told->own_pages);
		sscanf(line, "cowmem-own-slots:\t%" SCNu64, &told->own_slots);
	}
	fclose(file);
	return *told->kind;
}

/* --- all objects --- */

static void add(struct findings *findings, const struct found *found, const char *name)
{
	if (findings->count == findings->room) {
		findings->room = findings->room * 2 + 64;
		findings->found =
			realloc(findings->found, findings->room * sizeof(*findings->found));
		if (!findings->found)
			abort();
	}
	findings->found[findings->count] = *found;
	findings->found[findings->count++].name = strdup(name);
}

void findings_free(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		free(findings->found[i].name);
	free(findings->found);
	*findings = (struct findings){0};
}

/* A file of a directory, if it is an object. One that may not be read is there, with no kind. */
static void add_file(struct findings *findings, int directory, const char *name, const char *path,
                     const struct stat *stat)
{
	struct found found = {.bytes = (uint64_t)stat->st_size, .fd = -1};
	const int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0) {
		found.told.id = stat->st_ino;
		add(findings, &found, path);
		return;
	}
	if (tell(0, fd, &found.told))
		add(findings, &found, path);
	close(fd);
}

static int walk(struct findings *findings, int directory, const char *path)
{
	DIR *dir = fdopendir(directory);
	struct dirent *entry;

	if (!dir) {
		const int err = -errno;

		close(directory);
		return err;
	}
	while ((entry = readdir(dir))) {
		struct stat stat;
		char *below;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(dirfd(dir), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW))
			continue;
		if (asprintf(&below, "%s/%s", strcmp(path, "/") ? path : "", entry->d_name) < 0)
			abort();
		if (S_ISREG(stat.st_mode)) {
			add_file(findings, dirfd(dir), entry->d_name, below, &stat);
		} else if (S_ISDIR(stat.st_mode)) {
			const int next = openat(dirfd(dir), entry->d_name,
			                        O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

			if (next >= 0)
				walk(findings, next, below);
		}
		free(below);
	}
	closedir(dir);
	return 0;
}

int find_in(struct findings *findings, const char *directory)
{
	const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : walk(findings, fd, directory);
}

static void find_mounted(struct findings *findings)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	dev_t seen[256];
	size_t count = 0;
	struct mntent *mount;

	while (mounts && (mount = getmntent(mounts))) {
		struct stat stat_of;
		bool again = false;

		if (strcmp(mount->mnt_type, "cowmem") || stat(mount->mnt_dir, &stat_of))
			continue;
		/* One that is bound to other places, too. */
		for (size_t i = 0; i < count; i++)
			again |= seen[i] == stat_of.st_dev;
		if (again || count == sizeof(seen) / sizeof(*seen))
			continue;
		seen[count++] = stat_of.st_dev;
		find_in(findings, mount->mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
}

static void find_held_by(struct findings *findings, pid_t pid)
{
	char path[64], link[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		struct found found = {.pid = pid, .fd = atoi(entry->d_name)};
		ssize_t length;

		length = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		if (length <= 0 || *link != '/' || !tell(pid, found.fd, &found.told))
			continue;
		link[length] = '\0';
		/* A descriptor of the device has the device's inode. */
		if (!strcmp(link, COWMEM_DEVICE)) {
			const int fd = take_descriptor(pid, found.fd);

			found.told.id = 0;
			if (fd >= 0) {
				struct cowmem_stat stat;

				cowmem_object_id(fd, &found.told.id);
				if (!cowmem_object_stat(fd, &stat))
					found.bytes = stat.bytes;
				close(fd);
			}
		} else {
			struct stat stat;

			if (!fstatat(dirfd(dir), entry->d_name, &stat, 0))
				found.bytes = (uint64_t)stat.st_size;
		}
		add(findings, &found, link);
	}
	if (dir)
		closedir(dir);
}

void find_all(struct findings *findings)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	find_mounted(findings);
	while (dir && (entry = readdir(dir))) {
		const pid_t pid = atoi(entry->d_name);

		if (pid > 0 && pid != getpid())
			find_held_by(findings, pid);
	}
	if (dir)
		closedir(dir);
}
