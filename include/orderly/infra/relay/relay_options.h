/* What an operator says of relays, one of each kind of broker. Texts; what they mean is checked by
 * relays_create. */
#ifndef ORDERLY_INFRA_RELAY_OPTIONS_H
#define ORDERLY_INFRA_RELAY_OPTIONS_H
#include <stdbool.h>
#include <stdint.h>

#define RELAY_TEXT_MAX 1024
#define RELAY_NAME_MAX 64
#define RELAY_PREFIX_MAX                                                                           \
    32 /* an adapter has room for it, and a broker for it and the name behind it */
#define RELAY_PATH_MAX 4096
#define RELAY_LOG_ORIGIN_MAX 64 /* bytes of what names this log to brokers */
#define RELAY_SECRET_MAX 1024   /* bytes of a password or a token */

/* name, first scheme, scheme with TLS. The name is that of the subscription and of the adapter. */
#define RELAY_KIND_MAP(X)                                                                          \
    X(NATS, "nats", "nats", "tls")                                                                 \
    X(KAFKA, "kafka", "kafka", "kafka+tls")                                                        \
    X(RABBITMQ, "rabbitmq", "amqp", "amqps")
enum relay_kind {
#define X(name, text, scheme, tls) RELAY_##name,
    RELAY_KIND_MAP(X)
#undef X
        RELAY_KINDS
};

/* In the order of the option's choices. */
enum relay_encoding {
    RELAY_ENCODING_JSON,
    RELAY_ENCODING_CLOUDEVENTS,
    RELAY_ENCODING_PROTOBUF, /* CloudEvents in their protobuf format, with messages of proto/ */
};
/* Of CloudEvents: attributes beside the payload, or all in one JSON object. */
enum relay_mode { RELAY_MODE_BINARY, RELAY_MODE_STRUCTURED };

/* Where a relay begins that has no place in the log yet. */
enum relay_from { RELAY_FROM_BEGINNING, RELAY_FROM_NOW };

#define RELAY_WINDOW_DEFAULT 4096
#define RELAY_WINDOW_MAX 65536
#define RELAY_UNACKED_DEFAULT 256
#define RELAY_UNACKED_MAX 4096
/* With the first the 99th percentile of the orders stayed below 1.5 times that without a relay, on two
 * cores and one disk for all. With the last, orders hardly count. */
#define RELAY_SLACK_PERCENT_DEFAULT 20
#define RELAY_SLACK_PERCENT_MAX 10000

struct relay_options {
    char url[RELAY_TEXT_MAX]; /* "": no relay of this kind */
    char channel[RELAY_NAME_MAX + 1];
    char group[RELAY_NAME_MAX + 1]; /* "": orderly[-CONTEXTS][-CHANNEL] */
    char topics[RELAY_TEXT_MAX];
    enum relay_from from;
    bool listens;
    enum relay_encoding encoding;
    enum relay_mode mode;
    char attribute_prefix[RELAY_PREFIX_MAX + 1];
    uint32_t window, unacked_max, slack_percent;
    bool declares;
    char user[RELAY_TEXT_MAX];
    char password_file[RELAY_PATH_MAX], token_file[RELAY_PATH_MAX];
    char credentials_file[RELAY_PATH_MAX];
    /* By a variable, instead of a file; the first line counts. Never in a log, and never by a flag. */
    char password[RELAY_SECRET_MAX + 1], token[RELAY_SECRET_MAX + 1];
    /* Names of the options of this relay that somebody set, but for the url, with blanks between: where
     * there is no such relay, they are warned of. */
    char said[RELAY_TEXT_MAX];
    char tls_ca[RELAY_PATH_MAX], tls_certificate[RELAY_PATH_MAX], tls_key[RELAY_PATH_MAX];
};

extern const struct relay_options relay_options_default;
#endif
