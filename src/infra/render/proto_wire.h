/* The bytes of a message of protobuf, where what protobuf-c makes of them is not enough. Private to
 * render/. */
#ifndef ORDERLY_SRC_INFRA_RENDER_PROTO_WIRE_H
#define ORDERLY_SRC_INFRA_RENDER_PROTO_WIRE_H
#include "orderly/base/str.h"
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* protobuf-c gives texts as C strings: one with a NUL inside would be taken for its beginning, which
 * is another text than was sent. True: the message, or one inside it, has such a text among the fields
 * that d knows. Bytes that are no message end the search. */
bool proto_has_text_with_nul(const ProtobufCMessageDescriptor *d, struct str bytes);
#endif
