/* Texts to values and back, one pair for each type of option. */
#include "orderly/infra/loop/tcp.h"
#include "orderly/infra/relay/relay_text.h"
#include "orderly/infra/relay/relay_url.h"
#include "table.h"

struct unit {
    const char *name;
    uint64_t factor;
};
/* Largest first: a value is printed in the largest unit that it is a whole number of. */
static const struct unit duration_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
static const struct unit byte_units[] = {
    { "GiB", 1 << 30 },
    { "MiB", 1 << 20 },
    { "KiB", 1 << 10 },
    { "", 1 },
};

static void *place(struct options *o, size_t offset)
{
    return (char *)o + offset;
}
static const void *place_const(const struct options *o, size_t offset)
{
    return (const char *)o + offset;
}

static void put_integer(const struct option *opt, struct options *o, uint64_t value)
{
    uint32_t value_32 = (uint32_t)value;
    size_t offsets[] = { opt->offset, opt->offset_2 };

    REQUIRE(opt->size == sizeof(value) || opt->size == sizeof(value_32));
    for (unsigned i = 0; i < ARRAY_LEN(offsets); i++) {
        if (i && !offsets[i])
            continue;
        if (opt->size == sizeof(value))
            memcpy(place(o, offsets[i]), &value, sizeof(value));
        else
            memcpy(place(o, offsets[i]), &value_32, sizeof(value_32));
    }
}

static uint64_t get_integer(const struct option *opt, const struct options *o)
{
    uint64_t value;
    uint32_t value_32;

    if (opt->size == sizeof(value)) {
        memcpy(&value, place_const(o, opt->offset), sizeof(value));
        return value;
    }
    memcpy(&value_32, place_const(o, opt->offset), sizeof(value_32));
    return value_32;
}

/* A row of the HTTP server's limits says in its unit what it counts. */
static enum option_type integer_type(const struct option *opt)
{
    struct str unit = str_of(opt->what);

    if (!opt->is_limit)
        return opt->type;
    if (str_eq(unit, STR("ms")) || str_starts_with(unit, STR("ms ")))
        return OPTION_MS;
    if (str_eq(unit, STR("bytes")) || str_starts_with(unit, STR("bytes")))
        return OPTION_BYTES;
    return OPTION_COUNT;
}

static void print_in_units(uint64_t value, const struct unit *units, unsigned n, struct buf *out)
{
    for (unsigned i = 0; i < n; i++) {
        if (value == 0 || value % units[i].factor)
            continue;
        buf_printf(out, "%llu%s", (unsigned long long)(value / units[i].factor), units[i].name);
        return;
    }
    buf_printf(out, "%llu", (unsigned long long)value);
}

static void print_integer(const struct option *opt, uint64_t value, struct buf *out)
{
    switch (integer_type(opt)) {
    case OPTION_DURATION:
    case OPTION_MS:
        print_in_units(value, duration_units, ARRAY_LEN(duration_units), out);
        break;
    case OPTION_BYTES:
        print_in_units(value, byte_units, ARRAY_LEN(byte_units), out);
        break;
    default:
        buf_printf(out, "%llu", (unsigned long long)value);
    }
}

