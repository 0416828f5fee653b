#include "link.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "reason.h"
#include <errno.h>
#include <poll.h>

#define IN_SIZE (LINK_FRAME_MAX + 65536u)
#define FRAME_HEAD 7u
#define HEADER_HEAD 12u      /* class, weight, bytes of the body; properties follow */
#define METHOD_IN_MAX 16384u /* bytes of a method from the broker; that which begins has a table */
#define METHODS_PAGE 4096u
#define METHOD_MAX 2048u /* bytes of a method's frame: five short strings at most */
#define LOGIN_MAX 16384u /* bytes of the login's, which holds user and password */
#define FRAME_MAX_LEAST 4096u

void link_init(struct link *l, char *why)
{
    *l = (struct link){ .stream = { .fd = -1, .why = why }, .why = why };
    init_amqp_pool(&l->methods, METHODS_PAGE);
    l->in = mem_alloc(IN_SIZE);
}

void link_deinit(struct link *l)
{
    REQUIRE(l->stream.fd < 0);
    buf_deinit(&l->out);
    empty_amqp_pool(&l->methods);
    mem_free(l->in);
}

static void drop(struct link *l)
{
    stream_close(&l->stream);
    l->out.n = l->out_at = 0;
    l->in_at = l->in_n = 0;
    l->in_skip = 0;
    l->is_blocked = false;
}

static bool lost(struct link *l)
{
    l->is_lost = true;
    return false;
}

/* ---- out */

static void put_frame(struct link *l, uint8_t type, uint16_t channel, size_t n)
{
    char *p = l->out.p + l->out.n;

    p[0] = (char)type;
    bytes_put_u16(p + 1, channel);
    bytes_put_u32(p + 3, (uint32_t)n);
    p[FRAME_HEAD + n] = (char)AMQP_FRAME_END;
    l->out.n += n + LINK_FRAME_EXTRA;
}

static void put_method(struct link *l, uint16_t channel, amqp_method_number_t id, void *method,
                       size_t max)
{
    char *p = buf_reserve(&l->out, max + LINK_FRAME_EXTRA);
    int n = amqp_encode_method(id, method, (amqp_bytes_t){ max - 4, p + FRAME_HEAD + 4 });

    ENSURE(n >= 0); /* the caller has bounded every text of it */
    bytes_put_u32(p + FRAME_HEAD, id);
    put_frame(l, AMQP_FRAME_METHOD, channel, (size_t)n + 4);
}

void link_put(struct link *l, amqp_method_number_t id, void *method)
{
    put_method(l, LINK_CHANNEL, id, method, METHOD_MAX);
}

bool link_put_content(struct link *l, amqp_basic_properties_t *properties, struct str body)
{
    size_t max = l->frame_max - LINK_FRAME_EXTRA, before = l->out.n;
    char *p = buf_reserve(&l->out, max + LINK_FRAME_EXTRA);
    int n = amqp_encode_properties(AMQP_BASIC_CLASS, properties,
                                   (amqp_bytes_t){ max - 12, p + FRAME_HEAD + 12 });

    if (n < 0) {
        l->out.n = before;
        return false;
    }
    bytes_put_u16(p + FRAME_HEAD, AMQP_BASIC_CLASS);
    bytes_put_u16(p + FRAME_HEAD + 2, 0);
    bytes_put_u64(p + FRAME_HEAD + 4, body.n);
    put_frame(l, AMQP_FRAME_HEADER, LINK_CHANNEL, (size_t)n + 12);
    while (body.n) {
        size_t part = body.n < max ? body.n : max;

        p = buf_reserve(&l->out, part + LINK_FRAME_EXTRA);
        memcpy(p + FRAME_HEAD, body.p, part);
        put_frame(l, AMQP_FRAME_BODY, LINK_CHANNEL, part);
        body = (struct str){ body.p + part, body.n - part };
    }
    return true;
}

static int next_frame(struct link *l, struct link_frame *frame);

/* Who can't write any more may still read why: the broker's last words, or else that it is gone. */
static bool read_reason(struct link *l)
{
    struct link_frame frame;

    while (next_frame(l, &frame) > 0)
        continue;
    return lost(l);
}

