#include "payload_in.h"
#include "commands.h"
#include "orderly/domain/order.h"
#include "orderly/domain/product.h"
#include "orderly/domain/reservation.h"

#define TRACKING_NUMBER_MAX 100

struct stock_line_in { /* a context that repeats what it heard sends both names */
    struct json_text sku, product_id;
    struct json_int quantity;
};
static const struct json_field stock_line_fields[] = {
    { "sku", .kind = JSON_SKU, .offset = offsetof(struct stock_line_in, sku) },
    { "productId", .kind = JSON_SKU, .offset = offsetof(struct stock_line_in, product_id) },
    { "quantity", .kind = JSON_INT, .is_required = true,
      .offset = offsetof(struct stock_line_in, quantity), .min = 1, .max = STOCK_MAX },
};
static const struct json_shape stock_line_shape = { .size = sizeof(struct stock_line_in),
                                                    .fields = stock_line_fields,
                                                    .n_fields = ARRAY_LEN(stock_line_fields),
                                                    .is_open = true };

struct payload_reader {
    struct json_in *in;
    const struct json_path *at; /* of the object */
    struct yyjson_val *object;
    struct payload *p;
};

/* The member under the first of its names that is there; *path says where. */
static struct yyjson_val *find_member(const struct payload_reader *r, const struct event_field *f,
                                      struct json_path *path)
{
    const char *name = f->json ? f->json : field_infos[f->field].json;
    struct yyjson_val *v;

    *path = (struct json_path){ r->at, str_of(name), 0 };
    v = json_in_member(r->object, path->key);
    if (v || !f->alias)
        return v;
    v = json_in_member(r->object, str_of(f->alias));
    if (v)
        path->key = str_of(f->alias);
    return v;
}

static void read_amount(struct payload_reader *r, const struct event_field *f, struct yyjson_val *v,
                        const struct json_path *path, int64_t *out)
{
    static const struct json_field amount_field = { .kind = JSON_AMOUNT };
    struct yyjson_val *second = f->alias ? json_in_member(r->object, str_of(f->alias)) : NULL;
    struct json_text text;
    enum money_parse parse;
    int64_t again;

    if (!json_in_value(r->in, v, path, &amount_field, &text) || currency_is_none(r->p->currency))
        return; /* a currency that is missing or wrong is a fault of its own */
    parse = money_from_text(text.text, r->p->currency, out);
    if (parse != MONEY_OK) {
        json_in_fault(r->in, path, "%s", money_parse_text(parse));
        return;
    }
    if (second && second != v) {
        struct json_path second_path = { r->at, str_of(f->alias), 0 };

        if (json_in_value(r->in, second, &second_path, &amount_field, &text) &&
            (money_from_text(text.text, r->p->currency, &again) != MONEY_OK || again != *out))
            json_in_fault(r->in, &second_path, "differs from " STR_FMT, STR_ARG(path->key));
    }
}

static void read_order_id(struct payload_reader *r, struct yyjson_val *v,
                          const struct json_path *path)
{
    static const struct json_field id_field = { .kind = JSON_ID };
    struct json_text text;

    if (!json_in_value(r->in, v, path, &id_field, &text))
        return;
    if (!uuid_parse(text.text, &r->p->order_id.u))
        r->p->foreign_order_id = text.text; /* an order that can't be ours */
}

static void read_stock_lines(struct payload_reader *r, struct yyjson_val *v,
                             const struct json_path *path)
{
    static const struct json_field lines_field = { .kind = JSON_LIST,
                                                   .max = RESERVATION_LINES_MAX,
                                                   .shape = &stock_line_shape };
    struct json_list list;
    struct stock_line *lines;

    if (!json_in_value(r->in, v, path, &lines_field, &list))
        return;
    lines = arena_zalloc(r->in->arena, list.n * sizeof(*lines) + 1);
    for (unsigned i = 0; i < list.n; i++) {
        const struct stock_line_in *in = (const struct stock_line_in *)list.items + i;
        struct json_path line_path = { path, STR_NONE, i };
        struct json_path sku_path = { &line_path, STR("sku"), 0 };

        lines[i].sku = command_sku(in->sku.is_set ? &in->sku : &in->product_id);
        lines[i].quantity = in->quantity.value;
        if (lines[i].sku.n == 0) {
            json_in_fault(r->in, &sku_path, "is required");
        } else if (in->sku.is_set && in->product_id.is_set) {
            struct sku other = command_sku(&in->product_id);

            if (!sku_eq(&other, &lines[i].sku))
                json_in_fault(r->in, &sku_path, "differs from productId");
        }
    }
    r->p->stock_lines = lines;
    r->p->n_stock_lines = list.n;
}

