#include "orderly/infra/inbound/payload_in.h"
#include "orderly/domain/order.h"
#include "orderly/domain/product.h"
#include "orderly/domain/reservation.h"
#include "orderly/infra/inbound/address_in.h"

#define TRACKING_NUMBER_MAX 100
#define DISCOUNT_CODE_MAX 100
#define DISCOUNT_TEXT_MAX 500
#define STATUS_NAME_MAX 30

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
#define OPEN_SHAPE(type, table)                                                                    \
    {                                                                                              \
        .size = sizeof(type), .fields = (table), .n_fields = ARRAY_LEN(table), .is_open = true     \
    }
static const struct json_shape stock_line_shape =
    OPEN_SHAPE(struct stock_line_in, stock_line_fields);

struct order_line_in {
    struct stock_line_in stock;
    struct json_text name, description, price, discount;
};
static const struct json_field order_line_fields[] = {
    { "sku", .kind = JSON_SKU, .offset = offsetof(struct order_line_in, stock.sku) },
    { "productId", .kind = JSON_SKU, .offset = offsetof(struct order_line_in, stock.product_id) },
    { "quantity", .kind = JSON_INT, .is_required = true,
      .offset = offsetof(struct order_line_in, stock.quantity), .min = 1, .max = STOCK_MAX },
    { "name", .kind = JSON_TEXT, .offset = offsetof(struct order_line_in, name),
      .max = PRODUCT_NAME_MAX },
    { "description", .kind = JSON_TEXT, .offset = offsetof(struct order_line_in, description),
      .max = PRODUCT_DESCRIPTION_MAX },
    { "price", .kind = JSON_AMOUNT, .is_required = true,
      .offset = offsetof(struct order_line_in, price) },
    { "discount", .kind = JSON_AMOUNT, .offset = offsetof(struct order_line_in, discount) },
};
static const struct json_shape order_line_shape =
    OPEN_SHAPE(struct order_line_in, order_line_fields);

struct discount_in {
    struct json_text code, description, amount;
};
static const struct json_field discount_fields[] = {
    { "code", .kind = JSON_TEXT, .is_required = true, .offset = offsetof(struct discount_in, code),
      .min = 1, .max = DISCOUNT_CODE_MAX },
    { "description", .kind = JSON_TEXT, .offset = offsetof(struct discount_in, description),
      .max = DISCOUNT_TEXT_MAX },
    { "amount", .kind = JSON_AMOUNT, .is_required = true,
      .offset = offsetof(struct discount_in, amount) },
};
static const struct json_shape discount_shape = OPEN_SHAPE(struct discount_in, discount_fields);

/* What goes back. */
struct refund_in {
    bool is_set;
    struct json_text payment_id, amount, currency;
};
static const struct json_field refund_fields[] = {
    { "paymentId", .kind = JSON_ID, .is_required = true,
      .offset = offsetof(struct refund_in, payment_id) },
    { "amount", .kind = JSON_AMOUNT, .is_required = true,
      .offset = offsetof(struct refund_in, amount) },
    { "currency", .kind = JSON_CURRENCY, .is_required = true,
      .offset = offsetof(struct refund_in, currency) },
};
static const struct json_shape refund_shape = OPEN_SHAPE(struct refund_in, refund_fields);

struct release_in {
    bool is_set;
    struct json_text reservation_id;
};
static const struct json_field release_fields[] = {
    { "reservationId", .kind = JSON_ID, .is_required = true,
      .offset = offsetof(struct release_in, reservation_id) },
};
static const struct json_shape release_shape = OPEN_SHAPE(struct release_in, release_fields);

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
    if (!uuid_parse(text.text, &r->p->order_id.u) || uuid_is_nil(r->p->order_id.u))
        r->p->foreign_order_id = text.text; /* an order that can't be ours */
}

