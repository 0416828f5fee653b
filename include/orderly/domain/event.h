/* The catalogue of domain events, and one payload for all of them: a field table says which fields
 * an event has, in the order of the wire. The row codec (app/event_codec.h), the JSON renderer and
 * the reader of outside messages all walk this table.
 *
 * Numbers of types, aggregates and fields are stored: append only. */
#ifndef ORDERLY_DOMAIN_EVENT_H
#define ORDERLY_DOMAIN_EVENT_H
#include "orderly/domain/address.h"
#include "orderly/domain/flow.h"
#include "orderly/domain/ids.h"
#include "orderly/domain/money.h"

#define AGGREGATE_MAP(X)                                                                           \
    X(ORDER, "Order")                                                                              \
    X(PAYMENT, "Payment")                                                                          \
    X(RESERVATION, "Reservation")                                                                  \
    X(SHIPMENT, "Shipment")                                                                        \
    X(CART, "Cart")                                                                                \
    X(PRODUCT, "Product")                                                                          \
    X(SUBSCRIPTION, "Subscription")                                                                \
    X(INBOX, "Inbox") /* of an order: what a process without Orders was told of it */
enum aggregate {
    AGGREGATE_NONE,
#define X(name, text) AGGREGATE_##name,
    AGGREGATE_MAP(X)
#undef X
        AGGREGATE_COUNT
};
struct str aggregate_name(enum aggregate a);

