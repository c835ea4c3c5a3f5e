// SPDX-License-Identifier: GPL-2.0
/* The subcommands send and receive: what is read, and what gets a name when it is whole. */
#define _GNU_SOURCE
#include "stream.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- progress --- */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double began;

/* A line on stderr that each print puts in place of the one before. */
static void report(const struct stream_progress *progress)
{
	static double last;
	const double time = now();

	if (time - last < 0.2)
		return;
	last = time;
	fprintf(stderr, "\r\033[K%s", size_text(progress->done));
	if (progress->total)
		fprintf(stderr, " of %s, %.0f %%", size_text(progress->total),
		        100.0 * (double)progress->done / (double)progress->total);
	fprintf(stderr, ", %s of stream, %s/s", size_text(progress->moved),
	        size_text((uint64_t)((double)progress->done / (time - began + 0.001))));
}

static void begin_progress(struct stream_progress *progress)
{
	began = now();
	if (isatty(STDERR_FILENO) && !options.no_progress)
		progress->report = report;
}

static void end_progress(const struct stream_progress *progress)
{
	if (progress->report)
		fputs("\r\033[K", stderr);
}

static int fail_stream(const struct stream_error *error, const char *hint)
{
	return error->err ? fail(error->err, "%s", error->text)
	                  : fail_hint(0, hint, "%s", error->text);
}

/* --- send --- */

/* What @fd, an object or a snapshot, is now: @fd itself, or a snapshot in its place; or -errno. */
static int frozen(int fd)
{
	struct cowmem_stat stat;
	int err = cowmem_object_stat(fd, &stat), snapshot;

	if (!err && stat.state & COWMEM_STATE_FROZEN)
		return fd;
	snapshot = err ? err : cowmem_object_snapshot(fd);
	close(fd);
	return snapshot;
}

int run_send(void)
{
	int next, fd, from = -1;
	struct stream_progress progress = {.done = options.at};
	struct stream_error error = {0};
	struct stat stat_of;
	bool good;

	if (isatty(STDOUT_FILENO))
		return fail_hint(0, "give it to a file, or a program: cowmem send OBJECT > FILE",
		                 "a stream is nothing for a terminal");
	if (options.json)
		return fail_hint(0, "cowmem receive has --json", "what send prints is the stream");
	if (!options.level || options.level > 19)
		return fail_hint(0, "3 is the default, 1 the fastest", "--level is from 1 to 19");
	fd = open_first(READ, &next);
	if (fd < 0)
		return FAILED;
	fd = frozen(fd);
	if (fd < 0)
		return fail(fd, "a snapshot of %s", first_name());
	if (options.from && (from = open_path(options.from, READ)) < 0) {
		close(fd);
		return FAILED;
	}
	signal(SIGPIPE, SIG_IGN);
	if (from < 0 && !fstat(fd, &stat_of))
		progress.total = (uint64_t)stat_of.st_blocks * 512;
	begin_progress(&progress);
	good = stream_send(fd, from, options.at, (int)options.level, STDOUT_FILENO, &progress,
	                   &error);
	end_progress(&progress);
	if (from >= 0)
		close(from);
	close(fd);
	if (good)
		return DONE;
	if (error.err == -EINVAL)
		return fail_hint(error.err, "--from names another snapshot of the same family",
		                 "%s", error.text);
	return fail_stream(&error, NULL);
}

/* --- receive --- */

/* The path of what is kept of @path: hidden, beside it. The caller frees it. */
static char *kept_path(const char *path)
{
	char *folder = strdup(path), *name = strdup(path), *kept = NULL;

	if (!folder || !name ||
	    asprintf(&kept, "%s/.%s.partial", dirname(folder), basename(name)) < 0)
		abort();
	free(folder);
	free(name);
	return kept;
}

/*
 * What was kept, opened; or -1. In a folder that is for all, somebody else may have put something of
 * that name there, to go on writing it.
 */
static int open_kept(const char *kept)
{
	const int fd = open(kept, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || (!fstat(fd, &stat) && stat.st_uid == geteuid()))
		return fd;
	close(fd);
	errno = EPERM;
	return -1;
}

