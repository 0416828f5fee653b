#include "jetstream.h"
#include "orderly/base/buf.h"
#include <stdio.h>

#define NS_PER_MS INT64_C(1000000)

/* ---- answers */

static void describe(struct jetstream_answer *a, const char *text)
{
    snprintf(a->description, sizeof(a->description), "%s", text);
}

void jetstream_answer_read(struct jetstream_answer *a, natsMsg *m)
{
    yyjson_val *error;

    *a = (struct jetstream_answer){ 0 };
    if (natsMsg_IsNoResponders(m)) {
        a->code = 503;
        describe(a, "nobody answers");
        return;
    }
    a->doc = yyjson_read(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), 0);
    a->root = yyjson_doc_get_root(a->doc);
    if (!yyjson_is_obj(a->root)) {
        a->code = 500;
        describe(a, "the answer is no JSON object");
        return;
    }
    error = yyjson_obj_get(a->root, "error");
    if (error) {
        const char *text = yyjson_get_str(yyjson_obj_get(error, "description"));

        a->code = yyjson_get_int(yyjson_obj_get(error, "code"));
        a->err_code = yyjson_get_int(yyjson_obj_get(error, "err_code"));
        if (a->code == 0)
            a->code = 500;
        describe(a, text ? text : "an error without a description");
    }
}

void jetstream_answer_free(struct jetstream_answer *a)
{
    yyjson_doc_free(a->doc);
    a->doc = NULL;
    a->root = NULL;
}

/* ---- requests */

static enum broker_result ask(struct connection *c, const char *subject, struct str body,
                              int64_t until_ms, struct jetstream_answer *a, char *why)
{
    /* Of each question its own, so that the late answer to another is not taken for its answer. */
    static unsigned questions;
    char reply[JETSTREAM_SUBJECT_MAX];
    natsMsg *m;

    snprintf(reply, sizeof(reply), "%s.Q.%u", connection_inbox(c), questions++);
    if (connection_send(c, subject, reply, body, why) != BROKER_OK)
        return BROKER_LOST;
    for (;;) {
        int64_t left = until_ms - connection_now();

        while ((m = connection_take(c))) {
            bool is_it = strcmp(natsMsg_GetSubject(m), reply) == 0;

            if (is_it)
                jetstream_answer_read(a, m);
            natsMsg_Destroy(m);
            if (is_it)
                return BROKER_OK;
        }
        if (left <= 0) {
            connection_why(why, "JetStream does not answer %s in time", subject);
            return BROKER_LOST;
        }
        if (connection_serve(c, -1, (int)left, why) != BROKER_OK)
            return BROKER_LOST;
    }
}

enum broker_result jetstream_ask_stream(struct connection *c, const char *stream, const char *reply,
                                        char *why)
{
    char subject[JETSTREAM_SUBJECT_MAX];

    snprintf(subject, sizeof(subject), "$JS.API.STREAM.INFO.%s", stream);
    return connection_send(c, subject, reply, STR(""), why);
}

enum broker_result jetstream_ask_consumer(struct connection *c, const char *stream,
                                          const char *consumer, const char *reply, char *why)
{
    char subject[JETSTREAM_SUBJECT_MAX];

    snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.INFO.%s.%s", stream, consumer);
    return connection_send(c, subject, reply, STR(""), why);
}

static enum broker_result make(struct connection *c, const char *subject, struct buf *body,
                               int64_t until_ms, struct jetstream_answer *a, char *why)
{
    enum broker_result r = ask(c, subject, buf_str(body), until_ms, a, why);

    buf_deinit(body);
    return r;
}

static enum broker_result lost(struct jetstream_answer *a, char *why, const char *what,
                               const char *name)
{
    connection_why(why, "%s %s: %s", what, name, a->description);
    jetstream_answer_free(a);
    return BROKER_LOST;
}

static enum broker_result make_stream(struct connection *c, const struct broker_config *config,
                                      const char *stream, int64_t until_ms, char *why)
{
    char subject[JETSTREAM_SUBJECT_MAX];
    struct jetstream_answer a;
    struct buf body = { 0 };

    snprintf(subject, sizeof(subject), "$JS.API.STREAM.CREATE.%s", stream);
    buf_printf(&body,
               "{\"name\":\"%s\",\"subjects\":[\"%s.>\"],\"retention\":\"limits\","
               "\"storage\":\"file\",\"discard\":\"old\",\"num_replicas\":1,\"max_consumers\":-1,"
               "\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":0,\"max_msg_size\":-1}",
               stream, config->channel.p);
    if (make(c, subject, &body, until_ms, &a, why) != BROKER_OK)
        return BROKER_LOST;
    if (a.code)
        return lost(&a, why, "can't make the stream", stream);
    jetstream_answer_free(&a);
    return BROKER_OK;
}