/* A line names its product once or twice, and then the same. */
static struct sku read_line_sku(struct payload_reader *r, const struct stock_line_in *in,
                                const struct json_path *line_path)
{
    struct json_path path = { line_path, STR("sku"), 0 };
    struct sku sku = json_in_sku(in->sku.is_set ? &in->sku : &in->product_id);

    if (sku.n == 0) {
        json_in_fault(r->in, &path, "is required");
    } else if (in->sku.is_set && in->product_id.is_set) {
        struct sku other = json_in_sku(&in->product_id);

        if (!sku_eq(&other, &sku))
            json_in_fault(r->in, &path, "differs from productId");
    }
    return sku;
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

        lines[i].sku = read_line_sku(r, in, &line_path);
        lines[i].quantity = in->quantity.value;
    }
    r->p->stock_lines = lines;
    r->p->n_stock_lines = list.n;
}

/* An amount inside of something, in the currency that goes with it. */
static int64_t read_inner_amount(struct payload_reader *r, const struct json_text *text,
                                 struct currency currency, const struct json_path *up,
                                 const char *name)
{
    struct json_path path = { up, str_of(name), 0 };
    enum money_parse parse;
    int64_t amount = 0;

    if (!text->is_set || currency_is_none(currency))
        return 0; /* said already */
    parse = money_from_text(text->text, currency, &amount);
    if (parse != MONEY_OK)
        json_in_fault(r->in, &path, "%s", money_parse_text(parse));
    return amount;
}

static void read_order_lines(struct payload_reader *r, struct yyjson_val *v,
                             const struct json_path *path)
{
    static const struct json_field lines_field = { .kind = JSON_LIST,
                                                   .max = RESERVATION_LINES_MAX,
                                                   .shape = &order_line_shape };
    struct currency currency = r->p->currency;
    struct json_list list;
    struct order_line *lines;

    if (!json_in_value(r->in, v, path, &lines_field, &list))
        return;
    lines = arena_zalloc(r->in->arena, list.n * sizeof(*lines) + 1);
    for (unsigned i = 0; i < list.n; i++) {
        const struct order_line_in *in = (const struct order_line_in *)list.items + i;
        struct json_path at = { path, STR_NONE, i };

        lines[i].sku = read_line_sku(r, &in->stock, &at);
        lines[i].quantity = in->stock.quantity.value;
        lines[i].name = in->name.text;
        lines[i].description = in->description.text;
        lines[i].price = read_inner_amount(r, &in->price, currency, &at, "price");
        lines[i].discount = read_inner_amount(r, &in->discount, currency, &at, "discount");
    }
    r->p->lines = lines;
    r->p->n_lines = list.n;
}

static void read_discounts(struct payload_reader *r, struct yyjson_val *v,
                           const struct json_path *path)
{
    static const struct json_field discounts_field = { .kind = JSON_LIST,
                                                       .max = RESERVATION_LINES_MAX + 1,
                                                       .shape = &discount_shape };
    struct json_list list;
    struct discount *discounts;

    if (!json_in_value(r->in, v, path, &discounts_field, &list))
        return;
    discounts = arena_zalloc(r->in->arena, list.n * sizeof(*discounts) + 1);
    for (unsigned i = 0; i < list.n; i++) {
        const struct discount_in *in = (const struct discount_in *)list.items + i;
        struct json_path at = { path, STR_NONE, i };

        discounts[i].code = in->code.text;
        discounts[i].description = in->description.text;
        discounts[i].amount = read_inner_amount(r, &in->amount, r->p->currency, &at, "amount");
    }
    r->p->discounts = discounts;
    r->p->n_discounts = list.n;
}

static void read_address(struct payload_reader *r, struct yyjson_val *v,
                         const struct json_path *path)
{
    struct json_shape open_shape = address_shape;
    struct json_field address_field = { .kind = JSON_OBJECT, .shape = &open_shape };
    struct address_in in;
    struct address *address;

    open_shape.is_open = true;
    if (!json_in_value(r->in, v, path, &address_field, &in))
        return;
    address = arena_zalloc(r->in->arena, sizeof(*address));
    address_of(&in, address);
    r->p->address = address;
}

