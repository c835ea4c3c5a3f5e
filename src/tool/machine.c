// SPDX-License-Identifier: GPL-2.0
/* The subcommands about the machine: mount-info, doctor. */
#define _GNU_SOURCE
#include "tool.h"

#include <errno.h>
#include <grp.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MODULE "/sys/module/cowmem"
#define PARAMETERS MODULE "/parameters/"
#define COUNTERS "/sys/class/misc/cowmem/counters/"

/* --- mount-info --- */

/* Whether @mount is that of one of the operands, or there are none. */
static bool is_asked_for(const struct stat *mount)
{
	struct stat stat_of;

	for (int i = 0; i < options.operand_count; i++)
		if (!stat(options.operands[i], &stat_of) && stat_of.st_dev == mount->st_dev)
			return true;
	return !options.operand_count;
}

int run_mount_info(void)
{
	static const struct column columns[] = {
		{"mount", "MOUNT", TEXT},     {"size", "SIZE", BYTES},
		{"used", "USED", BYTES},      {"available", "LEFT", BYTES},
		{"inodes", "INODES", NUMBER}, {"inodes_used", "USED", NUMBER},
		{"mode", "MODE", TEXT},       {"owner", "OWNER", NUMBER},
		{"options", "OPTIONS", TEXT},
	};
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	struct sheet sheet;
	size_t found = 0;

	if (!mounts)
		return fail(-errno, "/proc/self/mounts");
	for (int i = 0; i < options.operand_count; i++)
		if (access(options.operands[i], F_OK)) {
			endmntent(mounts);
			return fail(-errno, "%s", options.operands[i]);
		}
	sheet_begin(&sheet, columns, sizeof(columns) / sizeof(*columns));
	while ((mount = getmntent(mounts))) {
		struct statvfs room;
		struct stat root;
		char mode[8];

		if (strcmp(mount->mnt_type, "cowmem") || stat(mount->mnt_dir, &root) ||
		    statvfs(mount->mnt_dir, &room) || !is_asked_for(&root))
			continue;
		found++;
		snprintf(mode, sizeof(mode), "%04o", root.st_mode & 07777);
		sheet_text(&sheet, mount->mnt_dir);
		sheet_number(&sheet, room.f_blocks * room.f_bsize);
		sheet_number(&sheet, (room.f_blocks - room.f_bfree) * room.f_bsize);
		sheet_number(&sheet, room.f_bavail * room.f_bsize);
		sheet_number(&sheet, room.f_files);
		sheet_number(&sheet, room.f_files - room.f_ffree);
		sheet_text(&sheet, mode);
		sheet_number(&sheet, root.st_uid);
		sheet_text(&sheet, mount->mnt_opts);
	}
	endmntent(mounts);
	out_begin();
	if (found || options.json)
		sheet_print(&sheet, "mounts");
	else if (!options.operand_count)
		puts("there is none; root makes one: mount -t cowmem none DIRECTORY -o size=1g");
	out_end();
	if (!found && options.operand_count && !options.json)
		return fail_hint(0, "root makes one: mount -t cowmem none DIRECTORY -o size=1g",
		                 "no mount of cowmem there");
	return DONE;
}

/* --- doctor --- */

enum verdict { GOOD, WORTH_KNOWING, BAD };

static struct sheet checks;
static enum verdict worst;

/* Notes one check; @advice: NULL if it is good. */
__attribute__((format(printf, 4, 5))) static void check(const char *name, enum verdict verdict,
                                                        const char *advice, const char *format, ...)
{
	static const char *const words[] = {"ok", "note", "fail"};
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sheet_text(&checks, name);
	sheet_text(&checks, words[verdict]);
	sheet_text(&checks, text);
	sheet_text(&checks, advice);
	if (verdict > worst)
		worst = verdict;
}

