#include "properties.h"
#include "codec.h"
#include "orderly/base/bytes.h"

/* Takes n bytes off the rest. */
static bool take(struct str *rest, size_t n, struct str *out)
{
    if (n > rest->n)
        return false;
    *out = (struct str){ rest->p, n };
    *rest = (struct str){ rest->p + n, rest->n - n };
    return true;
}

static bool take_short(struct str *rest, struct str *out)
{
    struct str n;

    return take(rest, 1, &n) && take(rest, (unsigned char)n.p[0], out);
}

static bool take_long(struct str *rest, struct str *out)
{
    struct str n;

    return take(rest, 4, &n) && take(rest, bytes_get_u32(n.p), out);
}

bool properties_read(struct properties *p, struct str raw)
{
    struct str flags_text, passed;
    unsigned flags;

    *p = (struct properties){ STR(""), STR(""), STR("") };
    if (!take(&raw, 2, &flags_text))
        return false;
    flags = bytes_get_u16(flags_text.p);
    /* The last bit announces more flags, of which there are none in this version. */
    return !(flags & 1) &&
           (!(flags & AMQP_BASIC_CONTENT_TYPE_FLAG) || take_short(&raw, &p->content_type)) &&
           (!(flags & AMQP_BASIC_CONTENT_ENCODING_FLAG) || take_short(&raw, &passed)) &&
           (!(flags & AMQP_BASIC_HEADERS_FLAG) || take_long(&raw, &p->headers)) &&
           (!(flags & AMQP_BASIC_DELIVERY_MODE_FLAG) || take(&raw, 1, &passed)) &&
           (!(flags & AMQP_BASIC_PRIORITY_FLAG) || take(&raw, 1, &passed)) &&
           (!(flags & AMQP_BASIC_CORRELATION_ID_FLAG) || take_short(&raw, &passed)) &&
           (!(flags & AMQP_BASIC_REPLY_TO_FLAG) || take_short(&raw, &passed)) &&
           (!(flags & AMQP_BASIC_EXPIRATION_FLAG) || take_short(&raw, &passed)) &&
           (!(flags & AMQP_BASIC_MESSAGE_ID_FLAG) || take_short(&raw, &p->message_id));
}

static bool take_value(struct str *rest, char kind, struct str *out)
{
    switch (kind) {
    case AMQP_FIELD_KIND_VOID:
        return take(rest, 0, out);
    case AMQP_FIELD_KIND_BOOLEAN:
    case AMQP_FIELD_KIND_I8:
    case AMQP_FIELD_KIND_U8:
        return take(rest, 1, out);
    case AMQP_FIELD_KIND_I16:
    case AMQP_FIELD_KIND_U16:
        return take(rest, 2, out);
    case AMQP_FIELD_KIND_I32:
    case AMQP_FIELD_KIND_U32:
    case AMQP_FIELD_KIND_F32:
        return take(rest, 4, out);
    case AMQP_FIELD_KIND_DECIMAL:
        return take(rest, 5, out);
    case AMQP_FIELD_KIND_I64:
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_F64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        return take(rest, 8, out);
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
    case AMQP_FIELD_KIND_ARRAY:
    case AMQP_FIELD_KIND_TABLE:
        return take_long(rest, out);
    default:
        return false;
    }
}

bool properties_next_header(struct str *rest, struct header *h)
{
    struct str kind;

    if (!take_short(rest, &h->name) || !take(rest, 1, &kind))
        return false;
    h->kind = kind.p[0];
    return take_value(rest, h->kind, &h->value);
}
