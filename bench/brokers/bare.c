#include "brokers/bare.h"
#include "lib/clock_ns.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATUS_FAILED = 1, STATUS_USAGE = 2 };

#define COUNTED 12 /* last characters of an id that tell the rounds apart */

_Noreturn void bare_fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "bare client: %s: %s\n", what, why);
    exit(STATUS_FAILED);
}

static struct str map_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat s;
    void *p;

    if (fd < 0 || fstat(fd, &s) < 0 || s.st_size <= 0)
        bare_fail(path, "it can't be read, or is empty");
    /* Until the process ends, and read ahead, so that the loop does not wait for the disk. */
    p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        bare_fail(path, "it can't be mapped");
    return (struct str){ p, (size_t)s.st_size };
}

void bare_begin(struct bare *b, int argc, char **argv)
{
    uint64_t port = 0;

    *b = (struct bare){ 0 };
    if (argc != 4 || !str_to_u64(str_of(argv[1]), &port) || port < 1 || port > UINT16_MAX ||
        !str_to_u64(str_of(argv[3]), &b->count) || b->count < 1) {
        (void)fprintf(stderr, "Usage: %s PORT FILE COUNT\n", argv[0]);
        exit(STATUS_USAGE);
    }
    b->port = (uint16_t)port;
    b->text = map_file(argv[2]);
}

static struct str take(struct bare *b, char end)
{
    const char *p = b->rest.n ? memchr(b->rest.p, end, b->rest.n) : NULL;
    struct str head;

    if (!p)
        bare_fail("file of messages", "a line is not whole");
    head = (struct str){ b->rest.p, (size_t)(p - b->rest.p) };
    b->rest = (struct str){ p + 1, b->rest.n - head.n - 1 };
    return head;
}

static void take_text(struct bare *b, char *to)
{
    struct str s = take(b, '\t');

    if (s.n >= BARE_TEXT_MAX)
        bare_fail("file of messages", "a field is too long");
    memcpy(to, s.p, s.n);
    to[s.n] = '\0';
}

bool bare_next(struct bare *b)
{
    size_t n;

    if (b->n == 0)
        b->began_ns = clock_now_ns();
    if (b->n == b->count)
        return false;
    if (b->rest.n == 0)
        b->rest = b->text;
    take_text(b, b->m.topic);
    take_text(b, b->m.id);
    take_text(b, b->m.order_id);
    b->m.body = take(b, '\n');
    n = strlen(b->m.id);
    if (n < COUNTED)
        bare_fail("file of messages", "an id is too short");
    (void)snprintf(b->m.id + n - COUNTED, COUNTED + 1, "%0*" PRIx64, COUNTED,
                   b->n & UINT64_C(0xffffffffffff));
    b->n++;
    b->bytes += b->m.body.n;
    return true;
}

void bare_origin(const struct bare_message *m, char out[static BARE_ORIGIN_MAX])
{
    (void)snprintf(out, BARE_ORIGIN_MAX, BARE_LOG " %s", m->id);
}

void bare_print(const struct bare *b)
{
    double seconds = (double)(clock_now_ns() - b->began_ns) / 1e9;

    (void)printf("{\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64
                 ",\"seconds\":%.6f,\"acked_per_s\":%.1f}\n",
                 b->n, b->bytes, seconds, (double)b->n / seconds);
}
