/* What a body may look like, and what is said about one that may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/base/buf.h"
#include "orderly/base/mem.h"
#include "orderly/infra/inbound/json_in.h"
#include <stdio.h>

/* ---- a shape of every kind ------------------------------------------------------------------- */

struct part {
    bool is_set;
    struct json_int n;
};
static const struct json_field part_fields[] = {
    { "n", .kind = JSON_INT, .is_required = true, .offset = offsetof(struct part, n), .min = 1,
      .max = 9 },
};
static const struct json_shape part_shape = JSON_SHAPE(struct part, part_fields);

static const char *const colours[] = { "red", "green", NULL };

struct thing {
    struct json_text id, name, sku, price, currency;
    struct json_int count, fine, colour, at;
    struct json_rate rate;
    struct part part;
    struct json_list parts;
    struct yyjson_val *any;
};
#define AT(member) .offset = offsetof(struct thing, member)
static const struct json_field thing_fields[] = {
    { "id", .kind = JSON_ID, .is_required = true, AT(id) },
    { "name", .kind = JSON_TEXT, AT(name), .min = 1, .max = 5 },
    { "sku", .alias = "productId", .kind = JSON_SKU, AT(sku) },
    { "price", .kind = JSON_AMOUNT, .is_nullable = true, AT(price) },
    { "currency", .kind = JSON_CURRENCY, AT(currency) },
    { "count", .kind = JSON_INT, AT(count), .min = 1, .max = 10000 },
    { "fine", .kind = JSON_BOOL, AT(fine) },
    { "colour", .kind = JSON_WORD, AT(colour), .words = colours },
    { "at", .kind = JSON_TIME, AT(at) },
    { "rate", .kind = JSON_RATE, AT(rate) },
    { "part", .kind = JSON_OBJECT, AT(part), .shape = &part_shape },
    { "parts", .kind = JSON_LIST, AT(parts), .min = 1, .max = 3, .shape = &part_shape },
    { "any", .kind = JSON_ANY, AT(any) },
};
static const struct json_shape thing_shape = JSON_SHAPE(struct thing, thing_fields);

struct reading {
    struct arena arena;
    struct json_in in;
    struct thing thing;
    struct str why;
    bool is_json, fits;
    struct buf faults; /* "/a: must be x|/b: …" */
};

static struct reading *read_bytes(struct str text)
{
    struct reading *r = mem_zalloc(sizeof(*r));
    struct yyjson_val *root;
    char *body;

    arena_init(&r->arena, NULL, 0);
    r->in.arena = &r->arena;
    body = arena_zalloc(&r->arena, text.n + 8);
    memcpy(body, text.p, text.n);
    root = json_in_parse(&r->in, (struct str){ body, text.n }, &r->why);
    r->is_json = root != NULL;
    if (root)
        r->fits = json_in_object(&r->in, root, NULL, &thing_shape, &r->thing);
    for (unsigned i = 0; i < r->in.n_faults; i++)
        buf_printf(&r->faults, "%s" STR_FMT ": " STR_FMT, i ? "|" : "",
                   STR_ARG(r->in.faults[i].pointer), STR_ARG(r->in.faults[i].detail));
    buf_add(&r->faults, "", 1);
    return r;
}
static struct reading *read_json(const char *text)
{
    return read_bytes(str_of(text));
}
static void reading_end(struct reading *r)
{
    buf_deinit(&r->faults);
    arena_deinit(&r->arena);
    mem_free(r);
}