static void read_refund(struct payload_reader *r, struct yyjson_val *v,
                        const struct json_path *path)
{
    static const struct json_field refund_field = { .kind = JSON_OBJECT, .shape = &refund_shape };
    struct refund_in in;

    if (!json_in_value(r->in, v, path, &refund_field, &in))
        return;
    r->p->refund.set = true;
    r->p->refund.payment_id.t = json_in_id(&in.payment_id);
    (void)currency_parse(in.currency.text, &r->p->refund.currency);
    r->p->refund.amount = read_inner_amount(r, &in.amount, r->p->refund.currency, path, "amount");
}

static void read_release(struct payload_reader *r, struct yyjson_val *v,
                         const struct json_path *path)
{
    static const struct json_field release_field = { .kind = JSON_OBJECT, .shape = &release_shape };
    struct release_in in;

    if (!json_in_value(r->in, v, path, &release_field, &in))
        return;
    r->p->release.set = true;
    r->p->release.reservation_id.t = json_in_id(&in.reservation_id);
}

static void read_uuid(struct payload_reader *r, struct yyjson_val *v, const struct json_path *path,
                      struct uuid *out)
{
    static const struct json_field id_field = { .kind = JSON_ID };
    struct json_text text;

    if (json_in_value(r->in, v, path, &id_field, &text) &&
        (!uuid_parse(text.text, out) || uuid_is_nil(*out)))
        json_in_fault(r->in, path, "must be a UUID");
}

static void read_status(struct payload_reader *r, struct yyjson_val *v,
                        const struct json_path *path)
{
    static const struct json_field status_field = { .kind = JSON_TEXT,
                                                    .min = 1,
                                                    .max = STATUS_NAME_MAX };
    struct json_text text;

    if (json_in_value(r->in, v, path, &status_field, &text) &&
        !order_status_parse(text.text, &r->p->previous_status))
        json_in_fault(r->in, path, "must be a status of an order");
}

static void read_price(struct payload_reader *r, struct yyjson_val *v, const struct json_path *path)
{
    static const struct json_field price_field = { .kind = JSON_AMOUNT };
    struct json_text text;
    enum money_parse parse;

    if (!json_in_value(r->in, v, path, &price_field, &text) || currency_is_none(r->p->currency))
        return;
    parse = money_from_text(text.text, r->p->currency, &r->p->price);
    r->p->has_price = parse == MONEY_OK;
    if (parse != MONEY_OK)
        json_in_fault(r->in, path, "%s", money_parse_text(parse));
}

static void read_sku(struct payload_reader *r, struct yyjson_val *v, const struct json_path *path)
{
    static const struct json_field sku_field = { .kind = JSON_SKU };
    struct json_text text;

    if (json_in_value(r->in, v, path, &sku_field, &text))
        r->p->sku = json_in_sku(&text);
}

static void read_int(struct payload_reader *r, struct yyjson_val *v, const struct json_path *path,
                     int64_t *out)
{
    static const struct json_field int_field = { .kind = JSON_INT,
                                                 .min = -STOCK_MAX,
                                                 .max = STOCK_MAX };
    struct json_int number;

    if (json_in_value(r->in, v, path, &int_field, &number))
        *out = number.value;
}

static void read_text(struct payload_reader *r, enum field field, struct yyjson_val *v,
                      const struct json_path *path, struct str *out)
{
    static const struct json_field reason_field = { .kind = JSON_TEXT,
                                                    .min = 1,
                                                    .max = ORDER_REASON_MAX };
    static const struct json_field tracking_field = { .kind = JSON_TEXT,
                                                      .min = 1,
                                                      .max = TRACKING_NUMBER_MAX };
    static const struct json_field name_field = { .kind = JSON_TEXT,
                                                  .min = 1,
                                                  .max = PRODUCT_NAME_MAX };
    static const struct json_field description_field = { .kind = JSON_TEXT,
                                                         .max = PRODUCT_DESCRIPTION_MAX };
    const struct json_field *how = field == FIELD_REASON        ? &reason_field
                                   : field == FIELD_NAME        ? &name_field
                                   : field == FIELD_DESCRIPTION ? &description_field
                                                                : &tracking_field;
    struct json_text text;

    if (json_in_value(r->in, v, path, how, &text))
        *out = text.text;
}

