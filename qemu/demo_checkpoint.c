// SPDX-License-Identifier: GPL-2.0
/*
 * The demonstration of checkpoints, inside the guest: a store of accounts that threads
 * write to all the time is checkpointed by SNAPSHOT, and, as private memory of the same
 * size, by fork(). Each image is read through while the threads go on. It must have all
 * transfers that were done when it was taken, and no others.
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "accounts.h"

#define BITS 20
#define BYTES (sizeof(struct account) << BITS)
#define ACCOUNTS (3UL << (BITS - 2)) /* of four slots, three are in use */
#define WRITERS 2
#define CHECKPOINTS 5
#define BETWEEN 1000 /* transfers from the end of one to the next, or more */
#define PAGES (BYTES / PAGE)

/* A thread, and the accounts that no other thread writes to: every WRITERS-th. */
struct writer {
	struct bank *bank;
	uint64_t first, last;  /* their keys */
	_Atomic uint64_t done; /* transfers */
	pthread_t thread;
};

/* A store in memory of one kind. */
struct bank {
	struct object memory;
	struct accounts store;
	struct writer writers[WRITERS];
	_Atomic bool written[2][PAGES]; /* since the last checkpoint, and until then */
	_Atomic unsigned int current;   /* which of these is which */
};

/* A load. */
struct load {
	const char *name;
	uint64_t accounts; /* that are written to */
	unsigned int checkpoints;
};

/* What was measured at @count checkpoints: a line of the table. */
struct figures {
	unsigned int count;
	uint64_t pause[CHECKPOINTS];   /* microseconds */
	uint64_t written[CHECKPOINTS]; /* pages, since the one before */
	uint64_t rate[CHECKPOINTS];    /* transfers a second, until the image was read */
	uint64_t extra[CHECKPOINTS];   /* bytes that there were less then */
};

/* Transfers share it, a checkpoint has it alone, and first: then all are whole. */
static pthread_rwlock_t whole = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static _Atomic bool stop;
static int verdicts[2]; /* a pipe: the child's words on its image */

static uint64_t any_key(const struct writer *w, unsigned int *seed)
{
	const uint64_t keys = (w->last - w->first) / WRITERS + 1;

	return w->first + (uint64_t)rand_r(seed) % keys * WRITERS;
}

/* Half a transfer. */
static void add(struct bank *bank, uint64_t key, int64_t amount)
{
	const struct account *a = accounts_find(&bank->store, key);
	const size_t page = (size_t)(a - bank->store.slots) * sizeof(*a) / PAGE;

	accounts_add(&bank->store, key, amount);
	bank->written[bank->current][page] = true;
}

static void *write_transfers(void *argument)
{
	struct writer *w = argument;
	unsigned int seed = (unsigned int)w->first;

	while (!atomic_load(&stop)) {
		const uint64_t from = any_key(w, &seed), to = any_key(w, &seed);

		MUST(!pthread_rwlock_rdlock(&whole));
		add(w->bank, from, -1);
		add(w->bank, to, 1);
		w->done++;
		MUST(!pthread_rwlock_unlock(&whole));
	}
	return NULL;
}

static void writers_start(struct bank *bank, uint64_t accounts)
{
	stop = false;
	for (unsigned int i = 0; i < WRITERS; i++) {
		struct writer *w = &bank->writers[i];

		w->bank = bank;
		w->first = 1 + i;
		w->last = accounts;
		MUST(!pthread_create(&w->thread, NULL, write_transfers, w));
	}
}

static void writers_stop(struct bank *bank)
{
	stop = true;
	for (unsigned int i = 0; i < WRITERS; i++)
		MUST(!pthread_join(bank->writers[i].thread, NULL));
}

static uint64_t transfers(const struct bank *bank)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < WRITERS; i++)
		sum += bank->writers[i].done;
	return sum;
}

/* Pages written before the last checkpoint, and since the one before that. */
static uint64_t count_written(struct bank *bank)
{
	_Atomic bool *written = bank->written[!bank->current];
	uint64_t count = 0;

	for (size_t i = 0; i < PAGES; i++) {
		count += written[i];
		written[i] = false;
	}
	return count;
}

/* Whether it is the store as it was after @done transfers. */
static bool consistent(struct account *slots, uint64_t done)
{
	const struct accounts image = {slots, BITS, ACCOUNTS};
	const struct audit found = accounts_audit(&image);

	return found.accounts == ACCOUNTS && !found.damaged &&
	       found.money == ACCOUNTS * FIRST_BALANCE && found.changes == 2 * done;
}

/*
 * Who looks at snapshots is a process with the descriptors, but not the memory, of the one that
 * takes them, so that what it does costs the writers no TLB flush of theirs. It is asked by a pipe.
 */
struct question {
	int image;
	uint64_t done;
};
static int questions[2];

static void answer_questions(void)
{
	struct question asked;

	while (read(questions[0], &asked, sizeof(asked)) == sizeof(asked)) {
		struct account *slots = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, asked.image, 0);
		bool good;

		MUST(slots != MAP_FAILED);
		good = consistent(slots, asked.done);
		munmap(slots, BYTES);
		MUST(write(verdicts[1], &good, sizeof(good)) == sizeof(good));
	}
	_exit(0);
}

static pid_t start_judge(void)
{
	pid_t child;

	MUST(!pipe(questions));
	child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	MUST(child >= 0);
	if (!child)
		answer_questions();
	return child;
}

