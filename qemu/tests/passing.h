/* SPDX-License-Identifier: GPL-2.0 */
/* Descriptors over a socket: SCM_RIGHTS, each with a number that says what it is. */
#ifndef COWMEM_PASSING_H
#define COWMEM_PASSING_H

#include "cowmem_test.h"

#include <sys/socket.h>

/* Whether it was sent; never waits. */
static inline bool send_fd(int socket, int fd, unsigned int number)
{
	char control[CMSG_SPACE(sizeof(fd))] = "";
	struct iovec data = {&number, sizeof(number)};
	struct msghdr message = {.msg_iov = &data,
	                         .msg_iovlen = 1,
	                         .msg_control = control,
	                         .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*header = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket, &message, MSG_DONTWAIT) == sizeof(number);
}

/* The descriptor, or -1: with MSG_DONTWAIT in @flags, there is none. */
static inline int receive_fd(int socket, unsigned int *number, int flags)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec data = {number, sizeof(*number)};
	struct msghdr message = {.msg_iov = &data,
	                         .msg_iovlen = 1,
	                         .msg_control = control,
	                         .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC) != sizeof(*number))
		return -1;
	MUST(CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

#endif /* COWMEM_PASSING_H */
