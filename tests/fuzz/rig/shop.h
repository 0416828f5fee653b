/* A whole server on virtual time without sockets, with a little history in it: what every target
 * that speaks HTTP asks.
 *
 * Each input meets the same server: one in which anything was written is put away after the input,
 * and the next one is made anew, from the same seed. Most inputs are refused and write nothing, so
 * most are cheap. Only the time of day differs.
 *
 * Inputs name what is there by one byte: 0xf0 + i stands for the i-th of enum shop_name, since those
 * bytes are never part of valid UTF-8. So a corpus outlives a change of how ids are drawn. */
#ifndef TESTS_FUZZ_SHOP_H
#define TESTS_FUZZ_SHOP_H
#include "orderly/base/buf.h"
#include "orderly/infra/api/api.h"
#include "orderly/infra/http/loopback.h"
#include "support/app_fixture.h"

enum shop_name {
    SHOP_ORDER_DONE,    /* stock first, shipped */
    SHOP_ORDER_PENDING, /* pay first, waits for its payment */
    SHOP_ORDER_CONFIRMED,
    SHOP_CART,           /* with an item */
    SHOP_CART_CONVERTED, /* … */
    SHOP_LETTER_OPEN,    /* a message about nobody's order */
    SHOP_LETTER_PARKED,
    SHOP_SHIPMENT,
    SHOP_EVENT,
    SHOP_CURSOR, /* of the second page of the orders */
    SHOP_SKU,
    SHOP_PAYMENT,
    SHOP_SHIPMENT_CREATED, /* which waits for its dispatch */
    SHOP_NAMES
};
#define SHOP_NAME_FIRST 0xf0
#define SHOP_NAME_MAX 120
#define SHOP_FOLLOWERS_MAX 2
#define SHOP_EPOCH "0123456789abcdef"

struct shop {
    struct app_fixture app;
    struct api *api;
    struct http_server server;
    struct http_handler handler; /* the API's; the server has ours, which counts */
    char names[SHOP_NAMES][SHOP_NAME_MAX];
    unsigned n_answers, n_heads; /* given since shop_open, by anybody */
    /* Own. */
    struct loopback client;
    bool is_connected;
    struct buf request;
    uint64_t commits;
    bool is_spoilt;
    int token_file; /* -1: everybody may do everything */
};

enum shop_trouble {
    SHOP_TROUBLE_NONE,
    SHOP_TROUBLE_FULL,   /* the next write finds no room */
    SHOP_TROUBLE_ENDING, /* the server drains */
    SHOP_TROUBLE_DAMAGED /* the newest event can't be read */
};

/* small_limits: those of the connection are some hundred bytes, so that inputs reach them. The shop
 * is the rig's; one at a time. */
struct shop *shop_open(bool small_limits);
/* The next input gets another one, whatever was written: for what an input changes beside the store. */
void shop_spoil(struct shop *s);
/* From now on, until the input ends. */
void shop_trouble(struct shop *s, enum shop_trouble what);
/* Everybody needs a token of this file from now on; those of an earlier file are no good any more. */
void shop_set_tokens(struct shop *s, const char *text);
/* After an input: no connection, no request, no waiter may be left. */
void shop_close(struct shop *s);

/* Everything that can happen now. */
void shop_settle(struct shop *s, struct loopback *client);
/* Lets time pass, for the app and for the connections. */
void shop_pass_ms(struct shop *s, struct loopback *client, int64_t ms);

/* Appends the bytes with each name put in place of its byte. */
void shop_expand(const struct shop *s, struct str bytes, struct buf *out);

/* One whole request on a connection of its own: head, then Host, Content-Length where there is a
 * body (body.p), and the lines of headers. Returns everything that the server sent, valid until the
 * next call; the connection is over. Time passes for answers that wait. */
struct str shop_ask(struct shop *s, struct str request_line, struct str headers, struct str body);
/* The same on a new connection of the caller's, whose end it sees to; nothing is done beyond what
 * the server does at once. */
void shop_send(struct shop *s, struct loopback *client, struct str request_line, struct str headers,
               struct str body);
#endif
