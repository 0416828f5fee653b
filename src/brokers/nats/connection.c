#include "connection.h"
#include "opening.h"
#include "orderly/base/mem.h"
#include "settings.h"
#include "tls_records.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads in one go, SETTINGS_IO_BYTES each; then the caller looks at what came. */
#define READS_MAX 4
/* By TLS the library hands over all that it has in one go, and waits where the socket does not take it,
 * without reading meanwhile; a server that waits in turn for us to read would never be heard again. So
 * it is called only while the socket has room (a third of its memory, by POLLOUT), and is not given much
 * more than a record. Only a message longer than that room is waited for. */
#define TLS_BUFFERED_MAX 16384
/* Attempts that hang in a handshake with a server that stopped; they end when it ends or goes on. */
#define HANGING_MAX 16

enum progress { OPENING, OPENED, FAILED, ABANDONED };

struct connection {
    /* Owner's. */
    natsConnection *nc;
    natsSubscription *sub;
    natsInbox *inbox;
    struct tls_records records;
    bool is_tls;
    natsStatus status_at_start; /* may be of a server that was tried before this one */
    int64_t served_ms, heard_ms;
    /* Of any thread. */
    atomic_int fd;
    atomic_bool wants_write;
    int bell;
    /* Guarded by lock. */
    pthread_mutex_t lock;
    pthread_cond_t opened; /* progress changed */
    enum progress progress;
    natsConnection *opened_nc;
    char opening_why[BROKER_WHY_MAX];
    natsMsg **queue;
    unsigned queue_max, queue_at, queue_n;
    bool is_closed, overflowed;
    /* Of the owner, of the thread that opens, and of the subscription until its last message was
     * handed over. */
    unsigned refs;
};

static atomic_int hanging;