/* enum name, event type, topic ("" = never published as a message), aggregate, payload version */
#define EVENT_MAP(X)                                                                               \
    X(ORDER_PLACED, "OrderPlaced", "order.placed", ORDER, 1)                                       \
    X(ORDER_CONFIRMED, "OrderConfirmed", "order.confirmed", ORDER, 1)                              \
    X(ORDER_PAID, "OrderPaid", "order.paid", ORDER, 1)                                             \
    X(ORDER_STOCK_RESERVED, "OrderStockReserved", "order.stock_reserved", ORDER, 1)                \
    X(ORDER_READIED, "OrderReadied", "order.readied", ORDER, 1)                                    \
    X(ORDER_COMPLETED, "OrderCompleted", "order.completed", ORDER, 1)                              \
    X(ORDER_SHIPPED, "OrderShipped", "order.shipped", ORDER, 1)                                    \
    X(ORDER_DELIVERED, "OrderDelivered", "order.delivered", ORDER, 1)                              \
    X(ORDER_CANCELLED, "OrderCancelled", "order.cancelled", ORDER, 1)                              \
    X(ORDER_REJECTED, "OrderRejected", "order.rejected", ORDER, 1)                                 \
    X(ORDER_PAYMENT_FAILED, "OrderPaymentFailed", "order.payment_failed", ORDER, 1)                \
    X(ORDER_PAYMENT_REQUESTED, "OrderPaymentRequested", "order.payment_requested", ORDER, 1)       \
    X(ORDER_REFUND_REQUESTED, "OrderRefundRequested", "order.refund_requested", ORDER, 1)          \
    X(ORDER_RELEASE_REQUESTED, "OrderReleaseRequested", "order.release_requested", ORDER, 1)       \
    X(ORDER_SHIPMENT_REFUSED, "OrderShipmentRefused", "order.shipment_refused", ORDER, 1)          \
    X(ORDER_REFUNDED, "OrderRefunded", "order.refunded", ORDER, 1)                                 \
    X(ORDER_STOCK_RELEASED, "OrderStockReleased", "order.stock_released", ORDER, 1)                \
    X(PAYMENT_APPROVED, "PaymentApproved", "payment.approved", PAYMENT, 1)                         \
    X(PAYMENT_PROCESSED, "PaymentProcessed", "payment.processed", PAYMENT, 1)                      \
    X(PAYMENT_DECLINED, "PaymentDeclined", "payment.declined", PAYMENT, 1)                         \
    X(PAYMENT_FAILED, "PaymentFailed", "payment.failed", PAYMENT, 1)                               \
    X(PAYMENT_PENDING, "PaymentPending", "payment.pending", PAYMENT, 1)                            \
    X(PAYMENT_REFUNDED, "PaymentRefunded", "payment.refunded", PAYMENT, 1)                         \
    X(STOCK_RESERVED, "StockReserved", "stock.reserved", RESERVATION, 1)                           \
    X(INVENTORY_RESERVED, "InventoryReserved", "inventory.reserved", RESERVATION, 1)               \
    X(STOCK_REJECTED, "StockRejected", "stock.rejected", RESERVATION, 1)                           \
    X(INVENTORY_RESERVATION_FAILED, "InventoryReservationFailed", "inventory.reservation_failed",  \
      RESERVATION, 1)                                                                              \
    X(STOCK_RELEASED, "StockReleased", "stock.released", RESERVATION, 1)                           \
    X(INVENTORY_RELEASED, "InventoryReleased", "inventory.released", RESERVATION, 1)               \
    X(STOCK_TAKEN, "StockTaken", "stock.taken", RESERVATION, 1)                                    \
    X(SHIPMENT_CREATED, "ShipmentCreated", "shipment.created", SHIPMENT, 1)                        \
    X(SHIPMENT_DISPATCHED, "ShipmentDispatched", "shipment.dispatched", SHIPMENT, 1)               \
    X(SHIPMENT_DELIVERED, "ShipmentDelivered", "shipment.delivered", SHIPMENT, 1)                  \
    X(SHIPMENT_CANCELLED, "ShipmentCancelled", "shipment.cancelled", SHIPMENT, 1)                  \
    X(CART_CREATED, "CartCreated", "cart.created", CART, 1)                                        \
    X(CART_ITEM_ADDED, "CartItemAdded", "cart.item_added", CART, 1)                                \
    X(CART_ITEM_CHANGED, "CartItemChanged", "cart.item_changed", CART, 1)                          \
    X(CART_ITEM_REMOVED, "CartItemRemoved", "cart.item_removed", CART, 1)                          \
    X(CART_CONVERTED, "CartConverted", "cart.converted", CART, 1)                                  \
    X(PRODUCT_ADDED, "ProductAdded", "product.added", PRODUCT, 1)                                  \
    X(PRODUCT_CHANGED, "ProductChanged", "product.changed", PRODUCT, 1)                            \
    X(STOCK_ADJUSTED, "StockAdjusted", "stock.adjusted", PRODUCT, 1)                               \
    X(DEAD_LETTERED, "DeadLettered", "", SUBSCRIPTION, 1)                                          \
    X(DEAD_LETTER_RETRIED, "DeadLetterRetried", "", SUBSCRIPTION, 1)                               \
    X(DEAD_LETTER_DISCARDED, "DeadLetterDiscarded", "", SUBSCRIPTION, 1)                           \
    X(MESSAGE_REFUSED, "MessageRefused", "", SUBSCRIPTION, 1)

enum event_type {
    EVENT_NONE,
#define X(name, type, topic, aggregate, version) EVENT_##name,
    EVENT_MAP(X)
#undef X
        EVENT_TYPE_COUNT
};

struct order_line {
    struct sku sku;
    struct str name, description;
    int64_t quantity;
    int64_t price;    /* minor units, per piece */
    int64_t discount; /* minor units, on the line */
};
struct stock_line {
    struct sku sku;
    int64_t quantity;
};
struct discount {           /* explains a part of subtotal - total */
    struct str code;        /* "line_percent", "order_amount" */
    struct str description; /* for people */
    int64_t amount;         /* minor units, positive */
};

enum order_id_kind { ORDER_ID_NONE, ORDER_ID_OURS, ORDER_ID_FOREIGN };

/* Fields of a payload; a field that an event does not have is zero. Views point into memory of
 * whoever made the event (an arena, a row). */
