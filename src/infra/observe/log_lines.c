#include "orderly/infra/observe/log_lines.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include "orderly/base/timetext.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What a pipe takes whole once poll has said that it takes anything. */
#define LOG_WRITE_MAX 4096

/* A line under construction. Whoever adds checks first that it fits. */
struct line {
    char text[LOG_LINE_MAX];
    size_t n;
};
/* Kept free for " cut=true\n". */
#define LINE_TAIL 16

static const char *level_name(enum log_level level)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };

    REQUIRE(level <= LOG_ERROR);
    return names[level];
}

static void add(struct line *l, const char *p, size_t n)
{
    REQUIRE(n <= sizeof(l->text) - l->n);
    memcpy(l->text + l->n, p, n);
    l->n += n;
}

/* ---- values */

/* Length of the well-formed code point at p, 0 if there is none. */
static size_t utf8_at(const char *p, size_t n, uint32_t *code)
{
    uint8_t first = (uint8_t)p[0];
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (len > n || !str_is_utf8((struct str){ p, len }))
        return 0;
    *code = len == 1 ? first : first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        *code = *code << 6 | ((uint8_t)p[i] & 0x3f);
    return len;
}

/* C1 controls, line and paragraph separators, and what turns the direction of writing. */
static bool misleads(uint32_t code)
{
    return (code >= 0x80 && code < 0xa0) || code == 0x61c || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0xfeff;
}

/* Writes one code point, or one byte that is none, as it may stand between quotes. Returns how much
 * of p it took; *n_out is how much it wrote. */
static size_t escape(const char *p, size_t n, char out[8], size_t *n_out)
{
    static const char short_forms[] = {
        ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'
    };
    uint8_t c = (uint8_t)p[0];
    uint32_t code;
    size_t len = utf8_at(p, n, &code);

    if (c < sizeof(short_forms) && short_forms[c]) {
        out[0] = '\\';
        out[1] = short_forms[c];
        *n_out = 2;
        return 1;
    }
    if (len == 0 || c < 0x20 || c == 0x7f) {
        *n_out = (size_t)snprintf(out, 8, "\\x%02x", c);
        return 1;
    }
    if (len > 1 && misleads(code)) {
        *n_out = (size_t)snprintf(out, 8, "\\u%04x", (unsigned)code);
        return len;
    }
    memcpy(out, p, len);
    *n_out = len;
    return len;
}

static bool is_plain(struct str value)
{
    if (value.n == 0 || value.n > LOG_VALUE_MAX)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];

        if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return true;
}

/* False: it does not fit, and nothing was added. */
static bool add_field(struct line *l, struct str name, struct str value)
{
    size_t before = l->n, room = sizeof(l->text) - LINE_TAIL;

    if (l->n + name.n + 2 > room)
        return false;
    if (l->n)
        add(l, " ", 1);
    add(l, name.p, name.n);
    add(l, "=", 1);
    if (is_plain(value)) {
        if (l->n + value.n > room)
            goto undo;
        add(l, value.p, value.n);
        return true;
    }
    add(l, "\"", 1);
    for (size_t i = 0; i < value.n;) {
        char piece[8];
        size_t n_piece, taken;

        if (i >= LOG_VALUE_MAX) {
            if (l->n + 3 > room)
                goto undo;
            add(l, "…", sizeof("…") - 1);
            break;
        }
        taken = escape(value.p + i, value.n - i, piece, &n_piece);
        if (l->n + n_piece > room)
            goto undo;
        add(l, piece, n_piece);
        i += taken;
    }
    add(l, "\"", 1); /* in the tail at worst */
    return true;

undo:
    l->n = before;
    return false;
}

/* ---- the buffer */

/* False: no room. */
static bool ring_add(struct log_lines *l, struct str s)
{
    size_t at = (l->start + l->n) % LOG_BUFFER_SIZE;
    size_t first = LOG_BUFFER_SIZE - at < s.n ? LOG_BUFFER_SIZE - at : s.n;

    if (s.n > LOG_BUFFER_SIZE - l->n)
        return false;
    memcpy(l->ring + at, s.p, first);
    memcpy(l->ring, s.p + first, s.n - first);
    l->n += s.n;
    return true;
}

static void begin_line(struct log_lines *l, struct line *line, enum log_level level,
                       const char *event)
{
    char time[TIMETEXT_LEN];

    timetext_format(l->wall_ms(l->ctx), time);
    line->n = 0;
    (void)add_field(line, STR("ts"), (struct str){ time, sizeof(time) });
    (void)add_field(line, STR("level"), str_of(level_name(level)));
    (void)add_field(line, STR("event"), str_of(event));
}

