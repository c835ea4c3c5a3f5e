// SPDX-License-Identifier: GPL-2.0
/*
 * Random operations on regular files, and on clones and snapshots of them, against a model in
 * memory: whatever is read, by whichever road, is what the model has, and so is the size.
 *
 * fileops [OPERATIONS [SEED [MAKE]]]: how many operations each case does in all. What a seed did
 * can be done once more, but for what several processes do to one file. MAKE: of what make the
 * files are (makes.h); with a directory they have names there. Otherwise they are COWMEM's, and,
 * once more, have names in a mount of that.
 *
 * With a make that has no clones (memfd, tmpfs) copies take their place, to test the model.
 */
#include "answers.h"
#include "makes.h"
#include "relatives.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

enum { PAGES = 40, BYTES = PAGES * 4096, FILES = 6, PROCESSES = 4, LOOK_EVERY = 256 };

static const char *make;
static unsigned long operations = 6000;
static uint64_t seed;

static bool is_module; /* the files are cowmem's: its ioctls are there */
static bool reflinks;  /* FICLONE, FICLONERANGE, FIDEDUPERANGE are there */
static bool is_wrong;  /* the model does not know what a punch does */

/* --- a file, and what should be in it --- */
static struct file {
	int fd;      /* -1: none */
	bool sealed; /* a snapshot, which nobody writes */
	unsigned char *map;
	size_t bytes;
	unsigned char byte[BYTES]; /* zeroes behind the end */
} files[FILES];

/* What this process may do anything with, in every file. */
static size_t window = 0, window_end = BYTES;

static bool all_is_mine(void)
{
	return window_end - window == BYTES;
}

/* --- the last operations, to be told when something is wrong --- */
enum { REMEMBERED = 24 };

static struct remembered {
	const char *deed;
	size_t file, other, at, to, length;
} remembered[REMEMBERED];
static unsigned long number; /* of the operation */

static struct remembered *now(void)
{
	return &remembered[number % REMEMBERED];
}

/* The process ends: nothing that came after could be judged. */
__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *format, ...)
{
	va_list args;
	char text[256];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("# operation %lu, seed %llu: %s (errno %d)\n", number, (unsigned long long)seed,
	       text, errno);
	for (unsigned long i = number < REMEMBERED ? 0 : number - REMEMBERED + 1; i <= number;
	     i++) {
		const struct remembered *was = &remembered[i % REMEMBERED];

		printf("#   %lu: %s of file %zu (%zu bytes long now), at %zu, %zu bytes, other "
		       "file "
		       "%zu, there at %zu\n",
		       i, was->deed, was->file, files[was->file].bytes, was->at, was->length,
		       was->other, was->to);
	}
	fflush(stdout);
	_exit(1);
}

