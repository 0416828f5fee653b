#include "table.h"

#define AT(member)                                                                                 \
    .offset = offsetof(struct options, member), .size = sizeof(((struct options *)0)->member)
#define AND(member) .offset_2 = offsetof(struct options, member)
#define SECRET(member) .secret_offset = offsetof(struct options, member)

#define HOUR_MS (3600 * 1000LL)
#define DAY_MS (24 * HOUR_MS)

static const struct option serving[] = {
    { "listen", "ADDRESS:PORT", "where to listen; port 0 takes a free one", .type = OPTION_LISTEN,
      .has_flag = true, .least = 1, .most = 255, AT(listen) },
    { "token-file", "FILE",
      "bearer tokens and their roles, mode 0600; needed beyond loopback, reread on SIGHUP",
      .type = OPTION_PATH, .has_flag = true, AT(token_file) },
    { "names", "NAME,…", "on loopback: further names that requests may give as Host",
      .type = OPTION_NAMES, .has_flag = true, .most = 1000, AT(names) },
    { "origins", "ORIGIN,…", "web pages that may send commands: scheme://host[:port]",
      .type = OPTION_ORIGINS, .has_flag = true, .most = 1000, AT(origins) },
    { "contexts", "NAME,…",
      "of orders, payments, inventory, shipments those that this process has, for good",
      .type = OPTION_CONTEXTS, .has_flag = true, AT(app.contexts) },
    { "demo", "", "add six products and two discounts where they are missing",
      .type = OPTION_SWITCH, .has_flag = true, AT(demo) },
    { "drain", "TIME", "at SIGTERM or SIGINT, how long to wait for what is in progress",
      .type = OPTION_DURATION, .has_flag = true, .most = HOUR_MS, AT(drain_ms) },
    { "config", "FILE", "read 'key = value' lines from here", .type = OPTION_PATH, .has_flag = true,
      .not_in_file = true, AT(config) },
};

static const struct option outside[] = {
    { "cloudevents.source", "URI", "the source of our messages as CloudEvents, a URI reference",
      .type = OPTION_SOURCE, .least = 1, .most = CLOUD_SOURCE_MAX, AT(cloud_source) },
    { "cloudevents.type_prefix", "TEXT",
      "before the topic in their type, such as com.example.; taken off what comes in",
      .type = OPTION_TYPE_PREFIX, .most = CLOUD_TYPE_PREFIX_MAX, AT(cloud_type_prefix) },
};

static const struct option logging[] = {
    { "log.level", "LEVEL", "least level of the lines on stderr", .type = OPTION_CHOICE,
      .choices = "debug|info|warn|error", .has_flag = true, AT(log_level) },
    { "log.audit", "", "one line for each integration message", .type = OPTION_SWITCH,
      AT(app.audit) },
};

static const struct option keeping[] = {
    { "store", "KIND", "lmdb: on disk, in --data; memory: gone when the process ends",
      .type = OPTION_CHOICE, .choices = "lmdb|memory", .has_flag = true, AT(store) },
    { "data", "DIR", "the durable store's directory; made where it is missing", .type = OPTION_PATH,
      .has_flag = true, .least = 1, AT(data) },
    { "store_bytes_max", "SIZE", "the store never grows beyond; 0: as the disk allows",
      .type = OPTION_BYTES, .most = 1ULL << 46, AT(store_bytes_max) },
    { "memory_events_max", "N", "events that the memory store holds; new orders stop at 80 %",
      .type = OPTION_COUNT, .least = 1000, .most = 1000000000, AT(memory_events_max) },
    { "idempotency_keys_max", "N", "Idempotency-Keys of the last 24 h; beyond: 503",
      .type = OPTION_COUNT, .least = 1, .most = 1000000000, AT(app.idempotency_keys_max) },
    { "cache_bytes", "SIZE", "settled orders and carts kept in memory", .type = OPTION_BYTES,
      .least = 1 << 20, .most = 1ULL << 40, AT(app.cache_bytes_max) },
    { "products_max", "N", "products in the catalogue; more are refused", .type = OPTION_COUNT,
      .least = 1, .most = 10000000, AT(app.products_max) },
    { "stream_clients_max", "N", "clients that follow events or messages; beyond: 503",
      .type = OPTION_COUNT, .least = 1, .most = 1000000, AT(app.followers_max) },
};

