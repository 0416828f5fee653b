/* A command on its way through the app: input in, one reply rendered when it is decided, the answer
 * given back when it is durable.
 *
 *     x_start(&cmd)  ->  [idempotency] -> turn -> load -> decide -> render(reply) -> append -> done
 *
 * The answer is rendered before the commit, because it is committed together with the events where
 * the request has an Idempotency-Key. Nothing is given out before done.
 *
 * start never fails and never calls back inside: refusals (queue full, shutting down) are replies
 * too. Owner: the caller keeps the command and everything that its input points to until done.
 * Thread: loop. */
#ifndef ORDERLY_APP_COMMAND_H
#define ORDERLY_APP_COMMAND_H
#include "orderly/app/carts.h"
#include "orderly/app/catalogue.h"
#include "orderly/app/event_log.h"
#include "orderly/app/failure.h"
#include "orderly/app/order_read.h"
#include "orderly/app/redrive.h"
#include "orderly/app/reply.h"
#include "orderly/app/settings.h"
#include "orderly/app/turn.h"
#include "orderly/base/digest.h"

#include "orderly/app/binding.h"
#include "orderly/app/part_state.h"

struct app;
struct command;
struct dead_letter_command;
struct letter_hold;

/* What is sent, and stored under an Idempotency-Key. */
struct answer {
    int status;
    struct str content_type, location, etag, body;
    unsigned retry_after_s; /* 0: none */
};

enum if_match { IF_MATCH_NONE, IF_MATCH_ANY, IF_MATCH_LIST };
#define IF_MATCH_LIST_MAX 8

struct command {
    /* Set by the caller. */
    struct app *app;
    struct arena *arena; /* of the request; the app allocates here too */
    struct str user_id, traceparent;
    enum if_match if_match;
    uint64_t if_match_list[IF_MATCH_LIST_MAX]; /* tags of other forms match nothing */
    unsigned n_if_match;
    bool has_key;            /* Idempotency-Key was sent */
    struct digest16 key;     /* of caller and key */
    struct digest16 request; /* of method, route with its ids, body */
    /* Fills c->answer, memory of c->arena. Not run for a stored answer; run
     * a second time, with a refusal, where the commit failed. */
    void (*render)(struct command *c, const struct reply *r);
    void (*done)(struct command *c); /* exactly once, last */

    /* Read it in done. */
    struct answer answer;
    bool is_replayed; /* the stored answer of an earlier request */

    /* App only. */
    void (*run)(struct command *c);                      /* the use case, once the key is ours */
    void (*applied)(struct command *c, enum err status); /* the commit came back */
    struct turn_wait turn;
    void *turn_user;
    struct append append;
    struct store_read key_read;
    struct map_node key_node; /* in the table of keys in flight */
    struct list link;         /* in the app's list of finished commands */
    bool is_key_held, is_key_counted, is_stored;
    struct arena read_arena; /* while the key is read */
    struct str stored_row;
    enum err stored_err;
};

/* ---- inputs ---------------------------------------------------------------------------------- */

/* A command's way to the turn of a cart that exists. App only. */
struct cart_turn {
    struct command *command;
    struct cart_wait wait;
    struct cart_entry *entry;
    void (*granted)(struct command *c);
};

struct create_cart {
    struct command command;
    struct customer_id customer_id;
    struct cart cart; /* the result; app only */
};
enum cart_change { CART_ADD, CART_SET, CART_REMOVE };
struct change_cart {
    struct command command;
    struct cart_id cart_id;
    enum cart_change change;
    struct sku sku;
    int64_t quantity; /* 1..10; not for CART_REMOVE */
    struct cart cart; /* app only */
    struct cart_turn turn;
};
struct convert_cart {
    struct command command;
    struct cart_id cart_id;
    struct cart cart; /* app only */
    struct cart_turn turn;
};

struct requested_line {
    struct sku sku;
    int64_t quantity;
    struct str unit_price; /* the number's text; empty: the catalogue's */
    struct str currency;   /* empty: the order's */
};
struct checkout_cart {
    struct command command;
    struct cart_id cart_id;
    struct address address;
    struct cart cart; /* app only */
    struct cart_turn turn;
    struct order_read first; /* of a cart that was checked out before */
    void *order_entry;
    struct order *order;
};
struct place_order {
    struct command command;
    struct customer_id customer_id;
    enum flow_id flow;
    struct str currency; /* empty: the catalogue's, else the default */
    const struct requested_line *lines;
    unsigned n_lines;
    struct address address;
    void *order_entry; /* app only */
    struct order *order;
};
/* PAY, MARK_PAID, CANCEL, READY, COMPLETE */
struct order_command {
    struct command command;
    struct order_id order_id;
    enum order_input input;
    struct payment_id payment_id; /* MARK_PAID */
    struct str reason;            /* CANCEL, 1..500 */
    struct invoice_id invoice_id; /* COMPLETE; n == 0: the app makes one */
    /* App only. */
    struct dossier_wait open;
    struct dossier *dossier;
    bool has_turn;
    struct order *next;
    struct binding *binding;
    struct binding_check binding_check;
};
struct shipment_command {
    struct command command;
    struct shipment_id shipment_id;
    bool is_deliver; /* else dispatch */
    /* App only. */
    struct binding_check owner;
    struct dossier_wait open;
    struct dossier *dossier;
    struct part *part;
    struct part_state next;
    bool has_turn;
};
struct add_product {
    struct command command;
    struct sku sku;
    struct str name, description;
    struct str price, currency; /* texts; price empty: none; currency empty: the default */
    int64_t stock;
    /* App only. */
    struct catalogue_entry *entry;
    bool has_price;
    int64_t price_minor;
    struct currency price_currency;
    struct product next;
    struct stock_change stock_change;
    struct stock shown;
};
struct change_product {
    struct command command;
    struct sku sku;
    bool has_name, has_description, has_price, has_stock_delta, has_stock;
    struct str name, description, price, currency; /* price "null": removed */
    int64_t stock_delta, stock;                    /* stock needs If-Match */
    /* App only. */
    struct catalogue_entry *entry;
    bool price_is_set;
    int64_t price_minor;
    struct currency price_currency;
    struct product next;
    struct stock_change stock_change;
    struct stock shown;
};
/* A message from outside, by HTTP or from a broker: the payload is checked (required fields there and
 * well typed), and app_hears its type. */
