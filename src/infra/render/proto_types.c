#include "proto_types.h"
#include "orderly/base/check.h"
#include "orderly/v1/messages.pb-c.h"

/* protobuf-c has no list of a package's messages. */
static const ProtobufCMessageDescriptor *const descriptors[] = {
    &orderly__v1__order_placed__descriptor,
    &orderly__v1__order_confirmed__descriptor,
    &orderly__v1__order_paid__descriptor,
    &orderly__v1__order_stock_reserved__descriptor,
    &orderly__v1__order_readied__descriptor,
    &orderly__v1__order_completed__descriptor,
    &orderly__v1__order_shipped__descriptor,
    &orderly__v1__order_delivered__descriptor,
    &orderly__v1__order_cancelled__descriptor,
    &orderly__v1__order_rejected__descriptor,
    &orderly__v1__order_payment_failed__descriptor,
    &orderly__v1__order_payment_requested__descriptor,
    &orderly__v1__order_refund_requested__descriptor,
    &orderly__v1__order_release_requested__descriptor,
    &orderly__v1__order_shipment_refused__descriptor,
    &orderly__v1__order_refunded__descriptor,
    &orderly__v1__order_stock_released__descriptor,
    &orderly__v1__payment_approved__descriptor,
    &orderly__v1__payment_processed__descriptor,
    &orderly__v1__payment_declined__descriptor,
    &orderly__v1__payment_failed__descriptor,
    &orderly__v1__payment_pending__descriptor,
    &orderly__v1__payment_refunded__descriptor,
    &orderly__v1__stock_reserved__descriptor,
    &orderly__v1__inventory_reserved__descriptor,
    &orderly__v1__stock_rejected__descriptor,
    &orderly__v1__inventory_reservation_failed__descriptor,
    &orderly__v1__stock_released__descriptor,
    &orderly__v1__inventory_released__descriptor,
    &orderly__v1__stock_taken__descriptor,
    &orderly__v1__shipment_created__descriptor,
    &orderly__v1__shipment_dispatched__descriptor,
    &orderly__v1__shipment_delivered__descriptor,
    &orderly__v1__shipment_cancelled__descriptor,
    &orderly__v1__cart_created__descriptor,
    &orderly__v1__cart_item_added__descriptor,
    &orderly__v1__cart_item_changed__descriptor,
    &orderly__v1__cart_item_removed__descriptor,
    &orderly__v1__cart_converted__descriptor,
    &orderly__v1__product_added__descriptor,
    &orderly__v1__product_changed__descriptor,
    &orderly__v1__stock_adjusted__descriptor,
};

const ProtobufCMessageDescriptor *proto_descriptor_of(struct str event_type)
{
    for (size_t i = 0; i < ARRAY_LEN(descriptors); i++)
        if (str_eq(str_of(descriptors[i]->short_name), event_type))
            return descriptors[i];
    return NULL;
}

void proto_snake_case(const char *camel, char out[PROTO_NAME_MAX])
{
    size_t n = 0;

    for (; *camel; camel++) {
        bool is_upper = *camel >= 'A' && *camel <= 'Z';

        REQUIRE(n + 3 < PROTO_NAME_MAX);
        if (is_upper)
            out[n++] = '_';
        out[n++] = is_upper ? (char)(*camel - 'A' + 'a') : *camel;
    }
    out[n] = 0;
}

void proto_camel_case(const char *snake, char out[PROTO_NAME_MAX])
{
    size_t n = 0;

    for (; *snake; snake++) {
        REQUIRE(n + 1 < PROTO_NAME_MAX);
        if (*snake == '_' && snake[1] >= 'a' && snake[1] <= 'z') {
            snake++;
            out[n++] = (char)(*snake - 'a' + 'A');
        } else {
            out[n++] = *snake;
        }
    }
    out[n] = 0;
}