int64_t connection_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void connection_why(char *why, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(why, BROKER_WHY_MAX, format, list);
    va_end(list);
    for (char *p = why; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

const char *connection_detail(natsStatus s)
{
    const char *detail = nats_GetLastError(NULL), *end;

    if (!detail || !detail[0])
        return natsStatus_GetText(s);
    end = detail[0] == '(' ? strstr(detail, "): ") : NULL;
    return end ? end + 3 : detail;
}

const char *connection_inbox(const struct connection *c)
{
    return c->inbox;
}

unsigned connection_hanging(void)
{
    return (unsigned)atomic_load(&hanging);
}

/* ---- what other threads do */

static void ring(struct connection *c)
{
    uint64_t one = 1;

    /* Full it is never: the counter has 64 bits. */
    if (write(c->bell, &one, sizeof(one)) < 0)
        INVARIANT(errno == EAGAIN || errno == EINTR);
}

static void release(struct connection *c)
{
    unsigned refs;

    pthread_mutex_lock(&c->lock);
    refs = --c->refs;
    pthread_mutex_unlock(&c->lock);
    if (refs)
        return;
    for (; c->queue_n; c->queue_n--) {
        natsMsg_Destroy(c->queue[c->queue_at]);
        c->queue_at = (c->queue_at + 1) % c->queue_max;
    }
    pthread_cond_destroy(&c->opened);
    pthread_mutex_destroy(&c->lock);
    close(c->bell);
    mem_free(c->queue);
    mem_free(c);
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure)
{
    struct connection *c = closure;
    bool rings = true;

    (void)nc;
    (void)sub;
    pthread_mutex_lock(&c->lock);
    if (c->is_closed || c->queue_n == c->queue_max) {
        c->overflowed = !c->is_closed;
    } else {
        rings = c->queue_n == 0;
        c->queue[(c->queue_at + c->queue_n++) % c->queue_max] = m;
        m = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    natsMsg_Destroy(m);
    if (rings)
        ring(c);
}

static void on_complete(void *closure)
{
    release(closure);
}

/* The library asks for an event loop by these; it is connection_serve. */

static natsStatus loop_attach(void **data, void *loop, natsConnection *nc, natsSock fd)
{
    struct connection *c = loop;

    (void)nc;
    atomic_store(&c->fd, fd);
    *data = c;
    return NATS_OK;
}

static natsStatus loop_read(void *data, bool is_on)
{
    (void)data;
    (void)is_on;
    return NATS_OK;
}

static natsStatus loop_write(void *data, bool is_on)
{
    struct connection *c = data;

    if (!atomic_exchange(&c->wants_write, is_on) && is_on)
        ring(c);
    return NATS_OK;
}

static natsStatus loop_detach(void *data)
{
    (void)data;
    return NATS_OK;
}

/* ---- opening */

struct attempt {
    struct connection *c;
    struct opening opening;
    char address[]; /* it may outlive whose it is */
};

static bool is_abandoned(void *ctx)
{
    struct connection *c = ctx;
    bool is;

    pthread_mutex_lock(&c->lock);
    is = c->progress == ABANDONED;
    pthread_mutex_unlock(&c->lock);
    return is;
}

/* A thread of its own: the handshake of TLS and the name server know no time limit. The library must
 * not be closed while it is in there, so the last of it is to count itself out. */
static void *open_thread(void *arg)
{
    struct attempt *a = arg;
    struct connection *c = a->c;
    char why[BROKER_WHY_MAX];
    natsConnection *nc = opening_try(&a->opening, why);
    bool was_abandoned;

    natsOptions_Destroy(a->opening.options);
    mem_free(a);
    pthread_mutex_lock(&c->lock);
    was_abandoned = c->progress == ABANDONED;
    if (!was_abandoned) {
        c->progress = nc ? OPENED : FAILED;
        c->opened_nc = nc;
        connection_why(c->opening_why, "%s", why);
        pthread_cond_signal(&c->opened);
    }
    pthread_mutex_unlock(&c->lock);
    if (was_abandoned)
        natsConnection_Destroy(nc);
    nats_ReleaseThreadMemory();
    release(c);
    if (was_abandoned)
        atomic_fetch_sub(&hanging, 1);
    return NULL;
}

static void wait_for_thread(struct connection *c, pthread_t thread, int timeout_ms, char *why)
{
    struct timespec until;
    bool is_left;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&c->lock);
    while (c->progress == OPENING)
        if (pthread_cond_timedwait(&c->opened, &c->lock, &until) == ETIMEDOUT)
            break;
    if (c->progress == OPENED) {
        c->nc = c->opened_nc;
    } else if (c->progress == FAILED) {
        connection_why(why, "%s", c->opening_why);
    } else {
        connection_why(why, "no answer within %d ms", timeout_ms);
        c->progress = ABANDONED;
        atomic_fetch_add(&hanging, 1);
    }
    is_left = c->progress == ABANDONED;
    pthread_mutex_unlock(&c->lock);
    if (is_left)
        pthread_detach(thread);
    else
        pthread_join(thread, NULL);
}

static bool start_thread(struct connection *c, natsOptions *options, struct str address,
                         int timeout_ms, pthread_t *thread, char *why)
{
    struct attempt *a;
    int code;

    if (atomic_load(&hanging) >= HANGING_MAX) {
        connection_why(why, "%d earlier attempts still wait for the server", HANGING_MAX);
        return false;
    }
    a = mem_alloc(sizeof(*a) + address.n + 1);
    *a = (struct attempt){ .c = c };
    (void)snprintf(a->address, address.n + 1, STR_FMT, STR_ARG(address));
    a->opening = (struct opening){ .options = options,
                                   .address = { a->address, address.n },
                                   .timeout_ms = timeout_ms,
                                   .is_tls = c->is_tls,
                                   .is_given_up = is_abandoned,
                                   .ctx = c };
    c->refs++;
    code = pthread_create(thread, NULL, open_thread, a);
    if (code) {
        c->refs--;
        mem_free(a);
        connection_why(why, "no thread: %s", strerror(code));
        return false;
    }
    return true;
}

static struct connection *new_connection(unsigned queue_max)
{
    struct connection *c = mem_zalloc(sizeof(*c));
    pthread_condattr_t attributes;

    c->queue_max = queue_max;
    c->queue = mem_alloc(queue_max * sizeof(natsMsg *));
    c->refs = 1;
    c->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&c->fd, -1);
    atomic_init(&c->wants_write, false);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&c->opened, &attributes);
    pthread_condattr_destroy(&attributes);
    return c;
}

static natsStatus subscribe(struct connection *c)
{
    char subject[128];
    natsStatus s = natsInbox_Create(&c->inbox);

    if (s != NATS_OK)
        return s;
    snprintf(subject, sizeof(subject), "%s.>", c->inbox);
    s = natsConnection_Subscribe(&c->sub, c->nc, subject, on_message, c);
    if (s == NATS_OK) {
        pthread_mutex_lock(&c->lock);
        c->refs++;
        pthread_mutex_unlock(&c->lock);
        s = natsSubscription_SetOnCompleteCB(c->sub, on_complete, c);
        if (s != NATS_OK)
            release(c);
    }
    /* What the queue does not take is an overflow already; the library is to hold no more. */
    if (s == NATS_OK)
        s = natsSubscription_SetPendingLimits(c->sub, (int)c->queue_max, -1);
    return s;
}

