#include "letter_filter.h"
#include "orderly/app/failure.h"
#include "orderly/app/lanes.h"
#include "orderly/app/queries.h"
#include "orderly/base/check.h"

const char *letter_filter_name(enum letter_filter_member m)
{
    static const char *const names[LETTER_FILTER_MEMBERS] = { "subscription", "orderId", "topic",
                                                              "code", "state" };

    REQUIRE(m < LETTER_FILTER_MEMBERS);
    return names[m];
}

static bool set_subscription(struct dead_letter_filter *f, struct str value)
{
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (str_eq(value, subscription_name((enum subscription_id)i)))
            f->subscription = (enum subscription_id)i;
    }
    return f->subscription != SUBSCRIPTION_NONE;
}

static bool set_topic(struct dead_letter_filter *f, struct str value)
{
    struct event_query q = { .limit = 1 };

    if (!event_query_set_topics(&q, value))
        return false;
    for (unsigned t = 0; t < EVENT_TYPE_COUNT; t++)
        f->types |= (uint64_t)q.types[t] << t;
    return true;
}

static bool set_code(struct dead_letter_filter *f, struct str value)
{
    enum failure_code code;

    if (!failure_code_parse(value, &code))
        return false;
    f->code = failure_code_text(code);
    return true;
}

static bool set_state(struct dead_letter_filter *f, struct str value)
{
    enum dead_letter_state state;

    if (!dead_letter_state_parse(value, &state))
        return false;
    f->states = 1u << state;
    return true;
}

const char *letter_filter_set(struct dead_letter_filter *f, enum letter_filter_member m,
                              struct str value)
{
    struct text_id id;

    switch (m) {
    case LETTER_FILTER_SUBSCRIPTION:
        return set_subscription(f, value) ? NULL : "is no subscription";
    case LETTER_FILTER_ORDER_ID:
        if (!text_id_parse(value, &id))
            return "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -";
        f->lane = lane_of_correlation(value);
        return NULL;
    case LETTER_FILTER_TOPIC:
        return set_topic(f, value) ? NULL
                                   : "must be a topic such as payment.approved, payment.* or *";
    case LETTER_FILTER_CODE:
        return set_code(f, value) ? NULL : "is no code of a failure";
    case LETTER_FILTER_STATE:
        return set_state(f, value) ? NULL : "must be parked, open, retried or discarded";
    default:
        UNREACHABLE("member of a filter");
    }
}