struct receive_message {
    struct command command; /* has_key is not used: the message id is the key */
    enum event_type type;
    struct str message_id;   /* 1..64 */
    struct str raw_payload;  /* JSON object, as it came */
    struct payload payload;  /* known fields */
    struct digest16 content; /* of topic and body: another one under the same id is 422 */
    /* App only. */
    struct lane_id lane;
    struct dossier_wait open;
    struct dossier *dossier;
    struct part *part;
    struct part_state next;
    struct binding *binding;
    struct binding_check binding_check;
    enum verdict verdict;
    bool has_turn;
    struct dead_letter_command *letter; /* received anew for this one; NULL: it is a new message */
};
/* A message from outside that can't be received, with its bytes: an open dead letter of the road that
 * it came by, and the answer is ACCEPTED when that is durable (refuse_message.c). The same again, all
 * of it, is the same letter. */
struct refuse_message {
    struct command command; /* has_key is not used */
    enum subscription_id subscription;
    struct str topic, message_id, content_type, body; /* as the road said them */
    struct str attributes;                            /* pairs.h */
    enum failure_code code;                           /* permanent */
    struct str detail;                                /* UTF-8, at most BUS_ERROR_DETAIL_MAX */
    /* App only. */
    struct dead_letter letter;
    uint64_t first_sequence;
};
/* POST /dead-letters/{id}/retry and …/discard; what they do to the lanes is in redrive.h. */
struct dead_letter_command {
    struct receive_message receive; /* its command; the rest where the message is received anew */
    struct dead_letter_id id;
    bool is_discard;
    struct str reason; /* discard, 1..500 */
    bool is_forced;    /* discard, though a refund or release stays due by it */
    /* Retry with another payload: raw_payload of `receive` has its text. read_payload runs when the
     * message's type is known, and fills payload from it; false: the reply has the faults. */
    bool has_payload;
    bool (*read_payload)(struct dead_letter_command *dc, struct reply *r);
    /* App only. */
    struct letter_hold *hold;
    struct turn_wait hold_wait;
    struct store_read read;
    enum err read_err;
    struct dead_letter_item item;
    struct event *message; /* of the request's memory, like redrive: most commands are smaller */
    bool has_message;
    struct str given_row;    /* the message with the other payload, encoded */
    struct str given_before; /* the payload that an earlier retry gave, as text */
    /* A message that was refused and is received now: its id is kept as any other's. */
    struct digest16 message_key;
    struct map_node message_key_node;
    struct str stored_row;
    bool is_key_held, is_key_counted;
    bool is_here; /* it came in by another road meanwhile */
    struct redrive *redrive;
};
/* POST /dead-letters/retry (bulk_retry.c). */
#define BULK_PER_SECOND_DEFAULT 100
#define BULK_PER_SECOND_MAX 10000
#define BULK_SHOWN_MAX 100 /* ids in the answer */
struct bulk_retry {
    struct command command;
    struct dead_letter_filter filter; /* states: parked, open, or both */
    bool is_dry_run;
    unsigned per_second; /* 1..BULK_PER_SECOND_MAX */
    /* For the reply: scan.n letters, and the ids of the first of them. */
    struct dead_letter_scan scan;
    /* App only. */
    struct store_read read;
    enum err read_err;
    void (*told)(struct command *c); /* the command's own done */
};
struct change_settings {
    struct command command;
    enum simulator simulator;
    struct simulators settings; /* only the named one is read */
};

void create_cart_start(struct create_cart *c);
void change_cart_start(struct change_cart *c);
void convert_cart_start(struct convert_cart *c);
void checkout_cart_start(struct checkout_cart *c);
void place_order_start(struct place_order *c);
void order_command_start(struct order_command *c);
void shipment_command_start(struct shipment_command *c);
void add_product_start(struct add_product *c);
void change_product_start(struct change_product *c);
void receive_message_start(struct receive_message *c);
void refuse_message_start(struct refuse_message *m);
/* The lane of the order that it is about. Pure. */
struct lane_id receive_message_lane(const struct receive_message *m);
void dead_letter_command_start(struct dead_letter_command *c);
void bulk_retry_start(struct bulk_retry *c);
void change_settings_start(struct change_settings *c);
#endif
