/* The messages of proto/orderly/v1/messages.proto by the names of events. Private to render/. */
#ifndef ORDERLY_SRC_INFRA_RENDER_PROTO_TYPES_H
#define ORDERLY_SRC_INFRA_RENDER_PROTO_TYPES_H
#include "orderly/base/str.h"
#include <protobuf-c/protobuf-c.h>

/* Longer than any name of a field. */
#define PROTO_NAME_MAX 64

/* NULL: no integration message is called so. */
const ProtobufCMessageDescriptor *proto_descriptor_of(struct str event_type);
/* approvedAmount -> approved_amount, and back. */
void proto_snake_case(const char *camel, char out[PROTO_NAME_MAX]);
void proto_camel_case(const char *snake, char out[PROTO_NAME_MAX]);
#endif