/* Whether the series of @release, "6.12" of 6.12.117, is one of COWMEM_KERNELS. */
static bool is_supported(const char *release)
{
	char series[32], *list = strdup(COWMEM_KERNELS), *rest = list, *word;
	unsigned int major, minor;
	bool found = false;

	if (!list || sscanf(release, "%u.%u", &major, &minor) != 2) {
		free(list);
		return false;
	}
	snprintf(series, sizeof(series), "%u.%u", major, minor);
	while ((word = strsep(&rest, " ")))
		found |= !strcmp(word, series);
	free(list);
	return found;
}

static void check_kernel(void)
{
	struct utsname name;

	uname(&name);
	if (is_supported(name.release))
		check("kernel", GOOD, NULL, "%s, %s", name.release, name.machine);
	else
		check("kernel", WORTH_KNOWING,
		      "the module builds for " COWMEM_KERNELS
		      "; make EXPERIMENTAL=1 tries a newer one",
		      "%s is none that cowmem is tested with", name.release);
	if (sysconf(_SC_PAGESIZE) == (long)PAGE_SIZE)
		check("page size", GOOD, NULL, "4 KiB");
	else
		check("page size", BAD, "boot a kernel with pages of 4 KiB", "%ld bytes",
		      sysconf(_SC_PAGESIZE));
}

static bool check_module(void)
{
	char version[64];

	if (access(MODULE, F_OK)) {
		check("module", BAD,
		      "load it, as root: modprobe cowmem; if there is none, install cowmem-dkms, "
		      "or build it: make",
		      "not loaded");
		return false;
	}
	if (!read_line(MODULE "/srcversion", version, sizeof(version)))
		snprintf(version, sizeof(version), "no srcversion");
	check("module", GOOD, NULL, "loaded (%s)", version);
	return true;
}

static void check_device(void)
{
	const int fd = cowmem_object_open_device();
	struct stat stat_of;
	struct group *group;

	if (fd >= 0) {
		struct cowmem_info info;

		if (cowmem_object_info(fd, &info))
			check("interface", BAD, "load the module of this version",
			      "GET_INFO fails");
		else if (info.abi_version != COWMEM_ABI_VERSION)
			check("interface", WORTH_KNOWING, "update the tool, or the module",
			      "version %u, and the tool's is %u", info.abi_version,
			      COWMEM_ABI_VERSION);
		else
			check("interface", GOOD, NULL, "version %u", info.abi_version);
		close(fd);
		check("device", GOOD, NULL, "%s can be opened", COWMEM_DEVICE);
		return;
	}
	if (stat(COWMEM_DEVICE, &stat_of)) {
		check("device", BAD, "mount devtmpfs at /dev, or make the node with mknod",
		      "there is no %s", COWMEM_DEVICE);
		return;
	}
	group = getgrgid(stat_of.st_gid);
	check("device", WORTH_KNOWING,
	      stat_of.st_gid
	              ? "have root put you in the device's group: usermod -aG cowmem USER"
	              : "have root install scripts/60-cowmem.rules and make the group cowmem; "
	                "files of a mount need no device",
	      "%s is not for you (mode %04o, group %s)", COWMEM_DEVICE, stat_of.st_mode & 07777,
	      group ? group->gr_name : "unknown");
}

static void check_mounts(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	unsigned int found = 0;

	while (mounts && (mount = getmntent(mounts))) {
		struct statvfs room;

		if (strcmp(mount->mnt_type, "cowmem") || statvfs(mount->mnt_dir, &room))
			continue;
		found++;
		if (room.f_bavail * 10 < room.f_blocks)
			check("mount", WORTH_KNOWING,
			      "remove files, or remount with a larger size=", "%s: %s left of %s",
			      mount->mnt_dir, size_text(room.f_bavail * room.f_bsize),
			      size_text(room.f_blocks * room.f_bsize));
		else
			check("mount", GOOD, NULL, "%s: %s left of %s", mount->mnt_dir,
			      size_text(room.f_bavail * room.f_bsize),
			      size_text(room.f_blocks * room.f_bsize));
	}
	if (mounts)
		endmntent(mounts);
	if (!found)
		check("mount", WORTH_KNOWING,
		      "if objects are to have names: mount -t cowmem none DIRECTORY -o size=1g",
		      "there is none");
}

