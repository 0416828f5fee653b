/* How a command ended, for whoever answers it. */
#ifndef ORDERLY_APP_REPLY_H
#define ORDERLY_APP_REPLY_H
#include "orderly/domain/cart.h"
#include "orderly/domain/order.h"
#include "orderly/domain/product.h"
#include "orderly/domain/shipment.h"

/* name, stable code of the problem ("" for success), HTTP status */
#define REPLY_MAP(X)                                                                               \
    X(OK, "", 200)                                                                                 \
    X(CREATED, "", 201)                                                                            \
    X(ACCEPTED, "", 202)                                                                           \
    X(VALIDATION, "validation", 400)                                                               \
    X(EMPTY_CART, "empty_cart", 400)                                                               \
    X(UNKNOWN_PRODUCT, "unknown_product", 400)                                                     \
    X(NOT_FOUND, "not_found", 404)                                                                 \
    X(CART_CONVERTED, "cart_converted", 409)                                                       \
    X(PRICE_CHANGED, "price_changed", 409)                                                         \
    X(DUPLICATE_SKU, "duplicate_sku", 409)                                                         \
    X(ILLEGAL_STATE, "illegal_state", 409)                                                         \
    X(RETRY_RUNNING, "retry_running", 409)                                                         \
    X(FORCE_NEEDED, "force_needed", 409)                                                           \
    X(NOT_CONFIRMED, "not_confirmed", 409)                                                         \
    X(PAYMENT_TAKEN, "payment_taken", 409)                                                         \
    X(IDEMPOTENCY_IN_FLIGHT, "idempotency_in_flight", 409)                                         \
    X(PRECONDITION_FAILED, "precondition_failed", 412)                                             \
    X(IDEMPOTENCY_MISMATCH, "idempotency_mismatch", 422)                                           \
    X(OVERLOADED, "overloaded", 503)                                                               \
    X(DISK_FULL, "disk_full", 503)                                                                 \
    X(SHUTTING_DOWN, "shutting_down", 503)                                                         \
    X(DAMAGED, "damaged", 500)                                                                     \
    X(STORE_FAILED, "store_failed", 500)
enum reply_code {
#define X(name, code, status) REPLY_##name,
    REPLY_MAP(X)
#undef X
        REPLY_COUNT
};
const char *reply_code_text(enum reply_code c);
int reply_status(enum reply_code c);

/* One fault of the input, and where it is: a value of the body by its RFC 6901 pointer, or a query
 * parameter or header field by its name. */
enum fault_place { FAULT_POINTER, FAULT_PARAMETER, FAULT_HEADER };
struct fault {
    struct str pointer; /* or the name */
    struct str detail;
    enum fault_place place;
};

struct simulators;
struct dead_letter_item;
struct bulk_retry;

/* Views; valid only while the reply is being rendered. */
struct reply {
    enum reply_code code;
    struct str detail;          /* for people; may be empty */
    const struct fault *faults; /* VALIDATION, UNKNOWN_PRODUCT, PRICE_CHANGED … */
    unsigned n_faults;
    /* The resource, as it is after the command (also where the command changed nothing). */
    const struct order *order;
    const struct cart *cart;
    const struct product *product;
    const struct stock *stock; /* committed numbers plus this command's own change */
    uint64_t product_position; /* ETag of a product */
    const struct shipment *shipment;
    struct shipment_id shipment_id;
    const struct simulators *simulators;
    const struct dead_letter_item *dead_letter;
    const struct bulk_retry *bulk;
    struct str message_id; /* POST /messages */
    uint64_t position;
    /* ILLEGAL_STATE */
    struct str status;
    uint32_t legal;            /* bits 1u << enum order_input; for orders */
    const char *legal_text[4]; /* for others: NULL ends */
    unsigned retry_after_s;    /* 503, IDEMPOTENCY_IN_FLIGHT */
};
#endif
