#include "orderly/domain/event.h"
#include "orderly/base/check.h"

const struct field_info field_infos[FIELD_COUNT] = {
#define X(name, json, kind, member)                                                                \
    [FIELD_##name] = { json, FIELD_KIND_##kind, offsetof(struct payload, member) },
    FIELD_MAP(X)
#undef X
};

/* One use of a field: a must be there, in our own events and in a message from outside; M may be
 * missing. NAMED: under another name, and perhaps a second one beside it. */
#define A(name)                                                                                    \
    {                                                                                              \
        .field = FIELD_##name                                                                      \
    }
#define M(name)                                                                                    \
    {                                                                                              \
        .field = FIELD_##name, .optional = true                                                    \
    }
#define NAMED(name, json_, alias_)                                                                 \
    {                                                                                              \
        .field = FIELD_##name, .json = (json_), .alias = (alias_)                                  \
    }
#define ALIAS(name, alias_, may_be)                                                                \
    {                                                                                              \
        .field = FIELD_##name, .alias = (alias_), .optional = (may_be)                             \
    }

#define FIELDS_ORDER_PLACED                                                                        \
    A(ORDER_ID), A(FLOW), A(CUSTOMER_ID), M(CART_ID), A(LINES), A(SUBTOTAL), A(DISCOUNTS),         \
        A(TOTAL), A(CURRENCY), A(ADDRESS), M(PAYMENT_DEADLINE)
#define FIELDS_ORDER_CONFIRMED A(ORDER_ID), A(FLOW), A(RESERVATION_ID), A(AMOUNT), A(CURRENCY)
#define FIELDS_ORDER_PAID                                                                          \
    A(ORDER_ID), A(FLOW), A(PAYMENT_ID), A(AMOUNT), A(CURRENCY), A(STOCK_LINES)
#define FIELDS_ORDER_STOCK_RESERVED A(ORDER_ID), A(FLOW), A(RESERVATION_ID), A(STOCK_LINES)
#define FIELDS_ORDER_READIED                                                                       \
    A(ORDER_ID), A(FLOW), A(CUSTOMER_ID), A(PAYMENT_ID), A(TOTAL), A(CURRENCY)
#define FIELDS_ORDER_COMPLETED A(ORDER_ID), A(FLOW), A(INVOICE_ID)
#define FIELDS_ORDER_SHIPPED A(ORDER_ID), A(FLOW), A(SHIPMENT_ID), A(TRACKING_NUMBER)
#define FIELDS_ORDER_DELIVERED A(ORDER_ID), A(FLOW), A(SHIPMENT_ID), A(DELIVERED_AT)
#define FIELDS_ORDER_CANCELLED                                                                     \
    A(ORDER_ID), A(FLOW), A(REASON), A(PREVIOUS_STATUS), A(REFUND), A(RELEASE)
#define FIELDS_ORDER_REJECTED A(ORDER_ID), A(FLOW), A(REASON), A(REFUND), A(RELEASE)
#define FIELDS_ORDER_PAYMENT_FAILED A(ORDER_ID), A(FLOW), M(PAYMENT_ID), A(REASON), A(RELEASE)
#define FIELDS_ORDER_PAYMENT_REQUESTED A(ORDER_ID), A(FLOW), A(AMOUNT), A(CURRENCY)
#define FIELDS_ORDER_REFUND_REQUESTED                                                              \
    A(ORDER_ID), A(FLOW), A(PAYMENT_ID), A(AMOUNT), A(CURRENCY), A(REASON)
#define FIELDS_ORDER_RELEASE_REQUESTED A(ORDER_ID), A(FLOW), A(RESERVATION_ID), A(REASON)
#define FIELDS_ORDER_SHIPMENT_REFUSED A(ORDER_ID), A(FLOW), A(SHIPMENT_ID), A(REASON)
#define FIELDS_ORDER_REFUNDED A(ORDER_ID), A(FLOW), A(PAYMENT_ID), A(AMOUNT), A(CURRENCY)
#define FIELDS_ORDER_STOCK_RELEASED A(ORDER_ID), A(FLOW), A(RESERVATION_ID)

#define FIELDS_PAYMENT_APPROVED                                                                    \
    A(ORDER_ID), M(FLOW), A(PAYMENT_ID), NAMED(AMOUNT, "approvedAmount", "amount"), A(CURRENCY)
#define FIELDS_PAYMENT_PROCESSED FIELDS_PAYMENT_APPROVED
#define FIELDS_PAYMENT_DECLINED A(ORDER_ID), M(FLOW), M(PAYMENT_ID), A(REASON)
#define FIELDS_PAYMENT_FAILED FIELDS_PAYMENT_DECLINED
#define FIELDS_PAYMENT_PENDING A(ORDER_ID), M(FLOW), A(PAYMENT_ID), A(AMOUNT), A(CURRENCY)
#define FIELDS_PAYMENT_REFUNDED A(ORDER_ID), M(FLOW), A(PAYMENT_ID), A(AMOUNT), A(CURRENCY)

#define FIELDS_STOCK_RESERVED                                                                      \
    A(ORDER_ID), M(FLOW), A(RESERVATION_ID), ALIAS(STOCK_LINES, "reservations", true)
#define FIELDS_INVENTORY_RESERVED FIELDS_STOCK_RESERVED
#define FIELDS_STOCK_REJECTED A(ORDER_ID), M(FLOW), A(REASON), M(STOCK_LINES)
#define FIELDS_INVENTORY_RESERVATION_FAILED FIELDS_STOCK_REJECTED
#define FIELDS_STOCK_RELEASED A(ORDER_ID), M(FLOW), A(RESERVATION_ID), M(STOCK_LINES)
#define FIELDS_INVENTORY_RELEASED FIELDS_STOCK_RELEASED
#define FIELDS_STOCK_TAKEN FIELDS_STOCK_RELEASED

#define FIELDS_SHIPMENT_CREATED A(ORDER_ID), M(FLOW), A(SHIPMENT_ID), A(TRACKING_NUMBER)
#define FIELDS_SHIPMENT_DISPATCHED A(ORDER_ID), M(FLOW), A(SHIPMENT_ID), M(DISPATCHED_AT)
#define FIELDS_SHIPMENT_DELIVERED A(ORDER_ID), M(FLOW), A(SHIPMENT_ID), M(DELIVERED_AT)
#define FIELDS_SHIPMENT_CANCELLED A(ORDER_ID), M(FLOW), A(SHIPMENT_ID)

#define FIELDS_CART_CREATED A(CART_ID), A(CUSTOMER_ID)
#define FIELDS_CART_ITEM_ADDED A(CART_ID), NAMED(SKU, "productId", "sku"), A(QUANTITY)
#define FIELDS_CART_ITEM_CHANGED FIELDS_CART_ITEM_ADDED
#define FIELDS_CART_ITEM_REMOVED A(CART_ID), NAMED(SKU, "productId", "sku")
#define FIELDS_CART_CONVERTED A(CART_ID), M(ORDER_ID)

#define FIELDS_PRODUCT_ADDED                                                                       \
    A(SKU), A(NAME), A(DESCRIPTION), A(PRICE), M(CURRENCY),                                        \
        NAMED(STOCK_DELTA, "stockQuantity", NULL)
#define FIELDS_PRODUCT_CHANGED A(SKU), A(NAME), A(DESCRIPTION), A(PRICE), M(CURRENCY)
#define FIELDS_STOCK_ADJUSTED A(SKU), A(STOCK_DELTA)

#define FIELDS_DEAD_LETTERED                                                                       \
    A(DEAD_LETTER_ID), A(SUBSCRIPTION), M(ORDER_ID), A(MESSAGE_POSITION), A(ATTEMPTS),             \
        A(ERROR_CODE), A(ERROR_DETAIL)
#define FIELDS_DEAD_LETTER_RETRIED                                                                 \
    A(DEAD_LETTER_ID), A(SUBSCRIPTION), M(ORDER_ID), A(MESSAGE_POSITION), M(MESSAGE_ROW)
#define FIELDS_DEAD_LETTER_DISCARDED                                                               \
    A(DEAD_LETTER_ID), A(SUBSCRIPTION), M(ORDER_ID), A(MESSAGE_POSITION), A(REASON)
#define FIELDS_MESSAGE_REFUSED                                                                     \
    A(SUBSCRIPTION), A(ERROR_CODE), A(ERROR_DETAIL), M(SAID_TOPIC), M(SAID_ID), M(SAID_TYPE),      \
        M(SAID_ATTRIBUTES), M(SAID_BODY)

const struct event_info event_infos[EVENT_TYPE_COUNT] = {
#define X(name, type_, topic_, aggregate_, version_)                                               \
    [EVENT_##name] = { .type = { (type_), sizeof(type_) - 1 },                                     \
                       .topic = { (topic_), sizeof(topic_) - 1 },                                  \
                       .aggregate = AGGREGATE_##aggregate_,                                        \
                       .version = (version_),                                                      \
                       .fields = { FIELDS_##name } },
    EVENT_MAP(X)
#undef X
};

bool event_type_parse(struct str type, enum event_type *out)
{
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        if (str_eq(event_infos[t].type, type)) {
            *out = (enum event_type)t;
            return true;
        }
    }
    return false;
}

bool event_type_of_topic(struct str topic, enum event_type *out)
{
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT && topic.n > 0; t++) {
        if (str_eq(event_infos[t].topic, topic)) {
            *out = (enum event_type)t;
            return true;
        }
    }
    return false;
}

struct str aggregate_name(enum aggregate a)
{
    static const struct str names[AGGREGATE_COUNT] = {
#define X(name, text) [AGGREGATE_##name] = { (text), sizeof(text) - 1 },
        AGGREGATE_MAP(X)
#undef X
    };

    REQUIRE((unsigned)a < AGGREGATE_COUNT);
    return names[a];
}

struct str subscription_name(enum subscription_id s)
{
    static const struct str names[SUBSCRIPTION_COUNT] = {
#define X(name, text) [SUBSCRIPTION_##name] = { (text), sizeof(text) - 1 },
        SUBSCRIPTION_MAP(X)
#undef X
    };

    REQUIRE((unsigned)s < SUBSCRIPTION_COUNT);
    return names[s];
}

bool subscription_is_relay(enum subscription_id s)
{
    return s == SUBSCRIPTION_NATS || s == SUBSCRIPTION_KAFKA || s == SUBSCRIPTION_RABBITMQ;
}

const char *verdict_name(enum verdict v)
{
    static const char *const names[VERDICT_COUNT] = {
#define X(name, text) [VERDICT_##name] = text,
        VERDICT_MAP(X)
#undef X
    };

    REQUIRE((unsigned)v < VERDICT_COUNT);
    return names[v];
}

void event_list_init(struct event_list *l)
{
    l->n = 0; /* an event is zeroed when it is added, and only then: they are large */
}

struct event *event_list_add(struct event_list *l, enum event_type type)
{
    struct event *e;

    REQUIRE(l->n < EVENT_LIST_MAX);
    e = &l->events[l->n++];
    memset(e, 0, sizeof(*e));
    e->type = type;
    return e;
}

void event_follows(struct event *e, const struct event *cause)
{
    e->cause = cause->id;
    e->cause_message_id = cause->message_id;
}