/* Digits, and at most `scale` more after a point; the value times 10^scale. */
static bool parse_decimal(struct str text, unsigned scale, uint64_t *out)
{
    uint64_t value = 0;
    size_t digits = 0, i = 0;
    unsigned fraction = 0;
    bool has_point = false;

    for (; i < text.n; i++) {
        char c = text.p[i];

        if (c == '.' && !has_point && digits) {
            has_point = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        if (has_point && fraction == scale) {
            if (c != '0')
                return false;
            continue;
        }
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
            return false;
        digits++;
        fraction += has_point;
    }
    if (!digits || text.p[text.n - 1] == '.')
        return false;
    for (; fraction < scale; fraction++)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    *out = value;
    return true;
}

/* "30m", "1m30s", "64MiB"; a number alone only where may_be_bare. */
static bool parse_with_units(struct str text, const struct unit *units, unsigned n_units,
                             bool may_be_bare, uint64_t *out)
{
    uint64_t sum = 0;
    size_t i = 0;

    while (i < text.n) {
        uint64_t value;
        size_t start = i;
        const struct unit *unit = NULL;

        while (i < text.n && text.p[i] >= '0' && text.p[i] <= '9')
            i++;
        if (!str_to_u64((struct str){ text.p + start, i - start }, &value))
            return false;
        start = i;
        while (i < text.n && (text.p[i] < '0' || text.p[i] > '9'))
            i++;
        for (unsigned u = 0; u < n_units; u++)
            if (str_eq((struct str){ text.p + start, i - start }, str_of(units[u].name)))
                unit = &units[u];
        if (!unit && (i != start || !(may_be_bare || value == 0)))
            return false;
        if (__builtin_mul_overflow(value, unit ? unit->factor : 1, &value) ||
            __builtin_add_overflow(sum, value, &sum))
            return false;
    }
    *out = sum;
    return text.n > 0;
}

static bool set_integer(const struct option *opt, struct options *o, struct str text,
                        struct buf *why)
{
    uint64_t value = 0;
    bool ok;

    switch (integer_type(opt)) {
    case OPTION_DURATION:
        ok = parse_with_units(text, duration_units, ARRAY_LEN(duration_units), false, &value);
        if (!ok)
            buf_printf(why, "must be a time with its unit, such as 500ms, 10s, 30m, 2h");
        break;
    case OPTION_MS:
        ok = parse_with_units(text, duration_units, ARRAY_LEN(duration_units), true, &value);
        if (!ok)
            buf_printf(why, "must be a number of milliseconds, or a time such as 500ms, 10s");
        break;
    case OPTION_BYTES:
        ok = parse_with_units(text, byte_units, ARRAY_LEN(byte_units), true, &value);
        if (!ok)
            buf_printf(why, "must be a number of bytes, or a size such as 16KiB, 64MiB");
        break;
    default:
        ok = str_to_u64(text, &value);
        if (!ok)
            buf_printf(why, "must be a whole number");
    }
    if (ok && (value < opt->least || value > opt->most)) {
        ok = false;
        buf_printf(why, "must be from ");
        print_integer(opt, opt->least, why);
        buf_printf(why, " to ");
        print_integer(opt, opt->most, why);
    }
    if (ok)
        put_integer(opt, o, value);
    return ok;
}

static bool set_text(const struct option *opt, struct options *o, struct str text, struct buf *why)
{
    bool is_path = opt->type == OPTION_PATH;
    uint64_t most = is_path ? opt->size - 1 : opt->most;
    uint64_t least = is_path ? 1 : opt->least;
    uint64_t len;

    if (!is_path && !str_is_utf8(text)) {
        buf_printf(why, "must be UTF-8");
        return false;
    }
    len = is_path ? text.n : str_utf8_len(text);
    if (len < least || len > most || text.n >= opt->size) {
        buf_printf(why, "must be %llu to %llu characters", (unsigned long long)least,
                   (unsigned long long)most);
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f) {
            buf_printf(why, "must not hold control characters");
            return false;
        }
    }
    memset(place(o, opt->offset), 0, opt->size);
    if (text.n)
        memcpy(place(o, opt->offset), text.p, text.n);
    return true;
}

static bool set_listen(const struct option *opt, struct options *o, struct str text,
                       struct buf *why)
{
    struct tcp_address address;

    if (!set_text(opt, o, text, why))
        return false;
    if (tcp_address_parse(text, &address) == ERR_OK)
        return true;
    buf_printf(why, "must be ADDRESS:PORT, such as 127.0.0.1:8080, [::1]:0, *:80");
    return false;
}

bool option_is_secret(const struct option *opt)
{
    return opt->type == OPTION_RELAY_URLS || opt->type == OPTION_RELAY_URL;
}

static bool set_relay_urls(const struct option *opt, struct options *o, struct str text,
                           struct buf *why)
{
    bool is_list = opt->type == OPTION_RELAY_URLS;
    struct str one = str_trim(text);
    struct option as_text = *opt;
    struct relay_url parsed;
    const char *fault = NULL;

    as_text.least = 0;
    if (!set_text(&as_text, o, text, why))
        return false;
    if (is_list)
        fault = relay_url_list_check(one);
    else if (one.n)
        fault = relay_url_parse(one, &parsed);
    if (!fault && !is_list && one.n && parsed.kind != opt->least)
        fault = "is the URL of another kind of broker";
    if (fault)
        buf_printf(why, "%s", fault);
    return !fault;
}

