#include "commands.h"
#include "fields.h"
#include "orderly/app/event_codec.h"
#include "orderly/infra/inbound/media.h"
#include "orderly/infra/inbound/reader.h"
#include "render.h"
#include "simulator_json.h"
#include <stdio.h>

#define SAME_PLACE(member)                                                                         \
    _Static_assert(offsetof(struct command_call, u.member) ==                                      \
                       offsetof(struct command_call, u.command),                                   \
                   "a command starts with struct command")
SAME_PLACE(create_cart.command);
SAME_PLACE(change_cart.command);
SAME_PLACE(convert_cart.command);
SAME_PLACE(checkout_cart.command);
SAME_PLACE(place_order.command);
SAME_PLACE(order.command);
SAME_PLACE(shipment.command);
SAME_PLACE(add_product.command);
SAME_PLACE(change_product.command);
SAME_PLACE(receive_message.command);
SAME_PLACE(change_settings.command);
SAME_PLACE(dead_letter.receive.command);
SAME_PLACE(bulk_retry.command);

/* ---- the way back: reply to answer ----------------------------------------------------------- */

/* Of the refusals that the app gives no detail of its own. */
static const char *const default_details[REPLY_COUNT] = {
    [REPLY_VALIDATION] = "The request needs your attention.",
    [REPLY_UNKNOWN_PRODUCT] = "A product is not in the catalogue.",
    [REPLY_PRICE_CHANGED] = "A price differs from the catalogue's.",
    [REPLY_DUPLICATE_SKU] = "A product with this sku is there already.",
    [REPLY_ILLEGAL_STATE] = "The command is not legal in this state.",
    [REPLY_RETRY_RUNNING] = "Another retry of many is under way.",
};

static struct str detail_of(const struct reply *r)
{
    const char *text = default_details[r->code];

    return r->detail.n || !text ? r->detail : str_of(text);
}

static void render_failure(struct command_call *cc, const struct reply *r, struct json_out *o)
{
    struct call *c = cc->call;
    struct answer *answer = &cc->u.command.answer;
    struct str legal[ORDER_INPUT_COUNT + ARRAY_LEN(r->legal_text)];
    struct problem p = {
        .status = reply_status(r->code),
        .code = str_of(reply_code_text(r->code)),
        .detail = detail_of(r),
        .faults = r->faults,
        .n_faults = r->n_faults,
        .legal = legal,
    };

    if (r->code == REPLY_VALIDATION && r->detail.n == 0 && r->n_faults)
        p.detail = arena_printf(&c->req->arena, "%u field%s your attention", r->n_faults,
                                r->n_faults == 1 ? " needs" : "s need");
    if (r->code == REPLY_ILLEGAL_STATE) {
        p.state = r->status;
        p.has_legal = true;
        for (unsigned i = 0; i < ORDER_INPUT_COUNT; i++) {
            if (r->legal & 1u << i)
                legal[p.n_legal++] = str_of(order_input_name((enum order_input)i));
        }
        for (unsigned i = 0; i < ARRAY_LEN(r->legal_text) && r->legal_text[i]; i++)
            legal[p.n_legal++] = str_of(r->legal_text[i]);
    }
    p.request_id = call_request_id(c);
    render_problem(o, &p);
    answer->content_type = CALL_TYPE_PROBLEM;
    answer->retry_after_s = r->retry_after_s;
    if (answer->retry_after_s == 0 && (p.status == 503 || r->code == REPLY_IDEMPOTENCY_IN_FLIGHT))
        answer->retry_after_s = 1;
}

/* Where the created thing is found. */
static struct str location_of(struct call *c, const char *folder, struct str id)
{
    return call_location(c, "/%s/" STR_FMT, folder, STR_ARG(id));
}

static void render_letter(struct json_out *o, const struct dead_letter_item *item)
{
    struct arena scratch;
    struct event message;
    bool has_message;

    arena_init(&scratch, NULL, 0);
    has_message = item->message_row.n && event_decode(item->message_row, item->letter.position,
                                                      &message, &scratch) == ERR_OK;
    render_dead_letter(o, item, has_message ? &message : NULL);
    arena_deinit(&scratch);
}