#define NEED(condition)                                                     \
	do {                                                                \
		if (!(condition))                                           \
			wrong("line %d: not so: %s", __LINE__, #condition); \
	} while (0)

/* --- random things --- */
static bool one_in(uint32_t n)
{
	return !random_below(n);
}

/* A range within the window that ends before @end, and is often of whole pages. */
static void any_range(size_t end, size_t *at, size_t *length)
{
	NEED(end > window);
	*at = window + random_below((uint32_t)(end - window));
	*length = 1 + random_below(one_in(2) ? 300 : 5 * PAGE);
	if (one_in(3))
		*at &= ~(PAGE - 1);
	if (one_in(3))
		*length = (*length + PAGE - 1) & ~(PAGE - 1);
	if (*length > end - *at)
		*length = end - *at;
	now()->at = *at;
	now()->length = *length;
}

/* None of them is 0. */
static const unsigned char *any_bytes(size_t length)
{
	enum { ROOM = BYTES + (1 << 16) };
	static unsigned char bytes[ROOM];

	if (!bytes[0])
		for (size_t i = 0; i < ROOM; i++)
			bytes[i] = (unsigned char)(1 + random_below(255));
	return bytes + random_below((uint32_t)(ROOM - length));
}

static struct file *any_other(const struct file *file)
{
	for (;;) {
		struct file *other = &files[random_below(FILES)];

		if (other->fd >= 0 && other != file) {
			now()->other = (size_t)(other - files);
			return other;
		}
		if (one_in(20))
			return NULL;
	}
}

/* --- the model --- */
static void grow_to(struct file *file, size_t bytes)
{
	if (file->bytes < bytes)
		file->bytes = bytes;
}

static void model_write(struct file *file, size_t at, const unsigned char *from, size_t length)
{
	if (!length)
		return;
	memmove(file->byte + at, from, length);
	grow_to(file, at + length);
}

static void model_zero(struct file *file, size_t at, size_t length)
{
	const size_t end = at + length < file->bytes ? at + length : file->bytes;

	if (at < end)
		memset(file->byte + at, 0, end - at);
}

static void model_resize(struct file *file, size_t bytes)
{
	if (bytes < file->bytes)
		memset(file->byte + bytes, 0, file->bytes - bytes);
	file->bytes = bytes;
}

static void compare(const struct file *file, const unsigned char *found, size_t at, size_t length,
                    const char *road)
{
	for (size_t i = 0; i < length && memcmp(found + i, file->byte + at + i, length - i); i++)
		if (found[i] != file->byte[at + i])
			wrong("byte %zu of file %zu, by %s, is %d instead of %d", at + i,
			      (size_t)(file - files), road, found[i], file->byte[at + i]);
}

/* How much of a range lies before the end. */
static size_t within(const struct file *file, size_t at, size_t length)
{
	if (at >= file->bytes)
		return 0;
	return length < file->bytes - at ? length : file->bytes - at;
}

static void map_file(struct file *file, int flags)
{
	file->map = mmap(NULL, BYTES, PROT_READ | (file->sealed ? 0 : PROT_WRITE),
	                 MAP_SHARED | flags, file->fd, 0);
	NEED(file->map != MAP_FAILED);
}

static void drop(struct file *file)
{
	if (file->fd < 0)
		return;
	NEED(!munmap(file->map, BYTES) && !close(file->fd));
	file->fd = -1;
}

static void look_at_all(const struct file *file)
{
	static unsigned char bytes[BYTES + 1];
	const size_t end = file->bytes < window_end ? file->bytes : window_end;
	struct stat st;

	NEED(!fstat(file->fd, &st));
	if ((size_t)st.st_size != file->bytes)
		wrong("file %zu has %zu bytes instead of %zu", (size_t)(file - files),
		      (size_t)st.st_size, file->bytes);
	if (end <= window)
		return;
	NEED(pread(file->fd, bytes, end - window, (off_t)window) == (ssize_t)(end - window));
	compare(file, bytes, window, end - window, "read");
	compare(file, file->map + window, window, end - window, "mapping");
}

/* --- reading --- */
static void read_some(struct file *file)
{
	static unsigned char bytes[BYTES];
	size_t at, length, first;
	ssize_t result;

	any_range(window_end, &at, &length);
	first = random_below((uint32_t)length);
	result = preadv(file->fd, (struct iovec[]){{bytes, first}, {bytes + first, length - first}},
	                2, (off_t)at);
	if (result != (ssize_t)within(file, at, length))
		wrong("%zd bytes read instead of %zu", result, within(file, at, length));
	compare(file, bytes, at, (size_t)result, "read");
}

static void load_some(struct file *file)
{
	size_t at, length;

	any_range(window_end, &at, &length);
	compare(file, file->map + at, at, within(file, at, length), "mapping");
}

/* What is said to be a hole has zeroes; what is behind it is not said to be one. */
static void seek(struct file *file)
{
	size_t at, length, end;
	off_t data, hole;

	any_range(window_end, &at, &length);
	data = lseek(file->fd, (off_t)at, SEEK_DATA);
	if (at >= file->bytes) {
		NEED(data < 0 && errno == ENXIO);
		return;
	}
	NEED(data >= (off_t)at || errno == ENXIO);
	end = data < 0 ? file->bytes : (size_t)data;
	for (size_t i = at; i < end && i < window_end; i++)
		if (file->byte[i])
			wrong("byte %zu is %d and is called a hole", i, file->byte[i]);
	hole = lseek(file->fd, (off_t)at, SEEK_HOLE);
	NEED(hole >= (off_t)at);
	if (all_is_mine()) {
		NEED((size_t)hole <= file->bytes);
		NEED(data != (off_t)at || hole > data);
	}
}

static void ask_size(struct file *file)
{
	struct stat st;

	NEED(!fstat(file->fd, &st));
	NEED((size_t)st.st_size == file->bytes);
	NEED(lseek(file->fd, 0, SEEK_END) == (off_t)file->bytes);
	/* Of the module's, nothing is behind the end. */
	NEED(st.st_blocks % 8 == 0 &&
	     (size_t)st.st_blocks / 8 <= (is_module ? (file->bytes + PAGE - 1) / PAGE : PAGES));
}

/* --- writing --- */
static void write_some(struct file *file)
{
	const unsigned char *bytes;
	size_t at, length;

	any_range(window_end, &at, &length);
	bytes = any_bytes(length);
	NEED(pwrite(file->fd, bytes, length, (off_t)at) == (ssize_t)length);
	model_write(file, at, bytes, length);
}

static void append(struct file *file)
{
	struct iovec piece = {.iov_len = 1 + random_below(2 * PAGE)};

	if (file->bytes + piece.iov_len > BYTES)
		return;
	piece.iov_base = (void *)any_bytes(piece.iov_len);
	NEED(pwritev2(file->fd, &piece, 1, 0, RWF_APPEND) == (ssize_t)piece.iov_len);
	model_write(file, file->bytes, piece.iov_base, piece.iov_len);
}

static void store_some(struct file *file)
{
	const unsigned char *bytes;
	size_t at, length;

	any_range(window_end, &at, &length);
	length = within(file, at, length);
	bytes = any_bytes(length);
	memcpy(file->map + at, bytes, length);
	model_write(file, at, bytes, length);
}

/* Of what is stored behind the end, in the last page, nobody learns when the file grows. */
static void store_behind_the_end(struct file *file)
{
	const size_t end = (file->bytes + PAGE - 1) & ~(PAGE - 1);

	if (is_module && end > file->bytes)
		memset(file->map + file->bytes, 'e', end - file->bytes);
}

static void store_privately(struct file *file)
{
	unsigned char *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, file->fd, 0);
	size_t at, length;

	NEED(map != MAP_FAILED);
	any_range(window_end, &at, &length);
	length = within(file, at, length);
	compare(file, map + at, at, length, "private mapping");
	memset(map + at, 'p', length);
	NEED(!length || map[at + length - 1] == 'p');
	compare(file, file->map + at, at, length, "mapping");
	NEED(!munmap(map, BYTES));
}

