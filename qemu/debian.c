// SPDX-License-Identifier: GPL-2.0
/*
 * debian SCRIPT [ARG...]: run a script of qemu/debian by the Python of the Debian that is on the
 * VM's disk (scripts/debian.sh). It finds a cowmem at /mnt/cowmem, and a tmpfs at /mnt/tmpfs, and
 * itself in /opt; only these, /tmp and /run can be written. Both must be left empty: that nothing
 * is used in a mount any more, and that it goes, is this program's own result, the last.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISK "/dev/vda"
#define DEBIAN "/debian"
#define PYTHON "/usr/bin/python3"
#define COWMEM DEBIAN "/mnt/cowmem"

static void must_mount(const char *what, const char *where, const char *type, unsigned long flags,
                       const char *options)
{
	if (mkdir(where, 0755) && errno != EEXIST && errno != EROFS)
		perror(where);
	if (!mount(what, where, type, flags, options))
		return;
	fprintf(stderr, "# no %s at %s: %s\n", what, where, strerror(errno));
	exit(1);
}

static int run_script(char **argv)
{
	static char *const environment[] = {"PATH=/usr/bin:/usr/sbin", "HOME=/tmp", "LC_ALL=C",
	                                    "PYTHONDONTWRITEBYTECODE=1", NULL};
	char script[64], *arguments[16] = {PYTHON, "-u", script};

	snprintf(script, sizeof(script), "/opt/%s.py", argv[1]);
	for (int i = 2; argv[i] && i < 14; i++)
		arguments[i + 1] = argv[i];
	if (!chroot(DEBIAN) && !chdir("/opt"))
		execve(PYTHON, arguments, environment);
	perror(PYTHON);
	return 127;
}

/* What the script used was given back, and the mount goes. */
static int is_left_empty(void)
{
	struct statfs fs;

	if (statfs(COWMEM, &fs)) {
		perror(COWMEM);
		return 0;
	}
	if (fs.f_bfree != fs.f_blocks || fs.f_files - fs.f_ffree != 1) {
		fprintf(stderr, "# %lld pages and %lld inodes are left in the mount\n",
		        (long long)(fs.f_blocks - fs.f_bfree),
		        (long long)(fs.f_files - fs.f_ffree));
		return 0;
	}
	if (!umount(COWMEM))
		return 1;
	perror("# umount");
	return 0;
}

int main(int argc, char **argv)
{
	int status;
	pid_t child;

	if (argc < 2)
		return 2;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 1;
	must_mount(DISK, DEBIAN, "ext4", MS_RDONLY, NULL);
	must_mount("/proc", DEBIAN "/proc", NULL, MS_BIND, NULL);
	must_mount("/sys", DEBIAN "/sys", NULL, MS_BIND | MS_REC, NULL);
	must_mount("/dev", DEBIAN "/dev", NULL, MS_BIND | MS_REC, NULL);
	must_mount("none", DEBIAN "/dev/pts", "devpts", 0, "ptmxmode=0666");
	must_mount("/lib/debian", DEBIAN "/opt", NULL, MS_BIND, NULL);
	must_mount("none", DEBIAN "/tmp", "tmpfs", 0, NULL);
	must_mount("none", DEBIAN "/run", "tmpfs", 0, NULL);
	must_mount("none", DEBIAN "/mnt", "tmpfs", 0, NULL);
	must_mount("none", DEBIAN "/mnt/tmpfs", "tmpfs", 0, "size=60%");
	must_mount("none", COWMEM, "cowmem", 0, "size=60%");
	child = fork();
	if (!child)
		_exit(run_script(argv));
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status) ? WEXITSTATUS(status) : !is_left_empty();
}
