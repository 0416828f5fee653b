/* CloudEvents in protobuf as one more form of messages from outside (message_in.h). Pure. */
#ifndef ORDERLY_INFRA_INBOUND_PROTO_FORM_H
#define ORDERLY_INFRA_INBOUND_PROTO_FORM_H
#include "orderly/infra/inbound/message_in.h"

extern const struct message_form message_form_protobuf;
#endif
