#include "incoming.h"
#include "jetstream.h"
#include "orderly/base/mem.h"
#include "orderly/infra/render/percent.h"
#include <stdio.h>

#define ACK STR("+ACK")
#define IN_PROGRESS STR("+WPI")
/* How often it is looked for what takes long. */
#define LOOK_MS 500
/* The same, of the end of a phase. */
#define PHASE_LOOK_MS 100
#define NS_PER_MS INT64_C(1000000)
#define TOKENS_MAX 13
#define PREFIX_DEFAULT STR("ce-")

/* ---- what is kept */

static void forget(struct incoming *in)
{
    in->n_free = 0;
    for (unsigned i = in->config->unacked_max; i-- > 0;) {
        mem_free(in->slots[i].reply);
        natsMsg_Destroy(in->slots[i].untold);
        in->slots[i].reply = NULL;
        in->slots[i].untold = NULL;
        in->slots[i].round++;
        in->free_slots[in->n_free++] = i;
    }
}

void incoming_init(struct incoming *in, const struct broker_config *config,
                   struct broker_host *host)
{
    *in = (struct incoming){ .config = config, .host = host };
    in->slots = mem_zalloc(config->unacked_max * sizeof(*in->slots));
    in->free_slots = mem_alloc(config->unacked_max * sizeof(*in->free_slots));
    arena_init(&in->arena, NULL, 4096);
    forget(in);
}

void incoming_deinit(struct incoming *in)
{
    forget(in);
    mem_free(in->slots);
    mem_free(in->free_slots);
    arena_deinit(&in->arena);
}

void incoming_reset(struct incoming *in)
{
    forget(in);
    in->is_stopped = false;
    in->looked_ms = 0;
}

/* `payment.*` of group g and channel orders: consumer g_payment, subject orders.payment.> */
static void name_consumer(struct incoming *in, struct incoming_consumer *k, struct str pattern)
{
    bool is_open = pattern.n && pattern.p[pattern.n - 1] == '*';
    struct str stem = { pattern.p, pattern.n - (is_open ? 1 : 0) };
    size_t group = in->config->group.n;

    snprintf(k->filter, sizeof(k->filter), STR_FMT "." STR_FMT "%s", STR_ARG(in->config->channel),
             STR_ARG(stem), is_open ? ">" : "");
    if (stem.n && stem.p[stem.n - 1] == '.')
        stem.n--;
    snprintf(k->name, sizeof(k->name), STR_FMT "_" STR_FMT, STR_ARG(in->config->group),
             STR_ARG(stem));
    if (stem.n == 0)
        k->name[group] = '\0';
    for (char *p = k->name; *p; p++)
        if (*p == '.' || *p == '*' || *p == '>' || *p == ' ')
            *p = '_';
}

/* OTHERS: whether it is over. */
static void hear_counts(struct incoming_consumer *k, const struct jetstream_consumer *counts)
{
    int64_t now = connection_now();

    k->n_pending = counts->n_pending;
    /* Who still asks when all requests of an earlier connection are over is somebody else. */
    if (counts->n_waiting && now < k->phase_ends_ms) {
        k->look_at_ms = now + INCOMING_OTHERS_MS;
        return;
    }
    k->phase = k->n_pending ? INCOMING_PENDING : INCOMING_GOING;
    k->phase_ends_ms = now + k->ack_wait_ms + INCOMING_SLACK_MS;
}

enum broker_result incoming_begin(struct incoming *in, struct connection *c, const char *stream,
                                  int64_t until_ms, char *why)
{
    unsigned n = in->config->n_listens, share = n ? in->config->unacked_max / n : 0;

    for (unsigned i = 0; i < n; i++) {
        struct incoming_consumer *k = &in->consumers[i];
        struct jetstream_consumer wanted = { .name = k->name,
                                             .filter = k->filter,
                                             .max_pending = in->config->unacked_max };

        *k = (struct incoming_consumer){ .share = share ? share : 1 };
        name_consumer(in, k, in->config->listens[i]);
        if (jetstream_need_consumer(c, in->config, stream, &wanted, until_ms, why) != BROKER_OK)
            return BROKER_LOST;
        k->ack_wait_ms = wanted.ack_wait_ms;
        k->expires_max_ms = wanted.expires_max_ms;
        k->batch_max = wanted.batch_max && wanted.batch_max < in->config->unacked_max
                           ? (unsigned)wanted.batch_max
                           : in->config->unacked_max;
        k->phase_ends_ms = connection_now() + INCOMING_REQUEST_MS + INCOMING_SLACK_MS;
        hear_counts(k, &wanted);
    }
    return BROKER_OK;
}

