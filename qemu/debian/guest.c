// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the guest in the guest (emulator.py). It has some memory with a letter in each page,
 * counts, and says so on the console: "count N LETTER PAGES", with how many pages have that
 * letter. A letter that is typed is the next for all pages; 0 frees them, 9 ends.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#define FREE '0'
#define END '9'
enum { PAGE = 4096, BYTES = 8192 * PAGE };

static void load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		perror(path);
	close(fd);
}

/* How many pages begin and end with @letter. */
static int count(const char *memory, char letter)
{
	int same = 0;

	for (const char *page = memory; page < memory + BYTES; page += PAGE)
		same += page[0] == letter && page[PAGE - 1] == letter;
	return same;
}

int main(void)
{
	char *memory =
		mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pollfd console = {.fd = 0, .events = POLLIN};
	struct termios raw;
	char letter = 'a', typed;

	tcgetattr(0, &raw);
	cfmakeraw(&raw);
	tcsetattr(0, TCSANOW, &raw);
	load("/virtio_balloon.ko");
	memset(memory, letter, BYTES);
	for (long n = 1;; n++) {
		printf("count %ld %c %d\r\n", n, letter,
		       letter == FREE ? 0 : count(memory, letter));
		fflush(stdout);
		if (poll(&console, 1, 200) != 1 || read(0, &typed, 1) != 1)
			continue;
		letter = typed;
		if (letter == END)
			reboot(RB_POWER_OFF);
		else if (letter == FREE)
			madvise(memory, BYTES, MADV_DONTNEED);
		else
			memset(memory, letter, BYTES);
	}
}
