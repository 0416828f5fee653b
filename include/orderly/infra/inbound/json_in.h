/* JSON bodies to structs, by tables. All faults of a body are found at once, each with its RFC 6901
 * pointer and a text for people.
 *
 * What no body may have, whatever its command: broken syntax or UTF-8, more than 32 levels (all
 * three: malformed), a key twice in one object, a NUL character, a text beyond 4 KiB. Numbers stay
 * text until a field says what they are; no amount ever passes through a double. */
#ifndef ORDERLY_INFRA_INBOUND_JSON_IN_H
#define ORDERLY_INFRA_INBOUND_JSON_IN_H
#include "orderly/app/reply.h"
#include "orderly/base/arena.h"
#include "orderly/base/check.h"
#include "orderly/domain/ids.h"

struct yyjson_val;

#define JSON_BODY_TAIL 4 /* bytes that the parser wants to read behind a body */
#define JSON_DEPTH_MAX 32
#define JSON_TEXT_BYTES_MAX 4096
#define JSON_FAULTS_MAX 100 /* more are not told */
/* Behind so many, those of a place that is told already included, none is looked at any more. */
#define JSON_FAULTS_MET_MAX 1000
/* Of a fault's pointer; a longer one ends at what the field lies in, and the detail says so. */
#define JSON_POINTER_BYTES_MAX 4096

struct json_in {
    struct arena *arena;
    struct fault *faults;
    unsigned n_faults, cap;
    unsigned n_faults_met;
};

/* Where a value stands; lives on the stack of whoever reads. NULL is the whole body. */
struct json_path {
    const struct json_path *up;
    struct str key;
    unsigned index; /* when key.p is NULL */
};

void json_in_fault(struct json_in *in, const struct json_path *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Of a query parameter or header field, by its name. */
void json_in_fault_named(struct json_in *in, enum fault_place place, struct str name,
                         const char *detail);

/* The body is parsed in place and must have JSON_BODY_TAIL NUL bytes behind it. NULL: malformed, *why
 * says how and where. The value lives as long as the body and the arena. Keys, texts and so on may have added
 * faults all the same. */
struct yyjson_val *json_in_parse(struct json_in *in, struct str body, struct str *why);
/* The same of JSON that stands within other JSON, as a text of it. */
struct yyjson_val *json_in_parse_at(struct json_in *in, struct str body, const struct json_path *at,
                                    struct str *why);
/* json_in_parse, where an object is needed: an empty body is a fault, and read as {}, so that what the
 * object would need is told with it. */
struct yyjson_val *json_in_parse_object(struct json_in *in, struct str body, struct str *why);
#define JSON_MEDIA_DETAIL "The body must be application/json in UTF-8, without a coding."

/* ---- reading by tables ----------------------------------------------------------------------- */

/* kind, what the field becomes */
enum json_kind {
    JSON_TEXT,     /* struct json_text; min..max code points */
    JSON_ID,       /* struct json_text; an id from outside */
    JSON_SKU,      /* struct json_text; as sent, sku_parse takes it */
    JSON_AMOUNT,   /* struct json_text: the number's text; not negative, no exponent */
    JSON_CURRENCY, /* struct json_text */
    JSON_INT,      /* struct json_int; min..max */
    JSON_BOOL,     /* struct json_int; 0 or 1 */
    JSON_WORD,     /* struct json_int; index in words */
    JSON_TIME,     /* struct json_int; ms since 1970 */
    JSON_RATE,     /* struct json_rate; 0..1 */
    JSON_OBJECT,   /* the shape's struct, which starts with bool is_set */
    JSON_LIST,     /* struct json_list of the shape's struct; min..max items */
    JSON_ANY       /* struct yyjson_val *; any object */
};
struct json_text {
    bool is_set, is_null; /* is_null: only where the field may be null */
    struct str text;
};
struct json_int {
    bool is_set;
    int64_t value;
};
struct json_rate {
    bool is_set;
    double value;
};
struct json_list {
    bool is_set;
    unsigned n;
    void *items;
};

struct json_shape;
struct json_field {
    const char *name, *alias; /* alias: a second name, or NULL */
    enum json_kind kind;
    bool is_required;
    bool is_nullable; /* null is told from absent; elsewhere null is as good as absent */
    size_t offset;
    int64_t min, max;
    const struct json_shape *shape;
    const char *const *words; /* NULL ends */
};
struct json_shape {
    size_t size;
    const struct json_field *fields;
    unsigned n_fields; /* at most 32 */
    bool is_open;      /* unknown fields are passed over instead of refused */
};
#define JSON_SHAPE(type, table)                                                                    \
    {                                                                                              \
        .size = sizeof(type), .fields = (table), .n_fields = ARRAY_LEN(table)                      \
    }

/* Zeroes *out and fills what the value has. False: faults were added. */
bool json_in_object(struct json_in *in, struct yyjson_val *v, const struct json_path *at,
                    const struct json_shape *shape, void *out);
/* One value into the field's own struct (not at its offset). */
bool json_in_value(struct json_in *in, struct yyjson_val *v, const struct json_path *at,
                   const struct json_field *field, void *out);

/* Texts that the app wants as its own types; empty where a fault was told. */
struct text_id json_in_id(const struct json_text *t);
struct sku json_in_sku(const struct json_text *t);

/* The member of this name; NULL if there is none or it is null. */
struct yyjson_val *json_in_member(struct yyjson_val *object, struct str name);
/* The value as text, without blanks, numbers and unknown fields kept; from the arena. */
struct str json_in_text(struct json_in *in, struct yyjson_val *v);
#endif
