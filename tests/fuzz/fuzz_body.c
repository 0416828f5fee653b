/* A JSON body to the command of every route of the table.
 *
 * input = route(2) name(1) more(1) body
 *   route  which one of the routes that are no GET, see pick_route.h
 *   name   bits 0-3: what stands for {id} in the path: an enum shop_name; beyond, one that nobody
 *          has; bits 4-7: which header fields come with it
 *   more   bits 0-1: an enum shop_trouble; bit 2: the same is asked again; bit 3: after 3 s
 */
#include "orderly/infra/http/target.h"
#include "rig/ask.h"
#include "rig/fuzz.h"
#include "rig/pick_route.h"

enum { MORE_TROUBLE = 3, MORE_AGAIN = 4, MORE_LATER = 8 };

static bool is_command(const struct route *r)
{
    return r->method != HTTP_METHOD_GET;
}

static const char *simulators[] = { "payments", "inventory", "shipments" };
static const char *topics[] = { "payment.approved", "payment.declined",    "payment.refunded",
                                "stock.reserved",   "stock.released",      "shipment.created",
                                "stock.rejected",   "shipment.dispatched", "payment.failed" };

/* The pattern with something in place of each parameter. */
static void put_path(const struct shop *s, const struct route *r, unsigned name, struct buf *out)
{
    struct str rest = str_of(r->pattern), segment;

    buf_printf(out, "%s ", http_method_name(r->method));
    while (http_path_next(&rest, &segment)) {
        buf_add_str(out, STR("/"));
        if (str_eq(segment, STR("{name}")))
            buf_add_str(out, str_of(simulators[name % ARRAY_LEN(simulators)]));
        else if (str_eq(segment, STR("{topic}")))
            buf_add_str(out, str_of(topics[name % ARRAY_LEN(topics)]));
        else if (str_eq(segment, STR("{sku}")) || str_eq(segment, STR("{productId}")))
            buf_add_str(out, name % 2 ? str_of(s->names[SHOP_SKU]) : STR("sold-out"));
        else if (segment.n && segment.p[0] == '{')
            buf_add_str(out, name < SHOP_NAMES ? str_of(s->names[name]) : STR("nobodys"));
        else
            buf_add_str(out, segment);
    }
}

/* The resource that was changed, or made, is there: what is below the path's second segment is a
 * command or a part of it. */
static void look_at(struct shop *s, struct asked *a, struct str line)
{
    struct str path = { memchr(line.p, '/', line.n), 0 }, rest, segment;
    struct str location = answer_field(&a->answer, "Location");
    struct buf get = { 0 };

    rest = (struct str){ path.p, line.n - (size_t)(path.p - line.p) };
    for (unsigned i = 0; i < 2 && http_path_next(&rest, &segment); i++)
        path.n += segment.n + 1;
    buf_add_str(&get, STR("GET "));
    buf_add_str(&get, location.n ? location : path);
    ask(s, a, buf_str(&get), STR_NONE, STR_NONE, false);
    FUZZ_EXPECT(a->answer.status == 200 || a->answer.status == 404, STR_FMT ": %d",
                STR_ARG(buf_str(&get)), a->answer.status);
    FUZZ_EXPECT(a->answer.status == 200 || location.n == 0, "what was made is not there");
    buf_deinit(&get);
}

static const char *const fields[] = {
    "Idempotency-Key: first-try\r\nX-User-Id: me\r\n",
    "If-Match: \"1\", \"2\", \"3\"\r\n",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    "Idempotency-Key: \"\r\nIf-Match: x\r\nX-User-Id:\r\ntraceparent: 1\r\n",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    const struct route *route = pick_route(is_command, fuzz_take_u16(&in));
    unsigned both = fuzz_take_u8(&in), name = both & 15, more = fuzz_take_u8(&in);
    struct shop *s = shop_open(false);
    struct buf line = { 0 }, body = { 0 }, headers = { 0 };
    struct asked a = { .joined = { 0 } };

    put_path(s, route, name, &line);
    shop_expand(s, in, &body);
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        if (both >> 4 & 1u << i)
            buf_add_str(&headers, str_of(fields[i]));
    }
    if ((more & MORE_TROUBLE) != SHOP_TROUBLE_DAMAGED) /* that would be answered 500, rightly */
        shop_trouble(s, (enum shop_trouble)(more & MORE_TROUBLE));
    ask(s, &a, buf_str(&line), buf_str(&headers), body.n ? buf_str(&body) : STR(""), false);
    if (more & MORE_AGAIN) {
        if (more & MORE_LATER)
            shop_pass_ms(s, NULL, 3000);
        ask(s, &a, buf_str(&line), buf_str(&headers), body.n ? buf_str(&body) : STR(""), false);
    }
    if (a.answer.status < 300 &&
        (strchr(route->pattern, '{') || answer_field(&a.answer, "Location").n) &&
        route->body_max == 0)
        look_at(s, &a, buf_str(&line));
    asked_deinit(&a);
    buf_deinit(&line);
    buf_deinit(&body);
    buf_deinit(&headers);
    shop_close(s);
    return 0;
}