/* The currencies stand before the amounts that are read with them. */
static const struct option orders[] = {
    { "payment.timeout", "TIME", "an unpaid order is cancelled after this; 0: never",
      .type = OPTION_DURATION, .most = 3650 * DAY_MS, AT(app.payment_timeout_ms) },
    { "currency.default", "CODE", "where neither the catalogue nor the request names one",
      .type = OPTION_CURRENCY, AT(app.default_currency) },
#define DISCOUNTS(flow, index)                                                                          \
    { "discounts." flow ".line_percent",                                                                \
      "PERCENT",                                                                                        \
      "off a line …",                                                                                   \
      .type = OPTION_PERCENT,                                                                           \
      .most = 10000,                                                                                    \
      AT(app.discounts[index].line_percent_hundredths) },                                               \
        { "discounts." flow ".line_from", "PIECES",      "… from this many pieces; 0: off",             \
          .type = OPTION_COUNT,           .most = 10000, AT(app.discounts[index].line_from_quantity) }, \
        { "discounts." flow ".currency", "CODE", "of the two amounts; else the default currency",       \
          .type = OPTION_CURRENCY, AT(app.discounts[index].order_currency) },                           \
        { "discounts." flow ".order_amount",                                                            \
          "AMOUNT",                                                                                     \
          "off an order, once, …",                                                                      \
          .type = OPTION_MONEY,                                                                         \
          .currency_offset = offsetof(struct options, app.discounts[index].order_currency),             \
          AT(app.discounts[index].order_amount) },                                                      \
    {                                                                                                   \
        "discounts." flow ".order_above", "AMOUNT", "… whose subtotal is above this",                   \
            .type = OPTION_MONEY,                                                                       \
            .currency_offset = offsetof(struct options, app.discounts[index].order_currency),           \
            AT(app.discounts[index].order_above)                                                        \
    }
    DISCOUNTS("pay_first", FLOW_PAY_FIRST),
    DISCOUNTS("stock_first", FLOW_STOCK_FIRST),
#undef DISCOUNTS
};

#define SIMULATOR(name, modes)                                                                     \
    { "simulators." #name ".enabled", "", "off: the real one is outside", .type = OPTION_SWITCH,   \
      AT(app.simulators.name.enabled) },                                                           \
        { "simulators." #name ".mode", "MODE",           "what it answers",                        \
          .type = OPTION_CHOICE,       .choices = modes, AT(app.simulators.name.mode) },           \
        { "simulators." #name ".delayMs",                                                          \
          "MS",                                                                                    \
          "how long it takes, both flows",                                                         \
          .type = OPTION_MS,                                                                       \
          .most = SIMULATOR_DELAY_MAX_MS,                                                          \
          AT(app.simulators.name.delay_ms[FLOW_PAY_FIRST]),                                        \
          AND(app.simulators.name.delay_ms[FLOW_STOCK_FIRST]) },                                   \
        { "simulators." #name ".delayMs.pay_first",                                                \
          "MS",                                                                                    \
          "in this flow",                                                                          \
          .type = OPTION_MS,                                                                       \
          .general = "simulators." #name ".delayMs",                                               \
          .most = SIMULATOR_DELAY_MAX_MS,                                                          \
          AT(app.simulators.name.delay_ms[FLOW_PAY_FIRST]) },                                      \
        { "simulators." #name ".delayMs.stock_first",                                              \
          "MS",                                                                                    \
          "in this flow",                                                                          \
          .type = OPTION_MS,                                                                       \
          .general = "simulators." #name ".delayMs",                                               \
          .most = SIMULATOR_DELAY_MAX_MS,                                                          \
          AT(app.simulators.name.delay_ms[FLOW_STOCK_FIRST]) },                                    \
    {                                                                                              \
        "simulators." #name ".failFirst", "N", "let its handler fail this often per message",      \
            .type = OPTION_COUNT, .most = 1000000, AT(app.simulators.name.fail_first)              \
    }