enum broker_result jetstream_need_stream(struct connection *c, const struct broker_config *config,
                                         const char *stream, int64_t until_ms, char *why)
{
    char subject[JETSTREAM_SUBJECT_MAX];
    struct jetstream_answer a;

    snprintf(subject, sizeof(subject), "$JS.API.STREAM.INFO.%s", stream);
    if (ask(c, subject, STR(""), until_ms, &a, why) != BROKER_OK)
        return BROKER_LOST;
    if ((a.code == 503 && !a.doc) || a.err_code == JETSTREAM_NOT_ENABLED ||
        a.err_code == JETSTREAM_NOT_FOR_ACCOUNT) {
        jetstream_answer_free(&a);
        connection_why(why, "the server has no JetStream for this account");
        return BROKER_LOST;
    }
    if (a.err_code == JETSTREAM_NO_STREAM && config->declares) {
        jetstream_answer_free(&a);
        return make_stream(c, config, stream, until_ms, why);
    }
    if (a.err_code == JETSTREAM_NO_STREAM)
        describe(&a, "there is none, and none is to be declared");
    if (a.code)
        return lost(&a, why, "stream", stream);
    if (yyjson_get_bool(yyjson_obj_get(yyjson_obj_get(a.root, "config"), "no_ack"))) {
        describe(&a, "it acknowledges nothing (no_ack), so nobody can tell what it has");
        return lost(&a, why, "stream", stream);
    }
    jetstream_answer_free(&a);
    return BROKER_OK;
}

static const char *fault_of(yyjson_val *config, const struct jetstream_consumer *consumer)
{
    const char *acks = yyjson_get_str(yyjson_obj_get(config, "ack_policy"));
    const char *filter = yyjson_get_str(yyjson_obj_get(config, "filter_subject"));

    if (yyjson_get_str(yyjson_obj_get(config, "deliver_subject")))
        return "it is pushed; one that is pulled is needed";
    if (!acks || strcmp(acks, "explicit") != 0)
        return "its ack_policy is not explicit";
    if (!filter || strcmp(filter, consumer->filter) != 0)
        return "it has another filter_subject";
    if (yyjson_get_sint(yyjson_obj_get(config, "max_deliver")) > 0)
        return "its max_deliver drops what was not acked in time";
    if (yyjson_get_bool(yyjson_obj_get(config, "headers_only")))
        return "it hands over headers only";
    return NULL;
}

/* Each delivery may have a wait of its own (backoff). */
static int64_t ack_wait_of(yyjson_val *config)
{
    yyjson_val *backoff = yyjson_obj_get(config, "backoff"), *value;
    int64_t wait_ns = yyjson_get_sint(yyjson_obj_get(config, "ack_wait"));
    size_t i, n;

    yyjson_arr_foreach(backoff, i, n, value)
    {
        if (yyjson_get_sint(value) > wait_ns)
            wait_ns = yyjson_get_sint(value);
    }
    return wait_ns >= NS_PER_MS ? wait_ns / NS_PER_MS : JETSTREAM_ACK_WAIT_MS;
}

void jetstream_read_counts(const struct jetstream_answer *a, struct jetstream_consumer *out)
{
    out->n_pending = yyjson_get_uint(yyjson_obj_get(a->root, "num_ack_pending"));
    out->n_waiting = yyjson_get_uint(yyjson_obj_get(a->root, "num_waiting"));
}

static enum broker_result use_consumer(struct jetstream_answer *a,
                                       struct jetstream_consumer *consumer, char *why)
{
    yyjson_val *config = yyjson_obj_get(a->root, "config");
    const char *fault = fault_of(config, consumer);

    if (fault) {
        describe(a, fault);
        return lost(a, why, "consumer", consumer->name);
    }
    consumer->ack_wait_ms = ack_wait_of(config);
    consumer->batch_max = yyjson_get_uint(yyjson_obj_get(config, "max_batch"));
    consumer->expires_max_ms = yyjson_get_sint(yyjson_obj_get(config, "max_expires")) / NS_PER_MS;
    jetstream_read_counts(a, consumer);
    jetstream_answer_free(a);
    return BROKER_OK;
}

enum broker_result jetstream_need_consumer(struct connection *c, const struct broker_config *config,
                                           const char *stream, struct jetstream_consumer *consumer,
                                           int64_t until_ms, char *why)
{
    char subject[JETSTREAM_SUBJECT_MAX];
    struct jetstream_answer a;
    struct buf body = { 0 };

    snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.INFO.%s.%s", stream, consumer->name);
    if (ask(c, subject, STR(""), until_ms, &a, why) != BROKER_OK)
        return BROKER_LOST;
    if (a.err_code != JETSTREAM_NO_CONSUMER || !config->declares) {
        if (a.err_code == JETSTREAM_NO_CONSUMER)
            describe(&a, "there is none, and none is to be declared");
        if (a.code)
            return lost(&a, why, "consumer", consumer->name);
        return use_consumer(&a, consumer, why);
    }
    jetstream_answer_free(&a);
    snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s", stream,
             consumer->name);
    buf_printf(&body,
               "{\"stream_name\":\"%s\",\"config\":{\"durable_name\":\"%s\","
               "\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\",\"ack_wait\":%" PRId64
               ",\"max_deliver\":-1,\"filter_subject\":\"%s\",\"replay_policy\":\"instant\","
               "\"max_ack_pending\":%" PRId64 "}}",
               stream, consumer->name, JETSTREAM_ACK_WAIT_MS * NS_PER_MS, consumer->filter,
               consumer->max_pending);
    if (make(c, subject, &body, until_ms, &a, why) != BROKER_OK)
        return BROKER_LOST;
    if (a.code)
        return lost(&a, why, "can't make the consumer", consumer->name);
    return use_consumer(&a, consumer, why);
}
