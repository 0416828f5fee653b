#include "lookup.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "reason.h"
#include "stream.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>

static const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };

/* Shared by who asks and by the thread; freed by whoever is done with it last. */
struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool is_answered, is_left;
    int code, number; /* number: errno, of EAI_SYSTEM */
    struct addrinfo *list;
    int64_t answered_ms;
    struct address_host host;
};

static struct lookup *create(const struct address_host *host)
{
    struct lookup *l = mem_zalloc(sizeof(*l));
    pthread_condattr_t clock;

    ENSURE(pthread_mutex_init(&l->lock, NULL) == 0);
    ENSURE(pthread_condattr_init(&clock) == 0);
    ENSURE(pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0);
    ENSURE(pthread_cond_init(&l->answered, &clock) == 0);
    (void)pthread_condattr_destroy(&clock);
    l->host = *host;
    return l;
}

static void destroy(struct lookup *l)
{
    if (l->list)
        freeaddrinfo(l->list);
    (void)pthread_cond_destroy(&l->answered);
    (void)pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

static void *run(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo *list = NULL;
    int code = getaddrinfo(l->host.name, l->host.port, &hints, &list), number = errno;
    bool is_left;

    ENSURE(pthread_mutex_lock(&l->lock) == 0);
    l->code = code;
    l->number = number;
    l->list = code == 0 ? list : NULL;
    l->answered_ms = stream_now_ms();
    l->is_answered = true;
    is_left = l->is_left;
    ENSURE(pthread_cond_signal(&l->answered) == 0);
    ENSURE(pthread_mutex_unlock(&l->lock) == 0);
    if (is_left)
        destroy(l);
    return NULL;
}

static struct lookup *begin(const struct address_host *host)
{
    struct lookup *l = create(host);
    pthread_attr_t detached;
    pthread_t thread;
    int code;

    ENSURE(pthread_attr_init(&detached) == 0);
    ENSURE(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED) == 0);
    code = pthread_create(&thread, &detached, run, l);
    (void)pthread_attr_destroy(&detached);
    if (code == 0)
        return l;
    destroy(l);
    return NULL;
}

void lookup_leave(struct address_host *host)
{
    struct lookup *l = host->late;
    bool is_answered;

    host->late = NULL;
    if (!l)
        return;
    ENSURE(pthread_mutex_lock(&l->lock) == 0);
    is_answered = l->is_answered;
    l->is_left = true;
    ENSURE(pthread_mutex_unlock(&l->lock) == 0);
    if (is_answered)
        destroy(l);
}

static bool await(struct lookup *l, int64_t deadline_ms)
{
    struct timespec until = { .tv_sec = (time_t)(deadline_ms / 1000),
                              .tv_nsec = (long)(deadline_ms % 1000) * 1000000 };
    bool is_answered;

    ENSURE(pthread_mutex_lock(&l->lock) == 0);
    while (!l->is_answered && stream_now_ms() < deadline_ms)
        (void)pthread_cond_timedwait(&l->answered, &l->lock, &until);
    is_answered = l->is_answered;
    ENSURE(pthread_mutex_unlock(&l->lock) == 0);
    return is_answered;
}

/* What is an address already is never asked of anybody. */
static struct addrinfo *take_literally(const struct address_host *host)
{
    struct addrinfo literal = hints, *list;

    literal.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    return getaddrinfo(host->name, host->port, &literal, &list) == 0 ? list : NULL;
}

struct addrinfo *lookup_addresses(struct address_host *host, int64_t deadline_ms, char *why)
{
    struct addrinfo *list = take_literally(host);
    struct lookup *l = host->late;
    char text[128];

    if (list)
        return list;
    if (l && await(l, 0) && stream_now_ms() - l->answered_ms > LOOKUP_KEPT_MS)
        lookup_leave(host);
    if (!host->late)
        host->late = begin(host);
    l = host->late;
    if (!l) {
        reason_write(why, "the system has no thread left to look up '%s'", host->name);
        return NULL;
    }
    if (!await(l, deadline_ms)) {
        reason_write(why, "no name server has said in time which address '%s' has", host->name);
        return NULL;
    }
    list = l->list;
    l->list = NULL;
    if (!list)
        reason_write(why, "'%s' has no address: %s", host->name,
                     l->code == EAI_SYSTEM ? strerror_r(l->number, text, sizeof(text))
                                           : gai_strerror(l->code));
    lookup_leave(host);
    return list;
}
