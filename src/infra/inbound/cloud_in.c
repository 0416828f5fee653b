#include "orderly/infra/inbound/cloud_in.h"
#include "orderly/base/timetext.h"
#include "orderly/base/uri.h"
#include "orderly/infra/inbound/media.h"
#include "orderly/infra/render/cloud_event.h"
#include <sodium.h>
#include <yyjson.h>

#define MEDIA_PREFIX STR("application/cloudevents")
#define DATA_BASE64 STR("data_base64")

/* ---- faults ---------------------------------------------------------------------------------- */

static void fault_at(const struct cloud_place *place, struct str name, const char *detail)
{
    struct json_path path = { place->at, name, 0 };
    struct str field;

    if (place->prefix.n == 0) {
        json_in_fault(place->in, &path, "%s", detail);
        return;
    }
    field = arena_printf(place->in->arena, STR_FMT STR_FMT, STR_ARG(place->prefix), STR_ARG(name));
    json_in_fault_named(place->in, FAULT_HEADER, field, detail);
}

void cloud_in_fault(const struct cloud_place *place, const char *attribute, const char *detail)
{
    fault_at(place, str_of(attribute), detail);
}

/* ---- one attribute --------------------------------------------------------------------------- */

enum attribute {
    SPECVERSION,
    ID,
    SOURCE,
    TYPE,
    DATACONTENTTYPE,
    DATASCHEMA,
    SUBJECT,
    TIME,
    CORRELATIONID,
    TRACEPARENT,
    ATTRIBUTES
};
#define REQUIRED_ATTRIBUTES 4 /* the first ones */
static const char *const names[ATTRIBUTES] = {
    [SPECVERSION] = "specversion",
    [ID] = "id",
    [SOURCE] = "source",
    [TYPE] = "type",
    [DATACONTENTTYPE] = "datacontenttype",
    [DATASCHEMA] = "dataschema",
    [SUBJECT] = "subject",
    [TIME] = "time",
    [CORRELATIONID] = "correlationid",
    [TRACEPARENT] = "traceparent",
};

static enum attribute attribute_of(struct str name)
{
    unsigned i = 0;

    while (i < ATTRIBUTES && !str_eq(name, str_of(names[i])))
        i++;
    return (enum attribute)i;
}

/* U+0000..1F and U+007F..9F. */
static bool has_control_characters(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];

        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xc2 && i + 1 < s.n && (uint8_t)s.p[i + 1] < 0xa0)
            return true;
    }
    return false;
}

/* NULL: fine. The value is not empty. */
static const char *attribute_set(const struct cloud_place *place, struct cloud_in *out,
                                 enum attribute attribute, struct str value)
{
    struct text_id id;
    int64_t time_ms;

    switch (attribute) {
    case SPECVERSION:
        return str_eq(value, CLOUD_SPEC_VERSION) ? NULL : "must be 1.0";
    case ID:
        if (!text_id_parse(value, &id))
            return "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -";
        out->id = value;
        return NULL;
    case SOURCE:
        if (!uri_is_reference(value))
            return "must be a URI reference such as /payments or https://pay.example";
        out->source = value;
        return NULL;
    case TYPE:
        out->type = value;
        return NULL;
    case DATACONTENTTYPE:
        if (place->prefix.n && !place->has_data_type)
            return "must not be there, as Content-Type says it";
        if (!media_says_json(value))
            return "must be application/json in UTF-8";
        out->data_type = value;
        return NULL;
    case DATASCHEMA:
        return uri_is_reference(value) ? NULL : "must be a URI";
    case TIME:
        return timetext_parse(value, &time_ms)
                   ? NULL
                   : "must be a time of RFC 3339 such as 2026-11-20T12:00:00Z";
    case CORRELATIONID:
        if (!text_id_parse(value, &id))
            return "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -";
        out->correlation_id = value;
        return NULL;
    case TRACEPARENT:
        if (traceparent_is_valid(value)) /* else there is no trace, as with the header field */
            out->traceparent = value;
        return NULL;
    default: /* the sender's own */
        return NULL;
    }
}

static void take(const struct cloud_place *place, struct str name, struct str value,
                 struct cloud_in *out)
{
    enum attribute attribute = attribute_of(name);
    const char *fault = NULL;