bool link_flush(struct link *l)
{
    while (link_waiting(l)) {
        ssize_t n = stream_write(&l->stream, l->out.p + l->out_at, link_waiting(l));

        if (n < 0)
            return read_reason(l);
        if (n == 0)
            break;
        l->out_at += (size_t)n;
        l->sent_ms = stream_now_ms();
    }
    /* What was sent makes room, when it is most of it: so each byte is moved at most once or twice. */
    if (l->out_at && l->out_at >= l->out.n - l->out_at) {
        memmove(l->out.p, l->out.p + l->out_at, link_waiting(l));
        l->out.n = link_waiting(l);
        l->out_at = 0;
    }
    return true;
}

/* ---- in */

/* The broker ends the connection, or the channel: both say it the same way. */
static void tell_close(struct link *l, const char *what, const amqp_connection_close_t *m)
{
    reason_write(l->why, "the broker ended the %s: %u " STR_FMT, what, m->reply_code,
                 (int)m->reply_text.len, (const char *)m->reply_text.bytes);
}

/* Frames that every link treats alike. 1: it is the caller's; 0: it was dealt with; -1: lost. */
static int look_at(struct link *l, const struct link_frame *frame)
{
    amqp_connection_close_ok_t close_ok = { 0 };
    const amqp_connection_blocked_t *blocked;

    if (frame->type == AMQP_FRAME_HEARTBEAT)
        return 0;
    if (frame->type != AMQP_FRAME_METHOD)
        return 1;
    switch (frame->method.id) {
    case AMQP_CONNECTION_CLOSE_METHOD:
        tell_close(l, "connection", frame->method.decoded);
        put_method(l, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &close_ok, METHOD_MAX);
        (void)stream_write(&l->stream, l->out.p + l->out_at, link_waiting(l));
        return -1;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        blocked = frame->method.decoded;
        l->is_blocked = true;
        reason_write(l->blocked_why, "the broker takes no messages for now: " STR_FMT,
                     (int)blocked->reason.len, (const char *)blocked->reason.bytes);
        return 0;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        l->is_blocked = false;
        return 0;
    default:
        return 1;
    }
}

static int no_amqp(struct link *l, const char *what)
{
    reason_write(l->why, "what it says is no AMQP: %s", what);
    return -1;
}

/* Reads what there is, and makes sure before that `wanted` bytes have room from in_at on. 1; 0: there is
 * nothing; -1: lost. */
static int fill_in(struct link *l, size_t wanted)
{
    ssize_t n;

    ENSURE(wanted <= IN_SIZE);
    if (l->in_at == l->in_n || wanted > IN_SIZE - l->in_at) {
        memmove(l->in, l->in + l->in_at, l->in_n - l->in_at);
        l->in_n -= l->in_at;
        l->in_at = 0;
    }
    n = stream_read(&l->stream, l->in + l->in_n, IN_SIZE - l->in_n);
    if (n <= 0)
        return n < 0 ? -1 : 0;
    l->in_n += (size_t)n;
    l->heard_ms = stream_now_ms();
    return 1;
}

/* Bytes that can be looked at, wanted of them at least: 1; 0: they are not there yet; -1: lost. */
static int have(struct link *l, size_t wanted)
{
    int rc = 1;

    while (rc > 0 && l->in_n - l->in_at < wanted)
        rc = fill_in(l, wanted);
    return rc;
}

/* What a frame was cut off by. 1: it is over. */
static int skip(struct link *l)
{
    while (l->in_skip) {
        int rc = have(l, 1);
        size_t n = l->in_n - l->in_at;

        if (rc <= 0)
            return rc;
        if (n > l->in_skip)
            n = (size_t)l->in_skip;
        l->in_at += n;
        l->in_skip -= n;
        if (l->in_skip == 0 && (uint8_t)l->in[l->in_at - 1] != AMQP_FRAME_END)
            return no_amqp(l, "a frame has no end");
    }
    return 1;
}

static int decode_method(struct link *l, struct str data, amqp_method_t *m)
{
    int rc;

    if (data.n < 4)
        return no_amqp(l, "a method without a number");
    recycle_amqp_pool(&l->methods);
    m->id = bytes_get_u32(data.p);
    rc = amqp_decode_method(m->id, &l->methods, codec_bytes((struct str){ data.p + 4, data.n - 4 }),
                            &m->decoded);
    return rc < 0 ? no_amqp(l, amqp_error_string2(rc)) : 1;
}

