#include "simulator_json.h"
#include "orderly/base/check.h"

struct delays_in {
    bool is_set;
    struct json_int pay_first, stock_first;
};
struct simulator_in { /* all three; each shape names the fields that it has */
    struct json_int enabled, mode, seed, fail_first;
    struct delays_in delay;
    struct json_rate failure_rate, poison_rate;
    struct json_text decline_above, reason;
};

#define DELAY(name)                                                                                \
    {                                                                                              \
#name, NULL, JSON_INT, .offset = offsetof(struct delays_in, name),                         \
                               .max = SIMULATOR_DELAY_MAX_MS                                       \
    }
static const struct json_field delay_fields[] = { DELAY(pay_first), DELAY(stock_first) };
static const struct json_shape delay_shape = JSON_SHAPE(struct delays_in, delay_fields);

static const char *const payments_words[] = { "approve", "decline", "wait", NULL };
static const char *const inventory_words[] = { "auto", "reject", NULL };
static const char *const shipments_words[] = { "auto", "wait", NULL };

#define AT(member) .offset = offsetof(struct simulator_in, member)
#define FAIL_FIRST_MAX 1000000
#define COMMON_FIELDS(words_)                                                                      \
    { "enabled", NULL, JSON_BOOL, AT(enabled) },                                                   \
        { "mode", NULL, JSON_WORD, AT(mode), .words = (words_) },                                  \
        { "delayMs", NULL, JSON_OBJECT, AT(delay), .shape = &delay_shape },                        \
    {                                                                                              \
        "failFirst", NULL, JSON_INT, AT(fail_first), .max = FAIL_FIRST_MAX                         \
    }
static const struct json_field payments_fields[] = {
    COMMON_FIELDS(payments_words),
    { "failureRate", NULL, JSON_RATE, AT(failure_rate) },
    { "seed", NULL, JSON_INT, AT(seed), .max = INT64_MAX },
    { "declineAbove", NULL, JSON_AMOUNT, AT(decline_above) },
    { "reason", NULL, JSON_TEXT, AT(reason), .min = 1, .max = SIMULATOR_REASON_MAX },
    { "poisonRate", NULL, JSON_RATE, AT(poison_rate) },
};
static const struct json_field inventory_fields[] = { COMMON_FIELDS(inventory_words) };
static const struct json_field shipments_fields[] = { COMMON_FIELDS(shipments_words) };

static const struct json_shape shapes[SIMULATOR_COUNT] = {
    [SIMULATOR_PAYMENTS] = JSON_SHAPE(struct simulator_in, payments_fields),
    [SIMULATOR_INVENTORY] = JSON_SHAPE(struct simulator_in, inventory_fields),
    [SIMULATOR_SHIPMENTS] = JSON_SHAPE(struct simulator_in, shipments_fields),
};

/* declineAbove is compared with amounts of any currency, so it keeps the most digits that one has. */
static const struct currency most_digits = { "CLF" };

/* What the three have in common, at the same names. */
#define READ_COMMON(part, in, mode_type)                                                           \
    do {                                                                                           \
        if ((in)->enabled.is_set)                                                                  \
            (part)->enabled = (in)->enabled.value != 0;                                            \
        if ((in)->mode.is_set)                                                                     \
            (part)->mode = (mode_type)(in)->mode.value;                                            \
        if ((in)->delay.pay_first.is_set)                                                          \
            (part)->delay_ms[FLOW_PAY_FIRST] = (in)->delay.pay_first.value;                        \
        if ((in)->delay.stock_first.is_set)                                                        \
            (part)->delay_ms[FLOW_STOCK_FIRST] = (in)->delay.stock_first.value;                    \
        if ((in)->fail_first.is_set)                                                               \
            (part)->fail_first = (unsigned)(in)->fail_first.value;                                 \
    } while (0)