/* How many there are, and the ids of the first of them. */
static void render_bulk(struct json_out *o, const struct bulk_retry *b)
{
    json_open(o, '{');
    JSON_KEY(o, "dryRun");
    json_bool(o, b->is_dry_run);
    JSON_KEY(o, "matched");
    json_u64(o, b->scan.n);
    JSON_KEY(o, "perSecond");
    json_u64(o, b->per_second);
    JSON_KEY(o, "deadLetterIds");
    json_open(o, '[');
    for (unsigned i = 0; i < b->scan.n_ids; i++) {
        json_item(o);
        json_uuid(o, b->scan.ids[i].u);
    }
    json_close(o, ']');
    json_close(o, '}');
}

static void render_success(struct command_call *cc, const struct reply *r, struct json_out *o)
{
    struct call *c = cc->call;
    struct arena *a = &c->req->arena;
    struct answer *answer = &cc->u.command.answer;
    bool is_new = r->code == REPLY_CREATED;
    char text[UUID_TEXT_LEN];

    answer->content_type = CALL_TYPE_JSON;
    if (r->order) {
        render_order(o, r->order);
        answer->etag = etag_of(a, r->order->sequence);
        if (is_new) {
            uuid_format(r->order->body->id.u, text);
            answer->location = location_of(c, "orders", (struct str){ text, sizeof(text) });
        }
    } else if (r->cart) {
        render_cart(o, r->cart);
        answer->etag = etag_of(a, r->cart->sequence);
        if (is_new) {
            uuid_format(r->cart->id.u, text);
            answer->location = location_of(c, "carts", (struct str){ text, sizeof(text) });
        }
    } else if (r->product && r->stock) {
        render_product(o, r->product, r->stock);
        answer->etag = etag_of(a, r->product_position);
        if (is_new)
            answer->location = location_of(c, "products", sku_str(&r->product->sku));
    } else if (r->shipment) {
        render_shipment(o, &r->shipment_id, r->shipment);
    } else if (r->message_id.n) {
        json_raw_str(o, inbound_receipt(a, r->message_id, r->position).body);
    } else if (r->dead_letter) {
        render_letter(o, r->dead_letter);
    } else if (r->bulk) {
        render_bulk(o, r->bulk);
    } else if (r->simulators) {
        simulator_write(o, r->simulators, cc->u.change_settings.simulator);
    }
}

static void command_render(struct command *command, const struct reply *r)
{
    struct command_call *cc = container_of(command, struct command_call, u.command);
    struct json_out *o = call_out(cc->call);

    command->answer = (struct answer){ .status = reply_status(r->code) };
    if (command->answer.status < 400)
        render_success(cc, r, o);
    else
        render_failure(cc, r, o);
    command->answer.body = json_out_take(o, &cc->call->req->arena);
}

static void command_done(struct command *command)
{
    struct command_call *cc = container_of(command, struct command_call, u.command);
    const struct answer *answer = &command->answer;
    struct call_extra extra = { .etag = answer->etag, .location = answer->location };
    char seconds[12];

    if (command->is_replayed) {
        extra.header = "Idempotent-Replayed";
        extra.value = "true";
    } else if (answer->retry_after_s) {
        snprintf(seconds, sizeof(seconds), "%u", answer->retry_after_s);
        extra.header = "Retry-After";
        extra.value = seconds;
    }
    call_send(cc->call, answer->status, answer->content_type, answer->body, &extra);
}

/* ---- the way in ------------------------------------------------------------------------------ */

static void read_key(struct command_call *cc)
{
    struct call *c = cc->call;
    struct command *command = &cc->u.command;
    struct str value, key;
    struct str parts[3 + ROUTE_PARAMS_MAX];

    if (c->req->method != HTTP_METHOD_POST || !call_header(c, "Idempotency-Key", &value))
        return;
    if (http_request_header_count(c->req, STR("Idempotency-Key")) != 1 ||
        !field_idempotency_key(value, &c->req->arena, &key)) {
        call_fault_header(&cc->in, "Idempotency-Key", "must be 1 to 255 visible ASCII characters");
        return;
    }
    parts[0] = text_id_str(&c->caller);
    parts[1] = key;
    digest16_of(&command->key, parts, 2);
    parts[0] = str_of(http_method_name(c->req->method));
    parts[1] = str_of(c->route->pattern);
    memcpy(&parts[2], c->params, sizeof(c->params));
    parts[2 + ROUTE_PARAMS_MAX] = c->req->body;
    digest16_of(&command->request, parts, ARRAY_LEN(parts));
    command->has_key = true;
}