/* The count goes before the line that could be kept again. */
static bool tell_dropped(struct log_lines *l)
{
    struct line line;
    char count[24];
    int n;

    if (!l->dropped)
        return true;
    n = snprintf(count, sizeof(count), "%llu", (unsigned long long)l->dropped);
    begin_line(l, &line, LOG_WARN, "log_lines_dropped");
    (void)add_field(&line, STR("count"), (struct str){ count, (size_t)n });
    add(&line, "\n", 1);
    if (!ring_add(l, (struct str){ line.text, line.n }))
        return false;
    l->dropped = 0;
    return true;
}

static void log_lines_write(struct log *log, enum log_level level, const char *event,
                            const struct log_field *fields, unsigned n_fields)
{
    struct log_lines *l = container_of(log, struct log_lines, log);
    struct line line;
    bool is_cut = false;

    begin_line(l, &line, level, event);
    for (unsigned i = 0; i < n_fields; i++)
        if (!add_field(&line, str_of(fields[i].name), fields[i].value))
            is_cut = true;
    if (is_cut)
        add(&line, " cut=true", 9);
    add(&line, "\n", 1);
    if (!tell_dropped(l) || !ring_add(l, (struct str){ line.text, line.n })) {
        l->dropped++;
        l->dropped_total++;
    }
    /* An error may be the last thing that this process says. */
    if (level == LOG_ERROR)
        (void)log_lines_flush(l);
}

/* ---- the descriptor */

/* Writes without waiting. O_NONBLOCK belongs to the open file, which a shell or the other end of a
 * terminal may share; so it is not set there, but on a description of our own. Files of a disk take
 * what they get. Where no second description can be had, poll says when a pipe takes a page. */
static void open_own(struct log_lines *l, int fd)
{
    char path[32];
    struct stat st;
    int own;

    l->fd = fd;
    if (fstat(fd, &st) != 0)
        return;
    l->is_socket = S_ISSOCK(st.st_mode);
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return;
    l->fd = own;
    l->is_own_fd = true;
}

static bool takes_more(const struct log_lines *l)
{
    struct pollfd p = { .fd = l->fd, .events = POLLOUT };

    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

static long write_some(struct log_lines *l, const char *p, size_t n)
{
    if (l->is_socket)
        return send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (!l->is_own_fd) {
        if (!takes_more(l)) {
            errno = EAGAIN;
            return -1;
        }
        n = n < LOG_WRITE_MAX ? n : LOG_WRITE_MAX;
    }
    return write(l->fd, p, n);
}

size_t log_lines_flush(struct log_lines *l)
{
    while (l->n) {
        size_t piece = LOG_BUFFER_SIZE - l->start < l->n ? LOG_BUFFER_SIZE - l->start : l->n;
        long written = write_some(l, l->ring + l->start, piece);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && (errno == EAGAIN || errno == ENOBUFS))
            break;
        /* Nobody will ever read it (closed pipe, full disk): the server goes on without. */
        if (written < 0)
            written = (long)piece;
        l->start = (l->start + (size_t)written) % LOG_BUFFER_SIZE;
        l->n -= (size_t)written;
    }
    if (!l->n)
        l->start = 0;
    return l->n;
}

void log_lines_flush_within(struct log_lines *l, int64_t ms)
{
    struct pollfd p = { .fd = l->fd, .events = POLLOUT };

    (void)tell_dropped(l);
    for (; log_lines_flush(l) && ms > 0; ms -= 10)
        (void)poll(&p, 1, 10);
    (void)tell_dropped(l);
    (void)log_lines_flush(l);
}

static int64_t system_wall_ms(void *ctx)
{
    struct timespec now;

    (void)ctx;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

void log_lines_init(struct log_lines *l, int fd, enum log_level least, int64_t (*wall_ms)(void *),
                    void *ctx)
{
    *l = (struct log_lines){ .log = { log_lines_write, least },
                             .wall_ms = wall_ms ? wall_ms : system_wall_ms,
                             .ctx = ctx };
    l->ring = mem_alloc(LOG_BUFFER_SIZE);
    open_own(l, fd);
}

void log_lines_deinit(struct log_lines *l)
{
    if (l->is_own_fd)
        (void)close(l->fd);
    mem_free(l->ring);
    l->ring = NULL;
}
