#include "orderly/infra/inbound/json_in.h"
#include "orderly/base/check.h"
#include "orderly/base/timetext.h"
#include "orderly/domain/ids.h"
#include "orderly/domain/money.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

/* ---- faults ---------------------------------------------------------------------------------- */

/* Exact, unless it is beyond JSON_POINTER_BYTES_MAX. */
static size_t pointer_len(const struct json_path *at)
{
    size_t n = 0;

    for (; at && n <= JSON_POINTER_BYTES_MAX; at = at->up) {
        unsigned index = at->index;

        n += 1 + at->key.n;
        for (size_t i = 0; i < at->key.n && n <= JSON_POINTER_BYTES_MAX; i++)
            n += at->key.p[i] == '~' || at->key.p[i] == '/';
        if (at->key.p)
            continue;
        do {
            n++;
            index /= 10;
        } while (index);
    }
    return n;
}

/* Written to p from its end, since a path knows only the way up. */
static struct str pointer_of(char p[static JSON_POINTER_BYTES_MAX], const struct json_path *at)
{
    size_t room = pointer_len(at), start = room;

    REQUIRE(room <= JSON_POINTER_BYTES_MAX);
    for (; at; at = at->up) {
        if (at->key.p) {
            for (size_t i = at->key.n; i-- > 0;) {
                char c = at->key.p[i];

                if (c == '~' || c == '/') {
                    p[--start] = c == '~' ? '0' : '1';
                    c = '~';
                }
                p[--start] = c;
            }
        } else {
            unsigned index = at->index;

            do {
                p[--start] = (char)('0' + index % 10);
                index /= 10;
            } while (index);
        }
        p[--start] = '/';
    }
    return (struct str){ p + start, room - start };
}

/* Returns NULL where it is known already, or one too many. The pointer is the caller's to keep. */
static struct fault *fault_add(struct json_in *in, enum fault_place place, struct str pointer)
{
    struct fault *f;

    for (unsigned i = 0; pointer.n && i < in->n_faults; i++) {
        if (in->faults[i].place == place && str_eq(in->faults[i].pointer, pointer))
            return NULL; /* one fault a field is enough to look at it */
    }
    if (in->n_faults == JSON_FAULTS_MAX)
        return NULL;
    if (in->n_faults == in->cap) {
        unsigned cap = in->cap ? in->cap * 2 : 8;
        struct fault *more = arena_alloc(in->arena, cap * sizeof(*more));

        if (in->n_faults)
            memcpy(more, in->faults, in->n_faults * sizeof(*more));
        in->faults = more;
        in->cap = cap;
    }
    f = &in->faults[in->n_faults++];
    *f = (struct fault){ .pointer = pointer, .place = place };
    return f;
}

void json_in_fault(struct json_in *in, const struct json_path *at, const char *fmt, ...)
{
    static const char inside[] = "a field in it ";
    char text[512], pointer[JSON_POINTER_BYTES_MAX];
    struct fault *f;
    va_list ap;
    int n = 0, m;

    /* A body of long keys and many faults would otherwise make gigabytes of pointers, or as many
     * bytes of one that is told already. */
    if (in->n_faults == JSON_FAULTS_MAX || in->n_faults_met == JSON_FAULTS_MET_MAX)
        return;
    in->n_faults_met++;
    for (; pointer_len(at) > JSON_POINTER_BYTES_MAX; at = at->up)
        n = snprintf(text, sizeof(text), "%s", inside);
    f = fault_add(in, FAULT_POINTER, pointer_of(pointer, at));
    if (!f)
        return;
    f->pointer = arena_str(in->arena, f->pointer);
    va_start(ap, fmt);
    m = vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
    va_end(ap);
    REQUIRE(m >= 0);
    n += m;
    if ((size_t)n >= sizeof(text))
        n = (int)sizeof(text) - 1;
    f->detail = arena_str(in->arena, (struct str){ text, (size_t)n });
}