static const struct option simulators[] = {
    SIMULATOR(payments, "approve|decline|wait"),
    { "simulators.payments.failureRate", "0..1", "share of orders that are declined",
      .type = OPTION_RATIO, AT(app.simulators.payments.failure_rate) },
    { "simulators.payments.poisonRate", "0..1", "share of orders whose handler always fails",
      .type = OPTION_RATIO, AT(app.simulators.payments.poison_rate) },
    { "simulators.payments.seed", "N", "of the two shares", .type = OPTION_COUNT, .most = INT64_MAX,
      AT(app.simulators.payments.seed) },
    { "simulators.payments.declineAbove", "AMOUNT", "decline what is above; none: nothing is",
      .type = OPTION_LEVEL, AT(app.simulators.payments.decline_above_e4) },
    { "simulators.payments.reason", "TEXT", "of a decline", .type = OPTION_TEXT, .least = 1,
      .most = SIMULATOR_REASON_MAX, AT(app.simulators.payments.reason) },
    SIMULATOR(inventory, "auto|reject"),
    SIMULATOR(shipments, "auto|wait"),
};

static const struct option bus[] = {
    { "bus.window", "N", "messages in work of a subscription", .type = OPTION_COUNT, .least = 1,
      .most = 1000000, AT(app.bus_window) },
    { "bus.retries", "N", "after the first attempt, before a dead letter", .type = OPTION_COUNT,
      .most = 100, AT(app.retries) },
    { "bus.retry_base", "TIME", "before the first retry; four times as long before each next",
      .type = OPTION_DURATION, .least = 1, .most = HOUR_MS, AT(app.retry_base_ms) },
    { "bus.retry_max", "TIME", "never longer than this", .type = OPTION_DURATION, .least = 1,
      .most = DAY_MS, AT(app.retry_max_ms) },
};

/* One relay to each kind of broker. The help tells of a row once: what it is called there is made by
 * shown, of the first kind TOLD_OF_EACH, of the others TOLD_ALREADY. */