/* ---- asking */

static unsigned asked(const struct incoming_consumer *k)
{
    unsigned n = 0;

    for (unsigned i = 0; i < k->n_requests; i++)
        n += k->requests[i].left;
    return n;
}

/* Of all consumers; what may come still fits. */
static unsigned room(const struct incoming *in)
{
    unsigned expected = 0;

    for (unsigned i = 0; i < in->config->n_listens; i++)
        expected += asked(&in->consumers[i]);
    return in->n_free > expected ? in->n_free - expected : 0;
}

static void drop_request(struct incoming_consumer *k, unsigned at)
{
    for (unsigned i = at; i + 1 < k->n_requests; i++)
        k->requests[i] = k->requests[i + 1];
    k->n_requests--;
}

/* Where not all consumers can be asked at a time each soon lets the next. */
static int64_t request_ms(const struct incoming *in, const struct incoming_consumer *k)
{
    int64_t ms = in->config->unacked_max < in->config->n_listens ? INCOMING_TURN_MS
                 : k->phase == INCOMING_AGAIN                    ? INCOMING_AGAIN_MS
                                                                 : INCOMING_REQUEST_MS;

    return k->expires_max_ms && k->expires_max_ms < ms ? k->expires_max_ms : ms;
}

static enum broker_result request(struct incoming *in, struct connection *c, const char *stream,
                                  unsigned at, unsigned batch, char *why)
{
    struct incoming_consumer *k = &in->consumers[at];
    char subject[JETSTREAM_SUBJECT_MAX + INCOMING_NAME_MAX], reply[JETSTREAM_SUBJECT_MAX];
    unsigned left = room(in);
    char body[96];

    if (batch > left)
        batch = left;
    if (batch > k->batch_max)
        batch = k->batch_max;
    if (batch == 0)
        return BROKER_OK;
    k->requests[k->n_requests++] =
        (struct incoming_request){ ++in->requests, batch, connection_now() };
    snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream, k->name);
    snprintf(reply, sizeof(reply), "%s.N.%u.%" PRIu32, connection_inbox(c), at, in->requests);
    snprintf(body, sizeof(body), "{\"batch\":%u,\"expires\":%" PRId64 "}", batch,
             request_ms(in, k) * NS_PER_MS);
    return connection_send(c, subject, reply, str_of(body), why);
}

/* Its share of the messages that there is room for, those it was asked for already among them. None is
 * known to be shorter than it may be. */
static unsigned fitting(const struct incoming *in)
{
    uint64_t n = in->host->room(in->host);

    if (n == 0)
        return 0;
    n /= (in->config->body_max ? in->config->body_max : 1) * in->config->n_listens;
    return n == 0 ? 1 : n < in->config->unacked_max ? (unsigned)n : in->config->unacked_max;
}

/* Half of its share at a time: there is a request at the server while the other is being filled. */
static enum broker_result ask_for_new(struct incoming *in, struct connection *c, const char *stream,
                                      unsigned at, char *why)
{
    struct incoming_consumer *k = &in->consumers[at];
    unsigned left = asked(k), batch = (k->share + 1) / 2, fits = fitting(in);

    if (batch > (fits + 1) / 2)
        batch = (fits + 1) / 2;
    if (left + k->unacked + batch > k->share || left + batch > fits ||
        k->n_requests == INCOMING_REQUESTS_MAX)
        return BROKER_OK;
    return request(in, c, stream, at, batch, why);
}

static void tell_untold(struct incoming *in, unsigned at);

static enum broker_result ask_again(struct incoming *in, struct connection *c, const char *stream,
                                    unsigned at, int64_t now, char *why)
{
    struct incoming_consumer *k = &in->consumers[at];

    if (k->again < k->n_again && k->n_requests)
        return BROKER_OK;
    if (k->again < k->n_again && now < k->phase_ends_ms)
        return request(in, c, stream, at, k->n_again - k->again, why);
    k->phase = INCOMING_GOING;
    tell_untold(in, at);
    return BROKER_OK;
}