struct payload {
    struct order_id order_id;
    struct str foreign_order_id; /* the text, where it is no UUID: an order that can't be ours */
    enum flow_id flow;           /* FLOW_NONE: not known (message from outside, unknown order) */
    uint16_t flow_version;       /* OrderPlaced: that the order is born with; stored, not printed */
    struct customer_id customer_id;
    struct cart_id cart_id;
    const struct order_line *lines;
    const struct stock_line *stock_lines;
    const struct discount *discounts;
    unsigned n_lines, n_stock_lines, n_discounts;
    const struct address *address;
    int64_t subtotal, total, amount;
    struct currency currency;
    int64_t payment_deadline_ms; /* 0: none */
    struct payment_id payment_id;
    struct reservation_id reservation_id;
    struct shipment_id shipment_id;
    struct invoice_id invoice_id;
    struct str tracking_number, reason;
    enum order_status previous_status;
    struct { /* what goes back; set == false prints null */
        bool set;
        struct payment_id payment_id;
        int64_t amount;
        struct currency currency;
    } refund;
    struct {
        bool set;
        struct reservation_id reservation_id;
    } release;
    int64_t dispatched_at_ms, delivered_at_ms;
    /* carts and products */
    struct sku sku;
    struct str name, description;
    int64_t price; /* with has_price */
    bool has_price;
    int64_t quantity;    /* of a cart's line, after the change */
    int64_t stock_delta; /* StockAdjusted; ProductAdded: the first stock */
    /* dead letters */
    struct str subscription, error_code, error_detail;
    struct dead_letter_id dead_letter_id;
    uint64_t message_position;
    int64_t attempts;
    struct str message_row; /* a message with another payload, encoded like an event */
    /* a message from outside that can't be received, as it came: any bytes */
    struct str said_topic, said_id, said_type, said_body;
    struct str said_attributes; /* pairs.h */
};

/* X(number, JSON name, kind, member): kinds say how a member is stored and printed. */
#define FIELD_MAP(X)                                                                               \
    X(ORDER_ID, "orderId", ORDER_ID, order_id)                                                     \
    X(FLOW, "flow", FLOW, flow)                                                                    \
    X(CUSTOMER_ID, "customerId", TEXT_ID, customer_id)                                             \
    X(CART_ID, "cartId", UUID, cart_id)                                                            \
    X(LINES, "items", LINES, lines)                                                                \
    X(STOCK_LINES, "items", STOCK_LINES, stock_lines)                                              \
    X(DISCOUNTS, "discounts", DISCOUNTS, discounts)                                                \
    X(ADDRESS, "shippingAddress", ADDRESS, address)                                                \
    X(SUBTOTAL, "subtotal", MONEY, subtotal)                                                       \
    X(TOTAL, "totalAmount", MONEY, total)                                                          \
    X(AMOUNT, "amount", MONEY, amount)                                                             \
    X(CURRENCY, "currency", CURRENCY, currency)                                                    \
    X(PAYMENT_DEADLINE, "paymentDeadline", TIME, payment_deadline_ms)                              \
    X(PAYMENT_ID, "paymentId", TEXT_ID, payment_id)                                                \
    X(RESERVATION_ID, "reservationId", TEXT_ID, reservation_id)                                    \
    X(SHIPMENT_ID, "shipmentId", TEXT_ID, shipment_id)                                             \
    X(INVOICE_ID, "invoiceId", TEXT_ID, invoice_id)                                                \
    X(TRACKING_NUMBER, "trackingNumber", STR, tracking_number)                                     \
    X(REASON, "reason", STR, reason)                                                               \
    X(PREVIOUS_STATUS, "previousStatus", STATUS, previous_status)                                  \
    X(REFUND, "refund", REFUND, refund)                                                            \
    X(RELEASE, "release", RELEASE, release)                                                        \
    X(DISPATCHED_AT, "dispatchedAt", TIME, dispatched_at_ms)                                       \
    X(DELIVERED_AT, "deliveredAt", TIME, delivered_at_ms)                                          \
    X(SKU, "sku", SKU, sku)                                                                        \
    X(NAME, "name", STR, name)                                                                     \
    X(DESCRIPTION, "description", STR, description)                                                \
    X(PRICE, "price", OPTIONAL_MONEY, price)                                                       \
    X(QUANTITY, "quantity", INT, quantity)                                                         \
    X(STOCK_DELTA, "stockDelta", INT, stock_delta)                                                 \
    X(SUBSCRIPTION, "subscription", STR, subscription)                                             \
    X(ERROR_CODE, "errorCode", STR, error_code)                                                    \
    X(ERROR_DETAIL, "errorDetail", STR, error_detail)                                              \
    X(DEAD_LETTER_ID, "deadLetterId", UUID, dead_letter_id)                                        \
    X(MESSAGE_POSITION, "messagePosition", INT, message_position)                                  \
    X(ATTEMPTS, "attempts", INT, attempts)                                                         \
    X(MESSAGE_ROW, "payload", ROW, message_row)                                                    \
    X(SAID_TOPIC, "topic", BYTES, said_topic)                                                      \
    X(SAID_ID, "messageId", BYTES, said_id)                                                        \
    X(SAID_TYPE, "contentType", BYTES, said_type)                                                  \
    X(SAID_ATTRIBUTES, "attributes", PAIRS, said_attributes)                                       \
    X(SAID_BODY, "body", BYTES, said_body)

