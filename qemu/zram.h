/* SPDX-License-Identifier: GPL-2.0 */
/* A swap device of zram, for programs that compare with anonymous memory. */
#ifndef COWMEM_ZRAM_H
#define COWMEM_ZRAM_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/swap.h>
#include <unistd.h>

#define ZRAM "/dev/zram0"
#define ZRAM_FILE(name) "/sys/block/zram0/" name

static inline bool zram_write(const char *path, const void *data, size_t length)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	const bool done = fd >= 0 && write(fd, data, length) == (ssize_t)length;

	if (fd >= 0)
		close(fd);
	return done;
}

/* Makes it, of @mib MiB, and swaps to it; @compressor, or null for the kernel's choice. */
static inline bool zram_swap_on(unsigned int mib, const char *compressor)
{
	static char header[4096]; /* what mkswap writes: a version, the last page, a mark */
	uint32_t *info = (uint32_t *)(header + 1024);
	char size[16];

	info[0] = 1;
	info[1] = (mib << 8) - 1;
	memcpy(header + sizeof(header) - 10, "SWAPSPACE2", 10);
	snprintf(size, sizeof(size), "%uM", mib);
	return (!compressor ||
	        zram_write(ZRAM_FILE("comp_algorithm"), compressor, strlen(compressor))) &&
	       zram_write(ZRAM_FILE("disksize"), size, strlen(size)) &&
	       zram_write(ZRAM, header, sizeof(header)) && !swapon(ZRAM, 0);
}

static inline bool zram_swap_off(void)
{
	return !swapoff(ZRAM) && zram_write(ZRAM_FILE("reset"), "1", 1);
}

#endif /* COWMEM_ZRAM_H */
