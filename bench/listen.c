/*
 * The least that anybody must do to hear of IPv4 routes: receive each message, walk its attributes.
 *
 * Usage: listen COUNT. Prints "ready", then, after COUNT messages or one second of silence, how many
 * came, how many the kernel dropped (0 or 1: whether it did), and the processor time in seconds.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[65536];

int main(int argc, char **argv)
{
	long wanted = argc > 1 ? atol(argv[1]) : 1, seen = 0, lost = 0, sum = 0;
	int size = 8 << 20, group = RTNLGRP_IPV4_ROUTE;
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl self = {.nl_family = AF_NETLINK};
	struct pollfd pollfd = {.fd = sock, .events = POLLIN};
	struct rusage usage;

	if (sock < 0 || bind(sock, (struct sockaddr *)&self, sizeof self) < 0 ||
	    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
	    setsockopt(sock, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
		perror("listen");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (seen < wanted && poll(&pollfd, 1, seen ? 1000 : 60000) > 0) {
		ssize_t length;

		while ((length = recv(sock, buffer, sizeof buffer, 0)) > 0) {
			struct nlmsghdr *head = (struct nlmsghdr *)buffer;

			for (; NLMSG_OK(head, length); head = NLMSG_NEXT(head, length)) {
				struct rtmsg *route = NLMSG_DATA(head);
				struct rtattr *attribute = RTM_RTA(route);
				int left = RTM_PAYLOAD(head);

				for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
					sum += attribute->rta_type + *(unsigned char *)RTA_DATA(attribute);
				seen++;
			}
		}
		if (length < 0 && errno == ENOBUFS)
			lost = 1;
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("%ld %ld %f\n", seen, lost,
	       usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
		       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	return sum == 0;
}