enum field {
    FIELD_NONE,
#define X(name, json, kind, member) FIELD_##name,
    FIELD_MAP(X)
#undef X
        FIELD_COUNT
};

enum field_kind {
    FIELD_KIND_ORDER_ID, /* struct order_id; or foreign_order_id */
    FIELD_KIND_FLOW,
    FIELD_KIND_TEXT_ID, /* any struct whose only member is a struct text_id */
    FIELD_KIND_UUID,    /* any struct whose only member is a struct uuid */
    FIELD_KIND_SKU,
    FIELD_KIND_STR,
    FIELD_KIND_INT,            /* int64_t */
    FIELD_KIND_MONEY,          /* int64_t in payload.currency */
    FIELD_KIND_OPTIONAL_MONEY, /* payload.price with payload.has_price */
    FIELD_KIND_CURRENCY,
    FIELD_KIND_TIME, /* int64_t ms; 0 prints null */
    FIELD_KIND_STATUS,
    FIELD_KIND_LINES,
    FIELD_KIND_STOCK_LINES,
    FIELD_KIND_DISCOUNTS,
    FIELD_KIND_ADDRESS,
    FIELD_KIND_REFUND,
    FIELD_KIND_RELEASE,
    FIELD_KIND_ROW, /* struct str: an event, encoded; its payload is what is printed */
    /* struct str of any bytes: printed as text where they are UTF-8, else as base64 under the name
     * with Base64 behind it */
    FIELD_KIND_BYTES,
    FIELD_KIND_PAIRS, /* struct str: names with values (pairs.h) */
};

struct field_info {
    const char *json;
    enum field_kind kind;
    uint16_t offset; /* in struct payload */
};
extern const struct field_info field_infos[FIELD_COUNT];

/* One use of a field by an event: `alias` is a second JSON name printed beside the first (amount
 * beside approvedAmount, reservations beside items), or NULL. `json` NULL: the field's own name.
 * In the events that outside contexts can send, the fields that are not optional are exactly those
 * that a message must have. */