static bool read_payments(struct json_in *faults, const struct simulator_in *in,
                          struct simulators *s)
{
    READ_COMMON(&s->payments, in, enum payments_mode);
    if (in->seed.is_set)
        s->payments.seed = (uint64_t)in->seed.value;
    if (in->failure_rate.is_set)
        s->payments.failure_rate = in->failure_rate.value;
    if (in->poison_rate.is_set)
        s->payments.poison_rate = in->poison_rate.value;
    if (in->decline_above.is_set) {
        enum money_parse parse =
            money_from_text(in->decline_above.text, most_digits, &s->payments.decline_above_e4);

        if (parse != MONEY_OK) {
            struct json_path path = { NULL, STR("declineAbove"), 0 };

            json_in_fault(faults, &path, "%s", money_parse_text(parse));
            return false;
        }
        s->payments.has_decline_above = true;
    }
    if (in->reason.is_set) {
        REQUIRE(in->reason.text.n < sizeof(s->payments.reason));
        memset(s->payments.reason, 0, sizeof(s->payments.reason));
        memcpy(s->payments.reason, in->reason.text.p, in->reason.text.n);
    }
    return true;
}

bool simulator_read(struct json_in *in, struct yyjson_val *root, enum simulator which,
                    struct simulators *s)
{
    struct simulators next = *s;
    struct simulator_in got;

    REQUIRE(which < SIMULATOR_COUNT);
    if (!json_in_object(in, root, NULL, &shapes[which], &got))
        return false;
    switch (which) {
    case SIMULATOR_PAYMENTS:
        next.payments = simulators_default.payments;
        if (!read_payments(in, &got, &next))
            return false;
        break;
    case SIMULATOR_INVENTORY:
        next.inventory = simulators_default.inventory;
        READ_COMMON(&next.inventory, &got, enum inventory_mode);
        break;
    case SIMULATOR_SHIPMENTS:
        next.shipments = simulators_default.shipments;
        READ_COMMON(&next.shipments, &got, enum shipments_mode);
        break;
    case SIMULATOR_COUNT:
        UNREACHABLE("simulator");
    }
    *s = next;
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_head(struct json_out *o, bool enabled, const char *mode,
                       const int64_t delay_ms[FLOW_COUNT])
{
    JSON_KEY(o, "enabled");
    json_bool(o, enabled);
    JSON_KEY(o, "mode");
    json_plain(o, str_of(mode));
    JSON_KEY(o, "delayMs");
    json_open(o, '{');
    for (enum flow_id f = FLOW_PAY_FIRST; f < FLOW_COUNT; f++) {
        json_key(o, str_of(flow_of(f)->name));
        json_i64(o, delay_ms[f]);
    }
    json_close(o, '}');
}

static void write_fail_first(struct json_out *o, unsigned fail_first)
{
    JSON_KEY(o, "failFirst");
    json_u64(o, fail_first);
}

/* Two digits at least, four if they are needed. */
static void write_e4(struct json_out *o, int64_t e4)
{
    json_money(o, e4, most_digits);
    if (e4 % 100 == 0)
        o->buf.n -= 2;
}

static void write_payments(struct json_out *o, const struct simulators *s)
{
    write_head(o, s->payments.enabled, payments_words[s->payments.mode], s->payments.delay_ms);
    JSON_KEY(o, "failureRate");
    json_double(o, s->payments.failure_rate);
    JSON_KEY(o, "seed");
    json_u64(o, s->payments.seed);
    write_fail_first(o, s->payments.fail_first);
    JSON_KEY(o, "declineAbove");
    if (s->payments.has_decline_above)
        write_e4(o, s->payments.decline_above_e4);
    else
        JSON_LITERAL(o, "null");
    JSON_KEY(o, "reason");
    json_str(o, str_of(s->payments.reason));
    if (s->payments.poison_rate > 0) {
        JSON_KEY(o, "poisonRate");
        json_double(o, s->payments.poison_rate);
    }
}

void simulator_write(struct json_out *o, const struct simulators *s, enum simulator which)
{
    json_open(o, '{');
    switch (which) {
    case SIMULATOR_PAYMENTS:
        write_payments(o, s);
        break;
    case SIMULATOR_INVENTORY:
        write_head(o, s->inventory.enabled, inventory_words[s->inventory.mode],
                   s->inventory.delay_ms);
        write_fail_first(o, s->inventory.fail_first);
        break;
    case SIMULATOR_SHIPMENTS:
        write_head(o, s->shipments.enabled, shipments_words[s->shipments.mode],
                   s->shipments.delay_ms);
        write_fail_first(o, s->shipments.fail_first);
        break;
    case SIMULATOR_COUNT:
        UNREACHABLE("simulator");
    }
    json_close(o, '}');
}
