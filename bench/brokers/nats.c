/* How many messages a second does JetStream acknowledge to its own client library in a bare loop?
 *
 * Publishes to the subjects bare.<topic>, of which the stream has to be there, by the library's
 * asynchronous publishing, with as many in the air and the same headers as a relay's. */
#include "brokers/bare.h"
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_uint refused;

static void need(natsStatus s, const char *what)
{
    if (s != NATS_OK)
        bare_fail(what, natsStatus_GetText(s));
}

static void on_refused(jsCtx *js, jsPubAckErr *e, void *closure)
{
    (void)js;
    (void)closure;
    if (atomic_fetch_add(&refused, 1) == 0)
        (void)fprintf(stderr, "bare client: refused: %s\n", e->ErrText ? e->ErrText : "");
}

static void publish(jsCtx *js, const struct bare_message *m)
{
    char subject[BARE_TEXT_MAX + 8], origin[BARE_ORIGIN_MAX];
    natsMsg *out = NULL;

    (void)snprintf(subject, sizeof(subject), "bare.%s", m->topic);
    need(natsMsg_Create(&out, subject, NULL, m->body.p, (int)m->body.n), "a message");
    need(natsMsgHeader_Set(out, "Nats-Msg-Id", m->id), "a header");
    need(natsMsgHeader_Set(out, "correlation-id", m->order_id), "a header");
    need(natsMsgHeader_Set(out, "content-type", "application/json"), "a header");
    bare_origin(m, origin);
    need(natsMsgHeader_Set(out, "orderly-origin", origin), "a header");
    need(js_PublishMsgAsync(js, &out, NULL), "publishing");
}

int main(int argc, char **argv)
{
    struct bare b;
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    jsOptions js_options;
    jsPubOptions wait;
    jsCtx *js = NULL;
    char url[64];

    bare_begin(&b, argc, argv);
    (void)snprintf(url, sizeof(url), "nats://127.0.0.1:%u", (unsigned)b.port);
    need(natsOptions_Create(&options), "options");
    need(natsOptions_SetURL(options, url), "options");
    need(natsOptions_SetAllowReconnect(options, false), "options");
    need(natsConnection_Connect(&connection, options), "connecting");
    need(jsOptions_Init(&js_options), "options");
    js_options.PublishAsync.MaxPending = BARE_WINDOW;
    js_options.PublishAsync.StallWait = BARE_WAIT_S * INT64_C(1000);
    js_options.PublishAsync.ErrHandler = on_refused;
    need(natsConnection_JetStream(&js, connection, &js_options), "JetStream");
    while (bare_next(&b))
        publish(js, &b.m);
    need(jsPubOptions_Init(&wait), "options");
    wait.MaxWait = BARE_WAIT_S * INT64_C(1000);
    need(js_PublishAsyncComplete(js, &wait), "waiting for the last");
    if (atomic_load(&refused))
        bare_fail("JetStream", "some were refused");
    bare_print(&b);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    natsOptions_Destroy(options);
    nats_Close();
    return 0;
}
