// SPDX-License-Identifier: GPL-2.0
/*
 * The examples of the manual (scripts/manual.py): each file of /etc/manual is run, a script by
 * busybox, in the order of their names, and has to end well.
 */
#include "cowmem_test.h"

#include <dirent.h>
#include <mntent.h>
#include <sys/mount.h>

#define FOLDER "/etc/manual"
#define BUSYBOX "/bin/busybox"

static int run(const char *first, const char *second, const char *third)
{
	const pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		dup2(STDOUT_FILENO, STDERR_FILENO);
		execl(first, first, second, third, NULL);
		_exit(127);
	}
	MUST(waitpid(child, &status, 0) == child);
	return status;
}

/* The mounts that examples made, or the module could not go. */
static void unmount_all(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;

	while ((mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_type, "cowmem"))
			umount2(mount->mnt_dir, MNT_DETACH);
	endmntent(mounts);
}

int main(void)
{
	struct dirent **files;
	const int count = scandir(FOLDER, &files, NULL, alphasort);

	ksft_print_header();
	MUST(count > 2 && !access(BUSYBOX, X_OK));
	ksft_set_plan((unsigned int)count - 2);
	MUST(!run(BUSYBOX, "--install", "-s"));
	for (int i = 0; i < count; i++) {
		const char *name = files[i]->d_name;
		char path[300];
		bool is_script;

		if (*name == '.')
			continue;
		snprintf(path, sizeof(path), FOLDER "/%s", name);
		is_script = !strcmp(name + strlen(name) - 3, ".sh");
		MUST(!chdir("/tmp"));
		ksft_test_result(!(is_script ? run(BUSYBOX, "sh", path) : run(path, NULL, NULL)),
		                 "examples of %s\n", name);
	}
	MUST(!chdir("/"));
	unmount_all();
	ksft_finished();
}
