#include "proto_wire.h"
#include <string.h>

/* How a field lies on the wire. */
enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static bool take_varint(struct str *rest, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && rest->n; shift += 7) {
        uint8_t byte = (uint8_t)*rest->p;

        rest->p++;
        rest->n--;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool take_bytes(struct str *rest, uint64_t n, struct str *out)
{
    if (n > rest->n)
        return false;
    *out = (struct str){ rest->p, (size_t)n };
    rest->p += n;
    rest->n -= n;
    return true;
}

/* value: the bytes of a field of that kind; else nothing. False: no message goes on like this. */
static bool take_field(struct str *rest, uint64_t *number, struct str *value)
{
    struct str skipped;
    uint64_t tag, n;

    *value = STR_NONE;
    if (!take_varint(rest, &tag))
        return false;
    *number = tag >> 3;
    switch (tag & 7) {
    case WIRE_VARINT:
        return take_varint(rest, &n);
    case WIRE_64:
        return take_bytes(rest, 8, &skipped);
    case WIRE_32:
        return take_bytes(rest, 4, &skipped);
    case WIRE_BYTES:
        return take_varint(rest, &n) && take_bytes(rest, n, value);
    default:
        return false;
    }
}

/* As deep as messages are inside of messages, and none of ours is inside of itself. */
bool proto_has_text_with_nul(const ProtobufCMessageDescriptor *d, struct str bytes)
{
    uint64_t number;
    struct str value;

    while (bytes.n && take_field(&bytes, &number, &value)) {
        const ProtobufCFieldDescriptor *field =
            number <= UINT32_MAX ? protobuf_c_message_descriptor_get_field(d, (unsigned)number)
                                 : NULL;

        if (!field || !value.n)
            continue;
        if (field->type == PROTOBUF_C_TYPE_STRING && memchr(value.p, 0, value.n))
            return true;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
            proto_has_text_with_nul(field->descriptor, value))
            return true;
    }
    return false;
}