struct connection *connection_open(const struct broker_config *config, unsigned queue_max,
                                   int timeout_ms, char *why)
{
    natsOptions *options = settings_options(config, timeout_ms, why);
    struct connection *c;
    const char *unused;
    pthread_t thread;
    natsStatus s;

    if (!options)
        return NULL;
    c = new_connection(queue_max);
    c->is_tls = settings_want_tls(config);
    s = c->bell < 0
            ? NATS_SYS_ERROR
            : natsOptions_SetEventLoop(options, c, loop_attach, loop_read, loop_write, loop_detach);
    if (s != NATS_OK)
        connection_why(why, "%s", natsStatus_GetText(s));
    if (s != NATS_OK || !start_thread(c, options, config->address, timeout_ms, &thread, why)) {
        natsOptions_Destroy(options);
        release(c);
        return NULL;
    }
    wait_for_thread(c, thread, timeout_ms, why);
    if (!c->nc) {
        release(c);
        return NULL;
    }
    c->served_ms = c->heard_ms = connection_now();
    c->status_at_start = natsConnection_GetLastError(c->nc, &unused);
    s = subscribe(c);
    if (s != NATS_OK) {
        connection_why(why, "%s", natsStatus_GetText(s));
        connection_close(c);
        return NULL;
    }
    return c;
}

/* ---- the life of it */

/* Without the name of the inbox, which is another each time: the same is said in the same words. */
static void write_status(const struct connection *c, natsStatus s, const char *text, char *why)
{
    const char *inbox = c->inbox ? strstr(text, c->inbox) : NULL;
    const char *what = s == NATS_NOT_PERMITTED ? "it does not permit: " : "";

    if (inbox)
        connection_why(why, "%s%.*s_INBOX%s", what, (int)(inbox - text), text,
                       inbox + strlen(c->inbox));
    else
        connection_why(why, "%s%s", what, text[0] ? text : natsStatus_GetText(s));
}

static bool is_well(struct connection *c, char *why)
{
    const char *text = "";
    natsStatus s = natsConnection_GetLastError(c->nc, &text);
    bool overflowed;

    pthread_mutex_lock(&c->lock);
    overflowed = c->overflowed;
    pthread_mutex_unlock(&c->lock);
    if (overflowed)
        connection_why(why, "the server sends more than it was asked for");
    else if (s != NATS_OK && s != c->status_at_start)
        write_status(c, s, text, why);
    else if (natsConnection_IsClosed(c->nc))
        connection_why(why, "the server has closed the connection");
    else
        return true;
    return false;
}

static bool has_room(struct connection *c)
{
    struct pollfd p = { atomic_load(&c->fd), POLLOUT, 0 };

    return poll(&p, 1, 0) > 0;
}

static void flush(struct connection *c)
{
    int before, after;

    if (!atomic_load(&c->wants_write) || (c->is_tls && !has_room(c)))
        return;
    /* As long as the kernel takes something. A message may be longer than it takes at once. */
    do {
        before = natsConnection_Buffered(c->nc);
        natsConnection_ProcessWriteEvent(c->nc);
        after = natsConnection_Buffered(c->nc);
    } while (after > 0 && after < before && !c->is_tls);
}

static enum broker_result take_status(struct connection *c, natsStatus s, char *why)
{
    if (s == NATS_OK)
        return BROKER_OK;
    if (s == NATS_MAX_PAYLOAD) {
        connection_why(why, "longer than the %" PRId64 " bytes that the server takes",
                       natsConnection_GetMaxPayload(c->nc));
        return BROKER_REFUSED;
    }
    if (is_well(c, why))
        connection_why(why, "%s", natsStatus_GetText(s));
    return BROKER_LOST;
}

enum broker_result connection_publish(struct connection *c, natsMsg *m, char *why)
{
    int buffered = natsConnection_Buffered(c->nc);
    int max = c->is_tls ? TLS_BUFFERED_MAX : CONNECTION_BUFFERED_MAX;

    if (buffered >= (c->is_tls ? TLS_BUFFERED_MAX : SETTINGS_IO_BYTES))
        flush(c);
    if (buffered >= max && natsConnection_Buffered(c->nc) >= max)
        return BROKER_BUSY;
    return take_status(c, natsConnection_PublishMsg(c->nc, m), why);
}

enum broker_result connection_send(struct connection *c, const char *subject, const char *reply,
                                   struct str data, char *why)
{
    natsStatus s = reply ? natsConnection_PublishRequest(c->nc, subject, reply, data.p, (int)data.n)
                         : natsConnection_Publish(c->nc, subject, data.p, (int)data.n);

    return take_status(c, s, why);
}

static void hush(struct connection *c)
{
    uint64_t n;

    if (read(c->bell, &n, sizeof(n)) < 0)
        INVARIANT(errno == EAGAIN || errno == EINTR);
}