#define TOLD_OF_EACH(name) "relay.K." name
#define TOLD_ALREADY(name) ""
#define RELAY(kind, index, shown)                                                                  \
    { "relay." kind ".url",                                                                        \
      "URL",                                                                                       \
      "its broker; the same as --relay",                                                           \
      .help_key = shown("url"),                                                                    \
      .type = OPTION_RELAY_URL,                                                                    \
      .least = (index),                                                                            \
      .most = RELAY_TEXT_MAX - 1,                                                                  \
      AT(relays[index].url) },                                                                     \
        { "relay." kind ".channel",                                                                \
          "NAME",                                                                                  \
          "stream and subjects, topic, or exchange of the broker",                                 \
          .help_key = shown("channel"),                                                            \
          .type = OPTION_RELAY_NAME,                                                               \
          .least = 1,                                                                              \
          .most = RELAY_NAME_MAX,                                                                  \
          AT(relays[index].channel) },                                                             \
        { "relay." kind ".group",                                                                  \
          "NAME",                                                                                  \
          "consumer, group or queue; else orderly, with what contexts and channel are told",       \
          .help_key = shown("group"),                                                              \
          .type = OPTION_RELAY_NAME,                                                               \
          .most = RELAY_NAME_MAX,                                                                  \
          AT(relays[index].group) },                                                               \
        { "relay." kind ".topics",                                                                 \
          "TOPIC,…",                                                                               \
          "that are passed on: order.placed, order.*, *",                                          \
          .help_key = shown("topics"),                                                             \
          .type = OPTION_TOPICS,                                                                   \
          .most = RELAY_TEXT_MAX - 1,                                                              \
          AT(relays[index].topics) },                                                              \
        { "relay." kind ".from",                                                                   \
          "PLACE",                                                                                 \
          "where a relay begins that is new to this log",                                          \
          .help_key = shown("from"),                                                               \
          .type = OPTION_CHOICE,                                                                   \
          .choices = "beginning|now",                                                              \
          AT(relays[index].from) },                                                                \
        { "relay." kind ".listen",                                                                 \
          "",                                                                                      \
          "take messages of outside contexts from it",                                             \
          .help_key = shown("listen"),                                                             \
          .type = OPTION_SWITCH,                                                                   \
          AT(relays[index].listens) },                                                             \
        { "relay." kind ".encoding",  "FORM",                                                      \
          "how messages are written", .help_key = shown("encoding"),                               \
          .type = OPTION_CHOICE,      .choices = "json|cloudevents|protobuf",                      \
          AT(relays[index].encoding) },                                                            \
        { "relay." kind ".mode",                                                                   \
          "MODE",                                                                                  \
          "of CloudEvents: attributes in headers, or all in the body",                             \
          .help_key = shown("mode"),                                                               \
          .type = OPTION_CHOICE,                                                                   \
          .choices = "binary|structured",                                                          \
          AT(relays[index].mode) },                                                                \
        { "relay." kind ".attribute_prefix",                                                       \
          "TEXT",                                                                                  \
          "before CloudEvents' attributes in headers; else the broker's usual one",                \
          .help_key = shown("attribute_prefix"),                                                   \
          .type = OPTION_PREFIX,                                                                   \
          .least = (index),                                                                        \
          .most = RELAY_PREFIX_MAX,                                                                \
          AT(relays[index].attribute_prefix) },                                                    \
        { "relay." kind ".window",                                                                 \
          "N",                                                                                     \
          "messages that may wait for the broker's word",                                          \
          .help_key = shown("window"),                                                             \
          .type = OPTION_COUNT,                                                                    \
          .least = 1,                                                                              \
          .most = RELAY_WINDOW_MAX,                                                                \
          AT(relays[index].window) },                                                              \
        { "relay." kind ".unacked_max",                                                            \
          "N",                                                                                     \
          "messages from it that may wait for our log",                                            \
          .help_key = shown("unacked_max"),                                                        \
          .type = OPTION_COUNT,                                                                    \
          .least = 1,                                                                              \
          .most = RELAY_UNACKED_MAX,                                                               \
          AT(relays[index].unacked_max) },                                                         \
        { "relay." kind ".slack_percent",                                                          \
          "N",                                                                                     \
          "how much longer events may wait while it publishes",                                    \
          .help_key = shown("slack_percent"),                                                      \
          .type = OPTION_COUNT,                                                                    \
          .least = 0,                                                                              \
          .most = RELAY_SLACK_PERCENT_MAX,                                                         \
          AT(relays[index].slack_percent) },                                                       \
        { "relay." kind ".declare",                                                                \
          "",                                                                                      \
          "make what is missing there: stream, topic, exchange, queue",                            \
          .help_key = shown("declare"),                                                            \
          .type = OPTION_SWITCH,                                                                   \
          AT(relays[index].declares) },                                                            \
        { "relay." kind ".user",      "NAME",                                                      \
          "also as USER@ in the URL", .help_key = shown("user"),                                   \
          .type = OPTION_TEXT,        .most = RELAY_TEXT_MAX - 1,                                  \
          AT(relays[index].user) },                                                                \
        { "relay." kind ".password_file",                                                          \
          "FILE",                                                                                  \
          "mode 0600; its first line; or the variable ORDERLY_RELAY_K_PASSWORD",                   \
          .help_key = shown("password_file"),                                                      \
          .type = OPTION_PATH,                                                                     \
          AT(relays[index].password_file),                                                         \
          SECRET(relays[index].password) },                                                        \
        { "relay." kind ".tls_ca",                                                                 \
          "FILE",                                                                                  \
          "PEM; who may sign the broker's certificate",                                            \
          .help_key = shown("tls_ca"),                                                             \
          .type = OPTION_PATH,                                                                     \
          AT(relays[index].tls_ca) },                                                              \
        { "relay." kind ".tls_certificate",                                                        \
          "FILE",                                                                                  \
          "PEM; ours, where the broker asks for one",                                              \
          .help_key = shown("tls_certificate"),                                                    \
          .type = OPTION_PATH,                                                                     \
          AT(relays[index].tls_certificate) },                                                     \
    {                                                                                              \
        "relay." kind ".tls_key", "FILE", "PEM; of that certificate",                              \
            .help_key = shown("tls_key"), .type = OPTION_PATH, AT(relays[index].tls_key)           \
    }