static void truncate_some(struct file *file)
{
	const size_t bytes = one_in(30) ? 0 : random_below(BYTES + 1);

	now()->at = bytes;
	NEED(!ftruncate(file->fd, (off_t)bytes));
	model_resize(file, bytes);
}

static void punch(struct file *file)
{
	size_t at, length;

	any_range(window_end, &at, &length);
	NEED(!fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
	                (off_t)length));
	if (!is_wrong)
		model_zero(file, at, length);
}

/* memfd and tmpfs have not got that. */
static void zero(struct file *file)
{
	const bool keep = one_in(2);
	size_t at, length;

	any_range(window_end, &at, &length);
	if (fallocate(file->fd, FALLOC_FL_ZERO_RANGE | (keep ? FALLOC_FL_KEEP_SIZE : 0), (off_t)at,
	              (off_t)length)) {
		NEED(errno == EOPNOTSUPP && !is_module);
		return;
	}
	model_zero(file, at, length);
	if (!keep)
		grow_to(file, at + length);
}

static void allocate(struct file *file)
{
	const bool keep = one_in(2);
	size_t at, length;

	any_range(window_end, &at, &length);
	NEED(!fallocate(file->fd, keep ? FALLOC_FL_KEEP_SIZE : 0, (off_t)at, (off_t)length));
	if (!keep)
		grow_to(file, at + length);
}