static void assert_faults(const char *json, const char *expected)
{
    struct reading *r = read_json(json);

    assert_true(r->is_json);
    assert_string_equal(r->faults.p, expected);
    reading_end(r);
}
static void assert_no_json(struct str text, const char *in_why)
{
    struct reading *r = read_bytes(text);

    assert_false(r->is_json);
    assert_non_null(memmem(r->why.p, r->why.n, in_why, strlen(in_why)));
    reading_end(r);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void json_in__reads_every_kind_of_field(void **state)
{
    struct reading *r =
        read_json("{\"id\":\"a-1\",\"name\":\"Ann\\u00e9\",\"productId\":\" w-1 \",\"price\":1.50,"
                  "\"currency\":\"EUR\",\"count\":10000,\"fine\":true,\"colour\":\"green\","
                  "\"at\":\"2026-11-20T12:00:05+01:00\",\"rate\":0.25,\"part\":{\"n\":3},"
                  "\"parts\":[{\"n\":1},{\"n\":2}],\"any\":{\"x\":[1.10,\"\\u002f\"]}}");
    const struct part *parts = r->thing.parts.items;
    struct str any;

    (void)state;
    assert_string_equal(r->faults.p, "");
    assert_true(r->fits);
    assert_true(str_eq(r->thing.name.text, STR("Ann\xc3\xa9")));
    assert_true(str_eq(r->thing.sku.text, STR(" w-1 ")));
    assert_true(str_eq(r->thing.price.text, STR("1.50")));
    assert_int_equal(r->thing.count.value, 10000);
    assert_int_equal(r->thing.fine.value, 1);
    assert_int_equal(r->thing.colour.value, 1);
    assert_int_equal(r->thing.at.value, INT64_C(1795172405000));
    assert_true(r->thing.rate.value == 0.25);
    assert_int_equal(r->thing.part.n.value, 3);
    assert_int_equal(r->thing.parts.n, 2);
    assert_int_equal(parts[1].n.value, 2);
    any = json_in_text(&r->in, r->thing.any);
    assert_true(str_eq(any, STR("{\"x\":[1.10,\"/\"]}")));
    reading_end(r);
}

static void json_in__finds_all_faults_at_once(void **state)
{
    (void)state;
    assert_faults(
        "{\"name\":\"\",\"sku\":\"no blanks\",\"price\":-1,\"currency\":\"usd\",\"count\":0,"
        "\"fine\":1,\"colour\":\"blue\",\"at\":\"yesterday\",\"rate\":1.1,\"part\":{},"
        "\"parts\":[{\"n\":1},{\"n\":10,\"m\":1}],\"any\":[],\"more\":null}",
        "/name: must be text of 1 to 5 characters|"
        "/sku: must be 1 to 50 characters of A-Z 0-9 . _ -|"
        "/price: must not be negative|"
        "/currency: must be an ISO 4217 currency code such as USD|"
        "/count: must be an integer from 1 to 10000|"
        "/fine: must be true or false|"
        "/colour: must be one of red, green|"
        "/at: must be a time of RFC 3339 such as 2026-11-20T12:00:00Z|"
        "/rate: must be a number from 0 to 1|"
        "/part/n: is required|"
        "/parts/1/n: must be an integer from 1 to 9|"
        "/parts/1/m: is not a known field|"
        "/any: must be an object|"
        "/more: is not a known field|"
        "/id: is required");
}

static void json_in__wants_the_type_that_a_field_has(void **state)
{
    (void)state;
    assert_faults("{\"id\":7}", "/id: must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
    assert_faults("{\"id\":\"a\",\"name\":[]}", "/name: must be text of 1 to 5 characters");
    assert_faults("{\"id\":\"a\",\"price\":\"5\"}", "/price: must be a number");
    assert_faults("{\"id\":\"a\",\"price\":1e2}", "/price: must not have an exponent");
    assert_faults("{\"id\":\"a\",\"count\":1.0}", "/count: must be an integer from 1 to 10000");
    assert_faults("{\"id\":\"a\",\"count\":\"1\"}", "/count: must be an integer from 1 to 10000");
    assert_faults("{\"id\":\"a\",\"count\":99999999999999999999}",
                  "/count: must be an integer from 1 to 10000");
    assert_faults("{\"id\":\"a\",\"parts\":{}}", "/parts: must be a list of 1 to 3 items");
    assert_faults("{\"id\":\"a\",\"parts\":[]}", "/parts: must be a list of 1 to 3 items");
    assert_faults("{\"id\":\"a\",\"parts\":[1]}", "/parts/0: must be an object");
    assert_faults("{\"id\":null}", "/id: is required");
    assert_faults("[]", ": must be an object");
    assert_faults("17", ": must be an object");
}

static void json_in__takes_null_for_absent_unless_it_means_something(void **state)
{
    struct reading *r = read_json("{\"id\":\"a\",\"name\":null,\"price\":null}");

    (void)state;
    assert_true(r->fits);
    assert_false(r->thing.name.is_set);
    assert_true(r->thing.price.is_set);
    assert_true(r->thing.price.is_null);
    reading_end(r);
}

static void json_in__refuses_a_key_that_is_there_twice(void **state)
{
    char many[4096];
    size_t n = (size_t)snprintf(many, sizeof(many), "{\"id\":\"a\",\"any\":{");

    (void)state;
    assert_faults("{\"id\":\"a\",\"id\":\"a\"}", "/id: is there more than once");
    assert_faults("{\"id\":\"a\",\"any\":{\"x\":{\"b\":1,\"b\":2}}}",
                  "/any/x/b: is there more than once");
    assert_faults("{\"id\":\"a\",\"sku\":\"A\",\"productId\":\"A\"}",
                  "/productId: is there twice, as sku and as productId");
    for (int i = 0; i < 40; i++) /* enough to be sorted instead of compared */
        n += (size_t)snprintf(many + n, sizeof(many) - n, "\"k%d\":%d,", i, i);
    (void)snprintf(many + n, sizeof(many) - n, "\"k17\":0}}");
    assert_faults(many, "/any/k17: is there more than once");
}

static void json_in__writes_pointers_as_rfc_6901_asks(void **state)
{
    (void)state;
    assert_faults("{\"id\":\"a\",\"a/b~c\":1,\"\":2}",
                  "/a~1b~0c: is not a known field|/: is not a known field");
}

static void json_in__refuses_nul_characters_and_long_texts(void **state)
{
    char text[5200];
    int n = snprintf(text, sizeof(text), "{\"id\":\"a\",\"any\":{\"x\":\"%04097d\"}}", 0);

    (void)state;
    assert_faults("{\"id\":\"a\",\"any\":{\"x\":\"a\\u0000b\"}}",
                  "/any/x: must not contain a NUL character");
    assert_true(n > 4097);
    assert_faults(text, "/any/x: must be at most 4096 bytes");
    (void)snprintf(text, sizeof(text), "{\"id\":\"a\",\"any\":{\"x\":\"%04096d\"}}", 0);
    assert_faults(text, "");
}

static void json_in__stops_at_32_levels(void **state)
{
    char text[256];
    struct reading *r;

    (void)state;
    /* The body is level 1, any level 2; 30 lists more are 32. */
    (void)snprintf(text, sizeof(text), "{\"id\":\"a\",\"any\":{\"x\":%.30s%.30s}}",
                   "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    r = read_json(text);
    assert_true(r->is_json);
    reading_end(r);
    (void)snprintf(text, sizeof(text), "{\"id\":\"a\",\"any\":{\"x\":%.31s%.31s}}",
                   "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    assert_no_json(str_of(text), "deeper than 32 levels");
}

static void json_in__says_where_the_syntax_is_broken(void **state)
{
    (void)state;
    assert_no_json(STR(""), "empty");
    assert_no_json(STR("{\"id\":}"), "at byte 6");
    assert_no_json(STR("{\"id\":\"a\"} x"), "byte");
    assert_no_json(STR("{'id':1}"), "byte");
    assert_no_json(STR("{\"id\":01}"), "byte");
    assert_no_json(STR("{\"id\":NaN}"), "byte");
    assert_no_json(STR("{\"id\":\"a\",}"), "byte");
    assert_no_json(STR("{\"id\":\"\xff\"}"), "byte");         /* no UTF-8 */
    assert_no_json(STR("{\"id\":\"\xed\xa0\x80\"}"), "byte"); /* a surrogate */
    assert_no_json(STR("\xef\xbb\xbf{}"), "byte");            /* a byte order mark */
    assert_no_json(STR("{\"id\":\"\\ud800\"}"), "byte");
}

static void json_in__tells_no_more_than_a_hundred_faults(void **state)
{
    struct buf b = { NULL, 0, 0 };
    struct reading *r;

    (void)state;
    buf_add_str(&b, STR("{\"id\":\"a\""));
    for (int i = 0; i < 200; i++)
        buf_printf(&b, ",\"x%d\":1", i);
    buf_add_str(&b, STR("}"));
    r = read_bytes(buf_str(&b));
    assert_int_equal(r->in.n_faults, JSON_FAULTS_MAX);
    assert_false(r->fits);
    reading_end(r);
    buf_deinit(&b);
}

/* {"<key>":{"a":1,"a":1,…}}: each fault's pointer holds the long key. */
static struct reading *read_under_a_long_key(size_t key_len, unsigned twice)
{
    struct buf json = { 0 };
    struct reading *r;

    buf_add_str(&json, STR("{\"id\":\"x\",\""));
    for (size_t i = 0; i < key_len; i++)
        buf_add_str(&json, i % 2 ? STR("/") : STR("k"));
    buf_add_str(&json, STR("\":{\"a\":1"));
    for (unsigned i = 0; i < twice; i++)
        buf_printf(&json, ",\"b%u\":1,\"b%u\":2", i, i);
    buf_add_str(&json, STR("}}"));
    r = read_bytes(buf_str(&json));
    buf_deinit(&json);
    return r;
}

static void json_in__ends_a_pointer_where_it_would_be_too_long(void **state)
{
    /* "/" + key, each second character twice + "/b0" */
    const size_t fits = (JSON_POINTER_BYTES_MAX - 4) / 3 * 2;
    struct reading *r = read_under_a_long_key(fits, 1);

    (void)state;
    assert_int_equal(r->in.n_faults, 2);
    assert_int_equal(r->in.faults[0].pointer.n, JSON_POINTER_BYTES_MAX);
    assert_true(str_eq(r->in.faults[0].detail, STR("is there more than once")));
    reading_end(r);

    r = read_under_a_long_key(fits + 1, 1);
    assert_int_equal(r->in.n_faults, 1); /* of the long key itself is told no more: one is enough */
    assert_int_equal(r->in.faults[0].pointer.n, JSON_POINTER_BYTES_MAX - 2);
    assert_true(str_eq(r->in.faults[0].detail, STR("a field in it is there more than once")));
    reading_end(r);
}

static void json_in__pays_little_for_many_faults_below_a_long_key(void **state)
{
    struct reading *r = read_under_a_long_key(400000, 20000);

    (void)state;
    assert_true(r->is_json);
    assert_int_equal(r->in.n_faults, JSON_FAULTS_MAX);
    /* The body's own copy and the tree of its values; gigabytes if each pointer had the key. */
    assert_in_range(r->arena.total, 0, 16u << 20);
    for (unsigned i = 0; i < r->in.n_faults; i++)
        assert_in_range(r->in.faults[i].pointer.n, 0, JSON_POINTER_BYTES_MAX);
    reading_end(r);
}

/* {"id":"a","any":{"kkk…":{"a":1,"a":1,…},"z":{"b":1,"b":2}}}: one place, told once. */
static struct reading *read_the_same_again(size_t key_len, unsigned again)
{
    struct buf json = { 0 };
    struct reading *r;

    buf_add_str(&json, STR("{\"id\":\"a\",\"any\":{\""));
    for (size_t i = 0; i < key_len; i++)
        buf_add_str(&json, STR("k"));
    buf_add_str(&json, STR("\":{\"a\":1"));
    for (unsigned i = 0; i < again; i++)
        buf_add_str(&json, STR(",\"a\":1"));
    buf_add_str(&json, STR("},\"z\":{\"b\":1,\"b\":2}}}"));
    r = read_bytes(buf_str(&json));
    buf_deinit(&json);
    return r;
}

static void json_in__pays_little_for_one_fault_many_times(void **state)
{
    struct reading *r = read_the_same_again(4000, 150000);

    (void)state;
    assert_true(r->is_json);
    assert_int_equal(r->in.n_faults, 1);
    assert_int_equal(r->in.faults[0].pointer.n, strlen("/any/") + 4000 + strlen("/a"));
    assert_in_range(r->arena.total, 0, 32u << 20);
    reading_end(r);
}

static void json_in__looks_at_no_more_than_a_thousand_faults(void **state)
{
    struct reading *r = read_the_same_again(1, JSON_FAULTS_MET_MAX - 1);

    (void)state;
    assert_int_equal(r->in.n_faults, 2);
    assert_true(str_eq(r->in.faults[1].pointer, STR("/any/z/b")));
    reading_end(r);
    r = read_the_same_again(1, JSON_FAULTS_MET_MAX);
    assert_int_equal(r->in.n_faults, 1);
    reading_end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_in__reads_every_kind_of_field),
        cmocka_unit_test(json_in__finds_all_faults_at_once),
        cmocka_unit_test(json_in__wants_the_type_that_a_field_has),
        cmocka_unit_test(json_in__takes_null_for_absent_unless_it_means_something),
        cmocka_unit_test(json_in__refuses_a_key_that_is_there_twice),
        cmocka_unit_test(json_in__writes_pointers_as_rfc_6901_asks),
        cmocka_unit_test(json_in__refuses_nul_characters_and_long_texts),
        cmocka_unit_test(json_in__stops_at_32_levels),
        cmocka_unit_test(json_in__says_where_the_syntax_is_broken),
        cmocka_unit_test(json_in__tells_no_more_than_a_hundred_faults),
        cmocka_unit_test(json_in__ends_a_pointer_where_it_would_be_too_long),
        cmocka_unit_test(json_in__pays_little_for_many_faults_below_a_long_key),
        cmocka_unit_test(json_in__pays_little_for_one_fault_many_times),
        cmocka_unit_test(json_in__looks_at_no_more_than_a_thousand_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
