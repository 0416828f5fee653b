/* How many messages a second does RabbitMQ confirm to rabbitmq-c in a bare loop?
 *
 * Publishes persistent, mandatory messages to the topic exchange `bare`, which has to be there with a
 * queue bound to it, with as many unconfirmed as a relay has and the same properties. */
#include "brokers/bare.h"
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#endif

#define CHANNEL 1
#define FRAME_MAX 131072
#define LOOK_EVERY                                                                                 \
    64u /* messages; then confirms that are there are taken, and their memory is freed */

static void need(int status, const char *what)
{
    if (status != AMQP_STATUS_OK)
        bare_fail(what, amqp_error_string2(status));
}

static void need_reply(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        bare_fail(what, amqp_error_string2(reply.library_error));
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        bare_fail(what, "the broker says no");
}

static amqp_bytes_t bytes_of(const char *p, size_t n)
{
    union {
        const char *from;
        void *to;
    } u = { p }; /* the library's type has no const; it only reads these */

    return (amqp_bytes_t){ n, u.to };
}

static amqp_connection_state_t open_connection(uint16_t port)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = c ? amqp_tcp_socket_new(c) : NULL;

    if (!socket)
        bare_fail("a socket", "no memory");
    need(amqp_socket_open(socket, "127.0.0.1", port), "connecting");
    need_reply(amqp_login(c, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
               "logging in");
    (void)amqp_channel_open(c, CHANNEL);
    need_reply(amqp_get_rpc_reply(c), "a channel");
    (void)amqp_confirm_select(c, CHANNEL);
    need_reply(amqp_get_rpc_reply(c), "confirms");
    return c;
}

static void publish(amqp_connection_state_t c, const struct bare_message *m)
{
    amqp_bytes_t topic = bytes_of(m->topic, strlen(m->topic));
    char origin[BARE_ORIGIN_MAX];
    amqp_table_entry_t header = { .key = amqp_cstring_bytes("orderly-origin"),
                                  .value.kind = AMQP_FIELD_KIND_UTF8 };
    amqp_basic_properties_t p = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG |
                  AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
                  AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG,
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        .timestamp = (uint64_t)time(NULL),
        .type = topic,
        .message_id = bytes_of(m->id, strlen(m->id)),
        .correlation_id = bytes_of(m->order_id, strlen(m->order_id)),
        .content_type = amqp_cstring_bytes("application/json"),
        .headers = { 1, &header },
    };

    bare_origin(m, origin);
    header.value.value.bytes = amqp_cstring_bytes(origin);
    need(amqp_basic_publish(c, CHANNEL, amqp_cstring_bytes("bare"), topic, 1, 0, &p,
                            bytes_of(m->body.p, m->body.n)),
         "publishing");
}

/* Confirms come one by one or for all up to a number, in any order. */
#define RING (4 * BARE_WINDOW) /* numbers between the first that is unconfirmed and the last */

struct confirms {
    uint64_t first, next; /* numbers first..next-1 were given and not all confirmed */
    uint64_t in_air;
    bool is_confirmed[RING];
};

static bool is_full(const struct confirms *f)
{
    return f->in_air == BARE_WINDOW || f->next - f->first == RING;
}

static void confirm(struct confirms *f, uint64_t number, bool all_up_to)
{
    if (number < f->first || number >= f->next)
        bare_fail("a confirm", "of a number that is not in the air");
    for (uint64_t i = all_up_to ? f->first : number; i <= number; i++) {
        f->in_air -= !f->is_confirmed[i % RING];
        f->is_confirmed[i % RING] = true;
    }
    for (; f->first < f->next && f->is_confirmed[f->first % RING]; f->first++)
        continue;
}

static void give_number(struct confirms *f)
{
    f->is_confirmed[f->next++ % RING] = false;
    f->in_air++;
}

/* Takes one frame; false: none came within that time. */
static bool take_frame(amqp_connection_state_t c, struct confirms *f, int seconds)
{
    struct timeval time = { .tv_sec = seconds };
    amqp_frame_t frame;
    int status = amqp_simple_wait_frame_noblock(c, &frame, &time);
    const amqp_basic_ack_t *ack;

    if (status == AMQP_STATUS_TIMEOUT)
        return false;
    need(status, "a confirm");
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        bare_fail("RabbitMQ", "something else came than a confirm: is a queue bound?");
    ack = frame.payload.method.decoded;
    confirm(f, ack->delivery_tag, ack->multiple);
    return true;
}

static void need_frame(amqp_connection_state_t c, struct confirms *f)
{
    if (!take_frame(c, f, BARE_WAIT_S))
        bare_fail("a confirm", "none came in time");
}

int main(int argc, char **argv)
{
    static struct confirms confirms = { .first = 1, .next = 1 };
    amqp_connection_state_t c;
    struct bare b;

    bare_begin(&b, argc, argv);
    c = open_connection(b.port);
    while (bare_next(&b)) {
        while (is_full(&confirms))
            need_frame(c, &confirms);
        publish(c, &b.m);
        give_number(&confirms);
        if (b.n % LOOK_EVERY)
            continue;
        while (take_frame(c, &confirms, 0))
            continue;
        amqp_maybe_release_buffers(c);
    }
    while (confirms.in_air)
        need_frame(c, &confirms);
    bare_print(&b);
    (void)amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
    return 0;
}