static int decode(struct link *l, struct str data, struct link_frame *frame)
{
    switch (frame->type) {
    case AMQP_FRAME_METHOD:
        return decode_method(l, data, &frame->method);
    case AMQP_FRAME_HEADER:
        if (data.n < HEADER_HEAD || bytes_get_u16(data.p) != AMQP_BASIC_CLASS)
            return no_amqp(l, "properties of no message");
        frame->body_size = bytes_get_u64(data.p + 4);
        frame->properties = (struct str){ data.p + HEADER_HEAD, data.n - HEADER_HEAD };
        return 1;
    default:
        frame->body = data;
        return 1;
    }
}

/* How much of a frame's content is looked at. False: such a frame may not be. */
static bool begin_frame(struct link *l, struct link_frame *frame, const char *head, size_t *length)
{
    size_t max = l->frame_max - LINK_FRAME_EXTRA;

    frame->type = (uint8_t)head[0];
    *length = bytes_get_u32(head + 3);
    if (frame->type == AMQP_FRAME_METHOD)
        max = METHOD_IN_MAX;
    else if (frame->type != AMQP_FRAME_HEADER && frame->type != AMQP_FRAME_BODY &&
             frame->type != AMQP_FRAME_HEARTBEAT)
        return no_amqp(l, "a frame of no known kind") > 0;
    if (bytes_get_u16(head + 1) > LINK_CHANNEL)
        return no_amqp(l, "a frame of a channel that is not open") > 0;
    if (*length <= max)
        return true;
    if (frame->type != AMQP_FRAME_HEADER)
        return no_amqp(l, "a frame is longer than it may be") > 0;
    frame->is_cut = true;
    l->in_skip = (uint64_t)*length - max + 1;
    *length = max;
    return true;
}

/* 1: a frame; 0: none yet; -1: lost. */
static int read_frame(struct link *l, struct link_frame *frame)
{
    const char *head;
    size_t length;
    int rc = skip(l);

    if (rc > 0)
        rc = have(l, FRAME_HEAD);
    if (rc <= 0)
        return rc;
    *frame = (struct link_frame){ 0 };
    head = l->in + l->in_at;
    if (memcmp(head, "AMQP", 4) == 0) {
        reason_write(l->why, "it speaks another version of AMQP than 0-9-1");
        return -1;
    }
    if (!begin_frame(l, frame, head, &length))
        return -1;
    rc = have(l, FRAME_HEAD + length + !frame->is_cut);
    if (rc <= 0) {
        l->in_skip = 0; /* of this frame, which is looked at again */
        return rc;
    }
    head = l->in + l->in_at;
    l->in_at += FRAME_HEAD + length + !frame->is_cut;
    if (!frame->is_cut && (uint8_t)head[FRAME_HEAD + length] != AMQP_FRAME_END)
        return no_amqp(l, "a frame has no end");
    return decode(l, (struct str){ head + FRAME_HEAD, length }, frame);
}

/* As link_next, but for a closed channel, which is the caller's. */
static int next_frame(struct link *l, struct link_frame *frame)
{
    int rc;

    do {
        rc = read_frame(l, frame);
        if (rc <= 0)
            break;
        rc = look_at(l, frame);
    } while (rc == 0);
    if (rc < 0)
        (void)lost(l);
    return rc;
}

static bool is_method(const struct link_frame *frame, amqp_method_number_t id)
{
    return frame->type == AMQP_FRAME_METHOD && frame->method.id == id;
}

int link_next(struct link *l, struct link_frame *frame)
{
    int rc = next_frame(l, frame);

    if (rc == 1 && is_method(frame, AMQP_CHANNEL_CLOSE_METHOD)) {
        tell_close(l, "channel", frame->method.decoded);
        (void)lost(l);
        return -1;
    }
    return rc;
}

/* ---- calls, while connecting and at the end */

/* Sends, and gives the next frame, which is waited for until the deadline. */
static bool await_frame(struct link *l, struct link_frame *frame, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd p = { .fd = l->stream.fd };
        int64_t left;
        int rc;

        if (!link_flush(l))
            return false;
        rc = next_frame(l, frame);
        if (rc)
            return rc > 0;
        left = deadline_ms - stream_now_ms();
        if (left <= 0) {
            reason_write(l->why, "no answer in time");
            return lost(l);
        }
        p.events = stream_events(&l->stream, link_waiting(l) > 0);
        if (poll(&p, 1, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR) {
            reason_write(l->why, "poll fails");
            return lost(l);
        }
    }
}

