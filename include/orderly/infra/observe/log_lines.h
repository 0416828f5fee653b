/* The log port as lines of text on a file descriptor, usually stderr.
 *
 *     ts=2026-11-20T12:00:00.000Z level=info event=message topic=order.placed order=0199…
 *
 * One line for each event, `name=value` separated by single blanks. A value stands in double quotes
 * when it is empty or holds a blank, a quote, a backslash, an equals sign, or something that had to
 * be escaped: \" \\ \n \r \t, \xNN for other control characters and for bytes that are no UTF-8,
 * \uNNNN for what a terminal may take as a command or as a change of the writing's direction. So no
 * input from outside can begin a line or a field. Values are cut at LOG_VALUE_MAX bytes and end in
 * "…" then.
 *
 * Writing never waits: lines collect in a buffer that log_lines_flush writes as far as the reader
 * takes it. When the buffer is full, lines are dropped and counted; `event=log_lines_dropped` tells
 * how many as soon as there is room again.
 *
 * Thread: one at a time.
 */
#ifndef ORDERLY_INFRA_OBSERVE_LOG_LINES_H
#define ORDERLY_INFRA_OBSERVE_LOG_LINES_H
#include "orderly/app/log.h"
#include <stdint.h>

#define LOG_VALUE_MAX 256
#define LOG_LINE_MAX 4096 /* further fields are left out, and the line ends in cut=true */
#define LOG_BUFFER_SIZE (256u << 10)

struct log_lines {
    struct log log;

    /* Log lines only. */
    int fd;
    bool is_own_fd; /* a second description of what was handed in; closed by deinit */
    bool is_socket;
    int64_t (*wall_ms)(void *ctx);
    void *ctx;
    char *ring; /* LOG_BUFFER_SIZE, bytes from start, n of them */
    size_t start, n;
    uint64_t dropped; /* since the last line that was kept */
    uint64_t dropped_total;
};

/* fd stays the caller's, its flags are not changed: others may share them. wall_ms tells the time
 * since 1970; NULL takes the system's. */
void log_lines_init(struct log_lines *l, int fd, enum log_level least,
                    int64_t (*wall_ms)(void *ctx), void *ctx);
/* Writes what can be written at once. Returns how many bytes still wait. */
size_t log_lines_flush(struct log_lines *l);
/* At the end: waits for the reader, but no longer than this. */
void log_lines_flush_within(struct log_lines *l, int64_t ms);
void log_lines_deinit(struct log_lines *l);
#endif
