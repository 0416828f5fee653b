/* From a call to a command of the app, and from its reply back to an answer. */
#ifndef ORDERLY_INFRA_API_COMMANDS_H
#define ORDERLY_INFRA_API_COMMANDS_H
#include "call.h"
#include "orderly/app/command.h"
#include "orderly/infra/inbound/address_in.h"

/* A command with the call that it answers; in the request's arena until done. */
struct command_call {
    struct call *call;
    struct json_in in;
    struct yyjson_val *payload; /* of a retry, until it is known what it has to be */
    union {
        struct command command; /* each of these starts with it */
        struct create_cart create_cart;
        struct change_cart change_cart;
        struct convert_cart convert_cart;
        struct checkout_cart checkout_cart;
        struct place_order place_order;
        struct order_command order;
        struct shipment_command shipment;
        struct add_product add_product;
        struct change_product change_product;
        struct receive_message receive_message;
        struct change_settings change_settings;
        struct dead_letter_command dead_letter;
        struct bulk_retry bulk_retry;
    } u;
};

enum command_body {
    COMMAND_BODY_NEEDED,
    COMMAND_BODY_OPTIONAL, /* nothing is as good as {} */
};

/* Reads the header fields that every command knows (If-Match, Idempotency-Key, X-User-Id,
 * traceparent) and the body by its shape. NULL: no JSON at all, and the call was answered. Otherwise
 * cc->in has the faults so far; the handler adds its own and asks command_is_refused. */
struct command_call *command_open(struct call *c, const struct json_shape *shape, void *out,
                                  enum command_body body);
/* The same, for a handler that reads the body by itself: *root is its object. */
struct command_call *command_open_raw(struct call *c, enum command_body body,
                                      struct yyjson_val **root);
/* The same, for a handler that has looked at the content type and made JSON of the body. */
struct command_call *command_open_json(struct call *c, struct str json, struct yyjson_val **root);
/* True: there were faults, and the call was answered with all of them. */
bool command_is_refused(struct command_call *cc);

/* The shape of a body that may hold nothing. */
struct nothing_in {
    bool is_set;
};
extern const struct json_shape command_nothing;
#endif