static void read_flow(struct payload_reader *r, struct yyjson_val *v, const struct json_path *path)
{
    static const char *const words[] = { "pay_first", "stock_first", NULL };
    static const struct json_field flow_field = { .kind = JSON_WORD, .words = words };
    struct json_int word;

    if (json_in_value(r->in, v, path, &flow_field, &word))
        r->p->flow = word.value == 0 ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST;
}

/* A payload's time is a moment in the life of an order. What lies before the epoch of computers is a
 * clock that was never set or a field that was never filled, and 1970 itself would be taken for no time
 * at all. */
static void read_time(struct payload_reader *r, struct yyjson_val *v, const struct json_path *path,
                      int64_t *out)
{
    static const struct json_field time_field = { .kind = JSON_TIME };
    struct json_int time;

    if (!json_in_value(r->in, v, path, &time_field, &time))
        return;
    if (time.value <= 0)
        json_in_fault(r->in, path, "must be later than 1970-01-01T00:00:00Z");
    else
        *out = time.value;
}

static void read_field(struct payload_reader *r, const struct event_field *f, struct yyjson_val *v,
                       const struct json_path *path)
{
    static const struct json_field id_field = { .kind = JSON_ID };
    void *member = (char *)r->p + field_infos[f->field].offset;
    struct json_text text;

    switch (field_infos[f->field].kind) {
    case FIELD_KIND_ORDER_ID:
        read_order_id(r, v, path);
        return;
    case FIELD_KIND_FLOW:
        read_flow(r, v, path);
        return;
    case FIELD_KIND_TEXT_ID:
        if (json_in_value(r->in, v, path, &id_field, &text))
            *(struct text_id *)member = json_in_id(&text);
        return;
    case FIELD_KIND_STR:
        read_text(r, f->field, v, path, member);
        return;
    case FIELD_KIND_MONEY:
        read_amount(r, f, v, path, member);
        return;
    case FIELD_KIND_TIME:
        read_time(r, v, path, member);
        return;
    case FIELD_KIND_STOCK_LINES:
        read_stock_lines(r, v, path);
        return;
    case FIELD_KIND_LINES:
        read_order_lines(r, v, path);
        return;
    case FIELD_KIND_DISCOUNTS:
        read_discounts(r, v, path);
        return;
    case FIELD_KIND_ADDRESS:
        read_address(r, v, path);
        return;
    case FIELD_KIND_REFUND:
        read_refund(r, v, path);
        return;
    case FIELD_KIND_RELEASE:
        read_release(r, v, path);
        return;
    case FIELD_KIND_STATUS:
        read_status(r, v, path);
        return;
    case FIELD_KIND_UUID:
        read_uuid(r, v, path, member);
        return;
    case FIELD_KIND_SKU:
        read_sku(r, v, path);
        return;
    case FIELD_KIND_INT:
        read_int(r, v, path, member);
        return;
    case FIELD_KIND_OPTIONAL_MONEY:
        read_price(r, v, path);
        return;
    case FIELD_KIND_CURRENCY: /* was read first */
        return;
    case FIELD_KIND_ROW:
    case FIELD_KIND_BYTES:
    case FIELD_KIND_PAIRS:
        break;
    }
    UNREACHABLE("a field that no message has");
}

/* null says something: nothing goes back, there is no price. Elsewhere it is as good as nothing. */
static bool field_may_be_null(const struct event_field *f)
{
    switch (field_infos[f->field].kind) {
    case FIELD_KIND_REFUND:
    case FIELD_KIND_RELEASE:
    case FIELD_KIND_OPTIONAL_MONEY:
        return true;
    default:
        return f->optional;
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
        else if (!field_may_be_null(f))
            json_in_fault(r->in, &member_at, "is required");
    }
    if (v)
        (void)json_in_value(r->in, v, &path, &time_field, &time);
}
