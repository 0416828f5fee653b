/* What is said about a message beside its body, whichever road it comes by: the media type of the
 * body, and the trace that it belongs to. Pure. */
#ifndef ORDERLY_INFRA_INBOUND_MEDIA_H
#define ORDERLY_INFRA_INBOUND_MEDIA_H
#include "orderly/base/str.h"
#include <stdbool.h>

/* application/json or application/…+json, in UTF-8 if a charset is named: what a body is sent as. */
bool media_is_json(struct str content_type);
/* The same of any type, such as text/json: what a CloudEvent may say of its data. */
bool media_says_json(struct str content_type);
/* The media type alone, without its parameters. */
struct str media_type_of(struct str content_type);
/* Takes "a" off "a;b;c", trimmed. */
struct str media_take_parameter(struct str *rest);
/* Longer than the suffix, and ends with it in whatever case. */
bool media_has_suffix(struct str type, struct str suffix);
/* Without the double quotes around it, where it has them. */
struct str media_unquoted(struct str s);

/* Version 00 of W3C Trace Context, or a later one that starts like it. */
bool traceparent_is_valid(struct str value);
#endif
