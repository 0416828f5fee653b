/* Why a message can fail, and what becomes of it: the one place that tells what is permanent from
 * what can be retried.
 *
 * RETRIED: another attempt may go well. It is tried again by timers; when no attempt is left it is a
 * dead letter, and its lane is parked behind it.
 * PERMANENT: the same message would fail for ever, whatever comes later. It is a dead letter at
 * once, and parks nothing.
 *
 * What is not the message's fault (a full queue or disk, a peer that is away) is no failure at all:
 * delivery_unavailable. Codes are printed and stored as texts: never change one. */
#ifndef ORDERLY_APP_FAILURE_H
#define ORDERLY_APP_FAILURE_H
#include "orderly/base/str.h"
#include <stdbool.h>

#define FAILURE_CODE_MAP(X)                                                                        \
    X(HANDLER_FAILED, "handler_failed", RETRIED)                                                   \
    X(DAMAGED, "damaged", RETRIED) /* of this order's rows; they may be mended */                  \
    X(UNKNOWN_ORDER, "unknown_order", PERMANENT)                                                   \
    X(PAYMENT_TAKEN, "payment_taken", PERMANENT)                                                   \
    X(RESERVATION_TAKEN, "reservation_taken", PERMANENT)                                           \
    X(SHIPMENT_TAKEN, "shipment_taken", PERMANENT)                                                 \
    X(NOT_CONFIRMED, "not_confirmed", PERMANENT)                                                   \
    X(ILLEGAL_STATE, "illegal_state", PERMANENT)                                                   \
    X(TOO_MANY, "too_many", PERMANENT)                                                             \
    X(REFUSED_BY_BROKER, "refused_by_broker", PERMANENT)                                           \
    X(MALFORMED, "malformed_json", PERMANENT) /* these six: of messages that can't be received */  \
    X(UNSUPPORTED, "unsupported_media_type", PERMANENT)                                            \
    X(UNKNOWN_TOPIC, "unknown_topic", PERMANENT)                                                   \
    X(VALIDATION, "validation", PERMANENT)                                                         \
    X(TOO_LARGE, "too_large", PERMANENT)                                                           \
    X(ID_TAKEN, "idempotency_mismatch", PERMANENT)

enum failure_code {
#define X(name, text, treatment) FAILURE_CODE_##name,
    FAILURE_CODE_MAP(X)
#undef X
        FAILURE_CODE_COUNT
};

struct failure {
    enum failure_code code;
    struct str detail; /* for people; copied by whoever keeps it */
};

struct str failure_code_text(enum failure_code c);
bool failure_code_parse(struct str text, enum failure_code *out);
bool failure_is_permanent(enum failure_code c);
#endif