/* An image: a snapshot's descriptor, or the PID of a child, which looks at it at once. */
static int take(const struct bank *bank, uint64_t done)
{
	bool good;
	int child;

	if (bank->memory.kind == COWMEM)
		return object_relative(bank->memory.fd, COWMEM_IOC_SNAPSHOT);
	child = fork();
	MUST(child >= 0);
	if (child)
		return child;
	good = consistent(bank->store.slots, done);
	if (write(verdicts[1], &good, sizeof(good)) == sizeof(good))
		pause();
	_exit(1);
}

static bool judge(const struct bank *bank, int image, uint64_t done)
{
	const struct question ask = {image, done};
	bool good;

	if (bank->memory.kind == COWMEM)
		MUST(write(questions[1], &ask, sizeof(ask)) == sizeof(ask));
	MUST(read(verdicts[0], &good, sizeof(good)) == sizeof(good));
	return good;
}

static void end_child(pid_t child)
{
	MUST(!kill(child, SIGKILL));
	MUST(waitpid(child, NULL, 0) == child);
}

static void drop(const struct bank *bank, int image)
{
	if (bank->memory.kind == COWMEM) {
		close(image);
	} else {
		end_child(image);
	}
}

static void checkpoint(struct bank *bank, struct figures *f)
{
	const unsigned int i = f->count++;
	const uint64_t memory = free_bytes();
	uint64_t start, freed, done, left;
	int image;

	start = microseconds();
	MUST(!pthread_rwlock_wrlock(&whole));
	done = transfers(bank);
	bank->current = !bank->current;
	image = take(bank, done);
	MUST(!pthread_rwlock_unlock(&whole));
	freed = microseconds();
	f->pause[i] = freed - start;
	f->written[i] = count_written(bank);

	MUST(judge(bank, image, done));
	f->rate[i] = (transfers(bank) - done) * 1000000 / (microseconds() - freed);
	left = free_bytes();
	f->extra[i] = memory > left ? memory - left : 0;
	drop(bank, image);
}

/* @load has the accounts that are written to, and how many checkpoints that is for. */
static void run(struct bank *bank, struct figures *f, const struct load *load)
{
	writers_start(bank, load->accounts);
	while (f->count < load->checkpoints) {
		const uint64_t done = transfers(bank);

		while (transfers(bank) < done + BETWEEN)
			usleep(1000);
		checkpoint(bank, f);
	}
	writers_stop(bank);
}

/* That a checkpoint taken amid a transfer, when nobody was held off, is found out. */
static void take_amid_a_transfer(struct bank *bank)
{
	const uint64_t done = transfers(bank);
	int image;

	add(bank, 1, -1);
	image = take(bank, done);
	MUST(!judge(bank, image, done));
	drop(bank, image);
	add(bank, 2, 1);
	image = take(bank, done + 1);
	MUST(judge(bank, image, done + 1));
	drop(bank, image);
}

static void open_bank(struct bank *bank, enum kind kind)
{
	const int flags = kind == COWMEM ? MAP_SHARED : MAP_PRIVATE;

	bank->memory = object_make(kind, BYTES);
	bank->store = (struct accounts){(void *)object_map(&bank->memory, flags), BITS, ACCOUNTS};
	accounts_fill(&bank->store);
	memset(bank->written[0], true, PAGES);
}

static void close_bank(struct bank *bank)
{
	munmap(bank->store.slots, BYTES);
	object_free(&bank->memory);
}

static uint64_t print(const char *load, const char *way, struct figures *f)
{
	const unsigned int n = f->count;
	const uint64_t pause = median(f->pause, n);

	printf("  %-13s%-7s%9lu%11lu%10lu%11lu%8.1f\n", load, way, median(f->written, n), pause,
	       f->pause[n - 1], median(f->rate, n), (double)median(f->extra, n) / (1 << 20));
	return pause;
}

int main(void)
{
	static const struct load loads[] = {
		{"all, first", ACCOUNTS, 1},
		{"1 of 1,000", ACCOUNTS / 1000, CHECKPOINTS},
		{"1 of 100", ACCOUNTS / 100, CHECKPOINTS},
	};
	enum { LOADS = sizeof(loads) / sizeof(*loads) };
	static const enum kind kinds[] = {COWMEM, ANON};
	static struct figures figures[2][LOADS];
	static struct bank banks[2];
	unsigned int images = 0;
	pid_t onlooker;

	setvbuf(stdout, NULL, _IOLBF, 0);
	MUST(!pipe(verdicts));
	onlooker = start_judge();
	for (size_t k = 0; k < 2; k++) {
		open_bank(&banks[k], kinds[k]);
		for (size_t l = 0; l < LOADS; l++) {
			run(&banks[k], &figures[k][l], &loads[l]);
			images += figures[k][l].count;
		}
		take_amid_a_transfer(&banks[k]);
		close_bank(&banks[k]);
	}
	end_child(onlooker);
	printf("  %lu accounts in %lu MiB, pages of 4 KiB, written to by %d threads in this VM\n",
	       ACCOUNTS, BYTES >> 20, WRITERS);
	printf("  %-20s%9s%22s%11s%8s\n", "", "pages", "pause, µs", "transfers", "extra");
	printf("  %-20s%9s%11s%10s%11s%8s\n", "accounts written to", "written", "median", "longest",
	       "a second", "MiB");
	for (size_t l = 0; l < LOADS; l++) {
		const uint64_t ours = print(loads[l].name, "cowmem", &figures[0][l]);
		const uint64_t peer = print("", "fork()", &figures[1][l]);

		printf("  %31s%9.2f\n", "ratio", (double)ours / (double)peer);
	}
	printf("  SNAPSHOT takes the pages written since the last, fork() the page tables of all;\n"
	       "  transfers and extra memory are those while an image is read through\n"
	       "  images consistent: %u of %u; taken amid a transfer, and found out: 2 of 2\n",
	       images, images);
	return 0;
}