static bool queue_is_empty(struct connection *c)
{
    bool is_empty;

    pthread_mutex_lock(&c->lock);
    is_empty = c->queue_n == 0;
    pthread_mutex_unlock(&c->lock);
    return is_empty;
}

static bool has_input(struct connection *c)
{
    struct pollfd p = { atomic_load(&c->fd), POLLIN, 0 };

    return poll(&p, 1, 0) > 0;
}

/* The socket can be read. */
static void read_input(struct connection *c)
{
    c->heard_ms = connection_now();
    for (int i = 0; i < READS_MAX; i++) {
        if (c->is_tls && !tls_records_has_one(&c->records, atomic_load(&c->fd)))
            return;
        natsConnection_ProcessReadEvent(c->nc);
        if (natsConnection_IsClosed(c->nc) || !has_input(c))
            return;
    }
}

enum broker_result connection_serve(struct connection *c, int wake_fd, int wait_ms, char *why)
{
    int64_t now = connection_now();
    struct pollfd p[3];

    /* Who did not look for a while (a process that was stopped) can't say that nothing came. */
    if (now - c->served_ms > CONNECTION_PING_MS)
        c->heard_ms = now;
    flush(c);
    if (!is_well(c, why))
        return BROKER_LOST;
    p[0] = (struct pollfd){ atomic_load(&c->fd), POLLIN, 0 };
    p[1] = (struct pollfd){ c->bell, POLLIN, 0 };
    p[2] = (struct pollfd){ wake_fd, POLLIN, 0 };
    if (atomic_load(&c->wants_write))
        p[0].events |= POLLOUT;
    if (!queue_is_empty(c))
        wait_ms = 0;
    else if (wait_ms > CONNECTION_PING_MS / 2)
        wait_ms = CONNECTION_PING_MS / 2;
    if (poll(p, 3, wait_ms) < 0 && errno != EINTR) {
        connection_why(why, "poll: %s", strerror(errno));
        return BROKER_LOST;
    }
    if (p[1].revents)
        hush(c);
    if (p[0].revents & POLLOUT || atomic_load(&c->wants_write))
        flush(c);
    if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
        read_input(c);
    c->served_ms = connection_now();
    if (!is_well(c, why))
        return BROKER_LOST;
    if (c->served_ms - c->heard_ms > CONNECTION_SILENCE_MS) {
        connection_why(why, "the server has been silent for %d s", CONNECTION_SILENCE_MS / 1000);
        return BROKER_LOST;
    }
    return BROKER_OK;
}

natsMsg *connection_take(struct connection *c)
{
    natsMsg *m = NULL;

    pthread_mutex_lock(&c->lock);
    if (c->queue_n) {
        m = c->queue[c->queue_at];
        c->queue_at = (c->queue_at + 1) % c->queue_max;
        c->queue_n--;
    }
    pthread_mutex_unlock(&c->lock);
    return m;
}

/* A connection that is closed with something unread is reset, and takes what is on its way to the
 * server with it. So the server is asked for an echo, which comes behind all that it was told. */
static bool say_goodbye(struct connection *c)
{
    int64_t until = connection_now() + CONNECTION_FAREWELL_MS, left;
    char subject[128], why[BROKER_WHY_MAX];
    bool is_back = false;
    natsMsg *m;

    snprintf(subject, sizeof(subject), "%s.bye", c->inbox);
    if (!is_well(c, why) || connection_send(c, subject, NULL, STR(""), why) != BROKER_OK)
        return false;
    while (!is_back && (left = until - connection_now()) > 0) {
        if (connection_serve(c, -1, (int)left, why) != BROKER_OK)
            return false;
        while ((m = connection_take(c))) {
            is_back |= strcmp(natsMsg_GetSubject(m), subject) == 0;
            natsMsg_Destroy(m);
        }
    }
    return is_back;
}

/* What the library has read of a message that does not come to its end, it never gives back
 * (natsParser_Destroy leaves msgBuf, in all its releases until now): a long message for each connection
 * that is lost in the middle of one, which nobody else can reach. */

/* The library waits once more for who does not answer, unless it finds the connection at its end. */
static void end_at_once(struct connection *c)
{
    if (natsConnection_IsClosed(c->nc))
        return;
    (void)shutdown(atomic_load(&c->fd), SHUT_RDWR);
    natsConnection_ProcessReadEvent(c->nc);
}

void connection_close(struct connection *c)
{
    if (c->sub && !say_goodbye(c))
        end_at_once(c);
    pthread_mutex_lock(&c->lock);
    c->is_closed = true;
    pthread_mutex_unlock(&c->lock);
    natsConnection_Close(c->nc);
    natsSubscription_Destroy(c->sub);
    natsConnection_Destroy(c->nc);
    natsInbox_Destroy(c->inbox);
    c->inbox = NULL;
    release(c);
}
