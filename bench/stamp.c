/*
 * The script of the benchmarks that is no shell script: says at once when it began, and for what.
 *
 * Its path is DIRECTORY/scripts/EVENT.d/run. A script gets no argument and no variable of ours, so
 * it finds the FIFO that it writes to, DIRECTORY/stamps, by its own name. The FIFO is outside the
 * tree of scripts, which netevd watches for changes. One line is below PIPE_BUF and so written whole.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *value(const char *name) {
    const char *found = getenv(name);
    return found ? found : "-";
}

int main(int count, char **arguments) {
    struct timespec now;
    char path[512], line[512], *end;
    int fifo, length;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(path, sizeof path - 8, "%s", count > 0 ? arguments[0] : "");
    for (int step = 0; step < 3; step++) {
        if (!(end = strrchr(path, '/'))) return 2;
        *end = 0;
    }
    strcat(path, "/stamps");
    length = snprintf(line, sizeof line, "%lld %s %s %s\n",
                      (long long)now.tv_sec * 1000000000 + now.tv_nsec, value("LINK"),
                      value("STATE"), value("NETEVD_SEQUENCE"));
    fifo = open(path, O_WRONLY);
    return fifo < 0 || write(fifo, line, length) != length;
}