static enum link_reply await_answer(struct link *l, struct link_frame *frame,
                                    amqp_method_number_t answer, int64_t deadline_ms)
{
    amqp_channel_close_ok_t close_ok = { 0 };

    if (!await_frame(l, frame, deadline_ms))
        return LINK_LOST;
    if (is_method(frame, answer))
        return LINK_DONE;
    if (is_method(frame, AMQP_CHANNEL_CLOSE_METHOD)) {
        tell_close(l, "channel", frame->method.decoded);
        link_put(l, AMQP_CHANNEL_CLOSE_OK_METHOD, &close_ok);
        return LINK_CLOSED;
    }
    reason_write(l->why, "it answers what was not asked");
    (void)lost(l);
    return LINK_LOST;
}

enum link_reply link_call(struct link *l, amqp_method_number_t id, void *method,
                          amqp_method_number_t answer, int64_t deadline_ms)
{
    struct link_frame frame;

    link_put(l, id, method);
    return await_answer(l, &frame, answer, deadline_ms);
}

/* ---- login */

static amqp_table_entry_t entry_of(const char *key, uint8_t kind)
{
    return (amqp_table_entry_t){ .key = codec_bytes(str_of(key)), .value = { .kind = kind } };
}

static amqp_table_entry_t text_entry(const char *key, const char *text)
{
    amqp_table_entry_t e = entry_of(key, AMQP_FIELD_KIND_UTF8);

    e.value.value.bytes = codec_bytes(str_of(text));
    return e;
}

static amqp_table_entry_t able_to(const char *what)
{
    amqp_table_entry_t e = entry_of(what, AMQP_FIELD_KIND_BOOLEAN);

    e.value.value.boolean = 1;
    return e;
}

static bool offers(amqp_bytes_t mechanisms, const char *wanted)
{
    struct str list = codec_str(mechanisms);
    size_t n = strlen(wanted);

    for (size_t at = 0; at < list.n;) {
        const char *end = memchr(list.p + at, ' ', list.n - at);
        size_t word = end ? (size_t)(end - list.p) - at : list.n - at;

        if (word == n && memcmp(list.p + at, wanted, n) == 0)
            return true;
        at += word + 1;
    }
    return false;
}

static void put_start_ok(struct link *l, const struct broker_config *config, const char *name,
                         bool by_certificate)
{
    amqp_table_entry_t able[] = { able_to("publisher_confirms"), able_to("basic.nack"),
                                  able_to("consumer_cancel_notify"), able_to("connection.blocked"),
                                  able_to("authentication_failure_close") };
    amqp_table_entry_t about[] = { text_entry("product", "orderly"),
                                   text_entry("connection_name", name),
                                   entry_of("capabilities", AMQP_FIELD_KIND_TABLE) };
    struct str user = config->user.n ? config->user : STR("guest");
    struct str password = config->user.n ? config->password : STR("guest");
    amqp_connection_start_ok_t m = { .client_properties = { ARRAY_LEN(about), about },
                                     .mechanism = codec_bytes(by_certificate ? STR("EXTERNAL")
                                                                             : STR("PLAIN")),
                                     .locale = codec_bytes(STR("en_US")) };
    struct buf response = { 0 };

    about[2].value.value.table = (amqp_table_t){ ARRAY_LEN(able), able };
    if (!by_certificate) {
        buf_add(&response, "", 1);
        buf_add_str(&response, user);
        buf_add(&response, "", 1);
        buf_add_str(&response, password);
    }
    m.response = (amqp_bytes_t){ response.n, response.p };
    put_method(l, 0, AMQP_CONNECTION_START_OK_METHOD, &m, LOGIN_MAX);
    buf_deinit(&response);
}

static bool tune(struct link *l, const amqp_connection_tune_t *offer)
{
    amqp_connection_tune_ok_t m = { .channel_max = LINK_CHANNEL,
                                    .frame_max = LINK_FRAME_MAX,
                                    .heartbeat = LINK_HEARTBEAT_S };

    if (offer->frame_max && offer->frame_max < m.frame_max)
        m.frame_max = offer->frame_max;
    if (offer->heartbeat && offer->heartbeat < m.heartbeat)
        m.heartbeat = offer->heartbeat;
    if (m.frame_max < FRAME_MAX_LEAST) {
        reason_write(l->why, "it wants frames of %u bytes at most; the protocol asks for %u",
                     m.frame_max, FRAME_MAX_LEAST);
        return lost(l);
    }
    l->frame_max = m.frame_max;
    l->heartbeat_ms = m.heartbeat * INT64_C(1000);
    put_method(l, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &m, METHOD_MAX);
    return true;
}