static enum broker_result ask_one(struct incoming *in, struct connection *c, const char *stream,
                                  unsigned at, int64_t now, char *why)
{
    struct incoming_consumer *k = &in->consumers[at];
    char reply[JETSTREAM_SUBJECT_MAX];

    switch (k->phase) {
    case INCOMING_OTHERS:
        if (now < k->look_at_ms)
            return BROKER_OK;
        k->look_at_ms = now + INCOMING_REQUEST_MS; /* the answer brings it forward */
        snprintf(reply, sizeof(reply), "%s.K.%u", connection_inbox(c), at);
        return jetstream_ask_consumer(c, stream, k->name, reply, why);
    case INCOMING_PENDING:
        if (now < k->phase_ends_ms)
            return BROKER_OK;
        k->phase = INCOMING_AGAIN;
        k->phase_ends_ms = now + k->ack_wait_ms + INCOMING_MISSING_MS;
        k->n_again = k->n_pending < k->share ? (unsigned)k->n_pending : k->share;
        return ask_again(in, c, stream, at, now, why);
    case INCOMING_AGAIN:
        return ask_again(in, c, stream, at, now, why);
    case INCOMING_GOING:
        return ask_for_new(in, c, stream, at, why);
    }
    return BROKER_OK;
}

/* Neither filled nor ended: the server has forgotten it, or has no such consumer any more, which it
 * says of no request. */
static enum broker_result drop_old_requests(struct incoming *in, struct connection *c,
                                            const char *stream, unsigned at, int64_t now, char *why)
{
    struct incoming_consumer *k = &in->consumers[at];
    char reply[JETSTREAM_SUBJECT_MAX];

    if (k->n_requests == 0 ||
        now - k->requests[0].asked_ms < INCOMING_REQUEST_MS + INCOMING_LATE_MS)
        return BROKER_OK;
    while (k->n_requests)
        drop_request(k, 0);
    snprintf(reply, sizeof(reply), "%s.K.%u", connection_inbox(c), at);
    return jetstream_ask_consumer(c, stream, k->name, reply, why);
}

enum broker_result incoming_take_answer(struct incoming *in, const char *what, natsMsg *m,
                                        char *why)
{
    struct jetstream_answer a;
    struct jetstream_consumer counts;
    uint64_t at;
    bool is_gone;

    if (!str_to_u64(str_of(what), &at) || at >= in->config->n_listens)
        return BROKER_OK;
    jetstream_answer_read(&a, m);
    is_gone = a.err_code == JETSTREAM_NO_CONSUMER || a.err_code == JETSTREAM_NO_STREAM;
    if (a.code == 0 && in->consumers[at].phase == INCOMING_OTHERS) {
        jetstream_read_counts(&a, &counts);
        hear_counts(&in->consumers[at], &counts);
    }
    jetstream_answer_free(&a);
    if (!is_gone)
        return BROKER_OK;
    connection_why(why, "consumer %s is gone", in->consumers[at].name);
    return BROKER_LOST;
}

static enum broker_result say_progress(struct incoming *in, struct connection *c, int64_t now,
                                       char *why)
{
    for (unsigned i = 0; i < in->config->unacked_max; i++) {
        struct incoming_slot *s = &in->slots[i];

        if (!s->reply || now - s->said_ms < in->consumers[s->consumer].ack_wait_ms / 3)
            continue;
        s->said_ms = now;
        if (connection_send(c, s->reply, NULL, IN_PROGRESS, why) != BROKER_OK)
            return BROKER_LOST;
    }
    return BROKER_OK;
}

enum broker_result incoming_ask(struct incoming *in, struct connection *c, const char *stream,
                                int *wait_ms, char *why)
{
    int64_t now = connection_now();
    unsigned n = in->config->n_listens;

    if (n == 0)
        return BROKER_OK;
    for (unsigned i = 0; i < n && !in->is_stopped; i++) {
        unsigned at = (in->next + i) % n;
        struct incoming_consumer *k = &in->consumers[at];

        if (drop_old_requests(in, c, stream, at, now, why) != BROKER_OK ||
            (now >= k->ask_at_ms && ask_one(in, c, stream, at, now, why) != BROKER_OK))
            return BROKER_LOST;
        if (k->phase != INCOMING_GOING && *wait_ms > PHASE_LOOK_MS)
            *wait_ms = PHASE_LOOK_MS;
    }
    in->next = (in->next + 1) % n;
    if (*wait_ms > LOOK_MS)
        *wait_ms = LOOK_MS;
    if (now - in->looked_ms < LOOK_MS)
        return BROKER_OK;
    in->looked_ms = now;
    return say_progress(in, c, now, why);
}

/* ---- what came */

struct metadata {
    struct str consumer;
    uint64_t deliveries, sequence;
};

/* $JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.… or, with two words more and maybe others at the end,
 * $JS.ACK.DOMAIN.ACCOUNT.STREAM.… */
