#include "orderly/infra/relay/relays.h"
#include "orderly/base/mem.h"
#include "orderly/infra/relay/broker_relay.h"
#include "orderly/infra/relay/module.h"
#include "orderly/infra/relay/relay_text.h"
#include "orderly/infra/relay/relay_url.h"
#include "orderly/infra/secret/secret_file.h"
#include "relay_files.h"
#include <stdarg.h>
#include <stdio.h>

const struct relay_options relay_options_default = {
    .channel = "orders",
    .topics = "order.*,payment.*,stock.*,inventory.*,shipment.*",
    .listens = true,
    .window = RELAY_WINDOW_DEFAULT,
    .unacked_max = RELAY_UNACKED_DEFAULT,
    .slack_percent = RELAY_SLACK_PERCENT_DEFAULT,
    .declares = true,
};

/* The bytes of a message from outside, as POST /messages takes them. */
#define BODY_MAX (256u << 10)

static const struct {
    const char *name;
    enum subscription_id id;
} kinds[RELAY_KINDS] = {
#define X(name, text, scheme, tls) [RELAY_##name] = { text, SUBSCRIPTION_##name },
    RELAY_KIND_MAP(X)
#undef X
};

struct one_relay {
    struct broker_relay *relay; /* NULL: none of this kind */
    struct str url;             /* as the operator wrote it; empty: none */
    const char *url_from;       /* the option that it came by */
    /* What the adapter's configuration points to. */
    char url_text[RELAY_TEXT_MAX], address[RELAY_TEXT_MAX], user[RELAY_TEXT_MAX];
    char password[RELAY_SECRET_MAX + 1], token[RELAY_SECRET_MAX + 1];
    char group[2 * RELAY_NAME_MAX + 2];
    bool topics[EVENT_TYPE_COUNT];
};

struct relays {
    struct relays_config config;
    struct one_relay list[RELAY_KINDS];
    unsigned n_open;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* ---- reading the configuration --------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void complain(struct buf *complaints, const char *fmt,
                                                           ...)
{
    char line[2048];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    buf_printf(complaints, "orderly: %s\n", line);
}

static void set_url(struct relays *r, struct str url, const char *from, struct buf *complaints)
{
    struct relay_url parsed;
    const char *why = relay_url_parse(url, &parsed);
    struct one_relay *one = &r->list[parsed.kind];

    if (why) {
        /* Not the URL itself: it may hold a password. */
        complain(complaints, "%s: %s", from, why);
    } else if (one->url.n) {
        complain(complaints,
                 "%s: there is one relay for each kind of broker, and %s names one for "
                 "%s already",
                 from, one->url_from, kinds[parsed.kind].name);
    } else {
        one->url = url;
        one->url_from = from;
    }
}

static void set_urls(struct relays *r, struct buf *complaints)
{
    static const char *const options[RELAY_KINDS] = {
#define X(name, text, scheme, tls) [RELAY_##name] = "relay." text ".url",
        RELAY_KIND_MAP(X)
#undef X
    };
    struct str list = str_of(r->config.urls), url;

    while (relay_url_next(&list, &url))
        set_url(r, url, "--relay", complaints);
    for (unsigned k = 0; k < RELAY_KINDS; k++) {
        struct str own = str_trim(str_of(r->config.options[k].url));
        struct relay_url parsed;

        if (!own.n)
            continue;
        if (!relay_url_parse(own, &parsed) && parsed.kind != k)
            complain(complaints, "%s: is the URL of another kind of broker", options[k]);
        else
            set_url(r, own, options[k], complaints);
    }
}

static void set_topics(struct one_relay *one, const char *name, const char *text,
                       struct buf *complaints)
{
    struct str wrong;