/* Before the body is parsed, which happens in place. */
static void read_fields(struct command_call *cc)
{
    struct call *c = cc->call;
    struct command *command = &cc->u.command;
    struct str value;

    if (call_header(c, "X-User-Id", &value) && value.n) {
        if (field_user_id(value))
            command->user_id = value;
        else
            call_fault_header(&cc->in, "X-User-Id", "must be 1 to 64 printable ASCII characters");
    }
    if (call_header(c, "traceparent", &value) && traceparent_is_valid(value))
        command->traceparent = value;
    if (call_header_list(c, "If-Match", &value) && !field_if_match(value, command))
        call_fault_header(&cc->in, "If-Match", "must be * or at most 8 entity tags");
    read_key(cc);
}

static bool is_coded(const struct call *c)
{
    struct str coding;

    return call_header_list(c, "Content-Encoding", &coding) &&
           !str_eq_nocase(coding, STR("identity"));
}

static bool content_is_ours(const struct call *c)
{
    struct str type;

    return call_header(c, "Content-Type", &type) && media_is_json(type) && !is_coded(c);
}

static struct command_call *command_call_create(struct call *c)
{
    struct command_call *cc = arena_zalloc(&c->req->arena, sizeof(*cc));

    cc->call = c;
    cc->in.arena = &c->req->arena;
    cc->u.command.app = c->app;
    cc->u.command.arena = &c->req->arena;
    cc->u.command.render = command_render;
    cc->u.command.done = command_done;
    read_fields(cc);
    return cc;
}

/* body: followed by JSON_BODY_TAIL NUL bytes, and changed. */
static struct command_call *parse(struct command_call *cc, struct str body,
                                  struct yyjson_val **root)
{
    struct str why;

    *root = json_in_parse_object(&cc->in, body, &why);
    if (!*root) {
        struct problem p = { .status = 400, .code = STR("malformed_json"), .detail = why };

        call_problem_with(cc->call, &p, NULL);
        return NULL;
    }
    return cc;
}

struct command_call *command_open_raw(struct call *c, enum command_body body,
                                      struct yyjson_val **root)
{
    struct command_call *cc;

    if (c->req->body.n && !content_is_ours(c)) {
        call_problem(c, 415, "unsupported_media_type", JSON_MEDIA_DETAIL);
        return NULL;
    }
    cc = command_call_create(c);
    *root = NULL;
    if (c->req->body.n == 0 && body == COMMAND_BODY_OPTIONAL)
        return cc;
    return parse(cc, c->req->body, root);
}

struct command_call *command_open_json(struct call *c, struct str json, struct yyjson_val **root)
{
    char *body = arena_zalloc(&c->req->arena, json.n + JSON_BODY_TAIL);

    if (is_coded(c)) {
        call_problem(c, 415, "unsupported_media_type", "The body must come without a coding.");
        return NULL;
    }
    if (json.n)
        memcpy(body, json.p, json.n);
    return parse(command_call_create(c), (struct str){ body, json.n }, root);
}

struct command_call *command_open(struct call *c, const struct json_shape *shape, void *out,
                                  enum command_body body)
{
    struct yyjson_val *root;
    struct command_call *cc = command_open_raw(c, body, &root);

    memset(out, 0, shape->size);
    if (cc && root)
        (void)json_in_object(&cc->in, root, NULL, shape, out);
    return cc;
}

const struct json_shape command_nothing = { .size = sizeof(struct nothing_in) };

bool command_is_refused(struct command_call *cc)
{
    if (cc->in.n_faults == 0)
        return false;
    call_refuse(cc->call, &cc->in);
    return true;
}