struct event_field {
    enum field field;
    const char *json, *alias;
    bool optional; /* left out of JSON when empty, rather than null */
};
#define EVENT_FIELDS_MAX 16
struct event_info {
    struct str type, topic; /* topic.n == 0: never a message */
    enum aggregate aggregate;
    uint16_t version;
    struct event_field fields[EVENT_FIELDS_MAX]; /* ends with FIELD_NONE */
};
/* By enum event_type; [EVENT_NONE] is empty. */
extern const struct event_info event_infos[EVENT_TYPE_COUNT];
bool event_type_parse(struct str type, enum event_type *out);
bool event_type_of_topic(struct str topic, enum event_type *out);

/* Who made an event or handled a message: a context, the audit, or the relay to a broker. Stored:
 * append only. */
#define SUBSCRIPTION_MAP(X)                                                                        \
    X(ORDERS, "orders")                                                                            \
    X(PAYMENTS, "payments")                                                                        \
    X(INVENTORY, "inventory")                                                                      \
    X(SHIPMENTS, "shipments")                                                                      \
    X(AUDIT, "audit")                                                                              \
    X(NATS, "nats")                                                                                \
    X(KAFKA, "kafka")                                                                              \
    X(RABBITMQ, "rabbitmq")
enum subscription_id {
    SUBSCRIPTION_NONE, /* a command, a timer or a message from outside */
#define X(name, text) SUBSCRIPTION_##name,
    SUBSCRIPTION_MAP(X)
#undef X
        SUBSCRIPTION_COUNT
};
struct str subscription_name(enum subscription_id s);
/* Passes messages on to a broker, where one is configured. */
bool subscription_is_relay(enum subscription_id s);

/* What was found wrong with a message from outside when it was sequenced; such an event changes no
 * aggregate, and its message is a permanent failure. Stored: append only. */
#define VERDICT_MAP(X)                                                                             \
    X(FINE, "")                                                                                    \
    X(PAYMENT_TAKEN, "payment_taken")                                                              \
    X(NOT_CONFIRMED, "not_confirmed")                                                              \
    X(ILLEGAL_STATE, "illegal_state")                                                              \
    X(RESERVATION_TAKEN, "reservation_taken")                                                      \
    X(SHIPMENT_TAKEN, "shipment_taken")                                                            \
    X(TOO_MANY, "too_many")                                                                        \
    X(UNKNOWN_ORDER, "unknown_order")                                                              \
    X(NOT_THEIRS, "illegal_state") /* says that a built-in context undid what it did not */
enum verdict {
#define X(name, text) VERDICT_##name,
    VERDICT_MAP(X)
#undef X
        VERDICT_COUNT
};
const char *verdict_name(enum verdict v);

struct stream_id { /* an aggregate's own stream of events */
    enum aggregate type;
    struct text_id id; /* text of a UUID for orders and carts; sku; name of a subscription */
};

struct event {
    /* Set by the domain. */
    enum event_type type;
    struct payload p;

    /* Set by the use case before the event is handed to the log. */
    struct stream_id stream;
    struct lane_id lane;
    uint64_t sequence;               /* place in its stream, from 1 */
    struct event_id cause;           /* nil: a command */
    struct str cause_message_id;     /* as its sender called it; of an outside message */
    enum subscription_id handled_by; /* whose handling of `cause` made it */
    struct str user_id, traceparent, message_id; /* metadata; message_id: of an outside message */
    struct str raw_payload; /* an outside message's payload as JSON text: what it says is printed */
    enum verdict verdict;
    uint16_t version; /* of the payload's schema; 0: the catalogue's */

    /* Set by the log. */
    struct event_id id;
    uint64_t position;
    int64_t occurred_at_ms;
};

/* Room for the events of one decision. */
#define EVENT_LIST_MAX 8
struct event_list {
    unsigned n;
    struct event events[EVENT_LIST_MAX];
};
void event_list_init(struct event_list *l);
/* A zeroed event of this type at the end of the list; the list must have room (a decision is
 * bounded). */
struct event *event_list_add(struct event_list *l, enum event_type type);
/* e is what became of the cause. A view of the cause's own text. */
void event_follows(struct event *e, const struct event *cause);
#endif
