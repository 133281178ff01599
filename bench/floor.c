/*
 * The floor: the least a program can do between a kernel message and a script.
 *
 *     floor DIRECTORY UID
 *
 * It receives rtnetlink, finds out what changed and starts DIRECTORY/EVENT.d/run, with an own
 * session, an environment as large as netevd's and the user UID. No queue, no order, no limit, no
 * timeout, no output, no filter, no dump. It prints one line once it is subscribed. It takes every
 * link that it has not seen yet for one with carrier.
 */
#define _GNU_SOURCE
#include <linux/rtnetlink.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOWER_UP (1 << 16) /* IFF_LOWER_UP; linux/if.h and net/if.h can't be included together */
enum { ADDED, REMOVED, CARRIER, NO_CARRIER, LINK_ADDED, EVENTS };
static const char *names[EVENTS] = {"address-added", "address-removed", "carrier", "no-carrier",
                                    "link-added"};
static char paths[EVENTS][512], json[900];
static int wanted[EVENTS];
static char seen[1 << 16], lost[1 << 16];

static void reap(int number) {
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
}

static void start(int event, const char *link, posix_spawnattr_t *attributes) {
    static char lines[3][64], path[600];
    static unsigned long sequence = 1700000000000000;
    pid_t pid;
    if (!wanted[event]) return;
    snprintf(lines[0], 64, "LINK=%s", link);
    snprintf(lines[1], 64, "STATE=%s", names[event]);
    snprintf(lines[2], 64, "NETEVD_SEQUENCE=%lu", ++sequence);
    snprintf(path, sizeof path, "NETEVD_SCRIPT_PATH=%s", paths[event]);
    char *environment[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", lines[0], lines[1],
        lines[2], path, "LINKINDEX=101", "BACKEND=kernel", "EVENT=address-added", json,
        "ADDRESSES=10.99.0.1", "NETEVD_EVENT=address-added", "NETEVD_TIME=2026-01-21T10:30:00.1Z",
        "NETEVD_PREVIOUS_STATE=degraded", "NETEVD_ADDRESS=10.99.0.1/32", "NETEVD_FAMILY=ipv4",
        "NETEVD_RUN=0123456789abcdef.17", NULL};
    char *arguments[] = {paths[event], NULL};
    if (posix_spawn(&pid, paths[event], NULL, attributes, arguments, environment))
        perror(paths[event]);
}

static void handle(struct nlmsghdr *head, posix_spawnattr_t *attributes) {
    if (head->nlmsg_type == RTM_NEWLINK) {
        struct ifinfomsg *body = NLMSG_DATA(head);
        int index = body->ifi_index & 0xffff, down = !(body->ifi_flags & LOWER_UP);
        int room = IFLA_PAYLOAD(head);
        const char *name = "";
        for (struct rtattr *a = IFLA_RTA(body); RTA_OK(a, room); a = RTA_NEXT(a, room))
            if (a->rta_type == IFLA_IFNAME) name = RTA_DATA(a);
        if (!seen[index]) start(LINK_ADDED, name, attributes);
        seen[index] = 1;
        if (lost[index] != down) start(down ? NO_CARRIER : CARRIER, name, attributes);
        lost[index] = down;
    } else if (head->nlmsg_type == RTM_NEWADDR || head->nlmsg_type == RTM_DELADDR) {
        struct ifaddrmsg *body = NLMSG_DATA(head);
        int room = IFA_PAYLOAD(head);
        for (struct rtattr *a = IFA_RTA(body); RTA_OK(a, room); a = RTA_NEXT(a, room))
            if (a->rta_type == IFA_LABEL)
                start(head->nlmsg_type == RTM_NEWADDR ? ADDED : REMOVED, RTA_DATA(a), attributes);
    }
}

int main(int count, char **arguments) {
    static char buffer[65536] __attribute__((aligned(8)));
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    int size = 8 << 20, got, sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    posix_spawnattr_t attributes;
    sigset_t all;
    if (count != 3) return 2;
    memset(json, 'x', sizeof json - 1);
    memcpy(json, "JSON=", 5);
    for (int event = 0; event < EVENTS; event++) {
        snprintf(paths[event], sizeof paths[event], "%s/%s.d/run", arguments[1], names[event]);
        wanted[event] = !access(paths[event], X_OK);
        if (wanted[event]) address.nl_groups |= event < CARRIER ? RTMGRP_IPV4_IFADDR : RTMGRP_LINK;
    }
    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (bind(sock, (struct sockaddr *)&address, sizeof address)) return perror("bind"), 1;
    if (setgid(atoi(arguments[2])) || setuid(atoi(arguments[2]))) return perror("setuid"), 1;
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = reap, .sa_flags = SA_RESTART}, NULL);
    if (puts("subscribed") < 0 || fflush(stdout)) return 1;
    while ((got = recv(sock, buffer, sizeof buffer, 0)) > 0)
        for (struct nlmsghdr *head = (void *)buffer; NLMSG_OK(head, got);
             head = NLMSG_NEXT(head, got))
            handle(head, &attributes);
    return perror("recv"), 1;
}
