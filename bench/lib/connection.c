#include "connection.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void connection_init(struct connection *c, unsigned pipeline_max, bool head_only,
                     bool wants_location)
{
    memset(c, 0, sizeof(*c));
    c->fd = -1;
    c->pipeline_max = pipeline_max;
    c->outstanding = mem_zalloc(pipeline_max * sizeof(*c->outstanding));
    list_init(&c->free_link);
    response_parser_init(&c->parser, head_only, wants_location);
}

void connection_deinit(struct connection *c)
{
    REQUIRE(c->state == CONNECTION_CLOSED);
    response_parser_deinit(&c->parser);
    buf_deinit(&c->unwritten);
    mem_free(c->outstanding);
}

static bool watch(struct connection *c, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = c };

    return epoll_ctl(c->epoll_fd, operation, c->fd, &event) == 0;
}

bool connection_open(struct connection *c, const struct sockaddr_in *address, int epoll_fd)
{
    int on = 1;

    REQUIRE(c->state == CONNECTION_CLOSED);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    c->epoll_fd = epoll_fd;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if ((connect(c->fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
         errno != EINPROGRESS) ||
        !watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT)) {
        (void)close(c->fd);
        c->fd = -1;
        return false;
    }
    c->state = CONNECTION_OPENING;
    return true;
}

bool connection_finish_open(struct connection *c)
{
    int failure = 0;
    socklen_t n = sizeof(failure);

    REQUIRE(c->state == CONNECTION_OPENING);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failure, &n) != 0 || failure != 0 ||
        !watch(c, EPOLL_CTL_MOD, EPOLLIN))
        return false;
    c->state = CONNECTION_OPEN;
    return true;
}

void connection_close(struct connection *c)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    (void)close(c->fd); /* which also ends the watch */
    c->fd = -1;
    c->state = CONNECTION_CLOSED;
    c->outstanding_n = 0;
    c->oldest = 0;
    c->unwritten.n = 0;
    c->written = 0;
    response_parser_reset(&c->parser);
}

unsigned connection_room(const struct connection *c)
{
    if (c->state != CONNECTION_OPEN || c->unwritten.n > 0)
        return 0;
    return c->pipeline_max - c->outstanding_n;
}

void connection_push_outstanding(struct connection *c, uint64_t due_ns, uint64_t sent_ns)
{
    unsigned at = c->oldest + c->outstanding_n;

    REQUIRE(c->outstanding_n < c->pipeline_max);
    if (at >= c->pipeline_max)
        at -= c->pipeline_max;
    c->outstanding[at] = (struct outstanding){ .due_ns = due_ns, .sent_ns = sent_ns };
    c->outstanding_n++;
}

uint64_t connection_pop_outstanding(struct connection *c)
{
    uint64_t due_ns = c->outstanding[c->oldest].due_ns;

    REQUIRE(c->outstanding_n > 0);
    c->outstanding_n--;
    if (++c->oldest == c->pipeline_max)
        c->oldest = 0;
    return due_ns;
}

uint64_t connection_oldest_sent_ns(const struct connection *c)
{
    REQUIRE(c->outstanding_n > 0);
    return c->outstanding[c->oldest].sent_ns;
}

/* The bytes taken, 0 when the socket is full, -1 when the connection is gone. */
static ssize_t write_some(struct connection *c, const char *bytes, size_t n)
{
    ssize_t written;

    do
        written = send(c->fd, bytes, n, MSG_NOSIGNAL);
    while (written < 0 && errno == EINTR);
    if (written < 0 && errno == EAGAIN)
        return 0;
    return written;
}

bool connection_write(struct connection *c, const char *bytes, size_t n)
{
    ssize_t written;

    REQUIRE(c->unwritten.n == 0);
    written = write_some(c, bytes, n);
    if (written < 0)
        return false;
    if ((size_t)written == n)
        return true;
    buf_add(&c->unwritten, bytes + written, n - (size_t)written);
    c->written = 0;
    return watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

bool connection_flush(struct connection *c)
{
    ssize_t written;

    if (c->unwritten.n == 0)
        return true;
    written = write_some(c, c->unwritten.p + c->written, c->unwritten.n - c->written);
    if (written < 0)
        return false;
    c->written += (size_t)written;
    if (c->written < c->unwritten.n)
        return true;
    c->unwritten.n = 0;
    c->written = 0;
    return watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

ssize_t connection_read(struct connection *c, char *bytes, size_t n)
{
    ssize_t got;

    do
        got = recv(c->fd, bytes, n, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        return got;
    if (got < 0 && errno == EAGAIN)
        return CONNECTION_AGAIN;
    return CONNECTION_ENDED;
}
