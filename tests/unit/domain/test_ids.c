#include "orderly/domain/ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct uuid an_uuid = { { 0x01, 0x99, 0xa1, 0xf3, 0x00, 0x00, 0x70, 0x00, 0x80, 0, 0,
                                       0, 0, 0, 0, 0x2a } };

static void text_id__holds_1_to_64_of_its_letters(void **state)
{
    char longest[65];
    struct text_id id;

    (void)state;
    memset(longest, 'x', sizeof(longest));
    assert_true(text_id_parse(STR("a"), &id));
    assert_true(text_id_parse(STR("Prov:77_a.b-C"), &id));
    assert_true(str_eq(text_id_str(&id), STR("Prov:77_a.b-C")));
    assert_true(text_id_parse((struct str){ longest, 64 }, &id));
    assert_int_equal(id.n, 64);
    assert_false(text_id_parse((struct str){ longest, 65 }, &id));
    assert_false(text_id_parse(STR(""), &id));
    assert_false(text_id_parse(STR("a b"), &id));
    assert_false(text_id_parse(STR("a/b"), &id));
    assert_false(text_id_parse(STR("\xc3\xa4"), &id));
    assert_false(text_id_parse(((struct str){ "a\0b", 3 }), &id));
}

static void text_id__leaves_no_rest_of_a_longer_one_behind(void **state)
{
    struct text_id a, b = { 0 };

    (void)state;
    assert_true(text_id_parse(STR("a-much-longer-one"), &a));
    assert_true(text_id_parse(STR("short"), &a));
    assert_true(text_id_parse(STR("short"), &b));
    assert_memory_equal(&a, &b, sizeof(a));
}

static void text_id__of_a_word_is_the_word_and_the_uuid(void **state)
{
    struct text_id id = text_id_of_word("reservation", an_uuid);

    (void)state;
    assert_true(str_eq(text_id_str(&id), STR("reservation-0199a1f3-0000-7000-8000-00000000002a")));
}

static void sku__is_trimmed_and_raised(void **state)
{
    struct sku sku;

    (void)state;
    assert_true(sku_parse(STR(" \twidget-001 "), &sku));
    assert_true(str_eq(sku_str(&sku), STR("WIDGET-001")));
    assert_true(sku_parse(STR("A._-9"), &sku));
}

static void sku__holds_1_to_50_of_its_letters(void **state)
{
    char longest[51];
    struct sku sku;

    (void)state;
    memset(longest, 'X', sizeof(longest));
    assert_true(sku_parse((struct str){ longest, 50 }, &sku));
    assert_int_equal(sku.n, 50);
    assert_false(sku_parse((struct str){ longest, 51 }, &sku));
    assert_false(sku_parse(STR(""), &sku));
    assert_false(sku_parse(STR("   "), &sku));
    assert_false(sku_parse(STR("A B"), &sku));
    assert_false(sku_parse(STR("A:B"), &sku));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_id__holds_1_to_64_of_its_letters),
        cmocka_unit_test(text_id__leaves_no_rest_of_a_longer_one_behind),
        cmocka_unit_test(text_id__of_a_word_is_the_word_and_the_uuid),
        cmocka_unit_test(sku__is_trimmed_and_raised),
        cmocka_unit_test(sku__holds_1_to_50_of_its_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