static void read_flow(struct payload_reader *r, struct yyjson_val *v, const struct json_path *path)
{
    static const char *const words[] = { "pay_first", "stock_first", NULL };
    static const struct json_field flow_field = { .kind = JSON_WORD, .words = words };
    struct json_int word;

    if (json_in_value(r->in, v, path, &flow_field, &word))
        r->p->flow = word.value == 0 ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST;
}

static void read_field(struct payload_reader *r, const struct event_field *f, struct yyjson_val *v,
                       const struct json_path *path)
{
    static const struct json_field id_field = { .kind = JSON_ID };
    static const struct json_field time_field = { .kind = JSON_TIME };
    static const struct json_field reason_field = { .kind = JSON_TEXT,
                                                    .min = 1,
                                                    .max = ORDER_REASON_MAX };
    static const struct json_field tracking_field = { .kind = JSON_TEXT,
                                                      .min = 1,
                                                      .max = TRACKING_NUMBER_MAX };
    void *member = (char *)r->p + field_infos[f->field].offset;
    struct json_text text;
    struct json_int number;

    switch (field_infos[f->field].kind) {
    case FIELD_KIND_ORDER_ID:
        read_order_id(r, v, path);
        return;
    case FIELD_KIND_FLOW:
        read_flow(r, v, path);
        return;
    case FIELD_KIND_TEXT_ID:
        if (json_in_value(r->in, v, path, &id_field, &text))
            *(struct text_id *)member = command_text_id(&text);
        return;
    case FIELD_KIND_STR:
        if (json_in_value(r->in, v, path,
                          f->field == FIELD_REASON ? &reason_field : &tracking_field, &text))
            *(struct str *)member = text.text;
        return;
    case FIELD_KIND_MONEY:
        read_amount(r, f, v, path, member);
        return;
    case FIELD_KIND_TIME:
        if (json_in_value(r->in, v, path, &time_field, &number))
            *(int64_t *)member = number.value;
        return;
    case FIELD_KIND_STOCK_LINES:
        read_stock_lines(r, v, path);
        return;
    case FIELD_KIND_CURRENCY: /* was read first */
        return;
    default:
        UNREACHABLE("a field that no outside message has");
    }
}

/* Amounts can't be read without it. */
static void read_currency(struct payload_reader *r)
{
    static const struct json_field currency_field = { .kind = JSON_CURRENCY };
    struct json_path path = { r->at, STR("currency"), 0 };
    struct yyjson_val *v = json_in_member(r->object, path.key);
    struct json_text text;

    if (v && json_in_value(r->in, v, &path, &currency_field, &text))
        (void)currency_parse(text.text, &r->p->currency);
}

void payload_in_read(struct json_in *in, struct yyjson_val *object, const struct json_path *at,
                     enum event_type type, struct payload *out)
{
    static const struct json_field time_field = { .kind = JSON_TIME };
    struct payload_reader reader = { .in = in, .at = at, .object = object, .p = out };
    struct payload_reader *r = &reader;
    struct json_path path = { r->at, STR("timestamp"), 0 };
    struct yyjson_val *v = json_in_member(r->object, path.key);
    struct json_int time;

    read_currency(r);
    for (const struct event_field *f = event_infos[type].fields; f->field != FIELD_NONE; f++) {
        struct json_path member_at;
        struct yyjson_val *member = find_member(r, f, &member_at);

        if (member)
            read_field(r, f, member, &member_at);
        else if (!f->optional)
            json_in_fault(r->in, &member_at, "is required");
    }
    if (v)
        (void)json_in_value(r->in, v, &path, &time_field, &time);
}
