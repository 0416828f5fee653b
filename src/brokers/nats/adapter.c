/* The relay's adapter to NATS JetStream.
 *
 * Out: `order.placed` is published to `orders.order.placed`, which the stream ORDERS takes; the
 * message's id goes along as Nats-Msg-Id, so that what is published again within the stream's window
 * of duplicates is there once. In: see incoming.h.
 *
 * JetStream acknowledges before it syncs its files: what it acknowledged survives its own crash, and
 * not always that of its machine. */
#include "connection.h"
#include "incoming.h"
#include "jetstream.h"
#include "orderly/base/mem.h"
#include "outgoing.h"
#include "settings.h"
#include <stdio.h>

/* Messages told in one serve. */
#define WORK_MAX 256
/* What comes beside acks and messages: ends of requests, answers of the API. */
#define QUEUE_SPARE 64
/* Between two questions whether the stream is still there. */
#define DOUBT_MS 1000
/* For the library's threads at the end. */
#define LIBRARY_CLOSE_MS 2000

struct relay_nats {
    struct broker base; /* first */
    const struct broker_config *config;
    struct connection *connection; /* NULL: none */
    char stream[SETTINGS_NAME_MAX + 1];
    struct outgoing outgoing;
    struct incoming incoming;
    int64_t doubted_ms;
};

static struct relay_nats *of(struct broker *b)
{
    return (struct relay_nats *)(void *)b;
}

static void relay_nats_disconnect(struct broker *b)
{
    struct relay_nats *r = of(b);

    connection_close(r->connection);
    r->connection = NULL;
}

static void relay_nats_destroy(struct broker *b)
{
    struct relay_nats *r = of(b);

    REQUIRE(!r->connection);
    outgoing_deinit(&r->outgoing);
    incoming_deinit(&r->incoming);
    mem_free(r);
    nats_ReleaseThreadMemory();
    /* An attempt that hangs holds the library; the process ends without them then. */
    if (connection_hanging() == 0)
        nats_CloseAndWait(LIBRARY_CLOSE_MS);
}

static enum broker_result relay_nats_connect(struct broker *b, int timeout_ms)
{
    struct relay_nats *r = of(b);
    int64_t until = connection_now() + timeout_ms;
    unsigned queue_max = r->config->window + r->config->unacked_max + QUEUE_SPARE;

    r->connection = connection_open(r->config, queue_max, timeout_ms, b->why);
    if (!r->connection)
        return BROKER_LOST;
    outgoing_reset(&r->outgoing);
    incoming_reset(&r->incoming);
    r->doubted_ms = 0;
    if (jetstream_need_stream(r->connection, r->config, r->stream, until, b->why) == BROKER_OK &&
        incoming_begin(&r->incoming, r->connection, r->stream, until, b->why) == BROKER_OK)
        return BROKER_OK;
    relay_nats_disconnect(b);
    return BROKER_LOST;
}

static enum broker_result relay_nats_publish(struct broker *b, const struct broker_message *m)
{
    struct relay_nats *r = of(b);

    return outgoing_publish(&r->outgoing, r->connection, m, b->why);
}

static enum broker_result relay_nats_ack(struct broker *b, uint64_t handle)
{
    struct relay_nats *r = of(b);

    return incoming_ack(&r->incoming, r->connection, handle, b->why);
}

/* A message met no stream. Where the stream itself is gone a new connection makes it again; where it
 * has other subjects that is for the operator, and each message says so. */
static enum broker_result ask_for_stream(struct relay_nats *r)
{
    char reply[JETSTREAM_SUBJECT_MAX];
    int64_t now = connection_now();

    if (!r->outgoing.doubts_stream || now - r->doubted_ms < DOUBT_MS)
        return BROKER_OK;
    r->outgoing.doubts_stream = false;
    r->doubted_ms = now;
    snprintf(reply, sizeof(reply), "%s.D.0", connection_inbox(r->connection));
    return jetstream_ask_stream(r->connection, r->stream, reply, r->base.why);
}

static enum broker_result take_stream_answer(struct relay_nats *r, natsMsg *m)
{
    struct jetstream_answer a;
    enum broker_result result = BROKER_OK;