static int say_how_far(const char *path)
{
	char *kept = kept_path(path);
	const int fd = open_kept(kept);
	uint64_t at = 0;
	bool good = fd >= 0 && stream_how_far(fd, &at);
	const bool none = fd < 0 && errno == ENOENT;

	free(kept);
	if (fd >= 0)
		close(fd);
	if (!good && !none)
		return fail(0, "what was kept for %s cannot be read", path);
	out_begin();
	if (options.json)
		out_number("at", NULL, NUMBER, at);
	else
		printf("%llu\n", (unsigned long long)at);
	out_end();
	return DONE;
}

/*
 * The object that the stream goes into: what was kept, a clone of @from, or a new one without a
 * name, in the folder of @path. Or -1, and why was said.
 */
static int open_target(const char *path, const char *kept, int from, bool goes_on)
{
	char *copy, *folder;
	int fd;

	if (goes_on) {
		fd = open_kept(kept);
		if (fd < 0 && errno == ENOENT)
			fail_hint(0, "send it without --at", "nothing was kept for %s", path);
		else if (fd < 0)
			fail_hint(-errno, "send it without --at", "%s", kept);
		return fd;
	}
	if (from >= 0) {
		fd = cowmem_object_clone(from);
		if (fd < 0)
			fail(fd, "a clone of %s", options.from);
		return fd;
	}
	copy = strdup(path);
	if (!copy)
		abort();
	folder = dirname(copy);
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		fail(-errno, "a file in %s", folder);
	} else if (cowmem_object_is_module(fd) != 1) {
		fail(-ENOTTY, "a file in %s", folder);
		close(fd);
		fd = -1;
	}
	free(copy);
	return fd;
}

/* What has come, whole, in @fd gets its name: a snapshot of it, unless it is to be written. */
static int publish(int fd, const char *path, const struct stream_header *header,
                   const struct stream_progress *progress)
{
	int named = options.writable ? fd : cowmem_object_snapshot(fd), status;

	if (named < 0)
		return fail(named, "a snapshot of what came");
	status = give_name(named, path);
	if (named != fd)
		close(named);
	if (status)
		return status;
	out_begin();
	out_fact("path", NULL, path);
	out_number("bytes", NULL, BYTES, header->bytes);
	out_number("stream_bytes", NULL, BYTES, progress->moved);
	out_end();
	return DONE;
}

static int receive_into(const char *path, const char *kept, int from,
                        const struct stream_header *header)
{
	const bool goes_on = header->at, keep = options.keep || goes_on;
	struct stream_progress progress = {.done = header->at};
	struct stream_error error = {0};
	int fd = open_target(path, kept, from, goes_on), status;

	if (fd < 0)
		return FAILED;
	if (keep && !goes_on) {
		/* What was kept of a stream before is nothing that this one could go on with. */
		unlink(kept);
		status = give_name(fd, kept);
		if (status) {
			close(fd);
			return status;
		}
	}
	begin_progress(&progress);
	if (stream_receive(STDIN_FILENO, header, fd, keep, &progress, &error)) {
		end_progress(&progress);
		status = publish(fd, path, header, &progress);
		if (keep)
			unlink(kept);
	} else {
		end_progress(&progress);
		status = fail_stream(&error, keep ? "what came is kept: send again with --at, and "
		                                    "what receive --how-far prints"
		                                  : "nothing was changed; send it again");
	}
	close(fd);
	return status;
}

int run_receive(void)
{
	const char *path = options.operands[0];
	struct stream_header header;
	struct stream_error error;
	struct stat there;
	int from = -1, status;
	char *kept;

	if (options.how_far)
		return say_how_far(path);
	if (isatty(STDIN_FILENO))
		return fail_hint(0, "cowmem receive PATH < FILE",
		                 "a stream does not come from a terminal");
	if (!lstat(path, &there))
		return fail(-EEXIST, "%s", path);
	if (!stream_read_header(STDIN_FILENO, &header, &error))
		return fail_stream(&error, NULL);
	if (!(header.flags & STREAM_INCREMENTAL) != !options.from)
		return options.from
		               ? fail_hint(0, "leave --from out",
		                           "the stream is of all of an object")
		               : fail_hint(0, "--from names the copy here of that snapshot",
		                           "the stream has only what changed since a snapshot");
	if (options.from && (from = open_path(options.from, READ)) < 0)
		return FAILED;
	kept = kept_path(path);
	status = receive_into(path, kept, from, &header);
	free(kept);
	if (from >= 0)
		close(from);
	return status;
}