static bool set_relay_name(const struct option *opt, struct options *o, struct str text,
                           struct buf *why)
{
    if (!set_text(opt, o, text, why))
        return false;
    if (text.n == 0 || relay_name_is_valid(text))
        return true;
    buf_printf(why, RELAY_NAME_DETAIL);
    return false;
}

static bool set_relay_prefix(const struct option *opt, struct options *o, struct str text,
                             struct buf *why)
{
    bool takes_colon = opt->least != RELAY_NATS;
    struct option as_text = *opt;

    as_text.least = 0;
    if (!set_text(&as_text, o, text, why))
        return false;
    if (relay_prefix_is_valid(text, takes_colon))
        return true;
    buf_printf(why, "must be of letters, digits%s only",
               takes_colon ? ", '-', '_', '.' and ':'" : ", '-', '_' and '.'");
    return false;
}

static bool set_topics(const struct option *opt, struct options *o, struct str text,
                       struct buf *why)
{
    bool topics[EVENT_TYPE_COUNT];
    struct str wrong;

    if (!set_text(opt, o, text, why))
        return false;
    if (relay_topics_parse(text, topics, &wrong))
        return true;
    if (wrong.n)
        buf_printf(why, "'" STR_FMT "' " RELAY_TOPICS_DETAIL, STR_ARG(wrong));
    else
        buf_printf(why, "must name a topic, such as order.placed, order.* or *");
    return false;
}

static bool has_char(struct str s, char c)
{
    return s.n && memchr(s.p, c, s.n);
}

/* As a request gives it in Host, which is compared without its port. */
static bool is_host_name(struct str s)
{
    bool is_literal = s.p[0] == '[' && s.p[s.n - 1] == ']';

    return !has_char(s, '/') && !has_char(s, ' ') && (is_literal || !has_char(s, ':'));
}

/* As a browser gives it: without a path, not even a slash. */
static bool is_origin(struct str s)
{
    const char *mark = memmem(s.p, s.n, "://", 3);
    struct str host;

    if (!mark || mark == s.p)
        return false;
    host = (struct str){ mark + 3, (size_t)(s.p + s.n - (mark + 3)) };
    return host.n && !has_char(host, '/') && !has_char(s, ' ');
}

/* An item that can't be what a request has would be kept and never match. */
static bool set_list(const struct option *opt, struct options *o, struct str text, struct buf *why)
{
    bool is_names = opt->type == OPTION_NAMES;
    struct str items[OPTIONS_LIST_MAX + 1];
    unsigned n;

    if (!set_text(opt, o, text, why))
        return false;
    n = options_list(place(o, opt->offset), items, ARRAY_LEN(items));
    if (n > OPTIONS_LIST_MAX) {
        buf_printf(why, "must be at most %d", OPTIONS_LIST_MAX);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (is_names ? is_host_name(items[i]) : is_origin(items[i]))
            continue;
        buf_printf(why, is_names ? "must be host names without a port, such as shop.example"
                                 : "must be scheme://host[:port], such as https://shop.example");
        return false;
    }
    return true;
}

/* What the senders and readers of CloudEvents allow. */
static bool set_cloud(const struct option *opt, struct options *o, struct str text, struct buf *why)
{
    bool is_source = opt->type == OPTION_SOURCE;

    if (!set_text(opt, o, text, why))
        return false;
    if (is_source ? cloud_source_is_valid(text) : cloud_type_prefix_is_valid(text))
        return true;
    buf_printf(why, is_source ? "must be a URI reference, such as /orderly or https://shop.example"
                              : "must be of letters, digits and . _ : / - only");
    return false;
}

static bool set_contexts(const struct option *opt, struct options *o, struct str text,
                         struct buf *why)
{
    unsigned contexts = 0;
    struct str rest = text;

    for (;;) {
        const char *comma = rest.n ? memchr(rest.p, ',', rest.n) : NULL;
        size_t n = comma ? (size_t)(comma - rest.p) : rest.n;
        struct str name = str_trim((struct str){ rest.p, n });
        unsigned c = CONTEXT_ORDERS;

        while (c <= CONTEXT_SHIPMENTS && !str_eq_nocase(name, context_text((enum context)c)))
            c++;
        if (c > CONTEXT_SHIPMENTS) {
            buf_printf(why, "must be one or more of orders, payments, inventory, shipments");
            return false;
        }
        if (contexts & (1u << c)) {
            buf_printf(why, "names " STR_FMT " twice", STR_ARG(context_text((enum context)c)));
            return false;
        }
        contexts |= 1u << c;
        if (!comma)
            break;
        rest = (struct str){ comma + 1, rest.n - n - 1 };
    }
    put_integer(opt, o, contexts);
    return true;
}