    jetstream_answer_read(&a, m);
    if (a.err_code == JETSTREAM_NO_STREAM || (a.code == 503 && !a.doc)) {
        connection_why(r->base.why, "stream %s is gone", r->stream);
        result = BROKER_LOST;
    }
    jetstream_answer_free(&a);
    return result;
}

/* *kept: NULL afterwards where somebody keeps it. */
static enum broker_result take_message(struct relay_nats *r, natsMsg **kept)
{
    natsMsg *m = *kept;
    const char *subject = natsMsg_GetSubject(m), *reply = natsMsg_GetReply(m), *what;
    const char *inbox = connection_inbox(r->connection);
    size_t n = strlen(inbox);

    if (reply && strncmp(reply, "$JS.ACK.", 8) == 0)
        return incoming_take(&r->incoming, kept, r->base.why);
    if (strncmp(subject, inbox, n) != 0 || subject[n] != '.' || !subject[n + 1] ||
        subject[n + 2] != '.')
        return BROKER_OK;
    what = subject + n + 3;
    switch (subject[n + 1]) {
    case 'P':
        outgoing_take_reply(&r->outgoing, what, m);
        return BROKER_OK;
    case 'N':
        return incoming_take_status(&r->incoming, what, m, r->base.why);
    case 'K':
        return incoming_take_answer(&r->incoming, what, m, r->base.why);
    case 'D':
        return take_stream_answer(r, m);
    default:
        return BROKER_OK; /* the late answer to a question of the connection's beginning */
    }
}

static enum broker_result take_messages(struct relay_nats *r, unsigned *taken)
{
    enum broker_result result = BROKER_OK;
    natsMsg *m;

    for (*taken = 0; *taken < WORK_MAX && result == BROKER_OK; ++*taken) {
        m = connection_take(r->connection);
        if (!m)
            break;
        result = take_message(r, &m);
        natsMsg_Destroy(m);
    }
    return result;
}

static enum broker_result relay_nats_serve(struct broker *b, int wake_fd, int wait_ms)
{
    struct relay_nats *r = of(b);
    enum broker_result result;
    unsigned taken;

    result = take_messages(r, &taken);
    if (result == BROKER_OK)
        result = ask_for_stream(r);
    if (result == BROKER_OK)
        result = incoming_ask(&r->incoming, r->connection, r->stream, &wait_ms, b->why);
    if (result != BROKER_OK)
        return result;
    if (taken)
        wait_ms = 0;
    result = connection_serve(r->connection, wake_fd, wait_ms, b->why);
    if (result == BROKER_OK && taken)
        return BROKER_OK;
    {
        /* Acks that came before the end are as good as any. */
        enum broker_result also = take_messages(r, &taken);

        return result == BROKER_OK ? also : result;
    }
}

static void relay_nats_stop_receiving(struct broker *b)
{
    of(b)->incoming.is_stopped = true;
}

static const struct broker_ops ops = {
    .destroy = relay_nats_destroy,
    .connect = relay_nats_connect,
    .publish = relay_nats_publish,
    .ack = relay_nats_ack,
    .serve = relay_nats_serve,
    .stop_receiving = relay_nats_stop_receiving,
    .disconnect = relay_nats_disconnect,
};

static struct broker *relay_nats_create(const struct broker_config *config,
                                        struct broker_host *host, char *why)
{
    struct relay_nats *r;

    if (!settings_are_valid(config, why))
        return NULL;
    r = mem_zalloc(sizeof(*r));
    r->base.ops = &ops;
    r->config = config;
    for (size_t i = 0; i < config->channel.n; i++) {
        char c = config->channel.p[i];

        r->stream[i] = (char)(c >= 'a' && c <= 'z' ? c & ~0x20 : c);
    }
    outgoing_init(&r->outgoing, config, host);
    incoming_init(&r->incoming, config, host);
    return &r->base;
}

__attribute__((visibility("default"))) const struct broker_module broker_module = {
    .abi = BROKER_ABI,
    .name = "nats",
    .schemes = "nats tls",
    .library = "nats.c " NATS_VERSION_STRING,
    .attribute_prefix = "ce-",
    .create = relay_nats_create,
};