    if (value.n > CLOUD_ATTRIBUTE_BYTES_MAX)
        fault = "must be at most 4096 bytes";
    else if (has_control_characters(value))
        fault = "must not hold control characters";
    else if (value.n)
        fault = attribute_set(place, out, attribute, value);
    else if (attribute != ATTRIBUTES)
        fault = "must not be empty";
    if (fault)
        fault_at(place, name, fault);
}
_Static_assert(CLOUD_ATTRIBUTE_BYTES_MAX == 4096, "the fault names it");

static void check_required(const struct cloud_place *place, uint32_t seen)
{
    for (unsigned i = 0; i < REQUIRED_ATTRIBUTES; i++) {
        if (!(seen & 1u << i))
            fault_at(place, str_of(names[i]), "is required");
    }
}

static bool is_attribute_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!(name.p[i] >= 'a' && name.p[i] <= 'z') && !(name.p[i] >= '0' && name.p[i] <= '9'))
            return false;
    }
    return name.n > 0;
}

/* ---- which mode ------------------------------------------------------------------------------ */

static bool starts_with_nocase(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq_nocase((struct str){ s.p, prefix.n }, prefix);
}

enum cloud_mode cloud_mode_of(struct str content_type, const struct cloud_header *headers,
                              unsigned n)
{
    struct str type = media_type_of(content_type);

    if (str_eq_nocase(type, CLOUD_TYPE_EVENT))
        return CLOUD_STRUCTURED;
    if (str_eq_nocase(type, CLOUD_TYPE_BATCH))
        return CLOUD_BATCH;
    if (starts_with_nocase(type, MEDIA_PREFIX))
        return CLOUD_UNKNOWN;
    for (unsigned i = 0; i < n; i++) {
        if (attribute_of(headers[i].name) < REQUIRED_ATTRIBUTES)
            return CLOUD_BINARY;
    }
    return CLOUD_NONE;
}

/* ---- structured mode ------------------------------------------------------------------------- */

/* Attributes that we do not know may be whole numbers of 32 bits, or true and false. */
static bool is_other_type(yyjson_val *v)
{
    struct str text = { yyjson_get_raw(v), yyjson_get_len(v) };
    bool is_negative = yyjson_is_raw(v) && text.n && text.p[0] == '-';
    uint64_t n;

    if (yyjson_is_bool(v))
        return true;
    return yyjson_is_raw(v) &&
           str_to_u64((struct str){ text.p + is_negative, text.n - is_negative }, &n) &&
           n <= (uint64_t)INT32_MAX + is_negative;
}

static void take_member(const struct cloud_place *place, struct str name, yyjson_val *v,
                        struct cloud_in *out)
{
    static const struct json_field data_field = { .kind = JSON_ANY };
    struct json_path path = { place->at, name, 0 };

    if (str_eq(name, STR("data"))) {
        (void)json_in_value(place->in, v, &path, &data_field, &out->data);
        return;
    }
    if (str_eq(name, DATA_BASE64))
        return; /* read when all the attributes are */
    if (!is_attribute_name(name)) {
        fault_at(place, name, "is no attribute: their names are of lower-case letters and digits");
    } else if (yyjson_is_str(v)) {
        take(place, name, (struct str){ yyjson_get_str(v), yyjson_get_len(v) }, out);
    } else if (attribute_of(name) != ATTRIBUTES) {
        fault_at(place, name, "must be text");
    } else if (!is_other_type(v)) {
        fault_at(place, name, "must be text, a whole number of 32 bits, true or false");
    }
}

/* JSON all the same, where the event says so: there are libraries that send it so when they are given
 * bytes. */
static void read_base64(const struct cloud_place *place, yyjson_val *event, yyjson_val *v,
                        struct cloud_in *out)
{
    static const struct json_field data_field = { .kind = JSON_ANY };
    struct json_path path = { place->at, DATA_BASE64, 0 };
    size_t n = 0, room = yyjson_get_len(v) / 4 * 3 + 1;
    struct str why;
    char *bytes;