static bool read_metadata(const char *reply, struct metadata *out)
{
    struct str tokens[TOKENS_MAX];
    unsigned n = 0, at;

    while (n < TOKENS_MAX) {
        const char *dot = strchr(reply, '.');

        tokens[n++] = dot ? (struct str){ reply, (size_t)(dot - reply) } : str_of(reply);
        if (!dot)
            break;
        reply = dot + 1;
    }
    if (n != 9 && n < 11)
        return false;
    at = n == 9 ? 3 : 5;
    out->consumer = tokens[at];
    return str_to_u64(tokens[at + 1], &out->deliveries) &&
           str_to_u64(tokens[at + 2], &out->sequence);
}

static struct incoming_consumer *consumer_of(struct incoming *in, struct str name)
{
    for (unsigned i = 0; i < in->config->n_listens; i++)
        if (str_eq(name, str_of(in->consumers[i].name)))
            return &in->consumers[i];
    return NULL;
}

static struct incoming_slot *find_unacked(struct incoming *in, uint8_t consumer, uint64_t sequence)
{
    for (unsigned i = 0; i < in->config->unacked_max; i++) {
        struct incoming_slot *s = &in->slots[i];

        if (s->reply && s->consumer == consumer && s->sequence == sequence)
            return s;
    }
    return NULL;
}

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(mem_alloc(size), text, size);
}

static struct str decoded(struct incoming *in, struct str value)
{
    struct str text;

    /* What is no escape is handed on as it is: whoever reads the message says what is wrong. */
    return percent_decode(&in->arena, value, &text) == ERR_OK ? text : value;
}

/* Names of attributes are lower case; those of header fields may be anything. */
static struct str lower(struct incoming *in, struct str name)
{
    char *p = arena_alloc(&in->arena, name.n + 1);

    for (size_t i = 0; i < name.n; i++)
        p[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
    return (struct str){ p, name.n };
}

static bool starts_with_nocase(struct str s, struct str prefix)
{
    return s.n > prefix.n && str_eq_nocase((struct str){ s.p, prefix.n }, prefix);
}

static void read_headers(struct incoming *in, natsMsg *m, struct broker_delivery *d,
                         struct broker_attribute *attributes)
{
    struct str prefix =
        in->config->attribute_prefix.n ? in->config->attribute_prefix : PREFIX_DEFAULT;
    const char **keys = NULL;
    int n = 0;

    if (natsMsgHeader_Keys(m, &keys, &n) != NATS_OK)
        return;
    for (int i = 0; i < n; i++) {
        const char *text = NULL;
        struct str name = str_of(keys[i]), value;

        if (natsMsgHeader_Get(m, keys[i], &text) != NATS_OK || !text)
            continue;
        value = str_trim(str_of(text));
        if (str_eq_nocase(name, STR("nats-msg-id"))) {
            d->id = decoded(in, value);
        } else if (str_eq_nocase(name, STR("content-type"))) {
            d->content_type = value;
        } else if (str_eq_nocase(name, STR(BROKER_ORIGIN_HEADER))) {
            d->origin = decoded(in, value);
        } else if (starts_with_nocase(name, prefix) && d->n_attributes == BROKER_ATTRIBUTES_MAX) {
            d->is_too_large = true;
        } else if (starts_with_nocase(name, prefix)) {
            struct str rest = { name.p + prefix.n, name.n - prefix.n };

            attributes[d->n_attributes++] =
                (struct broker_attribute){ lower(in, rest), decoded(in, value) };
        }
    }
    free(keys);
}

static void tell(struct incoming *in, natsMsg *m, uint64_t handle)
{
    struct broker_attribute attributes[BROKER_ATTRIBUTES_MAX];
    struct broker_delivery d = { .handle = handle, .attributes = attributes };
    struct str subject = str_of(natsMsg_GetSubject(m)), channel = in->config->channel;

    if (str_starts_with(subject, channel) && subject.n > channel.n + 1 &&
        subject.p[channel.n] == '.')
        d.topic = (struct str){ subject.p + channel.n + 1, subject.n - channel.n - 1 };
    read_headers(in, m, &d, attributes);
    d.body = (struct str){ natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m) };
    if (d.body.n > in->config->body_max) {
        d.body.n = in->config->body_max;
        d.is_too_large = true;
    }
    in->host->received(in->host, &d);
    arena_reset(&in->arena);
}

