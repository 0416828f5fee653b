#include "ending.h"
#include "orderly/base/mem.h"
#include "producer.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

struct ending {
    rd_kafka_t *rk;
    int flags;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over, is_left; /* the last of both sides frees it */
};

static atomic_uint left_alone;

unsigned ending_count(void)
{
    return atomic_load(&left_alone);
}

static void ending_free(struct ending *e)
{
    pthread_cond_destroy(&e->over);
    pthread_mutex_destroy(&e->lock);
    mem_free(e);
}

static void *end_thread(void *arg)
{
    struct ending *e = arg;
    bool is_left;

    rd_kafka_destroy_flags(e->rk, e->flags);
    pthread_mutex_lock(&e->lock);
    e->is_over = true;
    is_left = e->is_left;
    pthread_cond_signal(&e->over);
    pthread_mutex_unlock(&e->lock);
    if (is_left) {
        ending_free(e);
        atomic_fetch_sub(&left_alone, 1);
    }
    return NULL;
}

static struct ending *ending_new(rd_kafka_t *rk, int flags)
{
    struct ending *e = mem_zalloc(sizeof(*e));
    pthread_condattr_t attributes;

    e->rk = rk;
    e->flags = flags;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&e->over, &attributes);
    pthread_condattr_destroy(&attributes);
    return e;
}

/* False: it is left to itself, and frees what is here when it is over. */
static bool wait_until_over(struct ending *e, int64_t deadline_ms)
{
    struct timespec until = { deadline_ms / 1000, (long)(deadline_ms % 1000) * 1000000 };
    bool is_over;

    pthread_mutex_lock(&e->lock);
    while (!e->is_over)
        if (pthread_cond_timedwait(&e->over, &e->lock, &until) == ETIMEDOUT)
            break;
    is_over = e->is_over;
    if (!is_over) {
        e->is_left = true;
        atomic_fetch_add(&left_alone, 1);
    }
    pthread_mutex_unlock(&e->lock);
    return is_over;
}

static void hush(rd_kafka_queue_t *queue)
{
    if (!queue)
        return;
    rd_kafka_queue_io_event_enable(queue, -1, NULL, 0);
    rd_kafka_queue_destroy(queue);
}

void ending_hush(rd_kafka_t *rk)
{
    hush(rd_kafka_queue_get_main(rk));
    hush(rd_kafka_queue_get_consumer(rk));
}

void ending_begin(rd_kafka_t *rk, int flags, int64_t deadline_ms)
{
    struct ending *e = ending_new(rk, flags);
    pthread_t thread;

    ending_hush(rk);
    if (pthread_create(&thread, NULL, end_thread, e)) {
        ending_free(e);
        rd_kafka_destroy_flags(rk, flags); /* no thread left: then it takes what it takes */
    } else if (wait_until_over(e, deadline_ms)) {
        pthread_join(thread, NULL);
        ending_free(e);
    } else {
        pthread_detach(thread);
    }
}