void json_in_fault_named(struct json_in *in, enum fault_place place, struct str name,
                         const char *detail)
{
    struct fault *f = fault_add(in, place, name);

    if (f)
        f->detail = str_of(detail);
}

/* ---- the text -------------------------------------------------------------------------------- */

static void *alc_malloc(void *ctx, size_t size)
{
    return arena_alloc(ctx, size);
}

static void *alc_realloc(void *ctx, void *p, size_t old_size, size_t size)
{
    void *bigger;

    if (size <= old_size)
        return p;
    bigger = arena_alloc(ctx, size);
    memcpy(bigger, p, old_size);
    return bigger;
}

static void alc_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

static yyjson_alc alc_of(struct arena *a)
{
    return (yyjson_alc){ alc_malloc, alc_realloc, alc_free, a };
}

static struct str text_of(yyjson_val *v)
{
    return (struct str){ yyjson_get_str(v), yyjson_get_len(v) };
}

static void check_text(struct json_in *in, struct str s, const struct json_path *at)
{
    if (s.n > JSON_TEXT_BYTES_MAX)
        json_in_fault(in, at, "must be at most %d bytes", JSON_TEXT_BYTES_MAX);
    else if (s.n && memchr(s.p, 0, s.n))
        json_in_fault(in, at, "must not contain a NUL character");
}