    if (relay_topics_parse(str_of(text), one->topics, &wrong))
        return;
    if (wrong.n)
        complain(complaints, "relay.%s.topics: '" STR_FMT "': %s", name, STR_ARG(wrong),
                 RELAY_TOPICS_DETAIL);
    else
        complain(complaints, "relay.%s.topics: names no topic", name);
}

static void check_name(const char *name, const char *option, const char *text,
                       struct buf *complaints)
{
    if (!relay_name_is_valid(str_of(text)))
        complain(complaints, "relay.%s.%s: '%s': %s", name, option, text, RELAY_NAME_DETAIL);
}

/* The file's first line, or that of the variable. */
static void read_secret(const char *name, const char *option, const char *path,
                        const char *variable, char out[RELAY_SECRET_MAX + 1],
                        struct buf *complaints)
{
    char why[SECRET_FILE_WHY_MAX];
    size_t n = 0;

    if (!path[0]) {
        n = strcspn(variable, "\r\n");
        memcpy(out, variable, n);
        out[n] = 0;
        return;
    }
    if (variable[0]) {
        complain(complaints, "relay.%s.%s: '%s': the environment has the secret itself, too", name,
                 option, path);
        return;
    }
    if (secret_file_read(path, out, RELAY_SECRET_MAX, &n, why) != ERR_OK) {
        complain(complaints, "relay.%s.%s: '%s': %s", name, option, path, why);
        return;
    }
    out[n] = 0;
    out[strcspn(out, "\r\n")] = 0;
    if (!out[0])
        complain(complaints, "relay.%s.%s: '%s': its first line is empty", name, option, path);
}

static void copy_text(char *out, size_t size, struct str text)
{
    size_t n = text.n < size ? text.n : size - 1;

    if (n)
        memcpy(out, text.p, n);
    out[n] = 0;
}

static struct broker_config broker_config_of(struct relays *r, enum relay_kind kind)
{
    const struct relay_options *o = &r->config.options[kind];
    struct one_relay *one = &r->list[kind];
    struct relay_url url;
    const char *why = relay_url_parse(one->url, &url);

    ENSURE(!why);
    (void)snprintf(one->url_text, sizeof(one->url_text), "%s" STR_FMT "%s" STR_FMT,
                   url.is_tls ? (kind == RELAY_KAFKA      ? "kafka+tls://"
                                 : kind == RELAY_RABBITMQ ? "amqps://"
                                                          : "tls://")
                              : (kind == RELAY_KAFKA      ? "kafka://"
                                 : kind == RELAY_RABBITMQ ? "amqp://"
                                                          : "nats://"),
                   STR_ARG(url.address), url.path.n ? "/" : "", STR_ARG(url.path));
    copy_text(one->address, sizeof(one->address), url.address);
    copy_text(one->user, sizeof(one->user), o->user[0] ? str_of(o->user) : url.user);
    return (struct broker_config){
        .url = str_of(one->url_text),
        .address = str_of(one->address),
        .name = str_of(one->group),
        .channel = str_of(o->channel),
        .group = str_of(one->group),
        .user = str_of(one->user),
        .password = str_of(one->password),
        .token = str_of(one->token),
        .credentials = str_of(o->credentials_file),
        .tls_ca = str_of(o->tls_ca),
        .tls_certificate = str_of(o->tls_certificate),
        .tls_key = str_of(o->tls_key),
        .attribute_prefix = str_of(o->attribute_prefix),
        .unacked_max = o->unacked_max,
        .window = o->window,
        .body_max = BODY_MAX,
        .declares = o->declares,
    };
}

/* Queues of RabbitMQ and groups of Kafka are known by their name alone, whatever the channel: two shops
 * on one broker would take each other's messages. */
static void set_group(struct relays *r, enum relay_kind kind, struct buf *complaints)
{
    const struct relay_options *o = &r->config.options[kind];
    struct one_relay *one = &r->list[kind];

    if (o->group[0])
        copy_text(one->group, sizeof(one->group), str_of(o->group));
    else if (strcmp(o->channel, relay_options_default.channel) == 0)
        copy_text(one->group, sizeof(one->group), r->config.group);
    else
        (void)snprintf(one->group, sizeof(one->group), STR_FMT "-%s", STR_ARG(r->config.group),
                       o->channel);
    check_name(kinds[kind].name, "group", one->group, complaints);
}

static void create_one(struct relays *r, enum relay_kind kind, struct buf *complaints)
{
    const struct relay_options *o = &r->config.options[kind];
    const char *name = kinds[kind].name;
    struct one_relay *one = &r->list[kind];
    struct broker_relay_config config;
    char why[BROKER_MODULE_WHY_MAX] = "";
    size_t complained = complaints->n;

    set_topics(one, name, o->topics, complaints);
    check_name(name, "channel", o->channel, complaints);
    set_group(r, kind, complaints);
    read_secret(name, "password_file", o->password_file, o->password, one->password, complaints);
    read_secret(name, "token_file", o->token_file, o->token, one->token, complaints);
    relay_files_check(name, o, complaints);
    if (complaints->n != complained)
        return;
    config = (struct broker_relay_config){
        .id = kinds[kind].id,
        .broker = broker_config_of(r, kind),
        .topics = one->topics,
        .from = o->from,
        .encoding = o->encoding,
        .mode = o->mode,
        .slack_percent = o->slack_percent,
        .origin = r->config.origin,
        .cloud = r->config.cloud,
        .listens = o->listens,
        .reader = r->config.reader,
        .log = r->config.log,
        .app = r->config.app,
        .loop = r->config.loop,
    };
    if (broker_module_load(name, r->config.modules, &config.module, why) != ERR_OK) {
        complain(complaints, "%s: %s", one->url_from, why);
        return;
    }
    one->relay = broker_relay_create(&config, why);
    if (!one->relay)
        complain(complaints, "%s: %s", one->url_from, why);
}

enum err relays_create(const struct relays_config *config, struct relays **out,
                       struct buf *complaints)
{
    struct relays *r = mem_zalloc(sizeof(*r));
    size_t complained = complaints->n;