static bool log_in(struct link *l, const char *vhost, const struct broker_config *config,
                   const char *name, int64_t deadline_ms)
{
    bool by_certificate = config->user.n == 0 && config->tls_certificate.n > 0;
    amqp_connection_open_t open = { .virtual_host = codec_bytes(str_of(vhost)) };
    struct link_frame frame;

    buf_add(&l->out, "AMQP\0\0\x09\x01", 8);
    if (await_answer(l, &frame, AMQP_CONNECTION_START_METHOD, deadline_ms) != LINK_DONE)
        return false;
    if (!offers(((amqp_connection_start_t *)frame.method.decoded)->mechanisms,
                by_certificate ? "EXTERNAL" : "PLAIN")) {
        reason_write(l->why, "it does not let in by %s",
                     by_certificate ? "certificate (EXTERNAL)" : "user and password (PLAIN)");
        return false;
    }
    put_start_ok(l, config, name, by_certificate);
    if (await_answer(l, &frame, AMQP_CONNECTION_TUNE_METHOD, deadline_ms) != LINK_DONE)
        return false;
    if (!tune(l, frame.method.decoded))
        return false;
    put_method(l, 0, AMQP_CONNECTION_OPEN_METHOD, &open, METHOD_MAX);
    if (await_answer(l, &frame, AMQP_CONNECTION_OPEN_OK_METHOD, deadline_ms) != LINK_DONE)
        return false;
    return link_open_channel(l, deadline_ms) == LINK_DONE;
}

enum link_reply link_open_channel(struct link *l, int64_t deadline_ms)
{
    amqp_channel_open_t m = { 0 };

    return link_call(l, AMQP_CHANNEL_OPEN_METHOD, &m, AMQP_CHANNEL_OPEN_OK_METHOD, deadline_ms);
}

bool link_open(struct link *l, struct address_host *host, SSL_CTX *tls, const char *vhost,
               const struct broker_config *config, const char *name, int64_t deadline_ms)
{
    REQUIRE(l->stream.fd < 0);
    l->is_lost = false;
    l->frame_max =
        FRAME_MAX_LEAST; /* until more is agreed on; no method is longer than METHOD_IN_MAX */
    l->heard_ms = l->sent_ms = stream_now_ms();
    if (stream_open(&l->stream, host, tls, deadline_ms) &&
        log_in(l, vhost, config, name, deadline_ms))
        return true;
    drop(l);
    return false;
}

/* ---- heartbeats, end */

bool link_tick(struct link *l, int64_t now_ms, int64_t *due_ms)
{
    /* A heartbeat each half of the time agreed on; without any of the broker's for twice that time
     * it is gone. */
    int64_t send_ms = l->sent_ms + l->heartbeat_ms / 2, lost_ms = l->heard_ms + 2 * l->heartbeat_ms;

    if (now_ms >= lost_ms) {
        reason_write(l->why, "nothing was heard of it for %lld s",
                     (long long)(2 * l->heartbeat_ms / 1000));
        return lost(l);
    }
    if (now_ms >= send_ms && link_waiting(l) == 0) {
        (void)buf_reserve(&l->out, LINK_FRAME_EXTRA);
        put_frame(l, AMQP_FRAME_HEARTBEAT, 0, 0);
        if (!link_flush(l))
            return false;
    }
    if (now_ms >= send_ms) /* what waits says that we live, or will */
        send_ms = now_ms + l->heartbeat_ms / 2;
    if (send_ms < *due_ms)
        *due_ms = send_ms;
    if (lost_ms < *due_ms)
        *due_ms = lost_ms;
    return true;
}

void link_close(struct link *l, int64_t deadline_ms)
{
    amqp_connection_close_t m = { .reply_code = AMQP_REPLY_SUCCESS,
                                  .reply_text = codec_bytes(STR("bye")) };
    char why[BROKER_WHY_MAX];
    struct link_frame frame;

    if (l->stream.fd >= 0 && !l->is_lost) {
        /* What fails now is nobody's reason any more. */
        memcpy(why, l->why, sizeof(why));
        put_method(l, 0, AMQP_CONNECTION_CLOSE_METHOD, &m, METHOD_MAX);
        while (await_frame(l, &frame, deadline_ms) && stream_now_ms() < deadline_ms &&
               !is_method(&frame, AMQP_CONNECTION_CLOSE_OK_METHOD))
            continue;
        memcpy(l->why, why, sizeof(why));
    }
    drop(l);
}
