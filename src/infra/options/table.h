/* The one table of options. Private to options/. */
#ifndef ORDERLY_INFRA_OPTIONS_TABLE_H
#define ORDERLY_INFRA_OPTIONS_TABLE_H
#include "orderly/infra/options/options.h"

enum option_type {
    OPTION_TEXT,       /* char[size], at most `most` code points */
    OPTION_LISTEN,     /* char[size], an address and a port */
    OPTION_RELAY_URLS, /* char[size], a list of URLs of brokers, of all flags; nobody may read it */
    OPTION_RELAY_URL,  /* the same, one of the kind `least`; may be empty */
    OPTION_RELAY_NAME, /* char[size]; may be empty where `least` is 0 */
    OPTION_PREFIX,     /* char[size], of header fields, for the relay `least`; may be empty */
    OPTION_TOPICS,     /* char[size], a list of patterns of topics */
    OPTION_NAMES,      /* char[size], a list of host names */
    OPTION_ORIGINS,    /* char[size], a list of web origins */
    OPTION_SOURCE,     /* char[size], a URI reference */
    OPTION_TYPE_PREFIX, /* char[size], before the types of CloudEvents; may be empty */
    OPTION_PATH,        /* char[size], not empty */
    OPTION_CONTEXTS,    /* unsigned: CONTEXT_BIT(ORDERS) | … */
    OPTION_SWITCH,      /* bool */
    OPTION_CHOICE,      /* an enum that counts from 0 in the order of `choices` */
    OPTION_DURATION,    /* integer, in ms; written with a unit */
    OPTION_MS,          /* integer, in ms; a number alone is ms */
    OPTION_BYTES,       /* integer */
    OPTION_COUNT,       /* integer */
    OPTION_RATIO,       /* double, 0..1 */
    OPTION_PERCENT,     /* uint32_t, in hundredths of a percent */
    OPTION_CURRENCY,    /* struct currency */
    OPTION_MONEY, /* int64_t, minor units of the currency at currency_offset, else the default */
    OPTION_LEVEL, /* simulators.payments.declineAbove: an amount in any currency, or none */
};

struct option {
    const char *key;  /* payment.timeout; '-' and '_' are one character to a reader */
    const char *what; /* placeholder in the help */
    const char *help; /* one sentence, no full stop */
    const char *choices;
    /* NULL, or the key of the option that sets this one too. It wins if it came by a stronger
     * source. */
    const char *general;
    enum option_type type;
    bool has_flag;        /* --key, beside --set key=value */
    bool not_in_file;     /* config itself */
    const char *help_key; /* what the help calls it; NULL: key; "": another row tells of it */
    bool is_limit;        /* `what` is the unit and tells the type, `help` what happens beyond */
    uint64_t least, most;
    size_t offset, size; /* in struct options */
    size_t
        secret_offset; /* char[RELAY_SECRET_MAX + 1]; its variable is this one's without _FILE; 0: none */
    size_t offset_2; /* a second place that gets the same value; 0: none */
    size_t currency_offset;
};

struct option_group {
    const char *title;
    const struct option *options;
    unsigned len;
};

extern const struct option_group option_groups[];
extern const unsigned option_groups_len;

/* All rows of all groups in the order in which values are taken over. */
unsigned option_count(void);
const struct option *option_at(unsigned i);

/* '-' and '_' are one. */
bool option_key_eq(struct str a, struct str b);
/* Returns the index, or option_count() if no option has this key. */
unsigned option_find(struct str key);
/* payment.timeout -> ORDERLY_PAYMENT_TIMEOUT, delayMs -> DELAY_MS. */
#define OPTION_ENV_MAX 96
void option_env_name(const struct option *opt, char out[OPTION_ENV_MAX]);
/* ORDERLY_RELAY_NATS_PASSWORD of password_file; "" where it has no secret_offset. */
void option_secret_name(const struct option *opt, char out[OPTION_ENV_MAX]);
/* The key that was probably meant, or NULL. */
const char *option_nearest(struct str key);
/* The nearer of what may_be_meant offers (NULL ends), or NULL if none is near. */
const char *option_nearest_of(struct str text, const char *const *offers);

/* Takes the text over into o. False: not allowed, and `why` says what is. */
MUST_CHECK bool option_set(const struct option *opt, struct options *o, struct str text,
                           struct buf *why);
/* Its value is not repeated in a complaint: it may hold a password. */
bool option_is_secret(const struct option *opt);
/* What option_set would read; "" where nothing is set. */
void option_print(const struct option *opt, const struct options *o, struct buf *out);
#endif