    r->config = *config;
    set_urls(r, complaints);
    for (unsigned k = 0; k < RELAY_KINDS; k++)
        if (r->list[k].url.n)
            create_one(r, (enum relay_kind)k, complaints);
    *out = r;
    return complaints->n == complained ? ERR_OK : ERR_INVALID;
}

bool relays_any(const struct relays *r)
{
    for (unsigned k = 0; k < RELAY_KINDS; k++)
        if (r->list[k].relay)
            return true;
    return false;
}

/* ---- life ------------------------------------------------------------------------------------ */

#define FOR_EACH_RELAY(r, one)                                                                     \
    for (struct one_relay *one = (r)->list; one < (r)->list + RELAY_KINDS; one++)                  \
        if (one->relay)

/* Whoever sets an option of a relay expects one, and would wait for its messages. */
static void warn_of_unused(const struct relays *r)
{
    for (unsigned k = 0; k < RELAY_KINDS; k++) {
        const struct log_field fields[] = {
            { "relay", str_of(kinds[k].name) },
            { "options", str_of(r->config.options[k].said) },
            { "why", STR("there is no such relay: neither --relay nor its url names a broker") },
        };

        if (!r->list[k].relay && r->config.options[k].said[0])
            log_write(r->config.log, LOG_WARN, "relay_options_unused", fields, ARRAY_LEN(fields));
    }
}

void relays_start(struct relays *r)
{
    warn_of_unused(r);
    FOR_EACH_RELAY(r, one)
    {
        broker_relay_start(one->relay);
    }
}

void relays_drain(struct relays *r)
{
    FOR_EACH_RELAY(r, one)
    {
        broker_relay_drain(one->relay);
    }
}

static void on_one_closed(void *ctx)
{
    struct relays *r = ctx;

    if (--r->n_open == 0)
        r->on_closed(r->closed_ctx);
}

void relays_close(struct relays *r, void (*on_closed)(void *ctx), void *ctx)
{
    r->on_closed = on_closed;
    r->closed_ctx = ctx;
    r->n_open = 1; /* our own, so that none of them is the last before all are asked */
    FOR_EACH_RELAY(r, one)
    {
        r->n_open++;
        broker_relay_close(one->relay, on_one_closed, r);
    }
    on_one_closed(r);
}

void relays_destroy(struct relays *r)
{
    if (!r)
        return;
    FOR_EACH_RELAY(r, one)
    {
        broker_relay_destroy(one->relay);
    }
    explicit_bzero(r->list, sizeof(r->list));
    mem_free(r);
}