static int compare_keys(const void *left, const void *right)
{
    struct str a = *(const struct str *)left, b = *(const struct str *)right;
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

#define KEYS_COMPARED_MAX 16

static void fault_twice(struct json_in *in, struct str key, const struct json_path *at)
{
    struct json_path path = { at, key, 0 };

    json_in_fault(in, &path, "is there more than once");
}

/* Few keys are compared each with each, many are sorted: an object of a hundred thousand keys must
 * not cost its square. */
static void check_keys(struct json_in *in, yyjson_val *object, const struct json_path *at)
{
    size_t n = yyjson_obj_size(object), i = 0;
    struct str few[KEYS_COMPARED_MAX];
    struct str *keys = n <= KEYS_COMPARED_MAX ? few : arena_alloc(in->arena, n * sizeof(*keys));
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    yyjson_val *key;

    while ((key = yyjson_obj_iter_next(&iter)))
        keys[i++] = text_of(key);
    ENSURE(i == n);
    if (n <= KEYS_COMPARED_MAX) {
        for (i = 1; i < n; i++) {
            for (size_t j = 0; j < i; j++) {
                if (str_eq(keys[i], keys[j])) {
                    fault_twice(in, keys[i], at);
                    break;
                }
            }
        }
        return;
    }
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (i = 1; i < n; i++) {
        if (str_eq(keys[i], keys[i - 1]))
            fault_twice(in, keys[i], at);
    }
}

/* False: deeper than JSON_DEPTH_MAX, which also bounds this recursion. */
static bool check_value(struct json_in *in, yyjson_val *v, const struct json_path *at,
                        unsigned depth)
{
    if (yyjson_is_str(v)) {
        check_text(in, text_of(v), at);
        return true;
    }
    if (!yyjson_is_ctn(v))
        return true;
    if (depth == JSON_DEPTH_MAX)
        return false;
    if (yyjson_is_arr(v)) {
        struct json_path path = { at, STR_NONE, 0 };
        yyjson_arr_iter iter = yyjson_arr_iter_with(v);
        yyjson_val *item;

        for (; (item = yyjson_arr_iter_next(&iter)); path.index++) {
            if (!check_value(in, item, &path, depth + 1))
                return false;
        }
    } else {
        yyjson_obj_iter iter = yyjson_obj_iter_with(v);
        yyjson_val *key;

        check_keys(in, v, at);
        while ((key = yyjson_obj_iter_next(&iter))) {
            struct json_path path = { at, text_of(key), 0 };

            check_text(in, path.key, &path);
            if (!check_value(in, yyjson_obj_iter_get_val(key), &path, depth + 1))
                return false;
        }
    }
    return true;
}

struct yyjson_val *json_in_parse(struct json_in *in, struct str body, struct str *why)
{
    return json_in_parse_at(in, body, NULL, why);
}

struct yyjson_val *json_in_parse_at(struct json_in *in, struct str body, const struct json_path *at,
                                    struct str *why)
{
    yyjson_alc alc = alc_of(in->arena);
    yyjson_read_err err;
    yyjson_doc *doc;
    yyjson_val *root;

    if (body.n == 0) {
        *why = STR("The body is empty; a JSON object is needed.");
        return NULL;
    }
    doc = yyjson_read_opts((char *)body.p, body.n, YYJSON_READ_INSITU | YYJSON_READ_NUMBER_AS_RAW,
                           &alc, &err);
    if (!doc) {
        *why = arena_printf(in->arena, "The body is no JSON: %s at byte %zu.", err.msg, err.pos);
        return NULL;
    }
    root = yyjson_doc_get_root(doc);
    if (!check_value(in, root, at, 0)) {
        *why = arena_printf(in->arena, "The body is nested deeper than %d levels.", JSON_DEPTH_MAX);
        return NULL;
    }
    return root;
}

struct yyjson_val *json_in_parse_object(struct json_in *in, struct str body, struct str *why)
{
    if (body.n == 0) {
        json_in_fault(in, NULL, "the body is missing; it must be a JSON object");
        body = arena_str(in->arena, STR("{}\0\0\0\0"));
        body.n = 2;
    }
    return json_in_parse(in, body, why);
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool read_int(struct str text, int64_t *out)
{
    bool is_negative = text.n && text.p[0] == '-';
    uint64_t n;

    if (!str_to_u64((struct str){ text.p + is_negative, text.n - is_negative }, &n) ||
        n > INT64_MAX)
        return false;
    *out = is_negative ? -(int64_t)n : (int64_t)n;
    return true;
}

static bool fault_text(struct json_in *in, const struct json_path *at, const struct json_field *f)
{
    if (f->min == 0)
        json_in_fault(in, at, "must be text of at most %lld characters", (long long)f->max);
    else
        json_in_fault(in, at, "must be text of %lld to %lld characters", (long long)f->min,
                      (long long)f->max);
    return false;
}

static bool text_fits(struct json_in *in, struct str s, const struct json_path *at,
                      const struct json_field *f)
{
    struct text_id id;
    struct sku sku;
    struct currency currency;
    int64_t len;

    switch (f->kind) {
    case JSON_ID:
        if (text_id_parse(s, &id))
            return true;
        json_in_fault(in, at, "must be 1 to %d characters of A-Z a-z 0-9 . _ : -", TEXT_ID_MAX);
        return false;
    case JSON_SKU:
        if (sku_parse(s, &sku))
            return true;
        json_in_fault(in, at, "must be 1 to %d characters of A-Z 0-9 . _ -", SKU_MAX);
        return false;
    case JSON_CURRENCY:
        if (currency_parse(s, &currency))
            return true;
        json_in_fault(in, at, "must be an ISO 4217 currency code such as USD");
        return false;
    default:
        len = (int64_t)str_utf8_len(s);
        return (len >= f->min && len <= f->max) || fault_text(in, at, f);
    }
}

static bool read_text(struct json_in *in, yyjson_val *v, const struct json_path *at,
                      const struct json_field *f, struct json_text *out)
{
    struct str s = yyjson_is_str(v) ? text_of(v) : STR_NONE;

    if (f->kind == JSON_TEXT && !yyjson_is_str(v))
        return fault_text(in, at, f);
    if (!text_fits(in, s, at, f))
        return false;
    *out = (struct json_text){ .is_set = true, .text = s };
    return true;
}

static bool read_amount(struct json_in *in, yyjson_val *v, const struct json_path *at,
                        struct json_text *out)
{
    /* The currency is known later, when the catalogue has been asked: the digits are counted then. */
    static const struct currency most_digits = { "CLF" };
    struct str s = { yyjson_get_raw(v), yyjson_get_len(v) };
    enum money_parse parse = MONEY_NOT_A_NUMBER;
    int64_t minor;

    if (yyjson_is_raw(v))
        parse = money_from_text(s, most_digits, &minor);
    if (parse == MONEY_NOT_A_NUMBER || parse == MONEY_NEGATIVE || parse == MONEY_EXPONENT) {
        json_in_fault(in, at, "%s", money_parse_text(parse));
        return false;
    }
    *out = (struct json_text){ .is_set = true, .text = s };
    return true;
}

static bool read_rate(struct json_in *in, yyjson_val *v, const struct json_path *at,
                      struct json_rate *out)
{
    char text[64];
    size_t n = yyjson_get_len(v);
    double value;

    if (yyjson_is_raw(v) && n < sizeof(text)) {
        memcpy(text, yyjson_get_raw(v), n);
        text[n] = 0;
        value = strtod(text, NULL);
        if (value >= 0 && value <= 1) {
            *out = (struct json_rate){ .is_set = true, .value = value };
            return true;
        }
    }
    json_in_fault(in, at, "must be a number from 0 to 1");
    return false;
}

static bool read_word(struct json_in *in, yyjson_val *v, const struct json_path *at,
                      const struct json_field *f, struct json_int *out)
{
    char all[256];
    size_t len = 0;

    for (int i = 0; f->words[i]; i++) {
        int n;

        if (yyjson_is_str(v) && str_eq(text_of(v), str_of(f->words[i]))) {
            *out = (struct json_int){ .is_set = true, .value = i };
            return true;
        }
        n = snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "", f->words[i]);
        len += (size_t)n;
        REQUIRE(len < sizeof(all));
    }
    json_in_fault(in, at, "must be one of %s", all);
    return false;
}

static bool read_number(struct json_in *in, yyjson_val *v, const struct json_path *at,
                        const struct json_field *f, struct json_int *out)
{
    struct json_int got = { .is_set = true };

    switch (f->kind) {
    case JSON_INT:
        if (yyjson_is_raw(v) &&
            read_int((struct str){ yyjson_get_raw(v), yyjson_get_len(v) }, &got.value) &&
            got.value >= f->min && got.value <= f->max)
            break;
        json_in_fault(in, at, "must be an integer from %lld to %lld", (long long)f->min,
                      (long long)f->max);
        return false;
    case JSON_BOOL:
        got.value = yyjson_is_true(v);
        if (yyjson_is_bool(v))
            break;
        json_in_fault(in, at, "must be true or false");
        return false;
    default: /* JSON_TIME */
        if (yyjson_is_str(v) && timetext_parse(text_of(v), &got.value))
            break;
        json_in_fault(in, at, "must be a time of RFC 3339 such as 2026-11-20T12:00:00Z");
        return false;
    }
    *out = got;
    return true;
}

static bool read_list(struct json_in *in, yyjson_val *v, const struct json_path *at,
                      const struct json_field *f, struct json_list *out)
{
    struct json_path path = { at, STR_NONE, 0 };
    yyjson_arr_iter iter;
    yyjson_val *item;
    char *items;
    bool fine = true;
    int64_t n = yyjson_is_arr(v) ? (int64_t)yyjson_arr_size(v) : -1;

    if (n < f->min || n > f->max) {
        json_in_fault(in, at, "must be a list of %lld to %lld items", (long long)f->min,
                      (long long)f->max);
        return false;
    }
    items = arena_alloc(in->arena, (size_t)n * f->shape->size + 1);
    iter = yyjson_arr_iter_with(v);
    for (; (item = yyjson_arr_iter_next(&iter)); path.index++)
        fine &= json_in_object(in, item, &path, f->shape, items + path.index * f->shape->size);
    *out = (struct json_list){ .is_set = true, .n = (unsigned)n, .items = items };
    return fine;
}

bool json_in_value(struct json_in *in, struct yyjson_val *v, const struct json_path *at,
                   const struct json_field *field, void *out)
{
    switch (field->kind) {
    case JSON_TEXT:
    case JSON_ID:
    case JSON_SKU:
    case JSON_CURRENCY:
        return read_text(in, v, at, field, out);
    case JSON_AMOUNT:
        return read_amount(in, v, at, out);
    case JSON_RATE:
        return read_rate(in, v, at, out);
    case JSON_WORD:
        return read_word(in, v, at, field, out);
    case JSON_INT:
    case JSON_BOOL:
    case JSON_TIME:
        return read_number(in, v, at, field, out);
    case JSON_LIST:
        return read_list(in, v, at, field, out);
    case JSON_OBJECT:
        if (!json_in_object(in, v, at, field->shape, out))
            return false;
        *(bool *)out = true;
        return true;
    case JSON_ANY:
        if (yyjson_is_obj(v)) {
            *(struct yyjson_val **)out = v;
            return true;
        }
        json_in_fault(in, at, "must be an object");
        return false;
    }
    UNREACHABLE("json kind");
}

static const struct json_field *find_field(const struct json_shape *shape, struct str key)
{
    for (unsigned i = 0; i < shape->n_fields; i++) {
        const struct json_field *f = &shape->fields[i];

        if (str_eq(key, str_of(f->name)) || (f->alias && str_eq(key, str_of(f->alias))))
            return f;
    }
    return NULL;
}

bool json_in_object(struct json_in *in, struct yyjson_val *v, const struct json_path *at,
                    const struct json_shape *shape, void *out)
{
    unsigned faults_before = in->n_faults;
    uint32_t seen = 0;
    yyjson_obj_iter iter;
    yyjson_val *key;

    REQUIRE(shape->n_fields <= 32);
    memset(out, 0, shape->size);
    if (!yyjson_is_obj(v)) {
        json_in_fault(in, at, "must be an object");
        return false;
    }
    iter = yyjson_obj_iter_with(v);
    while ((key = yyjson_obj_iter_next(&iter))) {
        struct json_path path = { at, text_of(key), 0 };
        const struct json_field *f = find_field(shape, path.key);
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        uint32_t bit = f ? 1u << (f - shape->fields) : 0;

        if (!f) {
            if (!shape->is_open)
                json_in_fault(in, &path, "is not a known field");
        } else if (yyjson_is_null(value)) {
            if (f->is_nullable) /* only texts and amounts can be taken away */
                *(struct json_text *)(void *)((char *)out + f->offset) =
                    (struct json_text){ .is_set = true, .is_null = true };
        } else if (seen & bit) {
            json_in_fault(in, &path, "is there twice, as %s and as %s", f->name,
                          f->alias ? f->alias : f->name);
        } else {
            seen |= bit;
            (void)json_in_value(in, value, &path, f, (char *)out + f->offset);
        }
    }
    for (unsigned i = 0; i < shape->n_fields; i++) {
        if (shape->fields[i].is_required && !(seen & 1u << i)) {
            struct json_path path = { at, str_of(shape->fields[i].name), 0 };

            json_in_fault(in, &path, "is required");
        }
    }
    return in->n_faults == faults_before;
}

struct yyjson_val *json_in_member(struct yyjson_val *object, struct str name)
{
    yyjson_val *v = yyjson_obj_getn(object, name.p, name.n);

    return yyjson_is_null(v) ? NULL : v;
}

struct str json_in_text(struct json_in *in, struct yyjson_val *v)
{
    yyjson_alc alc = alc_of(in->arena);
    size_t n = 0;
    const char *p = yyjson_val_write_opts(v, YYJSON_WRITE_NOFLAG, &alc, &n, NULL);

    REQUIRE(p != NULL); /* it was read, so it can be written */
    return (struct str){ p, n };
}

struct text_id json_in_id(const struct json_text *t)
{
    struct text_id id = { .n = 0 };

    if (t->is_set && !text_id_parse(t->text, &id))
        id.n = 0; /* a fault was told; the command will not run */
    return id;
}

struct sku json_in_sku(const struct json_text *t)
{
    struct sku sku = { .n = 0 };

    if (t->is_set && !sku_parse(t->text, &sku))
        sku.n = 0;
    return sku;
}
