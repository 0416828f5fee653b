/* An inlet on an app on virtual time, and a broker that delivers into it. */
#ifndef TESTS_INLET_FIXTURE_H
#define TESTS_INLET_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/app/event_codec.h"
#include "orderly/infra/inbound/inlet.h"
#include "support/app_fixture.h"
#include <stdio.h>

#define FIXTURE static inline __attribute__((unused))

#define DONE_MAX 128

struct told {
    uint64_t handle;
    bool is_durable;
};

struct post {
    struct app_fixture app;
    struct inbound_reader reader;
    struct inlet *inlet;
    struct told told[DONE_MAX];
    unsigned n_told;
    uint64_t next_handle;
    bool is_taking; /* done must not run then */
};

FIXTURE void on_done(void *ctx, uint64_t handle, bool is_durable)
{
    struct post *p = ctx;

    assert_false(p->is_taking);
    assert_true(p->n_told < DONE_MAX);
    for (unsigned i = 0; i < p->n_told; i++)
        assert_true(p->told[i].handle != handle); /* once */
    p->told[p->n_told++] = (struct told){ handle, is_durable };
}

FIXTURE void open_inlet(struct post *p, unsigned items_max)
{
    const struct inlet_config config = { .app = p->app.app,
                                         .id = SUBSCRIPTION_NATS,
                                         .reader = &p->reader,
                                         .items_max = items_max,
                                         .done = on_done,
                                         .ctx = p };

    app_set_message_reader(p->app.app, &p->reader.base);
    p->inlet = inlet_create(&config);
}

FIXTURE int setup(void **state)
{
    static struct post p;
    struct app_config config = app_fixture_config();

    memset(&p, 0, sizeof(p));
    app_fixture_init(&p.app, &config);
    inbound_reader_init(&p.reader);
    open_inlet(&p, 16);
    p.next_handle = 1;
    *state = &p;
    return 0;
}

FIXTURE int teardown(void **state)
{
    struct post *p = *state;

    app_fixture_deinit(&p->app);
    inlet_destroy(p->inlet);
    return 0;
}

/* ---- delivering ------------------------------------------------------------------------------ */

FIXTURE uint64_t deliver_as(struct post *p, struct broker_delivery d)
{
    d.handle = p->next_handle++;
    p->is_taking = true;
    inlet_take(p->inlet, &d);
    p->is_taking = false;
    return d.handle;
}

FIXTURE uint64_t deliver(struct post *p, const char *topic, const char *body)
{
    return deliver_as(p, (struct broker_delivery){ .topic = str_of(topic), .body = str_of(body) });
}

/* A message about an order that nobody knows: it is in the log at once, and nobody reacts. */
FIXTURE uint64_t decline(struct post *p, const char *message_id, const char *order_id)
{
    char body[256];

    snprintf(body, sizeof(body),
             "{\"messageId\":\"%s\",\"payload\":{\"orderId\":\"%s\",\"reason\":\"no\"}}",
             message_id, order_id);
    return deliver(p, "payment.declined", body);
}

FIXTURE const struct told *told_of(const struct post *p, uint64_t handle)
{
    for (unsigned i = 0; i < p->n_told; i++) {
        if (p->told[i].handle == handle)
            return &p->told[i];
    }
    return NULL;
}

FIXTURE void assert_durable(const struct post *p, uint64_t handle)
{
    const struct told *t = told_of(p, handle);

    assert_non_null(t);
    assert_true(t->is_durable);
}

FIXTURE unsigned declined(struct post *p)
{
    return app_fixture_count_events(&p->app, EVENT_PAYMENT_DECLINED);
}

FIXTURE unsigned refused(struct post *p)
{
    return app_fixture_count_events(&p->app, EVENT_MESSAGE_REFUSED);
}

/* The dead letter of the n-th message that was refused, and the message. */
FIXTURE struct dead_letter_item the_refused(struct post *p, unsigned at, struct event *message,
                                            struct arena *a)
{
    unsigned n, seen = 0;
    struct dead_letter_item *items = the_letters(&p->app, &n);

    for (unsigned i = 0; i < n; i++) {
        if (items[i].letter.subscription != SUBSCRIPTION_NATS || seen++ != at)
            continue;
        assert_int_equal(items[i].letter.type, EVENT_MESSAGE_REFUSED);
        assert_int_equal(event_decode(items[i].message_row, items[i].letter.position, message, a),
                         ERR_OK);
        return items[i];
    }
    fail_msg("there is no dead letter %u", at);
    return (struct dead_letter_item){ 0 };
}

#endif