static bool set_switch(const struct option *opt, struct options *o, struct str text,
                       struct buf *why)
{
    static const char *const words[] = { "false", "true", "off", "on", "no", "yes", "0", "1" };

    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        bool value = i & 1;

        if (!str_eq_nocase(text, str_of(words[i])))
            continue;
        memcpy(place(o, opt->offset), &value, sizeof(value));
        return true;
    }
    buf_printf(why, "must be true or false");
    return false;
}

static struct str choice_at(const char *choices, unsigned i)
{
    const char *end;

    for (; i; i--) {
        choices = strchr(choices, '|');
        if (!choices)
            return STR_NONE;
        choices++;
    }
    end = strchr(choices, '|');
    return end ? (struct str){ choices, (size_t)(end - choices) } : str_of(choices);
}

static bool set_choice(const struct option *opt, struct options *o, struct str text,
                       struct buf *why)
{
    struct str word;

    for (unsigned i = 0; (word = choice_at(opt->choices, i)).p; i++) {
        if (!str_eq(word, text))
            continue;
        put_integer(opt, o, i);
        return true;
    }
    buf_printf(why, "must be one of: ");
    for (unsigned i = 0; (word = choice_at(opt->choices, i)).p; i++)
        buf_printf(why, "%s" STR_FMT, i ? ", " : "", STR_ARG(word));
    return false;
}

/* An option without a currency of its own is in the default currency. */
static struct currency currency_of(const struct option *opt, const struct options *o)
{
    struct currency c;

    memcpy(&c, place_const(o, opt->currency_offset), sizeof(c));
    return currency_is_none(c) ? o->app.default_currency : c;
}

static bool set_money(const struct option *opt, struct options *o, struct str text, struct buf *why)
{
    struct currency c = currency_of(opt, o);
    int64_t minor;
    uint64_t digits;
    enum money_parse outcome =
        parse_decimal(text, 4, &digits) ? money_from_text(text, c, &minor) : MONEY_NOT_A_NUMBER;

    if (outcome != MONEY_OK) {
        buf_printf(why, "%s, in %s", money_parse_text(outcome), c.code);
        return false;
    }
    /* Currencies of one order are one: an amount without currency is of the default one. */
    memcpy(place(o, opt->currency_offset), &c, sizeof(c));
    memcpy(place(o, opt->offset), &minor, sizeof(minor));
    return true;
}

static bool set_level(struct options *o, struct str text, struct buf *why)
{
    bool is_none = str_eq_nocase(text, STR("none")) || str_eq_nocase(text, STR("null"));
    uint64_t value = 0;

    if (!is_none &&
        (!parse_decimal(text, 4, &value) || value > MONEY_MAX_MINOR * UINT64_C(10000))) {
        buf_printf(why, "must be an amount with at most 4 digits after the point, or none");
        return false;
    }
    o->app.simulators.payments.has_decline_above = !is_none;
    o->app.simulators.payments.decline_above_e4 = (int64_t)value;
    return true;
}

static bool set_currency(const struct option *opt, struct options *o, struct str text,
                         struct buf *why)
{
    struct currency c;

    if (!currency_parse(text, &c)) {
        buf_printf(why, "must be an ISO 4217 code, such as USD, EUR, JPY");
        return false;
    }
    memcpy(place(o, opt->offset), &c, sizeof(c));
    return true;
}