static void check_parameters(void)
{
	static const struct {
		const char *name, *usual, *advice;
	} parameters[] = {
		{"speculate_private", "Y", "faults take locks that they need not take"},
		{"speculate_read", "Y", "faults take locks that they need not take"},
		{"speculate_shared_write", "Y", "faults take locks that they need not take"},
		{"reuse", "Y", "what comes back and is written takes a second fault"},
		{"make_room", "Y",
	         "near its limit the store leaves it to reclaim to write, and wait"},
		{"compressor", NULL, NULL},
		{"store_max_mib", NULL, NULL},
		{"share", NULL, NULL},
		{"backing", NULL, NULL},
		{"leaving", "0",
	         "write the same to the parameter backing, or compressor, once more; dmesg says "
	         "what failed"},
	};

	for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
		char path[128], text[256];

		snprintf(path, sizeof(path), PARAMETERS "%s", parameters[i].name);
		if (!read_line(path, text, sizeof(text)))
			check(parameters[i].name, GOOD, NULL, "for root to read");
		else if (parameters[i].usual && strcmp(parameters[i].usual, text))
			check(parameters[i].name, WORTH_KNOWING, parameters[i].advice,
			      "%s, and not %s", text, parameters[i].usual);
		else
			check(parameters[i].name, GOOD, NULL, "%s", *text ? text : "none");
	}
}

/* What should not have happened since the module was loaded. */
static void check_counters(void)
{
	static const struct {
		const char *name, *advice;
	} counters[] = {
		{"backing_errors",
	         "look at the disk behind the parameter backing: dmesg, smartctl"},
		{"checksum_errors",
	         "the disk behind the parameter backing gives other bytes than it took"},
		{"pages_poisoned",
	         "memory is damaged, or was said to be by POISON: dmesg, a memory test"},
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++) {
		char path[128], text[32];

		snprintf(path, sizeof(path), COUNTERS "%s", counters[i].name);
		if (!read_line(path, text, sizeof(text)))
			continue;
		if (strcmp(text, "0"))
			check(counters[i].name, WORTH_KNOWING, counters[i].advice, "%s", text);
		else
			check(counters[i].name, GOOD, NULL, "none");
	}
}

int run_doctor(void)
{
	static const struct column columns[] = {{"check", "CHECK", TEXT},
	                                        {"verdict", "VERDICT", TEXT},
	                                        {"found", "FOUND", TEXT},
	                                        {"advice", "ADVICE", TEXT}};
	static const char *const sums[] = {"all is well", "it works; see the notes",
	                                   "it does not work"};
	uint64_t features = 0;

	sheet_begin(&checks, columns, 4);
	check_kernel();
	if (check_module()) {
		check_device();
		check_mounts();
		check_parameters();
		check_counters();
	}
	cowmem_features(&features);
	out_begin();
	sheet_print(&checks, "checks");
	out_list_begin("features", access(MODULE, F_OK) ? "\nwithout the module" : "\nfeatures");
	for (unsigned int bit = 0; bit < 64; bit++) {
		const char *name = features & 1ULL << bit ? cowmem_feature_name(1ULL << bit) : NULL;

		if (name)
			out_list_item(name);
	}
	out_list_end();
	if (options.json)
		out_fact("verdict", NULL, worst == BAD ? "fail" : worst == GOOD ? "ok" : "note");
	else
		printf("%s%s%s\n",
		       worst == GOOD  ? GREEN
		       : worst == BAD ? RED
		                      : YELLOW,
		       sums[worst], PLAIN);
	out_end();
	return worst == BAD ? FAILED : DONE;
}