/* --- from file to file --- */
/* To where a range of another file, or of the same and not overlapping, can be copied. */
static bool any_way(struct file *file, const struct file *from, size_t *in, size_t *out,
                    size_t *length)
{
	if (from->bytes <= window)
		return false;
	any_range(from->bytes < window_end ? from->bytes : window_end, in, length);
	*out = window + random_below((uint32_t)(window_end - window));
	if (*length > window_end - *out)
		*length = window_end - *out;
	if (file == from && *in < *out + *length && *out < *in + *length)
		*length = *in < *out ? *out - *in : *in - *out;
	now()->to = *out;
	now()->length = *length;
	return *length > 0;
}

/* Takes what a call says that it has copied. */
static void copied(struct file *file, const struct file *from, size_t in, size_t out, ssize_t n,
                   size_t length)
{
	if (n <= 0 || (size_t)n > length)
		wrong("%zd bytes copied of %zu", n, length);
	model_write(file, out, from->byte + in, (size_t)n);
}

static void copy_from(struct file *file, struct file *from)
{
	size_t in, out, length;
	loff_t in_at, out_at;

	if (!any_way(file, from, &in, &out, &length))
		return;
	in_at = (loff_t)in, out_at = (loff_t)out;
	copied(file, from, in, out, copy_file_range(from->fd, &in_at, file->fd, &out_at, length, 0),
	       length);
}

static void copy_within(struct file *file)
{
	copy_from(file, file);
}

static void copy_over(struct file *file)
{
	struct file *from = any_other(file);

	if (from)
		copy_from(file, from);
}

static void send_over(struct file *file)
{
	struct file *from = one_in(3) ? file : any_other(file);
	size_t in, out, length;
	off_t in_at;

	if (!from || !any_way(file, from, &in, &out, &length))
		return;
	in_at = (off_t)in;
	NEED(lseek(file->fd, (off_t)out, SEEK_SET) == (off_t)out);
	copied(file, from, in, out, sendfile(file->fd, from->fd, &in_at, length), length);
}

static void splice_over(struct file *file)
{
	struct file *from = one_in(3) ? file : any_other(file);
	size_t in, out, length;
	loff_t in_at, out_at;
	ssize_t piped;
	int ends[2];

	if (!from || !any_way(file, from, &in, &out, &length))
		return;
	in_at = (loff_t)in, out_at = (loff_t)out;
	NEED(!pipe2(ends, O_CLOEXEC));
	piped = splice(from->fd, &in_at, ends[1], NULL, length, 0);
	NEED(piped > 0 && (size_t)piped <= length);
	copied(file, from, in, out, splice(ends[0], NULL, file->fd, &out_at, (size_t)piped, 0),
	       (size_t)piped);
	NEED(!close(ends[0]) && !close(ends[1]));
}

/* --- what changes nothing --- */
static void whole_pages(size_t *at, size_t *length)
{
	any_range(window_end, at, length);
	*length += *at % PAGE;
	*at -= *at % PAGE;
	*length = (*length + PAGE - 1) & ~(PAGE - 1);
}