    out->is_base64 = true;
    if (out->data_type.n == 0) {
        if (!json_in_member(event, STR("datacontenttype"))) /* else that was told */
            fault_at(place, DATA_BASE64,
                     "is not taken without a datacontenttype that says that it is JSON");
        return;
    }
    if (!yyjson_is_str(v)) {
        fault_at(place, DATA_BASE64, "must be text");
        return;
    }
    bytes = arena_zalloc(place->in->arena, room + JSON_BODY_TAIL);
    if (sodium_base642bin((unsigned char *)bytes, room, yyjson_get_str(v), yyjson_get_len(v), NULL,
                          &n, NULL, sodium_base64_VARIANT_ORIGINAL) != 0) {
        fault_at(place, DATA_BASE64, "must be base64, padded");
        return;
    }
    v = n ? json_in_parse_at(place->in, (struct str){ bytes, n }, &path, &why) : NULL;
    if (v)
        (void)json_in_value(place->in, v, &path, &data_field, &out->data);
    else
        fault_at(place, DATA_BASE64, "must be JSON in base64");
}

void cloud_in_read_object(const struct cloud_place *place, struct yyjson_val *event,
                          struct cloud_in *out)
{
    yyjson_val *base64;
    struct json_path data = { place->at, STR("data"), 0 };
    uint32_t seen = 0;
    yyjson_obj_iter iter;
    yyjson_val *key;

    *out = (struct cloud_in){ .data = NULL };
    if (!yyjson_is_obj(event)) {
        json_in_fault(place->in, place->at, "must be an object");
        return;
    }
    iter = yyjson_obj_iter_with(event);
    while ((key = yyjson_obj_iter_next(&iter))) {
        struct str name = { yyjson_get_str(key), yyjson_get_len(key) };
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        enum attribute attribute = attribute_of(name);

        if (yyjson_is_null(v)) /* as good as not there */
            continue;
        if (attribute != ATTRIBUTES)
            seen |= 1u << attribute;
        take_member(place, name, v, out);
    }
    check_required(place, seen);
    base64 = json_in_member(event, DATA_BASE64);
    if (base64 && json_in_member(event, data.key))
        fault_at(place, DATA_BASE64, "must not be there beside data");
    else if (base64)
        read_base64(place, event, base64, out);
    else if (!json_in_member(event, data.key))
        json_in_fault(place->in, &data, "is required");
}

/* ---- binary mode ----------------------------------------------------------------------------- */

static bool is_there_twice(const struct cloud_header *headers, unsigned n, unsigned at)
{
    for (unsigned i = 0; i < n; i++) {
        if (i != at && str_eq(headers[i].name, headers[at].name))
            return true;
    }
    return false;
}

/* A broker lets any bytes be a name; what is said about it is text. */
static struct str name_as_text(struct arena *a, struct str name)
{
    char *p;

    if (str_is_utf8(name))
        return name;
    p = arena_alloc(a, name.n);
    for (size_t i = 0; i < name.n; i++)
        p[i] = (char)((uint8_t)name.p[i] < 0x80 ? name.p[i] : '?');
    return (struct str){ p, name.n };
}

void cloud_in_read_headers(const struct cloud_place *place, const struct cloud_header *headers,
                           unsigned n, struct cloud_in *out)
{
    uint32_t seen = 0;

    *out = (struct cloud_in){ .data = NULL };
    for (unsigned i = 0; i < n; i++) {
        const struct cloud_header *h = &headers[i];
        struct str name = name_as_text(place->in->arena, h->name);
        enum attribute attribute = attribute_of(h->name);

        if (attribute != ATTRIBUTES)
            seen |= 1u << attribute;
        if (is_there_twice(headers, n, i))
            fault_at(place, name, "is there more than once");
        else if (str_eq(h->name, STR("data")))
            fault_at(place, name, "must not be there, as the payload is the body");
        else if (!is_attribute_name(h->name))
            fault_at(place, name, "is no attribute: their names are of letters and digits");
        else if (h->is_undecodable)
            fault_at(place, name,
                     "must be printable ASCII, with everything else as the percent-escapes of "
                     "UTF-8");
        else
            take(place, h->name, h->value, out);
    }
    check_required(place, seen);
}