/* In the stream's order. */
static void tell_untold(struct incoming *in, unsigned at)
{
    for (;;) {
        struct incoming_slot *first = NULL;
        natsMsg *m;

        for (unsigned i = 0; i < in->config->unacked_max; i++) {
            struct incoming_slot *s = &in->slots[i];

            if (s->untold && s->consumer == at && (!first || s->sequence < first->sequence))
                first = s;
        }
        if (!first)
            return;
        m = first->untold;
        first->untold = NULL;
        tell(in, m, (uint64_t)first->round << 16 | (uint64_t)(first - in->slots));
        natsMsg_Destroy(m);
    }
}

static void count_down(struct incoming_consumer *k)
{
    if (k->n_requests == 0)
        return;
    if (--k->requests[0].left == 0)
        drop_request(k, 0);
}

enum broker_result incoming_take(struct incoming *in, natsMsg **m, char *why)
{
    const char *reply = natsMsg_GetReply(*m);
    struct metadata about;
    struct incoming_consumer *k = NULL;
    struct incoming_slot *s = NULL;
    unsigned at;

    if (read_metadata(reply, &about))
        k = consumer_of(in, about.consumer);
    if (!k)
        return BROKER_OK; /* nothing that was asked for */
    count_down(k);
    if (about.deliveries > 1)
        s = find_unacked(in, (uint8_t)(k - in->consumers), about.sequence);
    if (s) {
        /* The relay has it still; from now on this is how it is acked. */
        mem_free(s->reply);
        s->reply = copy_text(reply);
        s->said_ms = connection_now();
        return BROKER_OK;
    }
    if (in->is_stopped)
        return BROKER_OK; /* it comes again when its time is over */
    if (in->n_free == 0) {
        connection_why(why, "the server fills requests of consumer %s that it had forgotten",
                       k->name);
        return BROKER_LOST;
    }
    at = in->free_slots[--in->n_free];
    s = &in->slots[at];
    s->sequence = about.sequence;
    s->consumer = (uint8_t)(k - in->consumers);
    s->said_ms = connection_now();
    s->reply = copy_text(reply);
    k->unacked++;
    if (k->phase == INCOMING_AGAIN) {
        k->again++;
        s->untold = *m;
        *m = NULL;
    } else {
        tell(in, *m, (uint64_t)s->round << 16 | at);
    }
    return BROKER_OK;
}

enum broker_result incoming_take_status(struct incoming *in, const char *what, natsMsg *m,
                                        char *why)
{
    const char *dot = strchr(what, '.'), *status = "", *text = "";
    uint64_t at, number;
    struct incoming_consumer *k;

    if (!dot || !str_to_u64((struct str){ what, (size_t)(dot - what) }, &at) ||
        !str_to_u64(str_of(dot + 1), &number) || at >= in->config->n_listens)
        return BROKER_OK;
    k = &in->consumers[at];
    if (natsMsgHeader_Get(m, "Status", &status) != NATS_OK || strcmp(status, "100") == 0)
        return BROKER_OK;
    if (natsMsgHeader_Get(m, "Description", &text) != NATS_OK)
        text = "";
    for (unsigned i = 0; i < k->n_requests; i++)
        if (k->requests[i].number == number) {
            drop_request(k, i);
            break;
        }
    if (strcmp(status, "503") == 0 || str_eq_nocase(str_of(text), STR("Consumer Deleted"))) {
        connection_why(why, "consumer %s is gone", k->name);
        return BROKER_LOST;
    }
    /* What the consumer's limits forbid it will forbid again. */
    if (strcmp(status, "400") == 0 || strncmp(text, "Exceeded ", 9) == 0) {
        connection_why(why, "consumer %s: %s", k->name, text);
        return BROKER_LOST;
    }
    /* Over its time is every request of a quiet stream. After anything else it waits a little. */
    if (strcmp(status, "408") != 0)
        k->ask_at_ms = connection_now() + INCOMING_PAUSE_MS;
    return BROKER_OK;
}

enum broker_result incoming_ack(struct incoming *in, struct connection *c, uint64_t handle,
                                char *why)
{
    unsigned at = handle & 0xffff;
    struct incoming_slot *s = &in->slots[at];
    enum broker_result r;

    if (at >= in->config->unacked_max || !s->reply || s->untold || s->round != handle >> 16)
        return BROKER_OK;
    r = connection_send(c, s->reply, NULL, ACK, why);
    mem_free(s->reply);
    s->reply = NULL;
    s->round++;
    in->consumers[s->consumer].unacked--;
    in->free_slots[in->n_free++] = at;
    return r;
}