bool option_set(const struct option *opt, struct options *o, struct str text, struct buf *why)
{
    uint64_t value;

    switch (opt->type) {
    case OPTION_TEXT:
    case OPTION_PATH:
        return set_text(opt, o, text, why);
    case OPTION_LISTEN:
        return set_listen(opt, o, text, why);
    case OPTION_RELAY_URLS:
    case OPTION_RELAY_URL:
        return set_relay_urls(opt, o, text, why);
    case OPTION_RELAY_NAME:
        return set_relay_name(opt, o, text, why);
    case OPTION_PREFIX:
        return set_relay_prefix(opt, o, text, why);
    case OPTION_TOPICS:
        return set_topics(opt, o, text, why);
    case OPTION_NAMES:
    case OPTION_ORIGINS:
        return set_list(opt, o, text, why);
    case OPTION_SOURCE:
    case OPTION_TYPE_PREFIX:
        return set_cloud(opt, o, text, why);
    case OPTION_CONTEXTS:
        return set_contexts(opt, o, text, why);
    case OPTION_SWITCH:
        return set_switch(opt, o, text, why);
    case OPTION_CHOICE:
        return set_choice(opt, o, text, why);
    case OPTION_DURATION:
    case OPTION_MS:
    case OPTION_BYTES:
    case OPTION_COUNT:
        return set_integer(opt, o, text, why);
    case OPTION_RATIO: {
        double ratio;

        if (!parse_decimal(text, 9, &value) || value > 1000000000) {
            buf_printf(why, "must be a number from 0 to 1");
            return false;
        }
        ratio = (double)value / 1e9;
        memcpy(place(o, opt->offset), &ratio, sizeof(ratio));
        return true;
    }
    case OPTION_PERCENT:
        if (!parse_decimal(text, 2, &value) || value > opt->most) {
            buf_printf(why, "must be a number from 0 to 100 with at most 2 digits after the point");
            return false;
        }
        put_integer(opt, o, value);
        return true;
    case OPTION_CURRENCY:
        return set_currency(opt, o, text, why);
    case OPTION_MONEY:
        return set_money(opt, o, text, why);
    case OPTION_LEVEL:
        return set_level(o, text, why);
    }
    UNREACHABLE("every type of option is read");
}

/* Without the zeros at the end, and without the point if nothing is behind it. */
static void print_decimal(uint64_t value, unsigned scale, struct buf *out)
{
    uint64_t unit = 1;

    for (unsigned i = 0; i < scale; i++)
        unit *= 10;
    buf_printf(out, "%llu", (unsigned long long)(value / unit));
    value %= unit;
    if (!value)
        return;
    buf_printf(out, ".%0*llu", (int)scale, (unsigned long long)value);
    while (out->p[out->n - 1] == '0')
        out->n--;
}

void option_print(const struct option *opt, const struct options *o, struct buf *out)
{
    const void *at = place_const(o, opt->offset);

    switch (opt->type) {
    case OPTION_TEXT:
    case OPTION_LISTEN:
    case OPTION_RELAY_URLS:
    case OPTION_RELAY_URL:
    case OPTION_RELAY_NAME:
    case OPTION_PREFIX:
    case OPTION_TOPICS:
    case OPTION_NAMES:
    case OPTION_ORIGINS:
    case OPTION_SOURCE:
    case OPTION_TYPE_PREFIX:
    case OPTION_PATH:
        buf_add_str(out, str_of(at));
        break;
    case OPTION_CONTEXTS: {
        char text[CONTEXTS_TEXT_MAX];

        buf_add_str(out, contexts_text((unsigned)get_integer(opt, o), text));
        break;
    }
    case OPTION_SWITCH:
        buf_printf(out, "%s", *(const bool *)at ? "true" : "false");
        break;
    case OPTION_CHOICE:
        buf_add_str(out, choice_at(opt->choices, (unsigned)get_integer(opt, o)));
        break;
    case OPTION_DURATION:
    case OPTION_MS:
    case OPTION_BYTES:
    case OPTION_COUNT:
        print_integer(opt, get_integer(opt, o), out);
        break;
    case OPTION_RATIO: {
        double ratio;

        memcpy(&ratio, at, sizeof(ratio));
        print_decimal((uint64_t)(ratio * 1e9 + 0.5), 9, out);
        break;
    }
    case OPTION_PERCENT:
        print_decimal(get_integer(opt, o), 2, out);
        break;
    case OPTION_CURRENCY: {
        struct currency c;

        memcpy(&c, at, sizeof(c));
        buf_add_str(out, currency_str(&c));
        break;
    }
    case OPTION_MONEY: {
        char text[MONEY_TEXT_MAX];
        int64_t minor;
        size_t n;

        memcpy(&minor, at, sizeof(minor));
        n = money_to_text(minor, currency_of(opt, o), text);
        buf_add(out, text, n);
        break;
    }
    case OPTION_LEVEL:
        if (o->app.simulators.payments.has_decline_above)
            print_decimal((uint64_t)o->app.simulators.payments.decline_above_e4, 4, out);
        else
            buf_printf(out, "none");
        break;
    }
}