static void page_out(struct file *file)
{
	struct cowmem_page_out out = {.size = sizeof(out),
	                              .flags = one_in(2) ? COWMEM_PAGE_OUT_ACCESSED : 0};
	size_t at, length;

	whole_pages(&at, &length);
	if (is_module) {
		out.offset = at, out.length = length;
		NEED(!ioctl(file->fd, COWMEM_IOC_PAGE_OUT, &out));
	} else {
		NEED(!madvise(file->map + at, length, MADV_PAGEOUT));
	}
}

static void prefetch(struct file *file)
{
	size_t at, length;

	whole_pages(&at, &length);
	NEED(!posix_fadvise(file->fd, (off_t)at, (off_t)length, POSIX_FADV_WILLNEED));
}

static void give_up(struct file *file)
{
	size_t at, length;

	whole_pages(&at, &length);
	NEED(!posix_fadvise(file->fd, (off_t)at, (off_t)length, POSIX_FADV_DONTNEED));
}

static void discard(struct file *file)
{
	size_t at, length;

	whole_pages(&at, &length);
	NEED(!madvise(file->map + at, length, MADV_DONTNEED));
}

static void map_again(struct file *file)
{
	NEED(!munmap(file->map, BYTES));
	map_file(file, one_in(4) ? MAP_POPULATE : 0);
}

