/* The query of every list and of every other read, cursors first of all.
 *
 * input = route(2) name(1) query
 *   route  which one of the GET routes whose answer is JSON, see pick_route.h
 *   name   bits 0-3: what stands for {id} and the like in the path: an enum shop_name; beyond, the
 *          query's first line; bits 4-5: GET, OPTIONS, DELETE, a GET whose client goes at once; bits
 *          6 and 7: lines before the query are If-None-Match and Accept */
#include "rig/ask.h"
#include "rig/fuzz.h"
#include "rig/pick_route.h"
#include <yyjson.h>

#define PAGES_MAX 4
#define LINK_MAX_LEN 8000 /* a link may be too long for a request, since it escapes more */

static bool is_read(const struct route *r)
{
    return r->method == HTTP_METHOD_GET && r->answer == ROUTE_JSON;
}

enum { NAME = 15, NAME_HOW = 48, NAME_GONE = 48, NAME_NONE_MATCH = 64, NAME_ACCEPT = 128 };

static void put_path(const struct shop *s, const char *pattern, unsigned name, struct str *in,
                     struct buf *line)
{
    static const char *const methods[] = { "GET", "OPTIONS", "DELETE", "GET" };
    const char *open = strchr(pattern, '{');

    buf_printf(line, "%s ", methods[name >> 4 & 3]);
    name &= NAME;
    buf_add(line, pattern, open ? (size_t)(open - pattern) : strlen(pattern));
    if (!open)
        return;
    if (name < SHOP_NAMES)
        buf_add_str(line, str_of(s->names[name]));
    else
        ask_add_escaped(line, fuzz_take_line(in));
    buf_add_str(line, str_of(strchr(open, '}') + 1));
}

/* The answer says where the next page begins, or that there is none: a list of CloudEvents, which
 * has no room for it, by its link alone. */
static void check_cursor(const struct asked *a, struct str link)
{
    yyjson_doc *doc = yyjson_read(a->answer.body.p, a->answer.body.n, YYJSON_READ_BIGNUM_AS_RAW);
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool names = yyjson_is_arr(yyjson_obj_get(root, "data")) &&
                 yyjson_is_str(yyjson_obj_get(root, "nextCursor"));

    FUZZ_EXPECT(yyjson_is_arr(root) || names == (link.n > 0),
                "a cursor and no link, or a link without");
    yyjson_doc_free(doc);
}

/* Whoever waits for an order may go while it is read, too. */
static void ask_and_go(struct shop *s, struct str line, struct str headers)
{
    struct loopback client;

    shop_send(s, &client, line, headers, STR_NONE);
    manual_scheduler_run_turn(&s->app.ms);
    loopback_reset(&client);
    shop_settle(s, &client);
    loopback_deinit(&client);
}

/* The link to a next page is good. */
static void turn_pages(struct shop *s, struct asked *a, struct str headers)
{
    for (unsigned i = 0; i < PAGES_MAX && a->answer.status == 200; i++) {
        struct str link = answer_field(&a->answer, "Link"), end = STR(">; rel=\"next\"");
        struct buf line = { 0 };

        check_cursor(a, link);
        if (link.n == 0)
            return;
        FUZZ_EXPECT(link.n > end.n + 1 && link.p[0] == '<' &&
                        memcmp(link.p + link.n - end.n, end.p, end.n) == 0,
                    "an odd link");
        buf_add_str(&line, STR("GET "));
        buf_add(&line, link.p + 1, link.n - end.n - 1);
        ask(s, a, buf_str(&line), headers, STR_NONE, false);
        FUZZ_EXPECT(a->answer.status == 200 || line.n > LINK_MAX_LEN, STR_FMT ": refused",
                    STR_ARG(buf_str(&line)));
        buf_deinit(&line);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    const struct route *route = pick_route(is_read, fuzz_take_u16(&in));
    unsigned name = fuzz_take_u8(&in);
    struct shop *s = shop_open(false);
    struct buf line = { 0 }, query = { 0 }, headers = { 0 };
    struct asked a = { .joined = { 0 } };

    put_path(s, route->pattern, name, &in, &line);
    if (name & NAME_NONE_MATCH)
        ask_add_header(&headers, "If-None-Match", fuzz_take_line(&in));
    if (name & NAME_ACCEPT)
        ask_add_header(&headers, "Accept", fuzz_take_line(&in));
    buf_add(&line, "?", 1);
    shop_expand(s, in, &query);
    ask_add_escaped(&line, buf_str(&query));
    if ((name & NAME_HOW) == NAME_GONE)
        ask_and_go(s, buf_str(&line), buf_str(&headers));
    else
        ask(s, &a, buf_str(&line), buf_str(&headers), STR_NONE, false);
    turn_pages(s, &a, buf_str(&headers));
    asked_deinit(&a);
    buf_deinit(&line);
    buf_deinit(&query);
    buf_deinit(&headers);
    shop_close(s);
    return 0;
}