static const struct option relays[] = {
    { "relay", "URL,…",
      "pass messages on to these brokers: nats://, kafka://, amqp://HOST[:PORT]; with TLS tls://, "
      "kafka+tls://, amqps://",
      .type = OPTION_RELAY_URLS, .has_flag = true, .most = OPTIONS_TEXT_MAX - 1, AT(relay) },
    { "relay.modules", "DIR", "where the brokers' adapters are; else beside the program",
      .type = OPTION_PATH, AT(relay_modules) },
    RELAY("nats", RELAY_NATS, TOLD_OF_EACH),
    RELAY("kafka", RELAY_KAFKA, TOLD_ALREADY),
    RELAY("rabbitmq", RELAY_RABBITMQ, TOLD_ALREADY),
    { "relay.nats.token_file", "FILE",
      "mode 0600; its first line; or the variable ORDERLY_RELAY_NATS_TOKEN", .type = OPTION_PATH,
      AT(relays[RELAY_NATS].token_file), SECRET(relays[RELAY_NATS].token) },
    { "relay.nats.credentials_file", "FILE", "mode 0600; with a JWT and its seed",
      .type = OPTION_PATH, AT(relays[RELAY_NATS].credentials_file) },
};

/* The HTTP server's own table, row by row; a limit is bytes, ms or a count by its unit. */
static const struct option http[] = {
#define X(name, value, unit, beyond)                                                               \
    {                                                                                              \
        "http." #name,                                                                             \
        unit,                                                                                      \
        beyond,                                                                                    \
        .type = OPTION_COUNT,                                                                      \
        .is_limit = true,                                                                          \
        .least = 1,                                                                                \
        .most = 1ULL << 40,                                                                        \
        AT(http.name)                                                                              \
    },
    HTTP_LIMITS_MAP(X)
#undef X
};

#define GROUP(title, rows)                                                                         \
    {                                                                                              \
        title, rows, ARRAY_LEN(rows)                                                               \
    }
const struct option_group option_groups[] = {
    GROUP("Serving", serving),
    GROUP("Messages", outside),
    GROUP("Relays to brokers; for K nats, kafka or rabbitmq", relays),
    GROUP("Log", logging),
    GROUP("Store and memory", keeping),
    GROUP("Orders", orders),
    GROUP("The built-in contexts, at a directory's first start (later: PUT /simulators/…)",
          simulators),
    GROUP("Bus", bus),
    GROUP("Limits of the HTTP server", http),
};
const unsigned option_groups_len = ARRAY_LEN(option_groups);

unsigned option_count(void)
{
    unsigned n = 0;

    for (unsigned g = 0; g < option_groups_len; g++)
        n += option_groups[g].len;
    return n;
}

const struct option *option_at(unsigned i)
{
    for (unsigned g = 0; g < option_groups_len; g++) {
        if (i < option_groups[g].len)
            return &option_groups[g].options[i];
        i -= option_groups[g].len;
    }
    UNREACHABLE("an option has an index below option_count");
}

bool option_key_eq(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        char x = a.p[i] == '_' ? '-' : a.p[i];
        char y = b.p[i] == '_' ? '-' : b.p[i];

        if (x != y)
            return false;
    }
    return true;
}

unsigned option_find(struct str key)
{
    unsigned n = option_count();

    for (unsigned i = 0; i < n; i++)
        if (option_key_eq(key, str_of(option_at(i)->key)))
            return i;
    return n;
}

void option_env_name(const struct option *opt, char out[OPTION_ENV_MAX])
{
    static const char prefix[] = "ORDERLY_";
    size_t n = sizeof(prefix) - 1;

    memcpy(out, prefix, n);
    for (const char *p = opt->key; *p; p++) {
        bool upper = *p >= 'A' && *p <= 'Z';

        REQUIRE(n + 3 < OPTION_ENV_MAX);
        if (upper)
            out[n++] = '_';
        if (*p >= 'a' && *p <= 'z')
            out[n++] = (char)(*p - 'a' + 'A');
        else
            out[n++] = *p == '.' || *p == '-' ? '_' : *p;
    }
    out[n] = 0;
}

void option_secret_name(const struct option *opt, char out[OPTION_ENV_MAX])
{
    size_t n;

    out[0] = 0;
    if (!opt->secret_offset)
        return;
    option_env_name(opt, out);
    n = strlen(out);
    REQUIRE(n > 5 && strcmp(out + n - 5, "_FILE") == 0);
    out[n - 5] = 0;
}