static void move_mapping(struct file *file)
{
	void *to = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(to != MAP_FAILED);
	NEED(mremap(file->map, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	file->map = to;
}

static void sync_some(struct file *file)
{
	size_t at, length;

	whole_pages(&at, &length);
	NEED(!msync(file->map + at, length, one_in(2) ? MS_SYNC : MS_ASYNC));
	NEED(!fsync(file->fd));
}

static void open_again(struct file *file)
{
	const int again = open(name_of(file->fd), (file->sealed ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	NEED(again >= 0 && !close(file->fd));
	file->fd = again;
}

/* --- relatives --- */
static int named_file(void)
{
	static unsigned long count;
	char path[128];
	int fd;

	if (!strcmp(make, MEMFD) || !strcmp(make, COWMEM))
		return new_file(make);
	snprintf(path, sizeof(path), "%s/fileops-%d-%lu", make, getpid(), count++);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	NEED(fd >= 0 && (one_in(2) || !unlink(path)));
	return fd;
}

static void copy_all(int to, const struct file *from)
{
	NEED(!ftruncate(to, (off_t)from->bytes));
	NEED(pwrite(to, from->byte, from->bytes, 0) == (ssize_t)from->bytes);
}

/* A new descriptor of what the file is now, and goes its own way, or stays so. */
static int relative_of(const struct file *file, bool sealed)
{
	const bool is_object = !strcmp(make, COWMEM);
	int fd, only_read;

	if (is_module && (sealed || is_object))
		return relative(file->fd, sealed ? COWMEM_IOC_SNAPSHOT : COWMEM_IOC_CLONE);
	fd = named_file();
	if (reflinks)
		NEED(!ioctl(fd, FICLONE, file->fd));
	else
		copy_all(fd, file);
	if (!sealed)
		return fd;
	only_read = open(name_of(fd), O_RDONLY | O_CLOEXEC);
	NEED(!close(fd));
	return only_read;
}

static void have_relative(struct file *file, bool sealed)
{
	struct file *made = &files[1 + random_below(FILES - 1)];
	int fd;

	/* FICLONE of what is empty makes nobody a relative. */
	if (made == file || (reflinks && !file->bytes))
		return;
	now()->other = (size_t)(made - files);
	fd = relative_of(file, sealed);
	NEED(fd >= 0);
	drop(made);
	made->fd = fd;
	made->sealed = sealed;
	made->bytes = file->bytes;
	memcpy(made->byte, file->byte, BYTES);
	map_file(made, 0);
	if (one_in(4))
		look_at_all(made);
}

static void clone_it(struct file *file)
{
	have_relative(file, false);
}

static void snapshot_it(struct file *file)
{
	have_relative(file, true);
}

/* One that is gone again at once: what others write of it meanwhile is not looked at. */
static void look_at_relative(struct file *file)
{
	static unsigned char bytes[BYTES];
	const bool sealed = one_in(2);
	size_t at, length;
	int fd;

	if (!is_module)
		return;
	fd = relative(file->fd, sealed ? COWMEM_IOC_SNAPSHOT : COWMEM_IOC_CLONE);
	NEED(fd >= 0);
	any_range(window_end, &at, &length);
	length = within(file, at, length);
	NEED(pread(fd, bytes, length, (off_t)at) == (ssize_t)length);
	compare(file, bytes, at, length, sealed ? "snapshot" : "clone");
	if (!sealed)
		NEED(pwrite(fd, any_bytes(length), length, (off_t)at) == (ssize_t)length);
	else
		NEED(pwrite(fd, "x", 1, (off_t)at) < 0 && errno == EBADF);
	compare(file, file->map + at, at, length, "mapping");
	NEED(!close(fd));
}

static void restore_it(struct file *file)
{
	struct file *to = any_other(file);

	if (!to || !to->sealed)
		return;
	if (is_module)
		NEED(!restore(file->fd, to->fd));
	else
		copy_all(file->fd, to);
	file->bytes = to->bytes;
	memcpy(file->byte, to->byte, BYTES);
}

/* --- what reflink is --- */
static bool is_unaligned_before_the_end(const struct file *file, const struct file *from)
{
	return from->bytes % PAGE && from->bytes < file->bytes;
}

static void reflink(struct file *file)
{
	struct file *from = any_other(file);

	if (!reflinks || !from)
		return;
	if (ioctl(file->fd, FICLONE, from->fd)) {
		NEED(errno == EINVAL && is_unaligned_before_the_end(file, from));
		return;
	}
	NEED(!is_unaligned_before_the_end(file, from));
	model_write(file, 0, from->byte, from->bytes);
}

static void reflink_range(struct file *file)
{
	struct file *from = any_other(file);
	struct file_clone_range range;
	size_t at, length;

	if (!reflinks || !from)
		return;
	whole_pages(&at, &length);
	if (at + length > from->bytes) /* it may end where the other does */
		return;
	range = (struct file_clone_range){from->fd, at, length, at};
	NEED(!ioctl(file->fd, FICLONERANGE, &range));
	model_write(file, at, from->byte + at, length);
}

static void dedupe(struct file *file)
{
	struct file *from = any_other(file);
	union {
		struct file_dedupe_range is;
		char room[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
	} range = {0};
	bool same;
	size_t at, length;

	if (!reflinks || !from)
		return;
	whole_pages(&at, &length);
	if (at + length > from->bytes || at + length > file->bytes)
		return;
	range.is.src_offset = at, range.is.src_length = length, range.is.dest_count = 1;
	range.is.info[0].dest_fd = file->fd, range.is.info[0].dest_offset = at;
	NEED(!ioctl(from->fd, FIDEDUPERANGE, &range));
	same = !memcmp(file->byte + at, from->byte + at, length);
	if (range.is.info[0].status != (same ? FILE_DEDUPE_RANGE_SAME : FILE_DEDUPE_RANGE_DIFFERS))
		wrong("FIDEDUPERANGE says %d of bytes that are %s", range.is.info[0].status,
		      same ? "the same" : "not");
	NEED(!same || range.is.info[0].bytes_deduped == length);
}

/* --- all of it --- */
static const struct deed {
	const char *name;
	void (*act)(struct file *file);
	bool writes; /* not of a snapshot */
	bool whole;  /* only if the whole file is the process's */
	unsigned int weight;
} deeds[] = {
	{"read", read_some, false, false, 10},
	{"load", load_some, false, false, 10},
	{"seek", seek, false, false, 3},
	{"ask the size", ask_size, false, false, 1},
	{"write", write_some, true, false, 10},
	{"append", append, true, true, 2},
	{"store", store_some, true, false, 10},
	{"store behind the end", store_behind_the_end, true, true, 2},
	{"store privately", store_privately, false, false, 2},
	{"truncate", truncate_some, true, true, 2},
	{"punch", punch, true, false, 4},
	{"zero", zero, true, false, 2},
	{"allocate", allocate, true, false, 2},
	{"copy within", copy_within, true, false, 2},
	{"copy over", copy_over, true, true, 2},
	{"send over", send_over, true, true, 2},
	{"splice over", splice_over, true, true, 2},
	{"page out", page_out, false, false, 5},
	{"prefetch", prefetch, false, false, 1},
	{"give up", give_up, false, false, 1},
	{"discard", discard, false, false, 2},
	{"map again", map_again, false, false, 1},
	{"move the mapping", move_mapping, false, false, 1},
	{"sync", sync_some, false, false, 1},
	{"open again", open_again, false, true, 1},
	{"clone", clone_it, false, true, 2},
	{"snapshot", snapshot_it, false, true, 2},
	{"look at a relative", look_at_relative, false, false, 2},
	{"restore", restore_it, true, true, 1},
	{"reflink", reflink, true, true, 2},
	{"reflink a range", reflink_range, true, true, 2},
	{"dedupe", dedupe, true, true, 2},
};

/* How often each was done, by all processes. */
static _Atomic unsigned long (*done)[ARRAY_LENGTH(deeds)];

static size_t any_deed(void)
{
	static uint32_t sum;
	uint32_t left;

	if (!sum)
		for (size_t i = 0; i < ARRAY_LENGTH(deeds); i++)
			sum += deeds[i].weight;
	for (;;) {
		size_t i = 0;

		for (left = random_below(sum); left >= deeds[i].weight; i++)
			left -= deeds[i].weight;
		if (!deeds[i].whole || all_is_mine())
			return i;
	}
}

static void operate(unsigned long count)
{
	for (number = 0; number < count; number++) {
		const size_t deed = any_deed();
		struct file *file = &files[random_below(FILES)];

		if (file->fd < 0 || (deeds[deed].writes && file->sealed))
			file = &files[0];
		*now() = (struct remembered){.deed = deeds[deed].name,
		                             .file = (size_t)(file - files)};
		deeds[deed].act(file);
		atomic_fetch_add(&(*done)[deed], 1);
		if (number % LOOK_EVERY == LOOK_EVERY - 1)
			for (int i = 0; i < FILES; i++)
				if (files[i].fd >= 0)
					look_at_all(&files[i]);
	}
}

static void start(int fd)
{
	memset(files, 0, sizeof(files));
	for (int i = 0; i < FILES; i++)
		files[i].fd = -1;
	files[0].fd = fd;
	map_file(&files[0], 0);
}

static void end(void)
{
	for (int i = 0; i < FILES; i++) {
		if (files[i].fd >= 0)
			look_at_all(&files[i]);
		drop(&files[i]);
	}
}

static void seed_for(unsigned int process)
{
	random_state = (seed + process) * 0x9e3779b97f4a7c15ULL | 1;
}

/* As a process of its own, since it ends where something is wrong: its exit status. */
static pid_t process(unsigned int n, void (*body)(unsigned int n))
{
	pid_t child;

	fflush(stdout);
	child = fork();
	MUST(child >= 0);
	if (!child) {
		seed_for(n);
		body(n);
		fflush(stdout);
		_exit(0);
	}
	return child;
}

static int status_of(pid_t child)
{
	int status;

	MUST(waitpid(child, &status, 0) == child);
	return status;
}

static void say_what_was_done(void)
{
	char text[1024] = "";
	size_t length = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(deeds); i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%lu %s",
		                           i ? ", " : "", atomic_load(&(*done)[i]), deeds[i].name);
	ksft_print_msg("seed %llu: %s\n", (unsigned long long)seed, text);
	memset(done, 0, sizeof(*done));
}

static void run_processes(unsigned int count, void (*body)(unsigned int n))
{
	pid_t children[PROCESSES];

	for (unsigned int i = 0; i < count; i++)
		children[i] = process(i, body);
	for (unsigned int i = 0; i < count; i++)
		CHECK_EQ(status_of(children[i]), 0);
	say_what_was_done();
}

static void operate_alone(unsigned int n)
{
	(void)n;
	start(named_file());
	operate(operations);
	end();
}

static void alone(void)
{
	run_processes(1, operate_alone);
}

static void operate_beside_others(unsigned int n)
{
	(void)n;
	start(named_file());
	operate(operations / PROCESSES);
	end();
}

static void on_files_of_their_own(void)
{
	run_processes(PROCESSES, operate_beside_others);
}

static int common; /* the file that all processes have */

static void operate_in_window(unsigned int n)
{
	const int mine = open(name_of(common), O_RDWR | O_CLOEXEC); /* with its own place */

	NEED(mine >= 0);
	window = n * (BYTES / PROCESSES);
	window_end = window + BYTES / PROCESSES;
	start(mine);
	files[0].bytes = BYTES;
	operate(operations / PROCESSES);
	end();
}

static void on_one_file(void)
{
	common = named_file();
	MUST(!ftruncate(common, BYTES));
	run_processes(PROCESSES, operate_in_window);
	close(common);
}

static void operate_wrongly(unsigned int n)
{
	const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)n;
	MUST(null >= 0 && dup2(null, STDOUT_FILENO) == STDOUT_FILENO);
	is_wrong = true;
	start(named_file());
	operate(2000);
	end();
}

/* A file that keeps what was punched is not to pass: what looks would not look. */
static void notices(void)
{
	CHECK_EQ(WEXITSTATUS(status_of(process(0, operate_wrongly))), 1);
	memset(done, 0, sizeof(*done));
}

static const struct test_case cases[] = {
	{"a model that is wrong is noticed", "", notices},
	{"random operations on a file, its clones and snapshots", "", alone},
	{"several processes, each on a file of its own", "", on_files_of_their_own},
	{"several processes, each in its part of one file", "", on_one_file},
};

/* What the files can do beside what all can. */
static void try_it(void)
{
	struct cowmem_info info = {.size = sizeof(info)};
	int a, b;

	seed_for(0);
	a = named_file(), b = named_file();
	is_module = !ioctl(a, COWMEM_IOC_GET_INFO, &info);
	reflinks = !ioctl(b, FICLONE, a);
	close(a), close(b);
	ksft_print_msg("%s: %s, %s reflinks, %lu operations\n", make,
	               is_module ? "cowmem's ioctls" : "no clones", reflinks ? "with" : "without",
	               operations);
}

static void run_all_of(const char *of, const char *called)
{
	make = of;
	try_it();
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		test_failed = false;
		cases[i].run();
		ksft_test_result(!test_failed, "%s: %s\n", called, cases[i].name);
	}
}

/* What each process left in the mount, open, mapped or by name, does not keep it. */
static void run_in_mount(void)
{
	char folder[] = "/tmp/fileops-XXXXXX";

	MUST(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mkdtemp(folder) && !mount("none", folder, COWMEM, 0, NULL));
	run_all_of(folder, "mount");
	MUST(!umount(folder) && !rmdir(folder));
}

int main(int argc, char **argv)
{
	const char *given = argc > 3 ? argv[3] : NULL;

	if (argc > 1)
		operations = strtoul(argv[1], NULL, 0);
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	MUST(operations > 0);
	done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(done != MAP_FAILED);
	ksft_print_header();
	ksft_set_plan((given ? 1 : 2) * ARRAY_LENGTH(cases));
	run_all_of(given ? given : COWMEM, given ? given : COWMEM);
	if (!given)
		run_in_mount();
	ksft_finished();
}
